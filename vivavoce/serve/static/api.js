// Requests to the server that this page came from. Addresses are relative, so that it may lie below a path.

const KEY = "vivavoce.key";

export class ApiError extends Error {
  /** status: of HTTP, 0 where there was none. param: the field of the request that is at fault, or null. */
  constructor(message, status = 0, param = null) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** Keep the key until the tab is closed. Throws ApiError for one that no server can have. */
export function useKey(key) {
  if (!/^[ -~]+$/.test(key)) throw new ApiError("A key has one character at least, and none beyond ASCII.");
  sessionStorage.setItem(KEY, key);
}

export async function models() {
  return (await (await ask("v1/models")).json()).data;
}

export async function voices() {
  return (await (await ask("v1/audio/voices")).json()).data;
}

/** form: name, consent, audio and perhaps transcript. Returns the voice. */
export async function addVoice(form, signal) {
  return (await ask("v1/audio/voices", { method: "POST", body: form, signal })).json();
}

export async function deleteVoice(id) {
  await ask(`v1/audio/voices/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** The whole of a speech as a file of `format`. */
export async function file(request, format, signal) {
  const response = await ask("v1/audio/speech", json({ ...request, response_format: format }, signal));
  try {
    return await response.blob();
  } catch (error) {
    throw cut(error);
  }
}

/** Yields {samples: Int16Array}, 24,000 a second, {words: [{word, start, end}]} and {notice}, as they are made. */
export async function* speech(request, signal) {
  const wish = { ...request, response_format: "pcm", stream_format: "sse", timestamps: true };
  const response = await ask("v1/audio/speech", json(wish, signal));
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

async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  let error;
  try {
    error = (await response.json()).error;
  } catch {
    throw new ApiError(`The server answered with status ${response.status}.`, response.status);
  }
  const wait = response.status === 429 && Number(response.headers.get("Retry-After"));
  throw new ApiError(error.message + (wait ? `; try again in ${wait} s` : ""), response.status, error.param);
}

function json(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

function cut(error) {
  return error?.name === "AbortError" ? error : new ApiError("The connection ended before everything was spoken.");
}

/** Base64 of 16-bit samples, low byte first, as all machines that run browsers have them. */
function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}
