// Sweep grid: cells that fill in, their generations, and a brake.

import { h, put, fill, write, labelled, seconds, count } from "./dom.js";
import { Below } from "./below.js";
import { Link } from "./link.js";
import { Past } from "./past.js";
import { step } from "./scale.js";
import { Voice } from "./voice.js";

const SWEEP_FIELDS = [
  ["suite", "Suite or file", "arithmetic"],
  ["problems", "Problems", "all"],
  ["modes", "Reasoning", "on, off, off_prefilled"],
  ["temperature", "Temperatures", "as recommended"],
  ["top_p", "Top-p", "as recommended"],
  ["thinking_tokens", "Thinking budgets", "none"],
  ["samples", "Samples", "1"],
  ["seed", "Seed", "0"],
];
const MEASURES = ["accuracy", "tokens", "seconds"];
const LIVE = ["opening", "running", "paused"];

const share = (/** @type {any} */ found) => (found ? `${(100 * found[0]).toFixed(0)} %` : "–");

class Sweep {
  /** @param {any} model @param {any} host @param {HTMLElement} el */
  constructor(model, host, el) {
    this.voice = new Voice(el);
    this.cells = /** @type {any[]} */ ([]);
    this.tiles = /** @type {any[]} */ ([]);
    this.open = -1;
    this.link = new Link(model, (m) => this.take(m), (told) => this.show(told));
    this.below = new Below(host, () => this.link.ask("close"));
    this.build();
    el.classList.add("wb-part");
    el.append(this.element);
    el.addEventListener("keydown", (event) => event.stopPropagation());
    el.addEventListener("wb-silence", () => this.silent());
    this.show(model.get("told"));
    this.link.ask("pull");
  }

  build() {
    const fields = /** @type {any} */ ({});
    for (const [name, , placeholder] of SWEEP_FIELDS) fields[name] = h("input", { type: "text", placeholder, autocomplete: "off", spellcheck: "false" });
    this.fields = fields;
    const button = (/** @type {string} */ text, /** @type {() => void} */ click, kind = "") => h(`button.wb-button${kind}`, { type: "button", on: { click } }, text);
    this.planButton = button("Plan", () => this.link.ask("plan", { form: this.form() }));
    this.startButton = button("Start", () => this.link.ask("start"), ".wb-primary");
    this.pauseButton = button("Pause", () => this.link.ask(this.told?.status === "paused" ? "go_on" : "pause"));
    this.stopButton = button("Stop", () => this.link.ask("stop"));
    this.colour = h("select", { on: { change: () => this.paint() } }, ...MEASURES.map((name) => h("option", { value: name }, name)));
    this.past = new Past(this.link, (run) => this.link.ask("stored", { run }));
    const row = h("div.wb-row.wb-sweep-form", {}, ...SWEEP_FIELDS.map(([name, label]) => labelled(label, fields[name])), this.planButton);
    this.fold = h("details.wb-fold", {}, h("summary", {}, "A new plan"), row);
    this.title = h("p.wb-quiet", {});
    this.status = h("p.wb-status", {});
    this.whole = h("progress.wb-whole", { "aria-label": "Generations that have ended", value: 0, max: 1 });
    this.grid = h("div.wb-scroll", {});
    this.members = h("div", {});
    this.element = h(
      "div.wb-stack",
      { role: "group", "aria-label": "Sweep", "data-lm-suppress-shortcuts": "true" },
      this.fold,
      h("div.wb-row", {}, this.startButton, this.pauseButton, this.stopButton, labelled("Colour by", this.colour), this.past.field),
      this.link.place,
      this.title,
      this.status,
      this.whole,
      this.grid,
      this.members,
      this.below.element,
    );
  }

  form() {
    return Object.fromEntries(Object.entries(this.fields).map(([name, field]) => [name, field.value]));
  }

  /** @param {any} m */
  take(m) {
    if (m.k === "cells") this.changed(m);
    else if (m.k === "cell") this.list(m);
    else if (m.k === "history") this.past?.show(m);
  }

  /** @param {any} m */
  changed(m) {
    if (m.d.some((/** @type {any} */ [index]) => index >= this.tiles.length)) {
      this.link.pull();
      return;
    }
    this.told = { ...this.told, status: m.status, run: m.run };
    for (const [index, cell] of m.d) {
      this.cells[index] = cell;
      this.tile(index);
    }
    this.busy();
    this.paint();
    if (m.d.some((/** @type {any} */ [index]) => index === this.open)) this.link.ask("cell", { cell: this.open });
  }

  /** @param {any} told */
  show(told) {
    if (!told?.form) return;
    const fresh = JSON.stringify(told.form) !== JSON.stringify(this.told?.form);
    const places = JSON.stringify(told.cells.map((/** @type {any} */ cell) => cell.place));
    this.told = told;
    this.cells = [...told.cells];
    if (fresh) this.fold.open = !told.title;
    if (fresh) for (const [name, field] of Object.entries(this.fields)) field.value = told.form[name];
    if (places !== this.places) this.lay(places);
    this.cells.forEach((_, index) => this.tile(index));
    write(this.title, told.title ? `${told.title}. Expected: ${told.cost}.` : "");
    this.link.problem(told.problem);
    this.busy();
    this.paint();
    this.below.show(told.below);
  }

  /** Rows and columns anew: the last axis that varies goes across. @param {string} places */
  lay(places) {
    this.places = places;
    this.open = -1;
    fill(this.members);
    const axes = this.cells.length ? this.cells[0].place.map((/** @type {any} */ [axis]) => axis) : [];
    const varying = axes.filter((/** @type {string} */ _, /** @type {number} */ i) => new Set(this.cells.map((cell) => cell.place[i][1])).size > 1);
    const across = varying.length > 1 ? varying[varying.length - 1] : null;
    const value = (/** @type {any} */ cell, /** @type {string} */ axis) => cell.place.find((/** @type {any} */ [name]) => name === axis)[1];
    const columns = across ? [...new Set(this.cells.map((cell) => value(cell, across)))] : [""];
    const down = varying.filter((/** @type {string} */ axis) => axis !== across);
    const rows = new Map();
    this.tiles = this.cells.map((cell, index) => {
      const tile = this.begin(index);
      const key = down.map((/** @type {string} */ axis) => `${axis} ${value(cell, axis)}`).join(" · ") || "all";
      if (!rows.has(key)) rows.set(key, new Map());
      rows.get(key).set(across ? value(cell, across) : "", tile);
      return tile;
    });
    const head = h("tr", {}, h("td", {}), ...columns.map((column) => h("th", { scope: "col" }, across ? `${across} ${column}` : "")));
    const body = [...rows].map(([key, row]) => h("tr", {}, h("th", { scope: "row" }, key), ...columns.map((column) => h("td", {}, row.get(column)?.element))));
    fill(this.grid, this.cells.length ? h("table.wb-grid", {}, h("thead", {}, head), h("tbody", {}, ...body)) : null);
  }

  /** A tile without figures. @param {number} index */
  begin(index) {
    const parts = { value: h("strong", {}), tokens: h("small", {}), odd: h("small", {}), bar: h("progress", { value: 0, max: 1 }), done: h("small", {}) };
    const look = () => this.look(index);
    const element = h("button.wb-tile", { type: "button", "aria-pressed": "false", on: { click: look } }, parts.value, parts.tokens, parts.odd, parts.bar, parts.done);
    return { element, ...parts };
  }

  /** @param {number} index */
  tile(index) {
    const tile = this.tiles[index];
    const cell = this.cells[index];
    write(tile.value, share(cell.accuracy));
    write(tile.tokens, `${count(cell.tokens?.[0])} tokens · ${seconds(cell.seconds?.[0])}`);
    const odd = [cell.truncated && `${cell.truncated} truncated`, cell.incomplete && `${cell.incomplete} unclosed`, cell.failed && `${cell.failed} failed`];
    write(tile.odd, odd.filter(Boolean).join(" · ") || "\u00a0");
    put(tile.bar, "max", cell.planned);
    put(tile.bar, "value", cell.ended);
    put(tile.bar, "data-done", cell.ended >= cell.planned ? "yes" : null);
    write(tile.done, `${cell.ended} of ${cell.planned}${cell.running ? ` · ${cell.running} running` : ""}`);
    const place = cell.place.map((/** @type {any} */ [axis, value]) => `${axis} ${value}`).join(", ");
    put(tile.element, "aria-label", `${place}: accuracy ${share(cell.accuracy)}, ${count(cell.tokens?.[0])} tokens, ${cell.ended} of ${cell.planned} ended. Show its generations`);
    const [low, high] = [cell.accuracy?.[1], cell.accuracy?.[2]];
    put(tile.element, "title", low === null || low === undefined ? place : `${place}\naccuracy 95 % interval ${(100 * low).toFixed(0)}–${(100 * high).toFixed(0)} %`);
  }

  /** Colours by the chosen measure: of the whole range for shares, of what there is for others. */
  paint() {
    const name = this.colour.value;
    const known = this.cells.map((cell) => cell[name]?.[0]).filter((value) => typeof value === "number");
    const [low, high] = name === "accuracy" ? [0, 1] : [Math.min(...known), Math.max(...known)];
    const bounds = [1, 2, 3, 4, 5, 6].map((i) => low + ((high - low) * i) / 7);
    this.tiles.forEach((tile, index) => {
      const value = this.cells[index][name]?.[0];
      const at = typeof value === "number" && known.length ? step(value, bounds) : -1;
      tile.element.className = `wb-tile${at < 0 ? "" : ` wb-s${at}`}`;
    });
  }

  busy() {
    const { status, run } = this.told;
    const live = LIVE.includes(status);
    const ended = this.cells.reduce((sum, cell) => sum + cell.ended, 0);
    const planned = this.cells.reduce((sum, cell) => sum + cell.planned, 0);
    this.link.live = live;
    this.planButton.disabled = live;
    this.startButton.disabled = live || !this.cells.length || status === "done";
    this.pauseButton.disabled = !live;
    this.stopButton.disabled = !live;
    write(this.startButton, status === "stopped" ? "Go on" : "Start");
    write(this.pauseButton, status === "paused" ? "Go on" : "Pause");
    put(this.whole, "max", planned || 1);
    put(this.whole, "value", ended);
    const words = /** @type {any} */ ({ idle: "", opening: `Loading ${this.told.model} …`, running: "Running.", paused: "Paused: what runs goes on to its end.", stopped: `Stopped, kept as run ${run}.`, done: `Finished, kept as run ${run}.` });
    const known = this.cells.length > 0;
    const told = known ? `${words[status] ?? status} ${count(ended)} of ${count(planned)} generations.` : "There is no plan yet: fill in the fields above and press Plan, or open a stored run.";
    this.whole.hidden = this.title.hidden = !known;
    this.planButton.className = `wb-button${known ? "" : " wb-primary"}`;
    write(this.status, told);
    if (known) this.voice.say(told, status === "running");
  }

  /** The kernel does not answer: nothing here goes on. */
  silent() {
    this.link.live = false;
    this.pauseButton.disabled = this.stopButton.disabled = true;
    write(this.status, "No answer from the kernel.");
  }

  /** @param {number} index */
  look(index) {
    this.open = this.open === index ? -1 : index;
    this.tiles.forEach((tile, i) => put(tile.element, "aria-pressed", i === this.open ? "true" : "false"));
    if (this.open < 0) fill(this.members);
    else this.link.ask("cell", { cell: index });
  }

  /** The generations of a cell. @param {any} m */
  list(m) {
    if (m.cell !== this.open) return;
    const heads = ["problem", "sample", "right", "read as", "tokens", "seconds", "end", ""];
    const rows = m.rows.map((/** @type {any} */ row) => {
      const right = row.score === null ? "–" : row.score > 0.5 ? "✓" : "✗";
      const look = h("button.wb-button.wb-small", { type: "button", "aria-label": `Open ${row.problem}, sample ${row.sample}`, on: { click: () => this.link.ask("open", { index: row.index }) } }, "Open");
      const texts = [row.problem, row.sample, right, row.read ?? "–", count(row.tokens), seconds(row.seconds), row.end];
      return h("tr", {}, ...texts.map((text) => h("td", {}, text)), h("td", {}, look));
    });
    const table = h("table.wb-list", {}, h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows));
    const empty = h("p.wb-status", {}, "None of its generations has ended yet.");
    fill(this.members, h("div.wb-members", { tabindex: 0, role: "region", "aria-label": "Generations of this cell" }, rows.length ? table : empty));
  }

  close() {
    this.below.close();
    this.link.close();
  }
}

export default {
  /** @param {{model: any, el: HTMLElement, host: any}} given */
  render({ model, el, host }) {
    const view = new Sweep(model, host, el);
    return () => view.close();
  },
};
