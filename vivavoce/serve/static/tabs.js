// The parts of the page, one of which is shown, and the tabs that choose it.

import { byId } from "./dom.js";

const STORED = "vivavoce.part"; // the part that was shown last

export class Tabs {
  #parts = new Map();
  #current = "speak";

  /** Offer a part. name: of its tab. id: of its element. enter, leave: called when it is shown and hidden. */
  add(name, id, { enter, leave }) {
    if (this.#parts.has(name)) return;
    this.#parts.set(name, { id, enter, leave });
    const tab = byId(`tab-${name}`);
    tab.hidden = false;
    tab.addEventListener("click", () => this.open(name));
    byId("tabs").hidden = this.#parts.size < 2;
    if (localStorage.getItem(STORED) === name) this.open(name);
  }

  /** Show a part. */
  open(name) {
    if (name !== this.#current) {
      this.#parts.get(this.#current).leave();
      this.#current = name;
      for (const [other, { id }] of this.#parts) {
        byId(id).hidden = other !== name;
        if (other === name) byId(`tab-${other}`).setAttribute("aria-current", "page");
        else byId(`tab-${other}`).removeAttribute("aria-current");
      }
    }
    localStorage.setItem(STORED, name);
    return this.#parts.get(name).enter();
  }
}
