// A tree of texts and elements as nodes: only what is on these lists, whatever the tree says.

const WORDS = new Set(
  "p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong s del hr br table thead tbody tr th td a span div".split(" "),
);
const MATH = new Set(
  ("math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover " +
    "mtable mtr mtd mstyle mpadded mphantom menclose").split(" "),
);
const MATHML = "http://www.w3.org/1998/Math/MathML";

/** Nodes of a tree. @param {any[]} tree @returns {Node[]} */
export function grow(tree) {
  return tree.map((item) => (typeof item === "string" ? document.createTextNode(item) : branch(item)));
}

/** @param {[string, Record<string, string>, any[]]} item @returns {Node} */
function branch([tag, attributes, children]) {
  const inner = grow(children);
  const element = WORDS.has(tag)
    ? document.createElement(tag)
    : MATH.has(tag)
      ? document.createElementNS(MATHML, tag)
      : document.createElement("span");
  if (tag === "a") follow(element, attributes.href ?? "");
  if (tag === "math" && attributes.display === "block") element.setAttribute("display", "block");
  element.append(...inner);
  return element;
}

/** A link of the web, in another tab; any other is only text. @param {Element} element @param {string} href */
function follow(element, href) {
  if (!/^https?:\/\//i.test(href)) return;
  element.setAttribute("href", href);
  element.setAttribute("target", "_blank");
  element.setAttribute("rel", "noopener noreferrer");
}
