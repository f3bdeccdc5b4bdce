"""Word error rates: what counts as an error, as skipped and as repeated."""

from __future__ import annotations

import pytest
from helpers.scoring import words

from vivavoce.metrics.dsp import spoken_letters
from vivavoce.metrics.words import word_errors


@words
@pytest.mark.parametrize(
    ("said", "heard", "wer"),
    [
        ("The cat sat on the mat.", "the cat sat on the mat", 0),
        ("There are fifteen kilometers of road.", "There are 15 kilometres of road", 0),
        ("Doctor Smith can't come.", "Dr. Smith can not come!", 0),
        ("one dog two cats", "one dog two hats", 0.25),  # normalised "1 dog 2 cats"
        ("Flight B A one seventeen leaves.", "Flight BA117 leaves.", 0),  # however the recogniser writes it
        ("On December thirtieth, King Henry the Eighth died.", "On December 30, King Henry VIII died.", 0),
        ("Flight B A one seventeen leaves.", "Flight BA118 leaves.", 1 / 6),
        ("She scored seven six, six four in two hours.", "She scored 7-6, 6-4 in 2 hours.", 0),
        ("She scored seven six, six four in two hours.", "She scored 7-6, 6-5 in 2 hours.", 1 / 9),
        ("It is too big for e-mail.", "it is too big for email", 0),  # the same but for the spaces
        ("It raises a ValueError here.", "It raises a value error here.", 0),
        ("One (as of twenty twenty).", "One, as of 2020.", 0),
        ("the cat sat", "the cat", 1 / 3),
        ("the cat sat", "the big cat sat", 1 / 3),
        ("the cat sat", "", 1),
        ("yes", "yes yes yes yes yes", 1),  # 4 insertions for 1 word: capped
        ("Hmm.", "", 0),  # the normaliser drops hesitations: nothing was to be heard
        ("Hmm.", "nonsense", 1),
    ],
)
def test_word_error_rate(said: str, heard: str, wer: float) -> None:
    assert word_errors(said, heard).wer == pytest.approx(wer)


@words
def test_words_of_another_language() -> None:
    assert word_errors("Tengo tres gatos en Perú.", "tengo 3 gatos en Perú", "es").wer == 0
    assert word_errors("Tengo tres gatos en Perú.", "Tengo 4 gatos en Perú.", "es").wer == pytest.approx(1 / 5)
    assert word_errors("¿Está aquí el señor?", "esta aquí el señor", "es").wer == pytest.approx(1 / 4), "accents count"
    assert word_errors("Es kostet 3 Mark.", "es kostet drei mark", "de").wer == pytest.approx(1 / 4)  # not spelled here
    assert spoken_letters("Son 21.", "es") == len("Sonveintiuno") and spoken_letters("Es sind 21.", "de") == 8


@words
def test_character_error_rate_counts_letters_and_is_capped() -> None:
    assert word_errors("abcde fghi", "abcde fghx").cer == pytest.approx(1 / 10)
    assert word_errors("no", "a very long story about nothing").cer == 1


@words
@pytest.mark.parametrize(
    ("said", "heard", "skipped", "repeated"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 0, 0),
        ("the cat sat on the mat", "the cat on the mat", 1, 0),
        ("the cat sat on the mat", "the cat sat", 3, 0),  # a phrase is missing
        ("the cat sat on the mat", "", 6, 0),
        ("the cat sat on the mat", "the the cat sat on the mat", 0, 1),
        ("the cat sat on the mat", "the the the cat sat on the mat", 0, 2),
        ("the cat sat on the mat", "the cat sat on the mat on the mat", 0, 3),
        ("the cat sat on the mat", "the cat sat the cat sat on the mat", 0, 3),
        ("the cat sat on the mat", "the cat the cat the cat sat on the mat", 0, 4),
        ("the cat sat on the mat", "the cat sat on the big mat", 0, 0),  # another word is no repetition
        ("the cat sat on the mat", "the cat sat on the mat sat", 0, 0),  # nor is one that was said before, elsewhere
        ("the cat sat on the mat", "the hat sat on the mat", 0, 0),  # a substitution is neither
        ("they see the sea", "they sea the see", 0, 0),
        ("the cat sat on the mat", "the the sat on the mat", 0, 0),  # heard in the place of "cat"
        ("no no my dear", "no no my dear", 0, 0),
        ("no no my dear", "no my dear", 1, 0),
        ("no no my dear", "no no no my dear", 0, 1),
        ("we go every day", "we go everyday", 0, 0),  # the same letters
        ("we go everyday", "we go every day", 0, 0),
        ("a b c d", "a a c d", 0, 0),
        ("the cat sat on the mat", "the the cat on the mat", 1, 1),
        ("red green blue", "red green blue " * 9, 0, 3),  # 24 too many for 3: capped
        ("Hmm.", "nonsense nonsense", 0, 0),
    ],
)
def test_skipped_and_repeated_words(said: str, heard: str, skipped: int, repeated: int) -> None:
    found = word_errors(said, heard)
    count = max(1, len(said.split()))
    assert found.skipped * count == pytest.approx(skipped)
    assert found.repeated * count == pytest.approx(repeated)
