// Runs in the audio thread: forwards the input in chunks of an eighth of a second.

class Tap extends AudioWorkletProcessor {
  #chunk = new Float32Array(Math.round(sampleRate / 8));
  #filled = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.#chunk[this.#filled++] = sample;
      if (this.#filled === this.#chunk.length) {
        this.port.postMessage(this.#chunk);
        this.#chunk = new Float32Array(this.#chunk.length);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("tap", Tap);
