"""Nanospeech in ONNX Runtime: the networks are graphs that `checkpoints.onnx_torch` writes, the rest is numpy.

The sampler's loop, the stretching of the text and the inverse STFT are a few lines of numpy, so there is no third copy
of the model. Graphs exist for models with a speaker vector and stretched text, such as the bundled one.

Shapes: B batch, N mel frames, K tokens (N / patch), T characters, M mel bins, V speaker vector, S samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import resample, rms_db
from vivavoce.audio.mel import mel_filterbank
from vivavoce.config import MelConfig, compute_threads
from vivavoce.models import solvers
from vivavoce.models.nanospeech import PROSODY, DurationConfig, NanospeechConfig
from vivavoce.models.speaker import SpeakerConfig, partial_starts
from vivavoce.models.vocoder import CYCLE_PARTS, MAX_MAGNITUDE, OCTAVES, PITCH, VocoderConfig

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
SPINNING = "0"  # Threads that spin while they wait make a busy machine many times slower: see benchmarks/busy.py.


class Graph:
    """A graph in a session of ONNX Runtime on the CPU."""

    def __init__(self, path: Path, weights: Mapping[str, Array] | None = None, quantised: bool = False) -> None:
        """weights: values of the initialisers that the file only names; None: the file holds its weights.

        quantised: the matrix products have 8-bit weights. Activations are then quantised by the range of the whole
        batch, so its items affect each other.
        Raises ValueError if the file or ONNX Runtime is missing or unfit.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(f"backend is 'onnx', and ONNX Runtime does not load ({error}): "
                             "pip install onnxruntime") from None  # fmt: skip
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        options = onnxruntime.SessionOptions()
        # Set explicitly: by default, ONNX Runtime also pins its threads to cores, whether or not they are busy.
        options.intra_op_num_threads = compute_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", SPINNING)
        if weights is not None:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
            options.add_external_initializers(list(weights), values)
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own types
            raise ValueError(f"{path}: not a readable graph ({' '.join(str(error).split())[:200]})") from None
        self.inputs = {node.name for node in self.session.get_inputs()}
        self.quantised = quantised

    def __call__(self, **inputs: Array | None) -> list[Any]:
        """Run the graph. Inputs that it does not have are left out."""
        return self.session.run(None, {name: value for name, value in inputs.items() if name in self.inputs})


class OnnxNanospeech:
    """The flow-matching model: `sample` as in `nanospeech_torch.Nanospeech`, with arrays for tensors."""

    def __init__(self, config: NanospeechConfig, text: Graph, flow: Graph, codes: Graph | None = None) -> None:
        """codes: the encoder of semantic codes, for a model that reads them."""
        self.config, self.text, self.flow, self.codes = config, text, flow, codes

    def sample(
        self,
        noise: Floats,
        text: Array,
        lengths: Array,
        *,
        times: Sequence[float],
        method: str = "euler",
        cfg: float = 0.0,
        durations: Floats | None = None,
        prompt: Floats | None = None,
        prompt_lengths: Array | None = None,
        speaker: Floats | None = None,
        languages: Array | None = None,
        phones: Array | None = None,
        prosody: Floats | None = None,
        codes: Array | None = None,
        keep_text: Floats | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Floats:
        """Return log-mel frames [B, N, M] from Gaussian `noise` [B, N, M] and ids [B, T]; no prompt is supported."""
        assert prompt is None and prompt_lengths is None and speaker is not None
        if len(noise) > 1 and self.flow.quantised:
            of_text = {"text": text, "durations": durations, "languages": languages, "phones": phones}
            of_item = {"speaker": speaker, "codes": codes, "keep_text": keep_text}
            return self._one_by_one(
                noise,
                lengths,
                {**of_text, "prosody": prosody},
                of_item,
                {"times": times, "method": method, "cfg": cfg},
                progress or (lambda _: None),
            )
        config = self.config
        patch = config.patch
        noise = noise[:, : int(lengths.max())]
        batch, frames, _ = noise.shape
        padding = -frames % patch  # the graph takes whole tokens
        x = np.pad(noise, ((0, 0), (0, padding), (0, 0)))
        size = (frames + padding) // patch
        encoded = self.encode(text, lengths, size, durations, languages, phones, prosody)
        kept = np.ones(batch, np.float32) if keep_text is None else keep_text
        encoded = encoded * kept[:, None, None]
        if self.codes is not None and codes is not None:  # an item with both gets their mean
            encoded = (encoded + self.encode_codes(codes, size)) / (kept + 1)[:, None, None]
        keep = np.ones(batch, np.float32)
        if cfg > 1e-5:  # both passes in one batch: the second half has everything dropped
            encoded = np.concatenate([encoded, np.zeros_like(encoded)])
            speaker, lengths = np.concatenate([speaker, speaker]), np.concatenate([lengths, lengths])
            keep = np.concatenate([keep, np.zeros_like(keep)])

        def velocity(t: float, x: Floats, end: float) -> Floats:
            state = np.concatenate([x, x]) if cfg > 1e-5 else x
            when = {"time": np.full(len(state), t, np.float32), "end": np.full(len(state), end, np.float32)}
            (v,) = self.flow(x=state, **when, encoded=encoded, lengths=lengths, speaker=speaker, keep=keep)
            if cfg <= 1e-5:
                return np.asarray(v)
            return v[:batch] + np.float32(cfg) * (v[:batch] - v[batch:])

        result = solvers.integrate(velocity, x, times, method, progress)[:, :frames]
        return np.asarray(result / np.float32(config.mel_scale) + np.float32(config.mel_mean), np.float32)

    def _one_by_one(
        self,
        noise: Floats,
        lengths: Array,
        of_text: Mapping[str, Array | None],
        of_item: Mapping[str, Array | None],
        how: Mapping[str, Any],
        progress: Callable[[float], None],
    ) -> Floats:
        """Return `sample` of each item [B, N, M], computed alone and without padding.

        of_text: arrays [B, T, …]. of_item: arrays [B, …].
        """
        text = of_text["text"]
        assert text is not None

        def tell(item: int, share: float) -> None:
            progress((item + share) / len(noise))

        made = np.zeros((len(noise), int(lengths.max()), noise.shape[2]), np.float32)
        for i, frames in enumerate(lengths):
            letters = int((text[i] >= 0).sum())
            given: dict[str, Any] = {}
            given |= {name: None if value is None else value[i : i + 1, :letters] for name, value in of_text.items()}
            given |= {name: None if value is None else value[i : i + 1] for name, value in of_item.items()}
            made[i, :frames] = self.sample(
                noise[i : i + 1],
                lengths=lengths[i : i + 1],
                progress=functools.partial(tell, i),
                **given,
                **how,
            )[0]
        return made

    def encode(
        self,
        text: Array,
        lengths: Array,
        size: int,
        durations: Floats | None,
        languages: Array | None,
        phones: Array | None,
        prosody: Floats | None = None,
    ) -> Floats:
        """Return the text of each token [B, size, text_dim], which is the same in all passes."""
        if languages is None and self.config.languages:
            languages = np.zeros_like(text)  # the first one
        if phones is None and self.config.phones:
            phones = np.zeros((*text.shape, 2), text.dtype)  # unknown
        if prosody is None and self.config.prosody:
            prosody = np.zeros((*text.shape, PROSODY), np.float32)  # neutral
        present = (text >= 0).astype(np.float32)
        weights = present if self.config.text_align == "average" or durations is None else durations * present
        index, place = places(weights, -(-lengths // self.config.patch), size)
        of_text = {"languages": languages, "phones": phones, "prosody": prosody}
        (encoded,) = self.text(text=text, index=index, place=place, **of_text)
        return np.asarray(encoded)

    def encode_codes(self, codes: Array, size: int) -> Floats:
        """Return the codes of each token [B, size, text_dim], as `nanospeech_torch.CodeEncoder`."""
        assert self.codes is not None
        config = self.config
        middle = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(
            config.patch * config.code_rate / config.mel.frame_rate
        )
        last = np.maximum((codes >= 0).sum(1, keepdims=True) - 1, 0)
        index = np.minimum(middle.astype(np.int64)[None], last)
        (encoded,) = self.codes(codes=codes, index=index, place=(middle % 1 - np.float32(0.5))[:, None])
        return np.asarray(encoded)


def places(durations: Floats, tokens: Array, size: int) -> tuple[Array, Floats]:
    """Return the character of each token [B, size], and its place in it [B, size, 2], as the text encoder reads it."""
    index, share = character_index(durations, tokens, size)
    width = np.take_along_axis(durations, index, 1) * (tokens / np.maximum(durations.sum(-1), 1e-6))[:, None]
    return index, np.stack([share - 0.5, np.log1p(width)], axis=-1).astype(np.float32)


def character_index(durations: Floats, tokens: Array, size: int) -> tuple[Array, Floats]:
    """Return the character of each token [B, size], and the share of it that lies before the token's middle.

    As `nanospeech_torch.character_index`.
    """
    ends = np.cumsum(durations, axis=-1, dtype=np.float64).astype(np.float32)
    ends = ends * tokens[:, None].astype(np.float32) / np.maximum(ends[:, -1:], np.float32(1e-6))
    middle = np.arange(size, dtype=np.float32) + np.float32(0.5)
    index = np.minimum((middle[None, :, None] >= ends[:, None, :]).sum(-1), durations.shape[1] - 1)
    end = np.take_along_axis(ends, index, 1)
    start = np.where(index > 0, np.take_along_axis(ends, np.maximum(index - 1, 0), 1), np.float32(0))
    share = np.clip((middle - start) / np.maximum(end - start, np.float32(1e-3)), 0, 1)
    return index, share.astype(np.float32)


class OnnxDurations:
    """The duration model: frames of each character."""

    def __init__(self, config: DurationConfig, graph: Graph) -> None:
        self.config, self.graph = config, graph

    def predict(
        self,
        text: Array,
        speaker: Floats | None = None,
        languages: Array | None = None,
        phones: Array | None = None,
        prosody: Floats | None = None,
    ) -> Floats:
        """Ids [B, T], padded with -1, and speaker vectors [B, V] -> mel frames of each character [B, T]."""
        if prosody is None and self.config.prosody:
            prosody = np.zeros((*text.shape, PROSODY), np.float32)
        (frames,) = self.graph(text=text, speaker=speaker, languages=languages, phones=phones, prosody=prosody)
        return np.asarray(frames)


class OnnxVocoder:
    """Vocos for mel frames: the graph is its networks, the spectrum and its inverse are numpy."""

    def __init__(self, config: VocoderConfig, graph: Graph) -> None:
        self.config, self.graph = config, graph
        self.window = np.hanning(config.n_fft + 1)[:-1].astype(np.float32)

    def __call__(self, mel: Floats) -> Floats:
        """Log-mel frames [B, N, M] -> waveform [B, S], about -1 to 1."""
        config = self.config
        head, *rest = self.graph(mel=mel)
        log_magnitude, phase = np.split(head, 2, axis=-1)
        spectrum = _polar(log_magnitude, phase)
        if bins := config.harmonic_bins:
            octaves, low_magnitude, low_phase = np.split(rest[0], [1, 1 + bins], axis=-1)
            middle = np.float32(PITCH * config.hop / config.mel.sample_rate)
            rate = middle * np.exp2(np.clip(octaves[..., 0], *OCTAVES))
            known = _harmonic_phase(rate, _cycles_passed(rate), bins, config.n_fft, config.hop)
            spectrum = np.concatenate([_polar(low_magnitude, low_phase + known), spectrum[..., bins:]], axis=-1)
        return inverse_stft(spectrum, self.window, config.hop, config.padding)


def _polar(log_magnitude: Floats, phase: Floats) -> npt.NDArray[np.complex64]:
    magnitude = np.minimum(np.exp(log_magnitude), np.float32(MAX_MAGNITUDE))
    spectrum = np.empty(magnitude.shape, np.complex64)  # in float32: a complex exponential takes three times as long
    np.multiply(magnitude, np.cos(phase), out=spectrum.real)
    np.multiply(magnitude, np.sin(phase), out=spectrum.imag)
    return spectrum


def _cycles_passed(rate: Floats) -> Floats:
    """As `vocoder_torch.cycles_passed`: the fractional part of the cycles passed at each frame's centre [B, N]."""
    steps = np.round(np.float32(CYCLE_PARTS) * (rate[:, 1:] + rate[:, :-1]) / 2).astype(np.int64)
    passed = np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1) % CYCLE_PARTS
    return passed.astype(np.float32) / np.float32(CYCLE_PARTS)


def _harmonic_phase(rate: Floats, cycles: Floats, bins: int, n_fft: int, hop: int) -> Floats:
    """As `vocoder_torch.harmonic_phase`: the phase [B, N, bins] of the harmonic nearest to each bin."""
    place = np.arange(bins, dtype=np.float32)
    number = np.round(place * np.float32(hop / n_fft) / rate[..., None])
    return np.asarray(np.float32(2 * math.pi) * (number * cycles[..., None]) - np.float32(math.pi) * place, np.float32)


def inverse_stft(spectrum: Array, window: Floats, hop: int, padding: str) -> Floats:
    """Complex STFT [B, N, n_fft // 2 + 1] and its window [n_fft] -> waveform [B, S] by windowed overlap-add."""
    n_fft, count = len(window), spectrum.shape[1]
    frames = np.fft.irfft(spectrum, n_fft, axis=-1).astype(np.float32) * window
    wave, weight = _overlap_add(frames, hop), _overlap_add(np.broadcast_to(window * window, (1, count, n_fft)), hop)[0]
    length = (count - 1) * hop + n_fft
    trim = n_fft // 2 if padding == "center" else (n_fft - hop) // 2
    return wave[:, trim : length - trim] / np.maximum(weight[trim : length - trim], np.float32(1e-11))


def _overlap_add(frames: Floats, hop: int) -> Floats:
    """Frames [B, N, n_fft], `hop` samples apart -> their sum [B, (N - 1) * hop + n_fft]."""
    batch, count, n_fft = frames.shape
    parts = -(-n_fft // hop)  # hops that a frame reaches over
    cut = np.pad(frames, ((0, 0), (0, 0), (0, parts * hop - n_fft))).reshape(batch, count, parts, hop)
    wave = np.zeros((batch, count + parts - 1, hop), np.float32)
    for part in range(parts):
        wave[:, part : part + count] += cut[:, :, part]
    return wave.reshape(batch, -1)[:, : (count - 1) * hop + n_fft]


class NumpyLogMel:
    """Waveform [B, S] -> natural-log mel magnitudes [B, N, M], as `mel_torch.LogMel`."""

    def __init__(self, config: MelConfig) -> None:
        self.config = config
        self.window = np.hanning(config.n_fft + 1)[:-1].astype(np.float32)
        self.filterbank = mel_filterbank(config.sample_rate, config.n_fft, config.n_mels)

    def __call__(self, wave: Floats) -> Floats:
        config = self.config
        if wave.shape[-1] <= config.n_fft // 2:
            raise ValueError(f"waveform of shape {wave.shape}; it must have more than {config.n_fft // 2} samples")
        padded = np.pad(wave, ((0, 0), (config.n_fft // 2,) * 2), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft, axis=-1)[:, :: config.hop]
        magnitude = np.abs(np.fft.rfft(frames * self.window)).astype(np.float32)
        return np.log(np.maximum(magnitude @ self.filterbank, np.float32(config.floor)))


class NumpySpeakerEncoder:
    """Speaker vectors, as `speaker_torch.SpeakerEncoder`: an LSTM is a loop of matrix products."""

    def __init__(self, config: SpeakerConfig, weights: Mapping[str, Floats]) -> None:
        """weights: by their names in the checkpoint, float32."""
        self.config, self.weights = config, weights
        self.bank = mel_filterbank(config.sample_rate, config.n_fft, config.n_mels, scale="slaney", norm="slaney")
        self.window = np.hanning(config.n_fft + 1)[:-1].astype(np.float32)

    def __call__(self, mels: Floats) -> Floats:
        """Return unit vectors [B, V] for mel power [B, N, M]."""
        weights, x = self.weights, mels
        for layer in range(self.config.num_layers):
            inner, outer = (weights[f"lstm.weight_{kind}_l{layer}"].T for kind in ("hh", "ih"))
            given = x @ outer + (weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"])  # [B, N, 4 H]
            state = np.zeros((len(x), self.config.hidden_dim), np.float32)
            memory, states = state, []
            for frame in range(x.shape[1]):
                enter, keep, new, leave = np.split(given[:, frame] + state @ inner, 4, axis=-1)
                memory = _sigmoid(keep) * memory + _sigmoid(enter) * np.tanh(new)
                state = _sigmoid(leave) * np.tanh(memory)
                states.append(state)
            x = np.stack(states, axis=1)
        vectors = np.maximum(x[:, -1] @ weights["linear.weight"].T + weights["linear.bias"], 0)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12)))

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> Floats:
        """Return the unit vector [V] of a recording [S]. Raises ValueError if it is empty, silent or not finite."""
        c = self.config
        wave = resample(samples, sample_rate, c.sample_rate)
        loudness = rms_db(wave)
        if not np.isfinite(loudness):
            raise ValueError(f"a speaker vector needs sound; these {len(wave)} samples are silent")
        if loudness < c.volume_db:
            wave = wave * np.float32(10 ** ((c.volume_db - loudness) / 20))
        starts = partial_starts(c, len(wave))
        wave = np.pad(wave, (0, max(0, (starts[-1] + c.partial_frames) * c.hop - len(wave))))
        padded = np.pad(wave, (c.n_fft // 2, c.n_fft // 2))
        frames = np.lib.stride_tricks.sliding_window_view(padded, c.n_fft)[:: c.hop]
        power = np.abs(np.fft.rfft(frames * self.window)).astype(np.float32) ** 2
        mels = (power @ self.bank).astype(np.float32)  # [N, M]
        partials = np.stack([mels[s : s + c.partial_frames] for s in starts])
        blocks = np.array_split(partials, -(-len(partials) // 256))  # in blocks, to limit memory for long recordings
        vectors = np.concatenate([self(block) for block in blocks])
        mean = vectors.mean(axis=0, dtype=np.float64)
        return (mean / np.linalg.norm(mean)).astype(np.float32)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))
