// Plays sound that is still being made: each chunk is scheduled to begin on the sample where the one before it ends.

import { toFloat } from "./sound.js";

export const RATE = 24000; // samples a second

const LEAD = 0.06; // seconds from the decision to play to the sound, so that it does not begin in the past
const FADE = 0.012; // seconds, time constant: sound that is cut off clicks

export class Player {
  #context = null;
  #out = null;
  #sources = new Set();
  #spans = []; // what is scheduled: {at: seconds of the context's clock, from: sample, length: samples}
  #rest = 0; // sample at which playing goes on
  #turn = 0; // counts what was asked for: the last is what is done

  chunks = []; // Int16Arrays
  length = 0; // samples
  complete = true; // nothing more will be appended
  playing = false;

  /** Call this from what the user did: browsers let no page make sound by itself. */
  async wake() {
    if (!this.#context) {
      // At the sound's own rate: a browser that resamples each chunk by itself is heard at the joins.
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    }
    if (this.#context.state !== "running") await this.#context.resume();
  }

  /** Forget all sound, and wait for another. */
  reset() {
    this.halt();
    this.chunks = [];
    this.length = 0;
    this.#rest = 0;
    this.complete = false;
  }

  append(samples) {
    const from = this.length;
    this.chunks.push(samples);
    this.length += samples.length;
    if (this.playing) this.#schedule(samples, from);
  }

  /** From a second; undefined: from where it stopped, or from the start where that was the end. */
  async play(second) {
    this.halt();
    if (second !== undefined) this.#rest = second * RATE;
    else if (this.complete && this.#rest >= this.length) this.#rest = 0;
    const turn = this.#turn;
    await this.wake();
    if (turn !== this.#turn) return;
    this.#rest = Math.round(Math.max(0, Math.min(this.#rest, this.length)));
    this.#out = new GainNode(this.#context);
    this.#out.connect(this.#context.destination);
    this.playing = true;
    let from = 0;
    for (const chunk of this.chunks) {
      const skipped = Math.max(0, this.#rest - from);
      if (skipped < chunk.length) this.#schedule(chunk.subarray(skipped), from + skipped);
      from += chunk.length;
    }
  }

  /** Stop, and stay at this place. */
  halt() {
    this.#turn++;
    if (!this.playing) return;
    this.#rest = this.position * RATE;
    this.playing = false;
    const now = this.#context.currentTime;
    this.#out.gain.setTargetAtTime(0, now, FADE);
    for (const source of this.#sources) source.stop(now + 5 * FADE);
    this.#sources.clear();
    this.#spans = [];
  }

  /** Go to a second, and go on playing if it plays. */
  async seek(second) {
    if (this.playing) await this.play(second);
    else this.#rest = Math.max(0, Math.min(second * RATE, this.length));
  }

  /** The second that is heard. */
  get position() {
    if (!this.playing) return this.#rest / RATE;
    const now = this.#heard();
    const span = this.#spans.findLast((span) => span.at <= now);
    return span ? (span.from + Math.min(span.length, (now - span.at) * RATE)) / RATE : this.#rest / RATE;
  }

  /** Whether all that was to be played has been heard; if so, it no longer plays. */
  ended() {
    if (!this.playing || !this.complete || this.position * RATE < this.length - 1) return false;
    this.halt();
    this.#rest = this.length;
    return true;
  }

  #heard() {
    return this.#context.currentTime - (this.#context.outputLatency || 0);
  }

  #schedule(samples, from) {
    if (!samples.length) return;
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: RATE });
    buffer.copyToChannel(toFloat(samples), 0);
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#out);
    const last = this.#spans.at(-1);
    const next = last ? last.at + last.length / RATE : 0;
    const at = Math.max(next, this.#context.currentTime + (next ? 0 : LEAD)); // late: the sound waits for its making
    source.start(at);
    source.onended = () => this.#sources.delete(source);
    this.#sources.add(source);
    this.#spans.push({ at, from, length: samples.length });
  }
}
