"""Clips and scores kept in a folder, so that an interrupted or repeated run does not start over."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import soundfile

from vivavoce import audio
from vivavoce.evaluate.clips import Item, Wave, digest, fingerprint, safe
from vivavoce.evaluate.judge import Judge, Score
from vivavoce.metrics.packages import versions


def judge_fingerprint(judge: Judge, asr: str) -> str:
    """Return a hash of everything that a score depends on except the clip. asr: the recognizer's name."""
    references = {name: (r.vector.tobytes().hex(), r.rate) for name, r in judge.references.items()}
    return fingerprint(asr, digest(Path(asr)), versions(), references)


class ClipStore:
    """VOICE/KEY.wav, KEY.txt and KEY.json, which records what the audio was made from, and its score.

    A clip made from the same inputs is reused, and so is its score if the judge is the same. folder None: keep nothing.
    """

    def __init__(self, folder: Path | None, judge: str) -> None:
        self.folder = folder
        self.judge = judge  # fingerprint

    def score(self, item: Item) -> Score | None:
        """Return the stored score of the same audio and text by the same judge."""
        record = self._record(item)
        if record.get("judge") != self.judge:
            return None
        try:
            score = Score(**record["score"])
        except (KeyError, TypeError):
            return None
        return score if (score.key, score.voice, score.text) == (item.key, item.voice, item.transcript.text) else None

    def wave(self, item: Item) -> Wave | None:
        """Return the stored audio if it was made from the same inputs."""
        if not item.generated or not self._record(item):
            return None
        try:
            file = self._file(item, "wav")
            rate = int(soundfile.info(file).samplerate)
            return audio.read(file, rate), rate
        except (ValueError, RuntimeError):
            return None

    def save_wave(self, item: Item, wave: Wave) -> None:
        """Store generated audio. Raises OSError if it cannot be written."""
        if self.folder is None or not item.generated:
            return
        self._clear(item)
        self._file(item, "wav").parent.mkdir(parents=True, exist_ok=True)
        audio.write(self._file(item, "wav"), *wave)
        audio.atomic_write(self._file(item, "txt"), f"{item.transcript.written}\n".encode())
        self._write(item, {"source": item.source})

    def save_score(self, item: Item, score: Score) -> None:
        """Store a score. Raises OSError if it cannot be written."""
        if self.folder is None:
            return
        if score.failure is not None:
            self._clear(item)
        self._write(item, {"source": item.source, "judge": self.judge, "score": dataclasses.asdict(score)})

    def _file(self, item: Item, extension: str) -> Path:
        assert self.folder is not None
        return self.folder / safe(item.voice) / f"{safe(item.key)}.{extension}"

    def _record(self, item: Item) -> dict[str, Any]:
        if self.folder is None:
            return {}
        try:
            record = json.loads(self._file(item, "json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):  # missing or damaged: the clip is made anew
            return {}
        return record if isinstance(record, dict) and record.get("source") == item.source else {}

    def _clear(self, item: Item) -> None:
        """Remove the files of an earlier run, starting with the one that vouches for the others."""
        for extension in ("json", "wav", "txt"):
            self._file(item, extension).unlink(missing_ok=True)

    def _write(self, item: Item, record: dict[str, Any]) -> None:
        file = self._file(item, "json")
        file.parent.mkdir(parents=True, exist_ok=True)
        audio.atomic_write(file, (json.dumps(record, ensure_ascii=False) + "\n").encode())
