"""Measure the speed of a model by number of network passes, on the CPU by default.

    python benchmarks/speed.py

prints seconds of speech per second of computation (above 1 is faster than real time) and the time to the first chunk of
a stream, for a short, a medium and a long text, as medians of several runs after a warm-up. A star marks the model's
default settings. For an autoregressive whisperspeech model,

    python benchmarks/speed.py --passes --threads 2

prints the speed of the whole engine, and the passes a second of its two stages: without the key/value cache, with it,
and compiled. Without --model, it has random weights of the recipes' sizes. benchmarks/README.md defines the columns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from common import exit_status, parser, write_json
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import vivavoce
from vivavoce.config import available_cores, compute_threads

RECIPES = [Path(__file__).parent.parent / "recipes" / "whisperspeech" / kind / "recipe.json" for kind in ("t2s", "s2a")]
TEXTS = {
    "short": "Good morning.",
    "medium": "The quick brown fox jumps over the lazy dog, and nobody in the village is surprised to see it.",
    "long": (
        "The harbour lay quiet when the first boats came in. Men in heavy coats carried boxes of fish up the stairs, "
        "and the gulls followed them with loud complaints. Nobody spoke much, for the night had been long and the wind "
        "was still cold. In the small house at the end of the pier, a woman lit the stove, put the kettle on, and "
        "opened the door to let the light out. One after another they came inside, sat down at the long table, and "
        "warmed their hands around the cups. By the time the sun stood over the hills, the harbour was loud again."
    ),
}
ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4}  # passes of the network in one step, without guidance
SCHEDULES = (("euler", 4), ("euler", 8), ("euler", 16), ("euler", 32), ("midpoint", 8), ("rk4", 7))


@dataclass(frozen=True)
class Schedule:
    """Settings of the ODE solver."""

    method: str
    steps: int
    cfg: float

    @property
    def passes(self) -> int:
        """Network passes for one chunk of text; guidance doubles them."""
        return self.steps * ORDERS[self.method] * (2 if self.cfg > 0 else 1)


@dataclass(frozen=True)
class Timing:
    """Medians over the runs, for one text and one schedule."""

    text: str  # short, medium or long
    schedule: Schedule | None  # None for whisperspeech, which generates tokens
    passes: int | None
    default: bool
    speech_seconds: float
    seconds: float  # of computation
    first_audio_seconds: float  # from the call of `stream` to its first chunk

    @property
    def speed(self) -> float:
        """Seconds of speech per second of computation."""
        return self.speech_seconds / self.seconds


@dataclass(frozen=True)
class Passes:
    """The speed of one stage of whisperspeech, with or without cache and compilation."""

    stage: str  # t2s or s2a
    cache: bool
    compile: bool
    passes: int  # of the decoder, one for each position
    seconds: float
    needed: float  # passes a second of speech

    @property
    def rate(self) -> float:
        """Passes a second."""
        return self.passes / self.seconds

    @property
    def speed(self) -> float:
        """Seconds of speech per second of computation, of this stage alone."""
        return self.rate / self.needed


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parse = parser(__doc__)
    add = parse.add_argument
    add("--model", help="nanospeech, whisperspeech, a folder or a hub name (nanospeech)")
    add("--backend", default="torch", choices=("torch", "mlx", "onnx"), help="(torch)")
    add("--device", default="cpu", help="cpu, cuda or mps (cpu)")
    add("--bits", type=int, help="quantise the weights to 4 or 8 bits, with --backend mlx")
    add("--voice", default=None, help="(the default voice)")
    add("--threads", type=int, help="CPU threads of torch and onnx (the number of cores)")
    add("--runs", type=int, default=3, help="runs after the warm-up; the median counts (3)")
    add("--texts", default=",".join(TEXTS), help=f"a subset of {','.join(TEXTS)} (all)")
    add("--default-only", action="store_true", help="only the model's default settings")
    add("--compile", action="store_true", help="use torch.compile or mx.compile")
    add("--passes", action="store_true", help="autoregressive: passes a second of each stage, by cache and compilation")
    add(
        "--random-weights",
        nargs=2,
        type=Path,
        metavar=("T2S", "S2A"),
        help="with --passes: random weights, of the sizes in these two recipes",
    )
    add("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    args = parse.parse_args(argv)
    for name in ("runs", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parse.error(f"--{name} is {value}; it must be at least 1")
    if args.passes and args.model is None:
        args.random_weights = args.random_weights or RECIPES
    args.model = args.model or "bundled"
    if args.threads is not None and args.backend == "mlx":
        parse.error("--threads is for torch and onnx; mlx chooses its own threads")
    args.texts = args.texts.split(",")
    if unknown := [name for name in args.texts if name not in TEXTS]:
        parse.error(f"--texts has {unknown[0]!r}; it must be one of {', '.join(TEXTS)}")
    return args


def cpu_model() -> str:
    """Return the processor's name as the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if found:
            return found
    return platform.processor() or platform.machine()


def schedules(default: Schedule) -> list[Schedule]:
    """Return the default and the usual schedules, with the default's guidance and without, by number of passes."""
    strengths = sorted({default.cfg, 0.0})
    found = {Schedule(method, steps, cfg) for method, steps in SCHEDULES for cfg in strengths} | {default}
    return sorted(found, key=lambda s: (s.passes, s.method, s.cfg))


def time_text(
    tts: Any, text: str, voice: str | None, schedule: Schedule | None, runs: int
) -> tuple[float, float, float]:
    """Return medians over `runs`: seconds of speech, seconds of computation, seconds to the first chunk."""
    options = {**(asdict(schedule) if schedule else {}), "seed": 0}
    wholes, firsts, speech = [], [], 0.0
    for _ in range(runs):
        begin = time.perf_counter()
        speech = tts.speak(text, voice=voice, **options).duration
        wholes.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        stream = tts.stream(text, voice=voice, **options)
        next(stream)
        firsts.append(time.perf_counter() - begin)
        stream.close()  # waits for the background thread, which is not part of the time
    return speech, statistics.median(wholes), statistics.median(firsts)


def timings(tts: Any, args: argparse.Namespace) -> list[Timing]:
    """Measure every schedule with every text."""
    sampling = tts.system.sampling
    default = Schedule(sampling.method, sampling.steps, sampling.cfg) if hasattr(sampling, "steps") else None
    chosen = [default] if args.default_only or default is None else schedules(default)
    found = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("timing", total=len(chosen) * len(args.texts))
        for name in args.texts:
            # One warm-up a text: PyTorch plans kernels and allocates memory for each new length.
            time_text(tts, TEXTS[name], args.voice, chosen[0], 1)
            for schedule in chosen:
                speech, whole, first = time_text(tts, TEXTS[name], args.voice, schedule, args.runs)
                is_default = schedule == default
                passes = None if schedule is None else schedule.passes
                found.append(Timing(name, schedule, passes, is_default, speech, whole, first))
                progress.update(task, advance=1)
    return found


def table(found: Sequence[Timing]) -> Table:
    result = Table(
        title="* the model's default settings",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    names = ("text", "passes", "method", "steps", "cfg", "speech s", "computation s", "x real time", "first audio s")
    for name in names:
        result.add_column(name, justify="left" if name in ("text", "method") else "right", no_wrap=True)
    for i, timing in enumerate(found):
        if i and found[i - 1].text != timing.text:
            result.add_section()
        s = timing.schedule
        result.add_row(
            timing.text,
            f"{'*' if timing.default else ''}{timing.passes or ''}",
            *(("", "", "") if s is None else (s.method, str(s.steps), f"{s.cfg:g}")),
            f"{timing.speech_seconds:.2f}",
            f"{timing.seconds:.2f}",
            f"{timing.speed:.2f}",
            f"{timing.first_audio_seconds:.2f}",
            style="bold" if timing.default else None,
        )
    return result


# ---- the stages of whisperspeech ------------------------------------------------------------------------------------


def random_system(recipes: Sequence[Path], device: str) -> Any:
    """Return a whisperspeech system with random weights, of the sizes in the recipes of T2S and S2A."""
    from vivavoce.checkpoints.weights_torch import load_vocoder, placement
    from vivavoce.models.codec import CodecConfig
    from vivavoce.models.codec_torch import MelCodec, MelQuantizer
    from vivavoce.models.whisperspeech import S2AConfig, T2SConfig, WhisperspeechConfig
    from vivavoce.models.whisperspeech_torch import S2A, T2S
    from vivavoce.systems.whisperspeech_torch import WhisperspeechSystem

    torch.manual_seed(0)
    models = []
    for path, kind in zip(recipes, (T2SConfig, S2AConfig), strict=True):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: not a readable recipe ({error})") from None
        models.append(kind.from_dict(values.get("model", {}), str(path)))
    t2s, s2a = models
    where = placement(device, "float32")
    codec = MelQuantizer(CodecConfig(quantizers=s2a.quantizers, codes=s2a.codes)).to(where.device)
    speaks = MelCodec(codec, load_vocoder("bundled").to(where.device))
    return WhisperspeechSystem(T2S(t2s).eval(), S2A(s2a).eval(), speaks, WhisperspeechConfig(), where)


def passes(system: Any, runs: int) -> list[Passes]:
    """Measure both stages at the length of a sentence: without the cache, with it, and compiled."""
    from vivavoce.models.whisperspeech import TokenSamplingConfig

    device, sampling = system.where.device, TokenSamplingConfig(temperature=1.0)
    text = torch.tensor([list(TEXTS["medium"].lower().encode())], device=device)
    codes = round(system.code_rate * len(TEXTS["medium"]) / system.sampling.pace)
    semantic = torch.randint(system.t2s.config.codes, (1, codes), device=device)
    speaker = torch.randn(1, system.s2a.config.speaker_dim, device=device)
    pace = torch.tensor([system.sampling.pace], device=device)

    def write_text(seed: int, **how: Any) -> None:
        options = {"limit": codes, "generators": [torch.Generator().manual_seed(seed)], **how}
        system.t2s.generate(text, torch.zeros_like(text), pace, sampling, **options)

    def write_sound(seed: int, **how: Any) -> None:
        system.s2a.generate(semantic, speaker, sampling, generators=[torch.Generator().manual_seed(seed)], **how)

    found = []
    stages: tuple[tuple[str, Any, Callable[..., None], float], ...] = (
        ("t2s", system.t2s, write_text, system.code_rate),
        ("s2a", system.s2a, write_sound, system.codec.frame_rate),
    )
    for name, model, write, needed in stages:
        for cache, compiled in ((False, False), (True, False), (True, True)):
            if compiled:
                model.compile_step()
            write(0, cached=cache)
            columns: list[int] = []
            begin = time.perf_counter()
            for seed in range(runs):
                write(seed, cached=cache, progress=columns.append)
            found.append(Passes(name, cache, compiled, len(columns), time.perf_counter() - begin, needed))
    return found


def passes_table(found: Sequence[Passes]) -> Table:
    result = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for name in ("stage", "cache", "compile", "passes", "passes a second", "x real time"):
        result.add_column(name, justify="left" if name in ("stage", "cache", "compile") else "right", no_wrap=True)
    for p in found:
        marks = ("yes" if p.cache else "no", "yes" if p.compile else "no")
        result.add_row(p.stage, *marks, str(p.passes), f"{p.rate:.0f}", f"{p.speed:.2f}")
    return result


def whole(system: Any, runs: int, temperature: float | None) -> tuple[float, float]:
    """Return the seconds of speech and of computation for several readings of a sentence by the whole engine."""
    from vivavoce.config import SpeakOptions
    from vivavoce.systems.interface import SynthesisRequest
    from vivavoce.text.pieces import Piece
    from vivavoce.voices import get

    voice, speech, begin = get(SpeakOptions().voice), 0.0, 0.0
    for seed in range(runs + 1):
        made = system.synthesize(
            [SynthesisRequest(Piece(TEXTS["medium"], 0.0), voice, SpeakOptions(temperature=temperature), seed)]
        )[0]
        if seed == 0:  # the warm-up
            begin = time.perf_counter()
        else:
            speech += len(made.samples) / system.sample_rate
    return speech, time.perf_counter() - begin


def write_timings(path: Path | None, machine: dict[str, Any], found: Sequence[Timing | Passes]) -> None:
    rows = [{**asdict(timing), "x_real_time": timing.speed} for timing in found]
    write_json(path, {"machine": machine, "timings": rows})


def machine_of(args: argparse.Namespace, load_seconds: float) -> dict[str, Any]:
    """Return what a figure depends on, for the JSON and the heading."""
    return {
        "cpu": cpu_model(),
        "cores": available_cores(),
        "threads": {"torch": torch.get_num_threads, "onnx": compute_threads}.get(args.backend, lambda: None)(),
        "backend": args.backend,
        "version": metadata.version("onnxruntime" if args.backend == "onnx" else args.backend),
        "device": args.device,
        "bits": args.bits,
        "python": platform.python_version(),
        "system": platform.system(),
        "model": " and ".join(map(str, args.random_weights)) if args.random_weights else args.model,
        "compile": args.compile,
        "runs": args.runs,
        "load_seconds": load_seconds,
    }


def report_stages(system: Any, args: argparse.Namespace, machine: dict[str, Any]) -> None:
    """Measure and print the whole whisperspeech engine and its stages."""
    if not hasattr(system, "s2a"):
        raise ValueError(f"--passes needs an autoregressive whisperspeech model; {args.model} is not one")
    temperature = 1.0 if args.random_weights else None  # the models' own temperature is for trained weights
    speech, seconds = whole(system, args.runs, temperature)
    rows = passes(system, args.runs)
    compiled_speech, compiled_seconds = whole(system, args.runs, temperature)
    out = Console(highlight=False, soft_wrap=True)
    out.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, torch "
        f"{machine['version']}, {args.device}; model {machine['model']}"
        f"{', random weights' if args.random_weights else ''}.\n{args.runs} runs after a warm-up. The whole "
        f"engine: {speech:.1f} s of speech in {seconds:.1f} s, {speech / seconds:.2f} times faster than real "
        f"time; compiled {compiled_speech / compiled_seconds:.2f} times."
    )
    out.print(passes_table(rows))
    engine = {"speech_seconds": speech, "seconds": seconds}
    engine |= {"compiled_speech_seconds": compiled_speech, "compiled_seconds": compiled_seconds}
    write_timings(args.json, machine | engine, rows)


def report_schedules(tts: Any, args: argparse.Namespace, machine: dict[str, Any]) -> None:
    """Measure and print a model by schedule."""
    found = timings(tts, args)
    out = Console(highlight=False, soft_wrap=True)
    out.print(
        f"{machine['cpu']}, {machine['cores']} cores, "
        + (f"{machine['threads']} threads, " if machine["threads"] else "")
        + f"{args.backend} {machine['version']}, {args.device}, {args.bits or 32} bits"
        f"{', compiled' if args.compile else ''}; model {args.model}, loaded in {machine['load_seconds']:.1f} s.\n"
        f"Median of {args.runs} runs after a warm-up. x real time: seconds of speech per second of computation, "
        "above 1 is faster than real time."
    )
    out.print(table(found))
    write_timings(args.json, machine, found)


def measure(args: argparse.Namespace) -> None:
    """Load the model, measure, print the table and write the JSON."""
    begin = time.perf_counter()
    if args.random_weights:
        system = random_system(args.random_weights, args.device)
        report_stages(system, args, machine_of(args, time.perf_counter() - begin))
        return
    tts = vivavoce.load(args.model, args.backend, args.device, compile=args.compile, bits=args.bits)
    machine = machine_of(args, time.perf_counter() - begin)
    if args.passes:
        report_stages(tts.system, args, machine)
    else:
        report_schedules(tts, args, machine)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    return exit_status(lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
