// Compare: a form, and two or three arms side by side.

import { h, put, fill, write, labelled, fresh } from "./dom.js";
import { Below } from "./below.js";
import { Link } from "./link.js";
import { Pane } from "./pane.js";

const FIELDS = [
  ["temperature", "Temperature", "0.1"],
  ["top_p", "Top-p", "0.05"],
  ["max_tokens", "Max tokens", "1"],
  ["thinking_tokens", "Thinking budget", "1"],
];
const MODES = ["on", "off", "off_prefilled"];
const MOST = 3;

class Compare {
  /** @param {any} model @param {any} host @param {HTMLElement} el */
  constructor(model, host, el) {
    this.model = model;
    this.panes = /** @type {Pane[]} */ ([]);
    this.forms = /** @type {any[]} */ ([]);
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
    this.stopButton = h("button.wb-button", { type: "button", disabled: true, on: { click: () => this.link.ask("stop") } }, "Stop");
    this.addButton = h("button.wb-button", { type: "button", on: { click: () => this.add() } }, "Add an arm");
    this.history = h("select", { on: { focus: () => this.link.ask("history"), change: () => this.open() } }, h("option", { value: "" }, "stored runs …"));
    this.problems = h("select", { on: { change: () => this.open() } });
    this.problemField = labelled("Problem", this.problems);
    this.status = h("p.wb-status", { role: "status", "aria-live": "polite" });
    this.arms = h("div.wb-arm-forms", {});
    this.grid = h("div.wb-arms", {});
    const once = labelled("All arms at once", this.together, "wb-check");
    put(once, "title", "Otherwise one after the other, so that no arm slows another");
    this.element = h(
      "div.wb-stack",
      { role: "group", "aria-label": "Compare" },
      labelled("Prompt", this.prompt),
      h("div.wb-row", {}, labelled("Right answer", this.expected), labelled("Seed", this.seed, "wb-short"), once,
        this.runButton, this.stopButton, this.addButton, labelled("History", this.history, "wb-history"), this.problemField),
      this.arms,
      this.link.place,
      this.status,
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
      arms: this.forms.map((fields) =>
        Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value])),
      ),
    };
  }

  /** @param {any} form */
  fillIn(form) {
    this.prompt.value = form.prompt;
    this.expected.value = form.expected;
    this.seed.value = form.seed;
    this.together.checked = form.together;
    this.forms = [];
    fill(this.arms);
    for (const arm of form.arms) this.addForm(arm);
  }

  /** @param {any} arm */
  addForm(arm) {
    const mode = h("select", { on: { change: () => this.hint() } }, ...MODES.map((name) => h("option", { value: name, selected: name === arm.mode }, name)));
    const model = h("input", { type: "text", value: arm.model ?? "", placeholder: this.told?.model ?? "", autocomplete: "off" });
    const fields = /** @type {any} */ ({ mode, model });
    for (const [name, , step] of FIELDS) {
      fields[name] = h("input", { type: "number", min: 0, step, value: arm[name] ?? "" });
    }
    const heading = fresh("arm");
    const index = this.forms.push(fields);
    const row = h(
      "fieldset.wb-arm-form",
      { "aria-labelledby": heading },
      h("span.wb-quiet", { id: heading }, `Arm ${index}`),
      labelled("Reasoning", mode),
      labelled("Model", model, "wb-model"),
      ...FIELDS.map(([name, label]) => labelled(label, fields[name], "wb-short")),
      h("button.wb-button.wb-small", { type: "button", title: "The model card's sampling for this mode", on: { click: () => this.recommend(fields) } }, "Recommended"),
      h("button.wb-button.wb-small", { type: "button", title: "Take this arm away", "aria-label": `Take arm ${index} away`, on: { click: () => this.remove(fields) } }, "×"),
    );
    this.arms.append(row);
    this.hint();
  }

  /** Empty fields say what they will be. */
  hint() {
    for (const fields of this.forms) {
      const preset = this.told?.presets?.[fields.mode.value] ?? {};
      put(fields.temperature, "placeholder", preset.temperature ?? "");
      put(fields.top_p, "placeholder", preset.top_p ?? "");
      put(fields.max_tokens, "placeholder", "what fits");
      put(fields.thinking_tokens, "placeholder", "none");
    }
    this.addButton.disabled = this.forms.length >= MOST;
  }

  /** @param {any} fields */
  recommend(fields) {
    const preset = this.told.presets[fields.mode.value];
    fields.temperature.value = preset.temperature;
    fields.top_p.value = preset.top_p;
  }

  add() {
    const taken = this.forms.map((fields) => fields.mode.value);
    this.addForm({ mode: MODES.find((mode) => !taken.includes(mode)) ?? "on" });
  }

  /** @param {any} gone */
  remove(gone) {
    const form = this.form();
    if (form.arms.length < 2) return;
    form.arms.splice(this.forms.indexOf(gone), 1);
    this.fillIn(form);
  }

  run() {
    this.busy(true, "Asking …");
    this.link.ask("run", { form: this.form() });
  }

  open() {
    const run = this.history.value || this.told.opened?.run;
    if (run) this.link.ask("open", { run, problem: this.history.value ? null : this.problems.value });
    this.history.value = "";
  }

  // --- what is told ---------------------------------------------------------------------------

  /** @param {any} m */
  take(m) {
    if (m.k === "arms") this.grown(m);
    else if (m.k === "below") this.below.show(m.below);
    else if (m.k === "history") this.list(m.runs);
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
    const anew = first || !before || JSON.stringify(before.form) !== JSON.stringify(told.form);
    // What somebody is typing is not overwritten.
    if (anew && (first || !before || told.status !== before.status || told.run !== before.run)) this.fillIn(told.form);
    const running = told.status === "opening" || told.status === "running";
    while (this.panes.length > told.arms.length) this.panes.pop()?.element.remove();
    while (this.panes.length < told.arms.length) this.addPane(this.panes.length);
    told.arms.forEach((/** @type {any} */ arm, /** @type {number} */ i) => this.panes[i].show(arm, told.marks[i] ?? [], running && !arm.end));
    this.link.problem(told.problem);
    this.busy(running, this.words(told));
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
  }

  /** @param {any} told */
  choices(told) {
    const known = told.opened?.problems ?? [];
    this.problemField.hidden = known.length < 2;
    fill(this.problems, ...known.map((/** @type {string} */ id) => h("option", { value: id, selected: id === told.opened.problem }, id)));
  }

  /** @param {any[]} runs */
  list(runs) {
    fill(
      this.history,
      h("option", { value: "" }, runs.length ? "stored runs …" : "no stored runs yet"),
      ...runs.map((run) => h("option", { value: run.id }, `${run.id} · ${run.title}`)),
    );
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
