// The gap of every token over its position, on a canvas; phases are shaded, a click finds a token.

import { h, seconds } from "./dom.js";

const HEIGHT = 84;
const LEFT = 54; // the prefill's band, before the first token
const PREFILL = "rgba(0, 158, 115, 0.22)";
const SHADES = ["rgba(0, 114, 178, 0.16)", "rgba(230, 159, 0, 0.18)", "rgba(128, 128, 128, 0.3)"]; // thinking, answer, tags
const PHASES = ["thinking", "answer", ""];
const LETTERS = "11px system-ui, sans-serif";
const ROOM = 64; // pixels that a phase's name needs
const HEAD = 18; // pixels above the highest gap: the names' own

/** A strip under a text. */
export class Strip {
  /** @param {(token: number) => void} choose */
  constructor(choose) {
    this.canvas = h("canvas.wb-strip", { role: "img", "aria-label": "Seconds between tokens, over position" });
    this.canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const share = (event.offsetX - LEFT) / (this.canvas.clientWidth - LEFT);
      if (this.gaps) choose(Math.max(0, Math.min(this.gaps.length - 1, Math.floor(share * this.gaps.length))));
    });
    this.chosen = -1;
    this.view = [0, 0];
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.canvas);
  }

  /** @param {Float32Array} gaps Seconds; NaN for the first. @param {Uint8Array} channels @param {number | null} first Seconds until the first token. */
  show(gaps, channels, first) {
    this.first = first;
    this.gaps = gaps;
    this.channels = channels;
    const known = gaps.filter((gap) => !Number.isNaN(gap)).sort();
    this.most = known.length ? Math.max(known[Math.floor(0.995 * (known.length - 1))] * 1.15, 1e-6) : 1;
    this.draw();
  }

  draw() {
    const { canvas, gaps, channels } = this;
    const width = canvas.clientWidth;
    if (!gaps || !channels || !width) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, width, HEIGHT);
    const ink = getComputedStyle(canvas).color;
    this.prefill(pen, ink);
    pen.translate(LEFT, 0);
    const rest = width - LEFT;
    this.shade(pen, rest, channels, ink);
    pen.fillStyle = ink;
    for (let x = 0; x < rest; x += 1) this.column(pen, x, rest, gaps);
    pen.textAlign = "right";
    pen.fillText(`gap, to ${seconds(this.most)}`, rest - 5, 13);
    pen.textAlign = "left";
    if (this.chosen >= 0) {
      pen.fillStyle = "#d55e00";
      pen.fillRect((this.chosen / gaps.length) * rest - 1, 0, 3, HEIGHT);
    }
  }

  /** What passed before the first token. @param {CanvasRenderingContext2D} pen @param {string} ink */
  prefill(pen, ink) {
    pen.fillStyle = PREFILL;
    pen.fillRect(0, 0, LEFT, HEIGHT);
    pen.fillStyle = ink;
    pen.font = LETTERS;
    pen.fillText("prefill", 4, 14, LEFT - 6);
    pen.fillText(seconds(this.first), 4, 28, LEFT - 6);
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} width @param {Uint8Array} channels @param {string} ink */
  shade(pen, width, channels, ink) {
    let from = 0;
    for (let i = 1; i <= channels.length; i += 1) {
      if (i < channels.length && channels[i] === channels[from]) continue;
      const left = (from / channels.length) * width;
      const size = ((i - from) / channels.length) * width;
      pen.fillStyle = SHADES[channels[from]];
      pen.fillRect(left, 0, Math.max(1, size), HEIGHT);
      pen.fillStyle = ink;
      if (size > ROOM && left + size < width - ROOM) pen.fillText(PHASES[channels[from]], left + 5, 13);
      else if (size > 3 * ROOM) pen.fillText(PHASES[channels[from]], left + 5, 13);
      from = i;
    }
  }

  /** The least and the most of the tokens that share a pixel. @param {CanvasRenderingContext2D} pen @param {number} x @param {number} width @param {Float32Array} gaps */
  column(pen, x, width, gaps) {
    const from = Math.floor((x / width) * gaps.length);
    const to = Math.max(from + 1, Math.floor(((x + 1) / width) * gaps.length));
    let low = Infinity;
    let high = -Infinity;
    for (let i = from; i < to; i += 1) {
      if (gaps[i] < low) low = gaps[i];
      if (gaps[i] > high) high = gaps[i];
    }
    if (high < low) return;
    const up = (/** @type {number} */ v) => HEIGHT - 4 - Math.min(1, v / (this.most ?? 1)) * (HEIGHT - 4 - HEAD);
    pen.fillRect(x, up(high), 1, Math.max(1.5, up(low) - up(high)));
  }

  /** @param {number} token */
  choose(token) {
    this.chosen = token;
    this.draw();
  }

  close() {
    this.watch.disconnect();
  }
}
