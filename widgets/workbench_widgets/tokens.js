// A text whose tokens have colours: blocks of plain text, and spans only where somebody looks.

import { h, put } from "./dom.js";
import { CHAPTER } from "./flow.js";

const PER_BLOCK = 160; // tokens, before the next line break ends a block
const LONG = 3000; // characters above which the text surely scrolls

/** @typedef {{end: Uint32Array, id: Uint32Array, channel: Uint8Array, t: Float32Array, gap: Float32Array, logprob: Float32Array, entropy: Float32Array}} Columns */

/** The text of an x-ray. */
export class Tokens {
  /** @param {(token: number, settled: boolean) => void} look Called with the token under the pointer, or chosen. */
  constructor(look) {
    this.look = look;
    this.chosen = -1;
    this.chapter = /** @type {HTMLElement | null} */ (null);
    this.paint = /** @type {(token: number) => number} */ (() => -1);
    this.element = h("div.wb-flow.wb-tokens", { tabindex: 0, role: "application", "aria-label": "Tokens: arrow keys go from one to the next" });
    this.element.addEventListener("pointerover", (/** @type {PointerEvent} */ e) => this.point(e, false));
    this.element.addEventListener("click", (/** @type {PointerEvent} */ e) => this.point(e, true));
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => this.key(e));
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.turn(entry)), {
      root: this.element,
      rootMargin: "200px",
    });
  }

  /** @param {string} text @param {Columns} columns */
  show(text, columns) {
    this.text = text;
    this.ends = columns.end;
    this.count = columns.end.length;
    this.blocks = /** @type {{element: any, from: number, to: number, open: boolean}[]} */ ([]);
    this.element.replaceChildren();
    this.element.classList.toggle("wb-full", text.length > LONG);
    let from = 0;
    for (let i = 0; i < this.count; i += 1) {
      const full = i + 1 - from >= PER_BLOCK && this.word(i).includes("\n");
      if (!full && i + 1 - from < 4 * PER_BLOCK && i + 1 < this.count) continue;
      this.block(from, i + 1);
      from = i + 1;
    }
  }

  /** The text without its tokens. @param {string} text */
  plain(text) {
    this.element.replaceChildren(h("div.wb-block", {}, text));
  }

  /** @param {number} from @param {number} to */
  block(from, to) {
    const text = this.slice(from, to);
    const element = h("div.wb-block", {}, text.endsWith("\n") ? text.slice(0, -1) : text);
    const number = this.blocks?.length ?? 0;
    put(element, "data-block", String(number));
    this.blocks?.push({ element, from, to, open: false });
    if (number % CHAPTER === 0) {
      this.chapter = h("div.wb-chapter", {});
      this.element.append(this.chapter);
    }
    this.chapter?.append(element);
    this.seen.observe(element);
  }

  /** @param {number} from @param {number} to */
  slice(from, to) {
    const ends = /** @type {Uint32Array} */ (this.ends);
    return (this.text ?? "").slice(from ? ends[from - 1] : 0, ends[to - 1]);
  }

  /** @param {number} token */
  word(token) {
    return this.slice(token, token + 1);
  }

  /** Spans where the block is seen, plain text where it is not. @param {IntersectionObserverEntry} entry */
  turn(entry) {
    const block = this.blocks?.[Number(entry.target.getAttribute("data-block"))];
    if (!block || block.open === entry.isIntersecting) return;
    block.open = entry.isIntersecting;
    this.fill(block);
  }

  /** @param {{element: any, from: number, to: number, open: boolean}} block */
  fill(block) {
    const { element, from, to } = block;
    if (!block.open) {
      const text = this.slice(from, to);
      element.textContent = text.endsWith("\n") ? text.slice(0, -1) : text;
      return;
    }
    const spans = document.createDocumentFragment();
    for (let i = from; i < to; i += 1) {
      const last = i === to - 1 ? this.word(i).replace(/\n$/, "") : this.word(i);
      const at = this.paint(i);
      spans.append(h(`span${at < 0 ? "" : `.wb-s${at}`}${i === this.chosen ? ".wb-chosen" : ""}`, { "data-token": i }, last));
    }
    element.replaceChildren(spans);
  }

  /** Other colours. @param {(token: number) => number} paint The step of a token; -1 for none. */
  colour(paint) {
    this.paint = paint;
    for (const block of this.blocks ?? []) if (block.open) this.fill(block);
  }

  /** @param {PointerEvent} event @param {boolean} settled */
  point(event, settled) {
    const found = /** @type {Element} */ (event.target).closest("[data-token]");
    if (!found) return;
    const token = Number(found.getAttribute("data-token"));
    if (settled) this.choose(token);
    else this.look(token, false);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, PageDown: 100, PageUp: -100 });
    const count = this.count ?? 0;
    let next = this.chosen;
    if (event.key in steps) next += steps[event.key];
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = count - 1;
    else return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(count - 1, next)), true);
  }

  /** @param {number} token @param {boolean} [bring] Scroll to it. */
  choose(token, bring = false) {
    const before = this.chosen;
    this.chosen = token;
    for (const one of [before, token]) {
      const block = this.blocks?.find((b) => b.from <= one && one < b.to);
      if (!block) continue;
      if (one === token && bring && !block.open) {
        block.element.scrollIntoView({ block: "center" });
        block.open = true;
      }
      if (block.open) this.fill(block);
    }
    const span = this.element.querySelector(`[data-token="${token}"]`);
    if (bring) span?.scrollIntoView({ block: "nearest" });
    this.look(token, true);
  }

  close() {
    this.seen.disconnect();
  }
}
