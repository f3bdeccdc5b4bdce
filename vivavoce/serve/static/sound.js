// Samples and files. WAV is what the server reads from every browser, and is downloaded without another request.

/** Returns a mono WAV file of consecutive Int16Arrays. */
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

/** Converts a Float32Array from -1 to 1 to an Int16Array. */
export function toInt16(samples) {
  return Int16Array.from(samples, (x) => Math.round(32767 * Math.max(-1, Math.min(1, x))));
}

/** Converts an Int16Array to a Float32Array from -1 to 1. */
export function toFloat(samples) {
  return Float32Array.from(samples, (x) => x / 32768);
}

/** Returns whether a file may be a recording: neither text nor a document, by its type and its first bytes. */
export async function isRecording(file) {
  if (/^(text|image)\/|pdf|zip|json|document/.test(file.type)) return false;
  const start = new TextDecoder("latin1").decode(await file.slice(0, 64).arrayBuffer());
  return !/^\s*(<|%PDF|PK\x03\x04|\{)/.test(start);
}

const READABLE = /\.(wav|flac|ogg|oga|opus|mp3|aiff?|au|caf)$/i; // libsndfile reads these
const RATE = 24000;
const SENT_SECONDS = 60; // the server ignores the rest
const MAX_UNCHANGED = 5e6; // bytes
const MAX_DECODED = 100e6; // bytes

/**
 * Returns a recording that the server can read: unchanged, or decoded by the browser to WAV. Throws Error.
 * most: bytes that are sent unchanged. seconds: those that are sent otherwise.
 */
export async function readable(file, most = MAX_UNCHANGED, seconds = SENT_SECONDS) {
  if (READABLE.test(file.name) && file.size < most) return file;
  if (file.size > MAX_DECODED) throw new Error(`The file is ${Math.round(file.size / 1e6)} MB; choose a shorter recording.`);
  let decoded;
  try {
    decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    if (file.size < most) return file; // the server may read it, or explains what is wrong
    throw new Error("The browser cannot decode this file; choose a WAV, FLAC, OGG or MP3 of a few seconds.");
  }
  const mono = new Float32Array(Math.min(decoded.length, seconds * RATE));
  for (let c = 0; c < decoded.numberOfChannels; c++) {
    const channel = decoded.getChannelData(c);
    for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / decoded.numberOfChannels;
  }
  return new File([wav([toInt16(mono)], RATE)], "recording.wav", { type: "audio/wav" });
}
