"""Regenerate or extend the corpus of the bundled models, or have a teacher read sentences of your own.

    pip install vivavoce -r recipes/corpus/requirements.txt
    python recipes/corpus/make.py shards corpus --start 2975 --stop 6000 --jobs 4
    python recipes/corpus/make.py shards corpus --list fr
    python recipes/corpus/make.py shards corpus --list frequent --teacher hibari
    python recipes/corpus/make.py shards corpus --prosody --teacher hibari
    python recipes/corpus/make.py wavs teacher --sentences benchmarks/sentences/harvard-40.txt --voices celeste,orion
    python recipes/corpus/make.py blends benchmarks/recordings/blends.tar

Line i of a list is always read by the same speaker at the same speed, so ranges made on different machines fit
together. Three lines in five go to the five built-in voices, the others to 160 speakers blended from Kokoro's English
voices. For Spanish, French, Italian and Portuguese a voice of that language is mixed into each of them. The second
teacher, hibari, reads only English, and only as celeste, but about a hundred times faster than real time. Finished
shards are kept: the same command continues where an earlier one stopped.

The file is long because it holds the whole recipe of the corpus: the lists, the speakers and who reads which line. Each
range of lines must give the same recordings everywhere, and the reasons for that are best read together.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import multiprocessing
import random
import re
import signal
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from judged import Judged
from prosody import Labels, draw
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from teacher import LANGUAGES, SAMPLE_RATE, Reading, Recipe, Teacher, fetch, spans
from teacher_hibari import Hibari

from vivavoce.audio.files import atomic_write

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Sentences:
    """A list of sentences that `shards` reads."""

    file: str
    lines: int  # that may be trained on; the lines after them in the file are for evaluation
    seed: int  # of the lines' speakers
    builtin: float = 0.6  # share of the lines that built-in voices read
    lang: str = "en"


LISTS = {
    "en": Sentences("sentences.tsv.gz", 12_292, 5000),  # from 12,292 on: benchmarks/sentences/corpus-60.txt
    "es": Sentences("sentences-es.tsv.gz", 860, 20_000, lang="es"),
    "es-more": Sentences("sentences-es-more.tsv.gz", 12_910, 60_000, lang="es"),
    "fr": Sentences("sentences-fr.tsv.gz", 10_471, 80_000, lang="fr"),
    "it": Sentences("sentences-it.tsv.gz", 1066, 100_000, lang="it"),
    "pt": Sentences("sentences-pt.tsv.gz", 2069, 120_000, lang="pt"),
    "en-more": Sentences("sentences-en-more.tsv.gz", 22_398, 140_000),
    "frequent": Sentences("sentences-frequent.tsv.gz", 24_624, 160_000),  # every frequent English word (words.py)
    "short": Sentences("sentences-short.tsv.gz", 1325, 200_000, builtin=1.0),  # each line five times, once per voice
    "letters": Sentences("sentences-letters.tsv.gz", 740, 240_000, builtin=1.0),  # the same, and initialisms
    "mixed": Sentences("sentences-mixed.tsv.gz", 256, 220_000, builtin=1.0),  # two languages in each line
    "words": Sentences("sentences-words.tsv.gz", 3000, 40_000),  # for words that the first lines of en lack (words.py)
}
SENTENCES = {name: HERE / sentences.file for name, sentences in LISTS.items()}
LINES = {name: sentences.lines for name, sentences in LISTS.items() if sentences.builtin < 1}  # read by blends, too
CACHE = Path.home() / ".cache" / "vivavoce" / "teacher"
SHARD = 200  # lines in a shard

VOICES = {"celeste": "af_heart", "luna": "af_bella", "nash": "am_michael", "orion": "bm_george", "rhea": "bf_emma"}
WOMEN = (
    "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah "
    "bf_alice bf_emma bf_isabella bf_lily"
).split()
MEN = ("am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck bm_daniel bm_fable bm_george bm_lewis").split()
BLENDS = 160  # blended speakers in the corpus: numbers 0 to 159


@dataclass(frozen=True)
class Native:
    """Kokoro's voices of a language, and the weight of one of them in every speaker of that language."""

    woman: str
    man: str
    timbre: float  # in the half of the style that shapes the sounds, which carries the accent
    prosody: float  # in the half that shapes melody, loudness and durations


# On their own, the English voices have an English accent. The README has Whisper's errors for other weights.
NATIVE = {
    "es": Native("ef_dora", "em_alex", 0.3, 0.3),
    "fr": Native("ff_siwis", "ff_siwis", 0.5, 0.1),  # Kokoro has no French man; men keep their pitch
    "it": Native("if_sara", "im_nicola", 0.5, 0.3),
    "pt": Native("pf_dora", "pm_alex", 0.5, 0.3),
}

# benchmarks/recordings/blends.tar: speakers and sentences that no model was trained on
HELD_OUT = range(BLENDS, BLENDS + 10)
HELD_OUT_CLIPS = 3  # of each
HELD_OUT_LINE = 12_000  # the first line that they may read
HELD_OUT_CHARACTERS = (70, 125)  # of lines that are tried
HELD_OUT_SECONDS = (5.0, 8.0)

# --- who reads what --------------------------------------------------------------------------------------------------


def blend(number: int) -> Recipe:
    """Return the blended speaker `number`: some of Kokoro's English women (even numbers) or men, with weights."""
    order = np.random.default_rng(1000 + number)
    names = order.choice(WOMEN if number % 2 == 0 else MEN, size=int(order.integers(2, 4)), replace=False)
    weights = order.dirichlet(np.ones(len(names)))
    return {str(name): round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}


def in_language(recipe: Recipe, lang: str) -> Recipe:
    """Return a speaker's recipe, given as for English, with a voice of the language `lang` mixed in."""
    if lang == "en":
        return recipe
    native = NATIVE[lang]
    women = sum(weight for voice, weight in recipe.items() if voice[1] == "f")
    other = native.woman if women > 0.5 else native.man
    if native.timbre == native.prosody:
        return {voice: round(weight * (1 - native.timbre), 4) for voice, weight in recipe.items()} | {
            other: native.timbre
        }
    mixed = {}
    for half, part in (("timbre", native.timbre), ("prosody", native.prosody)):
        mixed |= {f"{voice}:{half}": round(weight * (1 - part), 4) for voice, weight in recipe.items()}
        mixed |= {f"{other}:{half}": part}
    return mixed


def language(sentences: str) -> str:
    """Return the language of a list of sentences."""
    return LISTS[sentences].lang


def speaker(line: int, sentences: str = "en") -> tuple[str, Recipe, float]:
    """Return who reads a line of a list of sentences: name, recipe and speed."""
    chosen = LISTS[sentences]
    order = random.Random(chosen.seed + line)
    if order.random() < chosen.builtin:
        name = sorted(VOICES)[line % 5]
        return name, in_language({VOICES[name]: 1.0}, chosen.lang), 1.0
    number = order.randrange(BLENDS)
    return f"blend-{number:03d}", in_language(blend(number), chosen.lang), round(order.uniform(0.9, 1.12), 2)


def recipe_of(name: str, lang: str = "en") -> Recipe:
    """Return the recipe of a built-in voice, of one of Kokoro's English voices or of blend-NNN for a language.

    Raises ValueError for another name.
    """
    if name in VOICES or name in (*WOMEN, *MEN):
        return in_language({VOICES.get(name, name): 1.0}, lang)
    if re.fullmatch(r"blend-\d{3,6}", name):
        return in_language(blend(int(name[6:])), lang)
    raise ValueError(
        f"voice is {name!r}; it must be one of {', '.join(VOICES)}, one of Kokoro's such as af_nicole, or "
        "blend-000, blend-001, …"
    )


def read_sentences(path: Path) -> list[str]:
    """Return the lines of a text file, gzipped or not. Raises ValueError if it cannot be read or has none."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable text file ({error})") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path}: there are no sentences in it")
    return lines


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """A sentence to be read."""

    text: str
    speaker: str
    recipe: Recipe
    speed: float = 1.0
    lang: str = "en"
    labels: Labels | None = None  # of its prosody; None: as the teacher reads it


def labelled_wish(text: str, line: int, sentences: str, kokoro: bool) -> Wish:
    """Return a line of a list with random prosody, read by a built-in voice. kokoro: by Kokoro instead of hibari."""
    name = sorted(VOICES)[line % 5] if kokoro else "celeste"
    lang = language(sentences)
    labels = draw(sentences, line, len(text.split()))
    return Wish(text, name, recipe_of(name, lang), lang=lang, labels=labels)


def wished(text: str, line: int, sentences: str) -> Wish:
    """Return a line of a list, with who reads it. Mixed text is read by a recipe of its last language except en."""
    name, recipe, speed = speaker(line, sentences)
    parts = spans(text, language(sentences))
    if len(parts) > 1:
        recipe = recipe_of(name, [lang for lang, _ in parts if lang != "en"][-1])
    return Wish(text, name, recipe, speed, parts[0][0])


_teacher: Teacher | Hibari  # of a process that reads


def _start(folder: Path | None) -> None:
    """Load the teacher: Kokoro from its folder, or hibari, which has none."""
    global _teacher
    _teacher = Hibari() if folder is None else Teacher(folder)


def _start_worker(folder: Path | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main one ends the others
    _start(folder)


def _read(wish: Wish) -> Reading | str:
    """Return the reading, or the reason why there is none."""
    try:
        return _teacher.read(wish.text, wish.recipe, wish.speed, wish.lang, wish.labels)
    except ValueError as error:
        return str(error)


def readings(wishes: Iterable[Wish], folder: Path | None, jobs: int) -> Iterator[Reading | str]:
    """Yield the readings of the wishes, in order, by `jobs` processes. folder: Kokoro's; None for hibari."""
    _start(folder)  # report what is missing here: a pool would restart its processes for ever
    if jobs == 1:
        yield from map(_read, wishes)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _start_worker, (folder,)) as pool:
        yield from pool.imap(_read, wishes)


@contextmanager
def progress(title: str, total: int) -> Iterator[Any]:
    """Show a progress bar on stderr; yield the function that advances it by one."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def exit_status(script: str, work: Callable[[], None], interrupted: str = "") -> int:
    """Run a script's work and return its exit status: 2 for invalid input, with one line on stderr, 130 for Ctrl-C."""
    try:
        work()
    except (ValueError, OSError) as error:
        print(f"{script}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if interrupted:
            print(interrupted, file=sys.stderr)
        return 130
    return 0


# --- writing ---------------------------------------------------------------------------------------------------------


def sample(wish: Wish, reading: Reading, source: str, kind: str = "ogg") -> dict[str, bytes]:
    """Return the files of one utterance in a shard, by extension. kind: of the audio, ogg (Opus) or flac."""
    sound = io.BytesIO()
    if kind == "ogg":
        soundfile.write(sound, reading.samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=0.85)
    else:
        soundfile.write(sound, reading.samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    parts = spans(wish.text, wish.lang)
    meta = {
        "text": " ".join(part.strip() for _, part in parts),
        "words": reading.words,
        "lang": wish.lang,
        "speaker": wish.speaker,
        "duration": round(len(reading.samples) / SAMPLE_RATE, 4),
        "recipe": wish.recipe,
        "speed": wish.speed,
        "accent": reading.accent,
        "phonemes": reading.phonemes,
        "text_source": source,
    }
    if len(parts) > 1:
        meta["tagged"] = wish.text
    if reading.labels is not None:
        meta |= reading.labels.meta()
    if reading.phones:
        meta["phones"] = reading.phones
    files = {kind: sound.getvalue(), "json": json.dumps(meta, ensure_ascii=False).encode()}
    if reading.prosody is not None:
        array = io.BytesIO()
        np.save(array, reading.prosody)
        files["npy"] = array.getvalue()
    return files


def tar(samples: dict[str, dict[str, bytes]]) -> bytes:
    """Return a WebDataset shard of key -> extension -> bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for key, files in samples.items():
            for extension, data in files.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def plan(out: Path, start: int, stop: int, sentences: str = "en", prefix: str = "") -> dict[Path, range]:
    """Return the shards of lines `start` to `stop` that `out` lacks, cut at multiples of SHARD, with their lines.

    prefix: of the shards' names, before the list. Raises ValueError for a wrong range, and if a shard in `out` holds
    other parts of these lines.
    """
    if not 0 <= start < stop <= LISTS[sentences].lines:
        raise ValueError(
            f"--start is {start} and --stop {stop}; they must be from 0 to {LISTS[sentences].lines}, "
            f"the first below the second"
        )
    shards = {}
    for first in range(start - start % SHARD, stop, SHARD):
        lines = range(max(first, start), min(first + SHARD, stop))
        shards[out / f"{prefix}{sentences}-{lines[0]:06d}-{lines[-1]:06d}.tar"] = lines
    for path in sorted(out.glob(f"{prefix}{sentences}-*-*.tar")):
        edges = re.fullmatch(rf"{prefix}{sentences}-(\d{{6}})-(\d{{6}})", path.stem)
        if edges and path not in shards and int(edges[1]) < stop and int(edges[2]) >= start:
            raise ValueError(
                f"{path} has a part of the lines {start} to {stop - 1}; choose --start and --stop so that they meet "
                f"its edges, or another folder"
            )
    return {path: lines for path, lines in shards.items() if not path.exists()}


def make_shards(
    out: Path,
    start: int,
    stop: int,
    sentences: str,
    jobs: int,
    folder: Path | None,
    kind: str = "ogg",
    labelled: bool = False,
) -> None:
    """Read lines `start` to `stop` of a list of sentences into shards of 200: out/LIST-FIRST-LAST.tar.

    folder: Kokoro's; None for hibari, whose shards are out/hibari-LIST-FIRST-LAST.tar, all in celeste's voice.
    labelled: with random prosody for each line, by built-in voices; the shards' names begin with "prosody-".
    """
    lang = language(sentences)
    if labelled and sentences == "mixed":
        raise ValueError("a prosody is drawn for lines in one language; the list mixed has two in each")
    if folder is None and lang != "en":
        raise ValueError(f"hibari reads English only; the list {sentences} is {lang}")
    prefix = ("prosody-" if labelled else "") + ("hibari-" if folder is None else "")
    shards = plan(out, start, stop, sentences, prefix)
    texts = [line.split("\t") for line in read_sentences(SENTENCES[sentences])]
    total = sum(map(len, shards.values()))
    if folder is not None:
        fetch(folder)
    out.mkdir(parents=True, exist_ok=True)
    judged = Judged.load()
    lines_wanted = [i for lines in shards.values() for i in lines if judged.like(texts[i][0]) is None]
    wanted = set(lines_wanted)
    if labelled:
        wishes = [labelled_wish(texts[i][0], i, sentences, folder is not None) for i in lines_wanted]
    elif folder is None:
        wishes = [Wish(texts[i][0], "celeste", {VOICES["celeste"]: 1.0}, lang=lang) for i in lines_wanted]
    else:
        wishes = [wished(texts[i][0], i, sentences) for i in lines_wanted]
    read = zip(wishes, readings(wishes, folder, jobs), strict=True)
    seconds: list[float] = []
    skipped: Counter[str] = Counter()
    with progress("corpus", total) as advance:
        for path, lines in shards.items():
            samples = {}
            for i in lines:
                advance()
                if i not in wanted:
                    skipped["models are judged by the like of it"] += 1
                    continue
                wish, reading = next(read)
                if isinstance(reading, str):
                    skipped[reading] += 1
                    continue
                samples[f"{prefix}{sentences}-{i:06d}"] = sample(wish, reading, texts[i][1], kind)
                seconds.append(len(reading.samples) / SAMPLE_RATE)
            atomic_write(path, tar(samples))
    print(f"{out}: {len(shards)} new shards, {len(seconds)} utterances, {sum(seconds) / 3600:.2f} h", file=sys.stderr)
    for reason, count in skipped.items():
        print(f"{count} left out: {reason}", file=sys.stderr)


def make_wavs(out: Path, sentences: Path, voices: list[str], lang: str, jobs: int, folder: Path) -> None:
    """Read each line of a file, text in `lang`, in each voice: out/VOICE/001.wav and 001.txt, sentence by sentence.

    Raises ValueError for a line that cannot be read, or if `out` has another text under the same number.
    """
    recipes = {name: recipe_of(name, lang) for name in voices}
    lines = [line.split("\t")[0].strip() for line in read_sentences(sentences)]
    todo: list[tuple[Path, Wish]] = []
    for number, text in enumerate(lines, 1):
        for name, recipe in recipes.items():
            path = out / name / f"{number:03d}.txt"
            if not path.exists():
                todo.append((path, Wish(text, name, recipe, lang=lang)))
            elif path.read_text(encoding="utf-8").strip() != text:
                raise ValueError(f"{path} is another sentence than line {number} of {sentences}; use another folder")
    fetch(folder)
    for name in recipes:
        (out / name).mkdir(parents=True, exist_ok=True)
    with progress("sentences", len(todo)) as advance:
        for (path, wish), reading in zip(todo, readings([w for _, w in todo], folder, jobs), strict=True):
            if isinstance(reading, str):
                raise ValueError(f"{sentences}: line {int(path.stem)}: {reading}")
            sound = io.BytesIO()
            soundfile.write(sound, reading.samples, SAMPLE_RATE, format="WAV")
            atomic_write(path.with_suffix(".wav"), sound.getvalue())
            atomic_write(path, f"{wish.text}\n".encode())  # last: it marks the audio as complete
            advance()


def make_held_out(path: Path, folder: Path) -> None:
    """Write recordings of ten held-out blended speakers, three each of 5 to 8 s, into the tar `path`.

    Each speaker continues with the sentences where the previous one stopped, and reads those of a suitable length.
    """
    if path.exists():
        raise ValueError(f"{path} is there already")
    sentences = [line.split("\t") for line in read_sentences(SENTENCES["en"])]
    fetch(folder)
    _start(folder)
    lines = iter(range(HELD_OUT_LINE, LINES["en"]))
    samples: dict[str, dict[str, bytes]] = {}
    with progress("recordings", len(HELD_OUT) * HELD_OUT_CLIPS) as advance:
        for number in HELD_OUT:
            wanted = HELD_OUT_CLIPS
            while wanted:
                i = next(lines)
                text, source = sentences[i]
                if not HELD_OUT_CHARACTERS[0] <= len(text) <= HELD_OUT_CHARACTERS[1]:
                    continue
                wish = Wish(text, f"blend-{number:03d}", blend(number))
                reading = _teacher.read(wish.text, wish.recipe)
                if HELD_OUT_SECONDS[0] <= len(reading.samples) / SAMPLE_RATE <= HELD_OUT_SECONDS[1]:
                    samples[f"en-{i:06d}"] = sample(wish, reading, source)
                    wanted -= 1
                    advance()
    atomic_write(path, tar(samples))


# --- command line ----------------------------------------------------------------------------------------------------


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 1")
    return int(text)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = top.add_subparsers(dest="what", required=True, metavar="shards|wavs|blends")
    shards = what.add_parser("shards", help="lines of the corpus as WebDataset shards")
    shards.add_argument("out", type=Path, metavar="DIR")
    shards.add_argument("--start", type=int, default=0, metavar="LINE", help="first line (0)")
    stops = ", ".join(f"{name}: {sentences.lines}" for name, sentences in LISTS.items())
    shards.add_argument("--list", choices=LISTS, default="en", help="the list of sentences (en)")
    shards.add_argument("--stop", type=int, metavar="LINE", help=f"line to end before ({stops})")
    shards.add_argument(
        "--sound", choices=("ogg", "flac"), default="ogg", help="Opus, 20 MB an hour, or FLAC, 90 but quick (ogg)"
    )
    shards.add_argument("--teacher", choices=("kokoro", "hibari"), default="kokoro", help="who reads (kokoro)")
    shards.add_argument(
        "--prosody", action="store_true", help="draw pitch, range, energy, pace and an emphasised word for each line"
    )
    wavs = what.add_parser("wavs", help="sentences of your own as DIR/VOICE/NNN.wav with NNN.txt")
    wavs.add_argument("out", type=Path, metavar="DIR")
    wavs.add_argument("--sentences", type=Path, required=True, metavar="FILE", help="one a line; .gz too")
    wavs.add_argument(
        "--voices",
        default=",".join(VOICES),
        metavar="NAME,…",
        help="built-in voices, Kokoro's or blend-NNN (the five built-in)",
    )
    blends = what.add_parser("blends", help="the recordings of speakers kept out of training")
    blends.add_argument("out", type=Path, metavar="FILE.tar")
    wavs.add_argument("--lang", choices=LANGUAGES, default="en", help="language of the sentences (en)")
    for command in (shards, wavs):
        command.add_argument("--jobs", type=count, default=1, metavar="N", help="processes, one core each (1)")
    for command in (shards, wavs, blends):
        command.add_argument(
            "--kokoro",
            type=Path,
            default=CACHE,
            metavar="DIR",
            help=f"where Kokoro-82M is, or is fetched to ({CACHE})",
        )
    return top


def main() -> int:
    args = parser().parse_args()

    def run() -> None:
        if args.what == "shards":
            stop = LISTS[args.list].lines if args.stop is None else args.stop
            folder = None if args.teacher == "hibari" else args.kokoro
            make_shards(args.out, args.start, stop, args.list, args.jobs, folder, args.sound, args.prosody)
        elif args.what == "wavs":
            names = [name.strip() for name in args.voices.split(",") if name.strip()]
            make_wavs(args.out, args.sentences, list(dict.fromkeys(names)), args.lang, args.jobs, args.kokoro)
        else:
            make_held_out(args.out, args.kokoro)

    return exit_status("make.py", run, "stopped; the same command resumes after the last complete file")


if __name__ == "__main__":
    sys.exit(main())
