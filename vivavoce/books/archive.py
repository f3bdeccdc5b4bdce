"""The zip archive of an epub, docx or odt, read within limits. Nothing in it is written to disk."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import TreeBuilder

import defusedxml
from defusedxml import ElementTree

from vivavoce.books.book import MAX_BYTES
from vivavoce.books.decode import decode_with_notice

MAX_MEMBERS = 20_000
MAX_ELEMENTS = 300_000  # of a package document or a table of contents
MAX_TEXT_ELEMENTS = 3_000_000  # of the text of a docx or odt: a million words have as many


class Archive:
    """An archive. kind: for messages, such as "epub". limit: bytes of all text that is read from it.

    All methods raise ValueError, naming the file, for what is damaged, encrypted or too large.
    """

    def __init__(self, path: Path, name: str, kind: str, limit: int | None = None) -> None:
        self.name, self.kind = name, kind
        self._limit = self._left = MAX_BYTES if limit is None else limit
        try:
            self._zip = zipfile.ZipFile(path)
            self._members = {info.filename: info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError) as error:
            reason = "it is not a zip file" if isinstance(error, zipfile.BadZipFile) else f"{error}"
            article = "an" if kind[0] in "aeiou" else "a"
            raise ValueError(f"{name} is not {article} {kind}: {reason}") from None
        if len(self._members) > MAX_MEMBERS:
            self._zip.close()
            raise ValueError(f"{name} has {len(self._members)} files in it; at most {MAX_MEMBERS} are read")

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def read(self, path: str) -> bytes:
        info = self._members.get(path)
        if info is None:
            raise ValueError(f"{self.name} is damaged: the file {path!r} that it names is missing")
        if info.flag_bits & 1:
            raise ValueError(f"{self.name} is protected by a password; it cannot be read")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{self.name}: {path!r} in it is compressed by a method that {self.kind} does not allow")
        try:
            with self._zip.open(info) as file:
                data = file.read(self._left + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, zlib.error) as error:
            raise ValueError(f"{self.name}: {path!r} in it cannot be unpacked ({error})") from None
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"{self.name} has more than {self._limit / 1e6:g} MB of text in it; it is not read")
        return data

    def text(self, path: str) -> str:
        """Return the text of an XML or HTML file, in the encoding that it declares."""
        return decode_with_notice(self.read(path), f"{self.name}: {path!r} in it", declared=True)[0]

    def xml(self, path: str, elements: int = MAX_ELEMENTS) -> Any:
        """Return the root element of an XML file with at most so many elements."""
        data = self.read(path)
        parser = ElementTree.DefusedXMLParser(target=_CountingBuilder(elements))
        try:
            for start in range(0, len(data), 65_536):
                parser.feed(data[start : start + 65_536])
            return parser.close()
        except _TooManyElements:
            raise ValueError(f"{self.name}: {path!r} in it has more than {elements:,} elements") from None
        except (ElementTree.ParseError, defusedxml.DefusedXmlException, LookupError, ValueError) as error:
            raise ValueError(f"{self.name}: {path!r} in it is not well-formed XML ({error})") from None


class _TooManyElements(Exception):
    pass


class _CountingBuilder(TreeBuilder):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit

    def start(self, tag: Any, attributes: Any, /) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooManyElements
        return super().start(tag, attributes)


def named(element: Any, name: str) -> Iterator[Any]:
    """Yield the elements with this name in any namespace."""
    return (e for e in element.iter() if local_name(e) == name)


def local_name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def resolve(base: str, reference: str) -> tuple[str, str]:
    """Return the path in the archive that a reference in the file `base` names, and its anchor; ("", "") if neither."""
    try:
        parts = urlsplit(reference)
    except ValueError:  # such as an unclosed bracket in a host
        return "", ""
    if parts.scheme or parts.netloc:
        return "", ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(parts.path))) if parts.path else base
    return path, unquote(parts.fragment)
