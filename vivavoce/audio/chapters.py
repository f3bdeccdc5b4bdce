"""Chapters and tags for finished sound files, in each format's own way.

    mp3          ID3v2.3: frames CHAP and CTOC (ID3v2 Chapter Frame Addendum 1.0), APIC for the cover
    flac         Vorbis comments CHAPTER001=00:00:00.000 and CHAPTER001NAME=… (Xiph's chapter extension)
    ogg, opus    the same, in the tags of Opus (RFC 7845)
    m4a, m4b     MP4's own chapters and tags (audio/mp4.py)
    wav          a cue point with a label for each, and a title

libsndfile, which writes the files, does not support chapters, and the libraries for tags are under the GPL.
"""

from __future__ import annotations

import base64
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from vivavoce.audio import aac, mp4
from vivavoce.audio.files import part_file
from vivavoce.audio.ogg import page_checksum
from vivavoce.audio.tags import Mark, Tags, image_type, one_line

__all__ = ["Mark", "Tags", "mark"]

_OGG_PAGE = 255 * 255  # bytes of a packet in one page of an Ogg file
_OGG_TAGS = 50_000_000  # bytes of tags in an Ogg file; players refuse more
_FRONT_COVER = 3  # the type of a picture, in ID3 and FLAC


def mark(path: Path, format: str, tags: Tags | str, marks: Sequence[Mark], seconds: float) -> None:
    """Write tags, or just a title, and chapters into a file that `audio.Writer` has written.

    seconds: length of the sound. marks: in order, the first at 0; (): only the tags. In wav, only the title is written.
    Raises ValueError for tags that the format cannot hold; OSError if the system refuses to write.
    """
    marks = [Mark(m.start, one_line(m.title)) for m in marks]
    tags = Tags(tags) if isinstance(tags, str) else tags
    if not (tags or marks):
        return
    if format in aac.FORMATS:
        mp4.mark(path, tags, marks, seconds)
        return
    if format == "wav":
        with open(path, "r+b") as file:
            _wav(file, tags.title, marks)
        return
    with part_file(path) as part, open(path, "rb") as old, open(part, "xb") as new:
        if format == "mp3":
            new.write(_id3(tags, marks, seconds))
        elif format == "flac":
            _flac(old, new, _comments(tags, marks), tags.cover)
        else:
            _ogg(old, new, _comments(tags, marks) + _picture_comment(tags.cover))
        shutil.copyfileobj(old, new, 1 << 20)


# --- mp3 -------------------------------------------------------------------------------------------------------------


def _id3(tags: Tags, marks: Sequence[Mark], seconds: float) -> bytes:
    texts = {
        "TIT2": tags.title,
        "TPE1": tags.author,
        "TPE2": tags.author,
        "TALB": tags.shown_album,
        "TCOM": tags.narrator,  # the composer: where most audiobook players look for the narrator
        "TYER": tags.year,
        "TRCK": f"{tags.track}/{tags.tracks}" if tags.tracks else str(tags.track or ""),
        "TCON": tags.genre,
    }
    frames = b"".join(_text_frame(name, text) for name, text in texts.items() if text)
    for key, text in (("NARRATOR", tags.narrator), ("SERIES", tags.series), ("SERIES-PART", tags.part)):
        frames += _frame("TXXX", b"\x01" + f"{key}\0".encode("utf-16") + text.encode("utf-16")) if text else b""
    if tags.cover:
        head = b"\0" + image_type(tags.cover).encode() + b"\0" + bytes([_FRONT_COVER]) + b"\0"
        frames += _frame("APIC", head + tags.cover)
    ids = [f"ch{number}".encode() + b"\0" for number in range(1, len(marks) + 1)]
    if 0 < len(marks) < 256:  # a table of contents counts in one byte; players find the chapters without it
        flags = 0b11  # top level, in order
        frames += _frame("CTOC", b"toc\0" + bytes([flags, len(marks)]) + b"".join(ids))
    ends = [m.start for m in marks[1:]] + [seconds] * bool(marks)
    for id, m, end in zip(ids, marks, ends, strict=True):
        unknown = 0xFFFFFFFF  # byte offset: players use the time
        times = struct.pack(">4I", round(1000 * m.start), round(1000 * end), unknown, unknown)
        frames += _frame("CHAP", id + times + _text_frame("TIT2", m.title))
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frames


def _frame(name: str, body: bytes) -> bytes:
    return name.encode() + struct.pack(">IH", len(body), 0) + body


def _text_frame(name: str, text: str) -> bytes:
    return _frame(name, b"\x01" + text.encode("utf-16"))  # with a byte order mark, as version 2.3 requires


# --- flac and ogg ----------------------------------------------------------------------------------------------------


def _comments(tags: Tags, marks: Sequence[Mark]) -> list[bytes]:
    texts = {
        "TITLE": tags.title,
        "ARTIST": tags.author,
        "ALBUMARTIST": tags.author,
        "ALBUM": tags.shown_album,
        "COMPOSER": tags.narrator,
        "NARRATOR": tags.narrator,
        "DATE": tags.year,
        "SERIES": tags.series,
        "SERIES-PART": tags.part,
        "TRACKNUMBER": str(tags.track or ""),
        "TRACKTOTAL": str(tags.tracks or ""),
        "GENRE": tags.genre,
    }
    found = [f"{name}={text}" for name, text in texts.items() if text]
    for number, m in enumerate(marks, 1):
        ms = round(1000 * m.start)
        time = f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
        found += [f"CHAPTER{number:03d}={time}", f"CHAPTER{number:03d}NAME={m.title}"]
    return [comment.encode() for comment in found]


def _with_comments(block: bytes, comments: list[bytes]) -> bytes:
    """Append our comments to a Vorbis comment block, which begins with its vendor, and drop its padding."""
    (vendor,) = struct.unpack_from("<I", block)
    (count,) = struct.unpack_from("<I", block, 4 + vendor)
    end = 8 + vendor
    for _ in range(count):
        end += 4 + struct.unpack_from("<I", block, end)[0]
    added = b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    return block[: 4 + vendor] + struct.pack("<I", count + len(comments)) + block[8 + vendor : end] + added


def _picture(cover: bytes) -> bytes:
    """Return a cover as FLAC's block for pictures. Its size and depth are left at 0, unknown."""
    kind = image_type(cover).encode()
    return struct.pack(">II", _FRONT_COVER, len(kind)) + kind + struct.pack(">6I", 0, 0, 0, 0, 0, len(cover)) + cover


def _picture_comment(cover: bytes) -> list[bytes]:
    return [b"METADATA_BLOCK_PICTURE=" + base64.b64encode(_picture(cover))] if cover else []


def _flac(old: BinaryIO, new: BinaryIO, comments: list[bytes], cover: bytes) -> None:
    """Copy the head of the file, up to the sound, with the comments."""
    new.write(old.read(4))  # fLaC
    blocks, last = [], False
    while not last:
        head = old.read(4)
        kind, last = head[0] & 0x7F, bool(head[0] & 0x80)
        blocks.append((kind, old.read(int.from_bytes(head[1:], "big"))))
    own = next((body for kind, body in blocks if kind == 4), struct.pack("<I8sI", 8, b"vivavoce", 0))
    rest = [block for block in blocks[1:] if block[0] not in (1, 4)]  # 1 is padding
    pictures = [(6, _picture(cover))] if cover else []
    blocks = [blocks[0], (4, _with_comments(own, comments)), *pictures, *rest]
    for kind, body in blocks:
        last = body is blocks[-1][1]
        new.write(bytes([kind | 0x80 * last]) + len(body).to_bytes(3, "big") + body)


def _ogg(old: BinaryIO, new: BinaryIO, comments: list[bytes]) -> None:
    """Copy the first two pages, the Opus header and its tags, with the comments.

    Where the tags take several pages, the rest of the file is copied, too, because its pages are counted.
    """
    head, body = _page(old)
    new.write(head + body)
    head, tags = _page(old)
    packet = tags[:8] + _with_comments(tags[8:], comments)  # after OpusTags
    if len(packet) > _OGG_TAGS:
        raise ValueError(
            f"the tags have {len(packet) / 1e6:.0f} MB; an Ogg file holds {_OGG_TAGS / 1e6:.0f} MB of them"
        )
    pages = list(_pages(head, packet))
    for page in pages:
        new.write(page)
    while len(pages) > 1:
        head, body = _page(old)
        if not head:
            return
        number = struct.unpack_from("<I", head, 18)[0] + len(pages) - 1
        new.write(_sealed(head[:18] + struct.pack("<I", number) + head[22:] + body))


def _pages(head: bytes, packet: bytes) -> Iterator[bytes]:
    """Yield pages with a packet, numbered from that of `head` on."""
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    (first,) = struct.unpack_from("<I", head, 18)
    for index, start in enumerate(range(0, len(lacing), 255)):
        part = lacing[start : start + 255]
        flags = 1 if index else head[5]  # 1: continues a packet
        position = head[6:14] if start + 255 >= len(lacing) else b"\xff" * 8  # no packet ends on this page
        data = packet[index * _OGG_PAGE : (index + 1) * _OGG_PAGE]
        number = struct.pack("<I", first + index)
        yield _sealed(
            head[:5] + bytes([flags]) + position + head[14:18] + number + bytes(4) + bytes([len(part)]) + part + data
        )


def _sealed(page: bytes) -> bytes:
    """Return a page with its checksum."""
    page = page[:22] + bytes(4) + page[26:]
    return page[:22] + struct.pack("<I", page_checksum(page)) + page[26:]


def _page(file: BinaryIO) -> tuple[bytes, bytes]:
    """Read a page: its head with the segment table, and its body. Both are empty at the end of the file."""
    head = file.read(27)
    lacing = file.read(head[26]) if head else b""
    return head + lacing, file.read(sum(lacing))


# --- wav -------------------------------------------------------------------------------------------------------------


def _wav(file: BinaryIO, title: str, marks: Sequence[Mark]) -> None:
    """Append chunks after the sound."""
    file.seek(24)
    (rate,) = struct.unpack("<I", file.read(4))
    added = b""
    if marks:
        points = [(number, round(m.start * rate)) for number, m in enumerate(marks, 1)]
        cues = (struct.pack("<II4sIII", number, at, b"data", 0, 0, at) for number, at in points)
        labels = (_chunk(b"labl", struct.pack("<I", i) + m.title.encode() + b"\0") for i, m in enumerate(marks, 1))
        added += _chunk(b"cue ", struct.pack("<I", len(marks)) + b"".join(cues))
        added += _chunk(b"LIST", b"adtl" + b"".join(labels))
    if title:
        added += _chunk(b"LIST", b"INFO" + _chunk(b"INAM", title.encode() + b"\0"))
    end = file.seek(0, os.SEEK_END)
    file.write(added)
    file.seek(4)
    file.write(struct.pack("<I", end + len(added) - 8))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
