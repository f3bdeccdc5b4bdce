"""speak and stream over a stand-in for a model: a tone as long as the text, its pitch from the seed."""

from __future__ import annotations

import base64
import io
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.tones import LONG, RATE, SECONDS_PER_CHARACTER, Tones

import vivavoce
from vivavoce.config import SpeakOptions
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import piece_seed
from vivavoce.synthesis.tts import TTS, load
from vivavoce.systems.interface import SynthesisError, SynthesisResult
from vivavoce.voices import Voice


def test_speech_has_samples_rate_duration_and_seed(tts: TTS, voice: Voice) -> None:
    speech = tts.speak("Good morning.", voice, seed=5)
    assert speech.samples.dtype == np.float32 and speech.samples.ndim == 1
    assert speech.sample_rate == tts.sample_rate == RATE
    assert len(speech) == len(speech.samples)
    assert speech.duration == pytest.approx(len("Good morning.") * SECONDS_PER_CHARACTER, abs=0.01)
    assert (speech.text, speech.seed) == ("Good morning.", 5)
    assert 0.01 < np.abs(speech.samples).max() <= 1


def test_same_seed_same_samples_other_seed_others(tts: TTS, voice: Voice) -> None:
    first, again, other = (tts.speak(LONG, voice, seed=s).samples for s in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_a_seed_each_reading_differs_and_its_seed_repeats_it(tts: TTS, voice: Voice) -> None:
    first, second = tts.speak("Hello there.", voice), tts.speak("Hello there.", voice)
    assert first.seed != second.seed
    assert np.array_equal(first.samples, tts.speak("Hello there.", voice, seed=first.seed).samples)


def test_stream_is_speak_in_pieces(tts: TTS, voice: Voice) -> None:
    pieces = list(tts.stream(LONG, voice, seed=3))
    whole = tts.speak(LONG, voice, seed=3)
    assert len(pieces) > 2
    assert np.array_equal(np.concatenate([p.samples for p in pieces]), whole.samples)
    assert whole.pieces == tuple(piece for p in pieces for piece in p.pieces)


def test_stream_makes_a_piece_when_it_is_asked_for(tts: TTS, system: Tones, voice: Voice) -> None:
    stream = tts.stream(LONG, voice)
    assert system.asked == []
    next(stream)
    stream.close()
    assert 1 <= len(system.asked) < 5


def test_a_long_text_starts_with_a_short_piece_and_keeps_every_word(tts: TTS, voice: Voice) -> None:
    pieces = list(tts.stream(LONG, voice))
    assert pieces[0].text == "The sun had gone down behind the hills,"
    assert all(p.duration <= Tones.sampling.max_seconds for p in pieces)
    said = " ".join(p.text for p in pieces)
    for word in ("valley", "Smith", "three dollars", "fifty", "there they stopped."):
        assert word in said


def test_a_first_sentence_without_a_clause_is_not_cut_inside(tts: TTS, voice: Voice) -> None:
    sentence = "Nobody in the whole wide valley had ever thought of asking the old man about it before."
    first = next(tts.stream(f"{sentence} {LONG}", voice))
    assert first.text == sentence


def test_a_text_of_one_breath_is_one_piece(tts: TTS, system: Tones, voice: Voice) -> None:
    tts.speak("When the sunlight strikes raindrops in the air, they act like a prism and form a rainbow.", voice)
    assert len(system.asked) == 1


def test_pauses_are_silence_between_pieces_and_not_at_the_end(tts: TTS, voice: Voice) -> None:
    pieces = list(tts.stream(LONG, voice))
    for speech in pieces[:-1]:
        silence = round(speech.pieces[0].pause * RATE)
        assert silence > 0.1 * RATE
        assert not speech.samples[-silence:].any()
        assert np.abs(speech.samples[-silence - RATE // 10 : -silence]).max() > 0.01
    assert np.abs(pieces[-1].samples[-RATE // 10 :]).max() > 0.01


def test_options_left_out_are_the_models_own(tts: TTS, system: Tones, voice: Voice) -> None:
    tts.speak("Hello there.", voice, cfg=3.0)
    options = system.asked[0].options
    assert (options.steps, options.method, options.cfg, options.sway_coef) == (3, "midpoint", 3.0, -0.5)
    assert options.voice == "tester" and options.seed is not None


def test_speed_changes_the_length(tts: TTS, voice: Voice) -> None:
    slow, fast = (tts.speak("The road was empty.", voice, speed=s).duration for s in (np.float32(0.5), 2.0))
    assert slow == pytest.approx(4 * fast, rel=0.01)


def test_pieces_have_seeds_of_their_own_that_do_not_depend_on_what_follows(
    tts: TTS, system: Tones, voice: Voice
) -> None:
    tts.speak(LONG, voice, seed=11)
    seeds = [job.seed for job in system.asked]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [piece_seed(11, k) for k in range(len(seeds))]
    assert all(0 <= piece_seed(s, k) < 2**63 for s in (0, 2**63 - 1) for k in range(50))


def test_progress_rises_to_one(tts: TTS, voice: Voice) -> None:
    seen: list[float] = []
    tts.speak(LONG, voice, progress=seen.append)
    assert seen == sorted(seen) and seen[0] < 0.2 and seen[-1] == 1.0


def test_characters_that_the_model_lacks_are_told_in_one_line(tts: TTS, voice: Voice) -> None:
    with pytest.warns(UserWarning) as caught:
        tts.speak("A snowman ☃ and a café.", voice)
    (message,) = {str(w.message) for w in caught}
    assert "'☃' is left out" in message and "'é' is read as 'e'" in message and "\n" not in message


def test_words_that_the_model_lacks_between_others_are_passed_over(tts: TTS, system: Tones, voice: Voice) -> None:
    with pytest.warns(UserWarning):
        tts.speak("First one.\n\n你好。\n\nThen another.", voice)
    assert [job.piece.text for job in system.asked] == ["First one.", "Then another."]


def test_paragraphs_are_parted_by_a_longer_pause_than_sentences(tts: TTS, voice: Voice) -> None:
    spoken = tts.speak(f"{LONG}\n\n{LONG}", voice).pieces
    inner = [p.pause for p in spoken]
    assert max(inner) > 0.5 and inner.count(max(inner)) == 1


def test_plain_text_gives_no_warning(tts: TTS, voice: Voice) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tts.speak("“Dr. Smith” paid $3.50 — at 10:30…", voice)


@pytest.mark.parametrize("text", ["", "  \n\t ", "...", "☃", "?! -"])
def test_text_with_nothing_to_say_is_refused(tts: TTS, system: Tones, voice: Voice, text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|nothing in it"):
        tts.speak(text, voice)
    assert system.asked == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stepz": 4}, "stepz.*steps, method, cfg"),
        ({"steps": 0}, "steps is 0"),
        ({"speed": 0.0}, "speed is 0"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"method": "heun"}, "heun.*euler"),
        ({"cfg": "strong"}, "cfg is 'strong'; it must be a number"),
        ({"energy": "2"}, "energy is '2'; it must be a number"),
        ({"energy": True}, "energy is True; it must be a number"),
    ],
)
def test_bad_options_are_refused_before_the_stream_is_read(
    tts: TTS, voice: Voice, options: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        tts.stream("Hello.", voice, **options)


def test_an_unknown_voice_is_refused_with_the_known_ones(tts: TTS) -> None:
    with pytest.raises(ValueError, match=r"alice.*celeste, luna, nash, orion, rhea"):
        tts.stream("Hello.", "alice")


def test_a_built_in_voice_is_found_by_name(tts: TTS, system: Tones) -> None:
    tts.speak("Hello there.", "nash")
    tts.speak("Hello there.")
    assert [job.voice.name for job in system.asked] == ["nash", SpeakOptions().voice]
    assert [v.name for v in tts.voices] == ["celeste", "luna", "nash", "orion", "rhea"]


def test_a_model_that_needs_the_transcript_says_so(tts: TTS, system: Tones, voice: Voice) -> None:
    system.uses_transcript = True
    with pytest.raises(ValueError, match=r"tester.*transcript.*--ref-text"):
        tts.stream("Hello.", voice)
    tts.stream("Hello.", Voice("told", voice.samples, transcript="A tone."))


@pytest.mark.parametrize(
    ("wave", "named"),
    [(np.full(RATE, np.nan), "NaN"), (np.zeros(RATE), "silence"), (np.zeros(0), "silence")],
)
def test_what_is_no_speech_is_an_error_that_names_the_piece(
    tts: TTS, system: Tones, voice: Voice, wave: np.ndarray, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "synthesize", lambda *_: [SynthesisResult(wave.astype(np.float32))])
    with pytest.raises(SynthesisError, match=f"{named}.*The road was empty"):
        tts.speak("The road was empty.", voice)


def test_an_impossible_predicted_length_is_an_error(
    tts: TTS, system: Tones, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "predict_durations", lambda *_: [float("nan")])
    with pytest.raises(SynthesisError, match="nan seconds"):
        tts.speak("Hello.", voice)


def test_saved_and_shown_speech_is_the_same_sound(tts: TTS, voice: Voice, tmp_path: Path) -> None:
    speech = tts.speak("Good morning.", voice, seed=1)
    speech.save(tmp_path / "a.wav")
    saved, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == RATE and np.abs(saved - speech.samples).max() < 1e-4
    html = speech._repr_html_()
    assert html.startswith("<audio controls")
    shown, _ = soundfile.read(io.BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0])), dtype="float32")
    assert np.array_equal(shown, saved)


def test_numpy_reads_the_samples_and_repr_says_what_it_is(tts: TTS, voice: Voice) -> None:
    speech = tts.speak("Good morning.", voice)
    assert np.asarray(speech) is speech.samples and np.array_equal(np.array(speech, np.float64), speech.samples)
    assert repr(speech) == f"Speech('Good morning.', {speech.duration:.2f} s at {RATE} Hz)"
    assert repr(voice) == "Voice('tester', 2.0 s at 24000 Hz)"
    assert repr(TTS(Tones(), "nanospeech")) == (
        "TTS('nanospeech', languages en, fr, voices celeste, luna, nash, orion, rhea, 24000 Hz)"
    )
    assert dir(vivavoce) == sorted([*vivavoce.__all__, "__version__"])


def test_play_plays_the_samples(tts: TTS, voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[np.ndarray] = []
    device = types.SimpleNamespace(
        start=lambda: None, write=played.append, stop=lambda: None, close=lambda: played.append(np.ones((1, 1)))
    )
    module = types.SimpleNamespace(query_devices=lambda kind: {}, OutputStream=lambda **_: device)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    speech = tts.speak("Good morning.", voice)
    speech.play()
    assert np.array_equal(np.concatenate(played)[:-1, 0], speech.samples) and played[-1].shape == (1, 1)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ValueError, match=r"cannot be played: .*vivavoce\[play\]"):
        speech.play()


def test_a_saved_voice_is_found_by_its_path(tts: TTS, system: Tones, voice: Voice, tmp_path: Path) -> None:
    voice.save(tmp_path / "file.voice")
    for path in (str(tmp_path / "file.voice"), tmp_path / "file.voice"):
        tts.speak("Hello there.", path)
        assert system.asked[-1].voice.name == "tester"
    with pytest.raises(ValueError, match="nobody.voice: no such file"):
        tts.speak("Hello there.", "nobody.voice")


def test_join_refuses_parts_of_different_rates() -> None:
    parts = [Speech(np.ones(10, np.float32), rate) for rate in (8000, 24_000)]
    with pytest.raises(ValueError, match="8000, 24000"):
        Speech.join(parts)


def test_load_passes_its_arguments_on(monkeypatch: pytest.MonkeyPatch, system: Tones) -> None:
    asked: list[tuple[object, ...]] = []
    fake = types.SimpleNamespace(load_system=lambda *arguments: asked.append(arguments) or system)
    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", fake)
    assert vivavoce.load("some/model", "mlx", "cuda:1", "bfloat16", True, "there", 4).system is system
    assert asked == [("some/model", "mlx", "cuda:1", "bfloat16", True, "there", 4)]


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ({"backend": "jax"}, "backend is 'jax'.*torch, mlx"),
        ({"device": "gpu"}, "device is 'gpu'.*cuda"),
        ({"dtype": "int4"}, "dtype is 'int4'.*bfloat16"),
    ],
)
def test_load_refuses_unknown_choices(argument: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        load(**argument)
