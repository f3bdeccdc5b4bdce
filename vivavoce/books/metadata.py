"""What an epub says about itself: author, year, series and cover, for the tags of an audiobook."""

from __future__ import annotations

import re
from typing import Any

from vivavoce.audio.tags import MAX_COVER, image_type
from vivavoce.books.archive import Archive, named, resolve
from vivavoce.books.book import About

_ROLE = "{http://www.idpf.org/2007/opf}role"
_LIBRARIES = re.compile(r"gutenberg|standard ebooks|feedbooks|wikisource", re.IGNORECASE)
_EVENT = "{http://www.idpf.org/2007/opf}event"

Refinements = dict[tuple[str, str], list[str]]  # values by the id of the element that they are of, and the property


def read_about(archive: Archive, package: str, opf: Any, items: dict[str, Any]) -> About:
    """Return what the package document says. What is missing or wrong is left empty."""
    refined = _refinements(opf)
    series, part = _series(opf, refined)
    return About(_authors(opf, refined), _year(opf), series, part, _cover(archive, package, opf, items))


def _text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def _authors(opf: Any, refined: Refinements) -> str:
    found = []
    for creator in named(opf, "creator"):
        roles = (
            [creator.get(_ROLE, "")] if creator.get(_ROLE) else refined.get((creator.get("id", ""), "role"), ["aut"])
        )
        if "aut" in roles and (name := _text(creator)):
            found.append(name)
    return ", ".join(dict.fromkeys(found))


def _year(opf: Any) -> str:
    """Return the year of publication. Digital libraries write that of their own file: it is not used."""
    origin = " ".join(_text(element) for name in ("publisher", "source") for element in named(opf, name))
    if _LIBRARIES.search(origin):
        return ""
    for date in sorted(named(opf, "date"), key=lambda date: "publication" not in date.get(_EVENT, "")):
        year = re.match(r"\d{4}", _text(date))
        if year and date.get(_EVENT, "") in ("", "publication", "original-publication"):
            return year[0]
    return ""


def _refinements(opf: Any) -> Refinements:
    """Return EPUB 3's properties of other elements."""
    found: Refinements = {}
    for meta in named(opf, "meta"):
        if meta.get("refines") and meta.get("property"):
            found.setdefault((meta.get("refines").lstrip("#"), meta.get("property")), []).append(_text(meta))
    return found


def _series(opf: Any, refined: Refinements) -> tuple[str, str]:
    """Return the series and the number in it, as EPUB 3 or Calibre writes them."""
    named_values = {meta.get("name", ""): " ".join(meta.get("content", "").split()) for meta in named(opf, "meta")}
    for meta in named(opf, "meta"):
        id = meta.get("id", "")
        if meta.get("property") == "belongs-to-collection" and "series" in refined.get((id, "collection-type"), []):
            return _text(meta), refined.get((id, "group-position"), [""])[0]
    part = named_values.get("calibre:series_index", "")
    return named_values.get("calibre:series", ""), part.removesuffix(".0")


def _cover(archive: Archive, package: str, opf: Any, items: dict[str, Any]) -> bytes:
    """Return the cover if it is a JPEG or PNG image."""
    by_name = next((meta.get("content", "") for meta in named(opf, "meta") if meta.get("name") == "cover"), "")
    marked = [item for item in items.values() if "cover-image" in item.get("properties", "").split()]
    for item in [*marked, *([items[by_name]] if by_name in items else [])]:
        path = resolve(package, item.get("href", ""))[0]
        if path in archive:
            try:
                data = archive.read(path)
            except ValueError:
                continue
            if image_type(data) and len(data) <= MAX_COVER:
                return data
    return b""
