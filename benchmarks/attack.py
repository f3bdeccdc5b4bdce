"""Attack the package with hostile inputs: mutated files, texts, SSML, HTTP requests, kills.

    python benchmarks/attack.py

Inputs are generated from seeds, so a run can be repeated. Each family of inputs runs in a process of its own, against
this machine only. An input may be accepted, or refused in one line (`ValueError`, `OSError`; a 4xx status). Counted:

    tracebacks  any other exception, an error message of several lines, a 5xx status, a traceback in the server's log
    slow        inputs that took more than --slow seconds of CPU time (for http: of time; for kills: ten times as many)
    silent      results that lost data or differ without a notice: a damaged shard with fewer samples, another output
                after a kill or after hostile requests, text that is read differently in pieces or a second time
    peak MB     memory of the process, at most

Exit status 0: no tracebacks, no slow inputs, no silent losses. 1: otherwise, with the inputs printed; `--keep DIR`
writes them to files.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from common import parser, write_json
from hostile import book, damaged, large, mutate, request, shard, ssml, text
from rich import box
from rich.console import Console
from rich.table import Table

import vivavoce
from vivavoce.audio.io import encode, read
from vivavoce.checkpoints import resolve

LANGUAGES = ("en", "es", "fr", "it", "pt")


class Refused(Exception):
    """The input was refused as it should be."""


class Lost(Exception):
    """Data was lost or changed without a notice."""


@dataclass
class Found:
    """The results of a family of inputs."""

    family: str
    inputs: int = 0
    refused: int = 0
    tracebacks: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def bad(self) -> int:
        return len(self.tracebacks) + len(self.slow) + len(self.silent)


# --- families: each yields (description, data to keep, what to do with it) ------------------------------------------

Case = tuple[str, bytes, Callable[[], Any]]


def texts(rng: random.Random, folder: Path) -> Iterator[Case]:
    from vivavoce.text import formats, normalise
    from vivavoce.text.blocks import chunks
    from vivavoce.text.markdown import MarkdownFilter

    def normal(said: str, lang: str) -> None:
        words = normalise(said, lang)[0]
        if normalise(words, lang)[0] != words:
            raise Lost("read again, the words change")

    def pieces(said: str) -> None:
        cut = [said[at : at + 3] for at in range(0, len(said), 3)]
        if list(chunks(cut)) != list(chunks([said])):
            raise Lost("cut differently in pieces")
        whole, parts = MarkdownFilter(), MarkdownFilter()
        if whole.feed(said) + whole.close() != "".join(map(parts.feed, cut)) + parts.close():
            raise Lost("Markdown is read differently in pieces")

    while True:
        said, lang = text(rng), rng.choice(LANGUAGES)
        data = said.encode("utf-8", "replace")
        yield f"normalise, {lang}", data, lambda s=said, n=lang: normal(s, n)  # type: ignore[misc]
        yield f"tags, {lang}", data, lambda s=said, n=lang: formats.parse(s, lang=n)  # type: ignore[misc]
        yield "pieces", data, lambda s=said: pieces(s)  # type: ignore[misc]


def ssmls(rng: random.Random, folder: Path) -> Iterator[Case]:
    from vivavoce.text import formats

    while True:
        said = ssml(rng)
        strict = rng.random() < 0.3
        yield "ssml", said.encode("utf-8", "replace"), lambda s=said, x=strict: formats.parse(s, ssml=True, strict=x)  # type: ignore[misc]


def books(rng: random.Random, folder: Path) -> Iterator[Case]:
    from vivavoce.books import readers

    while True:
        for kind in readers.FORMATS:
            if kind == "pdf" and find_spec("pypdf") is None:
                continue
            data = large(kind, rng) if rng.random() < 0.1 else mutate(book(kind), rng)
            path = folder / f"book.{kind}"
            path.write_bytes(data)
            yield f"book.{kind}", data, lambda p=path: readers.read(p)  # type: ignore[misc]


def sounds(rng: random.Random, folder: Path) -> Iterator[Case]:
    wave = (0.3 * np.sin(np.arange(24_000) / 20)).astype(np.float32)
    valid = {kind: encode(wave, 24_000, kind) for kind in ("wav", "flac", "mp3", "ogg")}
    while True:
        for kind, sound in valid.items():
            data = mutate(sound, rng)
            yield f"sound.{kind}", data, lambda d=data: read(io.BytesIO(d))  # type: ignore[misc]


def voices(rng: random.Random, folder: Path) -> Iterator[Case]:
    from vivavoce.serve.voices import UnusableVoice, VoiceStore

    path = folder / "voice.safetensors"
    vivavoce.voices()[0].save(path)
    valid = path.read_bytes()
    store = folder / "store"
    added = VoiceStore(store).add("Ann", vivavoce.voices()[0].samples, None)
    stored = next(store.glob("*.safetensors"))
    bundle = stored.read_bytes()

    def load_bundle() -> None:
        try:
            VoiceStore(store).get(added.id)
        except UnusableVoice as error:
            raise ValueError(str(error)) from None

    while True:
        path.write_bytes(data := damaged(valid, rng))
        yield "voice.safetensors", data, lambda: vivavoce.Voice.load(path)
        stored.write_bytes(data := damaged(bundle, rng))
        yield "stored voice", data, load_bundle


def weights(rng: random.Random, folder: Path) -> Iterator[Case]:
    from vivavoce.checkpoints.weights import read_shapes
    from vivavoce.checkpoints.weights_torch import read_weights

    valid = (resolve.ASSETS / "duration" / "model.safetensors").read_bytes()
    path = folder / "model.safetensors"
    while True:
        path.write_bytes(data := damaged(valid, rng))

        def attempt() -> None:
            shapes = read_shapes(path)
            if {name: tuple(tensor.shape) for name, tensor in read_weights(path).items()} != shapes:
                raise Lost("the header says something else")

        yield "model.safetensors", data, attempt


def configs(rng: random.Random, folder: Path) -> Iterator[Case]:
    for part in ("nanospeech", "duration", "vocoder"):
        shutil.copytree(resolve.ASSETS / part, folder / part)
    main = folder / "nanospeech" / "config.json"
    main.write_text(json.dumps(json.loads(main.read_text()) | {"duration": "../duration", "vocoder": "../vocoder"}))
    valid = {part: (folder / part / "config.json").read_bytes() for part in ("nanospeech", "duration", "vocoder")}
    while True:
        name = rng.choice(list(valid))
        if rng.random() < 0.5:
            data = mutate(valid[name], rng)
        else:  # numbers of any size in place of the sizes
            values = json.loads(valid[name])
            part = values["model"]
            part[rng.choice(list(part))] = rng.choice((-1, 0, 10**9, 1e300, None, "x", [], {}, True, 3.5))
            data = json.dumps(values).encode()
        for other, content in valid.items():
            (folder / other / "config.json").write_bytes(data if other == name else content)
        yield f"{name}/config.json", data, lambda: vivavoce.load(str(folder / "nanospeech"))


def tables(rng: random.Random, folder: Path) -> Iterator[Case]:
    """Lexicons, voice aliases, tables of `vivavoce batch`, and recipes."""
    from vivavoce.batch.rows import parse_row
    from vivavoce.batch.tables import open_table
    from vivavoce.serve.aliases import VoiceAliases
    from vivavoce.text.lexicon import Lexicon
    from vivavoce.train.tasks.registry import load_task

    def batch(path: Path) -> None:
        for number, values in enumerate(open_table(str(path), folder).rows()):
            parse_row(number, values)

    recipe = b'{"model": {"dim": 64, "depth": 2}, "characters": " ab", "train": {"max_steps": 10}}'
    files: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
        "lexicon.tsv": (b"nginx\tengine ex\nGIF\tjif\n", Lexicon.load),
        "aliases.json": (b'{"alloy": "nash", "echo": null}', VoiceAliases.load),
        "rows.csv": (b"id,text,voice,speed\n1,It rained.,nash,1.0\n2,Yes.,luna,\n", batch),
        "rows.jsonl": (b'{"id": "1", "text": "It rained.", "seed": 3}\n{"text": "Yes."}\n', batch),
        "recipe.json": (recipe, lambda path: load_task("nanospeech", path)),
    }
    while True:
        for name, (valid, reader) in files.items():
            data = mutate(valid, rng)
            (folder / name).write_bytes(data)
            yield name, data, lambda p=folder / name, r=reader: r(p)  # type: ignore[misc]


def shards(rng: random.Random, folder: Path) -> Iterator[Case]:
    from vivavoce.data.samples import Report, raw_samples

    path, valid = folder / "x.tar", shard()

    def attempt() -> None:
        report = Report()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [sample.files for sample in raw_samples([str(path)], report)]
        whole = sum({"json", "wav"} <= set(files) for files in found)
        if whole < 4 and not report.notices and not report.skipped and len(found) < 4:
            raise Lost(f"{whole} of 4 samples, and no notice")

    while True:
        data = bytearray(valid)
        if rng.random() < 0.5:  # one bit of a header
            data[512 * 2 * rng.randrange(8) + rng.randrange(512)] ^= 1 << rng.randrange(8)
        else:
            data = bytearray(mutate(valid, rng))
        path.write_bytes(data)
        yield "shard.tar", bytes(data), attempt


def http(rng: random.Random, folder: Path) -> Iterator[Case]:
    store = str(folder / "v")
    command = [sys.executable, "-m", "vivavoce", "serve", "--port", "0", "--workers", "1", "--voices", store]
    logged: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as server:
        try:
            assert server.stderr is not None
            line = next(line for line in server.stderr if "listening" in line)
            host, _, port = line.split()[2].removeprefix("http://").partition(":")
            address = (host, int(port.strip("/")))
            log = threading.Thread(target=lambda: logged.extend(server.stderr or ()), daemon=True)
            log.start()
            known = speech(address)

            def attempt(data: bytes) -> None:
                before = len(logged)
                try:
                    send(address, data)
                finally:
                    if server.poll() is not None:
                        raise RuntimeError("the server ended")
                    if found := [line.strip() for line in logged[before:] if "Traceback" in line]:
                        raise RuntimeError(f"{found[0]} in the server's log")

            def same() -> None:
                if speech(address) != known:
                    raise Lost("the same request with the same seed gives other speech")

            while True:
                for _ in range(49):
                    data = request(rng)
                    yield "http", data, lambda d=data: attempt(d)  # type: ignore[misc]
                # 200 connections that send half of a request and stay
                halves = [socket.create_connection(address, timeout=30) for _ in range(200)]
                for half in halves:
                    half.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-")
                yield "half-open connections", b"", same
                for half in halves:
                    half.close()
        finally:
            server.terminate()
            server.wait()


def speech(address: tuple[str, int]) -> bytes:
    """Return the speech of a text with a seed."""
    body = json.dumps({"input": "It rained.", "voice": "nash", "seed": 1, "response_format": "wav"}).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    return answer(address, head.encode() + body, half_close=False).partition(b"\r\n\r\n")[2]


def answer(address: tuple[str, int], data: bytes, half_close: bool) -> bytes:
    """Send bytes to the server and return what it answers, at most 20 MB."""
    received = b""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while len(received) < 20_000_000 and (block := connection.recv(65_536)):
            received += block
    return received


def send(address: tuple[str, int], data: bytes) -> None:
    """Send bytes to the server and check its answer."""
    received = answer(address, data, half_close=True)
    status = int(received[9:12]) if received[:5] == b"HTTP/" and received[9:12].isdigit() else 0
    if status >= 500:
        raise RuntimeError(f"status {status}: {received[-300:]!r}")
    if 400 <= status < 500:
        raise Refused


def kills(rng: random.Random, folder: Path) -> Iterator[Case]:
    book, whole = folder / "book.txt", folder / "whole.wav"
    book.write_text("\n\n".join("The rain has stopped, and the boats come in." for _ in range(12)), encoding="utf-8")

    def command(out: Path) -> list[str]:
        return [sys.executable, "-m", "vivavoce", "speak", "--file", str(book), "--seed", "1", "-o", str(out)]

    subprocess.run(command(whole), check=True, capture_output=True)
    expected = read(io.BytesIO(whole.read_bytes()))
    while True:
        delay = rng.uniform(2, 12)
        out = folder / f"killed-{delay:.3f}.wav"

        def attempt(out: Path = out, delay: float = delay) -> None:
            with subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                time.sleep(delay)
                process.send_signal(rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            subprocess.run(command(out), check=True, capture_output=True)
            if not np.array_equal(read(io.BytesIO(out.read_bytes())), expected):
                raise Lost(f"killed after {delay:.1f} s, and the resumed samples differ")
            if left := [path.name for path in folder.iterdir() if path.suffix == ".part"]:
                raise Lost(f"{left[0]} is left behind")

        yield f"kill after {delay:.1f} s", b"", attempt


# family -> (generator, inputs of a whole campaign)
FAMILIES: dict[str, tuple[Callable[[random.Random, Path], Iterator[Case]], int]] = {
    "texts": (texts, 3000),
    "ssml": (ssmls, 1500),
    "books": (books, 2000),
    "sounds": (sounds, 1200),
    "voices": (voices, 500),
    "weights": (weights, 500),
    "configs": (configs, 150),
    "tables": (tables, 1000),
    "shards": (shards, 1000),
    "http": (http, 400),
    "kills": (kills, 4),
}


# --- running ---------------------------------------------------------------------------------------------------------


def peak_mb() -> float:
    """Return the peak memory of this process and of its largest finished child; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit


def _children() -> float:
    """Return the CPU time of the processes that ended."""
    return sum(os.times()[2:4])


CLOCKS = {"http": time.perf_counter, "kills": _children}  # the other families run in this process


def attack(family: str, inputs: int, seed: int = 0, slow: float = 10.0, keep: Path | None = None) -> Found:
    """Try `inputs` inputs of a family in this process."""
    found, begin = Found(family), time.perf_counter()
    slow = 10 * slow if family == "kills" else slow  # it speaks a text twice
    with tempfile.TemporaryDirectory() as folder:
        cases = FAMILIES[family][0](random.Random(f"{family} {seed}"), Path(folder))
        try:
            for number, (name, data, attempt) in zip(range(inputs), cases, strict=False):
                found.inputs += 1
                _try(found, f"{name}, input {number}", data, attempt, slow, keep)
        finally:
            cases.close()  # type: ignore[attr-defined]
    found.seconds, found.peak_mb = time.perf_counter() - begin, peak_mb()
    return found


def _try(found: Found, name: str, data: bytes, attempt: Callable[[], Any], slow: float, keep: Path | None) -> None:
    """Try one input and record what happens."""
    clock = CLOCKS.get(found.family, time.process_time)
    before, bad = clock(), found.bad
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt()
    except Refused:
        found.refused += 1
    except Lost as loss:
        found.silent.append(f"{name}: {loss}")
    except (ValueError, OSError, vivavoce.SynthesisError) as error:
        # a time-out of the server is no refusal
        if isinstance(error, TimeoutError):
            found.tracebacks.append(f"{name}: no answer")
        found.refused += 1
        if isinstance(error, UnicodeError) or "\n" in str(error).strip():
            found.tracebacks.append(f"{name}: {type(error).__name__}: {error}")
    except Exception as error:  # what the campaign is looking for
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        found.tracebacks.append(f"{name}: {type(error).__name__}: {str(error)[:200]} ({place})")
    if (seconds := clock() - before) > slow:
        found.slow.append(f"{name}: {seconds:.1f} s")
    if keep is not None and found.bad > bad and data:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{found.family}-{found.inputs:05d}").write_bytes(data)


def _attack(*args: Any) -> Found:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if args[0] == "sounds":  # libmpg123 comments on every damaged frame
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return attack(*args)


def table(results: Sequence[Found]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    heads = ("family", "inputs", "refused", "tracebacks", "slow", "silent", "seconds", "peak MB")
    for head in heads:
        shown.add_column(head, justify="left" if head == "family" else "right", no_wrap=True)
    for found in results:
        counts = (found.inputs, found.refused, len(found.tracebacks), len(found.slow), len(found.silent))
        shown.add_row(found.family, *map(str, counts), f"{found.seconds:.0f}", f"{found.peak_mb:.0f}")
    return shown


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parse = parser(__doc__)
    parse.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), help="(all)")
    parse.add_argument("--scale", type=float, default=1.0, help="multiply the number of inputs (1)")
    parse.add_argument("--seed", type=int, default=0, help="(0)")
    parse.add_argument("--slow", type=float, default=10.0, metavar="SECONDS", help="limit for one input (10)")
    parse.add_argument("--keep", type=Path, metavar="DIR", help="write the inputs that did harm to DIR")
    parse.add_argument("--json", type=Path, metavar="FILE", help="write all findings to FILE")
    args = parse.parse_args(argv)
    if not args.scale > 0:
        parse.error(f"--scale is {args.scale:g}; it must be above 0")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    results: list[Found] = []
    context = multiprocessing.get_context("spawn")
    for family in args.families:
        inputs = max(1, round(args.scale * FAMILIES[family][1]))
        with ProcessPoolExecutor(1, mp_context=context) as pool:  # unlike Pool, it notices a process that dies
            found = pool.submit(_attack, family, inputs, args.seed, args.slow, args.keep).result()
        results.append(found)
        for kind in ("tracebacks", "slow", "silent"):
            for line in getattr(found, kind)[:20]:
                print(f"{kind}: {line}", file=sys.stderr)
    Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table(results))
    totals = [sum(len(getattr(found, kind)) for found in results) for kind in ("tracebacks", "slow", "silent")]
    inputs, memory = sum(found.inputs for found in results), max(found.peak_mb for found in results)
    print(
        f"{inputs} inputs, seed {args.seed}: {totals[0]} tracebacks, {totals[1]} slow, {totals[2]} silent losses; "
        f"peak {memory:.0f} MB"
    )
    write_json(args.json, {"seed": args.seed, "families": [asdict(found) for found in results]})
    return 1 if any(totals) else 0


if __name__ == "__main__":
    sys.exit(main())
