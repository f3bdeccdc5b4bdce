"""`prepare`: an input's items through the checks, in parallel, into shards; with a report, and from where it stopped.

Outcomes are taken in the input's order whatever process made them, so the shards do not depend on the number of
processes. Whenever a training shard is full, all that the run knows is saved beside it: a run that was stopped, however
it was, goes on from its last full shard. While it works, everything unfinished is in OUT/.prepare.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import soundfile

from vivavoce import audio, checkpoints
from vivavoce.prepare.checks import Outcome, examine
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.prepare.shards import Files, ShardWriter, read_shard
from vivavoce.prepare.sources import Item, Source, open_source
from vivavoce.prepare.workers import in_order
from vivavoce.text import CharTokenizer

WORK = ".prepare"  # folder in OUT
FEW = 8  # utterances that validation by hash has at least …
FEW_SHARE = 5  # … but never more than one in so many
EXAMPLES = 10  # keys of dropped items that the report names for each reason
BLOCK = 8  # items that a process gets at once
UNNAMED = "(unnamed)"  # in the report, for those of whom the input does not say who speaks

Progress = Callable[[str, float], None]


def prepare(
    source: str,
    out: str | os.PathLike[str],
    settings: PrepareConfig | None = None,
    *,
    workers: int | None = None,
    vocab: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make shards for training from recordings: out/train-000000.tar …, valid-000000.tar …, vocab.txt, report.json.

    source: a folder (recordings with .txt, LJSpeech's or LibriTTS' layout, .tar shards), a .tar file or a glob of them,
    or the name of a Hugging Face dataset. workers: processes (None: one for each CPU; 1: none but this one).
    vocab: a vocab.txt, or the config.json of a model (None: the bundled model's). progress is called with what is
    being done and the part of it that is done, 0 to 1.
    Returns the report. The same call goes on with a run that was stopped, and does nothing where it was finished.
    With several workers the calling script must be importable (`if __name__ == "__main__":`).
    Raises ValueError for an input that is none, an `out` that holds something else or a run with other settings, and an
    input without anything usable; OSError where the disk, a stream or a worker fails.
    """
    settings = settings or PrepareConfig()
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be 1 or more")
    tokenizer = read_vocab(vocab)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{out}: a file; give a folder for the shards")
    inside = Path(source).is_dir() and folder.resolve().is_relative_to(Path(source).resolve())
    if inside:
        raise ValueError(f"{out}: lies in the input {source}, which would change by it; give a folder elsewhere")
    opened = open_source(source, settings)
    run = _Run(opened, folder, settings.replace(kind=opened.kind), tokenizer)
    if run.report is not None:
        shutil.rmtree(run.work, ignore_errors=True)  # where the finished run was ended before it could
        return run.report
    return run.run(workers or os.cpu_count() or 1, progress or (lambda description, done: None))


def summary(report: dict[str, Any]) -> str:
    """A report in two or three lines."""
    train, valid, dropped = report["train"], report["valid"], report["dropped"]
    lines = [
        f"{report['kept']['utterances']} utterances, {report['kept']['hours']:.2f} hours, "
        f"{len(report['speakers'])} speakers: {train['utterances']} for training in {train['shards']} shards, "
        f"{valid['utterances']} for validation"
    ]
    if dropped["utterances"]:
        reasons = [f"{entry['utterances']} {reason}" for reason, entry in dropped["reasons"].items()]
        lines.append(f"{dropped['utterances']} dropped: {'; '.join(reasons)}")
    return "\n".join(lines)


def read_vocab(path: str | os.PathLike[str] | None) -> CharTokenizer:
    """The vocabulary in a vocab.txt or a model's config.json; None: the bundled model's. Raises ValueError."""
    if path is not None and Path(path).suffix != ".json":
        try:
            return CharTokenizer.load(path)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}; a vocab.txt has one character a line") from None
    file = Path(path) if path is not None else checkpoints.find("bundled") / "config.json"
    try:
        characters = json.loads(file.read_text(encoding="utf-8"))["characters"]
        return CharTokenizer(list(characters))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f'{file}: no "characters" in it; give a vocab.txt or a model\'s config.json') from None


def place(name: str) -> float:
    """A number from 0 to below 1 that depends on `name` alone and is evenly spread over names."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=6).digest(), "big") / 2**48


# ---- the run --------------------------------------------------------------------------------------------------------


class _Run:
    """One run in one folder. `report` is that of a finished run which was found there, else None."""

    def __init__(self, source: Source, out: Path, settings: PrepareConfig, tokenizer: CharTokenizer) -> None:
        self.source, self.out, self.settings, self.tokenizer = source, out, settings, tokenizer
        self.work = out / WORK
        self.validation = _Validation(settings, source)
        self.asked = {
            "input": source.identity(), "vocabulary": "".join(tokenizer.characters), **settings.to_dict()
        }  # fmt: skip
        self.asked = json.loads(json.dumps(self.asked))  # as it will be read back: tuples are lists
        self.report = self._found(out / "report.json")
        state = self._found(self.work / "state.json") or {}
        if self.report is None and not state and out.is_dir() and any(f.name != WORK for f in out.iterdir()):
            raise ValueError(f"{out}: not empty, and no run of prepare is in it; give an empty or a new folder")

        self.next: int = state.get("next", 0)  # number of the first item that is in no finished shard
        self.at = state.get("mark")
        self.read_all: bool = state.get("read_all", False)
        self.shards: int = state.get("shards", 0)
        self.pieces: int = state.get("pieces", 0)  # tars of validation samples, to be joined at the end
        self.letters: list[str] = state.get("letters", [])
        self.tally = state.get("tally") or {
            "train": [0, 0.0], "valid": [0, 0.0], "speakers": {}, "languages": {}, "dropped": {}, "outside": {}
        }  # fmt: skip
        # Candidates for validation, by their place: kept back from training until validation has its few
        self.held: list[tuple[float, str, Files]] = []
        self._train: ShardWriter | None = None
        self._valid: ShardWriter | None = None

    def _found(self, path: Path) -> dict[str, Any] | None:
        """What an earlier run left at `path`. Raises ValueError where it was asked for something else."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            before = found["settings"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not readable as what prepare wrote ({error}); give another folder") from None
        differing = [
            f"{name} was {_shown(before.get(name))} and is {_shown(value)}"
            for name, value in self.asked.items()
            if before.get(name) != value
        ]
        if differing and found.get("next") == 0:
            return None  # nothing was finished, so nothing binds
        if differing:
            raise ValueError(
                f"{self.out}: begun otherwise: {'; '.join(differing)}; give the same again, or another folder"
            )
        return found  # type: ignore[no-any-return]

    def run(self, workers: int, progress: Progress) -> dict[str, Any]:
        self.work.mkdir(parents=True, exist_ok=True)
        try:
            self._restore()
            if not self.next:
                self._save()  # from here on, whatever is in the folder can be told to be of this run
            if not self.read_all:
                with contextlib.closing(self._outcomes(workers)) as outcomes:
                    for outcome in outcomes:
                        self._take(outcome)
                        progress("preparing", outcome.done or 0.0)
                self._end_of_input()
            progress("writing", 1.0)
            return self._finish()
        finally:
            for writer in (self._train, self._valid):
                if writer is not None:
                    writer.discard()
            if not any(self.out.glob("*.tar")):  # nothing to go on from
                shutil.rmtree(self.work, ignore_errors=True)

    def _restore(self) -> None:
        """The folder as the last saved state describes it, rid of what came after."""
        held = self._candidates()
        kept = {"state.json", held.name, *(self._piece(n).name for n in range(self.pieces))}
        for file in self.work.iterdir():
            if file.name not in kept:
                file.unlink()
        if held.exists():
            self.held = [(place(_same(files)), key, files) for key, files, _ in read_shard(held)]

    def _candidates(self) -> Path:
        return self.work / f"held-{self.next:09d}.tar"

    def _piece(self, number: int) -> Path:
        return self.work / f"valid-{number:06d}.tar"

    # ---- taking outcomes

    def _outcomes(self, workers: int) -> Generator[Outcome, None, None]:
        """What becomes of each item, in the input's order."""
        blocks = _in_blocks(self.source.items(self.next, self.at))
        start = _start, (self.settings, self.tokenizer.characters)
        with contextlib.closing(in_order(_examine_all, blocks, workers, *start)) as results:
            for outcomes in results:
                yield from outcomes

    def _take(self, outcome: Outcome) -> None:
        self.next += 1
        if outcome.reason:
            self._drop(outcome)
            return
        self.letters += [c for c in outcome.letters if c not in self.letters]
        if self.validation.has(outcome):
            self._to_valid(outcome.key, outcome.files)
        else:
            self.held.append((place(outcome.same), outcome.key, _with_same(outcome)))
            self.held.sort(key=lambda candidate: candidate[:2])
        while len(self.held) > max(0, self.validation.few - self.tally["valid"][0]):
            _, key, files = self.held.pop()
            self._to_train(key, files)
        train, settings = self._train, self.settings
        if train and (train.count >= settings.shard_utterances or train.size >= settings.shard_mb * 1e6):
            self._save()

    def _drop(self, outcome: Outcome) -> None:
        entry = self.tally["dropped"].setdefault(outcome.reason, {"utterances": 0, "examples": []})
        entry["utterances"] += 1
        if len(entry["examples"]) < EXAMPLES:
            entry["examples"].append(outcome.key)
        for character in outcome.outside:
            self.tally["outside"][character] = self.tally["outside"].get(character, 0) + 1

    def _to_train(self, key: str, files: Files) -> None:
        if self._train is None:
            self._train = ShardWriter(self.out / f"train-{self.shards:06d}.tar", self.work)
        self._train.add(key, self._counted("train", files))

    def _to_valid(self, key: str, files: Files) -> None:
        if self._valid is None:
            self._valid = ShardWriter(self._piece(self.pieces), self.work)
        self._valid.add(key, self._counted("valid", files))

    def _counted(self, split: str, files: Files) -> Files:
        files = {extension: content for extension, content in files.items() if extension != SAME}
        meta = json.loads(files["json"])
        tally = self.tally
        for counts in (
            tally[split],
            tally["speakers"].setdefault(meta["speaker"] or UNNAMED, [0, 0.0]),
            tally["languages"].setdefault(meta["lang"], [0, 0.0]),
        ):
            counts[0] += 1
            counts[1] += meta["duration"]
        return files

    # ---- saving and ending

    def _save(self) -> None:
        """Close the shards that are open, then write down where the run stands; either alone does no harm."""
        if self._valid is not None:
            self._valid.close()
            self._valid, self.pieces = None, self.pieces + 1
        if self._train is not None:
            self._train.close()
            self._train, self.shards = None, self.shards + 1
        held = ShardWriter(self._candidates(), self.work)  # beside the one before, which the saved state still names
        for _, key, files in self.held:
            held.add(key, files)
        held.close()
        state = {
            "settings": self.asked, "next": self.next, "mark": self.source.mark(self.next), "read_all": self.read_all,
            "shards": self.shards, "pieces": self.pieces, "letters": self.letters, "tally": self.tally,
        }  # fmt: skip
        _write_json(self.work / "state.json", state)
        for old in self.work.glob("held-*.tar"):
            if old != self._candidates():
                old.unlink()

    def _end_of_input(self) -> None:
        """Share out the candidates that are left, and close everything."""
        kept = self.tally["train"][0] + self.tally["valid"][0] + len(self.held)
        if not kept:
            reasons = "; ".join(f"{d['utterances']} {reason}" for reason, d in sorted(self.tally["dropped"].items()))
            raise ValueError(f"{self.source.name}: holds no usable recording ({reasons or 'it is empty'})")
        wanted = kept // FEW_SHARE - self.tally["valid"][0]
        for number, (_, key, files) in enumerate(self.held):
            (self._to_valid if number < wanted else self._to_train)(key, files)
        self.held, self.read_all = [], True
        self._save()

    def _finish(self) -> dict[str, Any]:
        """Join the pieces of validation, write the vocabulary and the report, and clear up."""
        shards = 0
        samples = itertools.chain.from_iterable(read_shard(self._piece(n)) for n in range(self.pieces))
        for key, files, _ in samples:
            if self._valid is None:
                self._valid = ShardWriter(self.out / f"valid-{shards:06d}.tar", self.work)
            self._valid.add(key, files)
            if self._valid.count >= self.settings.shard_utterances or self._valid.size >= self.settings.shard_mb * 1e6:
                self._valid.close()
                self._valid, shards = None, shards + 1
        if self._valid is not None:
            self._valid.close()
            self._valid, shards = None, shards + 1
        self.validation.notice(self.tally)
        vocabulary = CharTokenizer((*self.tokenizer.characters, *sorted(self.letters)))
        vocabulary.save(self.out / "vocab.txt")
        report = self._report(vocabulary, shards)
        _write_json(self.out / "report.json", report)
        shutil.rmtree(self.work)
        return report

    def _report(self, vocabulary: CharTokenizer, valid_shards: int) -> dict[str, Any]:
        tally, dropped = self.tally, self.tally["dropped"]
        train, valid = tally["train"], tally["valid"]
        return {
            "input": self.source.name,
            "kept": _total([train[0] + valid[0], train[1] + valid[1]]),
            "train": {**_total(train), "shards": self.shards},
            "valid": {**_total(valid), "shards": valid_shards},
            "speakers": {name: _total(counts) for name, counts in sorted(tally["speakers"].items())},
            "languages": {name: _total(counts) for name, counts in sorted(tally["languages"].items())},
            "dropped": {
                "utterances": sum(entry["utterances"] for entry in dropped.values()),
                "reasons": dict(sorted(dropped.items(), key=lambda item: (-item[1]["utterances"], item[0]))),
                "outside_vocabulary": dict(sorted(tally["outside"].items(), key=lambda item: (-item[1], item[0]))),
            },
            "vocabulary": {"characters": len(vocabulary), "added": "".join(sorted(self.letters))},
            "settings": self.asked,
            "versions": {
                **_versions("vivavoce", "numpy", "soundfile", "soxr"),
                "libsndfile": soundfile.__libsndfile_version__,
                **(_versions("datasets") if self.source.kind == "huggingface" else {}),
            },
        }


# ---- validation -----------------------------------------------------------------------------------------------------


class _Validation:
    """Which utterances are kept from training. `few`: how many there are to be at least."""

    def __init__(self, settings: PrepareConfig, source: Source) -> None:
        self.settings = settings
        self.few = 0
        self.speakers: set[str] | None = None  # None: not by names
        known = source.speakers() or None
        if settings.valid_speakers:
            self.speakers = set(settings.valid_speakers)
            if known is not None and (missing := sorted(self.speakers - known)):
                raise ValueError(f"valid_speakers: no speaker {missing[0]!r}; there are {_some(known)}")
        elif settings.valid_speaker_share:
            if known is not None:
                share = settings.valid_speaker_share
                self.speakers = {name for name in known if place(name) < share} or {min(known, key=place)}
        elif settings.valid_share:
            self.few = FEW
        if self.speakers is not None and known is not None and known <= self.speakers:
            raise ValueError(
                f"validation by speaker would take all speakers ({_some(known)}) from training; use --valid-share"
            )

    def has(self, outcome: Outcome) -> bool:
        if self.speakers is not None:
            return outcome.speaker in self.speakers
        if self.settings.valid_speaker_share:
            return place(outcome.speaker) < self.settings.valid_speaker_share
        return place(outcome.same) < self.settings.valid_share

    def notice(self, tally: dict[str, Any]) -> None:
        """Warn where validation or training came out empty: of a stream, only its end tells who speaks in it."""
        if not tally["train"][0]:
            warnings.warn("all that is usable went to validation, nothing to training", stacklevel=2)
        wanted = self.settings.valid_share or self.settings.valid_speakers or self.settings.valid_speaker_share
        if wanted and not tally["valid"][0]:
            warnings.warn(
                f"nothing went to validation; {_total(tally['train'])['utterances']} utterances by "
                f"{_some(tally['speakers'])} went to training",
                stacklevel=2,
            )


# ---- worker processes -----------------------------------------------------------------------------------------------

_in_process: tuple[PrepareConfig, CharTokenizer] | None = None


def _start(settings: PrepareConfig, characters: Sequence[str]) -> None:
    global _in_process
    _in_process = settings, CharTokenizer(characters)


def _examine_all(items: list[Item]) -> list[Outcome]:
    assert _in_process is not None  # set as the process starts
    return [examine(item, *_in_process) for item in items]


def _in_blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while block := list(itertools.islice(iterator, BLOCK)):
        yield block


# ---- small things ---------------------------------------------------------------------------------------------------

SAME = "same"  # extension under which a candidate's `same` is kept with it


def _with_same(outcome: Outcome) -> Files:
    return {**outcome.files, SAME: outcome.same.encode("utf-8", "replace")}


def _same(files: Files) -> str:
    return files[SAME].decode("utf-8")


def _total(counts: Sequence[float]) -> dict[str, Any]:
    return {"utterances": int(counts[0]), "hours": round(counts[1] / 3600, 4)}


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _some(names: Iterable[str], most: int = 10) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def _write_json(path: Path, values: dict[str, Any]) -> None:
    audio.write_whole(path, (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace"))


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
