// What was spoken here before: texts and settings, in this browser alone. With its seed, a text sounds the same again.

const PLACE = "vivavoce.history";
const MOST = 50;

/** [{text, voice, voiceName, speed, model, lang, seed, when}], the newest first. */
export function entries() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(found) ? found.filter((entry) => typeof entry?.text === "string") : [];
  } catch {
    return []; // storage is forbidden, or holds something else
  }
}

/** Put an entry first; the same speech is listed once. */
export function remember(entry) {
  keep([entry, ...entries().filter((other) => !same(entry, other))].slice(0, MOST));
}

export function forget(entry) {
  keep(entries().filter((other) => !same(entry, other)));
}

export function clear() {
  keep([]);
}

function same(a, b) {
  return ["text", "voice", "speed", "model", "lang", "seed"].every((name) => a[name] === b[name]);
}

function keep(list) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(list));
  } catch {
    if (list.length > 1) keep(list.slice(0, list.length >> 1)); // full: long texts
  }
}
