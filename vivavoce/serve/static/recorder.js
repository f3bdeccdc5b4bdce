// Records samples from the microphone.

export class Recorder {
  #context = null;
  #stream = null;
  #chunks = [];
  length = 0; // samples

  get rate() {
    return this.#context.sampleRate;
  }

  /** onChunk: called with the level of each chunk, 0 to 1. Throws Error with a message for the user. */
  async start(onChunk) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers record only on localhost and over HTTPS. Choose a file instead.");
    }
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      throw new Error(
        error.name === "NotAllowedError"
          ? "This page may not use the microphone. Allow it in the browser, or choose a file."
          : "No microphone was found. Choose a file instead.",
      );
    }
    this.#context = new AudioContext();
    await this.#context.audioWorklet.addModule(new URL("./tap.js", import.meta.url));
    const mono = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
    const tap = new AudioWorkletNode(this.#context, "tap", mono);
    tap.port.onmessage = ({ data }) => {
      this.#chunks.push(data);
      this.length += data.length;
      onChunk(data.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
    };
    new MediaStreamAudioSourceNode(this.#context, { mediaStream: this.#stream }).connect(tap);
  }

  /** Returns Float32Arrays. */
  async stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    if (this.#context?.state !== "closed") await this.#context?.close();
    return this.#chunks;
  }
}
