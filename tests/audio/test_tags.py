"""Tags, covers and bit rates of sound files, as players read them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.probe import MUTAGEN, probe

from vivavoce import audio
from vivavoce.audio import chapters
from vivavoce.audio.io import WRITER_FORMATS
from vivavoce.audio.tags import Mark, Tags, read_cover

RATE = 24_000
# one red pixel
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
MARKS = [Mark(0.0, "One"), Mark(1.25, "Two: ü"), Mark(2.5, "Three")]
TAGS = Tags("Emma", "Jane Austen", "", "Celeste", "1815", "Novels", "4", cover=PNG)
TAGGED = [format for format in WRITER_FORMATS if format != "wav"]

pytestmark = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs the extra aac")


def tone(seconds: float = 4.0) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.05)).astype(np.float32)


def tagged(path: Path, tags: Tags = TAGS, marks: list[Mark] = MARKS, seconds: float = 4.0) -> Path:
    with audio.Writer(path, RATE) as file:
        file.add(tone(seconds))
        file.finish()
        chapters.mark(file.part, file.format, tags, marks, file.seconds)
    assert list(path.parent.glob(".*")) == []
    return path


@pytest.mark.parametrize("format", TAGGED)
def test_a_player_finds_tags_chapters_and_cover(format: str, tmp_path: Path) -> None:
    found = probe(tagged(tmp_path / f"a.{format}"))
    assert found["seconds"] == pytest.approx(4.0, abs=0.1)
    tags = found["tags"]
    assert tags["title"] == "Emma" and tags["artist"] == "Jane Austen" and tags["album"] == "Emma"
    assert tags["composer"] == "Celeste" and tags["date"] == "1815" and tags["genre"] == "Audiobook"
    assert tags.get("series", "Novels") == "Novels"  # FFmpeg hides the series of MP4
    assert [title for *_, title in found["chapters"]] == ["One", "Two: ü", "Three"]
    assert [start for start, *_ in found["chapters"]] == pytest.approx([0.0, 1.25, 2.5], abs=2e-3)
    assert found["covers"] == [["png", 1, 1]]


@pytest.mark.parametrize("format", TAGGED)
def test_mutagen_agrees(format: str, tmp_path: Path) -> None:
    pytest.importorskip("mutagen")
    found = probe(tagged(tmp_path / f"a.{format}"), MUTAGEN)
    assert found["tags"]["series"] == ["Novels"] and found["tags"]["series-part"] == ["4"]
    assert found["covers"] == [len(PNG)]


@pytest.mark.parametrize("format", ["m4b", "mp3", "opus"])
def test_a_file_of_one_chapter_has_its_number_and_book(format: str, tmp_path: Path) -> None:
    tags = Tags("Volume I", "Jane Austen", album="Emma", track=2, tracks=55)
    found = probe(tagged(tmp_path / f"a.{format}", tags, []))["tags"]
    assert (found["title"], found["album"]) == ("Volume I", "Emma")
    assert found["track"].split("/")[0] == "2" and found["artist"] == "Jane Austen"


@pytest.mark.parametrize("format", ["ogg", "opus", "flac", "mp3", "m4b"])
def test_a_cover_of_many_pages_leaves_the_sound_as_it_was(format: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = tagged(tmp_path / "plain" / f"a.{format}", Tags(), [])
    large = tagged(tmp_path / f"a.{format}", Tags("Emma", cover=PNG + bytes(300_000)))
    sounds = []
    import av

    for path in (plain, large):
        with av.open(str(path)) as file:
            sounds.append(np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)]))
    assert len(sounds[0]) == pytest.approx(len(sounds[1]), abs=2048)
    n = min(map(len, sounds))
    assert n and np.array_equal(sounds[0][:n], sounds[1][:n])


@pytest.mark.parametrize("format", ["mp3", "opus", "m4b"])
def test_bit_rates(format: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * RATE).astype(np.float32)
    rates = []
    for bitrate in (32, 96):
        path = tmp_path / f"{bitrate}.{format}"
        with audio.Writer(path, RATE, bitrate) as file:
            file.add(noise)
        rates.append(path.stat().st_size * 8 / 1000 / 6)
    assert rates == pytest.approx([32, 96], rel=0.15)


@pytest.mark.parametrize(("format", "bitrate", "problem"), [("flac", 64, "has none"), ("mp3", 5, "between 16 and 256")])
def test_wrong_bit_rates(format: str, bitrate: int, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=problem):
        audio.Writer(tmp_path / f"a.{format}", RATE, bitrate)
    assert not list(tmp_path.iterdir())


def test_an_mp4_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), audio.Writer(tmp_path / "a.m4b", RATE) as file:
        file.add(tone())
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_cover_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "cover.jpg"
    path.write_text("no image")
    with pytest.raises(ValueError, match="cover.jpg: not a JPEG or PNG image"):
        read_cover(path)
    with pytest.raises(ValueError, match="not a JPEG or PNG"):
        Tags(cover=b"GIF89a")
    path.write_bytes(PNG)
    assert read_cover(path) == PNG
