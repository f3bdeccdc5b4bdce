"""The nanospeech system without its backend: requests in, numpy out.

Combines the network, the duration model, the vocoder and the speaker encoder. `nanospeech_torch` and `nanospeech_mlx`
add the tensor operations. Noise comes from numpy, so a seed means the same noise on every device and backend.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from cachetools import LRUCache

from vivavoce.audio.dsp import Samples
from vivavoce.models import solvers
from vivavoce.models.nanospeech import FILLER, SamplingConfig
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult, shared_options
from vivavoce.text.phones import PhoneChannel
from vivavoce.text.pieces import Piece, between_spaces
from vivavoce.text.prosody import NEUTRAL, Prosody
from vivavoce.text.prosody import channels as channels_of
from vivavoce.text.tokenizer import CharTokenizer, evenly_in_words

if TYPE_CHECKING:
    from vivavoce.bundles import VoiceWeights
    from vivavoce.checkpoints.weights import NanospeechParts
    from vivavoce.voices import Voice

MAX_FRAMES = 4096  # the published models were trained on no more: 43 s
MIN_FRAMES = 12  # an eighth of a second; no word is shorter
EDGE_FRAMES = 9  # of silence at either end: about as much as in the training corpus
LEAST_FRAMES = 30  # of a text without its edges, a third of a second: shorter ones, such as "A", are easily misheard
# For a retry of a piece that came out truncated. Single words last longer than the duration model predicts, above all
# in fast voices: with these two, one voice read all 48 of six words that it had truncated in half of its readings. They
# are not the default, because in voices whose words fit, that much silence costs words: they are drawn out.
EXTRA_EDGE_FRAMES = 20  # of silence at either end
EXTRA_DURATION = 1.15  # factor on the frames of a text that is shorter than any in the training corpus
MAX_TRAINED = 8  # trained voices whose networks stay in memory
MAX_PREDICTED = 32  # texts whose durations are kept: a plan predicts them, and its synthesis needs them again


class BaseNanospeechSystem(ABC):
    """Text and voice → waveform; a backend subclasses it. `duration` None: the reference's pace gives the length.

    In the shapes, B is a batch, T characters, N frames, M mel bins, V the speaker vector, S samples. `Any` stands for
    the backend's modules and tensors.
    """

    log_mel: Any  # waveform [B, S] -> frames [B, N, M] as the model reads them; set by the backend
    vocoder_mel: Any  # as the vocoder reads them
    reload: Callable[[VoiceWeights], NanospeechParts] | None = None  # loads the networks with a voice's trained weights

    def __init__(
        self, model: Any, duration: Any, vocoder: Any, characters: Iterable[str], sampling: SamplingConfig
    ) -> None:
        mel, theirs = model.config.mel, vocoder.config.mel
        for name in ("sample_rate", "hop", "n_fft", "n_mels"):
            if getattr(mel, name) != getattr(theirs, name):
                raise ValueError(f"the vocoder's frames ({theirs.to_dict()}) are not the model's ({mel.to_dict()})")
        if model.config.text_align == "letters" and not (duration is not None and duration.config.letters):
            raise ValueError("the model needs the length of each letter; the duration model only predicts words'")
        self.model, self.duration, self.vocoder = model, duration, vocoder
        self.sampling = sampling
        self.tokenizer = CharTokenizer(list(characters))
        self._speaker: Any = None
        self._phone_channels: dict[tuple[str, ...], PhoneChannel] = {}  # by inventory
        self._trained: MutableMapping[str, BaseNanospeechSystem] = LRUCache(MAX_TRAINED)  # by digest
        self._predicted: MutableMapping[tuple[Any, ...], np.ndarray] = LRUCache(MAX_PREDICTED)

    @property
    def sample_rate(self) -> int:
        return cast(int, self.model.config.mel.sample_rate)

    @property
    def frame_rate(self) -> float:
        return cast(float, self.model.config.mel.frame_rate)

    @property
    def uses_transcript(self) -> bool:
        """Whether the voice needs a transcript, because the model continues its recording."""
        return cast(bool, self.model.config.audio_prompt)

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the model's languages, the main one first."""
        return self.model.config.languages or ("en",)

    @property
    def prosody(self) -> bool:
        """Whether pieces may state a pitch, range, energy, pace and emphasis."""
        return bool(self.model.config.prosody) and self._predicts_characters and bool(self.duration.config.prosody)

    @property
    def by_letters(self) -> bool:
        """Whether pieces may state the length of each of their characters."""
        return self._predicts_characters and self.model.config.text_align == "letters"

    # ---- what a backend adds ----------------------------------------------------------------------------------------

    @abstractmethod
    def _running(self) -> AbstractContextManager[Any]:
        """Return a context in which the backend runs networks without gradients, on the system's device."""

    @abstractmethod
    def _tensor(self, array: np.ndarray) -> Any:
        """Move an array to the device; integers become the backend's index type."""

    @abstractmethod
    def _cast(self, tensor: Any) -> Any:
        """Convert a tensor to the network's precision."""

    @abstractmethod
    def _float(self, tensor: Any) -> Any:
        """Convert a tensor to float32."""

    @abstractmethod
    def _numpy(self, tensor: Any) -> np.ndarray:
        """Return a tensor as float32."""

    @abstractmethod
    def _padded(self, items: Sequence[Any], filler: float = 0) -> Any:
        """Pad tensors [T, ...] of unequal length at their ends and stack them: [B, max T, ...]."""

    @abstractmethod
    def _load_speaker_encoder(self) -> Any:
        """Return the bundled speaker encoder."""

    def _place(self, parts: NanospeechParts) -> None:
        """Replace the networks."""
        self.model, self.duration = parts.model, parts.duration
        self._predicted = LRUCache(MAX_PREDICTED)
        self._place_networks()

    def _place_networks(self) -> None:  # noqa: B027
        """Move the networks to the system's device and precision, in a backend that has several."""

    # ---- trained voices ---------------------------------------------------------------------------------------------

    @property
    def adapts(self) -> bool:
        """Whether the system can speak with the trained weights of a voice."""
        return self.reload is not None

    def _of(self, voice: Voice) -> BaseNanospeechSystem:
        """Return the system that speaks a voice: this one, or a copy whose networks have the voice's trained weights.

        Raises ValueError for weights that were trained from another model, or are damaged.
        """
        weights = voice.weights
        if weights is None or self.reload is None:
            return self
        system = self._trained.get(weights.digest)
        if system is None:
            system = copy.copy(self)
            system._place(self.reload(weights))
            self._trained[weights.digest] = system
        return system

    # ---- synthesis --------------------------------------------------------------------------------------------------

    def predict_durations(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        """Return the predicted seconds of each piece at `speed`, without the pause after it."""
        count = len(pieces)
        durations = self._of(voice)._durations(pieces, [voice] * count, [speed] * count, [False] * count)
        return [float(frames.sum()) / self.frame_rate for frames in durations]

    def synthesize(
        self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None = None
    ) -> list[SynthesisResult]:
        """Speak each request, float32 [S], about -1 to 1. Requests may differ in everything except their sampling
        options.

        Raises ValueError if they differ in those, for an option that this engine lacks, a missing transcript, a
        language that is not in `languages`, or a text that is too long for one piece.
        """
        for job in jobs:
            job.options.check_engine(self.sampling.OPTIONS)
            unknown = [code for code, _ in job.piece.languages if code not in self.languages]
            if unknown:
                raise ValueError(
                    f"{job.piece.text!r} is in {unknown[0]!r}; this model speaks {', '.join(self.languages)}"
                )
        groups: dict[str, list[int]] = {}  # the requests of each trained voice, and those of all others
        for number, job in enumerate(jobs):
            groups.setdefault(job.voice.weights.digest if job.voice.weights else "", []).append(number)
        if len(groups) == 1:
            return self._of(jobs[0].voice)._speak(jobs, progress)
        shared_options(jobs, self.sampling.OPTIONS)
        results: dict[int, SynthesisResult] = {}
        for numbers in groups.values():
            before, share = len(results) / len(jobs), len(numbers) / len(jobs)

            def report(done: float, before: float = before, share: float = share) -> None:
                if progress is not None:
                    progress(before + share * done)

            some = [jobs[number] for number in numbers]
            results |= zip(numbers, self._of(some[0].voice)._speak(some, report), strict=True)
        return [results[number] for number in range(len(jobs))]

    def _speak(self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None) -> list[SynthesisResult]:
        """Speak requests, all with the networks of this system."""
        with self._running():
            pieces, voices = [job.piece for job in jobs], [job.voice for job in jobs]
            speeds, extra = [job.options.speed for job in jobs], [job.extra_duration for job in jobs]
            durations = self._durations(pieces, voices, speeds, extra)
            results = []
            for mel, piece, frames in zip(self._frames(jobs, durations, progress), pieces, durations, strict=True):
                wave = self._numpy(self.vocoder(mel[None]))[0]
                results.append(self._timed(wave, piece.text, frames))
            return results

    def copy_synthesis(self, samples: Samples) -> Samples:
        """Send a recording [S] at the model's rate through log-mel frames and the vocoder."""
        with self._running():
            wave = self._tensor(np.asarray(samples, np.float32))[None]
            return self._numpy(self.vocoder(self.vocoder_mel(wave)))[0]

    def embedded(self, voice: Voice) -> Voice:
        """Return the voice with its speaker vector, to be kept: computing it takes a moment.

        A vector of another size is another encoder's and is replaced. Raises ValueError if the bundled encoder's
        vectors are of another size, too.
        """
        self._of(voice)  # wrong weights are reported before anything is spoken
        wanted = self.model.config.speaker_dim
        if not wanted or (voice.embedding is not None and len(voice.embedding) == wanted):
            return voice
        if self._speaker is None:
            self._speaker = self._load_speaker_encoder()
        with self._running():
            vector = self._speaker.embed(voice.samples, self.sample_rate)
        if len(vector) != wanted:
            raise ValueError(
                f"voice {voice.name!r}: the model needs a speaker vector of {wanted} numbers; the bundled encoder's "
                f"vectors have {len(vector)}"
            )
        return dataclasses.replace(voice, embedding=vector)

    def _frames(
        self, jobs: list[SynthesisRequest], durations: list[np.ndarray], progress: Callable[[float], None] | None
    ) -> list[Any]:
        """Generate the log-mel frames [N, M] of each request from the durations of its text."""
        options = shared_options(jobs, self.sampling.OPTIONS)
        assert options.steps is not None and options.method is not None
        assert options.cfg is not None and options.sway_coef is not None
        config = self.model.config
        voices = [job.voice for job in jobs]
        prompts = [self._prompt(voice) for voice in voices] if config.audio_prompt else None
        known = [0] * len(jobs) if prompts is None else [len(prompt) for prompt in prompts]
        lengths = [k + max(MIN_FRAMES, round(float(d.sum()))) for k, d in zip(known, durations, strict=True)]
        if max(lengths) > MAX_FRAMES:
            raise ValueError(
                f"a piece of {max(lengths) / self.frame_rate:.1f} s with its reference; the model speaks at most "
                f"{MAX_FRAMES / self.frame_rate:.1f} s at once"
            )
        temperature = self.sampling.temperature if options.temperature is None else options.temperature
        noise = solvers.starting_noise([job.seed for job in jobs], lengths, config.mel.n_mels, temperature)
        mel = self.model.sample(
            self._cast(self._tensor(noise)),
            self._ids([self._read(job.piece.text, job.voice) for job in jobs]),
            self._tensor(np.array(lengths)),
            times=solvers.schedule(options.steps, options.sway_coef),
            method=options.method,
            cfg=options.cfg,
            durations=self._stretch(durations, voices, known) if config.by_durations else None,
            prompt=None if prompts is None else self._cast(self._padded(prompts)),
            prompt_lengths=None if prompts is None else self._tensor(np.array(known)),
            speaker=self._cast(self._vectors(voices)) if config.speaker_dim else None,
            **self._text_channels(config, [job.piece for job in jobs]),
            **self._semantic_codes(jobs, durations, lengths),
            progress=progress,
        )
        return [self._float(m[k:length]) for m, k, length in zip(mel, known, lengths, strict=True)]

    def _semantic_codes(
        self, jobs: list[SynthesisRequest], durations: list[np.ndarray], lengths: list[int]
    ) -> dict[str, Any]:
        """Return what the network reads besides the text: here nothing; `codes.FramesSystem` adds semantic codes."""
        return {}

    def _timed(self, wave: Samples, text: str, frames: np.ndarray) -> SynthesisResult:
        """Add to a wave [S] the times of its text's characters, if the duration model predicts their `frames`."""
        if not self._predicts_characters:
            return SynthesisResult(wave)
        times = np.cumsum(np.concatenate(([0.0], frames)))
        times *= len(wave) / self.sample_rate / times[-1]
        # a text that is read with a space at both ends has lost its own
        bare = self.model.config.audio_prompt or self.model.config.text_align == "pad"
        first = 0 if bare else 1 - (len(text) - len(text.lstrip()))
        places = np.clip(np.arange(len(text) + 1) + first, 0, len(frames))
        return SynthesisResult(wave, times[places[1:]].astype(np.float32), start=float(times[places[0]]))

    # ---- the networks' inputs ---------------------------------------------------------------------------------------

    @property
    def _predicts_characters(self) -> bool:
        """Whether the duration model predicts the frames of each character."""
        return self.duration is not None and self.duration.config.kind == "characters"

    def _read(self, text: str, voice: Voice) -> str:
        """Return the characters that the model reads for a text."""
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

    def _ids(self, texts: list[str]) -> Any:
        """Return character ids [B, T]."""
        return self._padded([self._tensor(np.array(self.tokenizer.encode(t), np.int64)) for t in texts], FILLER)

    def _text_channels(self, config: Any, pieces: list[Piece]) -> dict[str, Any]:
        """Return the languages [B, T], phones [B, T, 2] and prosody [B, T, 6] of the characters that a network reads.

        Only networks without an audio prompt have them, so there is no reference text before the piece's.
        """
        channels: dict[str, Any] = {}
        if config.prosody and any(piece.prosody for piece in pieces):
            rows = [channels_of(self._character_prosody(piece)) for piece in pieces]
            channels["prosody"] = self._padded([self._tensor(row) for row in rows])
        if not config.languages and not config.phones:
            return channels
        spoken = [self._character_languages(piece) for piece in pieces]
        if config.languages:
            numbers = {code: number for number, code in enumerate(config.languages)}
            rows = [np.array([numbers.get(code, 0) for code in row], np.int64) for row in spoken]
            channels["languages"] = self._padded([self._tensor(row) for row in rows])
        if config.phones:
            channel = self._phone_channels.setdefault(config.phones, PhoneChannel(config.phones))
            ids = []
            for piece, row in zip(pieces, spoken, strict=True):
                shift = 1 - (len(piece.text) - len(piece.text.lstrip()))
                given = [(start + shift, end + shift, phones) for start, end, phones in piece.phones]
                ids.append(channel.ids(f" {piece.text.strip()} ", row, given))
            channels["phones"] = self._padded([self._tensor(row.astype(np.int64)) for row in ids])
        return channels

    def _character_languages(self, piece: Piece) -> list[str]:
        """Return the language of each character that the model reads for a piece: its text between two spaces."""
        return between_spaces(piece.text, piece.languages, self.languages[0])

    def _character_prosody(self, piece: Piece) -> list[Prosody]:
        """Return the prosody of each character that the model reads for a piece. No space is emphasised."""
        found = between_spaces(piece.text, piece.prosody, NEUTRAL)
        read = f" {piece.text.strip()} "
        return [
            dataclasses.replace(prosody, stress=0.0) if c == " " and prosody.stress else prosody
            for c, prosody in zip(read, found, strict=True)
        ]

    def _stretch(self, durations: list[np.ndarray], voices: list[Voice], known: list[int]) -> Any:
        """Return the frames of each character that the model reads [B, T].

        The reference's come first and add up to its `known` frames. None, for even stretching, if the duration model
        does not predict characters.
        """
        if not self._predicts_characters:
            return None
        if self.model.config.audio_prompt:
            spoken = self._character_frames([f"{self._transcript(voice)} " for voice in voices], voices)
            durations = [
                np.concatenate((reference * (k / reference.sum()), d))
                for reference, k, d in zip(spoken, known, durations, strict=True)
            ]
        return self._padded([self._tensor(d) for d in durations])

    def _durations(
        self, pieces: list[Piece], voices: list[Voice], speeds: list[float], extra_duration: list[bool]
    ) -> list[np.ndarray]:
        """Return the frames of each character of each piece, or one number for the whole if the model predicts that.

        Only the new speech counts and is scaled by its speed, never the reference.
        """
        with self._running():
            if self._predicts_characters:
                return self._character_durations(pieces, voices, speeds, extra_duration)
            texts = [piece.text for piece in pieces]
            if self.duration is not None:
                return self._total_durations(texts, voices, speeds)
        results = []
        for text, voice, speed in zip(texts, voices, speeds, strict=True):
            spoken = max(1, len(self._transcript(voice).encode()))
            pace = len(voice.samples) / self.model.config.mel.hop / spoken  # frames a byte
            results.append(np.array([pace * len(text.encode()) / speed], np.float32))
        return results

    def _character_durations(
        self, pieces: list[Piece], voices: list[Voice], speeds: list[float], extra_duration: list[bool]
    ) -> list[np.ndarray]:
        read = [self._read(piece.text, voice) for piece, voice in zip(pieces, voices, strict=True)]
        results = []
        # One text at a time: in a batch, rounding depends on the other texts. A length near half a frame would then be
        # rounded up in one batch and down in another, and the same seed would not mean the same speech.
        for piece, whole, voice, speed, extra in zip(pieces, read, voices, speeds, extra_duration, strict=True):
            if piece.seconds:
                own = np.array(piece.seconds, np.float32) * np.float32(self.frame_rate)
                own[-1] += 1.0  # a wave of N hops has N + 1 frames
                results.append(own)
                continue
            f = self._predicted_frames(whole, voice, piece)
            reference = len(self._read("", voice)) if self.model.config.audio_prompt else 0
            own = f[reference:].copy()
            if not reference and whole[0] == whole[-1] == " ":  # a word that sounds up to the edge is truncated there
                own[1:-1] *= max(1.0, LEAST_FRAMES / max(1.0, float(own[1:-1].sum())))
                if extra and own.sum() < self.sampling.min_seconds * self.frame_rate:
                    own *= EXTRA_DURATION
                own[[0, -1]] = np.maximum(own[[0, -1]], EXTRA_EDGE_FRAMES if extra else EDGE_FRAMES)
            results.append(own / speed)
        return results

    def _predicted_frames(self, whole: str, voice: Voice, piece: Piece) -> np.ndarray:
        """Return the frames of each character of what is read for a piece, at its natural speed."""
        key: tuple[Any, ...] | None = None
        if not self.duration.config.speaker_dim:
            key = (whole, piece.languages, piece.phones, piece.prosody)
        elif voice.embedding is not None:
            key = (whole, piece.languages, piece.phones, piece.prosody, np.asarray(voice.embedding).tobytes())
        frames = None if key is None else self._predicted.get(key)
        if frames is None:
            channels = self._text_channels(self.duration.config, [piece])
            (frames,) = self._character_frames([whole], [voice], channels)
            if key is not None:
                self._predicted[key] = frames
        return frames

    def _total_durations(self, texts: list[str], voices: list[Voice], speeds: list[float]) -> list[np.ndarray]:
        results = []
        for text, voice, speed in zip(texts, voices, speeds, strict=True):
            prompt, ids = self._prompt(voice), self._ids([self._read(text, voice)])
            # The model reads no more of the text than there are frames. As published, a short reference is padded with
            # zeros, which count as its frames.
            size = max(len(prompt), ids.shape[1])
            mel = self._padded([prompt, self._tensor(np.zeros((size, prompt.shape[1]), np.float32))])[:1]
            total = self.duration.predict(mel, ids, self._tensor(np.array([size])))
            left = float(total[0]) * self.frame_rate - len(prompt)
            results.append(np.array([max(left, MIN_FRAMES) / speed], np.float32))
        return results

    def _character_frames(
        self, read: list[str], voices: list[Voice], channels: dict[str, Any] | None = None
    ) -> list[np.ndarray]:
        """Return the frames of each character of each reading, at its natural speed; `channels` are of its text."""
        speaker = self._vectors(voices) if self.duration.config.speaker_dim else None
        frames = self._numpy(self.duration.predict(self._ids(read), speaker, **(channels or {})))
        own = [f[: len(t)] for t, f in zip(read, frames, strict=True)]
        if self.model.config.text_align == "letters":
            return own
        return [evenly_in_words(t, f) for t, f in zip(read, own, strict=True)]

    def _prompt(self, voice: Voice) -> Any:
        """Return the log-mel frames [N, M] of the reference recording."""
        return self.log_mel(self._tensor(np.ascontiguousarray(voice.samples, np.float32))[None])[0]

    def _vectors(self, voices: list[Voice]) -> Any:
        """Return speaker vectors [B, V]; those that are missing are computed from the recordings."""
        vectors = [cast(np.ndarray, self.embedded(voice).embedding) for voice in voices]
        return self._tensor(np.stack(vectors).astype(np.float32))
