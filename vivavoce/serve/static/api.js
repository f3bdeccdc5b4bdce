// Requests to the server of this page. Addresses are relative, so that the page may lie below a path.

const KEY = "vivavoce.key";

export class ApiError extends Error {
  /** status: the HTTP status, 0 if there was no response. param: the field at fault, or null. */
  constructor(message, status = 0, param = null) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** Store the key until the tab is closed. Throws ApiError for an impossible key. */
export function useKey(key) {
  if (!/^[ -~]+$/.test(key)) throw new ApiError("An API key consists of one or more ASCII characters.");
  sessionStorage.setItem(KEY, key);
}

export async function models() {
  return (await (await ask("v1/models")).json()).data;
}

export async function voices() {
  return (await (await ask("v1/audio/voices")).json()).data;
}

/** form: name, consent, audio and optionally transcript. Returns the new voice. */
export async function addVoice(form, signal) {
  return (await ask("v1/audio/voices", { method: "POST", body: form, signal })).json();
}

export async function deleteVoice(id) {
  await ask(`v1/audio/voices/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Returns speech that was received before, Int16Arrays at 24 kHz, as a file in `format`. */
export async function encoded(chunks, format) {
  const options = { method: "POST", headers: { "Content-Type": "audio/pcm" }, body: new Blob(chunks) };
  return (await ask(`v1/audio/encode?response_format=${format}`, options)).blob();
}

/** Returns {title, chapters: [{title, parts}], notices} of a file. */
export async function book(file) {
  const form = new FormData();
  form.set("file", file);
  return (await ask("v1/books", { method: "POST", body: form })).json();
}

const EVENTS = { response_format: "pcm", stream_format: "sse", timestamps: true };

/** Yields {samples: Int16Array} at 24 kHz, {words: [{word, start, end}]} and {notice} while they are generated. */
export async function* speech(request, signal) {
  yield* events(await ask("v1/audio/speech", json({ ...request, ...EVENTS }, signal)));
}

/** Yields a recording in another voice, as `speech`. form: audio, consent, voice, model and optionally text and lang. */
export async function* conversion(form, signal) {
  for (const [name, value] of Object.entries(EVENTS)) form.set(name, value);
  yield* events(await ask("v1/audio/convert", { method: "POST", body: form, signal }));
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw cut(error);
    }
    if (part.done) throw cut();
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = JSON.parse(block.slice("data: ".length));
      if (event.type === "speech.audio.delta") yield { samples: decoded(event.audio) };
      else if (event.type === "vivavoce.words") yield { words: event.words };
      else if (event.type === "vivavoce.notice") yield { notice: event.message };
      else if (event.type === "error") throw new ApiError(event.error.message, 0, event.error.param);
      else if (event.type === "speech.audio.done") return;
    }
  }
}

/** Requests below v1/studio, of a server with --studio. */
export const studio = {
  read: async (path = "") => (await ask(`v1/studio${path}`)).json(),
  blob: async (path) => (await ask(`v1/studio${path}`)).blob(),
  send: async (path, body) => (await ask(`v1/studio${path}`, json(body))).json(),
  upload: async (path, form) => (await ask(`v1/studio${path}`, { method: "POST", body: form })).json(),
  remove: async (path) => (await ask(`v1/studio${path}`, { method: "DELETE" })).json(),
};

async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("Cannot reach the server. Is it still running?");
  }
  if (response.ok) return response;
  let error;
  try {
    error = (await response.json()).error;
  } catch {
    throw new ApiError(`The server returned status ${response.status}.`, response.status);
  }
  const wait = response.status === 429 && Number(response.headers.get("Retry-After"));
  throw new ApiError(error.message + (wait ? `; retry in ${wait} s` : ""), response.status, error.param);
}

function json(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

function cut(error) {
  return error?.name === "AbortError" ? error : new ApiError("The connection closed before the speech was complete.");
}

/** Decode base64 of 16-bit little-endian samples; all machines that run browsers are little-endian. */
function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}
