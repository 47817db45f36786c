// Token X-ray: a text coloured token by token, its gaps below, and what else could have come.

import { h, put, fill, write, labelled, seconds, count } from "./dom.js";
import { Link } from "./link.js";
import { QUANTITIES, legend, step } from "./scale.js";
import { Strip } from "./strip.js";
import { Tokens } from "./tokens.js";
import { Voice } from "./voice.js";

const CHANNELS = ["thinking", "answer", "think tag"];
const KINDS = /** @type {Record<string, any>} */ ({ uint32: Uint32Array, float32: Float32Array, uint8: Uint8Array });

class Xray {
  /** @param {any} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.known = new Map(); // alternatives of tokens that were looked at
    this.link = new Link(model, (m, buffers) => this.take(m, buffers), (told) => this.show(told));
    this.tokens = new Tokens((token, settled) => this.look(token, settled));
    this.strip = new Strip((token) => this.tokens.choose(token, true));
    this.choice = h("select", { on: { change: () => this.colour() } }, ...QUANTITIES.map(({ name, label }) => h("option", { value: name }, label)));
    this.legend = h("div.wb-legend-place", {});
    this.title = h("h3.wb-arm-name", {});
    this.facts = h("dl.wb-facts", {});
    this.hint = h("p.wb-quiet", {}, "Point at a token, or go from one to the next with the arrow keys: here is what it is, and what else could have come.");
    this.ways = h("div.wb-ways", { hidden: true }, ...this.leave());
    this.alternatives = h("ol.wb-alternatives", { "aria-label": "What else could have come" });
    this.told_token = h("p.wb-status", {});
    this.voice = new Voice(el);
    this.element = h(
      "div.wb-stack",
      { role: "group", "aria-label": "Token X-ray", "data-lm-suppress-shortcuts": "true" },
      h("div.wb-row.wb-xray-head", {}, h("div", {}, h("span.wb-quiet", {}, "Token X-ray"), this.title), labelled("Colour", this.choice), this.legend),
      this.link.place,
      h("div.wb-xray", {}, this.tokens.element, h("aside.wb-detail", { "aria-label": "Token" }, this.hint, this.facts, this.alternatives, this.ways)),
      this.strip.canvas,
      this.told_token,
    );
    el.classList.add("wb-part");
    el.append(this.element);
    el.addEventListener("keydown", (event) => event.stopPropagation());
    this.show(model.get("told"));
    this.link.ask("columns");
  }

  /** Other ways on from the chosen token. */
  leave() {
    const button = (/** @type {string} */ wish, /** @type {string} */ text, /** @type {string} */ title) =>
      h("button.wb-button.wb-small", { type: "button", title, on: { click: () => this.link.ask(wish, { index: this.shown }) } }, text);
    this.shut = button("shut", "End the thinking here", "Branch behind this token: the thinking is closed, and an answer follows");
    this.redraw = button("redraw", "Draw again from here", "Branch at this token: it and all behind it are drawn by other numbers");
    return [this.shut, this.redraw];
  }

  /** @param {any} told */
  show(told) {
    if (typeof told?.text !== "string") return;
    this.told = told;
    write(this.title, told.title);
    this.link.problem(told.problem);
    for (const option of this.choice.options) {
      option.disabled = (option.value === "logprob" && !told.recorded) || (option.value === "entropy" && !told.alternatives);
    }
    write(this.told_token, `${count(told.tokens)} tokens.`);
    // Without a kernel there are no columns: a saved notebook shows the text all the same.
    if (!this.columns) this.tokens.plain(told.text);
  }

  /** @param {any} m @param {DataView[]} buffers */
  take(m, buffers) {
    if (m.k === "columns" && !this.columns) this.fillIn(m.names, buffers);
    else if (m.k === "token") {
      this.known.set(m.index, m.alternatives);
      if (m.index === this.shown) this.others(m.index);
    }
  }

  /** @param {[string, string][]} names @param {DataView[]} buffers */
  fillIn(names, buffers) {
    const columns = /** @type {any} */ ({});
    names.forEach(([name, kind], i) => {
      const { buffer, byteOffset, byteLength } = buffers[i];
      columns[name] = new KINDS[kind](buffer.slice(byteOffset, byteOffset + byteLength));
    });
    this.columns = columns;
    this.tokens.show(this.told.text, columns);
    this.strip.show(columns.gap, columns.channel, this.told.prefill);
    this.colour();
    this.element.dispatchEvent(new CustomEvent("wb-ready", { bubbles: true }));
  }

  colour() {
    const quantity = QUANTITIES.find(({ name }) => name === this.choice.value) ?? QUANTITIES[0];
    const values = /** @type {Float32Array} */ (this.columns?.[quantity.name]);
    if (!values) return;
    const bounds = quantity.bounds(values);
    fill(this.legend, legend(quantity, bounds));
    this.tokens.colour((token) => step(values[token], bounds));
  }

  /** @param {number} token @param {boolean} settled Chosen, not only under the pointer. */
  look(token, settled) {
    if (!this.columns) return;
    this.shown = token;
    const { id, t, gap, logprob, entropy, channel } = this.columns;
    const told = (/** @type {number} */ value, /** @type {(v: number) => string} */ tell) => (Number.isNaN(value) ? "–" : tell(value));
    const facts = [
      ["token", `${token} · id ${id[token]}`],
      ["part", CHANNELS[channel[token]]],
      ["came after", seconds(t[token])],
      ["gap", told(gap[token], seconds)],
      ["probability", told(logprob[token], QUANTITIES[1].tell)],
      ["entropy, at least", told(entropy[token], QUANTITIES[2].tell)],
    ];
    fill(this.facts, h("div.wb-token-text", {}, JSON.stringify(this.tokens.word(token))), ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    this.hint.hidden = true;
    this.ways.hidden = !this.told.branches;
    this.shut.disabled = channel[token] !== 0;
    this.redraw.disabled = !this.told.drawn;
    this.others(token);
    if (!settled) return;
    this.strip.choose(token);
    write(this.told_token, facts.map((fact) => fact.join(" ")).join(", "));
    this.voice.say(`${JSON.stringify(this.tokens.word(token))} ${this.told_token.textContent}`);
  }

  /** @param {number} token */
  others(token) {
    const known = this.known.get(token);
    if (!known) {
      fill(this.alternatives);
      clearTimeout(this.later);
      // Only where somebody stays: a pointer crosses many tokens.
      this.later = setTimeout(() => this.link.ask("token", { index: token }), 60);
      return;
    }
    const own = this.columns.id[token];
    fill(
      this.alternatives,
      ...known.map((/** @type {any} */ one) =>
        h(
          "li",
          { class: one.id === own ? "wb-own" : "" },
          this.share(one),
          h("span.wb-alt-share", {}, QUANTITIES[1].tell(one.logprob)),
          this.told.branches && one.id !== own && this.take_instead(token, one),
        ),
      ),
    );
  }

  /** Its text over a bar as long as its share. @param {any} one */
  share(one) {
    const text = h("span.wb-alt-text", {}, one.text === null ? `id ${one.id}` : JSON.stringify(one.text));
    text.style.setProperty("--wb-share", `${Math.min(100, 100 * Math.exp(one.logprob)).toFixed(2)}%`);
    return text;
  }

  /** @param {number} token @param {any} one The alternative. */
  take_instead(token, one) {
    const name = one.text === null ? `id ${one.id}` : JSON.stringify(one.text);
    const wish = () => this.link.ask("take", { index: token, token: one.id });
    return h("button.wb-button.wb-small", { type: "button", "aria-label": `Branch here with ${name}`, title: `Branch here with ${name}`, on: { click: wish } }, "Branch");
  }

  close() {
    clearTimeout(this.later);
    this.tokens.close();
    this.strip.close();
    this.link.close();
  }
}

export default {
  /** @param {{model: any, el: HTMLElement}} given */
  render({ model, el }) {
    const view = new Xray(model, el);
    return () => view.close();
  },
};
