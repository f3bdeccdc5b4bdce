"""What a preview shows, with a stand-in for a model that takes 50 ms per character."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import numpy as np
import pytest

from vivavoce.cli import main, speak
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.synthesis.preview import Preview
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.text import Change, CharTokenizer
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

Out = pytest.CaptureFixture[str]


class Silent:
    """A System that predicts durations and refuses to speak."""

    sample_rate = 24_000
    sampling = SamplingConfig(max_seconds=6.0)
    uses_transcript = False
    prosody = False
    by_letters = False
    languages = ("en", "fr")
    tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyz.,;:!?'-"])

    def embedded(self, voice: Voice) -> Voice:
        return voice

    def predict_durations(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        return [len(piece.text) * 0.05 / speed for piece in pieces]

    def synthesize(self, jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        raise AssertionError("a preview speaks nothing")


@pytest.fixture
def tts() -> TTS:
    return TTS(Silent())


@pytest.fixture
def voice() -> Voice:
    return Voice("tester", np.zeros(48_000, np.float32), transcript=None, embedding=None)


def test_a_preview_has_the_words_the_pieces_the_changes_and_the_seconds(tts: TTS, voice: Voice) -> None:
    shown = tts.preview("It cost $5 in São Paulo 😀.", voice)
    assert shown.text == "It cost five dollars in São Paulo."
    assert [planned.piece.text for planned in shown.pieces] == ["it cost five dollars in sao paulo."]
    assert Change("money", "$5", "five dollars") in shown.changes
    assert Change("unspeakable", " 😀", "") in shown.changes
    assert Change("fit", "ã", "a") in shown.changes
    assert shown.seconds == pytest.approx(0.05 * len(shown.pieces[0].piece.text))


def test_seconds_include_pauses_and_depend_on_the_speed(tts: TTS, voice: Voice) -> None:
    text = "The road was long and dark that night. Nobody came. [pause 2s] There was no wind at all.\n\nThen it rained."
    shown, fast = tts.preview(text, voice), tts.preview(text, voice, speed=2.0)
    letters = sum(len(planned.piece.text) for planned in shown.pieces)
    pauses = sum(planned.piece.pause + planned.before for planned in shown.pieces)
    assert len(shown.pieces) > 1 and pauses > 2
    assert shown.seconds == pytest.approx(0.05 * letters + pauses)
    assert fast.seconds < shown.seconds - 0.02 * letters


def test_markup_lexicon_and_language_apply(tts: TTS, voice: Voice) -> None:
    shown = tts.preview("[say:Xk9|ex kay nine] met Nguyen, [fr]le 2 mai.", voice, lexicon=Lexicon({"Nguyen": "win"}))
    assert shown.text == "ex kay nine met win, le deux mai."
    assert tts.preview("Le 2 mai.", voice, lang="fr").text == "Le deux mai."
    with pytest.raises(ValueError, match="'de'"):
        tts.preview("Hallo", voice, lang="de")


def test_the_table_names_each_rule_and_what_it_did(tts: TTS, voice: Voice) -> None:
    lines = str(tts.preview("Dr. Li paid $5 and $5. 😀", voice)).splitlines()
    assert lines[0] == "Doctor Li paid five dollars and five dollars."
    assert "  title        Dr. → Doctor" in lines
    assert "  money        $5 → five dollars  (2 times)" in lines
    assert "  unspeakable  😀 → (left out)" in lines
    assert any("tester" in line and "doctor li paid" in line for line in lines)
    assert str(tts.preview("plain words.", voice)).splitlines()[-1] == "nothing changed"


def test_as_dict_is_json_with_everything(tts: TTS, voice: Voice) -> None:
    shown = json.loads(json.dumps(tts.preview("I paid $5.", voice, speed=2.0).as_dict()))
    assert shown["text"] == "I paid five dollars."
    assert shown["pieces"] == [
        {"text": "i paid five dollars.", "voice": "tester", "speed": 2.0, "seconds": 0.5, "before": 0.0, "pause": 0.0}
    ]
    assert {"rule": "money", "before": "$5", "after": "five dollars"} in shown["changes"]
    assert shown["seconds"] == 0.5


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = types.SimpleNamespace(load_system=lambda *_: Silent())
    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", stub)


@pytest.mark.usefixtures("command")
def test_the_command_prints_the_table_or_json(capsys: Out) -> None:
    assert speak.run(main.app, ["preview", "Dr. Li paid $5.", "--voice", "nash"]) == 0
    out, err = capsys.readouterr()
    assert "Doctor Li paid five dollars." in out and "[nash]" in out and "title" in out and err == ""
    assert speak.run(main.app, ["preview", "--text", "Dr. Li paid $5.", "--json", "--speed", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == pytest.approx(0.7)


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["Hi.", "--voice", "nobody"], "nobody"),
        (["Hi.", "--lang", "xx"], "'xx'"),
        (["Hi.", "--speed", "9"], "speed"),
        (["Hi.", "--text", "Ho."], "give it once"),
        (["😀"], "nothing in it that this model can speak"),
    ],
)
def test_the_command_refuses_in_one_line(arguments: list[str], complaint: str, capsys: Out) -> None:
    assert speak.run(main.app, ["preview", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and complaint in err


def test_an_empty_text_is_refused(tts: TTS, voice: Voice) -> None:
    with pytest.raises(ValueError, match="empty"):
        tts.preview("  ", voice)
    assert isinstance(tts.preview("A.", voice), Preview)
