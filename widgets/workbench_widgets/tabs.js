// Workbench: parts in tabs; each is rendered when it is first looked at, and stays.

import { h, put, fill, fresh } from "./dom.js";
import { Below } from "./below.js";
import { Link } from "./link.js";
import { Voice } from "./voice.js";

class Tabs {
  /** @param {any} model @param {any} host @param {HTMLElement} el */
  constructor(model, host, el) {
    this.host = host;
    this.tabs = /** @type {any[]} */ ([]);
    this.refs = "";
    this.link = new Link(model, () => {}, (told) => this.show(told));
    this.list = h("div.wb-tabs", { role: "tablist", "aria-label": "Parts" });
    this.panels = h("div", {});
    this.element = h("div", { role: "group", "aria-label": "Workbench", "data-lm-suppress-shortcuts": "true" }, this.list, this.link.place, this.panels);
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.voice = new Voice(el);
    el.classList.add("wb-part");
    el.append(this.element);
    this.show(model.get("told"));
    this.link.ask("pull");
  }

  /** @param {any} told */
  show(told) {
    if (!told?.tabs || JSON.stringify(told.tabs) === this.refs) return;
    this.refs = JSON.stringify(told.tabs);
    this.tabs = told.tabs.map((/** @type {[string, string]} */ [name, ref], /** @type {number} */ at) => {
      const id = fresh("tab");
      const tab = h("button.wb-tab", { type: "button", role: "tab", id, "aria-controls": `${id}-panel`, on: { click: () => this.choose(at) } }, name);
      const panel = h("div", { role: "tabpanel", id: `${id}-panel`, "aria-labelledby": id, hidden: true });
      return { tab, panel, ref, below: new Below(this.host, () => {}), seen: false };
    });
    fill(this.list, ...this.tabs.map(({ tab }) => tab));
    fill(this.panels, ...this.tabs.map(({ panel }) => panel));
    this.choose(0);
  }

  /** @param {number} at */
  choose(at) {
    this.at = at;
    this.tabs.forEach(({ tab, panel }, i) => {
      put(tab, "aria-selected", i === at ? "true" : "false");
      put(tab, "tabindex", i === at ? 0 : -1);
      panel.hidden = i !== at;
    });
    const one = this.tabs[at];
    if (one.seen) return;
    one.seen = true;
    one.below.render(one.ref, one.panel);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 });
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const count = this.tabs.length;
    this.choose(((this.at ?? 0) + steps[event.key] + count) % count);
    this.tabs[this.at ?? 0].tab.focus();
  }

  close() {
    for (const { below } of this.tabs) below.close();
    this.link.close();
  }
}

export default {
  /** @param {{model: any, el: HTMLElement, host: any}} given */
  render({ model, el, host }) {
    const view = new Tabs(model, host, el);
    return () => view.close();
  },
};
