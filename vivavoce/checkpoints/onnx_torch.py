"""Write a model as ONNX graphs, which `systems.nanospeech_onnx` and `systems.frames_onnx` run without PyTorch.

Nanospeech has four graphs: text (characters to tokens), flow (one pass of the transformer), durations, and vocoder (its
networks without the inverse STFT). Whisperspeech in step with the text has three more: codes (semantic codes to
tokens), t2s-text and t2s (one pass). Batch, characters and frames are dynamic. The graphs are optimised here, so that
loading them takes little time.

`export_onnx` writes graphs with their weights. `export_structure` writes them without: each initialiser names the
tensor of the checkpoint that it takes its values from, so one file of weights serves all backends, and the graphs stay
the same when the weights change.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.audio.files import atomic_write
from vivavoce.checkpoints import weights_torch
from vivavoce.checkpoints.frames import load_frames
from vivavoce.checkpoints.resolve import FORMAT, kind_of, setting_of
from vivavoce.checkpoints.weights_onnx import arranged
from vivavoce.models import nanospeech_torch
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.models.nanospeech import PROSODY
from vivavoce.models.nanospeech_torch import CharacterDurations, CodeEncoder, DiT, TextEncoder
from vivavoce.models.vocoder_torch import Vocoder

Progress = Callable[[str], None]  # called with the name of the graph that is written next
Axes = dict[str, dict[int, Any]]
Sources = dict[str, dict[str, Any]]  # initialiser -> the tensor that it stands for, how it is arranged, and its shape
QUANTISED = ("flow", "vocoder")  # the other graphs take too little time to be worth the error
INLINE = 64  # initialisers of fewer numbers may stay in the graph if they are no weights


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


def export_onnx(folder: Path, out: Path, int8: bool = False, progress: Progress | None = None) -> None:
    """Write the graphs of the nanospeech model in `folder` to the new folder `out`, with their weights.

    int8: quantise the weights of matrix products, one scale per channel; activations are quantised as they come.
    Raises ValueError if the packages onnx and onnxscript are missing, `out` is in use, or the model has no graphs.
    """
    parts, vocoder, t2s = _load(folder, out)
    if parts.model.config.codes:
        raise ValueError(f"{folder}: a model that reads semantic codes; export it with --no-weights")
    for graph in _structures(parts, vocoder, t2s, progress, float32=not int8, int8=int8):
        atomic_write(out / f"{graph.name}.onnx", _with_weights(graph).SerializeToString())
    about = {
        "format": FORMAT,
        "model": parts.model.config.to_dict(),
        "duration": parts.duration.config.to_dict(),
        "vocoder": vocoder.config.to_dict(),
        "characters": parts.characters,
        "sampling": parts.sampling.to_dict(),
        "int8": int8,
    }
    _write_json(out / "onnx.json", about)


def export_structure(folder: Path, out: Path, progress: Progress | None = None) -> None:
    """Write the graphs of the model in `folder` to the new folder `out`, without weights.

    Each kind of network gets a JSON file that says which tensor an initialiser stands for (`weights_onnx`). In a folder
    `onnx` of a model folder, or of the bundled models, the graphs serve every model of the same config. Raises
    ValueError as `export_onnx`.
    """
    parts, vocoder, t2s = _load(folder, out)
    configs = {"nanospeech": parts.model.config, "duration": parts.duration.config, "vocoder": vocoder.config}
    if parts.model.config.codes:
        configs["codes"] = parts.model.config
    if t2s is not None:
        configs["t2s"] = t2s.config
    found: dict[str, dict[str, Sources]] = {kind: {} for kind in configs}
    for graph in _structures(parts, vocoder, t2s, progress, float32=True, int8=True):
        name = f"{graph.name}.int8" if graph.int8 else graph.name
        found[graph.kind][name] = graph.sources
        atomic_write(out / f"{name}.onnx", graph.model.SerializeToString())
    for kind, config in configs.items():
        _write_json(out / f"{kind}.json", {"format": FORMAT, "config": config.to_dict(), "graphs": found[kind]})


@dataclass(frozen=True)
class _Structure:
    """A graph without weights."""

    kind: str  # of the network that it is part of
    name: str
    int8: bool
    model: Any  # onnx.ModelProto
    sources: Sources  # what each initialiser stands for
    tensors: Mapping[str, np.ndarray]  # the network's


def _structures(
    parts: weights_torch.NanospeechParts,
    vocoder: Vocoder,
    t2s: MaskedT2S | None,
    progress: Progress | None,
    float32: bool,
    int8: bool,
) -> Iterator[_Structure]:
    """Yield the graphs, in 32 and in 8 bits where they differ and are wanted. The networks lose their weights."""
    kinds: dict[str, tuple[nn.Module, tuple[str, ...]]] = {
        "nanospeech": (parts.model, ("text", "flow")),
        "duration": (parts.duration, ("durations",)),
        "vocoder": (vocoder, ("vocoder",)),
    }
    if parts.model.config.codes:
        kinds["codes"] = parts.model, ("codes",)
    if t2s is not None:
        kinds["t2s"] = t2s, ("t2s-text", "t2s")
    tensors = {
        kind: {name: value.numpy().copy() for name, value in network.state_dict().items()}
        for kind, (network, _) in kinds.items()
    }
    draw = torch.Generator().manual_seed(0)
    for network, _ in kinds.values():  # numbers that occur once tell the tensors apart
        for parameter in network.parameters():
            parameter.requires_grad_(False).normal_(generator=draw)
    examples = {name: (module, inputs, axes) for name, module, inputs, axes in _graphs(parts, vocoder, t2s)}
    for kind, (network, names) in kinds.items():
        drawn = {name: value.numpy() for name, value in network.state_dict().items()}
        for name in names:
            if progress is not None:
                progress(name)
            graph = _traced(*examples[name])
            bits = [small for small, wanted in ((False, float32), (True, int8)) if wanted]
            for small in bits if name in QUANTISED else [False]:
                model = _optimised(graph, small)
                yield _Structure(kind, name, small, model, _without_weights(model, drawn), tensors[kind])


def _load(folder: Path, out: Path) -> tuple[weights_torch.NanospeechParts, Vocoder, MaskedT2S | None]:
    """Load a model's networks; the last one is T2S, which nanospeech does not have. Raises ValueError."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"--format onnx needs the package {error.name}: pip install vivavoce[onnx-export]") from None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is in use; give a new folder")
    t2s = None
    if (folder / "config.json").exists() and kind_of(folder) == "whisperspeech":
        if setting_of(folder, "alignment") != "frames":
            raise ValueError(f"{folder}: only whisperspeech models in step with the text have ONNX graphs")
        found = load_frames(folder, weights_torch.BACKEND, MaskedT2S)
        parts, t2s = found.acoustic, found.t2s
    else:
        parts = weights_torch.load_nanospeech(folder)
    config = parts.model.config
    if config.audio_prompt or config.text_align == "pad" or not isinstance(parts.duration, CharacterDurations):
        raise ValueError(f"{folder}: a published model that continues its reference; only models with speaker vectors "
                         "and character durations have ONNX graphs")  # fmt: skip
    vocoder = weights_torch.load_vocoder(parts.vocoder, folder)
    out.mkdir(parents=True, exist_ok=True)
    return parts, vocoder, t2s


def _write_json(path: Path, content: dict[str, Any]) -> None:
    atomic_write(path, f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode())


def _optimised(model: Any, int8: bool) -> Any:
    """Return the graph with ONNX Runtime's fusions, except those that depend on the machine, and in 8 bits if asked."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    del model.graph.value_info[:]  # shapes of symbolic sizes, which the quantiser's shape inference contradicts
    with tempfile.TemporaryDirectory() as folder:
        plain, done = Path(folder) / "plain.onnx", Path(folder) / "done.onnx"
        onnx.save(model, plain)
        if int8:
            # Seven bits: processors without VNNI add two products in 16 bits, which eight would overflow.
            with _quiet(""):
                quantize_dynamic(
                    plain, plain, op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True,
                    extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
                )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(done)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
        model = onnx.load(done)
    used = {node.domain for node in model.graph.node} | {""}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)
    return model


def _without_weights(model: Any, tensors: Mapping[str, np.ndarray]) -> Sources:
    """Remove the values of the initialisers that are a checkpoint's tensors, and return what each one stands for.

    Raises ValueError for one that is large and none of the tensors.
    """
    import onnx

    known = {}
    for name, tensor in tensors.items():
        for way in ("plain", "transposed", "int8", "scale"):
            if (way == "plain" or tensor.ndim == 2) and tensor.dtype == np.float32:
                value = arranged(tensor, way)
                known[value.dtype.str, np.ascontiguousarray(value).tobytes()] = name, way
    found: Sources = {}
    offset = 0
    for initializer in model.graph.initializer:
        value = onnx.numpy_helper.to_array(initializer)
        if (source := known.get((value.dtype.str, value.tobytes()))) is None:
            # Values that follow from the architecture, such as frequencies and zero points, stay in the graph.
            if value.size >= INLINE and value.dtype == np.float32 and not _is_table(value):
                raise ValueError(f"initialiser {initializer.name} of shape {value.shape} is no tensor of the model")
            continue
        found[initializer.name] = {"tensor": source[0], "as": source[1], "shape": list(value.shape)}
        initializer.ClearField("raw_data")
        initializer.ClearField("float_data")
        initializer.data_location = onnx.TensorProto.EXTERNAL
        for key, content in (("location", "weights"), ("offset", offset), ("length", value.nbytes)):
            initializer.external_data.add(key=key, value=str(content))
        offset += value.nbytes
    return found


def _with_weights(graph: _Structure) -> Any:
    """Return the graph with the values that its initialisers stand for."""
    import onnx

    for initializer in graph.model.graph.initializer:
        if (source := graph.sources.get(initializer.name)) is not None:
            value = arranged(graph.tensors[source["tensor"]], source["as"]).reshape(source["shape"])
            initializer.CopyFrom(onnx.numpy_helper.from_array(value, initializer.name))
    return graph.model


def _is_table(value: np.ndarray) -> bool:
    """Whether values are in order, as frequencies are; weights are random here."""
    steps = np.diff(value.ravel())
    return bool((steps >= 0).all() or (steps <= 0).all())


def _graphs(
    parts: weights_torch.NanospeechParts, vocoder: Vocoder, t2s: MaskedT2S | None
) -> Iterator[tuple[str, nn.Module, dict[str, Tensor | None], Axes]]:
    """Yield each graph's name, module, example inputs and dynamic axes."""
    config, durations = parts.model.config, parts.duration.config
    # Tracing treats a batch of 1 as a special case, so the declared minimum is 2. The graphs also run with 1.
    batch, tokens = torch.export.Dim("B", min=2), torch.export.Dim("K", min=2)
    characters, frames = torch.export.Dim("T", min=2), torch.export.Dim("N", min=8)
    text = torch.zeros((2, 7), dtype=torch.long)

    def channels(network: Any) -> tuple[dict[str, Tensor | None], dict[str, dict[int, Any]]]:
        inputs: dict[str, Tensor | None] = {"languages": None, "phones": None, "prosody": None}
        axes: dict[str, Any] = {"languages": None, "phones": None, "prosody": None}
        if network.languages:
            inputs["languages"], axes["languages"] = torch.zeros_like(text), {0: batch, 1: characters}
        if network.phones:
            inputs["phones"], axes["phones"] = torch.zeros((2, 7, 2), dtype=torch.long), {0: batch, 1: characters}
        if network.prosody:
            inputs["prosody"], axes["prosody"] = torch.zeros(2, 7, PROSODY), {0: batch, 1: characters}
        return inputs, axes

    inputs, axes = channels(config)
    index, place = torch.zeros((2, 11), dtype=torch.long), torch.zeros(2, 11, 2)
    yield (
        "text",
        _Text(parts.model.transformer.text_encoder),
        {"text": text, "index": index, "place": place, **inputs},
        {"text": {0: batch, 1: characters}, "index": {0: batch, 1: tokens}, "place": {0: batch, 1: tokens}, **axes},
    )
    size = 16
    yield (
        "flow",
        _Flow(parts.model.transformer),
        {
            "x": torch.zeros(2, size * config.patch, config.mel.n_mels),
            "time": torch.zeros(2),
            "encoded": torch.zeros(2, size, config.text_dim),
            "lengths": torch.tensor([size * config.patch, size]),
            "speaker": torch.zeros(2, config.speaker_dim),
            "keep": torch.ones(2),
            **({"end": torch.ones(2)} if config.mean_velocity else {}),
        },
        {
            "x": {0: batch, 1: config.patch * tokens if config.patch > 1 else tokens},
            "time": {0: batch},
            "encoded": {0: batch, 1: tokens},
            "lengths": {0: batch},
            "speaker": {0: batch},
            "keep": {0: batch},
            **({"end": {0: batch}} if config.mean_velocity else {}),
        },
    )
    inputs, axes = channels(durations)
    yield (
        "durations",
        _Durations(parts.duration),
        {"text": text, "speaker": torch.zeros(2, durations.speaker_dim or 1), **inputs},
        {"text": {0: batch, 1: characters}, "speaker": {0: batch}, **axes},
    )
    yield "vocoder", _Vocoder(vocoder), {"mel": torch.zeros(2, 24, config.mel.n_mels)}, {"mel": {0: batch, 1: frames}}
    count, codes = torch.export.Dim("C", min=2), torch.zeros((2, 13), dtype=torch.long)
    if (encoder := parts.model.transformer.code_encoder) is not None:
        yield (
            "codes",
            _Codes(encoder),
            {"codes": codes, "index": index, "place": torch.zeros(11, 1)},
            {"codes": {0: batch, 1: count}, "index": {0: batch, 1: tokens}, "place": {0: tokens}},
        )
    if t2s is None:
        return
    inputs, axes = channels(t2s.config)
    index, place = torch.zeros((2, 13), dtype=torch.long), torch.zeros(2, 13, 2)
    yield (
        "t2s-text",
        _Text(t2s.text_encoder),
        {"text": text, "index": index, "place": place, **inputs},
        {"text": {0: batch, 1: characters}, "index": {0: batch, 1: count}, "place": {0: batch, 1: count}, **axes},
    )
    speaker = torch.zeros(2, t2s.config.speaker_dim) if t2s.config.speaker_dim else None
    of_speaker: Any = {0: batch} if t2s.config.speaker_dim else None
    yield (
        "t2s",
        _T2S(t2s),
        {
            "codes": codes,
            "lengths": torch.tensor([13, 9]),
            "encoded": torch.zeros(2, 13, t2s.config.text_dim),
            "speaker": speaker,
        },
        {
            "codes": {0: batch, 1: count},
            "lengths": {0: batch},
            "encoded": {0: batch, 1: count},
            "speaker": of_speaker,
        },
    )


def _traced(module: nn.Module, inputs: dict[str, Tensor | None], axes: Axes) -> Any:
    """Return the module's graph, an onnx.ModelProto. PyTorch's messages about its own progress are hidden."""
    names = [name for name, value in inputs.items() if value is not None]
    with contextlib.redirect_stdout(io.StringIO()), _quiet("torch.onnx"), _fast_operations(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(axes.values()),
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
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
