// What a screen reader is told: one polite line for a whole view, as seldom as one can listen.

import { h } from "./dom.js";

const PAUSE = 5000; // milliseconds between news of what goes on; what has ended is said at once
const BEGIN = 60; // a line that has just appeared is not read out yet

/** The line of a view. A part inside another one leaves it to that one. */
export class Voice {
  /** @param {HTMLElement} root The part's element. */
  constructor(root) {
    this.root = root;
    this.said = 0; // when
    this.words = "";
    root.addEventListener("wb-say", (event) => this.hear(/** @type {CustomEvent} */ (event)));
  }

  /**
   * @param {string} words
   * @param {boolean} [goes] Whether it tells of something that goes on, and will be told again.
   */
  say(words, goes = false) {
    this.root.dispatchEvent(new CustomEvent("wb-say", { bubbles: true, detail: { words, goes } }));
  }

  /** @param {CustomEvent} event */
  hear(event) {
    if (this.root.parentElement?.closest(".wb-part")) return;
    event.stopPropagation();
    const { words, goes } = event.detail;
    if (!words || words === this.words || (goes && Date.now() - this.said < PAUSE)) return;
    this.said = Date.now();
    this.words = words;
    if (!this.line) {
      this.line = h("p.wb-voice", { role: "status", "aria-live": "polite" });
      this.root.append(this.line);
    }
    setTimeout(() => this.line && (this.line.textContent = this.words), BEGIN);
  }
}
