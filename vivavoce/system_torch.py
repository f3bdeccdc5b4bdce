"""A loaded nanospeech system in PyTorch: characters and a voice in, waveforms out, numpy on both sides.

Puts together what the engine, the duration model, the vocoder and the speaker encoder each do alone. Noise comes from
numpy, so that one seed means the same noise on every device and backend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vivavoce import solvers
from vivavoce.audio import Samples
from vivavoce.config import SamplingConfig, SpeakOptions
from vivavoce.engines.nanospeech_torch import FILLER, CharacterDurations, DurationTransformer, Nanospeech
from vivavoce.mel_torch import LogMel
from vivavoce.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.text import CharTokenizer, evenly_in_words, read_vocabulary

if TYPE_CHECKING:
    from vivavoce.vocoder_torch import Vocoder
    from vivavoce.voices import Voice

MAX_FRAMES = 4096  # what the published models were trained for: 43 s
SHORTEST = 12  # frames: an eighth of a second, less is no word


@dataclass(frozen=True)
class Placement:
    """Where and in which precision a model runs."""

    device: torch.device
    dtype: torch.dtype


def placement(device: str, dtype: str) -> Placement:
    """ "auto" takes CUDA, then Apple's MPS, then the CPU. Raises ValueError for a device that is not here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device is {device!r}; it must be auto, cpu, cuda or mps")
    if (kind == "cuda" and not torch.cuda.is_available()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise ValueError(f"device is {device!r}, which this machine (or this build of PyTorch) does not have")
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"dtype is {dtype!r}; it must be float32, bfloat16 or float16")
    try:
        return Placement(torch.device(device), getattr(torch, dtype))
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}: {str(error).splitlines()[0]}") from None


def read_characters(path: Path) -> list[str]:
    """The entries of a published vocab.txt, in the order of their ids."""
    return read_vocabulary(path)


class NanospeechSystem:
    """Text and voice → waveform. `duration` None: the length is estimated from the reference's pace."""

    def __init__(
        self,
        model: Nanospeech,
        duration: CharacterDurations | DurationTransformer | None,
        vocoder: Vocoder,
        characters: Iterable[str],
        sampling: SamplingConfig,
        where: Placement,
        compile: bool = False,
    ):
        mel, theirs = model.config.mel, vocoder.config.mel
        if (mel.sample_rate, mel.hop, mel.n_fft, mel.n_mels) != (
            theirs.sample_rate,
            theirs.hop,
            theirs.n_fft,
            theirs.n_mels,
        ):
            raise ValueError(f"the vocoder's frames ({theirs.to_dict()}) are not the model's ({mel.to_dict()})")
        self.where = where
        self.model = model.to(where.device, where.dtype)
        # Durations stay in float32: they are a sum, and cheap. So does the vocoder: its phases lose precision in half.
        self.duration = None if duration is None else duration.to(where.device)
        self.vocoder = vocoder.to(where.device)
        self.log_mel = LogMel(mel).to(where.device)
        self.vocoder_mel = LogMel(theirs).to(where.device)
        self.tokenizer = CharTokenizer(list(characters))
        self.sampling = sampling
        self._speaker: SpeakerEncoder | None = None
        if compile:
            self.model.transformer.forward = torch.compile(self.model.transformer.forward, dynamic=True)  # type: ignore[method-assign]

    @property
    def sample_rate(self) -> int:
        return self.model.config.mel.sample_rate

    @property
    def frame_rate(self) -> float:
        return self.model.config.mel.frame_rate

    @property
    def uses_transcript(self) -> bool:
        """Whether the reference's words must be known, because the model continues its recording."""
        return self.model.config.audio_prompt

    # ---- speaking -------------------------------------------------------------------------------------------------

    def seconds(self, texts: list[str], voice: Voice, speed: float) -> list[float]:
        """Predicted length of each text in the voice, at `speed`."""
        return [float(frames.sum()) / self.frame_rate for frames in self._durations(texts, voice, speed)]

    @torch.inference_mode()
    def waves(
        self,
        texts: list[str],
        voice: Voice,
        options: SpeakOptions,
        seeds: list[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[Samples]:
        """Each text spoken, float32 [S] in about [-1, 1]. `options` must have no None but in `seed`.

        Raises ValueError for a missing transcript, or a text longer than the model can speak at once.
        """
        mels = self._frames(texts, voice, options, seeds, progress)
        return [self.vocoder(mel[None]).float()[0].cpu().numpy() for mel in mels]

    def copy_synthesis(self, samples: Samples) -> Samples:
        """A recording [S] at the model's rate → its log-mel frames → the vocoder: what the vocoder alone does."""
        with torch.inference_mode():
            wave = torch.from_numpy(np.asarray(samples, np.float32))[None].to(self.where.device)
            return self.vocoder(self.vocoder_mel(wave)).float()[0].cpu().numpy()

    def _frames(
        self,
        texts: list[str],
        voice: Voice,
        options: SpeakOptions,
        seeds: list[int],
        progress: Callable[[float], None] | None,
    ) -> list[Tensor]:
        """Log-mel frames [N, M] of each text."""
        assert options.steps is not None and options.method is not None
        assert options.cfg is not None and options.sway_coef is not None
        config, device, dtype = self.model.config, self.where.device, self.where.dtype
        durations = self._durations(texts, voice, options.speed)
        prompt = self._prompt(voice) if config.audio_prompt else None
        known = 0 if prompt is None else prompt.shape[1]
        lengths = [known + max(SHORTEST, round(float(d.sum()))) for d in durations]
        if max(lengths) > MAX_FRAMES:
            raise ValueError(
                f"a piece of {max(lengths) / self.frame_rate:.1f} s with its reference; the model speaks at most "
                f"{MAX_FRAMES / self.frame_rate:.1f} s at once"
            )
        noise = solvers.starting_noise(seeds, lengths, config.mel.n_mels, self.sampling.temperature)
        batch = len(texts)
        mel = self.model.sample(
            torch.from_numpy(noise).to(device, dtype),
            self._ids([self._read(t, voice) for t in texts]),
            torch.tensor(lengths, device=device),
            times=solvers.schedule(options.steps, options.sway_coef),
            method=options.method,
            cfg=options.cfg,
            durations=self._stretch(durations, voice, known) if config.text_align == "durations" else None,
            prompt=None if prompt is None else prompt.to(dtype).expand(batch, -1, -1),
            prompt_lengths=None if prompt is None else torch.full((batch,), known, device=device),
            speaker=self._vector(voice).to(dtype).expand(batch, -1) if config.speaker_dim else None,
            progress=progress,
        )
        return [m[known:length].float() for m, length in zip(mel, lengths, strict=True)]

    # ---- what the models are given --------------------------------------------------------------------------------

    def _read(self, text: str, voice: Voice) -> str:
        """The characters that the model sees for a text."""
        if self.model.config.audio_prompt:
            return f"{self._transcript(voice)} {text}"
        if self.model.config.text_align == "pad":
            return text
        return f" {text.strip()} "  # the silences at both ends belong to a space, as in training

    def _transcript(self, voice: Voice) -> str:
        if not voice.transcript:
            raise ValueError(
                f"voice {voice.name!r} has no transcript; this model continues the reference recording and has to know "
                "what is said in it"
            )
        return self.tokenizer.fit(voice.transcript)[0].strip()

    def _ids(self, texts: list[str]) -> Tensor:
        ids = [torch.tensor(self.tokenizer.encode(t)) for t in texts]
        return pad_sequence(ids, True, FILLER).to(self.where.device)

    def _stretch(self, durations: list[np.ndarray], voice: Voice, known: int) -> Tensor | None:
        """Frames of each character that the model sees [B, T]: of the reference's, its `known` frames, then the text's.

        None, for even stretching, where the duration model knows no characters.
        """
        if not isinstance(self.duration, CharacterDurations):
            return None
        if self.model.config.audio_prompt:
            reference = self._character_frames([f"{self._transcript(voice)} "], voice)[0]
            reference *= known / reference.sum()
            durations = [np.concatenate((reference, d)) for d in durations]
        return pad_sequence([torch.from_numpy(d) for d in durations], True).to(self.where.device)

    @torch.inference_mode()
    def _durations(self, texts: list[str], voice: Voice, speed: float) -> list[np.ndarray]:
        """Frames of each character of each text, or one number for the whole where the model gives that.

        Only the speech to be made counts and is scaled by `speed`, never the reference.
        """
        if isinstance(self.duration, CharacterDurations):
            frames = self._character_frames([self._read(t, voice) for t in texts], voice)
            reference = len(self._read("", voice)) if self.model.config.audio_prompt else 0
            return [f[reference:] / speed for f in frames]
        if self.duration is not None:
            prompt = self._prompt(voice)
            made = []
            for text in texts:
                ids = self._ids([self._read(text, voice)])
                # The model sees no more of the text than there are frames: as published, zeros make up for what a
                # short reference lacks, and count as its frames.
                mel = F.pad(prompt, (0, 0, 0, max(0, ids.shape[1] - prompt.shape[1])))
                length = torch.tensor([mel.shape[1]], device=self.where.device)
                total = self.duration.predict(mel, ids, length)
                left = float(total[0]) * self.frame_rate - prompt.shape[1]
                made.append(np.array([max(left, SHORTEST) / speed], np.float32))
            return made
        spoken = self._transcript(voice)
        pace = len(voice.samples) / self.model.config.mel.hop / max(1, len(spoken.encode()))  # frames a byte
        return [np.array([pace * len(t.encode()) / speed], np.float32) for t in texts]

    def _character_frames(self, read: list[str], voice: Voice) -> list[np.ndarray]:
        """Frames of each character of each reading, at its natural speed."""
        assert isinstance(self.duration, CharacterDurations)
        speaker = self._vector(voice).expand(len(read), -1) if self.duration.config.speaker_dim else None
        frames = self.duration.predict(self._ids(read), speaker).float().cpu().numpy()
        return [evenly_in_words(t, f[: len(t)]) for t, f in zip(read, frames, strict=True)]

    def _prompt(self, voice: Voice) -> Tensor:
        """Log-mel frames [1, P, M] of the reference."""
        wave = torch.from_numpy(np.ascontiguousarray(voice.samples, np.float32))[None]
        return self.log_mel(wave.to(self.where.device))

    def _vector(self, voice: Voice) -> Tensor:
        """Speaker vector [1, V]; made from the recording where the voice has none yet."""
        vector = voice.embedding
        if vector is None:
            vector = self.embedded(voice).embedding
        return torch.from_numpy(cast(np.ndarray, vector).astype(np.float32))[None].to(self.where.device)

    def embedded(self, voice: Voice) -> Voice:
        """The voice with its speaker vector, for keeping: it takes a moment to compute."""
        if voice.embedding is not None or not self.model.config.speaker_dim:
            return voice
        if self._speaker is None:
            self._speaker = load_speaker_encoder(device=str(self.where.device))
        return dataclasses.replace(voice, embedding=self._speaker.embed(voice.samples, self.sample_rate))
