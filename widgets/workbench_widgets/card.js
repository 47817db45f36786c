// Model card: the models by name, their memory, the one that is loaded, and what this machine lacks.

import { h, put, fill, write, labelled, seconds, count } from "./dom.js";
import { Link } from "./link.js";
import { Voice } from "./voice.js";

const SIGNS = /** @type {Record<string, string>} */ ({ ok: "✓", warn: "!", fail: "✗" });
const gib = (/** @type {number} */ bytes) => (bytes < 2 ** 30 ? `${bytes < 104_858 ? "< 0.1" : count(bytes / 2 ** 20, 1)} MiB` : `${count(bytes / 2 ** 30, 1)} GiB`);

class Card {
  /** @param {any} model @param {HTMLElement} el */
  constructor(model, el) {
    this.link = new Link(model, (m) => this.take(m), (told) => this.show(told));
    this.models = h("div.wb-models", { role: "group", "aria-label": "Models" });
    this.context = h("input", { type: "number", min: 1, step: 1, placeholder: "the model's" });
    this.batch = h("input", { type: "number", min: 1, step: 1, value: 1 });
    this.cache = h("select", {});
    for (const field of [this.context, this.batch, this.cache]) field.addEventListener("change", () => this.choose(this.told.chosen.model));
    this.loadButton = h("button.wb-button.wb-primary", { type: "button", on: { click: () => this.link.ask("load") } }, "Load");
    this.unloadButton = h("button.wb-button", { type: "button", on: { click: () => this.link.ask("unload") } }, "Unload");
    this.bar = h("progress.wb-whole", { "aria-label": "Loading", hidden: true });
    this.status = h("p.wb-status", {});
    this.voice = new Voice(el);
    this.loaded = h("div.wb-box", {});
    this.fit = h("div.wb-box", {});
    this.doctor = h("div.wb-box", {});
    this.element = h(
      "div.wb-stack",
      { role: "group", "aria-label": "Model card", "data-lm-suppress-shortcuts": "true" },
      this.models,
      h("div.wb-row", {}, labelled("Context, tokens", this.context, "wb-long"), labelled("Requests at once", this.batch, "wb-long"), labelled("Cache", this.cache, "wb-short"), this.loadButton, this.unloadButton, this.status),
      this.link.place,
      this.bar,
      h("div.wb-two", {}, h("div.wb-stack", {}, this.loaded, this.doctor), this.fit),
    );
    el.classList.add("wb-part");
    el.append(this.element);
    el.addEventListener("keydown", (event) => event.stopPropagation());
    el.addEventListener("wb-silence", () => this.busy(false, "No answer from the kernel."));
    this.show(model.get("told"));
    this.link.ask("pull");
    this.link.ask("doctor");
  }

  /** @param {string} model */
  choose(model) {
    this.link.ask("choose", { model, context: this.context.value, batch: this.batch.value, cache: this.cache.value });
  }

  /** @param {any} m */
  take(m) {
    if (m.k !== "loading") return;
    const [read, all, what] = m.read;
    put(this.bar, "max", all || null);
    put(this.bar, "value", all ? read : null);
    const doing = what === "objects" ? "Building ExLlamaV2's extension, which is kept" : `Loading ${this.told.chosen.model}`;
    this.busy(true, `${doing}: ${seconds(m.seconds)}${all ? `, ${read} of ${all} ${what}` : ""}`);
  }

  /** @param {boolean} loading @param {string} words */
  busy(loading, words) {
    this.link.live = loading;
    this.loadButton.disabled = loading;
    this.unloadButton.disabled = loading || !this.told.loaded;
    this.bar.hidden = !loading;
    write(this.status, words);
    this.voice.say(words, loading);
  }

  /** @param {any} told */
  show(told) {
    if (!told?.models) return;
    this.told = told;
    const { model, context, cache, batch } = told.chosen;
    fill(this.models, ...told.models.map((/** @type {any} */ one) => this.choice(one, one.name === model)));
    fill(this.cache, ...told.caches.map((/** @type {string} */ name) => h("option", { value: name, selected: name === cache }, name)));
    this.context.value = context ?? "";
    this.batch.value = batch;
    this.link.problem(told.problem);
    this.busy(told.loading, told.loading ? `Loading ${model} …` : told.loaded ? `${told.loaded.model} is loaded.` : "Nothing is loaded.");
    this.about(told.loaded);
    this.memory(told.fit);
    this.examined(told.checks);
  }

  /** @param {any} one @param {boolean} chosen */
  choice(one, chosen) {
    const where = one.here ? "on this machine" : `not here: workbench models get ${one.name}`;
    const facts = [one.licence, one.context && `${count(one.context)} tokens`, where].filter(Boolean).join(" · ");
    return h("button.wb-model-choice", { type: "button", "aria-pressed": chosen ? "true" : "false", on: { click: () => this.choose(one.name) } }, h("strong", {}, one.name), one.summary, h("small", {}, facts));
  }

  /** @param {any} loaded */
  about(loaded) {
    const rows = loaded ? Object.entries(loaded).filter(([, value]) => value !== null && value !== false) : [];
    const table = h("table.wb-list", {}, ...rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, typeof value === "number" ? count(value) : value === true ? "yes" : String(value)))));
    fill(this.loaded, h("h3", {}, "Loaded"), loaded ? table : h("p.wb-quiet", {}, "Nothing. The first request loads what it asks for."));
  }

  /** @param {any} fit */
  memory(fit) {
    if (fit.problem) {
      fill(this.fit, h("h3", {}, "Memory"), h("p", {}, fit.problem));
      return;
    }
    const parts = fit.parts.map((/** @type {any} */ [name, size]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, gib(size))));
    const cards = fit.cards.map((/** @type {any} */ card) =>
      h("tr", { class: card.own ? "wb-own" : "" }, h("th", { scope: "row" }, `${card.name}${card.own ? ", here" : ""}`), h("td", {}, gib(card.memory)), h("td", { class: card.fits ? "" : "wb-lacks" }, card.fits ? "✓ fits" : "✗ does not fit"), h("td", {}, card.largest ? `to ${count(card.largest)} tokens` : "not at all")),
    );
    const head = h("tr", {}, ...["GPU", "memory", "", "context that fits"].map((name) => h("th", { scope: "col" }, name)));
    const none = fit.cards.some((/** @type {any} */ card) => card.own) ? null : h("p.wb-quiet", {}, "This machine shows no GPU: the embedded model runs on the CPU.");
    fill(this.fit, h("h3", {}, `Memory on a GPU: ${fit.of}, ${count(fit.context)} tokens`), h("table.wb-list", {}, ...parts, h("tr.wb-own", {}, h("th", { scope: "row" }, "in all"), h("td", {}, gib(fit.total)))), none, h("table.wb-list", {}, head, ...cards));
  }

  /** @param {any[] | null} checks */
  examined(checks) {
    const found = (checks ?? []).filter((one) => one.status !== "ok");
    const rows = found.map((one) => h("tr", {}, h("td", {}, SIGNS[one.status]), h("th", { scope: "row" }, one.name), h("td", {}, one.found, one.remedy && h("div.wb-quiet", {}, one.remedy))));
    const all = checks && !found.length ? h("p", {}, `✓ Nothing is missing here: ${checks.length === 1 ? "1 check" : `${checks.length} checks`} passed.`) : null;
    fill(this.doctor, h("h3", {}, "Doctor"), checks ? null : h("p.wb-quiet", {}, "Looking at this machine …"), all, rows.length ? h("table.wb-list", {}, ...rows) : null);
  }

  close() {
    this.link.close();
  }
}

export default {
  /** @param {{model: any, el: HTMLElement}} given */
  render({ model, el }) {
    const view = new Card(model, el);
    return () => view.close();
  },
};
