// @vitest-environment jsdom
import { beforeEach, describe, expect, test } from "vitest";
import card from "../workbench_widgets/card.js";
import sweep from "../workbench_widgets/sweep.js";
import tabs from "../workbench_widgets/tabs.js";

const HOSTILE = '<img src=x onerror="globalThis.CANARY=1">';

function model(told) {
  const calls = {};
  return { sent: [], calls, get: () => told, on: (type, call) => (calls[type] = call), off: () => {}, send(content) { this.sent.push(content); } };
}

/** A part's view, and what it asked for. */
function shown(part, told, host = {}) {
  const own = model(told);
  const el = document.createElement("div");
  document.body.append(el);
  const close = part.render({ model: own, el, host });
  return { el, own, close, asked: () => own.sent.map((one) => one.do) };
}

const cell = (temperature, top_p, more = {}) => ({
  place: [["mode", "on"], ["temperature", temperature], ["top_p", top_p]],
  planned: 4, ended: 0, failed: 0, truncated: 0, incomplete: 0, running: 0, accuracy: null, tokens: null, seconds: null, ...more,
});
const grid = (cells, more = {}) => ({ form: { suite: "arithmetic" }, status: "idle", run: null, title: "a plan", cost: "little", model: "demo", cells, below: null, problem: null, ...more });

globalThis.ResizeObserver = class {
  observe() {} // jsdom has no layout: nothing has a size, and none changes
  disconnect() {}
};

beforeEach(() => document.body.replaceChildren());

describe("sweep", () => {
  const cells = [cell("0", "1"), cell("0.6", "0.9"), cell("0.6", "1")];
  test("the last axis that varies goes across, and what is missing stays empty", () => {
    const { el, close } = shown(sweep, grid(cells));
    expect([...el.querySelectorAll(".wb-grid thead th")].map((e) => e.textContent)).toEqual(["top_p 1", "top_p 0.9"]);
    expect([...el.querySelectorAll(".wb-grid tbody th")].map((e) => e.textContent)).toEqual(["temperature 0", "temperature 0.6"]);
    expect(el.querySelectorAll(".wb-tile").length).toBe(3);
    expect(el.querySelectorAll(".wb-grid tbody tr")[0].querySelectorAll(".wb-tile").length).toBe(1);
    close();
  });
  test("tiles fill in place, with colours and words", () => {
    const { el, own, close } = shown(sweep, grid(cells, { status: "running" }));
    const tile = el.querySelectorAll(".wb-tile")[0];
    own.calls["msg:custom"]({ k: "cells", status: "running", run: "r", d: [[0, cell("0", "1", { ended: 2, truncated: 1, accuracy: [0.5, 0.1, 0.9], tokens: [120, null, null], seconds: [1.5, null, null] })]] }, []);
    expect(el.querySelectorAll(".wb-tile")[0]).toBe(tile);
    expect(tile.textContent).toContain("50 %");
    expect(tile.textContent).toContain("1 truncated");
    expect(tile.className).toMatch(/wb-s3/);
    expect(tile.getAttribute("aria-label")).toContain("2 of 4 ended");
    expect(el.querySelector(".wb-status").textContent).toContain("2 of 12");
    close();
  });
  test("a tile that the page does not know yet makes it ask for everything", () => {
    const { own, asked, close } = shown(sweep, grid(cells));
    const before = asked().length;
    own.calls["msg:custom"]({ k: "cells", status: "running", run: "r", d: [[7, cell("2", "1")]] }, []);
    expect(asked().slice(before)).toEqual(["pull"]);
    close();
  });
  test("names of generations are text", () => {
    const { el, own, close } = shown(sweep, grid(cells));
    el.querySelectorAll(".wb-tile")[1].click();
    own.calls["msg:custom"]({ k: "cell", cell: 2, rows: [{ index: 3, problem: HOSTILE, sample: 0, end: "stop", score: 1, read: HOSTILE, tokens: 5, seconds: 0.1 }] }, []);
    expect(el.querySelectorAll("img").length).toBe(0);
    expect(el.querySelector(".wb-members tbody").textContent).toContain(HOSTILE);
    el.querySelector(".wb-members .wb-button").click();
    expect(own.sent.at(-1)).toMatchObject({ do: "open", index: 3 });
    close();
  });
  test("where there is no plan it says what to do", () => {
    const { el, close } = shown(sweep, grid([], { title: null }));
    expect(el.querySelector(".wb-status").textContent).toContain("press Plan");
    expect(el.querySelector("progress").hidden).toBe(true);
    close();
  });
  test("what can be done follows the state", () => {
    const states = { idle: [false, true, true], running: [true, false, false], paused: [true, false, false], stopped: [false, true, true], done: [true, true, true] };
    for (const [status, disabled] of Object.entries(states)) {
      const { el, close } = shown(sweep, grid(cells, { status }));
      const buttons = [...el.querySelectorAll(".wb-row")][1].querySelectorAll("button");
      expect([...buttons].map((b) => b.disabled)).toEqual(disabled);
      close();
    }
  });
});

describe("model card", () => {
  const told = {
    models: [{ name: HOSTILE, summary: HOSTILE, here: true, licence: null, context: null, repository: null }, { name: "demo", summary: "small", here: true, licence: "L", context: 2048, repository: null }],
    caches: ["fp16", "q8"], chosen: { model: "demo", context: null, cache: "q8", batch: 1 }, loading: false, loaded: null,
    fit: { of: "demo, fp16", context: 2048, parts: [["weights", 2 ** 31]], total: 2 ** 31, cards: [{ name: "A", memory: 2 ** 34, own: false, fits: true, largest: 2048 }, { name: "B", memory: 2 ** 30, own: true, fits: false, largest: null }] },
    checks: null, problem: null,
  };
  test("tells models, memory and cards as text", () => {
    const { el, own, close } = shown(card, told);
    expect(el.querySelectorAll("img").length).toBe(0);
    expect(el.querySelector("[aria-pressed=true]").textContent).toContain("demo");
    expect(el.textContent).toContain("2 GiB");
    expect(el.textContent).toContain("does not fit");
    expect(el.querySelector("tr.wb-own td, tr.wb-own th").textContent).toBe("in all");
    el.querySelectorAll(".wb-model-choice")[0].click();
    expect(own.sent.at(-1)).toMatchObject({ do: "choose", model: HOSTILE, cache: "q8" });
    close();
  });
  test("has the doctor's warnings with their remedies, and what is well only as a number", () => {
    const checks = [{ name: "GPU", status: "ok", found: "one", remedy: "" }, { name: "flash-attn", status: "warn", found: HOSTILE, remedy: "pip install flash-attn" }];
    const { el, close } = shown(card, { ...told, checks });
    const doctor = [...el.querySelectorAll(".wb-box")].find((box) => box.textContent.startsWith("Doctor"));
    expect(doctor.querySelectorAll("tr").length).toBe(1);
    expect(doctor.textContent).toContain(`flash-attn${HOSTILE}pip install flash-attn`);
    expect(doctor.querySelectorAll("img").length).toBe(0);
    close();
    const well = shown(card, { ...told, checks: checks.slice(0, 1) });
    expect(well.el.textContent).toContain("Nothing is missing here: 1 check passed");
    well.close();
  });
  test("says how far loading is", () => {
    const { el, own, close } = shown(card, { ...told, loading: true });
    own.calls["msg:custom"]({ k: "loading", read: [3, 12, "modules"], seconds: 1.5 }, []);
    expect(el.querySelector(".wb-status").textContent).toBe("Loading demo: 1.50 s, 3 of 12 modules");
    expect(el.querySelector("progress").value).toBe(3);
    own.calls["msg:custom"]({ k: "loading", read: [5, 48, "objects"], seconds: 90 }, []);
    expect(el.querySelector(".wb-status").textContent).toMatch(/^Building ExLlamaV2's extension, which is kept: .*, 5 of 48 objects$/);
    close();
  });
});

describe("tabs", () => {
  test("each part is rendered when it is first looked at, once; arrow keys go round", async () => {
    const rendered = [];
    const host = { getWidget: async (ref) => ({ render: async ({ el }) => { rendered.push(ref); el.textContent = ref; } }) };
    const { el, close } = shown(tabs, { tabs: [["One", "anywidget:1"], ["Two", "anywidget:2"]] }, host);
    const buttons = el.querySelectorAll("[role=tab]");
    await Promise.resolve();
    buttons[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    buttons[1].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    await new Promise((next) => setTimeout(next, 5));
    expect(rendered).toEqual(["anywidget:1", "anywidget:2"]);
    expect(buttons[0].getAttribute("aria-selected")).toBe("true");
    expect([...el.querySelectorAll("[role=tabpanel]")].map((e) => e.hidden)).toEqual([false, true]);
    close();
  });
});
