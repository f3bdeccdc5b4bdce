"""`vivavoce prepare`: recordings through the checks, in parallel, into shards; resumable, with a report.

Results are taken in the order of the input, whichever process made them, so the shards do not depend on the number of
processes. Whenever a training shard is full, the state of the run is saved beside it: an interrupted run resumes from
its last full shard. Unfinished work is kept in OUT/.prepare.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vivavoce.audio.files import remove_parts, write_json
from vivavoce.checkpoints import resolve
from vivavoce.cluster import RayCluster, map_jobs
from vivavoce.config import available_cores
from vivavoce.data.tar import Files, ShardWriter, read_shard
from vivavoce.locks import LOCK, lock_folder
from vivavoce.prepare.checks import Outcome, examine
from vivavoce.prepare.recordings import Recording, RecordingSource
from vivavoce.prepare.report import count_dropped, count_kept, new_tally, report
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.prepare.sources import open_source
from vivavoce.prepare.validation import MINIMUM_SHARE, Validation, place
from vivavoce.text.tokenizer import CharTokenizer
from vivavoce.workers import in_order

WORK = ".prepare"  # folder in OUT
BLOCK = 8  # recordings that a process gets at once
IDENTITY = "same"  # extension under which a candidate for validation keeps its identity

Progress = Callable[[str, float], None]


def prepare(
    source: str,
    out: str | os.PathLike[str],
    settings: PrepareConfig | None = None,
    *,
    workers: int | None = None,
    ray: RayCluster | None = None,
    vocab: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make training shards from recordings: out/train-000000.tar …, valid-000000.tar …, vocab.txt, report.json.

    source: a folder (recordings with .txt files, LJSpeech's or LibriTTS' layout, .tar shards), a .tar file or a glob of
    them, or the name of a Hugging Face dataset.
    workers: processes (None: one for each CPU; 1: only this one). With several, the calling script must be importable
    (`if __name__ == "__main__":`). ray: the cluster whose workers do it instead; this machine reads the input and
    writes the shards, which are the same.
    vocab: a vocab.txt, or the config.json of a model (None: the bundled model's).
    progress is called with a description and the part that is done, 0 to 1.

    Returns the report. The same call resumes an interrupted run, and does nothing after a finished one.
    Raises ValueError for an unusable input, one without any usable recording, an `out` that holds something else or a
    run with other settings, and a run that another process works on; OSError if the disk, a stream or a worker fails.
    """
    settings = settings or PrepareConfig()
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be 1 or more")
    tokenizer = read_vocab(vocab)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{out}: a file; give a folder for the shards")
    if Path(source).is_dir() and folder.resolve().is_relative_to(Path(source).resolve()):
        raise ValueError(f"{out}: is inside the input {source}, and would change it; give a folder elsewhere")
    opened = open_source(source, settings)
    with _locked(folder):
        run = _Run(opened, folder, settings.replace(kind=opened.kind), tokenizer)
        if run.finished is not None:
            shutil.rmtree(run.work, ignore_errors=True)  # the finished run may have been killed before it could
            return run.finished
        if ray is not None and workers is not None:
            ray = dataclasses.replace(ray, workers=workers)
        return run.run(workers or available_cores(), progress or (lambda description, done: None), ray)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the output folder. If it is new and nothing came into it, delete it at the end."""
    new = not folder.exists()
    try:
        with lock_folder(folder):
            yield
    finally:
        if new:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def read_vocab(path: str | os.PathLike[str] | None) -> CharTokenizer:
    """Read the vocabulary in a vocab.txt or a model's config.json; None: the bundled model's. Raises ValueError."""
    if path is not None and Path(path).suffix != ".json":
        try:
            return CharTokenizer.load(path)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}; a vocab.txt has one character a line") from None
    file = Path(path) if path is not None else resolve.find("bundled") / "config.json"
    try:
        characters = json.loads(file.read_text(encoding="utf-8"))["characters"]
        return CharTokenizer(list(characters))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f'{file}: no "characters" in it; give a vocab.txt or a model\'s config.json') from None


# ---- the run --------------------------------------------------------------------------------------------------------


class _Run:
    """One run in one folder. `finished` is the report of an earlier run that was completed, else None."""

    def __init__(self, source: RecordingSource, out: Path, settings: PrepareConfig, tokenizer: CharTokenizer) -> None:
        self.source, self.out, self.settings, self.tokenizer = source, out, settings, tokenizer
        self.work = out / WORK
        self.validation = Validation(settings, source)
        settings_and_input = {
            "input": source.identity(), "vocabulary": "".join(tokenizer.characters), **settings.to_dict()
        }  # fmt: skip
        self.stamp = json.loads(json.dumps(settings_and_input))  # as it will be read back: tuples are lists
        self.finished = self._stored(out / "report.json")
        state = self._stored(self.work / "state.json") or {}
        foreign = out.is_dir() and any(file.name not in (WORK, LOCK) for file in out.iterdir())
        if self.finished is None and not state and foreign:
            raise ValueError(f"{out}: not empty, and not a run of prepare; give an empty or a new folder")

        self.next: int = state.get("next", 0)  # number of the first recording that is in no finished shard
        self.mark = state.get("mark")
        self.read_all: bool = state.get("read_all", False)
        self.shards: int = state.get("shards", 0)
        self.valid_parts: int = state.get("pieces", 0)  # tars of validation samples, joined at the end
        self.new_letters: list[str] = state.get("letters", [])
        self.tally = state.get("tally") or new_tally()
        # Candidates for validation, by `place`: kept back from training until validation has its minimum
        self.candidates: list[tuple[float, str, Files]] = []
        self._train: ShardWriter | None = None
        self._valid: ShardWriter | None = None

    def _stored(self, path: Path) -> dict[str, Any] | None:
        """Return what an earlier run left at `path`. Raises ValueError if its input or settings were different."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            before = {**PrepareConfig().to_dict(), **stored["settings"]}  # with defaults for settings that are newer
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: not a file of prepare ({error}); give another folder") from None
        differing = [
            f"{name} was {_shown(before.get(name))} and is {_shown(value)}"
            for name, value in self.stamp.items()
            if before.get(name) != value
        ]
        if differing and stored.get("next") == 0:
            return None  # nothing was finished yet
        if differing:
            raise ValueError(
                f"{self.out}: holds a run with other settings: {'; '.join(differing)}; give the same again, or another "
                "folder"
            )
        return stored  # type: ignore[no-any-return]

    def run(self, workers: int, progress: Progress, ray: RayCluster | None = None) -> dict[str, Any]:
        """Process what is left of the input and return the report."""
        self.work.mkdir(parents=True, exist_ok=True)
        remove_parts(self.out)
        try:
            self._restore()
            if not self.next:
                self._save()  # marks the folder as one of this run
            if not self.read_all:
                with contextlib.closing(self._outcomes(workers, ray)) as outcomes:
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
            if not any(self.out.glob("*.tar")):  # nothing to resume from
                shutil.rmtree(self.work, ignore_errors=True)

    def _restore(self) -> None:
        """Restore the folder to the last saved state, without what came after or a killed process left."""
        candidates = self._candidates_file()
        kept = {"state.json", candidates.name, *(self._valid_part(n).name for n in range(self.valid_parts))}
        for file in self.work.iterdir():
            if file.name not in kept:
                file.unlink()
        if candidates.exists():
            self.candidates = [(place(_identity(s.files)), s.key, s.files) for s in read_shard(candidates)]

    def _candidates_file(self) -> Path:
        return self.work / f"held-{self.next:09d}.tar"

    def _valid_part(self, number: int) -> Path:
        return self.work / f"valid-{number:06d}.tar"

    # ---- taking outcomes

    def _outcomes(self, workers: int, ray: RayCluster | None) -> Generator[Outcome, None, None]:
        """Yield the outcome of each recording, in the order of the input."""
        start = _start, (self.settings, self.tokenizer.characters)
        if ray is not None:
            jobs = functools.partial(_marked_blocks, self.source, self.next, self.mark)
            with contextlib.closing(map_jobs(jobs, _examine_marked, *start, ray, ordered=True)) as found:
                for outcomes, marks in found:
                    self.source.add_marks(marks)
                    yield from outcomes
            return
        blocks = _in_blocks(self.source.recordings(self.next, self.mark))
        with contextlib.closing(in_order(_examine_all, blocks, workers, *start)) as results:
            for outcomes in results:
                yield from outcomes

    def _take(self, outcome: Outcome) -> None:
        """Count an outcome and store its utterance: in validation, among its candidates, or in training."""
        self.next += 1
        if outcome.reason:
            count_dropped(self.tally, outcome)
            return
        self.new_letters += [c for c in outcome.letters if c not in self.new_letters]
        if self.validation.includes(outcome):
            self._to_valid(outcome.key, outcome.files)
        else:
            files = {**outcome.files, IDENTITY: outcome.identity.encode("utf-8", "replace")}
            self.candidates.append((place(outcome.identity), outcome.key, files))
            self.candidates.sort(key=lambda candidate: candidate[:2])
        while len(self.candidates) > max(0, self.validation.minimum - self.tally["valid"][0]):
            _, key, files = self.candidates.pop()
            self._to_train(key, files)
        if self._train is not None and self._full(self._train):
            self._save()

    def _full(self, writer: ShardWriter) -> bool:
        return writer.count >= self.settings.shard_utterances or writer.size >= self.settings.shard_mb * 1e6

    def _to_train(self, key: str, files: Files) -> None:
        if self._train is None:
            self._train = ShardWriter(self.out / f"train-{self.shards:06d}.tar", self.work)
        self._train.add(key, self._counted("train", files))

    def _to_valid(self, key: str, files: Files) -> None:
        if self._valid is None:
            self._valid = ShardWriter(self._valid_part(self.valid_parts), self.work)
        self._valid.add(key, self._counted("valid", files))

    def _counted(self, split: str, files: Files) -> Files:
        """Count an utterance and return its files without the identity of a candidate."""
        count_kept(self.tally, split, json.loads(files["json"]))
        return {extension: content for extension, content in files.items() if extension != IDENTITY}

    # ---- saving and finishing

    def _save(self) -> None:
        """Close the open shards, then store the state of the run; being killed in between does no harm."""
        if self._valid is not None:
            self._valid.close()
            self._valid, self.valid_parts = None, self.valid_parts + 1
        if self._train is not None:
            self._train.close()
            self._train, self.shards = None, self.shards + 1
        writer = ShardWriter(self._candidates_file(), self.work)  # beside the previous one, which the old state names
        for _, key, files in self.candidates:
            writer.add(key, files)
        writer.close()
        state = {
            "settings": self.stamp, "next": self.next, "mark": self.source.mark(self.next), "read_all": self.read_all,
            "shards": self.shards, "pieces": self.valid_parts, "letters": self.new_letters, "tally": self.tally,
        }  # fmt: skip
        write_json(self.work / "state.json", state)
        for old in self.work.glob("held-*.tar"):
            if old != self._candidates_file():
                old.unlink()

    def _end_of_input(self) -> None:
        """Assign the remaining candidates and close everything."""
        kept = self.tally["train"][0] + self.tally["valid"][0] + len(self.candidates)
        if not kept:
            reasons = "; ".join(f"{d['utterances']} {reason}" for reason, d in sorted(self.tally["dropped"].items()))
            raise ValueError(f"{self.source.name}: holds no usable recording ({reasons or 'it is empty'})")
        wanted = kept // MINIMUM_SHARE - self.tally["valid"][0]
        for number, (_, key, files) in enumerate(self.candidates):
            (self._to_valid if number < wanted else self._to_train)(key, files)
        self.candidates, self.read_all = [], True
        self._save()

    def _finish(self) -> dict[str, Any]:
        """Write the validation shards, the vocabulary and the report, and remove the work folder."""
        valid_shards = self._join_valid()
        self.validation.check_result(self.tally)
        new_letters = sorted(self.new_letters)
        vocabulary = CharTokenizer((*self.tokenizer.characters, *new_letters))
        vocabulary.save(self.out / "vocab.txt")
        finished = report(
            self.tally, source=self.source.name, kind=self.source.kind, shards=(self.shards, valid_shards),
            vocabulary=len(vocabulary), new_letters="".join(new_letters), settings=self.stamp,
        )  # fmt: skip
        write_json(self.out / "report.json", finished)
        shutil.rmtree(self.work)
        return finished

    def _join_valid(self) -> int:
        """Join the parts of validation into shards of the usual size; return how many."""
        shards = 0
        parts = (read_shard(self._valid_part(n)) for n in range(self.valid_parts))
        for sample in itertools.chain.from_iterable(parts):
            if self._valid is None:
                self._valid = ShardWriter(self.out / f"valid-{shards:06d}.tar", self.work)
            self._valid.add(sample.key, sample.files)
            if self._full(self._valid):
                self._valid.close()
                self._valid, shards = None, shards + 1
        if self._valid is not None:
            self._valid.close()
            self._valid, shards = None, shards + 1
        return shards


# ---- worker processes -----------------------------------------------------------------------------------------------

_in_process: tuple[PrepareConfig, CharTokenizer] | None = None


def _start(settings: PrepareConfig, characters: Sequence[str]) -> None:
    global _in_process
    _in_process = settings, CharTokenizer(characters)


def _examine_all(recordings: list[Recording]) -> list[Outcome]:
    assert _in_process is not None  # set when the process starts
    return [examine(recording, *_in_process) for recording in recordings]


def _examine_marked(job: tuple[list[Recording], list[Any]]) -> tuple[list[Outcome], list[Any]]:
    recordings, marks = job
    return _examine_all(recordings), marks


def _marked_blocks(source: RecordingSource, start: int, mark: Any) -> Iterator[tuple[list[Recording], list[Any]]]:
    """Yield blocks that any machine can examine: with the audio in them, and the marks that the source has set."""
    for block in _in_blocks(source.recordings(start, mark)):
        yield [_with_audio(recording) for recording in block], source.take_marks()


def _with_audio(recording: Recording) -> Recording:
    """Return a recording with the content of its file, which other machines may lack."""
    if isinstance(recording.audio, bytes) or recording.fault:
        return recording
    try:
        return dataclasses.replace(recording, audio=Path(recording.audio).read_bytes())
    except OSError:
        return recording  # examining it gives the reason


def _in_blocks(recordings: Iterable[Recording]) -> Iterator[list[Recording]]:
    iterator = iter(recordings)
    while block := list(itertools.islice(iterator, BLOCK)):
        yield block


# ---- helpers --------------------------------------------------------------------------------------------------------


def _identity(files: Files) -> str:
    return files[IDENTITY].decode("utf-8")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
