"""WebDataset shards, near and far → utterances.

A shard is a tar of KEY.ogg (or any audio that libsndfile reads) with KEY.json ({"text", "speaker", "words", …}) or
KEY.txt. It is a local file, http(s), a pipe, or whatever fsspec reaches: hf://datasets/owner/name/path/x.tar,
s3://bucket/x.tar. What is unusable is counted by reason, and what is out of reach is named.
Knows nothing about models: a `Reader` turns an utterance into what its task wants.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import math
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import Request, url2pathname, urlopen

import braceexpand
import fsspec
import numpy as np
import soundfile
from webdataset import tariterators
from webdataset.gopen import gopen

from vivavoce import audio
from vivavoce.config import TrainConfig

Features = dict[str, Any]
Words = tuple[tuple[str, float, float], ...]

AUDIO = ("wav", "flac", "ogg", "opus", "mp3", "aif", "aiff")
# Seconds to wait before what failed at a URL is tried again: as many tries, counted anew whenever something came
WAITS = (1.0, 4.0, 16.0)
TIMEOUT = 60.0  # seconds without an answer or a byte, for http(s)


@dataclass(frozen=True)
class Utterance:
    """One recording as the shards give it."""

    key: str
    samples: np.ndarray  # float32 [S]
    text: str
    speaker: str = ""
    words: Words = ()  # word, start, end in seconds; empty where the data has none
    lang: str = "en"


class Reader(Protocol):
    """What reading the data needs to know of a task. Instances are pickled to the worker processes.

    A reader of recordings inherits all but `featurize`, `length` and `fingerprint`.
    """

    @property
    def sample_rate(self) -> int:
        """Hz of the samples in the utterances that `featurize` gets."""
        ...

    def featurize(self, utterance: Utterance) -> Features:
        """What training needs of it; "length" is its size in frames. Raises ValueError: why it is skipped."""
        ...

    def length(self, seconds: float) -> int:
        """The size in frames that `featurize` will give to an utterance of so many seconds, or slightly more."""
        ...

    def fingerprint(self) -> str:
        """Changes when `featurize` would give something else."""
        ...

    def undecoded(self, shards: Iterable[str], report: Report) -> Iterator[dict[str, Any]]:
        """Undecoded samples in the shards' order; what is damaged is noted in the report."""
        return raw_samples(shards, report)

    def seconds(self, sample: dict[str, Any], config: TrainConfig) -> float:
        """Length of an undecoded sample. Raises ValueError: why it is skipped, as far as can be told cheaply."""
        return seconds_of(sample, config)

    def features(self, sample: dict[str, Any], config: TrainConfig) -> Features:
        """An undecoded sample, featurized. Raises ValueError: why it is skipped."""
        return self.featurize(decode(sample, config, self.sample_rate))

    def pack(self, items: list[Features]) -> list[Features]:
        """What batches are made of, from utterances that stand together in the data."""
        return items


@dataclass
class Report:
    """What reading the shards met: kept and skipped samples, by reason, and what is to be said of whole shards."""

    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in what another process counted, and give its notices as warnings."""
        self.kept += other.kept
        self.skipped.update(other.skipped)
        self.notices += other.notices
        for notice in other.notices:
            warnings.warn(notice, stacklevel=3)

    def __str__(self) -> str:
        reasons = "".join(f"; {count} skipped: {reason}" for reason, count in sorted(self.skipped.items()))
        return f"{self.kept} utterances{reasons}"


def expand(patterns: Sequence[str]) -> list[str]:
    """Shard names from paths, globs, `{000..006}` ranges, folders and URLs (https:, hf:, s3:, pipe:, file:, …).

    Globs work in every URL that fsspec can list, which leaves out http(s). Raises ValueError for a name that matches
    nothing, a kind of URL that nobody knows or whose package is missing, and a place that cannot be listed.
    """
    shards: list[str] = []
    for pattern in map(str, patterns):
        try:  # only where there are braces, for a backslash would be taken as an escape
            names = list(braceexpand.braceexpand(pattern)) if "{" in pattern else [pattern]
        except ValueError as error:
            raise ValueError(f"shards {pattern!r}: {error}") from None
        for name in names:
            if name.startswith("file:"):
                name = url2pathname(urlsplit(name).path)
            elif name.startswith("pipe:"):
                shards.append(name)
                continue
            elif "://" in name:
                shards += _expand_url(name)
                continue
            folder = os.path.join(glob.escape(name), "*.tar")
            found = [name] if os.path.isfile(name) else sorted(glob.glob(folder if os.path.isdir(name) else name))
            if not found:
                raise ValueError(f"no shard at {name!r}; give .tar files, a folder of them, a glob or a URL")
            shards += found
    return shards


def _expand_url(name: str) -> list[str]:
    if _is_http(name):  # where a ? is no glob, and nothing can be listed
        return [name]
    files, path = _filesystem(name)
    if not re.search(r"[*?[]", path):
        return [name]
    try:
        found = sorted(map(str, files.glob(path)))
    except Exception as error:  # each kind of place has its own
        raise ValueError(f"{name}: cannot be listed ({type(error).__name__}: {_reason(error)})") from None
    if not found:
        raise ValueError(f"no shard at {name!r}; is the name right?")
    return [files.unstrip_protocol(path) for path in found]


def _filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for the URL, and the path in it. Raises ValueError where there is none."""
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        kind = url.split("://")[0]
        extra = "; for s3:// pip install vivavoce[s3]" if kind in ("s3", "s3a") else ""
        raise ValueError(f"{url}: a package that reads {kind}:// is missing ({_reason(error)}{extra})") from None
    except Exception as error:  # an unknown protocol, a name that no data set can have, …
        raise ValueError(f"{url}: cannot be read ({type(error).__name__}: {_reason(error)})") from None


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _reason(error: Exception) -> str:
    """The first line of what an error says."""
    text = getattr(error, "strerror", None) or str(error.args[0] if error.args else "") or str(error)
    return str(text).split(" @ ")[0].strip().split("\n")[0]  # WebDataset adds the file's name after the @


# ---- reading ------------------------------------------------------------------------------------------------------


class _Far:
    """The bytes of a URL from first to last. What fails is tried again from where it stood; http(s) asks for ranges."""

    def __init__(self, url: str):
        self.url, self.at = url, 0
        self.size: int | None = None
        self.file: IO[bytes] | None = None
        self.given_up: ConnectionError | None = None  # WebDataset asks for the next file all the same

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, none at the end. Raises ConnectionError where they cannot be had."""
        if self.given_up is not None:
            raise self.given_up
        for wait in (*WAITS, None):
            try:
                if self.file is None:
                    self._open()
                assert self.file is not None
                data = self.file.read(size)
                if not data and size and self.size is not None and self.at < self.size:
                    raise ConnectionError(f"it broke off at byte {self.at}")
            except Exception as error:  # each kind of place has its own
                self.close()
                if wait is None or _permanent(error):
                    kind = "" if type(error) is ConnectionError else f"{type(error).__name__}: "
                    self.given_up = ConnectionError(kind + _reason(error))
                    raise self.given_up from None
                time.sleep(wait)
            else:
                self.at += len(data)
                return data
        raise AssertionError("unreachable")

    def _open(self) -> None:
        if not _is_http(self.url):
            files, path = _filesystem(self.url)
            self.file = files.open(path, "rb")
            self.size = getattr(self.file, "size", None)
            if self.at:
                self.file.seek(self.at)
            return
        request = Request(self.url, headers={"User-Agent": "vivavoce", "Range": f"bytes={self.at}-"})
        response = urlopen(request, timeout=TIMEOUT)
        self.file = response
        here = self.at if response.status == 206 else 0  # a server may not know ranges, and begin again
        left = response.headers.get("Content-Length")
        self.size = None if left is None else here + int(left)
        while here < self.at:
            skipped = len(response.read(min(1 << 20, self.at - here)))
            if not skipped:
                raise ConnectionError(f"it broke off at byte {self.at}")
            here += skipped

    def close(self) -> None:
        if self.file is not None:
            with contextlib.suppress(Exception):  # what is broken need not close well
                self.file.close()
        self.file = None


def _permanent(error: Exception) -> bool:
    """Whether trying again is no use: what is not there, or not for us."""
    status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return 400 <= status < 500 and status not in (408, 429)
    return isinstance(error, FileNotFoundError | PermissionError | ValueError)


def raw_samples(shards: Iterable[str], report: Report) -> Iterator[dict[str, Any]]:
    """Undecoded samples in the shards' order. A damaged shard gives what can be read of it, and a notice."""
    for shard in shards:
        errors: list[Exception] = []

        def damaged(error: Exception, errors: list[Exception] = errors) -> bool:
            errors.append(error)
            return True

        def opened(shard: str = shard, errors: list[Exception] = errors) -> Iterator[dict[str, Any]]:
            try:
                if shard.startswith("pipe:"):  # which ends, and tells how, by itself
                    yield {"url": shard, "stream": gopen(shard)}
                    return
                stream = _Far(shard) if "://" in shard else open(shard, "rb")  # noqa: SIM115 (it is closed below)
            except Exception as error:
                errors.append(error)
                return
            try:
                yield {"url": shard, "stream": stream}
            finally:
                stream.close()

        yield from tariterators.group_by_keys(tariterators.tar_file_expander(opened(), damaged), handler=damaged)
        if errors:
            reason = f"{type(errors[0]).__name__}: {_reason(errors[0])}"
            report.skipped["(shards) damaged or out of reach"] += 1
            report.notices.append(f"{shard}: damaged or out of reach ({reason}); used as far as readable")


def sound_of(sample: dict[str, Any]) -> bytes:
    """The encoded sound of a raw sample. Raises ValueError where it has none."""
    for extension in AUDIO:
        if extension in sample:
            return sample[extension]
    raise ValueError("no audio")


def text_of(sample: dict[str, Any]) -> tuple[str, str, Words]:
    """Text, speaker and word times of a raw sample. Raises ValueError, whose message is the reason for skipping it."""
    if "json" in sample:
        try:
            meta = json.loads(sample["json"])
        except ValueError:
            raise ValueError("unreadable json") from None
        if not isinstance(meta, dict):
            raise ValueError("unreadable json")
    elif "txt" in sample:
        meta = {"text": sample["txt"].decode("utf-8", "replace")}
    else:
        raise ValueError("no text")
    text = meta.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("empty text")
    try:
        words = tuple((str(word), float(start), float(end)) for word, start, end in meta.get("words") or ())
    except (TypeError, ValueError):
        raise ValueError("unreadable word times") from None
    if not all(math.isfinite(start) and math.isfinite(end) for _, start, end in words):
        raise ValueError("unreadable word times")
    return text.strip(), str(meta.get("speaker", "")), words


def language_of(sample: dict[str, Any]) -> str:
    """Language of a raw sample that `text_of` can read: English where it does not say."""
    return str(json.loads(sample["json"]).get("lang") or "en") if "json" in sample else "en"


def check_length(seconds: float, config: TrainConfig) -> None:
    if seconds < config.min_seconds:
        raise ValueError(f"shorter than {config.min_seconds} s")
    if seconds > config.max_seconds:
        raise ValueError(f"longer than {config.max_seconds} s")


def decode(sample: dict[str, Any], config: TrainConfig, sample_rate: int) -> Utterance:
    """The utterance in a raw sample. Raises ValueError, whose message is the reason for skipping it."""
    sound, (text, speaker, words) = sound_of(sample), text_of(sample)
    try:
        samples = audio.read(io.BytesIO(sound), sample_rate)
    except ValueError:
        raise ValueError("unreadable audio") from None
    check_length(len(samples) / sample_rate, config)
    if not samples.any():
        raise ValueError("silent audio")
    return Utterance(sample["__key__"], samples, text, speaker, words, language_of(sample))


def seconds_of(sample: dict[str, Any], config: TrainConfig) -> float:
    """Length of a raw sample by its headers. Raises ValueError as `decode`, for what can be told without decoding."""
    sound = sound_of(sample)
    text_of(sample)
    try:
        seconds = soundfile.info(io.BytesIO(sound)).duration
    except (RuntimeError, TypeError):
        raise ValueError("unreadable audio") from None
    check_length(seconds, config)
    return seconds


def featurized(
    samples: Iterable[dict[str, Any]], reader: Reader, config: TrainConfig, report: Report
) -> list[Features]:
    """Features of the samples that can be used; the others are counted in `report`."""
    items = []
    for sample in samples:
        try:
            items.append(reader.features(sample, config))
        except ValueError as reason:
            report.skipped[str(reason)] += 1
        else:
            report.kept += 1
    return reader.pack(items)
