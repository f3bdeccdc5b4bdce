// Plays audio that is still being generated: each chunk starts on the sample where the previous one ends.

import { toFloat } from "./sound.js";

export const RATE = 24000; // samples a second

const LEAD = 0.06; // seconds of delay before playback starts, so that the start time is not in the past
const FADE = 0.012; // seconds, time constant of the fade-out: an abrupt end clicks

export class Player {
  #context = null;
  #out = null;
  #sources = new Set();
  #spans = []; // scheduled chunks: {at: seconds of the context's clock, from: sample, length: samples}
  #resumeAt = 0; // sample at which playback resumes
  #turn = 0; // number of the last request to play; older ones are dropped

  chunks = []; // Int16Arrays
  length = 0; // samples
  complete = true; // no more audio will be appended
  playing = false;

  /** Call this from a user action: browsers do not let a page play sound by itself. */
  async wake() {
    if (!this.#context) {
      // At the audio's own rate: resampling each chunk separately would be audible at the joins.
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    }
    if (this.#context.state !== "running") await this.#context.resume();
  }

  /** Drop all audio and wait for new audio. */
  reset() {
    this.halt();
    this.chunks = [];
    this.length = 0;
    this.#resumeAt = 0;
    this.complete = false;
  }

  append(samples) {
    const from = this.length;
    this.chunks.push(samples);
    this.length += samples.length;
    if (this.playing) this.#schedule(samples, from);
  }

  /** Play from a second; undefined: from where it stopped, or from the start if that was the end. */
  async play(second) {
    this.halt();
    if (second !== undefined) this.#resumeAt = second * RATE;
    else if (this.complete && this.#resumeAt >= this.length) this.#resumeAt = 0;
    const turn = this.#turn;
    await this.wake();
    if (turn !== this.#turn) return;
    this.#resumeAt = Math.round(Math.max(0, Math.min(this.#resumeAt, this.length)));
    this.#out = new GainNode(this.#context);
    this.#out.connect(this.#context.destination);
    this.playing = true;
    let from = 0;
    for (const chunk of this.chunks) {
      const skipped = Math.max(0, this.#resumeAt - from);
      if (skipped < chunk.length) this.#schedule(chunk.subarray(skipped), from + skipped);
      from += chunk.length;
    }
  }

  /** Stop, and keep the position. */
  halt() {
    this.#turn++;
    if (!this.playing) return;
    this.#resumeAt = this.position * RATE;
    this.playing = false;
    const now = this.#context.currentTime;
    this.#out.gain.setTargetAtTime(0, now, FADE);
    for (const source of this.#sources) source.stop(now + 5 * FADE);
    this.#sources.clear();
    this.#spans = [];
  }

  /** Move to a second; keep playing if it plays. */
  async seek(second) {
    if (this.playing) await this.play(second);
    else this.#resumeAt = Math.max(0, Math.min(second * RATE, this.length));
  }

  /** The second that is audible now. */
  get position() {
    if (!this.playing) return this.#resumeAt / RATE;
    const now = this.#audibleTime();
    const span = this.#spans.findLast((span) => span.at <= now);
    return span ? (span.from + Math.min(span.length, (now - span.at) * RATE)) / RATE : this.#resumeAt / RATE;
  }

  /** Returns whether everything has been played, and stops if so. */
  ended() {
    if (!this.playing || !this.complete || this.position * RATE < this.length - 1) return false;
    this.halt();
    this.#resumeAt = this.length;
    return true;
  }

  #audibleTime() {
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
    const at = Math.max(next, this.#context.currentTime + (next ? 0 : LEAD)); // if the chunk is late, play it at once
    source.start(at);
    source.onended = () => this.#sources.delete(source);
    this.#sources.add(source);
    this.#spans.push({ at, from, length: samples.length });
  }
}
