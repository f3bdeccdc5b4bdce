"""A text with the timing of a recording of the same words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Out
from helpers.command_line import vivavoce as vivavoce_command

import vivavoce
from vivavoce import audio
from vivavoce.config import SpeakOptions
from vivavoce.synthesis.plan import PlannedPiece
from vivavoce.synthesis.timing import timed
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

pytest.importorskip("torch")

TEXT = "The quick brown fox jumps over the lazy dog. It was not amused, and went home early."
RATE = 24_000


@pytest.fixture(scope="module")
def tts() -> vivavoce.TTS:
    return vivavoce.load(backend="onnx")


@pytest.fixture(scope="module")
def slow(tts: vivavoce.TTS) -> vivavoce.Speech:
    """A slow reading with a pause between the sentences, after half a second of silence."""
    speech = tts.speak(TEXT.replace("dog. ", "dog. [pause 700ms] "), "celeste", seed=1, speed=0.8)
    words = tuple(word.later(0.5) for word in speech.words)
    samples = np.concatenate([np.zeros(RATE // 2, np.float32), speech.samples])
    return vivavoce.Speech(samples, RATE, TEXT, speech.pieces, words=words)


def test_each_word_begins_when_it_does_in_the_recording(tts: vivavoce.TTS, slow: vivavoce.Speech) -> None:
    told: list[float] = []
    speech = tts.convert((slow.samples, RATE), "nash", text=TEXT, seed=1, progress=told.append)
    assert [word.text for word in speech.words] == [word.text for word in slow.words] and told[-1] == 1.0
    moved = [abs(a.start - b.start) for a, b in zip(speech.words, slow.words, strict=True)]
    assert np.median(moved) < 0.05 and max(moved) < 0.2
    assert abs(len(speech) - len(slow)) < 0.03 * RATE and speech.text == TEXT
    predicted = tts.speak(TEXT, "nash", seed=1)
    assert predicted.duration < speech.duration - 1.5
    voices = {voice.name: voice.embedding for voice in vivavoce.voices()}
    made = tts.system.embedded(Voice("made", speech.samples)).embedding
    assert made is not None
    assert max(voices, key=lambda name: float(made @ voices[name])) == "nash"  # type: ignore[operator]


def test_a_recording_may_be_given_at_another_rate_and_by_the_command_line(
    slow: vivavoce.Speech, tmp_path: Path, capsys: Out
) -> None:
    audio.write(tmp_path / "in.wav", audio.resample(slow.samples, RATE, 16_000), 16_000)
    line = ["convert-voice", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--text", TEXT, "--seed", "1"]
    assert vivavoce_command(*line) == 0, capsys.readouterr().err
    assert len(audio.read(tmp_path / "out.wav", RATE)) == pytest.approx(len(slow), abs=0.03 * RATE)
    assert vivavoce_command("convert-voice", "in.wav", "-o", "out.wav", "--lang", "en") == 2
    assert "--lang is for --text" in capsys.readouterr().err
    for name in ("--whisper", "--semantic"):
        assert vivavoce_command(*line, name, "x") == 2
        assert f"{name} finds the words of a recording without --text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds", "complaint"),
    [
        (TEXT * 9, 3.0, r"the text has \d+ characters and the recording lasts 3\.0 s; they must be of the same words"),
        ("Yes.", 3.0, "they must be of the same words"),
        (TEXT, 0.1, r"the recording lasts 0\.10 s; it must last 0\.2 s or more"),
        (TEXT * 30, 130.0, "the recording lasts 130 s; with its text, at most 120 s: give it in parts"),
        ("", 3.0, "the text is empty"),
    ],
)
def test_what_cannot_be_the_same_words_is_refused(tts: vivavoce.TTS, text: str, seconds: float, complaint: str) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    with pytest.raises(ValueError, match=complaint):
        tts.convert((noise, RATE), text=text)


def test_pieces_share_the_time_of_the_recording() -> None:
    voice, options = Voice("v", np.zeros(9, np.float32)), SpeakOptions()
    planned = [PlannedPiece(Piece(text, 0.3), text, voice, options, 1.0) for text in (" ab.", "c")]
    asked = []

    def find(text: str, languages: Sequence[str]) -> np.ndarray:
        asked.append((text, list(languages)))
        return np.array([0.5, 0.1, 0.2, 0.1, 0.9, 0.3, 0.4], np.float32)

    first, last = timed(planned, find, "es")
    assert asked == [(" ab. c ", ["es"] * 7)]
    assert first.piece.text == "ab." and first.piece.seconds == pytest.approx((0.5, 0.1, 0.2, 0.1, 0.1))
    assert first.piece.pause == pytest.approx(0.7)  # with the ends of both pieces, 0.9
    assert last.piece.seconds == pytest.approx((0.1, 0.3, 0.4)) and last.piece.pause == 0
    assert sum(p.seconds + p.piece.pause for p in (first, last)) == pytest.approx(2.5)


def test_tags_that_the_timing_of_the_recording_overrules_are_reported(tts: vivavoce.TTS, slow: vivavoce.Speech) -> None:
    for tag in ("[pause 2s]", "[speed:2]"):
        with pytest.warns(UserWarning, match="pauses and speeds in the text have no effect"):
            tts.convert_stream(slow, "nash", text=TEXT.replace("dog. ", f"dog. {tag} "), seed=1)
