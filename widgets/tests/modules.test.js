// @vitest-environment jsdom
import { beforeEach, describe, expect, test, vi } from "vitest";
import { count, fill, h, put, seconds, write } from "../workbench_widgets/dom.js";
import { Flow } from "../workbench_widgets/flow.js";
import { Link } from "../workbench_widgets/link.js";
import { Pane } from "../workbench_widgets/pane.js";
import { grow } from "../workbench_widgets/rendered.js";
import { shares, step } from "../workbench_widgets/scale.js";

const HOSTILE = '<img src=x onerror="globalThis.CANARY=1"><script>globalThis.CANARY=1</script>';

/** A model as anywidget gives it, with what was sent. */
function model(told = {}) {
  const calls = {};
  return {
    sent: [],
    calls,
    get: () => told,
    on: (type, call) => (calls[type] = call),
    off: (type) => delete calls[type],
    send(content) {
      this.sent.push(content);
    },
  };
}

function arm(more = {}) {
  return {
    name: "on", asked: "greedy", s: [], n: 0, tokens: { t: 0, a: 0, m: 0 }, times: { first: null, last: null, answer: null },
    end: null, figures: {}, right: null, read: null, ...more,
  };
}

globalThis.ResizeObserver = class {
  observe() {} // jsdom has no layout: nothing has a size, and none changes
  disconnect() {}
};

beforeEach(() => document.body.replaceChildren());

describe("elements", () => {
  test("text is text, in every place", () => {
    const element = h("p.a.b", { title: HOSTILE }, HOSTILE, h("b", {}, HOSTILE), null, false, 7);
    expect(element.className).toBe("a b");
    expect(element.querySelectorAll("img, script").length).toBe(0);
    expect(element.textContent).toBe(`${HOSTILE}${HOSTILE}7`);
  });
  test("what could act is refused as an attribute", () => {
    for (const key of ["onclick", "href", "src", "style", "srcdoc", "formaction"]) {
      expect(() => put(h("a"), key, "x")).toThrow(key);
    }
  });
  test("equal texts cost nothing", () => {
    const element = h("p", {}, "same");
    const node = element.firstChild;
    write(element, "same");
    expect(element.firstChild).toBe(node);
    fill(element, "other");
    expect(element.textContent).toBe("other");
  });
  test("numbers for people", () => {
    expect([0.0035, 0.0403, 1.4189, 185, null].map(seconds)).toEqual(["3.5 ms", "40.3 ms", "1.42 s", "3 min 5 s", "–"]);
    expect([12345, 1.25, null].map((n) => count(n, 1))).toEqual(["12,345", "1.3", "–"]);
  });
});

describe("text that grows", () => {
  test("pieces join, in blocks", () => {
    const flow = new Flow("Answer");
    const pieces = Array.from({ length: 3000 }, (_, i) => `word ${i}${i % 9 ? " " : "\n"}`);
    for (const piece of pieces) flow.append(piece);
    flow.flush();
    expect(flow.text).toBe(pieces.join(""));
    expect(flow.element.children.length).toBeGreaterThan(5);
    expect(flow.length).toBe(pieces.join("").length);
  });
  test("a line without an end is text, too", () => {
    const flow = new Flow("Answer");
    flow.append(HOSTILE + "A".repeat(1_000_000));
    flow.flush();
    expect(flow.text.length).toBe(HOSTILE.length + 1_000_000);
    expect(flow.element.querySelectorAll("img, script").length).toBe(0);
  });
  test("replacing forgets what was pending", () => {
    const flow = new Flow("Answer");
    flow.append("old");
    flow.replace("new");
    flow.flush();
    expect(flow.text).toBe("new");
  });
});

describe("an arm", () => {
  test("deltas join on; one that is missing is noticed; one that overlaps is cut", () => {
    const pane = new Pane({});
    pane.show(arm(), [], true);
    const counts = { tokens: { t: 1, a: 0, m: 0 }, times: { first: 1, last: 2, answer: null } };
    expect(pane.add({ o: 0, s: [["t", "one "]], ...counts })).toBe(true);
    expect(pane.add({ o: 9, s: [["t", "lost"]], ...counts })).toBe(false);
    expect(pane.add({ o: 2, s: [["t", "e two "], ["a", "said"]], ...counts })).toBe(true);
    pane.thinking.flush();
    pane.answer.flush();
    expect([pane.thinking.text, pane.answer.text]).toEqual(["one two ", "said"]);
  });
  test("at the end it says whether it is right, what it is ahead in, and how it ended", () => {
    const pane = new Pane({});
    const read = { as: HOSTILE, reason: "" };
    pane.show(arm({ s: [["a", HOSTILE]], n: HOSTILE.length, end: { reason: "length" }, right: false, read }), ["faster"], false);
    const badges = [...pane.badges.children].map((item) => item.textContent);
    expect(badges).toEqual([`✗ wrong · read as ${HOSTILE}`, "faster", "cut off at its length"]);
    expect(pane.element.querySelectorAll("img, script").length).toBe(0);
    expect(globalThis.CANARY).toBeUndefined();
  });
});

describe("rendered trees", () => {
  test("what is on no list becomes a span; links are only of the web", () => {
    const tree = [
      ["script", {}, ["globalThis.CANARY=1"]],
      ["img", { src: "x", onerror: "x" }, []],
      ["a", { href: "javascript:x", onclick: "x" }, ["bad"]],
      ["a", { href: "https://example.org" }, ["good"]],
      ["math", { display: "block" }, [["mi", {}, ["x"]]]],
    ];
    const place = h("div", {}, ...grow(tree));
    expect(place.querySelectorAll("script, img").length).toBe(0);
    const [bad, good] = place.querySelectorAll("a");
    expect([bad.getAttributeNames(), good.getAttribute("href")]).toEqual([[], "https://example.org"]);
    expect(place.querySelector("math").namespaceURI).toContain("MathML");
  });
});

describe("the line to the kernel", () => {
  test("a wish that is not acknowledged is said after some seconds, and taken back when it is heard", () => {
    vi.useFakeTimers();
    const own = model();
    const link = new Link(own, () => {}, () => {});
    link.ask("run", { form: {} });
    expect(own.sent[0]).toEqual({ do: "run", n: 1, form: {} });
    vi.advanceTimersByTime(6000);
    expect(link.place.textContent).toContain("has not answered");
    own.calls["msg:custom"]({ k: "ack", n: 1 }, []);
    expect(link.place.textContent).toBe("");
    link.close();
    expect(own.calls).toEqual({});
    vi.useRealTimers();
  });
  test("silence while something runs is asked about", () => {
    vi.useFakeTimers();
    const own = model();
    const link = new Link(own, () => {}, () => {});
    link.live = true;
    vi.advanceTimersByTime(4000);
    expect(own.sent.map((wish) => wish.do)).toContain("pull");
    link.close();
    vi.useRealTimers();
  });
  test("a kernel that is gone is said", () => {
    vi.useFakeTimers();
    const own = { ...model(), widget_manager: { kernel: { status: "dead" } } };
    const link = new Link(own, () => {}, () => {});
    link.live = true;
    vi.advanceTimersByTime(1000);
    expect(link.place.textContent).toContain("kernel of this notebook has ended");
    link.close();
    vi.useRealTimers();
  });
});

describe("colours", () => {
  test("even shares, and a step for every value", () => {
    const values = Float32Array.from({ length: 70 }, (_, i) => i);
    const bounds = shares(values);
    expect(bounds.length).toBe(6);
    const steps = [...values].map((value) => step(value, bounds));
    expect(new Set(steps)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
    for (let at = 0; at < 7; at += 1) expect(Math.abs(steps.filter((one) => one === at).length - 10)).toBeLessThanOrEqual(1);
    expect(step(NaN, bounds)).toBe(-1);
  });
});
