// One arm: its thinking folded or open, its answer, its figures, as they come.

import { h, put, fill, write, seconds, count } from "./dom.js";
import { Flow } from "./flow.js";
import { grow } from "./rendered.js";

const ENDS = /** @type {Record<string, string>} */ ({
  stop: "ended by itself",
  length: "cut off at its length",
  cancelled: "stopped",
  failed: "failed",
});

const PACE = 240; // milliseconds between figures: more often nobody can read them
const BLANK = /^\s*\n/; // lines before the first word

/** A pane of text that streams. */
export class Pane {
  /** @param {{again?: () => void, xray?: () => void, rendered?: () => void, drop?: () => void}} wishes */
  constructor(wishes) {
    this.counted = 0; // when the figures were last written
    this.have = 0; // UTF-16 units of the text so far
    this.thinking = new Flow("Thinking", "wb-thoughts");
    this.answer = new Flow("Answer", "wb-answer");
    this.name = h("h3.wb-arm-name", {});
    this.asked = h("span.wb-quiet", {});
    this.badges = h("ul.wb-badges", { "aria-label": "Result" });
    this.figures = h("dl.wb-figures", {});
    this.summary = h("summary", {}, "Thinking");
    this.mused = h("div.wb-rendered.wb-mused", { hidden: true, tabindex: 0, "aria-label": "Thinking, rendered" });
    this.fold = h("details.wb-fold.wb-thinking", { open: true, hidden: true }, this.summary, this.thinking.element, this.mused);
    this.rendered = h("div.wb-rendered", { hidden: true, tabindex: 0, "aria-label": "Rendered" });
    this.failure = h("p.wb-failure", { hidden: true });
    this.idle = h("p.wb-quiet", { hidden: true });
    this.toggle = this.button("Rendered", "Show Markdown and formulas", wishes.rendered);
    put(this.toggle, "aria-pressed", "false");
    this.again = this.button("Run again", "Ask this arm alone again", wishes.again);
    this.drop = this.button("Close", "Take this branch out of the view; its run is kept", wishes.drop);
    this.tools = h(
      "div.wb-row.wb-tools",
      { hidden: true },
      this.toggle,
      this.button("X-ray", "Look at this answer token by token", wishes.xray),
      this.again,
      this.drop,
    );
    this.element = h(
      "section.wb-arm",
      {},
      h("header.wb-arm-head", {}, this.name, this.asked),
      this.badges,
      this.idle,
      this.fold,
      this.answer.element,
      this.rendered,
      this.failure,
      this.figures,
      this.tools,
    );
  }

  /** @param {string} text @param {string} title @param {(() => void) | undefined} wish */
  button(text, title, wish) {
    return h("button.wb-button.wb-small", { type: "button", title, hidden: !wish, on: { click: () => wish?.() } }, text);
  }

  /**
   * Everything anew. @param {any} told @param {string[]} marks @param {boolean} running
   */
  show(told, marks, running) {
    write(this.name, told.name);
    write(this.asked, told.asked);
    put(this.element, "aria-label", `Arm ${told.name}`);
    const texts = /** @type {Record<string, string>} */ ({ t: "", a: "" });
    for (const [letter, text] of told.s) if (letter in texts) texts[letter] += text;
    for (const letter in texts) texts[letter] = texts[letter].replace(BLANK, "");
    // Equal texts stay: a reader's place in them is kept.
    if (this.thinking.text !== texts.t) this.thinking.replace(texts.t);
    if (this.answer.text !== texts.a) this.answer.replace(texts.a);
    this.have = told.n;
    this.badge(told, marks);
    this.count(told, running ? null : told.figures);
    const failed = told.end?.reason === "failed";
    this.failure.hidden = !failed;
    if (failed) fill(this.failure, h("strong", {}, told.end.error), " ", told.end.remedy);
    const empty = !told.n && !told.end;
    this.idle.hidden = !empty;
    write(this.idle, running ? "Waiting for the first token …" : "Nothing was asked of this arm.");
    this.answer.element.hidden = empty || (failed && !texts.a);
    this.tools.hidden = running || !told.end;
    this.again.hidden = told.branch === true;
    this.drop.hidden = !told.branch;
    if (running) this.raw();
  }

  /** What is new. @param {any} delta @returns {boolean} Whether it joined on; else all is needed. */
  add(delta) {
    let skip = this.have - delta.o;
    if (skip < 0) return false;
    this.idle.hidden = true;
    if (this.rendered.hidden) this.answer.element.hidden = false;
    for (const [letter, text] of delta.s) {
      const fresh = text.slice(skip);
      skip = Math.max(0, skip - text.length);
      this.have += fresh.length;
      const flow = letter === "t" ? this.thinking : letter === "a" ? this.answer : null;
      flow?.append(flow.length ? fresh : fresh.replace(BLANK, ""));
    }
    if (Date.now() - this.counted > PACE) this.count(delta, null);
    return true;
  }

  /** @param {any} told @param {any} figures Of the whole, once it has ended. */
  count(told, figures) {
    const { tokens, times } = told;
    if (!tokens) return;
    this.counted = Date.now();
    const all = tokens.t + tokens.a + tokens.m;
    const span = (times.last ?? 0) - (times.first ?? 0);
    const live = all > 1 && span > 0 ? (all - 1) / span : null;
    const thought = tokens.t ? (times.answer ?? times.last) - times.first : null;
    this.fold.hidden = !tokens.t;
    const spent = figures?.thinking_time ?? thought;
    write(this.summary, tokens.t ? `Thinking · ${count(tokens.t)} tokens · ${seconds(spent)}` : "Thinking");
    const rows = [
      ["first token", seconds(figures?.time_to_first_token ?? times.first)],
      ["tokens", count(all)],
      ["tokens/s", count(figures?.output_token_throughput_per_user ?? live, 1)],
      [figures?.request_latency ? "whole" : "so far", seconds(figures?.request_latency ?? times.last)],
    ];
    if (this.figures.childElementCount !== rows.length) {
      fill(this.figures, ...rows.map(() => h("div", {}, h("dt", {}), h("dd", {}))));
    }
    rows.forEach(([name, value], i) => {
      const [term, figure] = this.figures.children[i].children;
      write(term, name);
      write(figure, value);
    });
  }

  /** @param {any} told @param {string[]} marks */
  badge(told, marks) {
    const items = [];
    const read = told.read?.as ? ` · read as ${told.read.as}` : "";
    if (told.right === true) items.push(h("li.wb-good", { title: told.read?.reason ?? "" }, `✓ correct${read}`));
    if (told.right === false) items.push(h("li.wb-bad", { title: told.read?.reason ?? "" }, `✗ wrong${read}`));
    for (const mark of marks) items.push(h("li.wb-mark", {}, mark));
    if (told.end && told.end.reason !== "stop") items.push(h("li.wb-bad", {}, ENDS[told.end.reason] ?? told.end.reason));
    fill(this.badges, ...items);
    this.badges.hidden = !items.length;
  }

  /** What came of it, in a sentence. */
  words() {
    const found = [...this.badges.children].map((item) => item.textContent);
    return `${this.name.textContent}: ${found.join(", ") || "ended"}.`;
  }

  /** Texts as they are written. */
  raw() {
    if (!this.rendered.hidden) this.answer.element.hidden = false;
    this.rendered.hidden = this.mused.hidden = true;
    this.thinking.element.hidden = false;
    put(this.toggle, "aria-pressed", "false");
  }

  /** Markdown and formulas, as a tree. @param {any} trees */
  render(trees) {
    fill(this.rendered, ...grow(trees.answer));
    fill(this.mused, ...grow(trees.thinking));
    this.rendered.hidden = this.mused.hidden = false;
    this.answer.element.hidden = this.thinking.element.hidden = true;
    put(this.toggle, "aria-pressed", "true");
  }
}
