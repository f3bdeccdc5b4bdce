"""The published formats of nanospeech and Vocos: configs from their tensors, and their tensor names → ours.

A published nanospeech is model.safetensors with vocab.txt, and perhaps duration.safetensors; a published Vocos is
config.yaml with pytorch_model.bin. Dimensions come from the tensors or the config, never from numbers in this file.
`whisperspeech` has the formats of that engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vivavoce.config import Config, MelConfig
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.vocoder import VocoderConfig

if TYPE_CHECKING:
    import mlx.core as mx
    import torch

    Tensor = TypeVar("Tensor", torch.Tensor, mx.array)

VOCODER = "charactr/vocos-mel-24khz"  # of a published nanospeech

C = TypeVar("C", bound=Config)

# Published names -> ours, for both transformers of lucasnewman/nanospeech
RENAMES = (
    (r"^transformer\.time_embed\.time_mlp\.", "transformer.time_embed.mlp."),
    (r"^transformer\.text_embed\.text_embed\.", "transformer.text_encoder.embed."),
    (r"^transformer\.text_embed\.text_blocks\.(\d+)\.", r"transformer.text_encoder.blocks.\1."),
    (r"\.dwconv\.", ".conv."),
    (r"\.pwconv1\.", ".expand."),
    (r"\.pwconv2\.", ".contract."),
    (r"^transformer\.input_embed\.proj\.", "transformer.input."),
    (r"^transformer\.input_embed\.conv_pos_embed\.conv1d\.0\.", "transformer.position.conv1."),
    (r"^transformer\.input_embed\.conv_pos_embed\.conv1d\.2\.", "transformer.position.conv2."),
    (r"^transformer\.transformer_blocks\.", "transformer.blocks."),
    (r"\.attn_norm\.linear\.", ".adaln."),
    (
        r"\.attn\.to_([qkv])\.",
        lambda m: {"q": ".attention.query.", "k": ".attention.key.", "v": ".attention.value."}[m[1]],
    ),
    (r"\.attn\.to_out\.0\.", ".attention.out."),
    (r"\.ff\.ff\.0\.0\.", ".ff.expand."),
    (r"\.ff\.ff\.2\.", ".ff.contract."),
    (r"^transformer\.norm_out\.linear\.", "transformer.final_adaln."),
    (r"^transformer\.proj_out\.", "transformer.out."),
)
HEAD_DIM = 64  # the only dimension that the tensors' shapes do not give


def rename(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published nanospeech tensors to ours, without buffers, which are computed."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.startswith("mel_spec.") or name.endswith((".inv_freq", ".freqs_cis")):
            continue
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor.reshape(-1) if ".grn." in name else tensor
    return renamed


def _import(
    weights: Mapping[str, Tensor], where: str, describe: Callable[[Mapping[str, Tensor]], C]
) -> tuple[C, dict[str, Tensor]]:
    renamed = rename(weights)
    try:
        return describe(renamed), renamed
    except KeyError as error:
        raise ValueError(f"{where}: not a published nanospeech checkpoint, {error} is missing") from None
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{where}: not a published nanospeech checkpoint ({error})") from None


def count_layers(weights: Mapping[str, Any], prefix: str) -> int:
    """Return the number of layers whose tensors are named PREFIX, number, dot, …"""
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def _dimensions(w: Mapping[str, Tensor], dim: int) -> dict[str, Any]:
    """Return the dimensions that the two published networks have in common, from their tensors' shapes."""
    vocab, text_dim = w["transformer.text_encoder.embed.weight"].shape
    return {
        "vocab_size": vocab - 1,
        "text_dim": text_dim,
        "dim": dim,
        "depth": count_layers(w, "transformer.blocks."),
        "heads": w["transformer.blocks.0.attention.query.weight"].shape[0] // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "ff_mult": w["transformer.blocks.0.ff.expand.weight"].shape[0] // dim,
        "text_layers": count_layers(w, "transformer.text_encoder.blocks."),
    }


def import_nanospeech(weights: Mapping[str, Tensor], where: str) -> tuple[NanospeechConfig, dict[str, Tensor]]:
    """Return config, from the tensors' shapes, and renamed tensors of a published nanospeech model.

    Raises ValueError for anything else.
    """

    def describe(w: Mapping[str, Tensor]) -> NanospeechConfig:
        n_mels, dim = w["transformer.out.weight"].shape
        return NanospeechConfig(mel=MelConfig(n_mels=n_mels), **_dimensions(w, dim))

    return _import(weights, where, describe)


def import_duration(weights: Mapping[str, Tensor], where: str) -> tuple[DurationConfig, dict[str, Tensor]]:
    """Return config and renamed tensors of a published nanospeech duration model. Raises ValueError for others."""

    def describe(w: Mapping[str, Tensor]) -> DurationConfig:
        dim, inputs = w["transformer.input.weight"].shape  # of mel and text
        n_mels = inputs - w["transformer.text_encoder.embed.weight"].shape[1]
        return DurationConfig(mel=MelConfig(n_mels=n_mels), **_dimensions(w, dim))

    config, renamed = _import(weights, where, describe)
    named = {re.sub(r"^to_pred\.0\.", "out.", re.sub(r"^transformer\.", "", n)): t for n, t in renamed.items()}
    return config, named


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"class_path is of type {type(value).__name__}; it must be a string")
    return value


def _vocos_config(values: dict[str, Any], weights: Mapping[str, Tensor]) -> VocoderConfig:
    """Return the config of a published Vocos from its parsed config.yaml. A wrong one raises various errors."""
    parts = {name: values[name] for name in ("feature_extractor", "backbone", "head")}
    kinds = [_text(part["class_path"]).rsplit(".", 1)[-1] for part in parts.values()]
    if kinds[0] not in ("MelSpectrogramFeatures", "EncodecFeatures") or kinds[1:] != ["VocosBackbone", "ISTFTHead"]:
        raise ValueError(
            f"{', '.join(kinds)}; only MelSpectrogramFeatures or EncodecFeatures with VocosBackbone and ISTFTHead"
        )
    features, backbone, head = (part.get("init_args", {}) for part in parts.values())
    common = {
        "dim": backbone["dim"],
        "intermediate_dim": backbone["intermediate_dim"],
        "num_layers": backbone["num_layers"],
        "padding": head.get("padding", "same"),
        "n_fft": head["n_fft"],
        "hop": head["hop_length"],
    }
    if kinds[0] == "MelSpectrogramFeatures":
        mel = {
            "sample_rate": features.get("sample_rate", 24_000),
            "n_fft": features.get("n_fft", 1024),
            "hop": features.get("hop_length", 256),
            "n_mels": features.get("n_mels", 100),
            "floor": 1e-7,
        }
        return VocoderConfig.from_dict({"mel": mel, **common}, "config.yaml")
    table = weights["feature_extractor.codebook_weights"]
    size = VocoderConfig.codebook_size  # EnCodec has no other
    codes = {
        "input": "codes",
        "codebooks": len(table) // size,
        "codebook_dim": table.shape[1],
        "bandwidths": features.get("bandwidths", (1.5, 3.0, 6.0, 12.0)),
    }
    return VocoderConfig.from_dict({**codes, **common}, "config.yaml")


def _plain_yaml(text: str) -> Any:
    """Parse a short YAML file without aliases, which can make a few lines expand to more than the memory holds."""
    import yaml  # type: ignore[import-untyped]

    if len(text) > 100_000:
        raise ValueError(f"it has {len(text)} characters; at most 100000 are supported")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases, which are not supported")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > 20:
            raise ValueError("it is nested too deeply")
    return yaml.safe_load(text)


def import_vocos(
    config_yaml: str, weights: Mapping[str, Tensor], where: str
) -> tuple[VocoderConfig, dict[str, Tensor]]:
    """Return config and tensors of a published Vocos from its config.yaml and state dict.

    The classes that the config names are not imported. Raises ValueError for anything else.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        config = _vocos_config(_plain_yaml(config_yaml), weights)
    except KeyError as error:
        raise ValueError(f"{where}: not a published Vocos, {error} is missing") from None
    except (yaml.YAMLError, TypeError, AttributeError, IndexError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())  # YAML errors come in several lines
        raise ValueError(f"{where}/config.yaml: not a Vocos config ({reason})") from None
    kept = {
        name.removeprefix("feature_extractor."): tensor
        for name, tensor in weights.items()
        if (not name.startswith("feature_extractor.") or name == "feature_extractor.codebook_weights")
        and not name.endswith("istft.window")
    }
    return config, kept


def check_rows(vocabulary: Path, characters: list[str], rows: int, weights: str) -> None:
    """Raise ValueError if a vocab.txt does not fit the rows of an embedding.

    The published loader counts the empty rest after a final line end as an entry, so its weights may have a row more.
    """
    spare = vocabulary.read_bytes().endswith(b"\n")
    if rows not in (len(characters), len(characters) + spare):
        raise ValueError(f"{vocabulary}: {len(characters)} characters, but {weights} has {rows}")
