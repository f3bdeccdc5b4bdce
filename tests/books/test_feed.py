"""A podcast feed of a folder."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from vivavoce import audio
from vivavoce.audio import chapters
from vivavoce.audio.tags import Tags
from vivavoce.books.feed import write_feed
from vivavoce.cli import main
from vivavoce.cli.terminal import run

ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"


def chapter(name: str, tags: Tags) -> None:
    with audio.Writer(name, 24_000) as file:
        file.add((0.1 * np.sin(np.arange(48_000) * 0.05)).astype(np.float32))
        file.finish()
        chapters.mark(file.part, file.format, tags, [], file.seconds)


def test_a_folder_of_chapters_becomes_a_podcast(capsys: pytest.CaptureFixture[str]) -> None:
    for number, title in enumerate(("One & all", "Two"), 1):
        chapter(f"emma-0{number} {title}.mp3", Tags(title, "Jane Austen", album="Emma", track=number))
    Path("cover.jpg").write_bytes(b"\xff\xd8\xff")
    Path("notes.txt").write_text("no sound")
    assert run(main.app, ["feed", ".", "--url", "https://example.org/emma"]) == 0
    assert "2 episodes in feed.xml" in capsys.readouterr().out
    channel = ElementTree.parse("feed.xml").getroot()[0]
    assert channel.findtext("title") == "Emma" and channel.findtext(f"{ITUNES}author") == "Jane Austen"
    assert channel.findtext(f"{ITUNES}type") == "serial"
    image = channel.find(f"{ITUNES}image")
    assert image is not None and image.get("href") == "https://example.org/emma/cover.jpg"
    items = channel.findall("item")
    assert [item.findtext("title") for item in items] == ["One & all", "Two"]
    enclosure = items[0].find("enclosure")
    assert enclosure is not None and enclosure.get("type") == "audio/mpeg"
    assert enclosure.get("url") == "https://example.org/emma/emma-01%20One%20%26%20all.mp3"
    assert enclosure.get("length") == str(Path("emma-01 One & all.mp3").stat().st_size)
    assert items[0].findtext(f"{ITUNES}duration") == "2"


@pytest.mark.parametrize(
    ("folder", "url", "problem"),
    [
        (".", "", "must be the address of the folder"),
        (".", "https://example.org/", "has no sound files"),
        ("none", "https://example.org/", "none: no such folder"),
    ],
)
def test_wrong_feeds(folder: str, url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        write_feed(Path(folder), url)
