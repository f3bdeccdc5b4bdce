// Texts and settings that were spoken before, stored in this browser only. The seed makes a text sound the same again.

import { create } from "./dom.js";
import { FIELDS, described } from "./prosody.js";

const STORAGE_KEY = "vivavoce.history";
const MAX_ENTRIES = 50;

/** Returns [{text, voice, voiceName, speed, model, lang, seed, steps, when, …fields of prosody}], newest first. */
export function entries() {
  try {
    const found = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((entry) => typeof entry?.text === "string") : [];
  } catch {
    return []; // storage is disabled, or holds something else
  }
}

/** Put an entry first. The same speech is listed only once. */
export function remember(entry) {
  store([entry, ...entries().filter((other) => !same(entry, other))].slice(0, MAX_ENTRIES));
}

export function forget(entry) {
  store(entries().filter((other) => !same(entry, other)));
}

export function clear() {
  store([]);
}

function same(a, b) {
  const names = ["text", "voice", "speed", "model", "lang", "seed", "steps", ...FIELDS];
  return names.every((name) => a[name] === b[name]);
}

function store(list) {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(list));
  } catch {
    if (list.length > 1) store(list.slice(0, list.length >> 1)); // storage is full of long texts
  }
}

/** Returns the list item of an entry. actions: again, edit and remove, called when their buttons are pressed. */
export function listItem(entry, actions) {
  const when = new Date(entry.when);
  const day = when.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  const time = when.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
  const speed = entry.speed === 1 ? "" : `${entry.speed}×`;
  const about = [entry.voiceName, speed, ...described(entry), time].filter(Boolean).join(" · ");
  const short = entry.text.slice(0, 60);
  const button = (style, text, label, action) => {
    const element = create("button", style, text);
    Object.assign(element, { type: "button", ariaLabel: `${label}: ${short}` });
    element.addEventListener("click", action);
    return element;
  };
  const buttons = [
    button("", "Play again", "Play again", actions.again),
    button("quiet", "Edit", "Edit", actions.edit),
    button("quiet remove", "×", "Remove from the list", actions.remove),
  ];
  return create("li", "", create("p", "said", entry.text), create("p", "hint", about), create("div", "row", ...buttons));
}
