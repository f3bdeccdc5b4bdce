// The sliders of prosody: those that the chosen model follows, and its styles. They go as far as models are trained.

import { byId, create, show } from "./dom.js";

const NEUTRAL = { pitch: 0, pitch_range: 1, energy: 0, pace: 1 };
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}`;
const WORDS = {
  pitch: (value) => `${signed(value)} semitones`,
  pitch_range: (value) => `${value}×`,
  energy: (value) => `${signed(value)} dB`,
  pace: (value) => `${value}×`,
};
const NAMES = { pitch: "pitch", pitch_range: "range", energy: "energy", pace: "pace" };

/** The fields of a request for speech that concern prosody. */
export const FIELDS = Object.keys(NEUTRAL);

/** Returns what differs from the voice's own reading, in words: ["pitch +2 semitones", "energy −3 dB"]. */
export function described(request) {
  return FIELDS.filter((name) => (request[name] ?? NEUTRAL[name]) !== NEUTRAL[name]).map(
    (name) => `${NAMES[name]} ${WORDS[name](request[name])}`,
  );
}

export class Prosody {
  #followed = []; // fields
  #styles = {}; // name → values of all fields

  constructor() {
    for (const name of FIELDS) byId(name).addEventListener("input", () => this.#show());
    byId("style").addEventListener("change", ({ target }) => this.set(this.#styles[target.value] ?? {}));
    byId("prosody-reset").addEventListener("click", () => {
      this.set({});
      byId("prosody").querySelector("summary").focus();
    });
  }

  /** Show the controls of a model, as the server describes it. */
  offer(model) {
    this.#followed = model?.prosody ?? [];
    this.#styles = model?.styles ?? {};
    for (const name of FIELDS) byId(`${name}-field`).hidden = !this.#followed.includes(name);
    const names = Object.keys(this.#styles);
    byId("style-field").hidden = !names.length;
    byId("style").replaceChildren(new Option("None", ""), ...names.map((name) => new Option(name, name)));
    const own = new Option("Own values", "own");
    own.hidden = own.disabled = true; // shown, but not to be chosen
    byId("style").append(own);
    byId("prosody").hidden = !this.#followed.length;
    this.#show();
  }

  /** Set the sliders to the values of a request; fields that it lacks are neutral. */
  set(request) {
    for (const name of FIELDS) byId(name).value = request[name] ?? NEUTRAL[name];
    this.#show();
  }

  /** The fields of a request for speech: those that the model follows and that are not neutral. */
  get values() {
    const found = this.#followed.map((name) => [name, Number(byId(name).value)]);
    return Object.fromEntries(found.filter(([name, value]) => value !== NEUTRAL[name]));
  }

  #show() {
    for (const name of FIELDS) {
      const words = WORDS[name](Number(byId(name).value));
      show(`${name}-shown`, words);
      byId(name).setAttribute("aria-valuetext", words);
    }
    const values = this.values;
    const same = (style) => FIELDS.every((name) => (values[name] ?? NEUTRAL[name]) === style[name]);
    const style = Object.keys(this.#styles).find((name) => same(this.#styles[name]));
    byId("style").value = style ?? (Object.keys(values).length ? "own" : "");
    const shown = style ? [style] : described(values);
    byId("prosody-shown").replaceChildren(...(shown.length ? [create("span", "hint", shown.join(", "))] : []));
    byId("prosody-reset").hidden = !shown.length;
  }
}
