"""A row of a batch: a text, and what is special about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COLUMNS = ("text", "id", "voice", "lang", "speed", "seed", "reference")


@dataclass(frozen=True)
class Row:
    """One text to speak. None: as the options of the batch say."""

    number: int  # from 1
    id: str
    text: str
    voice: str | None = None  # a built-in voice
    lang: str | None = None
    speed: float | None = None
    seed: int | None = None
    reference: str | None = None  # a recording whose voice is cloned; relative to the table's folder


def parse_row(number: int, values: dict[str, Any]) -> Row:
    """Check the values of a row. Raises ValueError: why it cannot be spoken."""
    text = values.get("text", "")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("the text is empty")
    if "voice" in values and "reference" in values:
        raise ValueError("a row has either a voice or a reference, not both")
    return Row(
        number=number,
        id=row_id(number, values),
        text=text,
        voice=_text(values, "voice"),
        lang=_text(values, "lang"),
        speed=_number(values, "speed", float),
        seed=_number(values, "seed", int),
        reference=_text(values, "reference"),
    )


def row_id(number: int, values: dict[str, Any]) -> str:
    """Return the id of a row, its number if it has none."""
    return str(values["id"]) if "id" in values else f"{number:09d}"


def _text(values: dict[str, Any], name: str) -> str | None:
    return str(values[name]).strip() if name in values else None


def _number(values: dict[str, Any], name: str, kind: type) -> Any:
    if name not in values:
        return None
    try:
        number = kind(values[name])
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {values[name]!r}; it must be a number") from None
    if kind is int and number != float(values[name]):
        raise ValueError(f"{name} is {values[name]!r}; it must be a whole number")
    return number
