// The list of voices in the form: choose a voice, play its sample, delete one that was added.

import * as api from "./api.js";
import { byId, create, fail, show } from "./dom.js";
import { playSample } from "./sample.js";

export class VoiceList {
  #voices = [];

  /** onShow: called with the voices that are shown. onSample: called before a sample is played.
   *  onRefused: called with an ApiError of status 401. */
  constructor({ onShow, onSample, onRefused }) {
    Object.assign(this, { onShow, onSample, onRefused });
    byId("voices").addEventListener("change", ({ target }) => {
      for (const sample of byId("voices").querySelectorAll(".sample")) sample.tabIndex = -1;
      byId(`sample-of-${target.value}`).tabIndex = 0;
    });
  }

  /** The id of the chosen voice; "" before there are any. */
  get chosen() {
    return byId("voices").querySelector("input[name=voice]:checked")?.value ?? "";
  }

  /** The voice of an id, or undefined. */
  find(id) {
    return this.#voices.find((voice) => voice.id === id);
  }

  /** Show other voices. choice: the id of the chosen one; the first one by default. */
  replace(voices, choice = voices[0]?.id) {
    this.#voices = voices;
    this.choose(choice);
  }

  choose(id) {
    byId("voices").replaceChildren(...this.#voices.map((voice) => this.#chip(voice, voice.id === id)));
    this.onShow(this.#voices);
  }

  /** Show a voice that was just added, and choose it. */
  add(voice) {
    this.replace([...this.#voices, voice], voice.id);
    fail("voice", "");
    show("voice-status", [`The voice ${voice.name} was added.`, ...voice.notices].join(" "));
    byId(`voice-of-${voice.id}`).focus();
  }

  #chip(voice, chosen) {
    const input = create("input", "");
    Object.assign(input, { type: "radio", name: "voice", value: voice.id, id: `voice-of-${voice.id}` });
    input.checked = chosen;
    const label = create("label", "", create("strong", "", voice.name), " ", create("span", "", voice.description));
    label.htmlFor = input.id;
    const sample = create("button", "quiet sample", "▶");
    Object.assign(sample, { type: "button", id: `sample-of-${voice.id}`, ariaLabel: `Play a sample of ${voice.name}` });
    sample.tabIndex = chosen ? 0 : -1; // one stop for all of them
    sample.addEventListener("click", () => this.#play(voice, sample));
    const chip = create("div", "voice", input, label, sample);
    if (voice.type !== "builtin" && /^voice_[0-9a-f]{32}$/.test(voice.id)) {
      const remove = create("button", "quiet remove", "×");
      remove.type = "button";
      remove.ariaLabel = `Delete the voice ${voice.name}`;
      remove.addEventListener("click", () => this.#remove(voice));
      chip.append(remove);
    }
    return chip;
  }

  async #play(voice, button) {
    this.onSample();
    fail("voice", "");
    button.classList.add("busy");
    try {
      await playSample({ model: byId("model").value, voice: voice.id, lang: byId("lang").value });
    } catch (error) {
      if (error.status === 401) this.onRefused(error);
      else fail("voice", error.message);
    } finally {
      button.classList.remove("busy");
    }
  }

  async #remove(voice) {
    if (!confirm(`Delete the voice “${voice.name}” from the server? This also deletes the recording.`)) return;
    fail("voice", "");
    try {
      await api.deleteVoice(voice.id);
      show("voice-status", `The voice ${voice.name} was deleted.`);
    } catch (error) {
      if (error.status === 401) return this.onRefused(error);
      fail("voice", error.message);
      if (error.status !== 404) return;
    }
    const rest = this.#voices.filter((other) => other.id !== voice.id);
    this.replace(rest, this.chosen === voice.id ? rest[0]?.id : this.chosen);
    byId("add").focus();
  }
}
