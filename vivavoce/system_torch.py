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
from vivavoce.config import SamplingConfig
from vivavoce.engines.nanospeech_torch import FILLER, CharacterDurations, DurationTransformer, Nanospeech
from vivavoce.mel_torch import LogMel
from vivavoce.pieces import Job, Made, Piece, shared_options
from vivavoce.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.text import CharTokenizer, evenly_in_words, read_vocabulary

if TYPE_CHECKING:
    from vivavoce.vocoder_torch import Vocoder
    from vivavoce.voices import Voice

MAX_FRAMES = 4096  # what the published models were trained for: 43 s
SHORTEST = 12  # frames: an eighth of a second, less is no word
EDGE = 9  # frames of silence at either end: about what the recordings of the training corpus have
# Of a text that came out cut. Words alone last longer than the duration model makes them, in fast voices most of all:
# six that one voice cut in about half of their readings, it read whole in all 48 with ROOM and SLOWER. Not at once, for
# in the other voices, whose words fit, so much silence costs words: they are drawn into it.
ROOM = 20  # frames at either end
SLOWER = 1.15  # times the frames of a text shorter than any in the training corpus


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
        if model.config.text_align == "letters" and not (duration is not None and duration.config.letters):
            raise ValueError("the model asks for the length of each letter, but the duration model knows only words'")
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

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that it speaks, the usual one first."""
        return ("en",)

    # ---- speaking -------------------------------------------------------------------------------------------------

    def seconds(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        """Predicted length of each piece in the voice, at `speed`, without the pause after it."""
        count = len(pieces)
        texts = [piece.text for piece in pieces]
        durations = self._durations(texts, [voice] * count, [speed] * count, [False] * count)
        return [float(frames.sum()) / self.frame_rate for frames in durations]

    @torch.inference_mode()
    def waves(self, jobs: list[Job], progress: Callable[[float], None] | None = None) -> list[Made]:
        """Each job spoken, float32 [S] in about [-1, 1]. Jobs may differ in all but their sampling options.

        Raises ValueError where they differ in those, for an option that this engine does not have, a missing
        transcript, a language that is not in `languages`, or a text longer than the model can speak at once.
        """
        for job in jobs:
            job.options.check_engine(self.sampling.OPTIONS)
            unknown = [code for code, _ in job.piece.languages if code not in self.languages]
            if unknown:
                raise ValueError(
                    f"{job.piece.text!r} is in {unknown[0]!r}; this model speaks {', '.join(self.languages)}"
                )
        texts, voices = [job.piece.text for job in jobs], [job.voice for job in jobs]
        speeds, roomy = [job.options.speed for job in jobs], [job.roomy for job in jobs]
        durations = self._durations(texts, voices, speeds, roomy)
        made = []
        for mel, text, frames in zip(self._frames(jobs, durations, progress), texts, durations, strict=True):
            wave = self.vocoder(mel[None]).float()[0].cpu().numpy()
            made.append(self._timed(wave, text, frames))
        return made

    def copy_synthesis(self, samples: Samples) -> Samples:
        """A recording [S] at the model's rate → its log-mel frames → the vocoder: what the vocoder alone does."""
        with torch.inference_mode():
            wave = torch.from_numpy(np.asarray(samples, np.float32))[None].to(self.where.device)
            return self.vocoder(self.vocoder_mel(wave)).float()[0].cpu().numpy()

    def _frames(
        self, jobs: list[Job], durations: list[np.ndarray], progress: Callable[[float], None] | None
    ) -> list[Tensor]:
        """Log-mel frames [N, M] of each job, its text's `durations` given."""
        options = shared_options(jobs, self.sampling.OPTIONS)
        assert options.steps is not None and options.method is not None
        assert options.cfg is not None and options.sway_coef is not None
        config, device, dtype = self.model.config, self.where.device, self.where.dtype
        voices = [job.voice for job in jobs]
        prompts = [self._prompt(voice) for voice in voices] if config.audio_prompt else None
        known = [0] * len(jobs) if prompts is None else [len(prompt) for prompt in prompts]
        lengths = [k + max(SHORTEST, round(float(d.sum()))) for k, d in zip(known, durations, strict=True)]
        if max(lengths) > MAX_FRAMES:
            raise ValueError(
                f"a piece of {max(lengths) / self.frame_rate:.1f} s with its reference; the model speaks at most "
                f"{MAX_FRAMES / self.frame_rate:.1f} s at once"
            )
        temperature = self.sampling.temperature if options.temperature is None else options.temperature
        noise = solvers.starting_noise([job.seed for job in jobs], lengths, config.mel.n_mels, temperature)
        mel = self.model.sample(
            torch.from_numpy(noise).to(device, dtype),
            self._ids([self._read(job.piece.text, job.voice) for job in jobs]),
            torch.tensor(lengths, device=device),
            times=solvers.schedule(options.steps, options.sway_coef),
            method=options.method,
            cfg=options.cfg,
            durations=self._stretch(durations, voices, known) if config.by_durations else None,
            prompt=None if prompts is None else pad_sequence(prompts, True).to(dtype),
            prompt_lengths=None if prompts is None else torch.tensor(known, device=device),
            speaker=self._vectors(voices).to(dtype) if config.speaker_dim else None,
            progress=progress,
        )
        return [m[k:length].float() for m, k, length in zip(mel, known, lengths, strict=True)]

    def _timed(self, wave: Samples, text: str, frames: np.ndarray) -> Made:
        """A wave [S] of a text, with the times of its characters where the duration model tells their `frames`."""
        if not isinstance(self.duration, CharacterDurations):
            return Made(wave)
        times = np.cumsum(np.concatenate(([0.0], frames)))
        times *= len(wave) / self.sample_rate / times[-1]
        # a text that is read with a space at both ends has lost its own
        bare = self.model.config.audio_prompt or self.model.config.text_align == "pad"
        first = 0 if bare else 1 - (len(text) - len(text.lstrip()))
        places = np.clip(np.arange(len(text) + 1) + first, 0, len(frames))
        return Made(wave, times[places[1:]].astype(np.float32), start=float(times[places[0]]))

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

    def _stretch(self, durations: list[np.ndarray], voices: list[Voice], known: list[int]) -> Tensor | None:
        """Frames of each character that the model sees [B, T]: of the reference's, its `known` frames, then the text's.

        None, for even stretching, where the duration model knows no characters.
        """
        if not isinstance(self.duration, CharacterDurations):
            return None
        if self.model.config.audio_prompt:
            spoken = self._character_frames([f"{self._transcript(voice)} " for voice in voices], voices)
            durations = [
                np.concatenate((reference * (k / reference.sum()), d))
                for reference, k, d in zip(spoken, known, durations, strict=True)
            ]
        return pad_sequence([torch.from_numpy(d) for d in durations], True).to(self.where.device)

    @torch.inference_mode()
    def _durations(
        self, texts: list[str], voices: list[Voice], speeds: list[float], roomy: list[bool]
    ) -> list[np.ndarray]:
        """Frames of each character of each text, or one number for the whole where the model gives that.

        Only the speech to be made counts and is scaled by its speed, never the reference.
        """
        read = [self._read(text, voice) for text, voice in zip(texts, voices, strict=True)]
        made = []
        if isinstance(self.duration, CharacterDurations):
            frames = self._character_frames(read, voices)
            for whole, voice, speed, more, f in zip(read, voices, speeds, roomy, frames, strict=True):
                reference = len(self._read("", voice)) if self.model.config.audio_prompt else 0
                own = f[reference:].copy()
                if not reference and whole[0] == whole[-1] == " ":  # a word that sounds to the very edge is cut there
                    if more and own.sum() < self.sampling.min_seconds * self.frame_rate:
                        own *= SLOWER
                    own[[0, -1]] = np.maximum(own[[0, -1]], ROOM if more else EDGE)
                made.append(own / speed)
            return made
        if self.duration is not None:
            for whole, voice, speed in zip(read, voices, speeds, strict=True):
                prompt, ids = self._prompt(voice), self._ids([whole])
                # The model sees no more of the text than there are frames: as published, zeros make up for what a
                # short reference lacks, and count as its frames.
                mel = F.pad(prompt, (0, 0, 0, max(0, ids.shape[1] - len(prompt))))[None]
                length = torch.tensor([mel.shape[1]], device=self.where.device)
                total = self.duration.predict(mel, ids, length)
                left = float(total[0]) * self.frame_rate - len(prompt)
                made.append(np.array([max(left, SHORTEST) / speed], np.float32))
            return made
        for text, voice, speed in zip(texts, voices, speeds, strict=True):
            spoken = max(1, len(self._transcript(voice).encode()))
            pace = len(voice.samples) / self.model.config.mel.hop / spoken  # frames a byte
            made.append(np.array([pace * len(text.encode()) / speed], np.float32))
        return made

    def _character_frames(self, read: list[str], voices: list[Voice]) -> list[np.ndarray]:
        """Frames of each character of each reading, at its natural speed."""
        assert isinstance(self.duration, CharacterDurations)
        speaker = self._vectors(voices) if self.duration.config.speaker_dim else None
        frames = self.duration.predict(self._ids(read), speaker).float().cpu().numpy()
        own = [f[: len(t)] for t, f in zip(read, frames, strict=True)]
        if self.model.config.text_align == "letters":
            return own
        return [evenly_in_words(t, f) for t, f in zip(read, own, strict=True)]

    def _prompt(self, voice: Voice) -> Tensor:
        """Log-mel frames [P, M] of the reference."""
        wave = torch.from_numpy(np.ascontiguousarray(voice.samples, np.float32))[None]
        return self.log_mel(wave.to(self.where.device))[0]

    def _vectors(self, voices: list[Voice]) -> Tensor:
        """Speaker vectors [B, V]; made from the recording where a voice has none yet."""
        vectors = [cast(np.ndarray, self.embedded(voice).embedding) for voice in voices]
        return torch.from_numpy(np.stack(vectors).astype(np.float32)).to(self.where.device)

    def embedded(self, voice: Voice) -> Voice:
        """The voice with its speaker vector, for keeping: it takes a moment to compute."""
        if voice.embedding is not None or not self.model.config.speaker_dim:
            return voice
        if self._speaker is None:
            self._speaker = load_speaker_encoder(device=str(self.where.device))
        return dataclasses.replace(voice, embedding=self._speaker.embed(voice.samples, self.sample_rate))
