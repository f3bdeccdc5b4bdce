"""Recordings of real people as WebDataset shards, with Whisper's transcripts.

    pip install vivavoce[eval]
    python recipes/corpus/human.py LibriSpeech/train-clean-100 en-human-000.tar --whisper whisper-base-ct2
    python recipes/corpus/human.py readers en-human-000.tar --held-out 25 held-out.tar --whisper whisper-base-ct2

The folder is searched for .flac and .wav files, whose names begin with the speaker and a hyphen, as LibriSpeech's do:
SPEAKER-CHAPTER-UTTERANCE.flac. Whisper transcribes them with word times. Recordings of which it is unsure, or that it
writes with digits, are left out. The shard keeps the recording as it is, with `bandwidth`, the highest frequency in Hz
that it can contain, so that training can leave out the mel bins above. `--held-out` puts the last speakers, in the
order of their numbers, into a separate shard: a model is judged by voices that it was not trained on.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from make import exit_status, progress, tar

from vivavoce.audio.files import atomic_write

# A transcript is unsure if Whisper gives its words a lower mean probability, or one of them a lower one, than these
MEAN_PROBABILITY = 0.8
LEAST_PROBABILITY = 0.2


@dataclass(frozen=True)
class Transcript:
    """Whisper's transcript of a recording."""

    text: str
    words: list[tuple[str, float, float]]  # word, start, end in seconds
    probabilities: list[float]  # of the words


def speaker(path: Path) -> str:
    """Return the speaker in a file's name. Raises ValueError if there is none."""
    name, hyphen, _ = path.stem.partition("-")
    if not name or not hyphen:
        raise ValueError(f"{path}: its name must begin with the speaker and a hyphen, as 19-198-0001.flac")
    return name


def number(name: str) -> tuple[int, str]:
    """Return the sort key of a speaker: the number in the name, if there is one."""
    digits = re.search(r"\d+", name)
    return (int(digits[0]) if digits else 0, name)


def recordings(folder: Path, one: str | None = None) -> dict[str, list[Path]]:
    """Return the files of each speaker below a folder, speakers in the order of their numbers. one: the speaker of all.

    Raises ValueError if there are none.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".flac", ".wav")):
        found.setdefault(one or speaker(path), []).append(path)
    if not found:
        raise ValueError(f"{folder}: there are no .flac or .wav files in it")
    return {name: found[name] for name in sorted(found, key=number)}


def doubt(heard: Transcript) -> str | None:
    """Return why a transcript cannot be trusted; None if it can."""
    if not heard.words:
        return "no words heard"
    if re.search(r"[^\w\s.,;:?!'’\"“”…-]|\d", heard.text):
        return "signs or digits"
    if sum(heard.probabilities) / len(heard.probabilities) < MEAN_PROBABILITY:
        return f"the words' mean probability below {MEAN_PROBABILITY}"
    if min(heard.probabilities) < LEAST_PROBABILITY:
        return f"a word's probability below {LEAST_PROBABILITY}"
    return None


class Whisper:
    """Whisper as faster-whisper runs it, on the CPU."""

    def __init__(self, model: str, threads: int = 1):
        """model: a CTranslate2 folder, or a name that faster-whisper downloads. Raises ValueError if unavailable."""
        try:
            from faster_whisper import WhisperModel
        except ModuleNotFoundError:
            raise ValueError("the package faster_whisper is missing: pip install vivavoce[eval]") from None
        try:
            self._model: Any = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=threads)
        except (RuntimeError, ValueError, OSError) as error:
            raise ValueError(f"--whisper {model}: cannot be loaded ({error})") from None

    def transcribe(self, path: Path, lang: str) -> Transcript:
        """Return the transcript of a recording in the language `lang`."""
        segments, _ = self._model.transcribe(
            str(path),
            language=lang,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = [word for segment in segments for word in segment.words or ()]
        return Transcript(
            "".join(word.word for word in words).strip(),
            [(word.word.strip(), round(word.start, 3), round(word.end, 3)) for word in words],
            [word.probability for word in words],
        )


def samples(
    files: dict[str, list[Path]], prefix: str, lang: str, whisper: Whisper, left_out: Counter[str]
) -> Iterator[dict[str, dict[str, bytes]]]:
    """Yield each utterance as {key: files by extension}; {} for one that is left out, which is counted."""
    for name, paths in files.items():
        for path in paths:
            heard = whisper.transcribe(path, lang)
            why = doubt(heard)
            if why:
                left_out[why] += 1
                yield {}
                continue
            info = soundfile.info(path)
            meta = {
                "text": heard.text,
                "words": heard.words,
                "lang": lang,
                "speaker": f"{prefix}-{name}",
                "duration": round(info.duration, 4),
                "bandwidth": info.samplerate // 2,
                "text_source": "Whisper",
            }
            files_of = {
                path.suffix[1:].lower(): path.read_bytes(),
                "json": json.dumps(meta, ensure_ascii=False).encode(),
            }
            yield {f"{prefix}-{path.stem.replace('.', '_')}": files_of}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="recordings, SPEAKER-….flac or .wav, in folders or not")
    parser.add_argument("out", type=Path, metavar="OUT.tar")
    parser.add_argument(
        "--held-out", nargs=2, metavar=("N", "HELD.tar"), help="the last N speakers go into another shard"
    )
    parser.add_argument("--whisper", default="base", metavar="MODEL", help="CTranslate2 folder or model name (base)")
    parser.add_argument("--prefix", default="human", help="comes before the speakers' names and the keys (human)")
    parser.add_argument("--speaker", metavar="NAME", help="all recordings are of this speaker, whatever their names")
    parser.add_argument("--lang", default="en", help="language of the recordings (en)")
    args = parser.parse_args()

    def run() -> None:
        found = recordings(args.folder, args.speaker)
        shards = {args.out: found}
        if args.held_out:
            count, path = args.held_out
            if not count.isdecimal() or not 0 < int(count) < len(found):
                raise ValueError(f"--held-out {count}: it must be a number from 1 to {len(found) - 1}")
            names = list(found)
            shards = {
                args.out: {name: found[name] for name in names[: -int(count)]},
                Path(path): {name: found[name] for name in names[-int(count) :]},
            }
        shards = {path: files for path, files in shards.items() if not path.exists()}
        whisper = Whisper(args.whisper)
        for path, files in shards.items():
            left_out: Counter[str] = Counter()
            kept: dict[str, dict[str, bytes]] = {}
            with progress(path.name, sum(map(len, files.values()))) as advance:
                for sample in samples(files, args.prefix, args.lang, whisper, left_out):
                    kept |= sample
                    advance()
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, tar(kept))
            seconds = sum(json.loads(parts["json"])["duration"] for parts in kept.values())
            print(f"{path}: {len(kept)} recordings, {seconds / 60:.1f} minutes", file=sys.stderr)
            for why, times in left_out.items():
                print(f"{times} left out: {why}", file=sys.stderr)

    return exit_status("human.py", run)


if __name__ == "__main__":
    sys.exit(main())
