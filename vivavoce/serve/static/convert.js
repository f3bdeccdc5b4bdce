// The part of the page that speaks a recording in another voice.

import * as api from "./api.js";
import { Capture } from "./capture.js";
import { byId, create, fail, languageNames, save, show } from "./dom.js";
import { RATE } from "./player.js";
import { readable, wav } from "./sound.js";

const LONGEST = 180; // seconds from the microphone, which fit into the server's usual limit for uploads
const SOURCE = {
  record: "source-record",
  label: "source-record-label",
  now: "source-now",
  level: "source-level",
  seconds: "source-seconds",
  file: "source-file",
  preview: "source-preview",
  about: "source-about",
};
// Where the errors of each field of the form are shown.
const FIELDS = {
  audio: "source",
  consent: "source-consent",
  text: "said",
  input: "said",
  voice: "target",
  model: "converter",
  lang: "said-lang",
};

export class Convert {
  #capture = new Capture(SOURCE, "source", LONGEST);
  #models = []; // those that can convert
  #work = null; // AbortController of the conversion in progress
  #made = null; // {chunks, name}

  /** onRefused: called with an ApiError of status 401. */
  constructor(onRefused) {
    this.onRefused = onRefused;
    byId("convert-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#convert();
    });
    byId("convert-stop").addEventListener("click", () => this.#stop());
    byId("convert-download").addEventListener("click", () => this.#download());
    byId("converter").addEventListener("change", () => this.#showModel());
    for (const [id, event] of [["said", "input"], ["source-consent", "change"], ["target", "change"]]) {
      byId(id).addEventListener(event, () => {
        fail(id, "");
        fail("convert", "");
      });
    }
  }

  /** models: of the server. Returns whether one of them can convert. */
  offer(models) {
    this.#models = models.filter((model) => model.conversions.length);
    const chosen = byId("converter").value;
    byId("converter").replaceChildren(...this.#models.map(({ id }) => new Option(id, id)));
    if (this.#models.some(({ id }) => id === chosen)) byId("converter").value = chosen;
    byId("converter-field").hidden = this.#models.length < 2;
    if (this.#models.length) this.#showModel();
    return this.#models.length > 0;
  }

  /** Show the voices, and keep the choice. */
  voices(voices) {
    const chosen = byId("target").value;
    byId("target").replaceChildren(...voices.map(({ id, name }) => new Option(name, id)));
    if (voices.some(({ id }) => id === chosen)) byId("target").value = chosen;
  }

  /** The part is hidden: nothing is heard or recorded any more. */
  leave() {
    this.#capture.halt();
    byId("converted-player").pause();
  }

  get #model() {
    return this.#models.find(({ id }) => id === byId("converter").value);
  }

  #showModel() {
    const { conversions, languages, id } = this.#model;
    const needed = !conversions.includes("recording");
    show("said-need", needed ? `(required by ${id})` : "(optional)");
    byId("said-field").hidden = !conversions.includes("text");
    const names = languageNames();
    const chosen = byId("said-lang").value;
    byId("said-lang").replaceChildren(...languages.map((code) => new Option(names.of(code), code)));
    if (languages.includes(chosen)) byId("said-lang").value = chosen;
    byId("said-lang-field").hidden = languages.length < 2 || byId("said-field").hidden;
    fail("said", "");
  }

  #clear() {
    for (const id of [...Object.values(FIELDS), "convert"]) fail(id, "");
  }

  async #convert() {
    if (this.#work) return;
    this.#clear();
    const { conversions, id } = this.#model;
    const said = conversions.includes("text") ? byId("said").value.trim() : "";
    const file = this.#capture.file;
    if (!file) fail("source", "Record somebody, or choose a file.");
    if (!said && !conversions.includes("recording")) fail("said", "Write the words that are said in the recording.");
    if (!byId("source-consent").checked) fail("source-consent", "A recording may only be converted if its speaker agrees.");
    const wrong = ["source", "said", "source-consent"].find((field) => byId(`${field}-error`).textContent);
    if (wrong) return byId(wrong === "source" ? "source-record" : wrong).focus();
    const work = new AbortController();
    this.#work = work;
    this.#busy(true);
    show("convert-status", "Reading the recording …");
    try {
      const form = new FormData();
      form.set("audio", await readable(file, undefined, Infinity));
      form.set("consent", "true");
      form.set("voice", byId("target").value);
      form.set("model", id);
      if (said) {
        form.set("text", said);
        form.set("lang", byId("said-lang").value);
      }
      if (work.signal.aborted) return;
      show("convert-status", "Converting …");
      const began = performance.now();
      const made = await this.#receive(form, work.signal);
      this.#made = { ...made, name: `${file.name.replace(/\.[^.]*$/, "")} ${byId("target").selectedOptions[0].text}` };
      this.#showMade();
      const seconds = (performance.now() - began) / 1000;
      show("convert-status", `${(made.length / RATE).toFixed(1)} s of speech, converted in ${seconds.toFixed(1)} s.`);
    } catch (error) {
      show("convert-status", "");
      if (work.signal.aborted) return;
      if (error.status === 401) this.onRefused(error);
      else fail(FIELDS[error.param] ?? (error.status === 413 ? "source" : "convert"), error.message);
    } finally {
      if (this.#work === work) {
        this.#work = null;
        this.#busy(false);
      }
    }
  }

  async #receive(form, signal) {
    const made = { chunks: [], notices: [], length: 0 };
    const whole = this.#capture.seconds;
    for await (const { samples, notice } of api.conversion(form, signal)) {
      if (notice) made.notices.push(notice);
      if (!samples) continue;
      made.chunks.push(samples);
      made.length += samples.length;
      const of = Number.isFinite(whole) ? ` of ${whole.toFixed(1)}` : "";
      show("convert-status", `Converting: ${(made.length / RATE).toFixed(1)}${of} s …`);
    }
    return made;
  }

  #showMade() {
    const player = byId("converted-player");
    URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(wav(this.#made.chunks, RATE));
    byId("convert-notices").replaceChildren(...this.#made.notices.map((notice) => create("li", "", notice)));
    byId("converted").hidden = false;
    fail("convert-download", "");
    byId("converted").scrollIntoView({ block: "nearest" });
    player.play().catch(() => {}); // browsers may want a click on the player first
  }

  #busy(on) {
    byId("convert").disabled = on;
    byId("convert-stop").hidden = !on;
  }

  #stop() {
    this.#work?.abort();
    this.#work = null;
    this.#busy(false);
    show("convert-status", "Stopped.");
    byId("convert").focus();
  }

  async #download() {
    const format = byId("convert-format").value;
    const { chunks, name } = this.#made;
    const button = byId("convert-download");
    fail("convert-download", "");
    button.disabled = true;
    try {
      if (format !== "wav") show("convert-download-status", `Preparing the ${format} file …`);
      save(format === "wav" ? wav(chunks, RATE) : await api.encoded(chunks, format), `${name}.${format}`);
    } catch (error) {
      if (error.status === 401) this.onRefused(error);
      else fail("convert-download", error.message);
    } finally {
      show("convert-download-status", "");
      button.disabled = false;
    }
  }
}
