"""The networks as graphs: modules with example inputs and dynamic axes, traced by PyTorch's ONNX exporter.

`onnx_torch` optimises the graphs and writes them. Axes: B items, T characters, K tokens, N frames, C codes.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.checkpoints.weights_torch import NanospeechParts
from vivavoce.models import nanospeech_torch
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.models.nanospeech import PROSODY
from vivavoce.models.nanospeech_torch import CharacterDurations, CodeEncoder, DiT, Nanospeech, TextEncoder
from vivavoce.models.vocoder_torch import Vocoder

# Tracing treats a batch of 1 as a special case, so the declared minimum is 2. The graphs also run with 1.
_B, _T, _K, _C = (torch.export.Dim(name, min=2) for name in "BTKC")
_N = torch.export.Dim("N", min=8)
_TEXT = torch.zeros((2, 7), dtype=torch.long), {0: _B, 1: _T}


class _Text(nn.Module):
    """Ids [B, T], the character of each token [B, K] and its place in it [B, K, 2] → [B, K, text_dim]."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        text: Tensor,
        index: Tensor,
        place: Tensor,
        languages: Tensor | None,
        phones: Tensor | None,
        prosody: Tensor | None,
    ) -> Tensor:
        x = self.encoder.characters(text, languages, phones, prosody)
        x = x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
        return x + self.encoder.place(place)


class _Flow(nn.Module):
    """One pass: states [B, N, M] with N a multiple of the patch → velocity."""

    def __init__(self, transformer: DiT) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        encoded: Tensor,
        lengths: Tensor,
        speaker: Tensor,
        keep: Tensor,
        end: Tensor | None = None,
    ) -> Tensor:
        # There is no text: `encoded` takes its place.
        return self.transformer(x, time, None, lengths, speaker=speaker, encoded=encoded, keep_voice=keep, end=end)


class _Codes(nn.Module):
    """Codes [B, C], the place of each token's code [B, K], and its middle from the code's [K, 1] → [B, K, text_dim]."""

    def __init__(self, encoder: CodeEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, codes: Tensor, index: Tensor, place: Tensor) -> Tensor:
        return self.encoder.at(codes, index, place)


class _T2S(nn.Module):
    """Codes [B, C], -1 where unknown → logits [B, C, K]."""

    def __init__(self, model: MaskedT2S) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, lengths: Tensor, encoded: Tensor, speaker: Tensor | None) -> Tensor:
        return self.model.logits(codes, lengths, encoded, speaker)


class _Durations(nn.Module):
    def __init__(self, model: CharacterDurations) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        text: Tensor,
        speaker: Tensor,
        languages: Tensor | None,
        phones: Tensor | None,
        prosody: Tensor | None,
    ) -> Tensor:
        return self.model.predict(text, speaker, languages, phones, prosody)


class _Vocoder(nn.Module):
    """Mel frames [B, N, M] → log magnitudes and phases [B, N, n_fft + 2], and the harmonics' output if any."""

    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        head = self.vocoder.head.out(self.vocoder.backbone(mel))
        if not self.vocoder.config.harmonic_bins:
            return (head,)
        harmonics = self.vocoder.harmonics
        return head, harmonics.out(harmonics.backbone(mel))


@dataclass(frozen=True)
class Graph:
    """What the exporter traces. Inputs that a network does not have are None."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor | None]  # examples
    axes: dict[str, dict[int, Any] | None]  # which axes of each input have what size


def _graph(name: str, module: nn.Module, **inputs: tuple[Tensor, dict[int, Any]] | None) -> Graph:
    """Return a graph with its inputs as pairs of an example and its axes."""
    return Graph(
        name,
        module,
        {key: None if value is None else value[0] for key, value in inputs.items()},
        {key: None if value is None else value[1] for key, value in inputs.items()},
    )


def graphs(parts: NanospeechParts, vocoder: Vocoder, t2s: MaskedT2S | None) -> Iterator[Graph]:
    """Yield the graphs of all networks."""
    yield from _nanospeech_graphs(parts.model)
    durations = parts.duration.config
    yield _graph(
        "durations",
        _Durations(parts.duration),
        text=_TEXT,
        speaker=(torch.zeros(2, durations.speaker_dim or 1), {0: _B}),
        **_channels(durations),
    )
    mel = torch.zeros(2, 24, parts.model.config.mel.n_mels)
    yield _graph("vocoder", _Vocoder(vocoder), mel=(mel, {0: _B, 1: _N}))
    if t2s is not None:
        yield from _t2s_graphs(t2s)


def _nanospeech_graphs(model: Nanospeech) -> Iterator[Graph]:
    config, network = model.config, model.transformer
    index = torch.zeros((2, 11), dtype=torch.long)
    yield _graph(
        "text",
        _Text(network.text_encoder),
        text=_TEXT,
        index=(index, {0: _B, 1: _K}),
        place=(torch.zeros(2, 11, 2), {0: _B, 1: _K}),
        **_channels(config),
    )
    size = 16
    frames = config.patch * _K if config.patch > 1 else _K
    yield _graph(
        "flow",
        _Flow(network),
        x=(torch.zeros(2, size * config.patch, config.mel.n_mels), {0: _B, 1: frames}),
        time=(torch.zeros(2), {0: _B}),
        encoded=(torch.zeros(2, size, config.text_dim), {0: _B, 1: _K}),
        lengths=(torch.tensor([size * config.patch, size]), {0: _B}),
        speaker=(torch.zeros(2, config.speaker_dim), {0: _B}),
        keep=(torch.ones(2), {0: _B}),
        **({"end": (torch.ones(2), {0: _B})} if config.mean_velocity else {}),
    )
    if network.code_encoder is not None:
        yield _graph(
            "codes",
            _Codes(network.code_encoder),
            codes=(torch.zeros((2, 13), dtype=torch.long), {0: _B, 1: _C}),
            index=(index, {0: _B, 1: _K}),
            place=(torch.zeros(11, 1), {0: _K}),
        )


def _t2s_graphs(model: MaskedT2S) -> Iterator[Graph]:
    config, codes = model.config, torch.zeros((2, 13), dtype=torch.long)
    of_codes = {0: _B, 1: _C}
    yield _graph(
        "t2s-text",
        _Text(model.text_encoder),
        text=_TEXT,
        index=(codes, of_codes),
        place=(torch.zeros(2, 13, 2), of_codes),
        **_channels(config),
    )
    yield _graph(
        "t2s",
        _T2S(model),
        codes=(codes, of_codes),
        lengths=(torch.tensor([13, 9]), {0: _B}),
        encoded=(torch.zeros(2, 13, config.text_dim), of_codes),
        speaker=(torch.zeros(2, config.speaker_dim), {0: _B}) if config.speaker_dim else None,
    )


def _channels(config: Any) -> dict[str, tuple[Tensor, dict[int, Any]] | None]:
    """Return the inputs that go with each character, as far as a network has them."""
    text, axes = _TEXT
    return {
        "languages": (torch.zeros_like(text), axes) if config.languages else None,
        "phones": (text.new_zeros(2, 7, 2), axes) if config.phones else None,
        "prosody": (torch.zeros(2, 7, PROSODY), axes) if config.prosody else None,
    }


def traced(graph: Graph) -> Any:
    """Return a graph as onnx.ModelProto. PyTorch's messages about its own progress are hidden."""
    names = [name for name, value in graph.inputs.items() if value is not None]
    with contextlib.redirect_stdout(io.StringIO()), quiet("torch.onnx"), _fast_operations(), torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(graph.axes.values()),
            input_names=names,
            optimize=True,
        )
        assert program is not None
        return program.model_proto


@contextlib.contextmanager
def _fast_operations() -> Iterator[None]:
    """Replace what the exporter writes as many slow nodes by operations of the same result."""
    with (
        mock.patch.object(nanospeech_torch, "rotate", _rotate),
        mock.patch.object(F, "mish", _mish),
        mock.patch.object(F, "scaled_dot_product_attention", _attention),
    ):
        yield


def _rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    start = torch.zeros(1, dtype=torch.long)
    operation = "com.microsoft::RotaryEmbedding"
    return torch.onnx.ops.symbolic(
        operation, (x, start, *table), {"interleaved": 1}, dtype=x.dtype, shape=x.shape, version=1
    )


def _mish(x: Tensor) -> Tensor:
    power = x.clamp(max=20).exp()
    power = power * (power + 2)
    return x * (power / (power + 2))


def _attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + (attn_mask.to(scores.dtype) - 1) * 1e9
    return scores.softmax(-1) @ value


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Hide warnings, and what the logger of this name says below an error."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
