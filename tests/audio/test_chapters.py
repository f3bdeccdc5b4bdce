"""Chapters in sound files: what players read in them, and that the sound stays as it was."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vivavoce import audio
from vivavoce.audio import chapters
from vivavoce.audio.chapters import Mark

RATE = 24_000
MARKS = [Mark(0.0, "One"), Mark(1.25, "Two:\n ü"), Mark(2.5, "Three")]


def tone(seconds: float = 4.0) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.05)).astype(np.float32)


def marked(path: Path, title: str = "The Book", marks: list[Mark] = MARKS) -> Path:
    with audio.Writer(path, RATE) as file:
        file.add(tone())
        file.finish()
        chapters.mark(file.part, file.format, title, marks, file.seconds)
    return path


@pytest.mark.parametrize("extension", audio.FORMATS)
def test_the_sound_stays_and_the_title_is_there(extension: str, tmp_path: Path) -> None:
    path, plain = marked(tmp_path / f"a.{extension}"), tmp_path / f"b.{extension}"
    with audio.Writer(plain, RATE) as file:
        file.add(tone())
    with soundfile.SoundFile(path) as found:
        assert found.title == "The Book"
    sounds = [soundfile.read(each, dtype="int16")[0] for each in (path, plain)]
    assert len(sounds[0]) == len(tone()) and np.array_equal(*sounds)
    assert sorted(tmp_path.iterdir()) == [path, plain]


@pytest.mark.parametrize("extension", audio.FORMATS)
def test_a_text_of_one_chapter_has_its_title(extension: str, tmp_path: Path) -> None:
    with soundfile.SoundFile(marked(tmp_path / f"a.{extension}", marks=[])) as found:
        assert found.title == "The Book"


@pytest.mark.parametrize("extension", audio.FORMATS)
def test_a_player_finds_the_chapters(extension: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(marked(tmp_path / f"a.{extension}"))) as file:
        found = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"]) for c in file.chapters()
        ]
    assert [title for _, _, title in found] == ["One", "Two: ü", "Three"]
    assert [float(start) for start, _, _ in found] == pytest.approx([0.0, 1.25, 2.5], abs=1e-3)
    assert [float(end) for _, end, _ in found] == pytest.approx([1.25, 2.5, 4.0], abs=0.05)


@pytest.mark.parametrize("extension", ["flac", "ogg", "opus"])
def test_vorbis_comments_stand_in_the_head(extension: str, tmp_path: Path) -> None:
    head = marked(tmp_path / f"a.{extension}").read_bytes()[:2000]
    assert b"CHAPTER002=00:00:01.250" in head and "CHAPTER002NAME=Two: ü".encode() in head


def test_mp3_has_a_frame_for_each_chapter(tmp_path: Path) -> None:
    data = marked(tmp_path / "a.mp3").read_bytes()
    size = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    assert data[:5] == b"ID3\x03\x00" and data[10 + size] == 0xFF  # then comes the sound
    at = data.index(b"CHAP", data.index(b"CHAP") + 4)
    assert struct.unpack_from(">II", data, at + 10 + len(b"ch2\0")) == (1250, 2500)


def test_wav_has_a_cue_point_for_each_chapter(tmp_path: Path) -> None:
    data = marked(tmp_path / "a.wav").read_bytes()
    assert struct.unpack_from("<I", data, 4) == (len(data) - 8,)
    at = data.index(b"cue ")
    assert struct.unpack_from("<II", data, at + 4) == (4 + 24 * 3, 3)
    assert struct.unpack_from("<I", data, at + 12 + 24 + 20) == (30_000,)


@pytest.mark.parametrize("extension", audio.FORMATS)
def test_without_title_and_chapters_nothing_changes(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{extension}"
    audio.write(path, tone())
    before = path.read_bytes()
    chapters.mark(path, extension, "", [], 4.0)
    assert path.read_bytes() == before


def test_many_chapters(tmp_path: Path) -> None:
    many = [Mark(0.01 * i, f"Chapter {i}") for i in range(300)]
    for extension in ("mp3", "flac", "wav", "opus"):
        assert soundfile.info(marked(tmp_path / f"a.{extension}", marks=many)).duration == pytest.approx(4.0, abs=0.1)
    assert soundfile.info(marked(tmp_path / "b.opus", marks=many * 10)).duration == pytest.approx(4.0, abs=0.1)
