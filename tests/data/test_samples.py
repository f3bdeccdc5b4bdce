"""The description of a sample: what its JSON may hold, and why a sample is skipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vivavoce.data.samples import Metadata, audio_of, metadata_of, parse_metadata


def test_all_fields_are_read() -> None:
    meta = parse_metadata(
        {
            "text": " Hello. ", "speaker": 7, "language": "fr", "words": [["Hello.", 0, 0.5]],
            "phones": [["h", 0, 0.1]], "duration": 1, "bandwidth": 8000, "dnsmos": 3.3,
        }
    )  # fmt: skip
    assert meta == Metadata(
        "Hello.", "7", "fr", (("Hello.", 0.0, 0.5),), (("h", 0.0, 0.1),), 1.0, 8000.0, {"dnsmos": 3.3}
    )


def test_only_the_text_is_required() -> None:
    assert parse_metadata({"text": "x"}) == Metadata("x")
    assert metadata_of({"txt": "\ufeffx\n".encode()}) == Metadata("x")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "no text"),
        ({"text": None}, "no text"),
        ({"text": "  "}, "empty text"),
        ({"text": 3}, "empty text"),
        ([], "unreadable json"),
        ({"text": "x", "words": 3}, "unreadable word times"),
        ({"text": "x", "words": [["x", 0]]}, "unreadable word times"),
        ({"text": "x", "words": [["x", 0, float("nan")]]}, "unreadable word times"),
        ({"text": "x", "words": [["x", 0, 10**400]]}, "unreadable word times"),
    ],
)
def test_an_unusable_description_has_a_reason(values: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_metadata(values)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_json_that_cannot_be_read_has_a_reason(content: bytes) -> None:
    with pytest.raises(ValueError, match="^unreadable json$"):
        metadata_of({"json": content})


@pytest.mark.parametrize(
    "values", [{"phones": "h ə l oʊ"}, {"duration": "1.5 s"}, {"bandwidth": -1}, {"bandwidth": [8000]}]
)
def test_foreign_fields_of_these_names_are_ignored(values: dict[str, Any]) -> None:
    assert metadata_of({"json": json.dumps({"text": "x", **values}).encode()}) == Metadata("x")


def test_audio_has_an_order_of_preference() -> None:
    assert audio_of({"ogg": b"o", "wav": b"w", "json": b"{}"}) == b"w"
    for files in ({}, {"mp4": b"x"}, {"wav": b""}):
        with pytest.raises(ValueError, match="^no audio$"):
            audio_of(files)
