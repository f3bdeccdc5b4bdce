"""Bytes to text: UTF-8, what a byte order mark or a declaration names, or the encoding that fits best."""

from __future__ import annotations

import codecs
import re
import warnings

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]+)|<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]+)"""
)
_SAMPLE = 100_000  # bytes from which an encoding is guessed


def decode(data: bytes, name: str) -> str:
    """Return the text of a file. Warns if its encoding had to be guessed. Raises ValueError if it is not text."""
    text, notice = decode_with_notice(data, name)
    if notice:
        warnings.warn(notice, stacklevel=2)
    return text


def decode_with_notice(data: bytes, name: str, declared: bool = False) -> tuple[str, str]:
    """Return the text of a file, and a notice about its encoding, "" for UTF-8 and for a stated encoding.

    declared: the file may state its encoding as XML and HTML do. Raises ValueError, naming the file, if it is not text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace").lstrip("\ufeff"), ""
    if declared and (found := _DECLARED.search(data[:2048])):
        encoding = (found[1] or found[2]).decode("ascii")
        stated = _decode(data, "cp1252" if encoding.lower() in ("iso-8859-1", "latin1", "us-ascii") else encoding)
        if stated is not None:
            return stated, ""
    text = _decode(data, "utf-8")
    if text is not None and "\0" not in text:
        return text, ""
    guess = _guess(data)
    text = None if guess is None else _decode(data, guess)
    if text is None or guess is None:
        raise ValueError(f"{name} is not text in a known encoding, and not a book in a known format")
    return text.lstrip("\ufeff"), f"{name} is not UTF-8; it is read as {_NAMES.get(guess, guess)}"


_NAMES = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


def _decode(data: bytes, encoding: str) -> str | None:
    """Return None if the encoding is unknown or does not fit. Data without a NUL is not UTF-16."""
    if encoding.lower().replace("-", "").startswith(("utf16", "ucs2")) and b"\0" not in data[:100]:
        return None
    try:
        # Windows-1252 leaves five bytes undefined; the files have them all the same
        text = data.decode(encoding, "replace" if encoding == "cp1252" else "strict")
    except (UnicodeDecodeError, LookupError, ValueError):
        return None
    return text if isinstance(text, str) else None


def _guess(data: bytes) -> str | None:
    sample = data[:_SAMPLE]
    zeros = sample.count(0)
    if zeros > 0.2 * len(sample):
        even = sample[::2].count(0)
        return "utf-16-be" if even > zeros / 2 else "utf-16-le"
    controls = sum(sample.count(byte) for byte in range(32) if byte not in b"\t\n\r\f\x1a\x1b")
    if controls > 0.001 * len(sample):
        return None
    high = sum(byte >= 0x80 for byte in sample)
    western = sample.decode("cp1252", "replace")
    plausible = sum(c.isalpha() or c in "‘’“”„…–—«»¿¡°§£€©·\xa0½¼¾²³" for c in western if c >= "\x80")
    if high < 0.25 * len(sample) and plausible > 0.9 * high:
        return "cp1252"
    from charset_normalizer import from_bytes  # slow to import, and seldom needed

    best = from_bytes(sample).best()
    return None if best is None else best.encoding
