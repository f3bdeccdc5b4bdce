// The dialog that adds a voice from the microphone or a file.

import * as api from "./api.js";
import { Capture } from "./capture.js";
import { byId, fail } from "./dom.js";
import { readable } from "./sound.js";

const LONGEST = 15; // seconds of a recording that the server uses
const RECORDING = {
  record: "record",
  label: "record-label",
  now: "recording-now",
  level: "level",
  seconds: "recorded",
  file: "file",
  preview: "preview",
  about: "recording-about",
};
const FIELDS = { name: "voice-name", audio: "recording", transcript: "transcript", consent: "consent" };

export class Adding {
  #capture = new Capture(RECORDING, "recording", LONGEST);
  #sending = null; // AbortController

  /** onAdded: called with the new voice. onRefused: called with an ApiError of status 401. */
  constructor(onAdded, onRefused) {
    this.onAdded = onAdded;
    this.onRefused = onRefused;
    this.dialog = byId("adding");
    for (const [id, event] of [["voice-name", "input"], ["transcript", "input"], ["consent", "change"]]) {
      byId(id).addEventListener(event, () => {
        fail(id, "");
        fail("adding", "");
      });
    }
    byId("adding-cancel").addEventListener("click", () => this.dialog.close());
    byId("adding-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.dialog.addEventListener("close", () => this.#forget());
  }

  /** needy: names of the models that need a transcript. */
  open(needy) {
    this.#clear();
    byId("transcript-need").textContent = needy.length ? `(required by ${needy.join(", ")})` : "(optional)";
    this.dialog.showModal();
    byId("voice-name").focus();
  }

  #clear() {
    for (const id of Object.values(FIELDS)) fail(id, "");
    fail("adding", "");
  }

  async #send() {
    this.#clear();
    const name = byId("voice-name").value.trim();
    const recording = this.#capture.file;
    if (!name) fail("voice-name", "Give the voice a name.");
    if (!recording) fail("recording", "Record your voice, or choose a file.");
    if (!byId("consent").checked) fail("consent", "A voice can only be added if the speaker agrees.");
    if (!name || !recording || !byId("consent").checked) return;
    const send = byId("adding-submit");
    if (send.disabled) return;
    this.#capture.about("Reading the recording …");
    send.disabled = true;
    this.#sending = new AbortController();
    try {
      const form = new FormData();
      form.set("name", name);
      form.set("consent", "true");
      form.set("audio", await readable(recording));
      const said = byId("transcript").value.trim();
      if (said) form.set("transcript", said);
      const voice = await api.addVoice(form, this.#sending.signal);
      this.dialog.close();
      this.onAdded(voice);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 401) {
        this.dialog.close();
        this.onRefused(error);
      } else {
        this.#capture.about();
        fail(FIELDS[error.param] ?? "adding", error.message);
      }
    } finally {
      send.disabled = false;
    }
  }

  #forget() {
    this.#sending?.abort();
    this.#capture.forget();
    byId("adding-form").reset();
  }
}
