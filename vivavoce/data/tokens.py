"""Token shards: the training data of the whisperspeech models, `NAME.tokens.tar` beside the audio shard `NAME.tar`.

The first member, tokens.json, is a `TokensHeader`: the models that produced the tokens. Each utterance then has
KEY.json (text, lang, speaker, seconds, words), KEY.semantic.npy int16 [T], KEY.acoustic.npy int16 [Q, N] and
KEY.speaker.npy float16 [V]. Knows nothing about models.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from vivavoce.config import Config
from vivavoce.data.samples import metadata_of
from vivavoce.data.tar import Files, ShardWriter, read_shard

HEADER = "tokens"  # key of the first member
SUFFIX = ".tokens.tar"


@dataclass(frozen=True)
class TokensHeader(Config):
    """The models that produced the tokens. Shards fit together only if their headers are equal."""

    semantic: str = ""  # hash of the semantic model's weights
    semantic_codes: int = 512
    semantic_rate: float = 25.0  # codes a second
    codec: str = ""  # hash of the codec's weights
    codec_codes: int = 1024  # in each codebook
    quantizers: int = 4
    codec_rate: float = 46.875  # acoustic frames a second
    speaker: str = ""  # hash of the speaker encoder's weights
    speaker_dim: int = 256

    def __post_init__(self) -> None:
        for name in ("semantic_codes", "semantic_rate", "codec_codes", "quantizers", "codec_rate", "speaker_dim"):
            self.require(getattr(self, name) > 0, name, "positive")

    def differences(self, other: TokensHeader) -> str:
        """Describe the differences, for an error message; "" if there are none."""
        theirs = other.to_dict()
        return "; ".join(f"{n} {v!r} and {theirs[n]!r}" for n, v in self.to_dict().items() if v != theirs[n])


class TokenItem(TypedDict):
    """One utterance."""

    key: str
    text: str
    lang: str  # Whisper's code
    name: str  # of the speaker; "" if the audio shard does not state it
    seconds: float
    words: list[tuple[str, float, float]]  # word, start, end in seconds; [] if the audio shard has none
    semantic: npt.NDArray[np.int16]  # [T]
    acoustic: npt.NDArray[np.int16]  # [Q, N]
    speaker: npt.NDArray[np.float16]  # [V], a unit vector


def token_path(shard: Path) -> Path:
    """Return the token shard that belongs to an audio shard: NAME.tar → NAME.tokens.tar."""
    return shard.with_name(shard.name.removesuffix(".tar") + SUFFIX)


# ---- one utterance --------------------------------------------------------------------------------------------------


def parse_header(content: bytes, where: str) -> TokensHeader:
    """Parse tokens.json. Raises ValueError, naming `where`, for anything else."""
    try:
        values = json.loads(content)
    except ValueError:
        raise ValueError(f"{where}: tokens.json is unreadable") from None
    return TokensHeader.from_dict(values, f"{where}: tokens.json")


def parse_item(key: str, files: Mapping[str, Any], header: TokensHeader) -> TokenItem:
    """Parse the files of one utterance, by extension.

    Raises ValueError if they are unreadable or contradict the header; the message is the reason for skipping them.
    """
    try:
        meta = metadata_of(files)
        names = ("semantic.npy", "acoustic.npy", "speaker.npy")
        semantic, acoustic, speaker = (np.load(io.BytesIO(files[name]), allow_pickle=False) for name in names)
        seconds = float(meta.extra["seconds"])
    except (KeyError, TypeError, ValueError, AttributeError, EOFError):
        raise ValueError("unreadable tokens") from None
    right = (
        (semantic.ndim, semantic.dtype) == (1, np.int16)
        and (acoustic.ndim, acoustic.dtype) == (2, np.int16)
        and acoustic.shape[0] == header.quantizers
        and (speaker.shape, speaker.dtype) == ((header.speaker_dim,), np.float16)
    )
    if not right:
        raise ValueError("tokens of another shape or type than the shard's header says")
    for codes, count in ((semantic, header.semantic_codes), (acoustic, header.codec_codes)):
        if not codes.size:
            raise ValueError("no tokens")
        if codes.min() < 0 or codes.max() >= count:
            raise ValueError(f"codes that are not 0 to {count - 1}")
    return {
        "key": key, "text": meta.text, "lang": meta.lang or "en", "name": meta.speaker, "seconds": seconds,
        "words": list(meta.words),
        "semantic": semantic, "acoustic": acoustic, "speaker": speaker,
    }  # fmt: skip


def item_files(item: TokenItem) -> Files:
    """Return the files of an utterance, by extension."""
    meta = {"text": item["text"], "lang": item["lang"], "speaker": item["name"], "seconds": round(item["seconds"], 4)}
    if item["words"]:
        meta["words"] = [list(word) for word in item["words"]]
    return {
        "json": json.dumps(meta, ensure_ascii=False).encode(),
        "semantic.npy": _npy(item["semantic"].astype(np.int16)),
        "acoustic.npy": _npy(item["acoustic"].astype(np.int16)),
        "speaker.npy": _npy(item["speaker"].astype(np.float16)),
    }


def _npy(values: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


# ---- a shard --------------------------------------------------------------------------------------------------------


class TokenWriter(ShardWriter):
    """A token shard that gets its final name when it is complete: `add_item` each utterance, then `close`."""

    def __init__(self, target: Path, header: TokensHeader, work: Path | None = None) -> None:
        super().__init__(target, work)
        self.header = header
        self.add(HEADER, {"json": json.dumps(header.to_dict()).encode()})
        self.count = 0

    def add_item(self, item: TokenItem) -> None:
        """Append an utterance. Raises ValueError for codes that contradict the header."""
        files = item_files(item)
        parse_item(item["key"], files, self.header)
        self.add(item["key"], files)


def read_tokens(path: Path) -> tuple[TokensHeader, Iterator[TokenItem]]:
    """Return a token shard's header and its utterances, in the shard's order.

    Raises ValueError if it is not a token shard and, after what can be read, if it or an utterance is damaged.
    """
    samples = read_shard(path)
    first = next(samples, None)
    if first is None or first[0] != HEADER or "json" not in first[1]:
        raise ValueError(f"{path}: no token shard (its first member must be tokens.json)")
    header = parse_header(first[1]["json"], str(path))

    def items() -> Iterator[TokenItem]:
        for key, files, _ in samples:
            try:
                yield parse_item(key, files, header)
            except ValueError as error:
                raise ValueError(f"{path}: {key}: {error}") from None

    return header, items()
