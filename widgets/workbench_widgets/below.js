// A part inside a part: rendered by the host into a place of its own, closed by its button.

import { h, fill } from "./dom.js";

/** Where another part may be shown. */
export class Below {
  /** @param {any} host @param {() => void} shut Called by the Close button. */
  constructor(host, shut) {
    this.host = host;
    this.shut = shut;
    this.ref = "";
    this.element = h("div.wb-below", {});
  }

  /** @param {string | null | undefined} ref `anywidget:` and the id of the part's model; none closes it. */
  async show(ref) {
    if ((ref ?? "") === this.ref) return;
    this.close();
    this.ref = ref ?? "";
    if (!ref) return;
    const place = h("div", {});
    const from = document.activeElement;
    const shut = () => {
      this.shut();
      if (from instanceof HTMLElement) from.focus();
    };
    fill(this.element, h("button.wb-button.wb-small.wb-shut", { type: "button", on: { click: shut } }, "Close"), place);
    await this.render(ref, place);
  }

  /** @param {string} ref @param {HTMLElement} place */
  async render(ref, place) {
    this.closer = new AbortController();
    const child = await this.host.getWidget(ref);
    await child.render({ el: place, signal: this.closer.signal });
  }

  close() {
    this.closer?.abort();
    this.ref = "";
    fill(this.element);
  }
}
