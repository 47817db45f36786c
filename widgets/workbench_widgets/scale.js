// Colours for a quantity: seven steps that stay apart for every kind of sight, and in grey.

import { h, seconds } from "./dom.js";

export const STEPS = 7;
// Cividis: lightness rises evenly, and blue to yellow is kept by colour-blind readers.
const COLOURS = ["#00204d", "#31446b", "#5c6168", "#808074", "#a69d75", "#d0be67", "#ffea46"];

/** @typedef {{name: string, label: string, tell: (value: number) => string, bounds: (values: Float32Array) => number[]}} Quantity */

const percent = (/** @type {number} */ p) => (p < 1e-5 ? "< 0.001 %" : `${(100 * p).toPrecision(p < 0.1 ? 2 : 3)} %`);

/** @type {Quantity[]} */
export const QUANTITIES = [
  { name: "gap", label: "Latency", tell: seconds, bounds: shares },
  { name: "logprob", label: "Probability", tell: (v) => percent(Math.exp(v)), bounds: () => [0.02, 0.1, 0.25, 0.5, 0.75, 0.95].map(Math.log) },
  { name: "entropy", label: "Entropy", tell: (v) => `${v.toFixed(2)} nats`, bounds: () => [0.05, 0.2, 0.5, 1, 1.5, 2.2] },
];

/** Bounds with even shares of the values between them. @param {Float32Array} values @returns {number[]} */
export function shares(values) {
  const known = values.filter((value) => !Number.isNaN(value)).sort();
  if (!known.length) return [];
  return Array.from({ length: STEPS - 1 }, (_, i) => known[Math.floor(((i + 1) / STEPS) * (known.length - 1))]);
}

/** The step of a value; -1 where it is undefined. @param {number} value @param {number[]} bounds */
export function step(value, bounds) {
  if (Number.isNaN(value)) return -1;
  let at = 0;
  while (at < bounds.length && value > bounds[at]) at += 1;
  return at;
}

/** @param {Quantity} quantity @param {number[]} bounds */
export function legend(quantity, bounds) {
  const said = bounds.map((bound) => quantity.tell(bound));
  const words = COLOURS.map((_, i) => {
    if (i === STEPS - 1) return `above ${said[i - 1]}`;
    if (i && said[i] === said[i - 1]) return ""; // bounds that fall together are one
    return `${i ? "to" : "up to"} ${said[i]}`;
  });
  return h(
    "ol.wb-legend",
    { "aria-label": `Colours: ${quantity.label}` },
    ...(bounds.length ? words.map((word, i) => word && h(`li.wb-s${i}`, {}, word)) : [h("li", {}, "not recorded")]),
  );
}

/** @param {number} at */
export function colour(at) {
  return COLOURS[at] ?? "transparent";
}
