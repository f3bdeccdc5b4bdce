// The studio: record sentences or add files, train a voice in a process of the server, listen to it, use it.

import { studio } from "./api.js";
import { byId, clock, create, fail, save, show } from "./dom.js";
import { Recorder } from "./recorder.js";
import { isRecording, readable, toInt16, wav } from "./sound.js";
import { showTraining } from "./training.js";

const STORED = "vivavoce.studio"; // which voice was shown
const POLL = 1000; // milliseconds
const LONGEST = 60; // seconds of a sentence
const FIELDS = { consent: "training-consent", minutes: "training-minutes", licence: "training-licence", audio: "take" };

export class Studio {
  #project = null; // of the server
  #sentences = [];
  #index = 0; // of the sentence
  #recorder = null;
  #timer = 0;
  #limits = {};
  #audio = new Audio();

  /** page: tabs, refused(error) and use(name) of the other part of the page. */
  constructor(page) {
    this.page = page;
    const on = (id, event, work) => byId(id).addEventListener(event, (it) => this.#try(work, it));
    on("project", "change", ({ target }) => this.#choose(target.value));
    on("project-form", "submit", (event) => (event.preventDefault(), this.#create()));
    on("project-delete", "click", () => this.#delete());
    on("script", "change", () => this.#script());
    on("take", "click", () => (this.#recorder ? this.#finish() : this.#record()));
    on("take-play", "click", () => this.#play(`/recordings/${this.#id}`));
    on("before", "click", () => this.#move(this.#index - 1));
    on("after", "click", () => this.#move(this.#index + 1));
    on("take-files", "change", ({ target }) => this.#add([...target.files]).finally(() => (target.value = "")));
    on("training-form", "submit", (event) => (event.preventDefault(), this.#train()));
    on("train-stop", "click", () => this.#stop());
    on("use", "click", () => this.#use());
    on("export", "click", () => this.#save("/bundle", `${this.#project.name}.voice`));
    on("report", "click", () => this.#save("/report", `${this.#project.name}.html`));
    const card = byId("recording-card");
    for (const kind of ["dragover", "dragleave", "drop"]) {
      card.addEventListener(kind, (event) => {
        event.preventDefault();
        card.classList.toggle("over", kind === "dragover");
        if (kind === "drop") this.#try(() => this.#add([...event.dataTransfer.files]));
      });
    }
    for (const id of ["training-consent", "training-minutes", "training-licence", "project-name"]) {
      byId(id).addEventListener("input", () => fail(id, ""));
    }
    page.tabs.add("studio", "studio", { enter: () => this.#try(() => this.load()), leave: () => this.#leave() });
  }

  /** Read the voices of the studio, and show the one that was shown before. */
  async load() {
    if (byId("studio").hidden) return;
    this.#limits = await studio.read();
    if (!byId("script").options.length) {
      byId("script").append(...this.#limits.scripts.map((size) => new Option(size, size)));
      byId("script").value = 200;
      await this.#script();
    }
    const { names, running } = this.#limits;
    const before = JSON.parse(localStorage.getItem(STORED) ?? "{}").name;
    byId("project").replaceChildren(...names.map((name) => new Option(name, name)));
    byId("project").disabled = !names.length;
    const name = [this.#project?.name, before, running, names[0]].find((one) => names.includes(one));
    byId("project-parts").hidden = byId("project-delete").hidden = !name;
    if (name) await this.#choose(name);
  }

  /** Do something; its error is shown where it belongs. */
  async #try(work, event) {
    fail("studio", "");
    try {
      await work(event);
    } catch (error) {
      if (error.status === 401) this.page.refused(error);
      else fail(FIELDS[error.param] ?? "studio", error.message);
    }
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#audio.pause();
    if (this.#recorder) this.#try(() => this.#finish());
  }

  #remember() {
    localStorage.setItem(STORED, JSON.stringify({ name: this.#project?.name }));
  }

  #path(rest = "") {
    return `/voices/${encodeURIComponent(this.#project.name)}${rest}`;
  }

  // --- voices -----------------------------------------------------------------------------------------------------

  async #create() {
    fail("project-name", "");
    const name = byId("project-name").value.trim();
    if (!name) return fail("project-name", "Give the voice a name.");
    try {
      this.#project = await studio.send("/voices", { name });
    } catch (error) {
      if (error.status === 401) throw error;
      return fail("project-name", error.message);
    }
    byId("project-name").value = "";
    await this.load();
    byId("take").focus();
  }

  async #choose(name) {
    const another = this.#project?.name !== name || !byId("takes").childElementCount;
    this.#project = await studio.read(`/voices/${encodeURIComponent(name)}`);
    byId("project").value = name;
    for (const id of ["take", "training", ...Object.values(FIELDS)]) fail(id, "");
    show("take-status", "");
    this.#remember();
    this.#showTakes();
    this.#showState(this.#project.state);
    if (another) this.#move(this.#next(0));
  }

  async #delete() {
    const name = this.#project.name;
    if (!confirm(`Delete the recordings and the training of “${name}”? The finished voice stays.`)) return;
    await studio.remove(this.#path());
    this.#project = null;
    await this.load();
    byId("project-name").focus();
  }

  // --- recordings -------------------------------------------------------------------------------------------------

  async #script() {
    const found = await studio.read(`/sentences?count=${byId("script").value}`);
    this.#sentences = found.sentences;
    if (this.#project) this.#move(this.#next(0));
  }

  get #id() {
    return String(this.#index + 1).padStart(4, "0");
  }

  /** Returns the first sentence from `start` on that is not recorded yet; the last one if all are. */
  #next(start) {
    const done = new Set(this.#project.takes.map((take) => take.sentence));
    const free = this.#sentences.findIndex((_, index) => index >= start && !done.has(index + 1));
    return free < 0 ? this.#sentences.length - 1 : free;
  }

  #move(index) {
    this.#index = Math.max(0, Math.min(this.#sentences.length - 1, index));
    const take = this.#project.takes.find((one) => one.id === this.#id);
    show("sentence", this.#sentences[this.#index]);
    show("sentence-place", `${this.#index + 1} of ${this.#sentences.length}${take ? ", recorded" : ""}`);
    byId("take-play").disabled = !take;
    byId("before").disabled = this.#index === 0;
    byId("after").disabled = this.#index === this.#sentences.length - 1;
    byId("take-label").textContent = take ? "Record again" : "Record";
    byId("take-faults").replaceChildren(...(take?.faults ?? []).map((fault) => create("li", "", fault)));
  }

  async #record() {
    fail("take", "");
    this.#audio.pause();
    const recorder = new Recorder();
    const button = byId("take");
    button.disabled = true; // while the browser asks for permission
    try {
      await recorder.start((level) => {
        byId("take-level").value = level;
        const seconds = recorder.length / recorder.rate;
        show("take-seconds", `${seconds.toFixed(1)} s`);
        if (seconds >= LONGEST) this.#try(() => this.#finish());
      });
    } catch (error) {
      await recorder.stop();
      return fail("take", error.message);
    } finally {
      button.disabled = false;
      button.focus();
    }
    this.#recorder = recorder;
    this.#recording(true);
  }

  #recording(on) {
    byId("take-label").textContent = on ? "Finish" : "Record";
    byId("take").classList.toggle("on", on);
    byId("take-now").hidden = !on;
    for (const id of ["before", "after", "script", "project"]) byId(id).disabled = on;
  }

  async #finish() {
    const recorder = this.#recorder;
    if (!recorder) return;
    this.#recorder = null;
    this.#recording(false);
    const rate = recorder.rate;
    const chunks = (await recorder.stop()).map(toInt16);
    const index = this.#index;
    try {
      const file = new File([wav(chunks, rate)], "sentence.wav", { type: "audio/wav" });
      const take = await this.#upload(file, { sentence: index + 1 });
      // A good take leads on to the next sentence; another one is shown, with what is wrong with it.
      this.#move(take.faults.length ? index : this.#next(index));
      show("take-status", take.faults.length ? "Stored, but listen to it:" : `Sentence ${index + 1} is stored.`);
    } catch (error) {
      this.#move(index);
      if (error.status === 401) throw error;
      fail("take", error.message);
    }
  }

  async #upload(file, fields) {
    const form = new FormData();
    form.set("audio", file);
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    const take = await studio.upload(this.#path("/recordings"), form);
    this.#project = await studio.read(this.#path());
    this.#showTakes();
    this.#showState(this.#project.state);
    return take;
  }

  /** Add files: recordings, and .txt files with the words of recordings of the same name. */
  async #add(files) {
    fail("take", "");
    const stem = (file) => file.name.replace(/\.[^.]*$/, "");
    const texts = new Map();
    for (const file of files) if (/\.txt$/i.test(file.name)) texts.set(stem(file), await file.text());
    const sounds = files.filter((file) => !/\.txt$/i.test(file.name));
    const wrong = [];
    for (const [number, file] of sounds.entries()) {
      show("take-status", `Adding ${number + 1} of ${sounds.length}: ${file.name} …`);
      try {
        if (!(await isRecording(file))) throw new Error("not a recording");
        const sent = await readable(file, 1e6 * this.#limits.max_upload_mb, this.#limits.max_seconds);
        const named = new File([sent], file.name, { type: sent.type });
        await this.#upload(named, { text: texts.get(stem(file)) ?? "" });
      } catch (error) {
        if (error.status === 401) throw error;
        wrong.push(`${file.name}: ${error.message}`);
      }
    }
    show("take-status", sounds.length ? `${sounds.length - wrong.length} of ${sounds.length} files were added.` : "");
    if (!sounds.length) wrong.push("no recordings among the files");
    fail("take", wrong.join("; "));
    byId("takes-all").open = true;
  }

  #showTakes() {
    const { takes, minutes, advice } = this.#project;
    const faulty = takes.filter((take) => take.faults.length).length;
    const count = `${takes.length} recording${takes.length === 1 ? "" : "s"}, ${clock(60 * minutes)} minutes`;
    show("takes-about", takes.length ? `${count}${faulty ? `, ${faulty} to listen to again` : ""}` : "No recordings yet");
    show("advice", advice);
    byId("takes").replaceChildren(...takes.map((take) => this.#takeOf(take)));
  }

  #takeOf(take) {
    const play = create("button", "quiet", "▶");
    Object.assign(play, { type: "button", ariaLabel: `Play ${take.id}` });
    play.addEventListener("click", () => this.#try(() => this.#play(`/recordings/${take.id}`)));
    const remove = create("button", "quiet remove", "×");
    Object.assign(remove, { type: "button", ariaLabel: `Delete ${take.id}` });
    remove.addEventListener("click", () => this.#try(() => this.#remove(take.id)));
    const said = take.text || (this.#limits.can_transcribe ? "Whisper will write its words" : "no text");
    const words = create("span", "words-of", create("strong", "", take.id), ` ${said}`);
    const item = create("li", "", play, words, create("span", "hint", `${take.seconds.toFixed(1)} s`), remove);
    for (const fault of take.faults) item.append(create("span", "fault", fault));
    return item;
  }

  async #remove(id) {
    await studio.remove(this.#path(`/recordings/${id}`));
    await this.#choose(this.#project.name);
    this.#move(this.#index);
  }

  /** Play a sound of the server. It is fetched, because a player cannot send the key. */
  async #play(path) {
    const sound = await studio.blob(this.#path(path));
    URL.revokeObjectURL(this.#audio.src);
    this.#audio.src = URL.createObjectURL(sound);
    await this.#audio.play();
  }

  // --- training ---------------------------------------------------------------------------------------------------

  async #train() {
    for (const id of [...Object.values(FIELDS), "training"]) fail(id, "");
    const consent = byId("training-consent").value.trim();
    const minutes = Number(byId("training-minutes").value.replace(",", "."));
    if (consent.length < 10) return fail("training-consent", "State who agrees to what, in a sentence.");
    if (!byId("training-agreed").checked) return fail("training-consent", "A voice is only trained if its speaker agrees.");
    if (!(minutes > 0)) return fail("training-minutes", "Enter a number of minutes.");
    const asked = { consent, minutes, licence: byId("training-licence").value.trim() || "private" };
    if (this.#project.changed || this.#project.state.status === "done") {
      const why = this.#project.changed ? "The recordings have changed. " : "";
      if (!confirm(`${why}Train again from the start? This replaces the voice.`)) return;
      asked.again = true;
    }
    byId("train").disabled = true;
    try {
      this.#showState(await studio.send(this.#path("/training"), asked));
    } catch (error) {
      byId("train").disabled = false;
      if (error.status === 401) throw error;
      fail(FIELDS[error.param] ?? "training", error.message);
    }
  }

  async #stop() {
    show("training-status", "Stopping; a checkpoint is saved …");
    this.#showState(await studio.remove(this.#path("/training")));
  }

  #showState(state) {
    clearTimeout(this.#timer);
    this.#project.state = state;
    showTraining(state, (key) => this.#try(() => this.#play(`/sounds/${key}`)));
    if (this.#project.changed && state.status !== "running") {
      byId("train").textContent = "Train again";
      show("training-status", "The recordings have changed since the training.");
    }
    byId("finished").hidden = state.status !== "done";
    if (state.status === "done") show("finished-about", `The voice ${this.#project.name} speaks now.`);
    if (state.status === "running") this.#timer = setTimeout(() => this.#try(() => this.#poll()), POLL);
  }

  async #poll() {
    const name = this.#project.name;
    let state;
    try {
      state = await studio.read(this.#path("/training"));
    } catch (error) {
      this.#timer = setTimeout(() => this.#try(() => this.#poll()), 5 * POLL); // the server may be busy or restart
      throw error;
    }
    if (name !== this.#project?.name || byId("studio").hidden) return;
    if (state.status !== "running") this.#project = await studio.read(this.#path());
    this.#showState(state);
  }

  // --- the finished voice -----------------------------------------------------------------------------------------

  async #use() {
    const name = this.#project.name;
    await this.page.tabs.open("speak");
    await this.page.use(name);
  }

  async #save(path, name) {
    fail("finished", "");
    save(await studio.blob(this.#path(path)), name);
  }
}
