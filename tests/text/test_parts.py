"""Readings from tags and the lexicon are words of their own, whatever marks stand beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.text.formats import parse
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.parts import normalise_parts
from vivavoce.text.segments import Segment

TABLE = Path(__file__).parents[1] / "data" / "lexicon.tsv"
LEXICON = Lexicon({"OpenAI": "open a i", "nginx": "engine ex", "GIF": "jif", "repo": "ree poe"})


def spoken(text: str) -> str:
    return normalise_parts(parse(text, lexicon=LEXICON), "en")[0]


@pytest.mark.parametrize(
    ("written", "words"), [row.split("\t") for row in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
)
def test_a_reading_stays_a_word_of_its_own(written: str, words: str) -> None:
    assert spoken(written) == words


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("[say:run|run]ning", "running"),  # nothing between them: one word
        ("[say:run|run][say:up|up]", "run up"),
        ("[es]Hola[en], friends", "Hola, friends"),
        ("[es]uno[en]*two", "uno two"),
        ("[es]uno[en]two", "unotwo"),
        ("[es]1[en] or 1", "Uno or one"),
    ],
)
def test_stretches_join_as_they_are_written(written: str, words: str) -> None:
    assert spoken(written) == words


def test_languages_and_changes_are_those_of_the_parts() -> None:
    parts = [Segment("5 "), Segment("oui", lang="fr"), Segment("ex kay", literal=True)]
    text, marks, changes = normalise_parts(parts, "en")
    assert text == "Five ouiex kay"
    assert tuple(code for code, _ in marks) == ("en",) * 4 + ("fr",) * 3 + ("en",) * 5
    assert [(change.before, change.after) for change in changes] == [("5", "Five")]


MARKS = st.text(alphabet="*_`~|♥™®🙂\u200b^·<>@#&/+.,;:!?()\"' \t", max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(MARKS, MARKS, MARKS)
def test_marks_never_glue_a_reading_to_a_word(before: str, between: str, after: str) -> None:
    words = spoken(f"Use {before}OpenAI{between}now{after}")
    if between.strip("_") and between.strip("'"):
        assert re.search(r"\bopen a i\b", words), words
