"""The tables of docs/how-to/text.md show how text is really read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vivavoce.text import normalise

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "text.md"


def rows() -> list[tuple[str, str, str]]:
    """(language, written, spoken) of the tables up to the section on Markdown."""
    section = PAGE.read_text(encoding="utf-8").partition("## Markdown")[0]
    cells = [
        [c.strip() for c in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| ")
    ]
    data = [row for row in cells if row[0] not in ("written", "language") and not re.fullmatch(r"[-|]+", row[0])]
    return [("en", *row) if len(row) == 2 else tuple(row) for row in data]  # type: ignore[misc]


@pytest.mark.parametrize(("lang", "written", "spoken"), rows())
def test_text_is_read_as_the_page_says(lang: str, written: str, spoken: str) -> None:
    assert normalise(written, lang)[0] == spoken


def test_the_page_has_its_tables() -> None:
    assert len(rows()) >= 25
