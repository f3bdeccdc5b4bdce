"""What the page needs beside speech: books in chapters, and speech in another format without generating it again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.server_api import error_of
from helpers.serving import Server, serving
from helpers.tones import RATE

from vivavoce.serve.book_process import parts

STORY = "Nobody spoke for a long time. At last the old man rose. He took his hat, and went to the door."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("files"), max_chars=400, max_upload_mb=1.0, max_seconds=20) as started:
        yield started


def sent(server: Server, name: str, data: bytes) -> Any:
    with server.client() as client:
        return client.post("/v1/books", files={"file": (name, data, "application/octet-stream")})


# --- books ------------------------------------------------------------------------------------------------------------


def test_a_text_is_cut_between_paragraphs_sentences_words_and_characters() -> None:
    assert parts("One.\n\nTwo.\n\nThree.", 12) == ["One.\n\nTwo.", "Three."]
    assert parts(STORY, 60) == [STORY[:55], STORY[56:]]
    assert parts("seven words that are one long sentence", 12) == ["seven words", "that are one", "long", "sentence"]
    assert parts("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]
    assert parts("* * *\n\nHello.", 100) == ["* * *\n\nHello."] and parts("* * *", 100) == []


def test_a_text_with_chapters(server: Server) -> None:
    text = f"# One\n\n{STORY}\n\n# Two\n\n{STORY * 6}\n"
    answer = sent(server, "A story.md", text.encode())
    assert answer.status_code == 200, answer.text
    book = answer.json()
    assert book["title"] == "A story"
    assert [chapter["title"] for chapter in book["chapters"]] == ["One", "Two"]
    assert all(len(part) <= 400 for chapter in book["chapters"] for part in chapter["parts"])
    assert " ".join(book["chapters"][1]["parts"]).count("At last") == 6


def test_subtitles_are_one_chapter(server: Server) -> None:
    cues = "1\n00:00:01,000 --> 00:00:02,000\nGood [quiet] morning.\n\n2\n00:00:03,000 --> 00:00:04,000\nHello.\n"
    (chapter,) = sent(server, "film.srt", cues.encode()).json()["chapters"]
    assert "morning." in chapter["parts"][0] and chapter["parts"][0].endswith("Hello.")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("empty.txt", b" \n", "empty.txt is empty"),
        ("book.epub", b"PK\x03\x04 no zip", "book.epub"),
        ("book.mobi", b"BOOKMOBI", "convert it with Calibre"),
        ("../../x/film.srt", b"no cues", "film.srt"),
    ],
)
def test_a_file_that_is_no_book_is_named(server: Server, name: str, data: bytes, told: str) -> None:
    error = error_of(sent(server, name, data), 400)
    assert told in error["message"] and "/tmp" not in error["message"] and error["code"] == "unusable_file"


def test_a_bomb_is_refused(server: Server) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", b" " * 300_000_000)
    error_of(sent(server, "bomb.epub", out.getvalue()), 400)


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["mp3", "opus", "flac", "wav", "pcm"])
def test_speech_gets_another_format(server: Server, format: str) -> None:
    tone = (8_000 * np.sin(np.arange(2 * RATE) / 20)).astype("<i2")
    with server.client() as client:
        answer = client.post(
            "/v1/audio/encode",
            params={"response_format": format},
            content=tone.tobytes(),
            headers={"Content-Type": "audio/pcm"},
        )
    assert answer.status_code == 200, answer.text
    if format == "pcm":
        assert answer.content == tone.tobytes()
        return
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate in (RATE, 48_000) and len(samples) / rate == pytest.approx(2.0, abs=0.15)
    assert np.abs(samples).max() == pytest.approx(8_000 / 32_768, rel=0.3)


def test_what_is_no_pcm_is_refused(server: Server) -> None:
    with server.client() as client:
        kind = {"Content-Type": "audio/pcm"}
        for body in (b"", b"abc"):
            error_of(client.post("/v1/audio/encode", content=body, headers=kind), 400)
        error_of(client.post("/v1/audio/encode?response_format=ogg", content=b"ab", headers=kind), 400)
        error_of(client.post("/v1/audio/encode", content=bytes(21 * 48_000), headers=kind), 413)


# --- options of the page ----------------------------------------------------------------------------------------------


def test_models_say_how_long_a_text_may_be(server: Server) -> None:
    with server.client() as client:
        assert client.get("/v1/models").json()["data"][0]["max_characters"] == 400


def test_steps_are_passed_on_and_checked(server: Server, tmp_path: Path) -> None:
    assert server.post("Hello.", steps=4).status_code == 200
    error_of(server.post("Hello.", steps=0), 400)
    error_of(server.post("Hello.", steps=65), 400)
