// The form of the arms: a row each, with the model card's sampling one click away.

import { h, put, fill, labelled, fresh } from "./dom.js";

const NUMBERS = [
  ["temperature", "Temperature", "0.1"],
  ["top_p", "Top-p", "0.05"],
  ["top_k", "Top-k", "1"],
  ["min_p", "Min-p", "0.01"],
  ["max_tokens", "Max tokens", "1"],
  ["thinking_tokens", "Thinking budget", "1"],
];
const MODES = ["on", "off", "off_prefilled"];
const MOST = 3;

/** Rows of fields; what they say is `values()`. */
export class Arms {
  /** @param {() => void} changed Called when an arm has come or gone. */
  constructor(changed) {
    this.changed = changed;
    this.rows = /** @type {any[]} */ ([]);
    this.told = /** @type {any} */ ({});
    this.element = h("div.wb-arm-forms", {});
  }

  get full() {
    return this.rows.length >= MOST;
  }

  /** What the fields say. */
  values() {
    return this.rows.map((fields) => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value])));
  }

  /** @param {any[]} arms */
  fillIn(arms) {
    this.rows = [];
    fill(this.element);
    for (const arm of arms) this.row(arm);
    this.changed();
  }

  /** Another arm, in a mode that is not there yet. */
  add() {
    const taken = this.rows.map((fields) => fields.mode.value);
    this.row({ mode: MODES.find((mode) => !taken.includes(mode)) ?? "on" });
    this.changed();
  }

  /** @param {any} arm */
  row(arm) {
    const choice = (/** @type {string[]} */ names, /** @type {string} */ chosen) => h("select", { on: { change: () => this.hint() } }, ...names.map((name) => h("option", { value: name, selected: name === chosen }, name)));
    const text = (/** @type {string} */ name) => h("input", { type: "text", value: arm[name] ?? "", autocomplete: "off", spellcheck: "false" });
    const fields = /** @type {any} */ ({ mode: choice(MODES, arm.mode), kind: choice(this.told.kinds ?? [], arm.kind || this.told.kinds?.[0]), endpoint: text("endpoint"), model: text("model") });
    put(fields.endpoint, "placeholder", "http://localhost:8000/v1");
    const endpoint = labelled("Endpoint", fields.endpoint, "wb-endpoint");
    for (const [name, , step] of NUMBERS) fields[name] = h("input", { type: "number", min: 0, step, value: arm[name] ?? "" });
    const heading = fresh("arm");
    const index = this.rows.push(fields);
    const row = h(
      "fieldset.wb-arm-form",
      { "aria-labelledby": heading },
      h("span.wb-arm-number", { id: heading }, `Arm ${index}`),
      labelled("Reasoning", fields.mode),
      labelled("Engine", fields.kind),
      endpoint,
      labelled("Model", fields.model, "wb-model"),
      ...NUMBERS.map(([name, label]) => labelled(label, fields[name], name === "thinking_tokens" ? "wb-middle" : "wb-short")),
      h(
        "div.wb-arm-tools",
        {},
        h("button.wb-button.wb-small", { type: "button", title: "The model card's sampling for this mode", on: { click: () => this.recommend(fields) } }, "Recommended"),
        h("button.wb-button.wb-small", { type: "button", title: "Take this arm away", "aria-label": `Take arm ${index} away`, on: { click: () => this.remove(fields) } }, "×"),
      ),
    );
    fields.kind.addEventListener("change", () => (endpoint.hidden = fields.kind.value !== "remote"));
    endpoint.hidden = fields.kind.value !== "remote";
    this.element.append(row);
    this.hint();
  }

  /** Empty fields say what they will be. */
  hint() {
    for (const fields of this.rows) {
      const preset = this.told.presets?.[fields.mode.value] ?? {};
      const words = { ...preset, top_k: "off", min_p: "off", max_tokens: "no cap", thinking_tokens: "none" };
      for (const [name] of NUMBERS) put(fields[name], "placeholder", words[name] ?? "");
      put(fields.model, "placeholder", fields.kind.value === "remote" ? "the endpoint's" : this.told.model);
    }
  }

  /** @param {any} fields */
  recommend(fields) {
    const preset = this.told.presets[fields.mode.value];
    for (const name of ["temperature", "top_p", "top_k", "min_p"]) fields[name].value = preset[name] ?? "";
  }

  /** @param {any} gone */
  remove(gone) {
    const left = this.values();
    if (left.length < 2) return;
    left.splice(this.rows.indexOf(gone), 1);
    this.fillIn(left);
  }
}
