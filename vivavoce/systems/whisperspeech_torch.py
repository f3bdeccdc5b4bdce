"""The whisperspeech system, in PyTorch: requests in, numpy out.

Combines T2S, S2A, the codec with its vocoder, and the speaker encoder. Each piece continues the tokens of the piece
before it, in both stages.

Shapes: T bytes of a text, N semantic codes, F acoustic frames, Q codebooks, V speaker vector, S samples.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vivavoce.checkpoints import whisperspeech as published
from vivavoce.checkpoints.resolve import ModelFiles, read_config
from vivavoce.checkpoints.weights_torch import Placement, load_vocoder, placement
from vivavoce.checkpoints.whisperspeech_torch import (
    ENCODEC,
    check_tokens,
    load_part,
    load_s2a,
    load_speaker,
    load_t2s,
    read_part,
)
from vivavoce.config import ASSETS, SpeakOptions
from vivavoce.models.codec_torch import ENCODEC_BANDWIDTHS, MelCodec, MelQuantizer
from vivavoce.models.speaker_torch import load_speaker_encoder
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.models.whisperspeech import T2SConfig, TokenSamplingConfig, WhisperspeechConfig
from vivavoce.models.whisperspeech_torch import PADDING, S2A, T2S
from vivavoce.systems.interface import LoadOptions, SynthesisRequest, SynthesisResult, shared_options
from vivavoce.text.pieces import Piece
from vivavoce.text.tokenizer import ByteTokenizer
from vivavoce.voices import Voice

Ints = npt.NDArray[np.int64]

SHARE = 0.3  # of the work that is T2S's, for the progress bar
# Generation stops at this many times the predicted length plus this many seconds; good speech ends long before.
LIMIT_TIMES, LIMIT_SECONDS = 2.0, 2.0


class AcousticDecoder(Protocol):
    """Acoustic codes → waveform: `codec_torch.MelCodec` or `EncodecVocos`."""

    sample_rate: int  # Hz
    frame_rate: float  # acoustic frames a second
    quantizers: int

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, F] to waveforms [B, S]."""
        ...


class Encoder(Protocol):
    """Recording → speaker vector: `speaker_torch.SpeakerEncoder` or `ecapa_torch.EcapaEncoder`."""

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.float32]:
        """Return the vector [V] of samples [S], -1 to 1. Raises ValueError for silence and what is not sound."""
        ...


class EncodecVocos:
    """EnCodec's codes at 24 kHz → waveform, by Vocos' EnCodec variant; EnCodec's own network is not needed."""

    sample_rate = 24_000
    frame_rate = 75.0

    def __init__(self, vocoder: Vocoder, quantizers: int):
        known = {books: bandwidth for bandwidth, books in ENCODEC_BANDWIDTHS.items()}
        if quantizers not in known:
            raise ValueError(f"{quantizers} codebooks of EnCodec; it must be {', '.join(map(str, known))}")
        self.vocoder, self.quantizers, self.bandwidth = vocoder, quantizers, known[quantizers]

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, F] to waveforms [B, S]."""
        return self.vocoder.decode_codes(codes, self.bandwidth)


@dataclass(frozen=True, eq=False)
class Memory:
    """The tokens of the last piece, or of its end, which the next piece continues."""

    text: Ints  # bytes [T]
    languages: Ints  # of each byte, its row in T2S [T]
    semantic: Tensor  # codes [N] as T2S wrote them
    acoustic: Tensor  # codes [Q, F] as S2A wrote them
    ends: Ints | None  # number of semantic codes up to the end of each byte [T]; None: unknown
    speed: float

    def tail(self, start: int, codes: int, frames: int) -> Memory:
        """Return it without the first `start` bytes and `codes` semantic codes, with the last `frames` frames."""
        ends = None if self.ends is None else self.ends[start:] - codes
        acoustic = self.acoustic[:, self.acoustic.shape[1] - frames :]
        return Memory(self.text[start:], self.languages[start:], self.semantic[codes:], acoustic, ends, self.speed)


@dataclass
class _Work:
    """A request on its way through the stages. A prompt's text and codes precede its own."""

    text: Ints  # bytes
    languages: Ints
    sizes: Ints  # bytes of each character of the piece
    pace: float  # characters per second, an input of T2S
    faster: float  # factor by which S2A reads the codes faster than T2S wrote them
    limit: int  # of new semantic codes
    prompt: Memory | None


class WhisperspeechSystem:
    """Text in its languages, and a voice → waveform.

    speaker: loads the encoder of the vectors that S2A reads, for the first voice without one; None: the bundled one.
    """

    uses_transcript = prosody = by_letters = False

    def __init__(
        self,
        t2s: T2S,
        s2a: S2A,
        codec: AcousticDecoder,
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
                f"models that do not fit together: t2s has {a.codes} semantic codes and s2a {b.semantic_codes}; "
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
        """Semantic codes per second."""
        return self.codec.frame_rate / self.s2a.config.frames_per_code

    @property
    def languages(self) -> tuple[str, ...]:
        return self.t2s.config.languages

    # ---- speaking -------------------------------------------------------------------------------------------------

    def predict_durations(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        """Return the predicted seconds of each piece at `speed`; the characters per second are an input of T2S.

        For a piece of more bytes than the model reads it is more than `max_seconds`, so that the piece is split.
        """
        share = self.sampling.max_seconds / self.t2s.config.max_bytes
        return [
            max(self.sampling.seconds(len(piece.text), speed), len(piece.text.encode()) * share) for piece in pieces
        ]

    @torch.inference_mode()
    def synthesize(
        self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None = None
    ) -> list[SynthesisResult]:
        """Speak each request, float32 [S]. Requests may differ in piece, voice, seed, speed and memory.

        Raises ValueError if they differ in another option, for options that this engine lacks, unknown languages, a
        text that is too long for one piece, and a voice without the speaker vector that the model needs.
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
        """Send a recording [S] at the model's rate through codec and vocoder.

        Raises ValueError for a model with EnCodec's codes: its encoder is not here.
        """
        if not isinstance(self.codec, MelCodec):
            raise ValueError("copy synthesis: this model speaks EnCodec's codes; it has no encoder for them")
        wave = torch.from_numpy(np.asarray(samples, np.float32))[None].to(self.where.device)
        return self.codec.decode(self.codec.encode(wave))[0].float().cpu().numpy()

    def _write(
        self,
        works: list[_Work],
        jobs: list[SynthesisRequest],
        sampling: TokenSamplingConfig,
        progress: Callable[[float], None] | None,
    ) -> tuple[list[Tensor], list[bool]]:
        """Generate the semantic codes [N] of each request; also return whether they reached an end."""
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
        jobs: list[SynthesisRequest],
        read: list[Tensor],
        sampling: TokenSamplingConfig,
        progress: Callable[[float], None] | None,
    ) -> list[Tensor]:
        """Generate the acoustic codes [Q, F] of each request; none if T2S wrote no codes."""
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

    def _made(
        self, job: SynthesisRequest, work: _Work, written: Tensor, frames: Tensor, ended: bool
    ) -> SynthesisResult:
        fault = "" if ended else "speech without an end"
        if not frames.shape[1]:
            return SynthesisResult(np.zeros(0, np.float32), fault=fault)
        wave = self.codec.decode(frames[None].to(self.where.device))[0].float().cpu().numpy()
        start, ends = self._times(work, written)
        size = int(work.sizes.sum())
        memory = Memory(work.text[-size:], work.languages[-size:], written, frames, ends, job.options.speed)
        if ends is None:
            return SynthesisResult(wave, None, memory, fault=fault)
        rate = self.code_rate * work.faster
        seconds = np.minimum(ends[work.sizes.cumsum() - 1] / rate, len(wave) / self.sample_rate)
        return SynthesisResult(wave, seconds.astype(np.float32), memory, min(start / rate, float(seconds[0])), fault)

    # ---- the networks' inputs ---------------------------------------------------------------------------------------

    def _work(self, job: SynthesisRequest) -> _Work:
        config = self.t2s.config
        characters = [config.reads(c).encode() for c in job.piece.text]
        sizes = np.array([len(c) for c in characters])
        text = np.frombuffer(b"".join(characters), np.uint8).astype(np.int64)
        rows = np.repeat(language_rows(job.piece, config), sizes)
        speed = self.sampling.written(job.options.speed)
        faster = job.options.speed / speed
        expected = self.sampling.seconds(len(characters), speed)
        # the capacity of both models, in T2S' codes
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

    def _prompt(self, job: SynthesisRequest, size: int, room: int, faster: float) -> Memory | None:
        """Return as much of the request's memory as fits: `room` semantic codes, `prompt_seconds`, the text's `size`.

        It is cut before a word, so that its text matches its codes; None if that is impossible.
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
        """Count the new semantic codes before the piece's first byte, and up to the end of each byte [T]."""
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
        return int(counts[0]), counts[1:]  # the first counts those before the text

    def _faster(self, codes: Tensor, times: float) -> Tensor:
        """Return semantic codes [N] that are read so many times faster, by dropping or repeating some evenly."""
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
        """Return the voice with its speaker vector, to be kept: computing it takes a moment.

        A vector of another size is another encoder's and is replaced. The model's own encoder is loaded for the first
        voice that needs it. Raises ValueError if that encoder is unavailable, or the recording is silent.
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
                    f"voice {voice.name!r} has {found}, and this model needs one of {wanted}: {error}; or give "
                    "Voice(..., embedding=...), which Voice.save writes to a file for --voice"
                ) from None
        return dataclasses.replace(voice, embedding=self._speaker.embed(voice.samples, voice.sample_rate))

    def _vector(self, voice: Voice) -> npt.NDArray[np.float32]:
        vector = self.embedded(voice).embedding
        assert vector is not None
        return vector


def language_rows(piece: Piece, config: T2SConfig) -> Ints:
    """Return each character's language as a row of T2S' embedding. Raises ValueError for an unknown language."""
    runs = piece.languages or ((config.languages[0], len(piece.text)),)
    if sum(count for _, count in runs) != len(piece.text):
        raise ValueError(f"languages {piece.languages} of {piece.text!r}, which has {len(piece.text)} characters")
    return np.repeat([config.language(code) for code, _ in runs], [count for _, count in runs])


def monotonic(weights: npt.NDArray[np.float64]) -> Ints:
    """Return the non-decreasing path of columns [N] with the most weight. weights: [N, K], rows add up to 1."""
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
    """Return the model's own sampling with the caller's options."""
    given = {name: getattr(options, name) for name in WhisperspeechConfig.OPTIONS}
    return sampling.replace(**{name: value for name, value in given.items() if value is not None})


def _generators(jobs: list[SynthesisRequest], stage: int) -> list[torch.Generator]:
    """Return a generator for each request, from its seed and the stage."""
    return [
        torch.Generator().manual_seed(int(np.random.SeedSequence((job.seed, stage)).generate_state(1, np.uint64)[0]))
        for job in jobs
    ]


def _scaled(progress: Callable[[float], None] | None, low: float, high: float) -> Any:
    return None if progress is None else lambda part: progress(low + (high - low) * part)


# ---- loading --------------------------------------------------------------------------------------------------------


def load(files: ModelFiles, options: LoadOptions) -> WhisperspeechSystem:
    """Load a system's folder, or a published pair of T2S and S2A files. Raises ValueError for files that do not fit."""
    where = placement(options.device, options.dtype)
    if files.files:
        return _load_published(files, options, where)
    return _load_own(files.folder, options, where)


def _load_published(files: ModelFiles, options: LoadOptions, where: Placement) -> WhisperspeechSystem:
    t2s, s2a = load_t2s(files.folder / files.files[0]), load_s2a(files.folder / files.files[1])
    codec = _encodec(options.vocoder or published.VOCODER, files.folder, s2a, where)
    speaker = functools.partial(load_speaker, None, files.folder, s2a.config, where.device)
    return WhisperspeechSystem(t2s, s2a, codec, WhisperspeechConfig(), where, speaker=speaker, compile=options.compile)


def _load_own(folder: Path, options: LoadOptions, where: Placement) -> WhisperspeechSystem:
    values = read_config(folder, "whisperspeech", ("t2s", "s2a", "codec", "vocoder", "speaker", "sampling"))
    sampling = WhisperspeechConfig.from_dict(values.get("sampling", {}), f"{folder / 'config.json'}: sampling")
    encodec = values.get("codec") == ENCODEC
    folders = {}
    for kind in ("t2s", "s2a") if encodec else ("t2s", "s2a", "codec"):
        name = values.get(kind, "bundled" if kind == "codec" else kind)
        folders[kind] = ASSETS / kind if name == "bundled" else folder / name
        if not folders[kind].is_dir():
            raise ValueError(f"{folder / 'config.json'}: {kind} is {name!r}, but there is no folder {folders[kind]}")
    parts = {kind: read_part(path, kind) for kind, path in folders.items()}
    if not isinstance(parts["t2s"].config, T2SConfig):
        raise ValueError(f'{folder / "config.json"}: its t2s is in step with the text; "alignment" must be "frames"')
    check_tokens(parts, folders)
    s2a = cast(S2A, load_part(folders["s2a"], "s2a"))
    speaks = options.vocoder or values.get("vocoder", published.VOCODER if encodec else "bundled")
    return WhisperspeechSystem(
        cast(T2S, load_part(folders["t2s"], "t2s")),
        s2a,
        _encodec(speaks, folder, s2a, where) if encodec else _mel_codec(folders["codec"], speaks, folder, where),
        sampling,
        where,
        t2s_sampling=cast(TokenSamplingConfig, parts["t2s"].sampling),
        s2a_sampling=cast(TokenSamplingConfig, parts["s2a"].sampling),
        speaker=functools.partial(load_speaker, values.get("speaker"), folder, s2a.config, where.device),
        compile=options.compile,
    )


def _encodec(vocoder: str, folder: Path, s2a: S2A, where: Placement) -> EncodecVocos:
    speaks = load_vocoder(vocoder, folder)
    if speaks.config.input != "codes":
        raise ValueError(f"vocoder {vocoder!r} reads mel frames; published models write EnCodec's codes")
    return EncodecVocos(speaks.to(where.device), s2a.config.quantizers)


def _mel_codec(codec: Path, vocoder: str, folder: Path, where: Placement) -> MelCodec:
    quantizer = cast(MelQuantizer, load_part(codec, "codec")).to(where.device)
    speaks = load_vocoder(vocoder, folder).to(where.device)
    mel, its = quantizer.config.mel, speaks.config
    if its.input != "mel" or its.mel.replace(floor=mel.floor) != mel:
        raise ValueError(f"the vocoder reads {its.input} ({its.mel.to_dict()}), the codec produces {mel.to_dict()}")
    return MelCodec(quantizer, speaks)
