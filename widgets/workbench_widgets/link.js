// The line to the kernel: wishes go out and are acknowledged, silence is noticed and said.

import { h, fill } from "./dom.js";

const PATIENCE = 4000; // milliseconds without an acknowledgement before the page says so
const SILENCE = 3000; // without a sign of life while something runs, before the page asks
const GONE = ["dead", "terminating", "unknown"];

/**
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(type: string, call: any) => void} on
 * @property {(type: string, call: any) => void} off
 * @property {(content: any, callbacks?: any, buffers?: any) => void} send
 * @property {any} [widget_manager]
 */

/** One view's line; every view of a part has its own. */
export class Link {
  /**
   * @param {Model} model
   * @param {(message: any, buffers: DataView[]) => void} take Called with each message of the part.
   * @param {(told: any) => void} show Called with everything, when all is told anew.
   */
  constructor(model, take, show) {
    this.model = model;
    this.live = false; // whether the kernel should be heard from
    this.wishes = new Map();
    this.number = 0;
    this.heard = Date.now();
    this.silent = ""; // what was said of the kernel's silence
    this.place = h("div.wb-trouble", { role: "alert" });
    this.told = () => show(model.get("told"));
    this.message = (/** @type {any} */ m, /** @type {DataView[]} */ b) => this.take(m, b, take, show);
    model.on("msg:custom", this.message);
    model.on("change:told", this.told);
    this.timer = setInterval(() => this.watch(), 500);
  }

  /** @param {any} m @param {DataView[]} buffers @param {any} take @param {any} show */
  take(m, buffers, take, show) {
    this.heard = Date.now();
    if (this.silent) this.quiet();
    if (m.k === "ack") this.wishes.delete(m.n);
    else if (m.k === "problem") this.problem(m.problem);
    else if (m.k === "told") show(m.told);
    else if (m.k !== "beat") take(m, buffers);
  }

  /** Ask the part for something. @param {string} wish @param {object} [more] */
  ask(wish, more = {}) {
    this.number += 1;
    this.wishes.set(this.number, Date.now());
    try {
      this.model.send({ do: wish, n: this.number, ...more });
    } catch {
      this.silence("The session of this notebook is closed.", "Start a kernel and run the cell again.");
    }
  }

  /** Ask again for everything. */
  pull() {
    this.ask("pull");
  }

  watch() {
    const now = Date.now();
    const oldest = Math.min(...this.wishes.values());
    if (this.live && now - this.heard > SILENCE && oldest === Infinity) this.pull();
    const kernel = this.kernel();
    if (kernel && GONE.includes(kernel) && (this.live || oldest !== Infinity)) {
      this.silence("The kernel of this notebook has ended.", "What was generated is kept: open the run again from a new kernel.");
    } else if (now - oldest > PATIENCE) {
      this.silence("The kernel has not answered for some seconds.", "It is busy with a cell, or it has ended. What was generated is kept.");
    }
  }

  /** What JupyterLab says of the kernel; undefined elsewhere. */
  kernel() {
    const manager = this.model.widget_manager;
    const kernel = manager?.kernel ?? manager?.context?.sessionContext?.session?.kernel;
    if (manager && "kernel" in manager && !kernel) return "dead";
    return kernel?.isDisposed ? "dead" : kernel?.status;
  }

  /** @param {{message: string, remedy: string} | null | undefined} problem */
  problem(problem) {
    if (!problem) {
      fill(this.place);
      return;
    }
    const close = h("button.wb-button.wb-small", { type: "button", on: { click: () => this.dismiss() } }, "Dismiss");
    fill(this.place, h("p", {}, h("strong", {}, problem.message), " ", problem.remedy), close);
  }

  /** @param {string} message @param {string} remedy */
  silence(message, remedy) {
    if (this.silent === message) return;
    this.silent = message;
    fill(this.place, h("p", {}, h("strong", {}, message), " ", remedy));
    this.place.dispatchEvent(new CustomEvent("wb-silence", { bubbles: true }));
  }

  quiet() {
    this.silent = "";
    this.wishes.clear();
    fill(this.place);
    this.place.dispatchEvent(new CustomEvent("wb-heard", { bubbles: true }));
  }

  dismiss() {
    fill(this.place);
    this.ask("dismiss");
  }

  close() {
    clearInterval(this.timer);
    this.model.off("msg:custom", this.message);
    this.model.off("change:told", this.told);
  }
}
