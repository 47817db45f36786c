// The stored runs: a list that is asked for when somebody looks, older ones page by page.

import { h, fill, labelled } from "./dom.js";

/** A field that opens a stored run. */
export class Past {
  /** @param {import("./link.js").Link} link @param {(run: string) => void} open */
  constructor(link, open) {
    this.link = link;
    this.open = open;
    this.list = h("select", { on: { focus: () => this.ask(0), change: () => this.chosen() } }, h("option", { value: "" }, "stored runs …"));
    this.field = labelled("History", this.list, "wb-history");
    this.skip = 0;
    this.asked = false;
  }

  /** @param {number} skip */
  ask(skip) {
    if (!skip && this.asked) return; // a page that was turned to stays
    this.asked = true;
    this.link.ask("history", { skip });
  }

  chosen() {
    const { value } = this.list;
    this.list.value = "";
    if (value.startsWith("skip ")) this.ask(Number(value.slice(5)) || 0);
    else if (value) {
      this.asked = false;
      this.open(value);
    }
    if (value === "skip 0") this.link.ask("history", { skip: 0 });
  }

  /** @param {any} m */
  show(m) {
    const head = m.runs.length ? (m.skip ? `stored runs from the ${m.skip + 1}th …` : "stored runs …") : "no stored runs yet";
    fill(
      this.list,
      h("option", { value: "" }, head),
      m.skip > 0 && h("option", { value: "skip 0" }, "↑ the newest"),
      ...m.runs.map((/** @type {any} */ run) => h("option", { value: run.id }, `${run.id} · ${run.status === "finished" ? "" : `${run.status} · `}${run.title}`)),
      m.older && h("option", { value: `skip ${m.older}` }, "↓ older …"),
    );
  }
}
