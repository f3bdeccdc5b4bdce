"""A loaded whisperspeech system in PyTorch: text and a voice in, waveforms out, numpy on both sides.

Puts together what T2S, S2A, the codec with its vocoder, and the speaker encoder each do alone. A piece goes on from the
one before it by that one's tokens, in both stages.

Shapes: T bytes of a text, N semantic codes, F acoustic frames, Q codebooks, V speaker vector, S samples.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vivavoce.config import SpeakOptions
from vivavoce.config_whisperspeech import T2SConfig, TokenSamplingConfig, WhisperspeechConfig
from vivavoce.engines.codec_torch import ENCODEC_BANDWIDTHS, MelCodec
from vivavoce.engines.whisperspeech_torch import PADDING, S2A, T2S
from vivavoce.pieces import Job, Made, Piece, shared_options
from vivavoce.speaker_torch import load_speaker_encoder
from vivavoce.system_torch import Placement
from vivavoce.text import ByteTokenizer
from vivavoce.vocoder_torch import Vocoder
from vivavoce.voices import Voice

Ints = npt.NDArray[np.int64]

SHARE = 0.3  # of the work that T2S does, for the progress bar
# A text that is spoken well ends long before it has taken so many times its predicted length, and so many seconds more.
LIMIT_TIMES, LIMIT_SECONDS = 2.0, 2.0


class Sounder(Protocol):
    """Acoustic codes → waveform: `codec_torch.MelCodec`, or `EncodecVocos`."""

    sample_rate: int  # Hz
    frame_rate: float  # acoustic frames a second
    quantizers: int

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, Q, F] → waveform [B, S]."""
        ...


class Encoder(Protocol):
    """Recording → speaker vector: `speaker_torch.SpeakerEncoder`, or `speaker_ecapa_torch.EcapaEncoder`."""

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.float32]:
        """Samples [S], -1 to 1, at sample_rate Hz → [V]. Raises ValueError where they are not sound."""
        ...


class EncodecVocos:
    """EnCodec's codes at 24 kHz → waveform by Vocos' EnCodec variant: EnCodec's own network is not needed to speak."""

    sample_rate = 24_000
    frame_rate = 75.0

    def __init__(self, vocoder: Vocoder, quantizers: int):
        known = {books: bandwidth for bandwidth, books in ENCODEC_BANDWIDTHS.items()}
        if quantizers not in known:
            raise ValueError(f"{quantizers} codebooks of EnCodec; it must be {', '.join(map(str, known))}")
        self.vocoder, self.quantizers, self.bandwidth = vocoder, quantizers, known[quantizers]

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, Q, F] → waveform [B, S]."""
        return self.vocoder.decode_codes(codes, self.bandwidth)


@dataclass(frozen=True, eq=False)
class Memory:
    """What was said last, or its end: what the next piece goes on from."""

    text: Ints  # bytes [T]
    languages: Ints  # of each byte, its row in T2S [T]
    semantic: Tensor  # codes [N] as T2S wrote them
    acoustic: Tensor  # codes [Q, F] as S2A wrote them
    ends: Ints | None  # how many semantic codes there are until each byte's end [T]; None: not known
    speed: float

    def tail(self, start: int, codes: int, frames: int) -> Memory:
        """Without the first `start` bytes and `codes` semantic codes, with the last `frames` acoustic frames."""
        ends = None if self.ends is None else self.ends[start:] - codes
        acoustic = self.acoustic[:, self.acoustic.shape[1] - frames :]
        return Memory(self.text[start:], self.languages[start:], self.semantic[codes:], acoustic, ends, self.speed)


@dataclass
class _Work:
    """A job on its way through the stages. The text and the codes of a prompt stand before its own."""

    text: Ints  # bytes
    languages: Ints
    sizes: Ints  # bytes of each character of the piece
    pace: float  # characters a second, asked of T2S
    faster: float  # how many times faster than T2S wrote them its codes are read
    limit: int  # of new semantic codes
    prompt: Memory | None


class WhisperspeechSystem:
    """Text in its languages, and a voice → waveform.

    speaker: loads the encoder of the vectors that S2A reads, when a voice without one is first to be spoken; None: the
    bundled one.
    """

    def __init__(
        self,
        t2s: T2S,
        s2a: S2A,
        codec: Sounder,
        sampling: WhisperspeechConfig,
        where: Placement,
        *,
        t2s_sampling: TokenSamplingConfig | None = None,
        s2a_sampling: TokenSamplingConfig | None = None,
        speaker: Callable[[], Encoder] | None = None,
        compile: bool = False,
    ):
        a, b = t2s.config, s2a.config
        if (a.codes, b.quantizers) != (b.semantic_codes, codec.quantizers):
            raise ValueError(
                f"models that do not go together: t2s has {a.codes} semantic codes and s2a {b.semantic_codes}; "
                f"s2a has {b.quantizers} codebooks and the codec {codec.quantizers}"
            )
        self.where = where
        self.t2s, self.s2a = t2s.to(where.device, where.dtype), s2a.to(where.device, where.dtype)
        self.codec, self.sampling = codec, sampling
        self.t2s_sampling = t2s_sampling or TokenSamplingConfig()
        self.s2a_sampling = s2a_sampling or TokenSamplingConfig()
        self.tokenizer = ByteTokenizer()
        self._load_speaker = speaker or functools.partial(load_speaker_encoder, device=where.device)
        self._speaker: Encoder | None = None
        if compile:
            self.t2s.compile_step()
            self.s2a.compile_step()

    @property
    def sample_rate(self) -> int:
        return self.codec.sample_rate

    @property
    def code_rate(self) -> float:
        """Semantic codes a second."""
        return self.codec.frame_rate / self.s2a.config.frames_per_code

    @property
    def uses_transcript(self) -> bool:
        return False

    @property
    def languages(self) -> tuple[str, ...]:
        return self.t2s.config.languages

    # ---- speaking -------------------------------------------------------------------------------------------------

    def seconds(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        """Predicted length of each piece at `speed`: T2S is told how many characters to say in a second.

        More than `max_seconds` too for a piece of more bytes than the model reads, so that it is cut.
        """
        share = self.sampling.max_seconds / self.t2s.config.max_bytes
        return [
            max(self.sampling.seconds(len(piece.text), speed), len(piece.text.encode()) * share) for piece in pieces
        ]

    @torch.inference_mode()
    def waves(self, jobs: list[Job], progress: Callable[[float], None] | None = None) -> list[Made]:
        """Each job spoken, float32 [S]. Jobs may differ in piece, voice, seed, speed and memory.

        Raises ValueError where they differ in temperature or top_k, for options that this engine does not have, unknown
        languages, a text longer than the model can speak at once, or a voice without the speaker vector that it needs.
        """
        options = shared_options(jobs, WhisperspeechConfig.OPTIONS)
        for job in jobs:
            job.options.check_engine(WhisperspeechConfig.OPTIONS)
        works = [self._work(job) for job in jobs]
        written, ended = self._write(works, jobs, _drawn(self.t2s_sampling, options), _scaled(progress, 0.0, SHARE))
        read = [self._faster(codes, work.faster) for codes, work in zip(written, works, strict=True)]
        frames = self._sound(works, jobs, read, _drawn(self.s2a_sampling, options), _scaled(progress, SHARE, 1.0))
        return [self._made(*item) for item in zip(jobs, works, written, frames, ended, strict=True)]

    def copy_synthesis(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A recording [S] at the model's rate → acoustic codes → sound: what codec and vocoder alone do.

        Raises ValueError for EnCodec's codes, which are only spoken here.
        """
        if not isinstance(self.codec, MelCodec):
            raise ValueError("copy synthesis: this model speaks EnCodec's codes, and nothing here makes them of sound")
        wave = torch.from_numpy(np.asarray(samples, np.float32))[None].to(self.where.device)
        return self.codec.decode(self.codec.encode(wave))[0].float().cpu().numpy()

    def _write(
        self,
        works: list[_Work],
        jobs: list[Job],
        sampling: TokenSamplingConfig,
        progress: Callable[[float], None] | None,
    ) -> tuple[list[Tensor], list[bool]]:
        """New semantic codes [N] of each, and whether they came to an end."""
        prompts = [torch.empty(0, dtype=torch.long) if w.prompt is None else w.prompt.semantic for w in works]
        start = min(map(len, prompts))
        longest = max(len(p) + w.limit for p, w in zip(prompts, works, strict=True)) - start
        written = self.t2s.generate(
            self._padded([torch.from_numpy(w.text) for w in works]),
            self._padded([torch.from_numpy(w.languages) for w in works]),
            torch.tensor([w.pace for w in works], device=self.where.device),
            sampling,
            prompt=self._padded(prompts),
            limit=[w.limit for w in works],
            generators=_generators(jobs, 0),
            progress=None if progress is None else lambda column: progress(min(1.0, (column - start) / longest)),
        )
        found = [codes[:n] for codes, n in zip(written.codes, written.lengths.tolist(), strict=True)]
        return found, written.ended.tolist()

    def _sound(
        self,
        works: list[_Work],
        jobs: list[Job],
        read: list[Tensor],
        sampling: TokenSamplingConfig,
        progress: Callable[[float], None] | None,
    ) -> list[Tensor]:
        """New acoustic codes [Q, F] of each; none where T2S had nothing to say."""
        books = self.s2a.config.quantizers
        made = [torch.empty(books, 0, dtype=torch.long) for _ in works]
        kept = [i for i, codes in enumerate(read) if self._frames(codes)]
        if not kept:
            return made
        semantic, prompts = [], []
        for i in kept:
            prompt = works[i].prompt
            before = read[i][:0] if prompt is None else self._faster(prompt.semantic, works[i].faster)
            semantic.append(torch.cat((before, read[i])))
            prompts.append(made[i] if prompt is None else prompt.acoustic)
        total = max(self._frames(codes) for codes in semantic) + books
        written = self.s2a.generate(
            self._padded(semantic),
            torch.from_numpy(np.stack([self._vector(jobs[i].voice) for i in kept])).to(self.where.device),
            sampling,
            prompt=self._padded([p.T for p in prompts]).transpose(1, 2),
            generators=_generators([jobs[i] for i in kept], 1),
            progress=None if progress is None else lambda column: progress(min(1.0, column / total)),
        )
        for i, codes, count in zip(kept, written.codes, written.lengths.tolist(), strict=True):
            made[i] = codes[:, :count]
        return made

    def _made(self, job: Job, work: _Work, written: Tensor, frames: Tensor, ended: bool) -> Made:
        fault = "" if ended else "speech without an end"
        if not frames.shape[1]:
            return Made(np.zeros(0, np.float32), fault=fault)
        wave = self.codec.decode(frames[None].to(self.where.device))[0].float().cpu().numpy()
        start, ends = self._times(work, written)
        size = int(work.sizes.sum())
        memory = Memory(work.text[-size:], work.languages[-size:], written, frames, ends, job.options.speed)
        if ends is None:
            return Made(wave, None, memory, fault=fault)
        rate = self.code_rate * work.faster
        seconds = np.minimum(ends[work.sizes.cumsum() - 1] / rate, len(wave) / self.sample_rate)
        return Made(wave, seconds.astype(np.float32), memory, min(start / rate, float(seconds[0])), fault)

    # ---- what the models are given --------------------------------------------------------------------------------

    def _work(self, job: Job) -> _Work:
        config = self.t2s.config
        characters = [config.reads(c).encode() for c in job.piece.text]
        sizes = np.array([len(c) for c in characters])
        text = np.frombuffer(b"".join(characters), np.uint8).astype(np.int64)
        rows = np.repeat(language_rows(job.piece, config), sizes)
        speed = self.sampling.written(job.options.speed)
        faster = job.options.speed / speed
        expected = self.sampling.seconds(len(characters), speed)
        # what both models can hold at once, in T2S' codes
        room = min(config.code_length - 1, int((self.s2a.config.max_codes - 1) * faster))
        if len(text) > config.max_bytes or expected * self.code_rate > room:
            raise ValueError(
                f"a piece of {len(text)} bytes, some {expected / faster:.1f} s; the model speaks at most "
                f"{config.max_bytes} bytes or {room / self.code_rate / faster:.1f} s at once"
            )
        limit = min(room, math.ceil((LIMIT_TIMES * expected + LIMIT_SECONDS) * self.code_rate))
        work = _Work(text, rows, sizes, len(characters) / expected, faster, limit, None)
        prompt = self._prompt(job, len(text), room - limit, faster)
        if prompt is not None:
            work.prompt = prompt
            work.text = np.concatenate((prompt.text, [ord(" ")], text))
            work.languages = np.concatenate((prompt.languages, rows[:1], rows))
            before = len(bytes(prompt.text.tolist()).decode(errors="ignore")) + 1
            seconds = len(prompt.semantic) / self.code_rate + expected
            work.pace = (before + len(characters)) / seconds
        return work

    def _prompt(self, job: Job, size: int, room: int, faster: float) -> Memory | None:
        """As much of the job's memory as `prompt_seconds`, `room` for semantic codes and the text's `size` allow.

        It is cut before a word, so that its text goes with its codes; None where that cannot be done.
        """
        memory = job.memory
        if not isinstance(memory, Memory) or memory.speed != job.options.speed:
            return None
        room = min(room, int(self.sampling.prompt_seconds * self.code_rate * faster))
        bytes_left = self.t2s.config.max_bytes - size - 1
        starts = [(0, 0)]  # byte, code
        if memory.ends is not None:
            spaces = np.flatnonzero(memory.text[:-1] == ord(" "))
            starts += [(int(at) + 1, int(memory.ends[at])) for at in spaces]
        count = len(memory.semantic)
        for start, code in starts:
            if count - code <= room and len(memory.text) - start <= bytes_left and code < count:
                frames = self._frames(self._faster(memory.semantic[code:], faster))
                if frames:
                    return memory.tail(start, code, min(frames, memory.acoustic.shape[1]))
        return None

    def _times(self, work: _Work, written: Tensor) -> tuple[int, Ints | None]:
        """How many of the new semantic codes there are before the piece's bytes, and until each of them ends [T]."""
        if self.t2s.config.alignment_layer is None or not len(written):
            return 0, None
        device = self.where.device
        before = written[:0] if work.prompt is None else work.prompt.semantic
        first = 0 if work.prompt is None else len(work.prompt.text) + 1
        weights = self.t2s.alignment(
            torch.from_numpy(work.text)[None].to(device),
            torch.from_numpy(work.languages)[None].to(device),
            torch.tensor([work.pace], device=device),
            torch.cat((before, written))[None],
        )[0, len(before) :, first:]
        path = monotonic(weights.cpu().double().numpy())
        counts = np.searchsorted(path, np.arange(len(work.text) - first + 1), side="right")
        return int(counts[0]), counts[1:]  # the first is what stands before the text

    def _faster(self, codes: Tensor, times: float) -> Tensor:
        """Semantic codes [N] read so many times faster: some are left out or repeated, evenly."""
        if times == 1 or not len(codes):
            return codes
        count = max(1, round(len(codes) / times))
        return codes[((torch.arange(count, device=codes.device) + 0.5) * (len(codes) / count)).long()]

    def _frames(self, codes: Tensor) -> int:
        return self.s2a.config.frames(len(codes))

    def _padded(self, rows: list[Tensor]) -> Tensor:
        return pad_sequence([row.to(self.where.device) for row in rows], True, PADDING)

    # ---- voices ---------------------------------------------------------------------------------------------------

    def embedded(self, voice: Voice) -> Voice:
        """The voice with its speaker vector, for keeping: it takes a moment to compute.

        A vector of another size is another encoder's; it is made anew by the model's own, which is loaded for the
        first voice that needs it. Raises ValueError where that encoder is not to be had, or the recording is silent.
        """
        wanted = self.s2a.config.speaker_dim
        have = 0 if voice.embedding is None else len(voice.embedding)
        if have == wanted:
            return voice
        if self._speaker is None:
            try:
                self._speaker = self._load_speaker()
            except ValueError as error:
                found = "no speaker vector" if voice.embedding is None else f"a speaker vector of {have} numbers"
                raise ValueError(
                    f"voice {voice.name!r} has {found}, and this model needs one of {wanted}: {error}; without it, "
                    "Voice(..., embedding=...) speaks, which Voice.save writes to the file that --voice takes"
                ) from None
        return dataclasses.replace(voice, embedding=self._speaker.embed(voice.samples, voice.sample_rate))

    def _vector(self, voice: Voice) -> npt.NDArray[np.float32]:
        vector = self.embedded(voice).embedding
        assert vector is not None
        return vector


def language_rows(piece: Piece, config: T2SConfig) -> Ints:
    """The language of each character, as its row in T2S. Raises ValueError for one that the model does not know."""
    runs = piece.languages or ((config.languages[0], len(piece.text)),)
    if sum(count for _, count in runs) != len(piece.text):
        raise ValueError(f"languages {piece.languages} of {piece.text!r}, which has {len(piece.text)} characters")
    return np.repeat([config.language(code) for code, _ in runs], [count for _, count in runs])


def monotonic(weights: npt.NDArray[np.float64]) -> Ints:
    """Weights [N, K], rows that each add up to 1 → the column of each row [N], never falling, that has most of them."""
    scores = np.log(weights + 1e-6)
    columns = np.arange(scores.shape[1])
    total, origins = scores[0], []
    for row in scores[1:]:
        best = np.maximum.accumulate(total)
        origins.append(np.maximum.accumulate(np.where(total == best, columns, 0)))
        total = best + row
    path = [int(total.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])


def _drawn(sampling: TokenSamplingConfig, options: SpeakOptions) -> TokenSamplingConfig:
    """The model's own sampling, with what the caller chose."""
    given = {name: getattr(options, name) for name in WhisperspeechConfig.OPTIONS}
    return sampling.replace(**{name: value for name, value in given.items() if value is not None})


def _generators(jobs: list[Job], stage: int) -> list[torch.Generator]:
    """For each job one that belongs to its seed and to the stage."""
    return [
        torch.Generator().manual_seed(int(np.random.SeedSequence((job.seed, stage)).generate_state(1, np.uint64)[0]))
        for job in jobs
    ]


def _scaled(progress: Callable[[float], None] | None, low: float, high: float) -> Any:
    return None if progress is None else lambda part: progress(low + (high - low) * part)
