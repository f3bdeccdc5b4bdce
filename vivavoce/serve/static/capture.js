// Takes a recording from the microphone or from a file.

import { byId, fail } from "./dom.js";
import { Recorder } from "./recorder.js";
import { isRecording, toInt16, wav } from "./sound.js";

export class Capture {
  #recorder = null;
  #turn = 0; // counts what was forgotten: a microphone that is allowed later is not used

  file = null; // File: the recording

  /**
   * ids: of the elements record, label, now, level, seconds, file, preview and about. field: where errors are shown.
   * longest: seconds of a recording from the microphone.
   */
  constructor(ids, field, longest) {
    this.ids = ids;
    this.field = field;
    this.longest = longest;
    this.#on("record", "click", () => (this.#recorder ? this.#finish() : this.#record()));
    this.#on("file", "change", ({ target }) => target.files[0] && this.#choose(target.files[0]));
  }

  #at(name) {
    return byId(this.ids[name]);
  }

  #on(name, event, work) {
    this.#at(name).addEventListener(event, work);
  }

  /** Seconds of the recording, NaN before the browser knows them. */
  get seconds() {
    return this.#at("preview").duration;
  }

  /** Show a message below the recording; without one, the name of its file. */
  about(message = this.file?.name ?? "") {
    this.#at("about").textContent = message;
  }

  async #record() {
    fail(this.field, "");
    const recorder = new Recorder();
    const button = this.#at("record");
    const turn = this.#turn;
    button.disabled = true; // while the browser asks for permission
    this.#progress(0, 0);
    try {
      await recorder.start((level) => {
        const seconds = recorder.length / recorder.rate;
        this.#progress(level, seconds);
        if (seconds >= this.longest) this.#finish();
      });
    } catch (error) {
      await recorder.stop();
      fail(this.field, error.message);
      return;
    } finally {
      button.disabled = false;
      button.focus();
    }
    if (turn !== this.#turn) return void recorder.stop();
    this.#at("preview").pause();
    this.#recorder = recorder;
    this.#at("label").textContent = "Finish";
    button.classList.add("on");
    this.#at("now").hidden = false;
  }

  #progress(level, seconds) {
    this.#at("level").value = level;
    this.#at("seconds").textContent = `${seconds.toFixed(1)} s of ${this.longest}`;
  }

  async #finish() {
    const recorder = this.#recorder;
    if (!recorder) return;
    const turn = this.#turn;
    this.#recorder = null;
    this.#idle("Record again");
    const rate = recorder.rate;
    const chunks = (await recorder.stop()).map(toInt16);
    if (turn === this.#turn) this.#take(new File([wav(chunks, rate)], "recording.wav", { type: "audio/wav" }));
  }

  #idle(label) {
    this.#at("label").textContent = label;
    this.#at("record").classList.remove("on");
    this.#at("now").hidden = true;
  }

  /** Take a chosen file, unless it is not a recording. */
  async #choose(file) {
    if (await isRecording(file)) return this.#take(file);
    this.#at("file").value = "";
    fail(this.field, `${file.name} is not a recording. Choose a WAV, FLAC, OGG, MP3 or M4A file.`);
  }

  #take(file) {
    this.file = file;
    fail(this.field, "");
    const preview = this.#at("preview");
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    preview.hidden = false;
    this.about();
  }

  /** Stop the microphone and the preview, and keep the recording. */
  halt() {
    if (this.#recorder) {
      this.#recorder.stop();
      this.#recorder = null;
      this.#idle(this.file ? "Record again" : "Record");
    }
    this.#turn++;
    this.#at("preview").pause();
  }

  forget() {
    this.halt();
    this.file = null;
    const preview = this.#at("preview");
    URL.revokeObjectURL(preview.src);
    preview.removeAttribute("src");
    preview.hidden = true;
    this.#at("file").value = "";
    this.about("");
    this.#idle("Record");
  }
}
