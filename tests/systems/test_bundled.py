"""The model that ships: it speaks, in the voice asked for, for about as long as it should."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

import vivavoce
from vivavoce import audio
from vivavoce.config import BUILTIN_VOICES

pytest.importorskip("torch")

SENTENCE = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def tts() -> vivavoce.TTS:
    return vivavoce.load(device="cpu")


def test_a_sentence_has_the_length_and_level_of_speech(tts: vivavoce.TTS) -> None:
    speech = tts.speak(SENTENCE, voice="nash", seed=1)
    assert speech.sample_rate == 24_000
    assert speech.samples.dtype == np.float32 and speech.samples.ndim == 1
    assert 1.8 < speech.duration < 4.5
    assert -30 < audio.rms_db(speech.samples) < -15
    assert np.abs(speech.samples).max() <= 1
    # a pause before and after the words, sound in between
    edges = np.concatenate((speech.samples[:600], speech.samples[-600:]))
    assert audio.rms_db(edges) < audio.rms_db(speech.samples) - 12


def test_the_seed_decides(tts: vivavoce.TTS) -> None:
    first, again, other = (tts.speak("Good morning.", voice="luna", seed=s).samples for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_speed_scales_the_length(tts: vivavoce.TTS) -> None:
    slow, fast = (tts.speak(SENTENCE, seed=1, speed=s).duration for s in (0.5, 1.5))
    assert slow / fast == pytest.approx(3, rel=0.15)


def test_a_word_that_came_out_cut_is_given_more_time_and_silence(tts: vivavoce.TTS) -> None:
    job = tts.begin("Stop!", "nash", seed=2).next_request()
    (cut,) = tts.system.synthesize([job])
    (extra_duration,) = tts.system.synthesize([dataclasses.replace(job, extra_duration=True)])
    assert 0.15 < len(extra_duration.samples) / 24_000 - len(cut.samples) / 24_000 < 0.4
    assert cut.ends is not None and extra_duration.ends is not None
    assert (
        extra_duration.start > cut.start + 0.05
        and extra_duration.ends[-1] - extra_duration.start > cut.ends[-1] - cut.start
    )


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_lone_syllable_lasts_a_third_of_a_second(tts: vivavoce.TTS, backend: str) -> None:
    system = tts.system if backend == "torch" else vivavoce.load(backend="onnx").system
    for text in ("A", "2", "Go"):
        (result,) = system.synthesize([tts.begin(text, "luna", seed=1).next_request()])
        assert result.ends is not None
        assert 0.3 < result.ends[-1] - result.start < 0.4


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_other_texts_in_the_batch_do_not_change_a_text(tts: vivavoce.TTS, backend: str) -> None:
    system = tts.system if backend == "torch" else vivavoce.load(backend="onnx").system
    texts = [SENTENCE, "Good morning.", "On his release he sent a challenge, and nobody ever answered it.", "Stop!"]
    jobs = [tts.begin(text, "nash", seed=1).next_request() for text in texts]
    for job, together in zip(jobs, system.synthesize(jobs), strict=True):
        (alone,) = system.synthesize([job])
        assert np.array_equal(alone.ends, together.ends)
        assert np.abs(alone.samples - together.samples).max() < 3e-3 * np.abs(alone.samples).max()


def test_streaming_gives_the_same_samples(tts: vivavoce.TTS) -> None:
    text = "One sentence stands here. Another one follows it, and it is somewhat longer than the first. " * 2
    parts = list(tts.stream(text, seed=5))
    assert len(parts) > 1
    assert np.array_equal(np.concatenate([p.samples for p in parts]), tts.speak(text, seed=5).samples)


def test_a_message_without_any_comma_begins_with_a_part_of_it_if_that_is_urgent(tts: vivavoce.TTS) -> None:
    text = "Press the button on the left to save the file or the one on the right to throw it away"
    for early, first in ((True, "press the button on the left to save the file"), (False, text.lower())):
        request = tts.begin(text, "celeste", early=early).next_request()
        assert request is not None and request.piece.text == first


def test_each_voice_is_nearest_to_itself(tts: vivavoce.TTS) -> None:
    from vivavoce.models.speaker_torch import load_speaker_encoder

    encoder = load_speaker_encoder()
    references = {v.name: v.embedding for v in vivavoce.voices()}
    assert list(references) == list(BUILTIN_VOICES)
    for name in BUILTIN_VOICES:
        speech = tts.speak(SENTENCE, voice=name, seed=2)
        made = encoder.embed(speech.samples, speech.sample_rate)
        assert max(references, key=lambda other: float(references[other] @ made)) == name


def test_a_recording_lends_its_voice(tts: vivavoce.TTS, tmp_path: Path) -> None:
    """Other format, rate and channels, no transcript: orion's recording at 44.1 kHz in stereo sounds like orion."""
    from vivavoce.models.speaker_torch import load_speaker_encoder

    orion = next(v for v in tts.voices if v.name == "orion")
    copy = audio.resample(orion.samples, orion.sample_rate, 44_100)
    import soundfile

    soundfile.write(tmp_path / "me.flac", np.stack((copy, copy), 1), 44_100)
    speech = tts.speak(SENTENCE, voice=vivavoce.Voice.from_file(tmp_path / "me.flac"), seed=2)
    made = load_speaker_encoder().embed(speech.samples, speech.sample_rate)
    scores = {v.name: float(v.embedding @ made) for v in tts.voices if v.embedding is not None}
    assert max(scores, key=lambda name: scores[name]) == "orion"


@pytest.mark.slow
def test_a_recogniser_understands_it(tts: vivavoce.TTS) -> None:
    pytest.importorskip("faster_whisper")
    from vivavoce.metrics.asr import WhisperRecognizer
    from vivavoce.metrics.words import word_errors

    try:
        recogniser = WhisperRecognizer(os.environ.get("VIVAVOCE_ASR", "base"))
    except ValueError as error:
        pytest.skip(str(error))
    for name in BUILTIN_VOICES:
        speech = tts.speak(SENTENCE, voice=name, seed=1)
        heard = recogniser.transcribe(speech.samples, speech.sample_rate)
        assert word_errors(SENTENCE, heard).wer <= 0.4, f"{name}: {heard}"
