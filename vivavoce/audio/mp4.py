"""Chapters and tags of MP4 files, m4a and m4b: PyAV (extra `aac`) writes the chapters; the tags are our own.

FFmpeg writes chapters only if they are known before the sound. They are known after it, so `mark` copies the encoded
sound into a new file. FFmpeg does not write every tag that audiobook players read, such as the series; `mark` adds them
to the list of tags in the last box of the file, `moov`, whose length nothing else depends on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from vivavoce.audio.files import part_file
from vivavoce.audio.tags import Mark, Tags, image_type

_AUDIOBOOK = 2  # Apple's media type
_TEXT, _JPEG, _PNG, _INTEGER = 1, 13, 14, 21  # types of values


def mark(path: Path, tags: Tags, marks: Sequence[Mark], seconds: float) -> None:
    """Write tags and chapters into a file that `aac.AacFile` has written. marks: as for `chapters.mark`."""
    if marks:
        _add_chapters(path, marks, seconds)
    items = b"".join(_items(tags))
    if items:
        with open(path, "r+b") as file:
            _add_tags(file, items)


def _add_chapters(path: Path, marks: Sequence[Mark], seconds: float) -> None:
    import av

    ends = [m.start for m in marks[1:]] + [max(seconds, marks[-1].start)]
    listed: list[dict[str, Any]] = [
        {
            "id": number,
            "start": round(1000 * m.start),
            "end": round(1000 * end),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": m.title},
        }
        for number, (m, end) in enumerate(zip(marks, ends, strict=True))
    ]
    with part_file(path) as part, av.open(str(path)) as old, av.open(str(part), "w", format="ipod") as new:
        source = old.streams.audio[0]
        stream = new.add_stream_from_template(source)
        new.set_chapters(listed)  # type: ignore[arg-type]
        for packet in old.demux(source):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


# --- tags ------------------------------------------------------------------------------------------------------------


def _items(tags: Tags) -> Iterator[bytes]:
    texts = {
        b"\xa9nam": tags.title,
        b"\xa9ART": tags.author,
        b"aART": tags.author,
        b"\xa9alb": tags.shown_album,
        b"\xa9wrt": tags.narrator,  # the composer: where most audiobook players look for the narrator
        b"\xa9nrt": tags.narrator,
        b"\xa9day": tags.year,
        b"\xa9gen": tags.genre,
        b"\xa9mvn": tags.series,
    }
    for name, text in texts.items():
        if text:
            yield _box(name, _value(_TEXT, text.encode()))
    for key, text in (("SERIES", tags.series), ("SERIES-PART", tags.part)):
        if text:
            mean = _box(b"mean", bytes(4) + b"com.apple.iTunes")
            yield _box(b"----", mean + _box(b"name", bytes(4) + key.encode()) + _value(_TEXT, text.encode()))
    if tags.part.isdecimal() and int(tags.part) < 1 << 15:
        yield _box(b"\xa9mvi", _value(_INTEGER, struct.pack(">h", int(tags.part))))
    if tags.track:
        yield _box(b"trkn", _value(0, struct.pack(">4H", 0, min(tags.track, 65535), min(tags.tracks, 65535), 0)))
    if tags.is_book:
        yield _box(b"stik", _value(_INTEGER, bytes([_AUDIOBOOK])))
    if tags.cover:
        yield _box(b"covr", _value(_PNG if image_type(tags.cover) == "image/png" else _JPEG, tags.cover))


def _value(kind: int, data: bytes) -> bytes:
    return _box(b"data", struct.pack(">II", kind, 0) + data)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and bodies of the boxes in the body of another."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        size = size if size >= 8 else len(data) - at
        yield name, data[at + 8 : at + size]
        at += size


def _add_tags(file: BinaryIO, items: bytes) -> None:
    """Rewrite the box `moov` at the end of the file with the tags in moov/udta/meta/ilst."""
    start, end = 0, file.seek(0, 2)
    name = b""
    while start < end:
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if name == b"moov" and start + size == end:
            break
        start += size
    if name != b"moov":
        raise ValueError("the MP4 file has no moov box at its end")
    file.seek(start + 8)
    moov = file.read()
    file.seek(start)
    file.write(_box(b"moov", _with_items(moov, (b"udta", b"meta", b"ilst"), items)))
    file.truncate()


def _with_items(body: bytes, path: tuple[bytes, ...], items: bytes) -> bytes:
    """Return the body of a box with `items` appended at `path` inside it. Boxes that are missing are added."""
    if not path:
        return body + items
    name, *rest = path
    head = b""
    if name == b"ilst":  # inside meta, which has four bytes before its boxes
        handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
        head, body = (body[:4], body[4:]) if body else (bytes(4), handler)
    found, parts = False, []
    for each, inner in _boxes(body):
        if each == name and not found:
            found, inner = True, _with_items(inner, tuple(rest), items)
        parts.append(_box(each, inner))
    if not found:
        parts.append(_box(name, _with_items(b"", tuple(rest), items)))
    return head + b"".join(parts)
