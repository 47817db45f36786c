// Compare: a form, and two or three arms side by side.

import { h, put, fill, write, labelled } from "./dom.js";
import { Arms } from "./arms.js";
import { Below } from "./below.js";
import { Link } from "./link.js";
import { Pane } from "./pane.js";
import { Past } from "./past.js";
import { Voice } from "./voice.js";

class Compare {
  /** @param {any} model @param {any} host @param {HTMLElement} el */
  constructor(model, host, el) {
    this.model = model;
    this.panes = /** @type {Pane[]} */ ([]);
    this.place = ""; // in a stored run, as JSON
    this.voice = new Voice(el);
    this.below = new Below(host, () => this.link.ask("close_xray"));
    this.link = new Link(model, (m) => this.take(m), (told) => this.show(told));
    this.build();
    el.classList.add("wb-part");
    el.append(this.element);
    // Keys of a form are the form's: JupyterLab's shortcuts would act on the notebook.
    el.addEventListener("keydown", (event) => this.key(event));
    el.addEventListener("wb-silence", () => this.busy(false, "No answer from the kernel."));
    put(this.element, "data-lm-suppress-shortcuts", "true");
    this.show(model.get("told"), true);
    this.link.ask("pull");
  }

  build() {
    this.prompt = h("textarea", { rows: 2, placeholder: "Ask something", spellcheck: "false" });
    this.expected = h("input", { type: "text", placeholder: "if it is known", autocomplete: "off" });
    this.seed = h("input", { type: "number", min: 0, step: 1, value: 0 });
    this.together = h("input", { type: "checkbox", checked: true });
    this.runButton = h("button.wb-button.wb-primary", { type: "button", title: "Ctrl+Enter", on: { click: () => this.run() } }, "Run");
    this.stopButton = h("button.wb-button", { type: "button", title: "Escape", disabled: true, on: { click: () => this.link.ask("stop") } }, "Stop");
    this.arms = new Arms(() => (this.addButton.disabled = this.arms.full));
    this.addButton = h("button.wb-button", { type: "button", on: { click: () => this.arms.add() } }, "Add an arm");
    this.past = new Past(this.link, (run) => this.link.ask("open", { run }));
    this.places = h("div.wb-row", { hidden: true });
    this.status = h("p.wb-status", {});
    this.grid = h("div.wb-arms", {});
    const once = labelled("All arms at once", this.together, "wb-check");
    put(once, "title", "Otherwise one after the other, so that no arm slows another");
    this.element = h(
      "div.wb-stack",
      { role: "group", "aria-label": "Compare" },
      labelled("Prompt", this.prompt),
      h("div.wb-row", {}, labelled("Right answer", this.expected), labelled("Seed", this.seed, "wb-short"), once, this.addButton, this.past.field),
      this.arms.element,
      h("div.wb-row.wb-bar", {}, this.runButton, this.stopButton, this.status),
      this.link.place,
      this.places,
      this.grid,
      this.below.element,
    );
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    event.stopPropagation();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.runButton.disabled) {
      event.preventDefault();
      this.run();
    }
    if (event.key === "Escape" && !this.stopButton.disabled) this.link.ask("stop");
  }

  // --- the form -------------------------------------------------------------------------------

  /** What the fields say. */
  form() {
    return {
      prompt: this.prompt.value,
      expected: this.expected.value,
      seed: this.seed.value,
      together: this.together.checked,
      arms: this.arms.values(),
    };
  }

  /** @param {any} form */
  fillIn(form) {
    this.prompt.value = form.prompt;
    this.expected.value = form.expected;
    this.seed.value = form.seed;
    this.together.checked = form.together;
    this.arms.fillIn(form.arms);
  }

  run() {
    this.busy(true, "Asking …");
    this.link.ask("run", { form: this.form() });
  }

  // --- what is told ---------------------------------------------------------------------------

  /** @param {any} m */
  take(m) {
    if (m.k === "arms") this.grown(m);
    else if (m.k === "below") this.below.show(m.below);
    else if (m.k === "history") this.past?.show(m);
    else if (m.k === "rendered") this.panes[m.arm]?.render(m);
  }

  /** @param {any} m */
  grown(m) {
    const joined = m.d.map((/** @type {[number, any]} */ [place, delta]) => this.panes[place]?.add(delta) ?? false);
    if (joined.includes(false)) this.link.pull();
    this.busy(true, "Answering …");
  }

  /** @param {any} told @param {boolean} [first] */
  show(told, first = false) {
    if (!told?.form) return;
    const before = this.told;
    this.told = told;
    this.arms.told = told;
    const anew = first || !before || JSON.stringify(before.form) !== JSON.stringify(told.form);
    // What somebody is typing is not overwritten.
    if (anew && (first || !before || told.status !== before.status || told.run !== before.run)) this.fillIn(told.form);
    else this.arms.hint();
    const running = told.status === "opening" || told.status === "running";
    while (this.panes.length > told.arms.length) this.panes.pop()?.element.remove();
    while (this.panes.length < told.arms.length) this.addPane(this.panes.length);
    told.arms.forEach((/** @type {any} */ arm, /** @type {number} */ i) => this.panes[i].show(arm, told.marks[i] ?? [], running && !arm.end));
    this.link.problem(told.problem);
    this.busy(running, this.words(told));
    if (!running && told.arms.length) this.voice.say([this.words(told), ...this.panes.map((pane) => pane.words())].join(" "));
    this.choices(told);
    this.below.show(told.below);
  }

  /** @param {number} place */
  addPane(place) {
    const pane = new Pane({
      again: () => this.link.ask("again", { form: this.form(), arm: place }),
      xray: () => this.link.ask("xray", { arm: place }),
      drop: () => this.link.ask("drop", { arm: place }),
      rendered: () => (pane.rendered.hidden ? this.link.ask("rendered", { arm: place }) : pane.raw()),
    });
    this.panes.push(pane);
    this.grid.append(pane.element);
  }

  /** @param {any} told */
  words(told) {
    if (told.status === "opening") return `Loading ${told.model} …`;
    if (told.status === "running") return "Answering …";
    if (told.status === "done" && told.run) return `Kept as run ${told.run}.`;
    return "";
  }

  /** @param {boolean} running @param {string} words */
  busy(running, words) {
    this.link.live = running;
    this.runButton.disabled = running;
    this.stopButton.disabled = !running;
    put(this.grid, "aria-busy", running ? "true" : "false");
    write(this.status, words);
    if (running) this.voice.say(words, true);
  }

  /** Where in a stored run it is: its problem, its sample, which of its arms. @param {any} told */
  choices(told) {
    const shown = /** @type {any} */ (told).opened;
    const key = JSON.stringify(shown ?? null);
    if (key === this.place) return;
    this.place = key;
    /** @type {(label: string, name: string, values: [any, string][]) => any} */
    const choice = (label, name, values) =>
      values.length > 1 &&
      labelled(label, h("select", { on: { change: (/** @type {any} */ event) => this.go({ [name]: values[event.target.selectedIndex][0] }) } }, ...values.map(([value, text]) => h("option", { selected: value === shown[name] }, text))));
    const starts = Array.from({ length: Math.ceil((shown?.arms ?? 0) / 3) }, (_, i) => 3 * i);
    const found = shown
      ? [
          choice("Problem", "problem", shown.problems.map((/** @type {string} */ id) => [id, id])),
          choice("Sample", "sample", shown.samples.map((/** @type {number} */ n) => [n, String(n + 1)])),
          choice("Arms", "first", starts.map((from) => [from, `${from + 1}–${Math.min(from + 3, shown.arms)} of ${shown.arms}`])),
        ].filter(Boolean)
      : [];
    this.places.hidden = !found.length;
    fill(this.places, ...found);
  }

  /** @param {object} change */
  go(change) {
    const { run, problem, sample, first } = this.told.opened;
    this.link.ask("open", { run, problem, sample, first, ...change });
  }

  close() {
    this.below.close();
    this.link.close();
  }
}

export default {
  /** @param {{model: any, el: HTMLElement, host: any}} given */
  render({ model, el, host }) {
    const view = new Compare(model, host, el);
    return () => view.close();
  },
};
