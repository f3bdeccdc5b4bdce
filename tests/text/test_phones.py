"""Phones beside letters: the dictionary, where a word's phones are placed, and the ids that a model gets."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from vivavoce.text import ssml
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.markup import MarkupParser
from vivavoce.text.phones import (
    SILENT,
    UNKNOWN,
    PhoneChannel,
    PhoneDictionary,
    learn_costs,
    place,
)
from vivavoce.text.pronunciation import parse_pronunciation, split_phones
from vivavoce.text.segments import Segment

ENGLISH = PhoneDictionary.load("en")
assert ENGLISH is not None
INVENTORY = ("b", "k", "s", "z", "t", "d", "ˈɑ", "ˈæ", "ᵻ", "l")


def letters(word: str) -> dict[str, str]:
    """Each letter of an English word with its phones, such as {"b0": "b"}."""
    assert ENGLISH is not None
    phones = ENGLISH.find(word)
    assert phones is not None, word
    placed = ENGLISH.place(word, phones)
    assert placed is not None
    return {f"{letter}{i}": "".join(own) for i, (letter, own) in enumerate(zip(word, placed, strict=True))}


@pytest.fixture
def tiny() -> PhoneDictionary:
    sounds = {"b": "b", "o": "ɑ", "x": "ks", "c": "k", "a": "æ", "t": "t", "s": "s"}
    costs = {letter: {phones: 0.1, "": 3.0} for letter, phones in sounds.items()}
    return PhoneDictionary("box\tbˈɑks\ncat\tkˈæt\n".encode(), costs, inflected=True)


def test_a_transcription_splits_into_symbols_with_their_stress() -> None:
    assert split_phones("kwˈɛsʧᵊn") == ("k", "w", "ˈɛ", "s", "ʧ", "ᵊ", "n")


@pytest.mark.parametrize(
    ("written", "symbols"),
    [
        ("EH1 N JH IH0 N", "ˈɛnʤɪn"),
        ("HH AH0 L OW1", "həlˈO"),
        ("ˈɛndʒɪn", "ˈɛnʤɪn"),
        ("həˈloʊ", "həlˈO"),
        ("ˈtʃɜːrtʃ", "ʧˈɜɹʧ"),
        (" ˌɪntəˈneɪʃən ", "ˌɪntənˈAʃən"),
        ("kwˈɛsʧᵊn", "kwˈɛsʧᵊn"),
    ],
)
def test_ipa_and_arpabet_become_the_dictionarys_symbols(written: str, symbols: str) -> None:
    assert parse_pronunciation(written) == symbols


@pytest.mark.parametrize(
    ("written", "fault"),
    [("XX1 N", "'XX1' is not a phone"), ("ʢa", "contains 'ʢ'"), (" ", "has no phone"), ("ˈ", "no phone")],
)
def test_what_is_no_pronunciation_is_refused(written: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_pronunciation(written)


def test_phones_go_to_the_letters_that_write_them() -> None:
    assert letters("box") == {"b0": "b", "o1": "ˈɑ", "x2": "ks"}
    assert letters("island")["s1"] == "" and letters("island")["i0"] == "ˈI"
    assert letters("psychology")["p0"] == "" and letters("psychology")["h4"] == ""
    assert letters("isn't")["'3"] == ""


@pytest.mark.parametrize("word", ["question", "beautiful", "queue", "knee", "xylophone", "one", "enough"])
def test_no_phone_is_lost(word: str) -> None:
    assert ENGLISH is not None
    assert "".join(letters(word).values()) == "".join(ENGLISH.find(word) or ())


@pytest.mark.parametrize(
    ("word", "ending"), [("prisoners", "əɹz"), ("agents", "ts"), ("watches", "ʧᵻz"), ("testified", "ˌId")]
)
def test_inflected_words_sound_like_their_stem_and_ending(word: str, ending: str) -> None:
    assert ENGLISH is not None
    assert "".join(ENGLISH.find(word) or ()).endswith(ending)


@pytest.mark.parametrize("word", ["read", "record", "the", "zzyzxq", ""])
def test_words_without_one_pronunciation_are_unknown(word: str) -> None:
    assert ENGLISH is not None
    assert ENGLISH.find(word) is None


def test_every_word_of_a_dictionary_is_found(tiny: PhoneDictionary) -> None:
    assert tiny.find("box") == ("b", "ˈɑ", "k", "s") and tiny.find("cat") == ("k", "ˈæ", "t")
    assert tiny.find("cats") == ("k", "ˈæ", "t", "s") and tiny.find("box's") == ("b", "ˈɑ", "k", "s", "ᵻ", "z")
    assert tiny.find("a") is None and tiny.find("zoo") is None


def test_more_phones_than_the_letters_can_hold_are_not_placed(tiny: PhoneDictionary) -> None:
    assert tiny.place("b", ["b", "k", "s"]) is None
    assert tiny.place("'", []) is None


def test_a_words_phones_reach_only_that_word(tiny: PhoneDictionary) -> None:
    channel = PhoneChannel(INVENTORY, {"en": tiny})
    text = " a box, cat-box zoo's. "
    ids = channel.ids(text, ["en"] * len(text))
    assert ids.shape == (len(text), 2)
    for name, start in (("box", 3), ("cat", 8), ("box", 12)):
        assert (ids[start : start + len(name), 0] != UNKNOWN).all()
    inside = np.zeros(len(text), bool)
    inside[[3, 4, 5, 8, 9, 10, 12, 13, 14]] = True
    assert not ids[~inside].any()
    assert ids[5].tolist() == [INVENTORY.index("k") + 2, INVENTORY.index("s") + 2]
    assert (ids[3:6] == ids[12:15]).all()


def test_only_the_language_of_a_dictionary_has_phones(tiny: PhoneDictionary) -> None:
    channel = PhoneChannel(INVENTORY, {"en": tiny})
    text = "box box"
    ids = channel.ids(text, ["fr"] * 4 + ["en"] * 3)
    assert not ids[:4].any() and ids[4:, 0].all()


def test_a_given_pronunciation_replaces_the_dictionarys(tiny: PhoneDictionary) -> None:
    channel = PhoneChannel(INVENTORY, {"en": tiny})
    text = "box cat"
    ids = channel.ids(text, ["en"] * 7, [(0, 3, "bˈɑ")])
    assert ids[:3, 0].tolist() == [2, INVENTORY.index("ˈɑ") + 2, SILENT]
    assert (ids[4:] == channel.ids(text, ["en"] * 7)[4:]).all()


def test_a_phone_that_the_model_lacks_leaves_the_word_to_its_letters(tiny: PhoneDictionary) -> None:
    assert not PhoneChannel(("b", "k"), {"en": tiny}).ids("box", ["en"] * 3).any()


def test_a_channel_travels_to_another_process() -> None:
    channel = PhoneChannel(("b", "k", "s", "ˈɑ"))
    again = pickle.loads(pickle.dumps(channel))
    assert (again.ids("box", ["en"] * 3) == channel.ids("box", ["en"] * 3)).all() and again.ids("box", ["en"] * 3).any()


def test_costs_are_learned_from_words_alone() -> None:
    entries = [("cab", "kæb"), ("back", "bæk"), ("box", "bɑks"), ("ox", "ɑks"), ("cob", "kɑb"), ("tax", "tæks")]
    entries += [("tab", "tæb"), ("cat", "kæt"), ("bat", "bæt"), ("cot", "kɑt"), ("tack", "tæk")]
    costs = learn_costs([(word, tuple(phones)) for word, phones in entries])
    table = {letter: {tuple(phones): cost for phones, cost in row.items()} for letter, row in costs.items()}
    assert place("back", tuple("bæk"), table) == (("b",), ("æ",), (), ("k",))
    assert place("cab", tuple("kæb"), table) == (("k",), ("æ",), ("b",))


def test_a_language_without_a_dictionary_has_none_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert PhoneDictionary.load("xx") is None
    (tmp_path / "yy.tsv.gz").write_bytes(gzip.compress(b"a\tb\n"))
    (tmp_path / "yy.json").write_text("{")
    with pytest.raises(ValueError, match=r"yy\.tsv\.gz: not a readable pronunciation dictionary"):
        PhoneDictionary.load("yy", tmp_path)
    (tmp_path / "yy.json").write_text(json.dumps({"a": {"b": 0.1}}))
    found = PhoneDictionary.load("yy", tmp_path)
    assert found is not None and found.find("a") == ("b",)


# ---- pronunciations that a user gives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "segments",
    [
        MarkupParser().parse("Install [say:nginx|/ˈɛndʒɪnˌɛks/] now."),
        MarkupParser(Lexicon({"nginx": "/EH1 N JH IH0 N EH2 K S/"})).parse("Install nginx now."),
        ssml.parse('<speak>Install <phoneme ph="ˈɛndʒɪnˌɛks">nginx</phoneme> now.</speak>'),
        ssml.parse(
            '<speak>Install <phoneme alphabet="x-arpabet" ph="EH1 N JH IH0 N EH2 K S">nginx</phoneme> now.</speak>'
        ),
    ],
    ids=["say", "lexicon", "ssml", "ssml, arpabet"],
)
def test_markup_ssml_and_the_lexicon_take_pronunciations(segments: list[Segment]) -> None:
    assert [(s.text, s.phones, s.literal) for s in segments] == [
        ("Install ", "", False), ("nginx", "ˈɛnʤɪnˌɛks", True), (" now.", "", False)
    ]  # fmt: skip
    assert segments[1].changes[0].after == "/ˈɛnʤɪnˌɛks/"


def test_a_plural_of_the_lexicon_is_pronounced_as_one() -> None:
    found = MarkupParser(Lexicon({"jpeg": "/dʒeɪpɛɡ/"})).parse("Two jpegs.")
    assert [(s.text, s.phones) for s in found if s.phones] == [("jpegs", "ʤApɛɡz")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[say:New York|/njuː/]", "must be for a single word"),
        ("[say:x|/ʢ/]", "contains 'ʢ'"),
        ("[say:x|//]", "no phone"),
    ],
)
def test_a_wrong_pronunciation_names_its_place(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"line 1, column 1: .*{fault}"):
        MarkupParser().parse(text)


def test_an_unknown_alphabet_is_reported_and_the_word_read() -> None:
    segments = ssml.parse('<speak><phoneme alphabet="x-sampa" ph="e">a</phoneme></speak>')
    assert segments[0].text == "a" and not segments[0].phones
    with pytest.raises(ValueError, match="alphabet is 'x-sampa'; it must be one of ipa, x-arpabet"):
        ssml.parse('<speak><phoneme alphabet="x-sampa" ph="e">a</phoneme></speak>', strict=True)
