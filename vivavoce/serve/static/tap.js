// In the audio thread: hands on what is heard, an eighth of a second at a time.

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
