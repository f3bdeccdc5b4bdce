// The page: what its controls do. Speech is played, drawn and highlighted while it is generated.

import { Adding } from "./adding.js";
import * as api from "./api.js";
import { Convert } from "./convert.js";
import { byId, clock, create, fail, languageNames, save, show } from "./dom.js";
import * as history from "./history.js";
import { Player, RATE } from "./player.js";
import { FIELDS as PROSODY, Prosody } from "./prosody.js";
import { Reader } from "./reader.js";
import { stopSample } from "./sample.js";
import { wav } from "./sound.js";
import * as store from "./store.js";
import { Studio } from "./studio.js";
import { Tabs } from "./tabs.js";
import { VoiceList } from "./voices.js";
import { Wave } from "./wave.js";
import { Words } from "./words.js";

const EXAMPLES = [
  "The lamp in the window burned all night. At dawn somebody came up the path, knocked twice, and waited.",
  "Good morning. It is 7:45, the sun is out, and nobody expects anything from you before nine.",
  "Read this to me slowly, as if there were no hurry at all, and as if the tea were still warm.",
];
const PAUSE = 0.5 * RATE; // samples between the parts of a chapter
// Where the errors of each request field are shown.
const FIELDS = {
  input: "text",
  voice: "voice",
  speed: "speed",
  model: "model",
  lang: "lang",
  seed: "seed",
  steps: "steps",
  response_format: "download",
  ...Object.fromEntries(PROSODY.map((name) => [name, name])),
};

const composer = byId("composer");
const player = new Player();
const wave = new Wave(byId("wave"));
const words = new Words(byId("words"), (second) => seek(second));
const reader = new Reader(readChapter, stop);
const prosody = new Prosody();
const convert = new Convert(refused);
const voices = new VoiceList({
  onShow: (shown) => convert.voices(shown),
  onSample: stop,
  onRefused: refused,
});
const adding = new Adding((voice) => voices.add(voice), refused);
const tabs = new Tabs();

let models = [];
let loading = null; // promise of models and voices
let work = null; // AbortController of the speech that is being generated
let spoken = null; // request of the speech that is shown, with its seed
let frame = 0;
let heard = null; // resolves the promise of a chapter, with whether it was heard to the end
let share = 1; // of the chapter that was generated

// --- settings ---------------------------------------------------------------------------------------------------------

/** The slider is logarithmic: twice and half the speed are equally far from normal. */
const speed = () => Number((2 ** Number(byId("speed").value)).toPrecision(2));

function showSpeed() {
  const shown = `${speed()}×`;
  byId("speed-shown").textContent = shown;
  byId("speed").setAttribute("aria-valuetext", shown);
}

const chosenModel = () => models.find((model) => model.id === byId("model").value);

/** Show what the chosen model can do. choice: of its languages. */
function showModel(choice) {
  const names = languageNames();
  const known = chosenModel()?.languages ?? [];
  byId("lang").replaceChildren(...known.map((code) => new Option(names.of(code), code)));
  if (known.includes(choice)) byId("lang").value = choice;
  prosody.offer(chosenModel());
}

/** Set the controls to the values of a history entry, as far as they still exist. */
function restore(entry) {
  if (entry.speed) byId("speed").value = Math.log2(entry.speed);
  byId("steps").value = entry.steps ?? "";
  showSpeed();
  if (models.some((model) => model.id === entry.model)) byId("model").value = entry.model;
  showModel(entry.lang);
  prosody.set(entry);
  if (voices.find(entry.voice)) voices.choose(entry.voice);
}

async function load() {
  let known;
  try {
    [models, known] = await Promise.all([api.models(), api.voices()]);
  } catch (error) {
    if (error.status === 401) refused(error);
    else fail("form", error.message);
    return false;
  }
  fail("form", "");
  byId("key-form").hidden = true;
  byId("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  voices.replace(known);
  countText();
  restore(history.entries()[0] ?? {});
  if (convert.offer(models)) tabs.add("convert", "converting", { enter: () => {}, leave: () => convert.leave() });
  return true;
}

// --- speaking ---------------------------------------------------------------------------------------------------------

function clearErrors() {
  for (const field of [...Object.values(FIELDS), "form"]) fail(field, "");
}

/** Show an error beside the field it belongs to. */
function report(error) {
  if (error.status === 401) refused(error);
  else if (error instanceof api.ApiError) {
    const field = FIELDS[error.param] ?? "form";
    fail(field, error.message);
    const details = byId(`${field}-error`).closest("details");
    if (details) details.open = true;
  } else {
    fail("form", "Something went wrong in this page; see the browser's console.");
    console.error(error);
  }
}

/** Speak the text. seed: of an earlier speech, to repeat it. */
async function speak(seed = Number(byId("seed").value || crypto.getRandomValues(new Uint32Array(1))[0])) {
  stop();
  clearErrors();
  show("status", "");
  const text = byId("text").value;
  if (!text.trim()) fail("text", "Enter the text to speak.");
  else if (!countText()) for (const id of ["seed", "steps"]) if (!byId(id).checkValidity()) return invalid(id);
  if (byId("text-error").textContent) return byId("text").focus();
  await perform([text], seed);
}

function invalid(id) {
  fail(id, `Enter a whole number${id === "seed" ? "" : " from 1 to 64"}, or nothing.`);
  byId("more").open = true;
  byId(id).focus();
}

/** Speak a chapter. Resolves to whether it was heard to the end. */
async function readChapter(parts) {
  stop();
  clearErrors();
  const ended = new Promise((resolve) => (heard = resolve));
  // One seed, so that a chapter that was generated before is found again.
  if (!(await perform(parts, Number(byId("seed").value || 1)))) stop();
  return ended;
}

/** Generate and play the parts of a text, or play them from the store. Resolves to whether all of it is there. */
async function perform(parts, seed) {
  const doing = new AbortController();
  work = doing;
  share = 0;
  refresh();
  show("status", "Waiting for the first audio …");
  player.wake().catch(report);
  try {
    if (!(await loading)) loading = load(); // the server was unreachable, and may still be
    if (!(await loading)) return show("status", "");
    if (doing.signal.aborted) return false;
    const began = performance.now();
    const settings = { model: byId("model").value, voice: voices.chosen, speed: speed(), lang: byId("lang").value, seed };
    Object.assign(settings, prosody.values);
    if (byId("steps").value) settings.steps = Number(byId("steps").value);
    const stored = [];
    for (const [index, part] of parts.entries()) {
      const request = { input: part, ...settings };
      if (index > 0) take({ samples: new Int16Array(PAUSE) });
      stored.push(await one(request, doing.signal, index === 0 && (() => begin(request, parts.length > 1 || heard))));
      if (doing.signal.aborted) return false;
      share = (index + 1) / parts.length;
    }
    const seconds = (performance.now() - began) / 1000;
    const how = stored.every(Boolean) ? "stored in this browser" : `generated in ${seconds.toFixed(1)} s`;
    show("status", `${(player.length / RATE).toFixed(1)} s of speech, ${how}.`);
    return true;
  } catch (error) {
    if (doing.signal.aborted) return false;
    show("status", "");
    report(error);
    return false;
  } finally {
    if (work === doing) {
      work = null;
      player.complete = true;
      refresh();
    }
  }
}

/** Play one request. start: called at its first audio. Resolves to whether it came from the store. */
async function one(request, signal, start) {
  const [from, chunk] = [player.length, player.chunks.length];
  const [offset, firstChunk] = start ? [0, 0] : [from / RATE, chunk];
  const stored = await store.speech(request);
  if (signal.aborted) return false;
  const heardWords = [];
  const notices = [];
  const accept = (event) => {
    if (start) start();
    start = null;
    heardWords.push(...(event.words ?? []));
    if (event.notice) notices.push(event.notice);
    const words = event.words?.map((word) => ({ ...word, start: word.start + offset, end: word.end + offset }));
    take({ ...event, words });
  };
  if (stored) {
    accept({ words: stored.words });
    for (const notice of stored.notices) accept({ notice });
    accept({ samples: stored.samples });
  } else {
    for await (const event of api.speech(request, signal)) {
      if (signal.aborted) return false;
      accept(event);
    }
    await store.keep(request, { chunks: player.chunks.slice(firstChunk), words: heardWords, notices });
  }
  if (words.empty) words.plain(request.input);
  return Boolean(stored);
}

/** The first audio has arrived: show the new speech in place of the previous one. */
function begin(request, partOfBook) {
  spoken = request;
  player.reset();
  wave.clear();
  words.clear();
  byId("notices").replaceChildren();
  show("download-status", "");
  byId("result").hidden = false;
  const { top } = byId("result").getBoundingClientRect();
  if (top > innerHeight - 120) byId("result").scrollIntoView({ block: "nearest" });
  player.play(0).then(refresh, report);
  show("status", "Playing while the rest is generated …");
  if (partOfBook) return;
  const voice = voices.find(request.voice)?.name ?? request.voice;
  const { input: text, ...settings } = request;
  history.remember({ text, ...settings, voiceName: voice, when: Date.now() });
  showHistory();
}

function take({ samples, words: timed, notice }) {
  if (timed) words.add(timed);
  if (notice) byId("notices").append(create("li", "", notice));
  if (samples) {
    player.append(samples);
    wave.add(samples);
  }
  refresh();
}

/** Stop generating and playing. */
function stop() {
  if (work) show("status", "Stopped.");
  stopSample();
  finish(false);
  work?.abort();
  work = null;
  player.complete = true;
  player.halt();
  refresh();
}

// --- playback ---------------------------------------------------------------------------------------------------------

/** Update everything that follows the playback position; while it plays, repeat on every frame. */
function refresh() {
  cancelAnimationFrame(frame);
  if (player.ended()) finish(true);
  const [position, length] = [player.position, player.length / RATE];
  wave.draw(position, !player.complete);
  if (heard) reader.progress(length ? (position / length) * (player.complete ? 1 : share) : 0);
  words.light(player.playing || position > 0 ? position : -1);
  show("now", clock(position));
  show("length", clock(length));
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

/** The chapter ends here. */
function finish(whole) {
  heard?.(whole);
  heard = null;
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
      show("download-status", `Preparing the ${format} file …`);
      save(await api.encoded(player.chunks, format), `${name}.${format}`);
    }
  } catch (error) {
    if (error.status === 401) refused(error);
    else fail("download", error.message);
  } finally {
    show("download-status", "");
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
  return history.listItem(entry, {
    again: () => recall(entry) && speak(entry.seed),
    edit: () => {
      recall(entry);
      byId("text").focus();
    },
    remove: () => {
      history.forget(entry);
      store.forget({ ...entry, input: entry.text });
      showHistory();
      byId("text").focus();
    },
  });
}

/** Put an entry back into the form. Returns whether its voice and model still exist. */
function recall(entry) {
  stop();
  clearErrors();
  byId("text").value = entry.text;
  countText();
  restore(entry);
  const voice = Boolean(voices.find(entry.voice));
  const model = models.some((other) => other.id === entry.model);
  if (!voice) fail("voice", `The voice ${entry.voiceName} no longer exists. Choose another one.`);
  if (!model) fail("model", `The model ${entry.model} is no longer available. Choose another one.`);
  return voice && model;
}

// --- the key, and everything else -------------------------------------------------------------------------------------

function refused(error) {
  byId("key-form").hidden = false;
  fail("key", byId("key").value ? error.message : "");
  byId("key").focus();
}

/** Show the length of the text. Returns whether it is too long for the server. */
function countText() {
  const count = [...byId("text").value].length;
  const limit = chosenModel()?.max_characters ?? Infinity;
  const number = (value) => value.toLocaleString("en");
  const of = count > 0.8 * limit ? ` of ${number(limit)}` : "";
  show("text-count", count ? `${number(count)}${of} character${count === 1 && !of ? "" : "s"}` : "");
  byId("example").hidden = count > 0;
  const long = count > limit;
  if (count) {
    fail("text", long ? `This server accepts at most ${number(limit)} characters. Open longer texts as a file.` : "");
  }
  return long;
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
  if (byId("adding").open || byId("speaking").hidden) return;
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
byId("model").addEventListener("change", () => showModel(byId("lang").value));
byId("add").addEventListener("click", () => adding.open(models.filter((m) => m.needs_transcript).map((m) => m.id)));
byId("text").addEventListener("input", countText);
for (const id of ["seed", "steps", ...PROSODY]) byId(id).addEventListener("input", () => fail(id, ""));
byId("example").addEventListener("click", () => {
  byId("text").value = EXAMPLES[Math.floor(Math.random() * EXAMPLES.length)];
  countText();
  byId("text").focus();
});
byId("clear").addEventListener("click", () => {
  history.clear();
  store.clear();
  showHistory();
  byId("text").focus();
});
new ResizeObserver(refresh).observe(byId("wave"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);

tabs.add("speak", "speaking", { enter: () => {}, leave: stop });
if (byId("tab-studio").dataset.offered) {
  const studio = new Studio({
    refused,
    tabs,
    /** Choose a voice that the studio has made, and show where it speaks. */
    async use(name) {
      voices.replace(await api.voices(), name);
      fail("voice", "");
      show("voice-status", `The voice ${name} was added.`);
      byId("text").focus();
    },
  });
  byId("key-form").addEventListener("submit", async () => (await loading) && studio.load());
}

if (/Mac|iP(hone|ad)/.test(navigator.userAgent)) byId("speak").querySelector("kbd").textContent = "⌘ ↵";
countText();
showSpeed();
showHistory();
loading = load();
