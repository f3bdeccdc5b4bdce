"""Make the samples of prosody in docs/samples.md: short MP3s, each with its pitch contour drawn.

    python benchmarks/prosody_samples.py
    python benchmarks/prosody_samples.py --model models/prosody --page out/samples.md

For each sample, prosody-NAME.mp3 and prosody-NAME.svg are written to the folder "samples" beside the page, and the
tables in the page, between "<!-- prosody samples -->" and "<!-- end -->", are replaced; a page that is missing is made.
The model must have prosody conditions. The last sample follows docs/samples/orion-teacher.mp3 word by word, which needs
the extra "torch". No sample is selected by ear: the seeds are fixed, and the results are published as they are. Levels
are not normalised, because energy is one of the controls.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import exit_status, parser
from samples import SAMPLES

import vivavoce
from vivavoce.audio.dsp import Samples
from vivavoce.audio.files import atomic_write
from vivavoce.audio.io import read, write
from vivavoce.audio.pitch import frequencies
from vivavoce.text.prosody import STYLES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "samples.md"
RECORDING = ROOT / "docs" / "samples" / "orion-teacher.mp3"
SPOKEN = next(sample.text for sample in SAMPLES if sample.name == "orion")  # the words of RECORDING
START, END = "<!-- prosody samples -->", "<!-- end -->"
SEED = 1
TEXT = "Please take the parcel to the office before noon."
STRESSED = TEXT.replace("office", "[em]office[/em]")

# The picture, in units of SVG: seconds to the right, semitones up
WIDTH, HEIGHT, SEMITONES = 240, 60, 20.0
HOP = 240  # samples at 24 kHz


@dataclass(frozen=True)
class Sample:
    """One sample. shown: the flags that request it on the command line."""

    name: str
    shown: str
    options: dict[str, Any] = field(default_factory=dict)
    text: str = TEXT


def style(name: str) -> Sample:
    asked = STYLES[name]
    numbers = {"pitch": asked.pitch, "pitch_range": asked.range, "energy": asked.energy, "pace": asked.pace}
    return Sample(name, f"--style {name}", numbers)


PLAIN = Sample("plain", "nothing")
ALL = (
    PLAIN,
    Sample("higher", "--pitch +3st", {"pitch": 3.0}),
    Sample("lower", "--pitch -3st", {"pitch": -3.0}),
    Sample("wide", "--range 1.5", {"pitch_range": 1.5}),
    Sample("narrow", "--range 0.6", {"pitch_range": 0.6}),
    Sample("louder", "--energy +5dB", {"energy": 5.0}),
    Sample("softer", "--energy -6dB", {"energy": -6.0}),
    Sample("slower", "--pace 0.8", {"pace": 0.8}),
    Sample("faster", "--pace 1.25", {"pace": 1.25}),
    Sample("emphasis", "[em]office[/em]", {}, STRESSED),
    style("calm"),
    style("lively"),
    style("firm"),
)
VOICES = {"celeste": ALL, "nash": tuple(s for s in ALL if s.name in ("plain", "higher", "lower", "wide", "emphasis"))}


def line(hertz: np.ndarray, sample_rate: int, seconds: float, middle: float, colour: str) -> str:
    """Return a pitch [N] in Hz as a path of SVG: `seconds` fill the width, and `middle` in Hz is half way up."""
    paths, points = [], list[str]()
    for n, value in enumerate([*hertz, 0.0]):
        if value:
            x = n * HOP / sample_rate / seconds * WIDTH
            y = HEIGHT * (0.5 - 12 * np.log2(value / middle) / SEMITONES)
            points.append(f"{x:.1f} {y:.1f}")
        elif points:
            paths += [f"M{'L'.join(points)}"] * (len(points) > 2)
            points = []
    return f'<path d="{"".join(paths)}" fill="none" stroke="{colour}" stroke-width="2" stroke-linecap="round"/>'


def draw(path: Path, plain: Samples, samples: Samples, sample_rate: int, title: str) -> None:
    """Draw the pitch of a sample, before that of the plain reading in grey; the plain reading fills two thirds."""
    seconds = 1.5 * len(plain) / sample_rate
    own, changed = (frequencies(wave, sample_rate, HOP) for wave in (plain, samples))
    middle = float(np.median(own[own > 0])) if own.any() else 100.0
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    lines = [line(own, sample_rate, seconds, middle, "#9998")] * (samples is not plain)
    lines.append(line(changed, sample_rate, seconds, middle, "#c2410c"))
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><title>{title}</title>{"".join(lines)}</svg>\n'
    atomic_write(path, drawn.encode())


def row(shown: str, name: str) -> str:
    sound = f'<audio controls preload="none" src="samples/prosody-{name}.mp3"></audio>'
    return f"| {shown} | {sound} | ![the pitch over time](samples/prosody-{name}.svg) |"


def make(tts: vivavoce.TTS, folder: Path, names: Sequence[str] | None) -> list[str]:
    """Write the samples `names`, or all, and return the lines of their tables."""
    lines = [
        f"`python benchmarks/prosody_samples.py` makes these. The text is “{TEXT}” The curve is the pitch, "
        f"{SEMITONES / 2:.0f} semitones up and down from the median of the voice's own reading, which is grey.",
    ]
    rate = tts.sample_rate

    def save(name: str, samples: Samples, plain: Samples) -> None:
        write(folder / f"prosody-{name}.mp3", samples, rate)
        draw(folder / f"prosody-{name}.svg", plain, samples, rate, f"pitch of {name}")
        print(f"{folder / name}: {len(samples) / rate:.1f} s")

    for voice, samples in VOICES.items():
        lines += ["", f"| {voice} | | pitch |", "|---|---|---|"]
        plain = tts.speak(PLAIN.text, voice, seed=SEED).samples
        for sample in samples:
            if names is not None and sample.name not in names:
                continue
            made = plain if sample is PLAIN else tts.speak(sample.text, voice, seed=SEED, **sample.options).samples
            save(f"{voice}-{sample.name}", made, plain)
            lines.append(row(f"`{sample.shown}`" if sample is not PLAIN else "as it is", f"{voice}-{sample.name}"))
    if names is None or "like" in names:
        lines += ["", f"The same words as in a recording, “{SPOKEN}”", "", "| | | pitch |", "|---|---|---|"]
        recording = read(RECORDING, rate)
        save("recording", recording, recording)
        lines.append(row("the recording, of orion's teacher", "recording"))
        for voice in VOICES:
            own = tts.speak(SPOKEN, voice, seed=SEED).samples
            like = tts.speak(SPOKEN, voice, seed=SEED, like=(recording, rate), like_text=SPOKEN).samples
            for name, shown, made in (("own", "by itself", own), ("like", "`--like --like-text`", like)):
                save(f"{voice}-{name}", made, own)
                lines.append(row(f"{voice}, {shown}", f"{voice}-{name}"))
    return lines


def place(page: Path, lines: Sequence[str]) -> None:
    """Write the tables between the marks of a page; at its end if there are none."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Samples\n"
    if START not in text:
        text = f"{text.rstrip()}\n\n## Prosody\n\n{START}\n{END}\n"
    block = "\n".join((START, "", *lines, "", END))
    atomic_write(page, re.sub(f"{START}.*?{END}", lambda m: block, text, flags=re.DOTALL).encode())


def main(argv: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("--model", default="nanospeech", help="a name or a folder (nanospeech)")
    parse.add_argument("--backend", default="auto", help="auto, torch, mlx or onnx (auto)")
    parse.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="(docs/samples.md)")
    parse.add_argument("--only", nargs="+", metavar="NAME", help="try these samples only; the page stays as it is")
    args = parse.parse_args(argv)
    known = [*(sample.name for sample in ALL), "like"]
    if unknown := [name for name in args.only or () if name not in known]:
        parse.error(f"--only {unknown[0]}: the samples are {', '.join(known)}")

    def run() -> None:
        tts = vivavoce.load(args.model, args.backend)
        if not tts.system.prosody:
            raise ValueError(f"model {args.model!r} has no prosody conditions; give one that has with --model")
        folder = args.page.parent / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        lines = make(tts, folder, args.only)
        if args.only is None:
            place(args.page, lines)
            print(args.page)

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
