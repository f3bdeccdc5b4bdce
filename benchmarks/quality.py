"""How well does the model speak? Every line of a list in every voice, judged by machine.

    python benchmarks/quality.py --sentences benchmarks/sentences/corpus-60.txt

prints word and character error rate by Whisper, likeness to the voice's reference, share of clips whose nearest
reference is the right voice, and DNSMOS. It scores recordings too, and the vocoder alone (recording -> mel -> vocoder).
benchmarks/README.md explains the figures. Needs the extra: pip install vivavoce[eval]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vivavoce import audio, evaluation
from vivavoce.evaluation import OTHERS, Clip, Judge, Score, Table
from vivavoce.synthesis import SynthesisError

RECORDINGS = Path(__file__).parent / "recordings"  # shards here are scored by default
SPEAK_OPTIONS = ("steps", "method", "cfg", "sway_coef", "speed")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score speech: word errors, likeness to the voice, DNSMOS.",
        epilog="Speech comes from --sentences (spoken by the model), --recordings, --wavs, or several of these.",
    )
    add = parser.add_argument
    add("--sentences", type=Path, metavar="FILE", help="text file, one sentence a line, spoken in every voice")
    add("--voices", metavar="A,B", help="voices that speak (default: all built-in ones)")
    add("--seed", type=int, default=0, help="line i is spoken with seed SEED + i (default 0)")
    add("--model", default="bundled", help="bundled, a folder or a hub name (default bundled)")
    add("--backend", default="auto")
    add("--device", default="auto")
    add("--steps", type=int)
    add("--method", choices=("euler", "midpoint", "rk4"))
    add("--cfg", type=float)
    add("--sway-coef", type=float)
    add("--speed", type=float)
    add(
        "--recordings",
        type=Path,
        nargs="+",
        metavar="TAR",
        help="WebDataset shards (KEY.ogg or other sound, KEY.json with `text` and `speaker`) to score as they are "
        "(default with --sentences: benchmarks/recordings/*.tar where there are any)",
    )
    add(
        "--copy-synthesis",
        action=argparse.BooleanOptionalAction,
        help="also score the recordings after mel and vocoder (default: yes for the default recordings)",
    )
    add("--wavs", type=Path, metavar="DIR", help="folder of sounds, each beside its .txt; subfolders are voices")
    add(
        "--asr",
        default=os.environ.get("VIVAVOCE_ASR") or "base",
        metavar="base|FOLDER",
        help="Whisper: a size that faster-whisper downloads, or a folder with a CTranslate2 model "
        "(default: environment variable VIVAVOCE_ASR, else base)",
    )
    add("--threads", type=int, default=0, help="CPU threads of the recogniser (default: its own choice)")
    add("--limit", type=int, metavar="N", help="only the first N sentences, recordings and sounds")
    add("--keep", type=Path, metavar="DIR", help="keep the speech: DIR/spoken/VOICE/0001.wav with its .txt")
    add("--json", type=Path, metavar="FILE", help="write every figure and every clip's score")
    args = parser.parse_args(argv)
    if not (args.sentences or args.recordings or args.wavs):
        parser.error("nothing to score: give --sentences, --recordings or --wavs")
    if args.limit is not None and args.limit < 1:
        parser.error(f"--limit is {args.limit}; it must be at least 1")
    if args.recordings is None and args.sentences:
        args.recordings = sorted(RECORDINGS.glob("*.tar"))
        if args.copy_synthesis is None:
            args.copy_synthesis = True
    if args.copy_synthesis and not (args.recordings or args.sentences):
        parser.error("--copy-synthesis needs --recordings")
    return args


# --- where speech comes from -----------------------------------------------------------------------------------------


def read_sentences(path: Path, limit: int | None = None) -> list[str]:
    """The lines of a UTF-8 text file that are not blank. Raises ValueError where there are none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    sentences = [line for line in lines if line][:limit]
    if not sentences:
        raise ValueError(f"{path}: no sentences in it; one a line is expected")
    return sentences


def spoken(
    tts: Any, voices: Sequence[str], sentences: Sequence[str], seed: int, options: dict[str, Any]
) -> Iterator[Clip | Score]:
    """Each sentence in every voice, sentence by sentence, so that an interrupted run has scored all voices alike.

    Where the model makes no speech, that is a score too: all words wrong.
    """
    for i, sentence in enumerate(sentences):
        for voice in voices:
            key = f"{i + 1:04d}"
            try:
                speech = tts.speak(sentence, voice=voice, seed=seed + i, **options)
            except SynthesisError as error:
                yield Score(key, voice, sentence, heard="", seconds=0.0, wer=1.0, cer=1.0, failure=str(error))
            else:
                yield Clip(key, voice, sentence, speech.samples, speech.sample_rate)


@dataclass(frozen=True)
class Recording:
    """A sound file not yet decoded, with what is said in it and by whom."""

    key: str
    voice: str
    text: str
    data: bytes | Path

    def clip(self) -> Clip:
        source = io.BytesIO(self.data) if isinstance(self.data, bytes) else self.data
        try:
            samples = audio.read(source, audio.SAMPLE_RATE)
        except ValueError as error:
            raise ValueError(f"{self.key}: {error}") from None
        return Clip(self.key, self.voice, self.text, samples, audio.SAMPLE_RATE)


def recordings(shards: Sequence[Path], known: Sequence[str], limit: int | None = None) -> list[Recording]:
    """The samples of WebDataset shards; speakers that are not in `known` are gathered under `OTHERS`."""
    found: list[Recording] = []
    for shard in shards:
        members: dict[str, dict[str, bytes]] = {}
        try:
            with tarfile.open(shard) as tar:
                for info in tar:
                    key, _, extension = info.name.rpartition(".")
                    if (file := tar.extractfile(info)) is not None:
                        members.setdefault(key, {})[extension.lower()] = file.read()
        except (OSError, tarfile.TarError) as error:
            raise ValueError(f"{shard}: cannot be read as a tar file ({error})") from None
        for key, parts in members.items():
            sound = next((parts[e] for e in parts if e in audio.FORMATS), None)
            try:
                about = json.loads(parts["json"])
                text, speaker = str(about["text"]), str(about.get("speaker", OTHERS))
            except (KeyError, TypeError, AttributeError, ValueError):
                raise ValueError(f"{shard}: {key} has no {key}.json with `text`") from None
            if sound is None:
                raise ValueError(f"{shard}: {key} has no sound; known are {', '.join(audio.FORMATS)}")
            found.append(Recording(key, speaker if speaker in known else OTHERS, text, sound))
    if shards and not found:
        raise ValueError(f"{', '.join(map(str, shards))}: no recordings in it")
    return found[:limit]


def folder(path: Path, limit: int | None = None) -> list[Recording]:
    """The sounds in a folder and its subfolders; each file's folder is its voice, NAME.txt says what NAME.wav says."""
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder")
    files = [f for f in (*path.glob("*"), *path.glob("*/*")) if f.suffix[1:].lower() in audio.FORMATS]
    found = []
    for file in sorted(files, key=lambda f: (f.stem, f.parent.name)):  # voices in turn, as `spoken` has them
        text = file.with_suffix(".txt")
        if not text.is_file():
            raise ValueError(f"{file}: {text.name} is missing beside it; it must say what is spoken")
        found.append(Recording(file.stem, file.parent.resolve().name, text.read_text(encoding="utf-8").strip(), file))
    if not found:
        raise ValueError(f"{path}: no sounds in it; known are {', '.join(audio.FORMATS)}")
    return found[:limit]


def copies(items: Iterable[Recording], copy_synthesis: Callable[[Any], Any]) -> Iterator[Clip]:
    """Each recording through the log-mel and the vocoder."""
    for item in items:
        clip = item.clip()
        yield replace(clip, samples=copy_synthesis(clip.samples))


# --- models ----------------------------------------------------------------------------------------------------------


def load_tts(args: argparse.Namespace) -> Any:
    import vivavoce

    return vivavoce.load(args.model, backend=args.backend, device=args.device)


def load_copy_synthesis(args: argparse.Namespace) -> Callable[[Any], Any]:
    """Samples [S] -> log-mel -> vocoder -> samples [S'], both at 24 kHz whatever the model's rate."""
    from vivavoce import checkpoints

    system: Any = checkpoints.load_system(args.model, args.backend, args.device, "float32", False)

    def copy_synthesis(samples: Any) -> Any:
        copied = system.copy_synthesis(audio.resample(samples, audio.SAMPLE_RATE, system.sample_rate))
        return audio.resample(copied, system.sample_rate, audio.SAMPLE_RATE)

    return copy_synthesis


def load_judge(args: argparse.Namespace) -> Judge:
    """Recogniser, similarity and DNSMOS, with the built-in voices as references."""
    judge = Judge(
        recogniser=evaluation.Recogniser(args.asr, threads=args.threads),
        similarity=evaluation.Similarity(),
        dnsmos=evaluation.Dnsmos(),
    )
    for voice in builtin_voices():
        judge.add_reference(voice.name, voice.samples, audio.SAMPLE_RATE)
    return judge


def builtin_voices() -> list[Any]:
    from vivavoce.voices import voices

    return list(voices())


# --- scoring ---------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What has been scored so far; printed and written at the end, also where the run was interrupted."""

    settings: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "settings": self.settings,
            "versions": evaluation.versions(),
            "tables": [table.to_dict() for table in self.tables],
        }

    def write(self, path: Path) -> None:
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None


def score(
    report: Report, title: str, clips: Iterable[Clip | Score], total: int, judge: Judge, keep: Path | None = None
) -> None:
    """Score `clips` and append the table to the report, with what there is of it where the run breaks off."""
    scores: list[Score] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("WER {task.fields[wer]}"),
    )
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=total, wer="–")
            for clip in clips:
                if isinstance(clip, Score):
                    scores.append(clip)
                else:
                    if keep is not None:
                        save(clip, keep)
                    scores.append(judge.score(clip))
                wer = sum(s.wer for s in scores) / len(scores)
                progress.update(task, advance=1, wer=f"{100 * wer:.1f} %")
    finally:
        if len(scores) < total:
            report.complete = False
            title = f"{title} (broken off after {len(scores)} of {total} clips)"
        if scores:
            report.tables.append(evaluation.summarise(scores, title))


def save(clip: Clip, folder: Path) -> None:
    """FOLDER/VOICE/KEY.wav and .txt, which --wavs reads again."""
    place = folder / clip.voice
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{place}: cannot be made ({error.strerror or error})") from None
    name = clip.key.replace("/", "-")
    audio.write(place / f"{name}.wav", clip.samples, clip.sample_rate)
    (place / f"{name}.txt").write_text(clip.text + "\n", encoding="utf-8")


def difference(copy: Table, original: Table) -> str:
    """What the vocoder alone costs, in a line."""
    parts = []
    for name, metric, factor, unit in (
        ("WER", "wer", 100, " points"),
        ("CER", "cer", 100, " points"),
        ("OVRL", "ovrl", 1, ""),
    ):
        a, b = getattr(copy.all_clips, metric), getattr(original.all_clips, metric)
        if a is not None and b is not None:
            parts.append(f"{name} {factor * (a - b):+.2f}{unit}")
    return "Vocoder alone against the recordings, all clips: " + ", ".join(parts)


def run(args: argparse.Namespace, report: Report) -> None:
    """Score all that was asked for, cheap checks of the input first."""
    names = [voice.name for voice in builtin_voices()]
    speakers = args.voices.split(",") if args.voices else names
    for name in speakers:
        if name not in names:
            raise ValueError(f"--voices: {name!r} is no voice; there are {', '.join(names)}")
    sentences = read_sentences(args.sentences, args.limit) if args.sentences else []
    shards = recordings(args.recordings or [], names, args.limit)
    sounds = folder(args.wavs, args.limit) if args.wavs else []
    judge = load_judge(args)

    def kept(group: str) -> Path | None:
        return args.keep / group if args.keep else None

    if sounds:
        score(report, f"Sounds in {args.wavs}", (s.clip() for s in sounds), len(sounds), judge)
    if sentences:
        options = {name: value for name in SPEAK_OPTIONS if (value := getattr(args, name)) is not None}
        flags = "".join(f", {name} {value}" for name, value in options.items())
        title = f"Model {args.model}: {len(sentences)} sentences of {args.sentences.name}{flags}"
        clips = spoken(load_tts(args), speakers, sentences, args.seed, options)
        score(report, title, clips, len(sentences) * len(speakers), judge, kept("spoken"))
    if shards:
        title = f"Recordings: {', '.join(s.name for s in args.recordings)}"
        score(report, title, (s.clip() for s in shards), len(shards), judge)
        if args.copy_synthesis:
            clips = copies(shards, load_copy_synthesis(args))
            title = f"Vocoder alone, model {args.model} (copy synthesis of the recordings)"
            score(report, title, clips, len(shards), judge, kept("copy-synthesis"))


def main(argv: Sequence[str] | None = None) -> int:
    """0: all scored; 1: bad input, told in one line on stderr; 130: interrupted, what was scored is printed."""
    args = arguments(argv)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    settings["recordings"] = [str(path) for path in args.recordings or []]
    report = Report(settings)
    begin, status, stderr = time.perf_counter(), 0, Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        run(args, report)
    except KeyboardInterrupt:
        status, report.complete = 130, False
        stderr.print("interrupted; what was scored until then follows", style="yellow")
    except (ValueError, OSError) as error:
        status, report.complete = 1, False
        stderr.print(f"error: {error}", style="red", markup=False)
    out = Console(highlight=False, soft_wrap=True)
    for table in report.tables:
        out.print(table.rich())
        if failed := [s for s in table.scores if s.failure]:
            first = failed[0]
            which = f"{first.key} of {first.voice}: {first.failure}"
            out.print(f"{len(failed)} clips without speech, all their words wrong; the first, {which}")
    if status == 0:
        if len(report.tables) > 1 and args.copy_synthesis and args.recordings:
            out.print(difference(report.tables[-1], report.tables[-2]))
        elif args.sentences and not args.recordings:
            stderr.print(f"The vocoder alone was not scored: no shards in {RECORDINGS}; give --recordings.")
        out.print(f"Whisper {args.asr}, greedy, float32; {time.perf_counter() - begin:.0f} s in all.")
    if args.json and report.tables:
        try:
            report.write(args.json)
        except ValueError as error:
            stderr.print(f"error: {error}", style="red", markup=False)
            return status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
