// The nanospeech model in onnxruntime-web: the networks are the package's graphs, the rest is here. The counterpart of
// vivavoce/models/nanospeech_onnx.py and vivavoce/systems/nanospeech.py for one piece of text at a time.

import {Phones} from "./phones.js";
import {fit} from "./text.js";

const LEAST_FRAMES = 30; // of a text without its edges, as in systems/nanospeech.py
const EDGE_FRAMES = 9; // of silence at either end, as in systems/nanospeech.py
const MIN_FRAMES = 12;
const MAX_MAGNITUDE = 100;
const PITCH = 150; // Hz: these as in models/vocoder.py
const OCTAVES = [-1.5, 2];

export class Speech {
  // ort: the module; about: model.json; fetchBytes: name → Promise of Uint8Array.
  static async load(ort, about, fetchBytes, progress = () => {}) {
    const sessions = {};
    const options = {executionProviders: about.providers ?? ["wasm"], graphOptimizationLevel: "all"};
    let done = 0;
    for (const [name, graph] of Object.entries(about.graphs)) {
      const [model, packed] = await Promise.all([fetchBytes(graph.file), fetchBytes(graph.weights)]);
      sessions[name] = await ort.InferenceSession.create(model, {
        ...options, externalData: [{path: "weights", data: unpack(packed, graph.parts)}],
      });
      progress(++done / Object.keys(about.graphs).length);
    }
    const phones = about.phones
      ? await Phones.load(await fetchBytes(about.phones.dictionary), about.phones.costs, about.model.phones) : null;
    return new Speech(ort, about, sessions, phones);
  }

  constructor(ort, about, sessions, phones = null) {
    Object.assign(this, {ort, about, sessions, phones});
    this.ids = new Map(about.characters.map((c, i) => [c, BigInt(i)]));
    this.rate = about.model.mel.sample_rate;
    const size = about.vocoder.n_fft;
    this.window = Float32Array.from({length: size}, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
    this.fourier = new Fourier(size);
  }

  // A piece of normalised text in a voice (its vector) → Float32Array at `rate` Hz. pace: 1 is the natural one.
  async speak(text, vector, {pace = 1, random = Math.random, onPass = () => {}} = {}) {
    const read = ` ${fit(text, this.about.characters)} `;
    const ids = BigInt64Array.from([...read], (c) => this.ids.get(c));
    const of = (data, dims, type = "float32") => new this.ort.Tensor(type, data, dims);
    const text_ = of(ids, [1, ids.length], "int64");
    const speaker = of(vector, [1, vector.length]);
    const channels = {};
    if (this.about.model.languages?.length) {
      channels.languages = of(new BigInt64Array(ids.length), [1, ids.length], "int64");
    }
    if (this.about.model.phones?.length) {
      channels.phones = of(this.phones.ids(read), [1, ids.length, 2], "int64");
    }
    // Pitch, range, energy, pace, emphasis and "not told" of each character, where the model reads them: all neutral.
    channels.prosody = of(new Float32Array(6 * ids.length), [1, ids.length, 6]);
    const durations = (await this.run("durations", {text: text_, speaker, ...channels})).slice();
    const inner = durations.slice(1, -1).reduce((sum, frames) => sum + frames, 0);
    const slower = Math.max(1, LEAST_FRAMES / Math.max(1, inner));
    for (let at = 1; at < durations.length - 1; at++) durations[at] *= slower;
    for (const edge of [0, durations.length - 1]) durations[edge] = Math.max(durations[edge], EDGE_FRAMES);
    for (let i = 0; i < durations.length; i++) durations[i] /= pace;

    const {patch, mel} = this.about.model;
    const frames = Math.max(MIN_FRAMES, Math.round(durations.reduce((a, b) => a + b)));
    const tokens = Math.ceil(frames / patch);
    const {index, place} = stretch(durations, tokens);
    const encoded = of(await this.run("text", {
      text: text_, index: of(index, [1, tokens], "int64"), place: of(place, [1, tokens, 2]), ...channels,
    }), [1, tokens, this.about.model.text_dim]);

    const {steps, sway_coef: sway, temperature} = this.about.sampling;
    const width = mel.n_mels;
    const x = new Float32Array(tokens * patch * width);
    for (let i = 0; i < frames * width; i++) x[i] = temperature * gaussian(random);
    const moments = Array.from({length: steps + 1}, (_, i) => i / steps)
      .map((t) => t + sway * (Math.cos((Math.PI / 2) * t) - 1 + t));
    const lengths = of(BigInt64Array.of(BigInt(frames)), [1], "int64");
    for (let i = 0; i < steps; i++) {
      const velocity = await this.run("flow", {
        x: of(x, [1, tokens * patch, width]), time: of(Float32Array.of(moments[i]), [1]),
        end: of(Float32Array.of(moments[i + 1]), [1]), encoded, lengths, speaker, keep: of(Float32Array.of(1), [1]),
      });
      const step = moments[i + 1] - moments[i];
      for (let j = 0; j < x.length; j++) x[j] += step * velocity[j];
      onPass((i + 1) / steps);
    }
    const {mel_scale: scale, mel_mean: mean} = this.about.model;
    const log = x.slice(0, frames * width).map((value) => value / scale + mean);
    return this.vocode(of(log, [1, frames, width]), frames);
  }

  async vocode(mel, frames) {
    const {n_fft: size, hop, harmonic_bins: low, padding} = this.about.vocoder;
    const session = this.sessions.vocoder;
    const outputs = await session.run({mel});
    const [head, harmonics] = session.outputNames.map((name) => outputs[name].data);
    const bins = size / 2 + 1;
    const length = (frames - 1) * hop + size;
    const wave = new Float32Array(length), weight = new Float32Array(length);
    const [real, imaginary] = [new Float32Array(bins), new Float32Array(bins)];
    const middle = (PITCH * hop) / this.rate;
    let cycles = 0, before = 0;
    for (let n = 0; n < frames; n++) {
      const row = n * 2 * bins;
      let start = 0;
      if (low) {
        const own = n * (1 + 2 * low);
        const rate = middle * 2 ** Math.min(Math.max(harmonics[own], OCTAVES[0]), OCTAVES[1]);
        if (n) cycles = (cycles + (rate + before) / 2) % 1;
        before = rate;
        for (let k = 0; k < low; k++) {
          const size_ = Math.min(Math.exp(harmonics[own + 1 + k]), MAX_MAGNITUDE);
          const number = Math.round((k * hop) / size / rate);
          const phase = harmonics[own + 1 + low + k] + 2 * Math.PI * number * cycles - Math.PI * k;
          real[k] = size_ * Math.cos(phase);
          imaginary[k] = size_ * Math.sin(phase);
        }
        start = low;
      }
      for (let k = start; k < bins; k++) {
        const size_ = Math.min(Math.exp(head[row + k]), MAX_MAGNITUDE);
        real[k] = size_ * Math.cos(head[row + bins + k]);
        imaginary[k] = size_ * Math.sin(head[row + bins + k]);
      }
      const frame = this.fourier.inverse(real, imaginary);
      for (let i = 0; i < size; i++) {
        wave[n * hop + i] += frame[i] * this.window[i];
        weight[n * hop + i] += this.window[i] * this.window[i];
      }
    }
    const trim = padding === "center" ? size / 2 : (size - hop) / 2;
    const samples = wave.subarray(trim, length - trim);
    for (let i = 0; i < samples.length; i++) samples[i] /= Math.max(weight[trim + i], 1e-11);
    return samples.slice();
  }

  // Run a graph with one output; inputs that it does not have are left out.
  async run(name, inputs) {
    const session = this.sessions[name];
    const known = Object.fromEntries(Object.entries(inputs).filter(([key]) => session.inputNames.includes(key)));
    const outputs = await session.run(known);
    return outputs[session.outputNames[0]].data;
  }
}

// The character of each token, and where in it the token lies: `character_index` and `encode` of nanospeech_onnx.py.
function stretch(durations, tokens) {
  const ends = [];
  durations.reduce((sum, d) => (ends.push(sum + d), sum + d), 0);
  const scale = tokens / Math.max(ends.at(-1), 1e-6);
  const index = new BigInt64Array(tokens), place = new Float32Array(2 * tokens);
  for (let k = 0, i = 0; k < tokens; k++) {
    while (i < ends.length - 1 && k + 0.5 >= ends[i] * scale) i++;
    const [start, end] = [i ? ends[i - 1] * scale : 0, ends[i] * scale];
    index[k] = BigInt(i);
    place[2 * k] = Math.min(Math.max((k + 0.5 - start) / Math.max(end - start, 1e-3), 0), 1) - 0.5;
    place[2 * k + 1] = Math.log1p(durations[i] * scale);
  }
  return {index, place};
}

function gaussian(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// Weights as they are stored, floats in 16 bits, → as the graph's external data has them.
function unpack(packed, parts) {
  const bytes = new Uint8Array(parts.reduce((sum, p) => sum + p.count * (p.type === "float32" ? 4 : 1), 0));
  let from = 0, to = 0;
  for (const {type, count} of parts) {
    if (type === "float32") {
      const halves = new Uint16Array(packed.slice(from, from + 2 * count).buffer);
      bytes.set(new Uint8Array(floats(halves).buffer), to);
      from += 2 * count;
      to += 4 * count;
    } else {
      bytes.set(packed.subarray(from, from + count), to);
      from += count;
      to += count;
    }
  }
  return bytes;
}

let table = null; // of all halves, computed once

function floats(halves) {
  if (!table) {
    table = new Float32Array(65536);
    for (let i = 0; i < 65536; i++) {
      const [sign, exponent, fraction] = [i >> 15 ? -1 : 1, (i >> 10) & 31, i & 1023];
      table[i] = exponent === 0 ? sign * fraction * 2 ** -24
        : exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    }
  }
  return Float32Array.from(halves, (half) => table[half]);
}

// The inverse transform of real signals whose length is a power of two.
class Fourier {
  constructor(size) {
    this.size = size;
    this.bits = Math.log2(size);
    this.cos = Float64Array.from({length: size / 2}, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sin = Float64Array.from({length: size / 2}, (_, i) => Math.sin((2 * Math.PI * i) / size));
    this.order = Uint32Array.from({length: size}, (_, i) => {
      let reversed = 0;
      for (let bit = 0; bit < this.bits; bit++) reversed |= ((i >> bit) & 1) << (this.bits - 1 - bit);
      return reversed;
    });
    this.real = new Float64Array(size);
    this.imaginary = new Float64Array(size);
  }

  inverse(real, imaginary) {
    const {size, order, real: a, imaginary: b} = this;
    for (let k = 0; k < size; k++) { // the upper half mirrors the lower one
      const [bin, sign] = k <= size / 2 ? [k, 1] : [size - k, -1];
      a[order[k]] = real[bin];
      b[order[k]] = bin === 0 || bin === size / 2 ? 0 : sign * imaginary[bin];
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let i = 0; i < half; i++) {
          const [c, s] = [this.cos[i * stride], this.sin[i * stride]];
          const [p, q] = [start + i, start + i + half];
          const [x, y] = [a[q] * c - b[q] * s, a[q] * s + b[q] * c];
          a[q] = a[p] - x;
          b[q] = b[p] - y;
          a[p] += x;
          b[p] += y;
        }
      }
    }
    return a.map((value) => value / size);
  }
}
