// @vitest-environment jsdom
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Arms } from "../workbench_widgets/arms.js";
import { count, fill, h, put, seconds, write } from "../workbench_widgets/dom.js";
import { Flow } from "../workbench_widgets/flow.js";
import { Link } from "../workbench_widgets/link.js";
import { Pane } from "../workbench_widgets/pane.js";
import { Past } from "../workbench_widgets/past.js";
import { grow } from "../workbench_widgets/rendered.js";
import { QUANTITIES, legend, shares, step } from "../workbench_widgets/scale.js";
import { Voice } from "../workbench_widgets/voice.js";

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
    expect(flow.element.querySelectorAll(".wb-block").length).toBeGreaterThan(16);
    expect(flow.element.children.length).toBe(Math.ceil(flow.element.querySelectorAll(".wb-block").length / 16));
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
  test("while it runs it tells tokens, their rate, the first one's time and the thinking's", () => {
    const pane = new Pane({});
    pane.show(arm(), [], true);
    expect(pane.element.textContent).toContain("Waiting for the first token");
    pane.counted = 0; // figures are written a few times a second
    pane.add({ o: 0, s: [["t", "so"]], tokens: { t: 41, a: 0, m: 0 }, times: { first: 0.5, last: 2.5, answer: null } });
    const told = Object.fromEntries([...pane.figures.children].map((e) => [e.children[0].textContent, e.children[1].textContent]));
    expect(told).toEqual({ "first token": "500 ms", tokens: "41", "tokens/s": "20", "so far": "2.50 s" });
    expect(pane.summary.textContent).toBe("Thinking · 41 tokens · 2.00 s");
    expect(pane.idle.hidden).toBe(true);
    pane.fold.open = false;
    pane.show(arm({ s: [["t", "so"], ["a", "4"]], n: 3, end: { reason: "stop" } }), [], false);
    expect(pane.fold.open).toBe(false);
  });
  test("rendered shows both texts by their trees, and goes back", () => {
    const pane = new Pane({});
    pane.show(arm({ s: [["t", "so"], ["a", "**4**"]], n: 7, end: { reason: "stop" } }), [], false);
    pane.render({ answer: [["p", {}, [["strong", {}, ["4"]]]]], thinking: [["p", {}, ["so"]]] });
    expect(pane.element.querySelector(".wb-rendered strong").textContent).toBe("4");
    expect([pane.answer.element.hidden, pane.thinking.element.hidden, pane.mused.hidden]).toEqual([true, true, false]);
    pane.raw();
    expect([pane.answer.element.hidden, pane.thinking.element.hidden, pane.mused.hidden]).toEqual([false, false, true]);
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

describe("the form of the arms", () => {
  const told = { model: "demo", kinds: ["exllama", "reference", "remote"], presets: { on: { temperature: 0.6, top_p: 0.95 }, off: { temperature: 0, top_p: 1 }, off_prefilled: { temperature: 0, top_p: 1 } } };
  function arms() {
    const form = new Arms(() => {});
    form.told = told;
    form.fillIn([{ mode: "on" }, { mode: "off", top_k: 5, min_p: 0.1 }]);
    return form;
  }
  test("one click gives the recommended sampling, and empty fields say it", () => {
    const form = arms();
    expect([form.rows[0].temperature.placeholder, form.rows[0].thinking_tokens.placeholder]).toEqual(["0.6", "none"]);
    expect(form.values()[1]).toMatchObject({ mode: "off", kind: "exllama", top_k: "5", min_p: "0.1" });
    [...form.element.querySelectorAll("button")].filter((b) => b.textContent === "Recommended")[1].click();
    expect(form.values()[1]).toMatchObject({ temperature: "0", top_p: "1", top_k: "", min_p: "" });
  });
  test("two or three of them; the third has the mode that is left", () => {
    const form = arms();
    form.add();
    expect([form.full, form.values()[2].mode]).toEqual([true, "off_prefilled"]);
    for (let i = 0; i < 4; i += 1) form.remove(form.rows[0]);
    expect(form.values().map((one) => one.mode)).toEqual(["off_prefilled"]);
  });
  test("an endpoint is asked for where one is needed", () => {
    const form = arms();
    const place = form.element.querySelector(".wb-endpoint");
    expect(place.hidden).toBe(true);
    form.rows[0].kind.value = "remote";
    form.rows[0].kind.dispatchEvent(new Event("change"));
    expect([place.hidden, form.rows[0].model.placeholder]).toEqual([false, "the endpoint's"]);
  });
});

describe("the history", () => {
  test("pages to older runs and back; a run is opened", () => {
    const asked = [];
    const opened = [];
    const past = new Past({ ask: (wish, more) => asked.push([wish, more.skip]) }, (run) => opened.push(run));
    past.list.dispatchEvent(new Event("focus"));
    past.show({ runs: [{ id: "r1", title: HOSTILE, status: "finished" }], skip: 0, older: 200 });
    past.list.value = "skip 200";
    past.list.dispatchEvent(new Event("change"));
    past.show({ runs: [{ id: "r2", title: "t", status: "interrupted" }], skip: 200, older: null });
    expect([...past.list.options].map((o) => o.value)).toEqual(["", "skip 0", "r2"]);
    past.list.value = "r2";
    past.list.dispatchEvent(new Event("change"));
    expect([asked, opened]).toEqual([[["history", 0], ["history", 200]], ["r2"]]);
    expect(past.list.querySelectorAll("img, script").length).toBe(0);
  });
});

describe("the voice", () => {
  test("what goes on is told seldom, what has ended at once, by the outermost view", () => {
    vi.useFakeTimers();
    const [outer, inner] = [h("div.wb-part", {}), h("div.wb-part", {})];
    outer.append(inner);
    document.body.append(outer);
    const [whole, part] = [new Voice(outer), new Voice(inner)];
    const said = () => {
      vi.advanceTimersByTime(100);
      return [...document.querySelectorAll("[role=status]")].map((e) => e.textContent);
    };
    whole.say("1 of 9", true);
    expect(said()).toEqual(["1 of 9"]);
    whole.say("2 of 9", true);
    expect(said()).toEqual(["1 of 9"]);
    vi.advanceTimersByTime(6000);
    whole.say("7 of 9", true);
    expect(said()).toEqual(["7 of 9"]);
    part.say("token 3");
    expect(said()).toEqual(["token 3"]);
    vi.useRealTimers();
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
  test("the legend names every step once, and none where nothing was recorded", () => {
    const words = (bounds) => [...legend(QUANTITIES[0], bounds).children].map((e) => e.textContent);
    expect(words([0.001, 0.002, 0.002, 0.002, 0.005, 0.006])).toEqual(["up to 1 ms", "to 2 ms", "to 5 ms", "to 6 ms", "above 6 ms"]);
    expect(words([])).toEqual(["not recorded"]);
  });
});
