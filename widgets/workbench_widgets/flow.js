// Long text that grows: appended as text nodes in blocks, so that a page of 32,000 tokens stays light.

import { h } from "./dom.js";

export const CHAPTER = 16; // blocks that are laid out, or skipped, together

const FULL = "wb-full"; // of a text that is as high as it may get: its size is settled then
const BLOCK = 1000; // characters of a block before the next line break starts another

const waiting = /** @type {Set<Flow>} */ (new Set());
let frame = 0;

/** One frame for all texts of a page: first every one is written, then every one scrolls. */
function flushAll() {
  frame = 0;
  const flows = [...waiting];
  waiting.clear();
  for (const flow of flows) flow.flush();
  for (const flow of flows) flow.follow();
}

/** Text in an element that scrolls; it follows the end while the reader is at the end. */
export class Flow {
  /** @param {string} label For screen readers. @param {string} [kind] Class. */
  constructor(label, kind = "") {
    this.element = h(`div.wb-flow${kind && `.${kind}`}`, {
      role: "log",
      "aria-label": label,
      "aria-live": "off", // hundreds of words a second are no speech; the status line tells
      tabindex: 0,
    });
    this.length = 0;
    this.pending = "";
    this.atEnd = true; // whether the reader is there; known without asking the layout
    this.element.addEventListener("scroll", () => this.look(), { passive: true });
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.element);
    this.node = /** @type {Text | null} */ (null);
    this.chapter = /** @type {HTMLElement | null} */ (null);
    this.size = 0; // of the last block
  }

  /** @param {string} text */
  append(text) {
    this.length += text.length;
    this.pending += text;
    waiting.add(this);
    frame ||= requestAnimationFrame(flushAll);
  }

  /** A short text is as high as it is; of a long one the layout need not be asked any more. */
  fit() {
    const most = parseFloat(getComputedStyle(this.element).maxHeight);
    if (this.element.clientHeight > most - 3) this.element.classList.add(FULL);
    this.follow();
  }

  /** Where the reader is. */
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    this.atEnd = scrollHeight - scrollTop - clientHeight < 24;
  }

  /** Go to the end, if the reader is there. */
  follow() {
    if (this.atEnd) this.element.scrollTop = 1e9;
  }

  /** Write what has come since the last frame. */
  flush() {
    const text = this.pending;
    this.pending = "";
    this.write(text);
  }

  /** @param {string} text */
  write(text) {
    let rest = text;
    while (rest) {
      const room = BLOCK - this.size;
      const end = rest.length > room ? rest.indexOf("\n", Math.max(room, 0)) : -1;
      const part = end < 0 ? rest.slice(0, room + 20 * BLOCK) : rest.slice(0, end + 1);
      this.put(part);
      rest = rest.slice(part.length);
      // A line without an end would make one block of any size: it is cut where it is too long.
      if (end >= 0 || rest) this.node = null;
    }
  }

  /** @param {string} part */
  put(part) {
    if (!this.node) {
      this.node = document.createTextNode("");
      this.size = 0;
      let chapter = this.chapter;
      if (!chapter || chapter.childElementCount >= CHAPTER) {
        chapter = /** @type {HTMLElement} */ (h("div.wb-chapter", {}));
        this.chapter = chapter;
        this.element.append(chapter);
      }
      chapter.append(h("div.wb-block", {}, this.node));
    }
    this.node.appendData(part);
    this.size += part.length;
  }

  /** Everything anew. @param {string} text */
  replace(text) {
    waiting.delete(this);
    this.pending = "";
    this.node = this.chapter = null;
    this.size = 0;
    this.element.replaceChildren();
    this.element.classList.remove(FULL);
    this.length = text.length;
    this.write(text);
    requestAnimationFrame(() => this.fit());
  }

  get text() {
    return this.element.textContent + this.pending;
  }
}
