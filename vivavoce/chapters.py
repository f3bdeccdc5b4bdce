"""Chapters and a title, written into a sound file that is complete: mp3, flac, ogg, opus and wav, each in its own way.

    mp3          ID3v2.3: frames CHAP and CTOC (ID3v2 Chapter Frame Addendum 1.0)
    flac         Vorbis comments CHAPTER001=00:00:00.000 and CHAPTER001NAME=… (Xiph's chapter extension)
    ogg, opus    the same, in the tags of Opus (RFC 7845)
    wav          a cue point with a label for each

libsndfile, which writes the files, knows no chapters, and the libraries for tags are under the GPL.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TITLE = 200  # characters of a title that are written
_OGG_PACKET = 254 * 255  # bytes of tags that are sure to fit into one page of an Ogg file


@dataclass(frozen=True)
class Mark:
    """A chapter of a sound: its title, and where it begins, in seconds."""

    start: float
    title: str


def mark(path: Path, format: str, title: str, marks: Sequence[Mark], seconds: float) -> None:
    """Write title and chapters into a file that libsndfile has just written in one of `audio.FORMATS`.

    seconds: how long the sound is. marks: in order, the first at 0; (): the title alone. Raises ValueError where an Ogg
    file has more chapters than its tags can hold, some 600; OSError where the system refuses to write.
    """
    marks = [Mark(m.start, " ".join(m.title.split())[:TITLE]) for m in marks]
    title = " ".join(title.split())[:TITLE]
    if not (title or marks):
        return
    if format == "wav":
        with open(path, "r+b") as file:
            _wav(file, title, marks)
        return
    into = path.with_name(f"{path.name}.marked")
    try:
        with open(path, "rb") as old, open(into, "xb") as new:
            if format == "mp3":
                new.write(_id3(title, marks, seconds))
            elif format == "flac":
                _flac(old, new, _comments(title, marks))
            else:
                _ogg(old, new, _comments(title, marks))
            shutil.copyfileobj(old, new, 1 << 20)
        os.replace(into, path)
    finally:
        into.unlink(missing_ok=True)


# --- mp3 -------------------------------------------------------------------------------------------------------------


def _id3(title: str, marks: Sequence[Mark], seconds: float) -> bytes:
    frames = _text_frame("TIT2", title) if title else b""
    names = [f"ch{number}".encode() + b"\0" for number in range(1, len(marks) + 1)]
    if 0 < len(marks) < 256:  # a table of contents counts in one byte; players find the chapters without it, too
        flags = 0b11  # top level, in order
        frames += _frame("CTOC", b"toc\0" + bytes([flags, len(marks)]) + b"".join(names))
    ends = [m.start for m in marks[1:]] + [seconds] * bool(marks)
    for name, m, end in zip(names, marks, ends, strict=True):
        unknown = 0xFFFFFFFF  # place in bytes: by time instead
        times = struct.pack(">4I", round(1000 * m.start), round(1000 * end), unknown, unknown)
        frames += _frame("CHAP", name + times + _text_frame("TIT2", m.title))
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frames


def _frame(name: str, body: bytes) -> bytes:
    return name.encode() + struct.pack(">IH", len(body), 0) + body


def _text_frame(name: str, text: str) -> bytes:
    return _frame(name, b"\x01" + text.encode("utf-16"))  # with its byte order mark, as version 2.3 has it


# --- flac and ogg ----------------------------------------------------------------------------------------------------


def _comments(title: str, marks: Sequence[Mark]) -> list[bytes]:
    found = [f"TITLE={title}"] if title else []
    for number, m in enumerate(marks, 1):
        ms = round(1000 * m.start)
        time = f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
        found += [f"CHAPTER{number:03d}={time}", f"CHAPTER{number:03d}NAME={m.title}"]
    return [comment.encode() for comment in found]


def _with_comments(block: bytes, comments: list[bytes]) -> bytes:
    """A Vorbis comment block, which begins with who wrote it, with our comments after its own and without padding."""
    (vendor,) = struct.unpack_from("<I", block)
    (count,) = struct.unpack_from("<I", block, 4 + vendor)
    end = 8 + vendor
    for _ in range(count):
        end += 4 + struct.unpack_from("<I", block, end)[0]
    added = b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    return block[: 4 + vendor] + struct.pack("<I", count + len(comments)) + block[8 + vendor : end] + added


def _flac(old: BinaryIO, new: BinaryIO, comments: list[bytes]) -> None:
    """The head of the file, up to the sound."""
    new.write(old.read(4))  # fLaC
    blocks, last = [], False
    while not last:
        head = old.read(4)
        kind, last = head[0] & 0x7F, bool(head[0] & 0x80)
        blocks.append((kind, old.read(int.from_bytes(head[1:], "big"))))
    own = next((body for kind, body in blocks if kind == 4), struct.pack("<I8sI", 8, b"vivavoce", 0))
    rest = [block for block in blocks[1:] if block[0] not in (1, 4)]  # 1 is padding
    blocks = [blocks[0], (4, _with_comments(own, comments)), *rest]
    for kind, body in blocks:
        last = body is blocks[-1][1]
        new.write(bytes([kind | 0x80 * last]) + len(body).to_bytes(3, "big") + body)


def _ogg(old: BinaryIO, new: BinaryIO, comments: list[bytes]) -> None:
    """The first two pages: what Opus is, and its tags."""
    head, body = _page(old)
    new.write(head + body)
    head, tags = _page(old)
    packet = tags[:8] + _with_comments(tags[8:], comments)  # after OpusTags
    if len(packet) > _OGG_PACKET:
        raise ValueError(f"{len(comments) // 2} chapters are more than the tags of an Ogg file can hold")
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    page = head[:22] + b"\0\0\0\0" + bytes([len(lacing)]) + lacing + packet
    new.write(page[:22] + struct.pack("<I", _crc(page)) + page[26:])


def _page(file: BinaryIO) -> tuple[bytes, bytes]:
    """A page's head with its table of segments, and what is in it."""
    head = file.read(27)
    lacing = file.read(head[26])
    return head + lacing, file.read(sum(lacing))


def _crc(page: bytes) -> int:
    """Ogg's checksum (RFC 3533): polynomial 0x04c11db7, from 0, not reflected."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


# --- wav -------------------------------------------------------------------------------------------------------------


def _wav(file: BinaryIO, title: str, marks: Sequence[Mark]) -> None:
    """More chunks after the sound."""
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
