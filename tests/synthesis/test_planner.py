"""Texts become pieces that a model can speak: of the right length, in its characters and languages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.tones import LONG, Tones

from vivavoce.config import SpeakOptions
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.synthesis.plan import PlannedPiece
from vivavoce.synthesis.planner import Planner
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError
from vivavoce.text import CharTokenizer
from vivavoce.text.formats import parse_text
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.pieces import Piece
from vivavoce.text.prosody import Prosody
from vivavoce.voices import Voice

OPTIONS = SpeakOptions(voice="tester", steps=1, method="euler", cfg=0.0, sway_coef=0.0, seed=1)


@pytest.fixture
def planner(system: Tones, voice: Voice) -> Planner:
    return Planner(system, voice, OPTIONS)


def plan(planner: Planner, text: Any, lexicon: Lexicon | None = None) -> Iterator[PlannedPiece]:
    return planner.plan(parse_text(text, lexicon=lexicon, lang=planner.lang))


def said(planned: Iterator[PlannedPiece]) -> list[str]:
    return [each.piece.text for each in planned]


def pauses(planned: Iterator[PlannedPiece]) -> list[float]:
    return [each.piece.pause for each in planned]


def test_requested_pauses_are_kept_exactly(planner: Planner) -> None:
    text = "[pause 2s]One more time. [pause 500ms]And [pause 30ms]then a rest.[pause 1s]\n\nAll is said now.[pause 3s]"
    planned = list(plan(planner, text))
    assert pauses(iter(planned)) == [0.5, 0.03, 1.0, 3.0]
    assert [each.before for each in planned] == [2.0, 0, 0, 0]


def test_silence_depends_on_the_punctuation(planner: Planner) -> None:
    text = "First, [voice:nash]second; [/voice]third. [voice:nash]Fourth [/voice]fifth.\n\nSixth."
    comma, clause, sentence, none, paragraph, end = pauses(plan(planner, text))
    assert end == 0 < none < comma < clause < sentence < paragraph


def test_a_pause_without_words_counts_the_silence_before_it(planner: Planner) -> None:
    """An emoji has no words: of the two seconds after it, the pause of the sentence before is already silence."""
    planned = list(
        plan(planner, "One more time. [pause 1.5s]😀[pause 2s] And then a rest. [pause 3s]😀[pause 1s] Bye.")
    )
    assert pauses(iter(planned))[:2] == [1.5, 3.0]
    assert [each.before for each in planned] == [0.0, 0.5, 0.0]


def test_voice_and_speed_change_in_the_text(planner: Planner) -> None:
    planned = list(plan(planner, "I am me. [voice:nash]I am Nash. [speed:0.5]I am slow. [/speed][/voice]It is me."))
    assert [each.voice.name for each in planned] == ["tester", "nash", "nash", "tester"]
    assert [each.options.speed for each in planned] == [1.0, 1.0, 0.5, 1.0]
    assert planned[2].seconds == pytest.approx(2 * len("I am slow.") * 0.05)


def test_a_piece_states_the_languages_of_its_characters(system: Tones, voice: Voice) -> None:
    planner = Planner(system, voice, OPTIONS)
    (mixed,) = plan(planner, "He said [say:bonjour|bonjour] [fr]à tous[en], and left.")
    assert mixed.piece.text == "He said bonjour a tous, and left."
    assert mixed.piece.languages == (("en", 16), ("fr", 6), ("en", 11))
    (plain,) = plan(planner, "He left.")
    assert plain.piece.languages == ()
    (french,) = plan(Planner(system, voice, OPTIONS, "fr"), "Au revoir.")
    assert french.piece.languages == (("fr", 10),)


def test_texts_with_their_languages_are_one_text(planner: Planner) -> None:
    (planned,) = plan(planner, [("en", "He said"), ("fr", "au revoir"), ("en", "to all.")])
    assert planned.piece == Piece("He said au revoir to all.", 0.0, (("en", 8), ("fr", 10), ("en", 7)))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[de]Guten Tag.", "'de'.*speaks en, fr"),
        ([("xx", "Hello.")], "'xx'.*speaks en, fr"),
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
def test_what_cannot_be_spoken_is_refused_at_once(planner: Planner, text: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        plan(planner, text)


def test_a_speed_out_of_range_by_both_factors_is_refused(system: Tones, voice: Voice) -> None:
    with pytest.raises(ValueError, match=r"speed is 0\.2"):
        plan(Planner(system, voice, OPTIONS.replace(speed=0.5)), "[speed:0.4]Hello.")


def test_a_lexicon_gives_the_pronunciation_of_words(planner: Planner) -> None:
    assert said(plan(planner, "Ask Nguyen.", lexicon=Lexicon({"Nguyen": "win"}))) == ["Ask win."]
    assert said(planner.plan_stream(["Ask Ng", "uyen."], lexicon=Lexicon({"Nguyen": "win"}))) == ["Ask win."]


def test_the_spelling_of_words_is_kept(system: Tones, voice: Voice) -> None:
    (planned,) = plan(Planner(system, voice, OPTIONS), "The café.")
    assert (planned.written, planned.piece.text) == ("The café.", "The cafe.")


def test_no_piece_is_longer_than_the_model_can_speak(
    system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the end of a text is spoken much more slowly than its beginning."""
    monkeypatch.setattr(
        system,
        "predict_durations",
        lambda pieces, voice, speed: [sum(0.5 if c == "x" else 0.05 for c in p.text) for p in pieces],
    )
    planned = list(plan(Planner(system, voice, OPTIONS), f"{LONG} {'xxx ' * 50}"))
    assert all(each.seconds <= system.sampling.max_seconds for each in planned)
    assert "".join(said(iter(planned))).count("x") == 150 + LONG.count("x")


def test_pieces_leave_a_margin_for_words_slower_than_the_sample(system: Tones, voice: Voice) -> None:
    """The rate of a sample is an estimate: what fills the limit by that rate may take longer, and is not planned."""
    text = " ".join(["A sentence of so many letters that a cut is needed in it somewhere near its middle part"] * 6)
    planned = list(plan(Planner(system, voice, OPTIONS), f"{text}."))
    longest = max(each.seconds for each in planned)
    assert system.sampling.max_seconds / 1.25 < longest <= system.sampling.max_seconds / 1.1


def test_short_pieces_are_joined_within_their_paragraph(
    system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "It rained for many days and nobody went out. Then it stopped now. The sun was there again at last.\n\n"
        "Yes.\n\nOh."
    )
    monkeypatch.setattr(system, "sampling", SamplingConfig(max_seconds=4.5))
    apart = said(plan(Planner(system, voice, OPTIONS), text))
    assert "Then it stopped now." in apart
    monkeypatch.setattr(system, "sampling", SamplingConfig(max_seconds=4.5, min_seconds=1.5))
    planned = list(plan(Planner(system, voice, OPTIONS), text))
    assert said(iter(planned)) == [
        "It rained for many days and nobody went out. Then it stopped now.",
        "The sun was there again at last.",
        "Yes.",
        "Oh.",
    ]
    assert planned[0].seconds == pytest.approx(len(planned[0].piece.text) * 0.05)


def test_a_text_is_planned_only_as_far_as_needed(system: Tones, voice: Voice) -> None:
    asked = []
    predict = system.predict_durations
    system.predict_durations = lambda pieces, *rest: asked.extend(pieces) or predict(pieces, *rest)  # type: ignore[method-assign]
    planned = plan(Planner(system, voice, OPTIONS), "\n\n".join([LONG] * 100))
    next(planned)
    assert len(asked) < 20


def test_the_pieces_of_a_text_stream_do_not_depend_on_its_parts(system: Tones, voice: Voice) -> None:
    text = f"Yes, it is so. [voice:nash]{LONG} [pause 2s]Oh.\n\n{LONG}"
    whole = list(Planner(system, voice, OPTIONS).plan_stream([text]))
    for size in (1, 7, 100):
        parts = [text[i : i + size] for i in range(0, len(text), size)]
        cut = list(Planner(system, voice, OPTIONS).plan_stream(parts))
        assert said(iter(cut)) == said(iter(whole)) and pauses(iter(cut)) == pauses(iter(whole))
        assert [each.voice.name for each in cut] == [each.voice.name for each in whole]
    assert {each.voice.name for each in whole} == {"tester", "nash"}
    assert whole[-1].piece.pause == 0 and all(each.piece.pause > 0 for each in whole[:-1])
    assert " ".join(said(iter(whole))).replace("  ", " ").count("there they stopped.") == 2


def test_a_text_stream_is_checked_as_it_arrives(planner: Planner) -> None:
    planned = planner.plan_stream(["This is the first sentence. ", "And so is this one, at last. ", "[de]Nein."])
    assert next(planned).piece.text == "This is the first sentence."
    with pytest.raises(ValueError, match="'de'"):
        list(planned)
    with pytest.raises(ValueError, match="nothing in it"):
        list(planner.plan_stream(["  ", "..."]))


def test_shares_add_up_to_the_whole_text(planner: Planner) -> None:
    shares = [each.share for each in plan(planner, f"{LONG}\n\n☃\n\n{LONG} [voice:nash]{LONG}")]
    assert all(share > 0 for share in shares) and sum(shares) == pytest.approx(1.0)


def test_an_impossible_prediction_is_an_error(system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "predict_durations", lambda pieces, *_: [0.0 for _ in pieces])
    with pytest.raises(SynthesisError, match="0.0 seconds"):
        plan(Planner(system, voice, OPTIONS), "Hello.")


def test_a_model_without_capitals_reads_the_names_of_letters(system: Tones, voice: Voice) -> None:
    assert said(plan(Planner(system, voice, OPTIONS), "The CEO, room B-12.")) == ["The C E O, room B twelve."]
    system.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyz.,-'"])
    planner = Planner(system, voice, OPTIONS)
    assert said(plan(planner, "The CEO, room B-12.")) == ["the see ee owe, room bee twelve."]
    assert ("letter", "B", "bee") in [(c.rule, c.before, c.after) for c in planner.changes]


def test_no_warning_about_letters_that_are_spoken(
    system: Tones, voice: Voice, recwarn: pytest.WarningsRecorder
) -> None:
    system.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyz.,-'"])
    speech = TTS(system).speak("The CEO of the U.S. said 42, or 20.", voice)
    assert not recwarn.list
    assert [word.text for word in speech.words] == "The C E O of the U.S. said forty-two, or twenty.".split()
    assert all(word.start < word.end <= following.start for word, following in itertools.pairwise(speech.words))


# ---- prosody --------------------------------------------------------------------------------------------------------


class Directed(Tones):
    """Tones that read a prosody."""

    prosody = True


def test_a_word_of_a_sentence_has_its_own_prosody(voice: Voice) -> None:
    planner = Planner(Directed(), voice, OPTIONS.replace(pitch=1.0, pace=0.9))
    (piece,) = [each.piece for each in plan(planner, "That is [em]my[/em] book, [pitch +2]not hers[/pitch].")]
    whole = Prosody(pitch=1, pace=0.9)
    said = iter(piece.text)
    runs = [(prosody, "".join(itertools.islice(said, count))) for prosody, count in piece.prosody]
    assert [(prosody, text.strip().lower()) for prosody, text in runs] == [
        (whole, "that is"),
        (Prosody(pitch=1, pace=0.9, stress=1), "my"),
        (whole, "book,"),
        (Prosody(pitch=3, pace=0.9), "not hers"),
        (whole, "."),
    ]
    assert piece.languages == () and planner.options.speed == 1.0


def test_a_pace_gives_way_to_a_speed_in_the_text(system: Tones, voice: Voice) -> None:
    planner = Planner(system, voice, OPTIONS.replace(pace=2.0))
    (planned,) = plan(planner, "[speed:4]That is my book.")
    assert planned.options.speed == 4
    assert ("prosody", "pace 2 with speed 4") in [(c.rule, c.before) for c in planner.take_changes()]


def test_without_prosody_nothing_is_stated(voice: Voice) -> None:
    pieces = [each.piece for each in plan(Planner(Directed(), voice, OPTIONS), "That is my book. And yours?")]
    assert all(piece.prosody == () for piece in pieces)


def test_a_model_without_prosody_follows_energy_and_pace_and_says_what_it_cannot(system: Tones, voice: Voice) -> None:
    planner = Planner(system, voice, OPTIONS.replace(energy=3.0, pace=0.5))
    (planned,) = plan(planner, "That is [em]my[/em] [energy -6]own[/energy] book.")
    assert planned.options.speed == 0.5
    assert [prosody.energy for prosody, _ in planned.piece.prosody] == [3, -3, 3]
    assert [(c.rule, c.before) for c in planner.take_changes() if c.rule == "prosody"] == [("prosody", "emphasis")]
    for wrong in ({"pitch": 2.0}, {"pitch_range": 0.8}):
        with pytest.raises(ValueError, match=r"pitch\w* is .*, but this model has no prosody conditions"):
            Planner(system, voice, OPTIONS.replace(**wrong))
