// The page: a worker speaks, and its pieces are played one after the other as they come.

const $ = (id) => document.getElementById(id);
const worker = new Worker("worker.js", {type: "module"});
const state = {rate: 24000, id: 0, context: null, next: 0, parts: [], sources: []};

function say(words, failed = false) {
  $("status").textContent = words;
  $("status").classList.toggle("failed", failed);
}

function play(samples, pause) {
  const {context, rate} = state;
  const buffer = context.createBuffer(1, samples.length, rate);
  buffer.copyToChannel(samples, 0);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  state.next = Math.max(state.next, context.currentTime + 0.05);
  source.start(state.next);
  state.next += samples.length / rate + pause;
  state.sources.push(source);
}

function wav(parts, rate) {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, words) => [...words].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const part of parts) {
    for (const value of part) {
      view.setInt16(at, Math.round(32767 * Math.min(1, Math.max(-1, value))), true);
      at += 2;
    }
  }
  return new Blob([view], {type: "audio/wav"});
}

function stop() {
  worker.postMessage({kind: "stop"});
  for (const source of state.sources.splice(0)) source.stop();
  state.id++;
  $("speak").disabled = false;
  $("stop").disabled = true;
}

function speak() {
  stop();
  state.context ??= new AudioContext({sampleRate: state.rate});
  state.context.resume();
  Object.assign(state, {next: 0, parts: []});
  $("save").hidden = true;
  $("speak").disabled = true;
  $("stop").disabled = false;
  say("Speaking…");
  worker.postMessage({
    kind: "speak", id: ++state.id, text: $("text").value, voice: $("voice").value, pace: +$("pace").value,
  });
}

worker.onmessage = ({data}) => {
  if (data.kind === "loading") say(`Loading the model: ${Math.round(100 * data.share)} %`);
  if (data.kind === "error") {
    say(data.message, true);
    $("speak").disabled = false;
    $("stop").disabled = true;
  }
  if (data.kind === "ready") {
    state.rate = data.rate;
    $("voice").replaceChildren(...data.voices.map(({name, description}) => new Option(`${name}, ${description}`, name)));
    $("speak").disabled = false;
    say(`Ready: everything runs on this device, with ${data.threads} thread${data.threads > 1 ? "s" : ""}.`);
    document.body.dataset.ready = "true";
  }
  if (data.kind === "sound" && data.id === state.id) {
    if (!state.parts.length) document.body.dataset.first = data.elapsed.toFixed(3);
    play(data.samples, data.pause);
    state.parts.push(data.samples, new Float32Array(Math.round(data.pause * state.rate)));
    if (data.last) {
      const speed = data.seconds / data.elapsed;
      say(`${data.seconds.toFixed(1)} s of speech in ${data.elapsed.toFixed(1)} s: ${speed.toFixed(1)} × real time.`);
      $("speak").disabled = false;
      URL.revokeObjectURL($("save").href);
      $("save").href = URL.createObjectURL(wav(state.parts, state.rate));
      $("save").hidden = false;
      document.body.dataset.speed = speed.toFixed(2);
    }
  }
};

worker.onerror = (event) => say(`The model could not be loaded: ${event.message}`, true);
$("speak").onclick = speak;
$("stop").onclick = stop;
$("pace").oninput = () => ($("pace-value").textContent = `${(+$("pace").value).toFixed(2)} ×`);
say("Loading the model…");
worker.postMessage({kind: "load"});
