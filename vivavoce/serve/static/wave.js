// Draws a growing waveform; the part that was played has another colour.

import { RATE } from "./player.js";

const STEP = 240; // samples: 10 ms, the finest resolution
const MIN_SECONDS = 3; // the width stands for at least this much
const BAR = 3; // pixels
const GAP = 2;

export class Wave {
  #peaks = []; // largest sample of each step, 0 to 1
  #filled = 0; // samples in the last step

  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
  }

  clear() {
    this.#peaks = [];
    this.#filled = 0;
  }

  /** samples: Int16Array. */
  add(samples) {
    for (const sample of samples) {
      if (this.#filled === 0) this.#peaks.push(0);
      const last = this.#peaks.length - 1;
      this.#peaks[last] = Math.max(this.#peaks[last], Math.abs(sample) / 32768);
      this.#filled = (this.#filled + 1) % STEP;
    }
  }

  /** position: seconds that were played. growing: more audio will follow. */
  draw(position, growing) {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
    const pen = this.pen;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const [played, ahead] = [style.getPropertyValue("--played"), style.getPropertyValue("--ahead")];
    const steps = Math.max(this.#peaks.length, growing ? (MIN_SECONDS * RATE) / STEP : 1);
    const bars = Math.floor((width + GAP) / (BAR + GAP));
    const loudest = Math.max(0.2, this.#peaks.reduce((a, b) => Math.max(a, b), 0));
    for (let bar = 0; bar < bars; bar++) {
      const first = Math.floor((bar * steps) / bars);
      const last = Math.max(first + 1, Math.floor(((bar + 1) * steps) / bars));
      let peak = 0;
      for (const other of this.#peaks.slice(first, last)) peak = Math.max(peak, other);
      const tall = Math.max(BAR, (peak / loudest) ** 0.8 * height);
      pen.fillStyle = (first * STEP) / RATE < position ? played : ahead;
      pen.globalAlpha = first < this.#peaks.length ? 1 : 0.35;
      pen.beginPath();
      pen.roundRect(bar * (BAR + GAP), (height - tall) / 2, BAR, tall, BAR / 2);
      pen.fill();
    }
  }
}
