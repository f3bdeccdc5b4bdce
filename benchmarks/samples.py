"""Make the audio samples of the README and of docs/samples.md.

    python benchmarks/samples.py
    python benchmarks/samples.py --teacher ~/.cache/vivavoce/teacher     # the teacher's readings, too

Each sample is written as MP3 to docs/samples/NAME.mp3, and beside it, with --teacher, the teacher's reading of the
same text as NAME-teacher.mp3. --teacher needs the packages in recipes/corpus/requirements.txt and a folder with
Kokoro-82M, which is downloaded if it is missing. The cloned voice is a speaker of benchmarks/recordings/blends.tar;
the recording used as its reference is written as cloned-reference.mp3.

No sample is selected by ear: the seeds are fixed, and the results are published as they are.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import exit_status, parser

import vivavoce
from vivavoce.audio.dsp import SAMPLE_RATE, Samples, level
from vivavoce.audio.io import read, write

ROOT = Path(__file__).resolve().parents[1]
BLENDS = ROOT / "benchmarks" / "recordings" / "blends.tar"
CLONED = "blend-160"  # a speaker that no model was trained on
LEVEL_DB = -22.0  # RMS of every sample, so that none seems better because it is louder


@dataclass(frozen=True)
class Sample:
    """One sample: `voice` is a built-in voice, or CLONED for the speaker of a recording.

    converted: the sample whose reading by the teacher is converted to the voice, instead of speaking the text.
    """

    name: str
    text: str
    voice: str
    model: str = "nanospeech"
    lang: str = "en"
    seed: int = 1
    converted: str = ""


SAMPLES = (
    Sample("celeste", "The harbour lay quiet when the first boats came in.", "celeste"),
    Sample(
        "luna", "Miss Turner, not knowing him, would have left the room, but he said he came from her father.", "luna"
    ),
    Sample("nash", "Dr. Smith paid $3.50 for 2 kg of apples at 10:30 a.m.", "nash"),
    Sample("orion", "Why would anyone want a golden guitar? We must teach our children to be good citizens.", "orion"),
    Sample("rhea", "His countenance had an expression of most subdued resignation.", "rhea"),
    Sample("cloned", "The weather in Seattle will be sunny on Saturday.", CLONED),
    Sample(
        "converted",
        "Why would anyone want a golden guitar? We must teach our children to be good citizens.",
        "rhea",
        "whisperspeech",
        converted="orion",
    ),
)


def recording_of(speaker: str) -> Samples:
    """Return the first recording of a speaker in blends.tar, at SAMPLE_RATE."""
    with tarfile.open(BLENDS) as shard:
        for member in shard:
            if member.name.endswith(".json") and json.load(shard.extractfile(member))["speaker"] == speaker:  # type: ignore[arg-type]
                sound = shard.extractfile(member.name.removesuffix("json") + "ogg")
                return read(io.BytesIO(sound.read()))  # type: ignore[union-attr]
    raise ValueError(f"{BLENDS.name} has no recording of {speaker}")


def save(samples: Samples, path: Path) -> None:
    """Write MP3 at LEVEL_DB."""
    write(path, level(samples, LEVEL_DB), SAMPLE_RATE)
    print(f"{path}: {len(samples) / SAMPLE_RATE:.1f} s, {path.stat().st_size / 1000:.0f} kB")


def speak(samples: Sequence[Sample], out: Path) -> None:
    """Write each sample as the package speaks it."""
    loaded: dict[str, vivavoce.TTS] = {}
    for sample in samples:
        tts = loaded.setdefault(sample.model, vivavoce.load(sample.model))
        voice: str | vivavoce.Voice = sample.voice
        if sample.voice == CLONED:
            reference = recording_of(CLONED)
            save(reference, out / f"{sample.name}-reference.mp3")
            voice = vivavoce.Voice.from_file(out / f"{sample.name}-reference.mp3")
        if sample.converted:
            speech = tts.convert(out / f"{sample.converted}-teacher.mp3", voice, seed=sample.seed)
        else:
            speech = tts.speak(sample.text, voice=voice, seed=sample.seed, lang=sample.lang)
        save(speech.samples, out / f"{sample.name}.mp3")


def teacher_readings(samples: Sequence[Sample], out: Path, folder: Path) -> None:
    """Write each sample as the teacher reads it."""
    sys.path.insert(0, str(ROOT / "recipes" / "corpus"))
    import make  # type: ignore[import-not-found]
    import teacher  # type: ignore[import-not-found]

    teacher.fetch(folder)
    kokoro = teacher.Teacher(folder)
    normalise: Callable[..., tuple[str, object]] = vivavoce.text.normalise
    for sample in samples:
        if sample.converted:
            continue
        spoken = normalise(sample.text, sample.lang)[0]
        reading = kokoro.read(spoken, make.recipe_of(sample.voice, sample.lang), 1.0, sample.lang)
        save(reading.samples, out / f"{sample.name}-teacher.mp3")


def main(argv: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("--out", type=Path, default=ROOT / "docs" / "samples", metavar="DIR", help="(docs/samples)")
    parse.add_argument("--only", nargs="+", metavar="NAME", help="make only these samples")
    parse.add_argument("--teacher", type=Path, metavar="DIR", help="also make the readings by Kokoro-82M in DIR")
    args = parse.parse_args(argv)
    names = [sample.name for sample in SAMPLES]
    if unknown := [name for name in args.only or () if name not in names]:
        parse.error(f"--only {unknown[0]}: the samples are {', '.join(names)}")
    chosen = [sample for sample in SAMPLES if args.only is None or sample.name in args.only]
    args.out.mkdir(parents=True, exist_ok=True)

    def make() -> None:
        speak(chosen, args.out)
        if args.teacher is not None:
            teacher_readings(chosen, args.out, args.teacher)

    return exit_status(make)


if __name__ == "__main__":
    sys.exit(main())
