// Samples and files: WAV is what the server reads from every browser, and what is downloaded without asking it again.

/** A WAV file, mono, of Int16Arrays one after the other. */
export function wav(chunks, rate) {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const word = (at, text) => [...text].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  word(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); // PCM
  head.setUint16(22, 1, true); // channels
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  word(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, ...chunks], { type: "audio/wav" });
}

/** Float32Array of -1 to 1 → Int16Array. */
export function toInt16(samples) {
  return Int16Array.from(samples, (x) => Math.round(32767 * Math.max(-1, Math.min(1, x))));
}

/** Int16Array → Float32Array of -1 to 1. */
export function toFloat(samples) {
  return Float32Array.from(samples, (x) => x / 32768);
}

const READABLE = /\.(wav|flac|ogg|oga|opus|mp3|aiff?|au|caf)$/i; // by libsndfile
const RATE = 24000;
const SENT_SECONDS = 60; // the server reads no more
const AS_IT_IS = 5e6; // bytes
const MOST = 100e6; // bytes that the browser is asked to decode

/** A recording as the server can take it: as it is, or what the browser hears in it, as WAV. Throws Error. */
export async function readable(file) {
  if (READABLE.test(file.name) && file.size < AS_IT_IS) return file;
  if (file.size > MOST) throw new Error(`The file has ${Math.round(file.size / 1e6)} MB; choose a shorter recording.`);
  let heard;
  try {
    heard = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    if (file.size < AS_IT_IS) return file; // the server may know it, or says what is wrong
    throw new Error("The browser cannot read this file as sound; choose a WAV, FLAC, OGG or MP3 of a few seconds.");
  }
  const mono = new Float32Array(Math.min(heard.length, SENT_SECONDS * RATE));
  for (let c = 0; c < heard.numberOfChannels; c++) {
    const channel = heard.getChannelData(c);
    for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / heard.numberOfChannels;
  }
  return new File([wav([toInt16(mono)], RATE)], "recording.wav", { type: "audio/wav" });
}
