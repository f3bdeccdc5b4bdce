"""A text stream is cut at the ends of sentences, however it is delivered; segments become blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.blocks import FIRST_CLAUSE, UNENDING, WAITING, Block, blocks, chunks
from vivavoce.text.formats import parse

TEXT = (
    'Dr. Smith went to St. James with his friend, and paid $3.50 at 10:30! "Really?" she asked. Yes. No. [pause 500ms] '
    "And then [voice:nash] nothing. [say:Dr. Who|doctor who] came.\n\nA new paragraph, here: with things. Short.\n\n"
    "The U.S. Navy went on and on… and on. The end"
)


def texts(found: Iterator[object]) -> list[str]:
    return [chunk.text.strip() for chunk in found]  # type: ignore[attr-defined]


def test_a_stream_is_cut_at_the_ends_of_sentences_only() -> None:
    assert texts(chunks([TEXT])) == [
        "Dr. Smith went to St. James with his friend,",  # the first may be a clause, to be heard soon
        "and paid $3.50 at 10:30!",
        '"Really?" she asked. Yes.',  # a few words alone wait for more
        "No. [pause 500ms] And then [voice:nash] nothing.",
        "[say:Dr. Who|doctor who] came.",
        "A new paragraph, here: with things.",
        "Short.",
        "The U.S. Navy went on and on… and on.",
        "The end",
    ]
    assert [chunk.paragraph for chunk in chunks([TEXT])] == [False] * 4 + [True, False, True, False, False]
    assert [chunk.more for chunk in chunks([TEXT])] == [True] * 8 + [False]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60))
def test_chunks_do_not_depend_on_how_the_text_arrives(sizes: list[int]) -> None:
    rest, parts = TEXT, []
    for size in itertools.cycle(sizes):
        if not rest:
            break
        parts.append(rest[:size])
        rest = rest[size:]
    assert texts(chunks(parts)) == texts(chunks([TEXT]))


@given(st.text(alphabet=" ab.,!?[]:\n\"'", max_size=200), st.integers(1, 30))
def test_chunks_lose_nothing_but_space(text: str, size: int) -> None:
    found = chunks([text[i : i + size] for i in range(0, len(text), size)])
    assert "".join("".join(chunk.text.split()) for chunk in found) == "".join(text.split())


def test_a_sentence_is_there_soon_after_its_end() -> None:
    taken = 0

    def characters() -> Iterator[str]:
        nonlocal taken
        for c in f"This is the first sentence of all. {'And so it goes on. ' * 9}":
            taken += 1
            yield c

    first = next(chunks(characters()))
    assert first.text == "This is the first sentence of all." and taken < 70


def test_text_without_ends_is_cut_at_a_space() -> None:
    found = texts(chunks(["word " * 400]))
    assert " ".join(found) == ("word " * 400).strip()
    assert all(WAITING < len(text) <= UNENDING + WAITING for text in found[:-1])


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="type int"):
        list(chunks(["one", 2]))  # type: ignore[list-item]


def test_a_first_clause_of_25_characters_is_a_chunk_and_a_shorter_one_is_not() -> None:
    rest = "and then it went on for a while, until it ended."
    long_enough, too_short = "It was raining on a day,,", "It was raining that day,"
    assert (len(long_enough), len(too_short)) == (25, 24)
    assert texts(chunks([f"{long_enough} {rest}"]))[0] == long_enough
    assert texts(chunks([f"{too_short} {rest}"]))[0] == f"{too_short} and then it went on for a while,"


def test_a_clause_is_no_end_after_the_first_chunk() -> None:
    clause = "It was raining on that day,"
    assert len(clause) > FIRST_CLAUSE
    assert texts(chunks([f"{clause} {clause} {clause} so we stayed."])) == [clause, f"{clause} {clause} so we stayed."]


def said(found: list[Block]) -> list[str]:
    return [block.text.strip() for block in found]


def test_blocks_end_where_voice_or_speed_change_at_pauses_and_with_paragraphs() -> None:
    found = list(
        blocks(parse("One [fr]deux[en] three. [pause 1s]Four.\n\n[voice:nash]Five. [speed:0.5]Six.\n\nSeven."))
    )
    assert said(found) == ["One deux three.", "Four.", "Five.", "Six.", "Seven."]
    assert [block.pause for block in found] == [1.0, None, None, None, None]
    assert [block.paragraph for block in found] == [False, True, False, True, False]
    assert [block.more for block in found] == [True, True, True, True, False]
    assert [part.lang for part in found[0].parts] == [None, "fr", "en"]
    assert sum(block.share for block in found) == pytest.approx(1.0)


def test_a_pause_at_the_end_of_a_paragraph_is_the_one_that_was_asked_for() -> None:
    first = next(blocks(parse("One.[pause 2s]\n\nTwo.")))
    assert (first.text.strip(), first.pause) == ("One.", 2.0)


def test_a_long_paragraph_is_several_blocks_of_whole_sentences() -> None:
    sentence = "This is one of very many sentences. "
    found = list(blocks(parse(sentence * 200)))
    assert len(found) > 2 and "".join(said(found)).count("This") == 200
    assert all(block.text.strip().endswith("sentences.") and not block.paragraph for block in found)


@pytest.mark.parametrize("gap", ["", " ", "\n", "\n\n", " " * 40])
@pytest.mark.parametrize("tag", ["[pause 1s]", "[pause ]", "[pa", "[pause 60s][pause 60s]", "[fr]"])
def test_a_pause_after_a_sentence_is_cut_alike_in_pieces(gap: str, tag: str) -> None:
    text = f"The rain has stopped at last.{gap}{tag} Then the boats came in."
    whole = [chunk.text for chunk in chunks([text])]
    for size in (1, 3, 7):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [chunk.text for chunk in chunks(pieces)] == whole
