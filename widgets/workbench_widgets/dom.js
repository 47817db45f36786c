// Elements made of plain values. Text becomes text nodes and nothing else; no markup is ever parsed.

/** @typedef {string | number | Node | null | undefined | false} Child */
/** @typedef {Record<string, (event: any) => void>} Listeners */
/** @typedef {Record<string, string | number | boolean | null | undefined | Listeners>} Given */

const PLAIN = /^(?:aria-[a-z]+|data-[a-z-]+|role|class|id|for|type|value|min|max|step|rows|placeholder|title|tabindex|open|hidden|disabled|checked|selected|name|list|autocomplete|spellcheck|colspan|rowspan|scope|dir|lang|width|height|inputmode)$/;

/**
 * An element.
 * @param {string} tag With classes: `div.wb-pane.wb-wide`.
 * @param {Given} [given] Attributes by name; under `on`, listeners by type.
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, given = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  const { on, ...attributes } = given;
  for (const [key, value] of Object.entries(attributes)) put(element, key, value);
  for (const [type, listener] of Object.entries(on ?? {})) element.addEventListener(type, /** @type {any} */ (listener));
  fill(element, ...children);
  return element;
}

/**
 * Set or remove one attribute; what could act is refused.
 * @param {Element} element @param {string} key @param {unknown} value
 */
export function put(element, key, value) {
  if (!PLAIN.test(key)) throw new Error(`The attribute ${key} is not among the plain ones.`);
  if (value === false || value === null || value === undefined) element.removeAttribute(key);
  else element.setAttribute(key, value === true ? "" : String(value));
}

/** Replace what is in an element. @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))),
  );
}

/** Write a text if it is another one: equal texts cost no layout. @param {Node} node @param {string} text */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let labels = 0;

/** An id for a label and its field, on this page. @param {string} name */
export function fresh(name) {
  labels += 1;
  return `wb-${name}-${labels}-${Math.random().toString(36).slice(2, 8)}`;
}

/**
 * A field under its label.
 * @param {string} label @param {HTMLElement} field @param {string} [kind]
 */
export function labelled(label, field, kind = "") {
  field.id ||= fresh("field");
  return h(`div.wb-field${kind && `.${kind}`}`, {}, h("label", { for: field.id }, label), field);
}

/** Seconds for people: `12 ms`, `1.42 s`, `3 min 5 s`. @param {number | null | undefined} s */
export function seconds(s) {
  if (s === null || s === undefined) return "–";
  if (s < 0.9995) return `${(1000 * s).toPrecision(s < 0.01 ? 2 : 3).replace(/\.0+$/, "")} ms`;
  if (s < 99.5) return `${s.toPrecision(3)} s`;
  return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

/** A count for people. @param {number | null | undefined} n @param {number} [digits] */
export function count(n, digits = 0) {
  if (n === null || n === undefined) return "–";
  return n.toLocaleString("en", { maximumFractionDigits: digits });
}
