// A short sample of a voice: generated once, then stored in this browser.

import * as api from "./api.js";
import { wav } from "./sound.js";
import { RATE } from "./player.js";
import * as store from "./store.js";

const TEXTS = {
  en: "Good morning. This is how I sound.",
  es: "Buenos días. Así es como sueno.",
  fr: "Bonjour. Voici ma voix.",
  it: "Buongiorno. Questa è la mia voce.",
  pt: "Bom dia. Esta é a minha voz.",
  de: "Guten Morgen. So klinge ich.",
};
const audio = new Audio();

/** Play the sample of a voice. settings: model, voice and lang. Throws ApiError. */
export async function playSample(settings) {
  audio.pause();
  const request = { input: TEXTS[settings.lang] ?? TEXTS.en, ...settings, speed: 1, seed: 1 };
  let found = await store.speech(request);
  if (!found) {
    const chunks = [];
    for await (const { samples } of api.speech(request)) if (samples) chunks.push(samples);
    await store.keep(request, { chunks, words: [], notices: [] });
    found = { samples: chunks };
  }
  URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(wav([found.samples].flat(), RATE));
  await audio.play();
}

export function stopSample() {
  audio.pause();
}
