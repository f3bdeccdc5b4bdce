// The page: what its controls do. Speech is requested, played, drawn and lit while it is made.

import { Adding } from "./adding.js";
import * as api from "./api.js";
import { byId, clock, fail, made, save, tell } from "./dom.js";
import * as history from "./history.js";
import { Player, RATE } from "./player.js";
import { wav } from "./sound.js";
import { Wave } from "./wave.js";
import { Words } from "./words.js";

const EXAMPLES = [
  "The lamp in the window burned all night. At dawn somebody came up the path, knocked twice, and waited.",
  "Good morning. It is 7:45, the sun is out, and nobody expects anything from you before nine.",
  "Read this to me slowly, as if there were no hurry at all, and as if the tea were still warm.",
];
// Fields of a request → where their errors are shown.
const FIELDS = {
  input: "text",
  voice: "voice",
  speed: "speed",
  model: "model",
  lang: "lang",
  response_format: "download",
};

const composer = byId("composer");
const player = new Player();
const wave = new Wave(byId("wave"));
const words = new Words(byId("words"), (second) => seek(second));
const adding = new Adding(added, refused);

let models = [];
let voices = [];
let loading = null; // the promise of both
let work = null; // AbortController of the speech that is being made
let spoken = null; // the request of the speech that is shown, with its seed
let frame = 0;

// --- settings ---------------------------------------------------------------------------------------------------------

/** The slider has octaves: as far from normal to twice as to half. */
const speed = () => Number((2 ** Number(byId("speed").value)).toPrecision(2));

function showSpeed() {
  const shown = `${speed()}×`;
  byId("speed-shown").textContent = shown;
  byId("speed").setAttribute("aria-valuetext", shown);
}

function chosenVoice() {
  return composer.querySelector("input[name=voice]:checked")?.value ?? "";
}

function showVoices(choice) {
  const list = voices.map((voice) => {
    const input = made("input", "");
    Object.assign(input, { type: "radio", name: "voice", value: voice.id, id: `voice-of-${voice.id}` });
    input.checked = voice.id === choice;
    const label = made("label", "", made("strong", "", voice.name), " ", made("span", "", voice.description));
    label.htmlFor = input.id;
    const chip = made("div", "voice", input, label);
    if (voice.type !== "builtin") {
      const remove = made("button", "quiet remove", "×");
      remove.type = "button";
      remove.ariaLabel = `Delete the voice ${voice.name}`;
      remove.addEventListener("click", () => removeVoice(voice));
      chip.append(remove);
    }
    return chip;
  });
  byId("voices").replaceChildren(...list);
}

async function removeVoice(voice) {
  if (!confirm(`Delete the voice “${voice.name}” from the server? Its recording is gone then.`)) return;
  fail("voice", "");
  try {
    await api.deleteVoice(voice.id);
    tell("voice-status", `The voice ${voice.name} is deleted.`);
  } catch (error) {
    if (error.status === 401) return refused(error);
    fail("voice", error.message);
    if (error.status !== 404) return;
  }
  voices = voices.filter((other) => other.id !== voice.id);
  showVoices(chosenVoice() === voice.id ? voices[0]?.id : chosenVoice());
  byId("add").focus();
}

function added(voice) {
  voices.push(voice);
  showVoices(voice.id);
  fail("voice", "");
  tell("voice-status", [`The voice ${voice.name} is added.`, ...voice.notices].join(" "));
  byId(`voice-of-${voice.id}`).focus();
}

function showLanguages(choice) {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  const known = models.find((model) => model.id === byId("model").value)?.languages ?? [];
  byId("lang").replaceChildren(...known.map((code) => new Option(names.of(code), code)));
  if (known.includes(choice)) byId("lang").value = choice;
}

/** Set the controls to what an entry of the history has, as far as it is still there. */
function restore(entry) {
  if (entry.speed) byId("speed").value = Math.log2(entry.speed);
  showSpeed();
  if (models.some((model) => model.id === entry.model)) byId("model").value = entry.model;
  showLanguages(entry.lang);
  if (voices.some((voice) => voice.id === entry.voice)) showVoices(entry.voice);
}

async function load() {
  try {
    [models, voices] = await Promise.all([api.models(), api.voices()]);
  } catch (error) {
    if (error.status === 401) refused(error);
    else fail("form", error.message);
    return false;
  }
  fail("form", "");
  byId("key-form").hidden = true;
  byId("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  showVoices(voices[0]?.id);
  restore(history.entries()[0] ?? {});
  return true;
}

// --- speaking ---------------------------------------------------------------------------------------------------------

function clearErrors() {
  for (const field of [...Object.values(FIELDS), "form"]) fail(field, "");
}

/** Show an error where it belongs. */
function report(error) {
  if (error.status === 401) refused(error);
  else if (error instanceof api.ApiError) fail(FIELDS[error.param] ?? "form", error.message);
  else {
    fail("form", "The page failed at this; the browser's console says why.");
    console.error(error);
  }
}

/** seed: that of an earlier speech, to hear it again. */
async function speak(seed = crypto.getRandomValues(new Uint32Array(1))[0]) {
  stop();
  clearErrors();
  tell("status", "");
  const text = byId("text").value;
  if (!text.trim()) {
    fail("text", "There is no text yet. Write what shall be said.");
    byId("text").focus();
    return;
  }
  const doing = new AbortController();
  work = doing;
  refresh();
  tell("status", "Waiting for the first words …");
  player.wake().catch(report);
  try {
    if (!(await loading)) loading = load(); // the server was away, or is so still
    if (!(await loading)) return tell("status", "");
    if (doing.signal.aborted) return;
    const began = performance.now();
    const settings = { model: byId("model").value, voice: chosenVoice(), speed: speed(), lang: byId("lang").value };
    const request = { input: text, ...settings, seed };
    let first = true;
    for await (const event of api.speech(request, doing.signal)) {
      if (doing.signal.aborted) return;
      if (first) begin(request);
      first = false;
      take(event);
    }
    if (words.empty) words.plain(text);
    const seconds = (performance.now() - began) / 1000;
    tell("status", `${(player.length / RATE).toFixed(1)} s of speech, made in ${seconds.toFixed(1)} s.`);
  } catch (error) {
    if (doing.signal.aborted) return;
    tell("status", "");
    report(error);
  } finally {
    if (work === doing) {
      work = null;
      player.complete = true;
      refresh();
    }
  }
}

/** The first of a speech is there: show it in place of the last one. */
function begin(request) {
  spoken = request;
  player.reset();
  wave.clear();
  words.clear();
  byId("notices").replaceChildren();
  tell("download-status", "");
  byId("result").hidden = false;
  const { top } = byId("result").getBoundingClientRect();
  if (top > innerHeight - 120) byId("result").scrollIntoView({ block: "nearest" });
  player.play(0).then(refresh, report);
  const voice = voices.find((voice) => voice.id === request.voice)?.name ?? request.voice;
  const { input: text, ...settings } = request;
  history.remember({ text, ...settings, voiceName: voice, when: Date.now() });
  showHistory();
  tell("status", "Speaking while the rest is made …");
}

function take({ samples, words: timed, notice }) {
  if (timed) words.add(timed);
  if (notice) byId("notices").append(made("li", "", notice));
  if (samples) {
    player.append(samples);
    wave.add(samples);
  }
  refresh();
}

/** No more of it: neither made nor heard. */
function stop() {
  if (work) tell("status", "Stopped.");
  work?.abort();
  work = null;
  player.complete = true;
  player.halt();
  refresh();
}

// --- what is heard ----------------------------------------------------------------------------------------------------

/** Bring everything that moves to where the sound is; while it plays, again with the next frame. */
function refresh() {
  cancelAnimationFrame(frame);
  player.ended();
  const [position, length] = [player.position, player.length / RATE];
  wave.draw(position, !player.complete);
  words.light(player.playing || position > 0 ? position : -1);
  tell("now", clock(position));
  tell("length", clock(length));
  const slider = byId("seek");
  slider.max = length;
  slider.value = position;
  slider.setAttribute("aria-valuetext", `${clock(position)} of ${clock(length)}`);
  byId("play").classList.toggle("on", player.playing);
  byId("play").ariaLabel = player.playing ? "Pause" : "Play";
  byId("download").disabled = !player.complete || !player.length;
  const idle = !work && !player.playing;
  if (idle && document.activeElement === byId("stop")) byId("speak").focus();
  byId("stop").hidden = idle;
  if (player.playing) frame = requestAnimationFrame(refresh);
}

async function toggle() {
  if (player.playing) player.halt();
  else await player.play();
  refresh();
}

async function seek(second) {
  await player.seek(second);
  refresh();
}

async function download() {
  const format = byId("format").value;
  const name = spoken.input.trim().split(/\s+/).slice(0, 6).join(" ").replace(/[^\p{L}\p{N} ]/gu, "") || "speech";
  const button = byId("download");
  fail("download", "");
  try {
    if (format === "wav") save(wav(player.chunks, RATE), `${name}.wav`);
    else {
      button.disabled = true;
      tell("download-status", `Making the ${format} file …`);
      save(await api.file(spoken, format), `${name}.${format}`);
    }
  } catch (error) {
    if (error.status === 401) refused(error);
    else fail("download", error.message);
  } finally {
    tell("download-status", "");
    button.disabled = !player.complete;
  }
}

// --- history ----------------------------------------------------------------------------------------------------------

function showHistory() {
  const list = history.entries();
  byId("history-empty").hidden = list.length > 0;
  byId("clear").hidden = list.length === 0;
  byId("history").replaceChildren(...list.map(entryOf));
}

function entryOf(entry) {
  const when = new Date(entry.when);
  const day = when.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  const time = when.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
  const about = [entry.voiceName, entry.speed === 1 ? "" : `${entry.speed}×`, time].filter(Boolean).join(" · ");
  const text = made("p", "said", entry.text);
  const again = made("button", "", "Play again");
  const edit = made("button", "quiet", "Edit");
  const remove = made("button", "quiet remove", "×");
  for (const button of [again, edit, remove]) button.type = "button";
  const short = entry.text.slice(0, 60);
  again.ariaLabel = `Play again: ${short}`;
  edit.ariaLabel = `Edit: ${short}`;
  remove.ariaLabel = `Remove from the list: ${short}`;
  again.addEventListener("click", () => {
    if (recall(entry)) speak(entry.seed);
  });
  edit.addEventListener("click", () => {
    recall(entry);
    byId("text").focus();
  });
  remove.addEventListener("click", () => {
    history.forget(entry);
    showHistory();
    byId("text").focus();
  });
  return made("li", "", text, made("p", "hint", about), made("div", "row", again, edit, remove));
}

/** Put an entry back into the form. Returns whether its voice and engine are still there. */
function recall(entry) {
  stop();
  clearErrors();
  byId("text").value = entry.text;
  countText();
  restore(entry);
  const voice = voices.some((other) => other.id === entry.voice);
  const model = models.some((other) => other.id === entry.model);
  if (!voice) fail("voice", `The voice ${entry.voiceName} is no longer here. Choose another one.`);
  if (!model) fail("model", `The engine ${entry.model} is no longer here. Choose another one.`);
  return voice && model;
}

// --- the key, and everything else -------------------------------------------------------------------------------------

function refused(error) {
  byId("key-form").hidden = false;
  fail("key", byId("key").value ? error.message : "");
  byId("key").focus();
}

function countText() {
  const count = [...byId("text").value].length;
  tell("text-count", count ? `${count.toLocaleString("en")} character${count === 1 ? "" : "s"}` : "");
  byId("example").hidden = count > 0;
  if (count) fail("text", "");
}

byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    api.useKey(byId("key").value.trim());
  } catch (error) {
    return fail("key", error.message);
  }
  loading = load();
  if (await loading) {
    byId("key").value = "";
    fail("key", "");
    byId("text").focus();
  }
});
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  speak();
});
document.addEventListener("keydown", (event) => {
  if (byId("adding").open) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    speak();
  } else if (event.key === "Escape") stop();
});
byId("stop").addEventListener("click", stop);
byId("play").addEventListener("click", toggle);
byId("seek").addEventListener("input", ({ target }) => seek(Number(target.value)));
byId("download").addEventListener("click", download);
byId("speed").addEventListener("input", showSpeed);
byId("model").addEventListener("change", () => showLanguages(byId("lang").value));
byId("add").addEventListener("click", () => adding.open(models.filter((m) => m.needs_transcript).map((m) => m.id)));
byId("text").addEventListener("input", countText);
byId("example").addEventListener("click", () => {
  byId("text").value = EXAMPLES[Math.floor(Math.random() * EXAMPLES.length)];
  countText();
  byId("text").focus();
});
byId("clear").addEventListener("click", () => {
  history.clear();
  showHistory();
  byId("text").focus();
});
new ResizeObserver(refresh).observe(byId("wave"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);

if (/Mac|iP(hone|ad)/.test(navigator.userAgent)) byId("speak").querySelector("kbd").textContent = "⌘ ↵";
countText();
showSpeed();
showHistory();
loading = load();
