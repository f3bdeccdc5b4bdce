"""Texts become pieces that a model can speak: of the right length, in its characters and languages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from test_synthesis import LONG, RATE, Tones

from vivavoce.config import SamplingConfig, SpeakOptions
from vivavoce.lexicon import Lexicon
from vivavoce.pieces import Piece
from vivavoce.planning import Planned, Planner
from vivavoce.speech import SynthesisError
from vivavoce.synthesis import TTS
from vivavoce.text import CharTokenizer
from vivavoce.voices import Voice

OPTIONS = SpeakOptions(voice="tester", steps=1, method="euler", cfg=0.0, sway_coef=0.0, seed=1)


@pytest.fixture
def voice() -> Voice:
    return Voice("tester", np.ones(RATE, np.float32), embedding=np.ones(2, np.float32))


@pytest.fixture
def system() -> Tones:
    return Tones()


@pytest.fixture
def planner(system: Tones, voice: Voice) -> Planner:
    return Planner(system, voice, OPTIONS)


def said(planned: Iterator[Planned]) -> list[str]:
    return [plan.piece.text for plan in planned]


def pauses(planned: Iterator[Planned]) -> list[float]:
    return [plan.piece.pause for plan in planned]


def test_pauses_that_are_asked_for_are_kept_exactly(planner: Planner) -> None:
    text = "[pause 2s]One more time. [pause 500ms]And [pause 30ms]then a rest.[pause 1s]\n\nAll is said now.[pause 3s]"
    planned = list(planner.whole(text))
    assert pauses(iter(planned)) == [0.5, 0.03, 1.0, 3.0]
    assert [plan.before for plan in planned] == [2.0, 0, 0, 0]


def test_silence_depends_on_the_punctuation(planner: Planner) -> None:
    text = "First, [voice:nash]second; [/voice]third. [voice:nash]Fourth [/voice]fifth.\n\nSixth."
    comma, clause, sentence, none, paragraph, end = pauses(planner.whole(text))
    assert end == 0 < none < comma < clause < sentence < paragraph


def test_voice_and_speed_change_in_the_text(planner: Planner) -> None:
    planned = list(planner.whole("I am me. [voice:nash]I am Nash. [speed:0.5]I am slow. [/speed][/voice]It is me."))
    assert [plan.voice.name for plan in planned] == ["tester", "nash", "nash", "tester"]
    assert [plan.options.speed for plan in planned] == [1.0, 1.0, 0.5, 1.0]
    assert planned[2].seconds == pytest.approx(2 * len("I am slow.") * 0.05)


def test_languages_of_a_piece_are_told_by_its_characters(system: Tones, voice: Voice) -> None:
    planner = Planner(system, voice, OPTIONS)
    (mixed,) = planner.whole("He said [say:bonjour|bonjour] [fr]à tous[en], and left.")
    assert mixed.piece.text == "He said bonjour a tous, and left."
    assert mixed.piece.languages == (("en", 16), ("fr", 6), ("en", 11))
    (plain,) = planner.whole("He left.")
    assert plain.piece.languages == ()
    (french,) = Planner(system, voice, OPTIONS, "fr").whole("Au revoir.")
    assert french.piece.languages == (("fr", 10),)


def test_texts_with_their_languages_are_one_text(planner: Planner) -> None:
    (plan,) = planner.whole([("en", "He said"), ("fr", "au revoir"), ("en", "to all.")])
    assert plan.piece == Piece("He said au revoir to all.", 0.0, (("en", 8), ("fr", 10), ("en", 7)))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[de]Guten Tag.", "'de'.*known are en, fr"),
        ([("xx", "Hello.")], "'xx'.*known are en, fr"),
        ([("en", "Hello."), "Hello."], "'Hello.'.*must be .language, text"),
        ([("en", 5)], r"\('en', 5\)"),
        ([("en", " ")], "empty"),
        ([], "empty"),
        (5, "type int"),
        ("Hello. [voice:alice]Hello.", "alice.*celeste"),
        ("Hello. [speed:0.1]Hello.", "speed.*0.25 to 4"),
        ("Hello. [vioce:nash]Hello.", "vioce"),
    ],
)
def test_what_cannot_be_spoken_is_refused_before_anything_is(planner: Planner, text: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        planner.whole(text)  # type: ignore[arg-type]


def test_a_speed_out_of_range_by_both_factors_is_refused(system: Tones, voice: Voice) -> None:
    with pytest.raises(ValueError, match=r"speed is 0\.2"):
        Planner(system, voice, OPTIONS.replace(speed=0.5)).whole("[speed:0.4]Hello.")


def test_a_lexicon_says_how_words_are_read(planner: Planner) -> None:
    assert said(planner.whole("Ask Nguyen.", lexicon=Lexicon({"Nguyen": "win"}))) == ["Ask win."]
    assert said(planner.scraps(["Ask Ng", "uyen."], lexicon=Lexicon({"Nguyen": "win"}))) == ["Ask win."]


def test_words_as_written_are_kept_for_whoever_shows_them(system: Tones, voice: Voice) -> None:
    (plan,) = Planner(system, voice, OPTIONS).whole("The café.")
    assert (plan.written, plan.piece.text) == ("The café.", "The cafe.")


def test_no_piece_is_longer_than_the_model_can_speak(
    system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the end of a text is spoken much more slowly than its beginning."""
    monkeypatch.setattr(
        system, "seconds", lambda pieces, voice, speed: [sum(0.5 if c == "x" else 0.05 for c in p.text) for p in pieces]
    )
    planned = list(Planner(system, voice, OPTIONS).whole(f"{LONG} {'xxx ' * 50}"))
    assert all(plan.seconds <= system.sampling.max_seconds for plan in planned)
    assert "".join(said(iter(planned))).count("x") == 150 + LONG.count("x")


def test_short_pieces_are_joined_within_their_paragraph(
    system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "It rained for many days and nobody went out. Then it stopped now. The sun was there again at last.\n\n"
        "Yes.\n\nOh."
    )
    monkeypatch.setattr(system, "sampling", SamplingConfig(max_seconds=4.5))
    apart = said(Planner(system, voice, OPTIONS).whole(text))
    assert "Then it stopped now." in apart
    monkeypatch.setattr(system, "sampling", SamplingConfig(max_seconds=4.5, min_seconds=1.5))
    planned = list(Planner(system, voice, OPTIONS).whole(text))
    assert said(iter(planned)) == [
        "It rained for many days and nobody went out. Then it stopped now.",
        "The sun was there again at last.",
        "Yes.",
        "Oh.",
    ]
    assert planned[0].seconds == pytest.approx(len(planned[0].piece.text) * 0.05)


def test_a_text_is_planned_no_farther_than_is_asked(system: Tones, voice: Voice) -> None:
    asked = []
    seconds = system.seconds
    system.seconds = lambda pieces, *rest: asked.extend(pieces) or seconds(pieces, *rest)  # type: ignore[method-assign]
    planned = Planner(system, voice, OPTIONS).whole("\n\n".join([LONG] * 100))
    next(planned)
    assert len(asked) < 20


def test_pieces_of_a_text_in_scraps_do_not_depend_on_the_scraps(system: Tones, voice: Voice) -> None:
    text = f"Yes, it is so. [voice:nash]{LONG} [pause 2s]Oh.\n\n{LONG}"
    whole = list(Planner(system, voice, OPTIONS).scraps([text]))
    for size in (1, 7, 100):
        parts = [text[i : i + size] for i in range(0, len(text), size)]
        cut = list(Planner(system, voice, OPTIONS).scraps(parts))
        assert said(iter(cut)) == said(iter(whole)) and pauses(iter(cut)) == pauses(iter(whole))
        assert [plan.voice.name for plan in cut] == [plan.voice.name for plan in whole]
    assert {plan.voice.name for plan in whole} == {"tester", "nash"}
    assert whole[-1].piece.pause == 0 and all(plan.piece.pause > 0 for plan in whole[:-1])
    assert " ".join(said(iter(whole))).replace("  ", " ").count("there they stopped.") == 2


def test_scraps_are_checked_as_they_come(planner: Planner) -> None:
    planned = planner.scraps(["This is the first sentence. ", "And so is this one, at last. ", "[de]Nein."])
    assert next(planned).piece.text == "This is the first sentence."
    with pytest.raises(ValueError, match="'de'"):
        list(planned)
    with pytest.raises(ValueError, match="nothing in it"):
        list(planner.scraps(["  ", "..."]))


def test_shares_add_up_to_the_whole_text(planner: Planner) -> None:
    shares = [plan.share for plan in planner.whole(f"{LONG}\n\n☃\n\n{LONG} [voice:nash]{LONG}")]
    assert all(share > 0 for share in shares) and sum(shares) == pytest.approx(1.0)


def test_an_impossible_prediction_is_an_error(system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "seconds", lambda pieces, *_: [0.0 for _ in pieces])
    with pytest.raises(SynthesisError, match="0.0 seconds"):
        Planner(system, voice, OPTIONS).whole("Hello.")


def test_a_model_without_capitals_is_given_the_names_of_letters(system: Tones, voice: Voice) -> None:
    assert said(Planner(system, voice, OPTIONS).whole("The CEO, room B-12.")) == ["The C E O, room B twelve."]
    system.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyz.,-'"])
    planner = Planner(system, voice, OPTIONS)
    assert said(planner.whole("The CEO, room B-12.")) == ["the see ee oh, room bee twelve."]
    assert ("letter", "B", "bee") in [(c.rule, c.before, c.after) for c in planner.changes]


def test_nobody_is_warned_of_letters_that_are_spoken(
    system: Tones, voice: Voice, recwarn: pytest.WarningsRecorder
) -> None:
    system.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyz.,-'"])
    speech = TTS(system).speak("The CEO of the U.S. said 42, or 20.", voice)
    assert not recwarn.list
    assert [word.text for word in speech.words] == "The C E O of the U.S. said forty-two, or twenty.".split()
    assert all(word.start < word.end <= following.start for word, following in itertools.pairwise(speech.words))
