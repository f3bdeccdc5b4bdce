// Draws a waveform that grows, with what was heard in another colour.

import { RATE } from "./player.js";

const STEP = 240; // samples: 10 ms, the finest that is drawn
const LEAST = 3; // seconds that the width stands for while there is less
const BAR = 3; // pixels
const GAP = 2;

export class Wave {
  #peaks = []; // the largest sample of each step, 0 to 1
  #part = 0; // samples of the last step

  constructor(canvas) {
    this.canvas = canvas;
    this.brush = canvas.getContext("2d");
  }

  clear() {
    this.#peaks = [];
    this.#part = 0;
  }

  /** samples: Int16Array. */
  add(samples) {
    for (const sample of samples) {
      if (this.#part === 0) this.#peaks.push(0);
      const last = this.#peaks.length - 1;
      this.#peaks[last] = Math.max(this.#peaks[last], Math.abs(sample) / 32768);
      this.#part = (this.#part + 1) % STEP;
    }
  }

  /** position: seconds that were heard. growing: more is to come. */
  draw(position, growing) {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
    const brush = this.brush;
    brush.setTransform(scale, 0, 0, scale, 0, 0);
    brush.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const [heard, ahead] = [style.getPropertyValue("--heard"), style.getPropertyValue("--ahead")];
    const steps = Math.max(this.#peaks.length, growing ? (LEAST * RATE) / STEP : 1);
    const bars = Math.floor((width + GAP) / (BAR + GAP));
    const loudest = Math.max(0.2, this.#peaks.reduce((a, b) => Math.max(a, b), 0));
    for (let bar = 0; bar < bars; bar++) {
      const first = Math.floor((bar * steps) / bars);
      const last = Math.max(first + 1, Math.floor(((bar + 1) * steps) / bars));
      let peak = 0;
      for (const other of this.#peaks.slice(first, last)) peak = Math.max(peak, other);
      const tall = Math.max(BAR, (peak / loudest) ** 0.8 * height);
      brush.fillStyle = (first * STEP) / RATE < position ? heard : ahead;
      brush.globalAlpha = first < this.#peaks.length ? 1 : 0.35;
      brush.beginPath();
      brush.roundRect(bar * (BAR + GAP), (height - tall) / 2, BAR, tall, BAR / 2);
      brush.fill();
    }
  }
}
