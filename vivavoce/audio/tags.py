"""What a sound file says about itself: title, author, narrator, series, cover, and where its chapters start."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

LONGEST = 200  # longer texts are cut to this many characters
MAX_COVER = 10_000_000  # bytes
GENRE = "Audiobook"


@dataclass(frozen=True)
class Mark:
    """A chapter: its title and its start in seconds."""

    start: float
    title: str


@dataclass(frozen=True)
class Tags:
    """Tags of a sound file; "" and 0: none.

    album: the book, if the file is one chapter of it. part: the number of the book in its series. track, tracks: the
    number of the chapter, and how many there are. cover: a JPEG or PNG image. Texts are folded to one line and cut to
    LONGEST characters. Raises ValueError for another image, and for one above MAX_COVER bytes.
    """

    title: str = ""
    author: str = ""
    album: str = ""
    narrator: str = ""
    year: str = ""
    series: str = ""
    part: str = ""
    track: int = 0
    tracks: int = 0
    cover: bytes = b""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                object.__setattr__(self, field.name, one_line(value))
        if self.cover and not image_type(self.cover):
            raise ValueError("the cover is not a JPEG or PNG image")
        if len(self.cover) > MAX_COVER:
            raise ValueError(f"the cover has {len(self.cover) / 1e6:.1f} MB; at most {MAX_COVER / 1e6:g} MB are stored")

    def __bool__(self) -> bool:
        return self != Tags()

    @property
    def is_book(self) -> bool:
        """Whether there is more than a title."""
        return any((self.author, self.album, self.narrator, self.year, self.series, self.cover))

    @property
    def shown_album(self) -> str:
        """What players show as the album: the book."""
        return self.album or (self.title if self.is_book else "")

    @property
    def genre(self) -> str:
        return GENRE if self.is_book else ""


def one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST]


def image_type(data: bytes) -> str:
    """Return the media type of an image that players show as a cover; "" for other data."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/png" if data.startswith(b"\x89PNG\r\n\x1a\n") else ""


def read_cover(path: Path) -> bytes:
    """Return the bytes of a cover. Raises ValueError, naming the file, if it is missing or not a JPEG or PNG image."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_COVER else b""
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if not image_type(data):
        raise ValueError(f"{path}: not a JPEG or PNG image of at most {MAX_COVER / 1e6:g} MB")
    return data
