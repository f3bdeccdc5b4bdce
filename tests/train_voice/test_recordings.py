"""Recordings of a voice: found, read, cut at pauses, transcribed, checked."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.own_voice import RATE, SAID, Recogniser, speech, write_recordings

from vivavoce.audio.io import Writer
from vivavoce.metrics.asr import Transcript
from vivavoce.metrics.mos import Opinion
from vivavoce.metrics.similarity import GE2E
from vivavoce.train_voice import clips
from vivavoce.train_voice.recordings import LONGEST, cut, find_recordings, identity, read_recording
from vivavoce.train_voice.settings import TrainVoiceConfig, advice


def quiet(description: str, done: float) -> None: ...


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def test_recordings_are_found_with_the_texts_beside_them(tmp_path: Path, root: Path) -> None:
    folder = write_recordings(root, tmp_path / "me")
    (folder / "more").mkdir()
    soundfile.write(folder / "more" / "x.ogg", noise(2.0), RATE)
    (folder / "notes.pdf").write_bytes(b"x")
    found = find_recordings(folder)
    assert [source.key for source in found] == [*(f"{n:02d}" for n in range(8)), "more/x"]
    assert found[0].text == speech(root)[0][1] and not found[-1].text
    assert identity(found) == identity(find_recordings(folder))
    (folder / "00.txt").write_text("Another text.")
    assert identity(found) != identity(find_recordings(folder))


def test_ljspeechs_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    soundfile.write(tmp_path / "wavs" / "a.wav", noise(2.0), RATE)
    (tmp_path / "metadata.csv").write_text("a|Dr. Who|Doctor Who\n")
    (source,) = find_recordings(tmp_path)
    assert source.text == "Doctor Who"


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs PyAV")
def test_a_phones_m4a_is_read(tmp_path: Path) -> None:
    with Writer(tmp_path / "memo.m4a", 44_100) as file:
        file.add(noise(3.0))
    (source,) = find_recordings(tmp_path)
    samples, bandwidth = read_recording(source.path)
    assert bandwidth == 22_050 and abs(len(samples) / RATE - 3.0 * RATE / 44_100) < 0.2
    (tmp_path / "bad.m4a").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="bad.m4a: cannot be read"):
        read_recording(tmp_path / "bad.m4a")


def test_without_recordings_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recordings in it"):
        find_recordings(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        find_recordings(tmp_path / "missing")


def test_a_long_recording_is_cut_in_its_pauses_and_loses_nothing() -> None:
    parts = [np.zeros(RATE, np.float32)]
    for number, seconds in enumerate((2.0, 1.5, 4.0, 0.9, 5.0, 2.0)):
        parts += [noise(seconds, number), np.zeros(round((0.3, 0.8, 0.4, 0.7, 0.6, 0.5)[number] * RATE), np.float32)]
    wave = np.concatenate(parts)
    found = cut(wave)
    assert len(found) > 2 and all((b - a) / RATE <= LONGEST + 0.5 for a, b in found)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))
    inside = sum(float(np.abs(wave[a:b]).sum()) for a, b in found)
    assert inside == pytest.approx(float(np.abs(wave).sum()), rel=1e-3)  # no speech lies between the clips
    for start, end in found:  # and no clip begins or ends in it
        assert max(abs(wave[start]), abs(wave[end - 1])) == 0


def test_speech_without_a_pause_is_cut_at_its_quietest_place() -> None:
    wave = noise(30.0)
    wave[round(9.0 * RATE) : round(9.1 * RATE)] *= 0.05
    found = cut(wave)
    assert all((b - a) / RATE <= LONGEST + 0.5 for a, b in found)
    assert any(abs(end / RATE - 9.05) < 0.3 for _, end in found)
    assert cut(np.zeros(RATE, np.float32)) == []


def test_recordings_without_text_are_transcribed_once_and_the_run_goes_on_where_it_was(
    tmp_path: Path, root: Path
) -> None:
    sources = find_recordings(write_recordings(root, tmp_path / "a", texts=False))
    recogniser = Recogniser()
    tally = clips.make_clips(sources, tmp_path / "clips", "me", "en", lambda: recogniser, quiet)
    made = clips.read_clips(tmp_path / "clips")
    assert tally.kept == tally.transcribed == recogniser.calls == len(made) >= 4
    assert {clip.meta["text"] for clip in made} == {SAID} and made[0].meta["words"][0][0] == "the"
    again = clips.make_clips(sources, tmp_path / "clips", "me", "en", lambda: pytest.fail("asked again"), quiet)
    assert again.kept == tally.kept


def test_what_whisper_is_unsure_of_is_dropped_and_counted(tmp_path: Path, root: Path) -> None:
    class Unsure(Recogniser):
        def transcribe_words(self, samples: object, sample_rate: int, language: str | None = None) -> Transcript:
            self.calls += 1
            sure = (0.95,) * 7 + (0.15 if self.calls == 1 else 0.95,)
            return Transcript("a b c d e f g h", tuple((w, 0.0, 0.1) for w in "abcdefgh"), sure)

    sources = find_recordings(write_recordings(root, tmp_path / "a", texts=False))
    tally = clips.make_clips(sources, tmp_path / "clips", "me", "en", Unsure, quiet)
    assert tally.dropped["an unsure word"] == 1 and tally.kept
    assert Transcript("12 men", (("12", 0, 1),), (0.99,)).doubt().startswith("digits")
    assert Transcript("").doubt() == "no words heard"


def test_other_speakers_and_noise_are_dropped(tmp_path: Path, root: Path) -> None:
    write_recordings(root, tmp_path / "me")
    from vivavoce.voices import get

    soundfile.write(tmp_path / "me" / "guest.wav", get("orion").samples, RATE)
    (tmp_path / "me" / "guest.txt").write_text("I am someone else.")

    class Dnsmos:
        def score(self, samples: object, sample_rate: int) -> Opinion:
            self.calls = getattr(self, "calls", 0) + 1
            return Opinion(2.0, 2.0, 1.0 if self.calls == 1 else 2.5)

    clips.make_clips(find_recordings(tmp_path / "me"), tmp_path / "clips", "me", "en", Recogniser, quiet)
    checked = clips.check_clips(clips.read_clips(tmp_path / "clips"), GE2E(), Dnsmos(), quiet)
    assert checked.dropped == {"another speaker": 1, "noise": 1} and len(checked.clips) == 7
    assert not any("guest" in clip.key for clip in checked.clips)
    assert any("noisy" in notice for notice in checked.notices) and any("distant" in n for n in checked.notices)


def test_little_speech_is_answered_with_advice() -> None:
    assert "--ref-audio" in advice(1.0, "me") and "expect" in advice(10.0, "me") and not advice(40.0, "me")
    with pytest.raises(ValueError, match="minutes is 0"):
        TrainVoiceConfig("me", minutes=0)
