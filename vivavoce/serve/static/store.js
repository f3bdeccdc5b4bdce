// Speech that was generated, and the open book, in this browser's IndexedDB. Playing it again needs no server.
// Without IndexedDB (private windows of some browsers), everything works and nothing is stored.

import { FIELDS } from "./prosody.js";

const NAME = "vivavoce";
const SPEECH = "speech"; // {key, samples: Int16Array, words, notices, bytes, when}
const BOOK = "book"; // one entry: {key: BOOK, title, chapters, at}
const MAX_BYTES = 400e6; // of all speech; the least recently used goes first

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      for (const store of [SPEECH, BOOK]) request.result.createObjectStore(store, { keyPath: "key" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function run(store, mode, work) {
  try {
    const transaction = (await open()).transaction(store, mode);
    const request = work(transaction.objectStore(store));
    return await new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } catch {
    return undefined; // storage is disabled or full
  }
}

/** The same request always sounds the same, because it has a seed. */
export function keyOf(request) {
  const { input, model, voice, speed, lang, seed, steps } = request;
  const prosody = FIELDS.filter((name) => name in request).map((name) => [name, request[name]]);
  return JSON.stringify([input, model, voice, speed, lang, seed, steps ?? null, ...prosody]);
}

/** Returns {samples, words, notices} of an earlier request, or undefined. */
export async function speech(request) {
  const found = await run(SPEECH, "readonly", (store) => store.get(keyOf(request)));
  if (found) await run(SPEECH, "readwrite", (store) => store.put({ ...found, when: Date.now() }));
  return found;
}

export async function keep(request, { chunks, words, notices }) {
  const samples = new Int16Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    samples.set(chunk, at);
    at += chunk.length;
  }
  if (samples.byteLength > MAX_BYTES) return;
  const entry = { key: keyOf(request), samples, words, notices, bytes: samples.byteLength, when: Date.now() };
  await run(SPEECH, "readwrite", (store) => store.put(entry));
  await makeRoom();
}

export async function forget(request) {
  await run(SPEECH, "readwrite", (store) => store.delete(keyOf(request)));
}

export async function clear() {
  await run(SPEECH, "readwrite", (store) => store.clear());
}

export async function book() {
  return run(BOOK, "readonly", (store) => store.get(BOOK));
}

/** Store the open book; null: close it. */
export async function keepBook(book) {
  await run(BOOK, "readwrite", (store) => (book ? store.put({ ...book, key: BOOK }) : store.clear()));
}

async function makeRoom() {
  const sizes = [];
  await run(SPEECH, "readonly", (store) => {
    const request = store.openCursor();
    request.onsuccess = () => {
      const cursor = request.result;
      if (!cursor) return;
      const { key, bytes, when } = cursor.value;
      sizes.push({ key, bytes, when });
      cursor.continue();
    };
  });
  sizes.sort((a, b) => b.when - a.when);
  let total = 0;
  const old = sizes.filter(({ bytes }) => (total += bytes) > MAX_BYTES);
  if (old.length) await run(SPEECH, "readwrite", (store) => old.forEach(({ key }) => store.delete(key)));
}
