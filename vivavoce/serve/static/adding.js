// The dialog that adds a voice from the microphone or a file.

import * as api from "./api.js";
import { byId, fail, show } from "./dom.js";
import { Recorder } from "./recorder.js";
import { isRecording, readable, toInt16, wav } from "./sound.js";

const LONGEST = 15; // seconds of a recording that the server uses
const FIELDS = { name: "voice-name", audio: "recording", transcript: "transcript", consent: "consent" };

export class Adding {
  #recorder = null;
  #recording = null; // File
  #sending = null; // AbortController

  /** onAdded: called with the new voice. onRefused: called with an ApiError of status 401. */
  constructor(onAdded, onRefused) {
    this.onAdded = onAdded;
    this.onRefused = onRefused;
    this.dialog = byId("adding");
    byId("record").addEventListener("click", () => (this.#recorder ? this.#finish() : this.#record()));
    byId("file").addEventListener("change", ({ target }) => target.files[0] && this.#choose(target.files[0]));
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

  async #record() {
    fail("recording", "");
    const recorder = new Recorder();
    const button = byId("record");
    button.disabled = true; // while the browser asks for permission
    try {
      await recorder.start((level) => {
        byId("level").value = level;
        const seconds = recorder.length / recorder.rate;
        byId("recorded").textContent = `${seconds.toFixed(1)} s of ${LONGEST}`;
        if (seconds >= LONGEST) this.#finish();
      });
    } catch (error) {
      await recorder.stop();
      fail("recording", error.message);
      return;
    } finally {
      button.disabled = false;
      button.focus();
    }
    if (!this.dialog.open) return void recorder.stop();
    this.#recorder = recorder;
    byId("record-label").textContent = "Finish";
    byId("record").classList.add("on");
    byId("recording-now").hidden = false;
  }

  async #finish() {
    const recorder = this.#recorder;
    if (!recorder) return;
    this.#recorder = null;
    byId("record-label").textContent = "Record again";
    byId("record").classList.remove("on");
    byId("recording-now").hidden = true;
    const rate = recorder.rate;
    const chunks = (await recorder.stop()).map(toInt16);
    if (this.dialog.open) this.#take(new File([wav(chunks, rate)], "recording.wav", { type: "audio/wav" }));
  }

  /** Take a chosen file, unless it is no recording. */
  async #choose(file) {
    if (await isRecording(file)) return this.#take(file);
    byId("file").value = "";
    fail("recording", `${file.name} is not a recording. Choose a WAV, FLAC, OGG, MP3 or M4A file.`);
  }

  #take(file) {
    this.#recording = file;
    fail("recording", "");
    const preview = byId("preview");
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    preview.hidden = false;
    byId("recording-about").textContent = file.name;
  }

  async #send() {
    this.#clear();
    const name = byId("voice-name").value.trim();
    if (!name) fail("voice-name", "Give the voice a name.");
    if (!this.#recording) fail("recording", "Record your voice, or choose a file.");
    if (!byId("consent").checked) fail("consent", "A voice can only be added if the speaker agrees.");
    if (!name || !this.#recording || !byId("consent").checked) return;
    const send = byId("adding-submit");
    if (send.disabled) return;
    show("recording-about", "Reading the recording …");
    send.disabled = true;
    this.#sending = new AbortController();
    try {
      const form = new FormData();
      form.set("name", name);
      form.set("consent", "true");
      form.set("audio", await readable(this.#recording));
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
        show("recording-about", this.#recording.name);
        fail(FIELDS[error.param] ?? "adding", error.message);
      }
    } finally {
      send.disabled = false;
    }
  }

  #forget() {
    this.#sending?.abort();
    this.#recorder?.stop();
    this.#recorder = null;
    this.#recording = null;
    URL.revokeObjectURL(byId("preview").src);
    byId("preview").removeAttribute("src");
    byId("preview").hidden = true;
    byId("recording-now").hidden = true;
    byId("recording-about").textContent = "";
    byId("record-label").textContent = "Record";
    byId("record").classList.remove("on");
    byId("adding-form").reset();
  }
}
