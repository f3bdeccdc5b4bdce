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

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vivavoce.audio.files import atomic_write
from vivavoce.checkpoints import weights_torch
from vivavoce.checkpoints.frames import load_frames
from vivavoce.checkpoints.onnx_graphs_torch import graphs, quiet, traced
from vivavoce.checkpoints.resolve import FORMAT, kind_of, setting_of
from vivavoce.checkpoints.weights_onnx import INT8, arranged
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.models.nanospeech_torch import CharacterDurations
from vivavoce.models.vocoder_torch import Vocoder

Progress = Callable[[str], None]  # called with the name of the graph that is written next
Sources = dict[str, dict[str, Any]]  # initialiser -> the tensor that it stands for, how it is arranged, and its shape
QUANTISED = ("flow", "vocoder")  # the other graphs take too little time to be worth the error
INLINE = 64  # initialisers of fewer numbers may stay in the graph if they are no weights


def export_onnx(folder: Path, out: Path, int8: bool = False, progress: Progress | None = None) -> None:
    """Write the graphs of the nanospeech model in `folder` to the new folder `out`, with their weights.

    int8: quantise the weights of matrix products, one scale per channel; activations are quantised dynamically.
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
        name = f"{graph.name}{INT8}" if graph.int8 else graph.name
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
    examples = {graph.name: graph for graph in graphs(parts, vocoder, t2s)}
    for kind, (network, names) in kinds.items():
        drawn = {name: value.numpy() for name, value in network.state_dict().items()}
        for name in names:
            if progress is not None:
                progress(name)
            graph = traced(examples[name])
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
    """Return the graph with ONNX Runtime's fusions, except machine-dependent ones, and in 8 bits if requested."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    del model.graph.value_info[:]  # shapes of symbolic sizes, which the quantiser's shape inference contradicts
    with tempfile.TemporaryDirectory() as folder:
        plain, done = Path(folder) / "plain.onnx", Path(folder) / "done.onnx"
        onnx.save(model, plain)
        if int8:
            # Seven bits: processors without VNNI add two products in 16 bits, which would overflow with eight.
            with quiet(""):
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
                raise ValueError(f"initialiser {initializer.name} of shape {value.shape} is not a tensor of the model")
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
