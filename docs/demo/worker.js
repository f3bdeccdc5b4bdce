// Loads the model and speaks in the background, piece by piece, so that the page stays responsive.

import * as ort from "./ort/ort.wasm.min.mjs";
import {Speech} from "./speech.js";
import {split} from "./text.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
// Threads need shared memory, which browsers give to pages with the headers COOP and COEP only.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;

let speech = null;
let current = 0; // number of the request that is spoken; a later one ends it

async function load() {
  const about = await (await fetch("model/model.json")).json();
  const fetchBytes = async (name) => {
    const answer = await fetch(`model/${name}`);
    if (!answer.ok) throw new Error(`model/${name}: ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  speech = await Speech.load(ort, about, fetchBytes, (share) => postMessage({kind: "loading", share}));
  postMessage({kind: "ready", voices: about.voices, rate: speech.rate, threads: ort.env.wasm.numThreads});
}

async function speak({id, text, voice, pace}) {
  const started = performance.now();
  const pieces = split(text);
  if (!pieces.length) throw new Error("there is nothing to say in the text");
  let seconds = 0;
  for (const [i, piece] of pieces.entries()) {
    if (current !== id) return;
    const vector = Float32Array.from(speech.about.voices.find((known) => known.name === voice).vector);
    const samples = await speech.speak(piece.text, vector, {pace});
    seconds += samples.length / speech.rate + piece.pause;
    const elapsed = (performance.now() - started) / 1000;
    postMessage({kind: "sound", id, samples, pause: piece.pause, text: piece.text, last: i === pieces.length - 1,
      elapsed, seconds}, [samples.buffer]);
  }
}

self.onmessage = async ({data}) => {
  try {
    if (data.kind === "load") await load();
    if (data.kind === "stop") current = 0;
    if (data.kind === "speak") {
      current = data.id;
      await speak(data);
    }
  } catch (error) {
    postMessage({kind: "error", message: String(error.message ?? error)});
  }
};
