"""What semantic codes add to the nanospeech system: conversion of voices, and T2S in front of the acoustic stage.

Both are mixed into a backend's system. Shapes: C codes, T characters, N frames, S samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples
from vivavoce.models import solvers
from vivavoce.models.nanospeech import FILLER
from vivavoce.models.whisperspeech import MaskedSamplingConfig
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.systems.nanospeech import BaseNanospeechSystem

if TYPE_CHECKING:
    from vivavoce.config import SpeakOptions
    from vivavoce.voices import Voice

Codes = npt.NDArray[np.int64]


class SpeaksCodes(BaseNanospeechSystem):
    """A nanospeech system that can speak semantic codes alone, if its model has a channel for them."""

    tokens: dict[str, Any] = {}  # noqa: RUF012  # describes the codes: "semantic" is the hash of the model that makes them

    @property
    def code_rate(self) -> float:
        """Semantic codes per second; 0 if the model reads none."""
        config = self.model.config
        return float(config.code_rate) if config.codes else 0.0

    def convert(
        self,
        codes: Sequence[Codes],
        lengths: Sequence[int],
        voice: Voice,
        options: SpeakOptions,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[Samples]:
        """Speak semantic codes [C], without a text, in a voice. The codes determine what is said, and when. lengths: of
        each item, and of its result, in samples. options: every field that the system uses is set; speed is ignored.
        Raises ValueError if the model reads no codes, or for codes that it does not have.
        """
        if (trained := self._of(voice)) is not self:
            assert isinstance(trained, SpeaksCodes)
            plain = dataclasses.replace(voice, weights=None)
            return trained.convert(codes, lengths, plain, options, seeds, progress)
        config = self.model.config
        if not config.codes:
            raise ValueError("the model reads no semantic codes, so it cannot convert voices")
        if any(len(c) == 0 or c.min() < 0 or c.max() >= config.codes for c in codes):
            raise ValueError(f"semantic codes that are not 0 to {config.codes - 1}, or none")
        assert options.steps is not None and options.method is not None
        assert options.cfg is not None and options.sway_coef is not None
        frames = [
            max(config.patch, 1 + length // config.mel.hop) for length in lengths
        ]  # as the mel of such a wave has
        temperature = self.sampling.temperature if options.temperature is None else options.temperature
        noise = solvers.starting_noise(list(seeds), frames, config.mel.n_mels, temperature)
        nothing = np.zeros((len(codes), 1), np.int64)
        with self._running():
            mel = self.model.sample(
                self._cast(self._tensor(noise)),
                self._tensor(nothing),
                self._tensor(np.array(frames)),
                times=solvers.schedule(options.steps, options.sway_coef),
                method=options.method,
                cfg=options.cfg,
                speaker=self._cast(self._vectors([voice] * len(codes))) if config.speaker_dim else None,
                codes=self._padded([self._tensor(c.astype(np.int64)) for c in codes], FILLER),
                keep_text=self._cast(self._tensor(np.zeros(len(codes), np.float32))),
                progress=progress,
            )
            waves = [self._numpy(self.vocoder(self._float(m[:n])[None]))[0] for m, n in zip(mel, frames, strict=True)]
        return [_cut(wave, length) for wave, length in zip(waves, lengths, strict=True)]


class FramesSystem(SpeaksCodes):
    """Whisperspeech's second design: durations → semantic codes in step with the text → mel frames → waveform.

    Everything else is the nanospeech system's: its durations give word times, and its pieces need no prompt.
    """

    t2s: Any
    t2s_sampling: MaskedSamplingConfig

    def add_t2s(self, t2s: Any, sampling: MaskedSamplingConfig) -> None:
        """Set the T2S network, of the backend. Raises ValueError if it and the acoustic model do not fit."""
        ours, theirs = t2s.config, self.model.config
        if (ours.codes, ours.code_rate) != (theirs.codes, theirs.code_rate):
            raise ValueError(
                f"t2s writes {ours.codes} codes, {ours.code_rate:g} a second; the acoustic model reads "
                f"{theirs.codes or 'no codes'}" + (f", {theirs.code_rate:g} a second" if theirs.codes else "")
            )
        if not self._predicts_characters or not self.duration.config.letters:
            raise ValueError("t2s needs the length of each letter, which the duration model does not predict")
        if ours.vocab_size != len(self.tokenizer.characters):
            raise ValueError(
                f"t2s reads {ours.vocab_size} characters, the acoustic model {len(self.tokenizer.characters)}"
            )
        if ours.speaker_dim not in (0, theirs.speaker_dim):
            raise ValueError(
                f"t2s needs a speaker vector of {ours.speaker_dim} numbers, the acoustic model one of "
                f"{theirs.speaker_dim}"
            )
        self.t2s, self.t2s_sampling = t2s, sampling

    def _semantic_codes(
        self, jobs: list[SynthesisRequest], durations: list[np.ndarray], lengths: list[int]
    ) -> dict[str, Any]:
        """Return the codes [B, C] of the requests, which T2S writes for the durations [T] of their characters."""
        config, passes = self.t2s.config, self.t2s_sampling.passes
        counts = [config.count(length) for length in lengths]
        # a piece lasts as long as its frames, of which there are a few at least
        spoken = [
            d * (n * config.codes_per_frame / max(1e-6, d.sum())) for d, n in zip(durations, lengths, strict=True)
        ]
        noise = None
        if self.t2s_sampling.temperature > 0:
            shape = (passes, len(jobs), max(counts), config.codes)
            drawn = np.zeros(shape, np.float32)
            for i, (job, count) in enumerate(zip(jobs, counts, strict=True)):
                random = np.random.default_rng([job.seed, 1])
                drawn[:, i, :count] = random.gumbel(size=(passes, count, config.codes))
            noise = self._tensor(drawn)
        voices = [job.voice for job in jobs]
        codes = self.t2s.generate(
            self._ids([self._read(job.piece.text, job.voice) for job in jobs]),
            self._tensor(np.array(counts)),
            self._padded([self._tensor(d.astype(np.float32)) for d in spoken]),
            passes=passes,
            temperature=self.t2s_sampling.temperature,
            noise=noise,
            speaker=self._vectors(voices) if config.speaker_dim else None,
            **self._text_channels(config, [job.piece for job in jobs]),
        )
        return {"codes": codes}


def _cut(wave: Samples, length: int) -> Samples:
    """Return `length` samples of a wave, padded with silence."""
    return np.pad(wave[:length], (0, max(0, length - len(wave))))
