"""Whisperspeech models, our own folders and the published files, and openai-whisper's → PyTorch networks.

Our own are the folders that `vivavoce export` writes: config.json {"format", "kind", "model", …} and model.safetensors.
Weights are read as data alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import nn

from vivavoce import checkpoints_whisperspeech
from vivavoce.checkpoints import ASSETS, PUBLISHED_CODES_VOCODER, read_config
from vivavoce.checkpoints_torch import fill, load_vocoder, read_weights
from vivavoce.config import Config
from vivavoce.config_whisperspeech import (
    CodecConfig,
    S2AConfig,
    SemanticConfig,
    T2SConfig,
    TokenSamplingConfig,
    WhisperspeechConfig,
)
from vivavoce.engines.codec_torch import MelCodec, MelQuantizer
from vivavoce.engines.semantic_torch import Semantic, Whisper
from vivavoce.engines.whisperspeech_torch import S2A, T2S
from vivavoce.system_torch import placement
from vivavoce.system_whisperspeech_torch import EncodecVocos, WhisperspeechSystem

PARTS: dict[str, tuple[type[Config], type[nn.Module]]] = {
    "t2s": (T2SConfig, T2S),
    "s2a": (S2AConfig, S2A),
    "semantic": (SemanticConfig, Semantic),
    "codec": (CodecConfig, MelQuantizer),
}


@dataclass
class Part:
    """What config.json of one part of the engine says."""

    config: Any  # of the kind's class
    sampling: TokenSamplingConfig = field(default_factory=TokenSamplingConfig)  # for t2s and s2a
    tokens: dict[str, Any] = field(default_factory=dict)  # what the tokens are that it was trained on; {}: not known


def read_part(folder: Path, kind: str) -> Part:
    """Settings of our own folder of a `kind`: "t2s", "s2a", "semantic" or "codec".

    Raises ValueError for a folder that is missing, damaged, or of another kind.
    """
    values = read_config(folder, kind, ("model", "sampling", "tokens"))
    where = str(folder / "config.json")
    if not isinstance(values.get("tokens", {}), dict):
        raise ValueError(f"{where}: tokens is {values['tokens']!r}; it must be an object")
    config = PARTS[kind][0].from_dict(values.get("model", {}), where)
    sampling = TokenSamplingConfig.from_dict(values.get("sampling", {}), f"{where}: sampling")
    return Part(config, sampling, values.get("tokens", {}))


def load_part(folder: Path, kind: str) -> nn.Module:
    """The network of our own folder of a `kind`, set to inference: T2S, S2A, Semantic or MelQuantizer.

    Raises ValueError for a folder that is missing, damaged, or of another kind.
    """
    path = folder / "model.safetensors"
    return fill(PARTS[kind][1](read_part(folder, kind).config), read_weights(path), path)


def load_t2s(path: Path) -> T2S:
    """A published t2s-*.model file. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = checkpoints_whisperspeech.import_t2s(read_weights(path), str(path))
    return fill(T2S(config), weights, path)


def load_s2a(path: Path) -> S2A:
    """A published s2a-*.model file. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = checkpoints_whisperspeech.import_s2a(read_weights(path), str(path))
    return fill(S2A(config), weights, path)


def load_whisper(path: Path) -> Whisper:
    """An openai-whisper checkpoint, such as base.pt. Raises ValueError for one that is missing, damaged, or other."""
    config, weights = checkpoints_whisperspeech.import_whisper(read_weights(path), str(path))
    return fill(Whisper(config), weights, path)


def load_semantic(path: Path, whisper: Whisper) -> Semantic:
    """A published whisper-vq-stoks-*.model file, for the Whisper that it names.

    Raises ValueError for one that is missing, damaged, something else, or does not go with this Whisper.
    """
    config, weights = checkpoints_whisperspeech.import_semantic(read_weights(path), whisper.config, str(path))
    return fill(Semantic(config), weights, path)


# ---- systems --------------------------------------------------------------------------------------------------------


def load_system(
    folder: Path, pair: tuple[str, str] | None, device: str, dtype: str, compile: bool, vocoder: str | None
) -> WhisperspeechSystem:
    """As `checkpoints.load_system`, from a system's folder, or from that of a published `pair` of T2S and S2A files."""
    where = placement(device, dtype)
    if pair is not None:
        t2s, s2a = load_t2s(folder / pair[0]), load_s2a(folder / pair[1])
        speaks = load_vocoder(vocoder or PUBLISHED_CODES_VOCODER, folder)
        if speaks.config.input != "codes":
            raise ValueError(f"vocoder {vocoder!r} speaks mel frames; published models write EnCodec's codes")
        codec = EncodecVocos(speaks.to(where.device), s2a.config.quantizers)
        return WhisperspeechSystem(t2s, s2a, codec, WhisperspeechConfig(), where, compile=compile)

    values = read_config(folder, "whisperspeech", ("t2s", "s2a", "codec", "vocoder", "sampling"))
    sampling = WhisperspeechConfig.from_dict(values.get("sampling", {}), f"{folder / 'config.json'}: sampling")
    folders = {}
    for kind in ("t2s", "s2a", "codec"):
        name = values.get(kind, "bundled")
        folders[kind] = ASSETS / kind if name == "bundled" else folder / name
        if not folders[kind].is_dir():
            raise ValueError(f"{folder / 'config.json'}: {kind} is {name!r}, but there is no folder {folders[kind]}")
    parts = {kind: read_part(path, kind) for kind, path in folders.items()}
    check_tokens(parts, folders)
    quantizer = cast(MelQuantizer, load_part(folders["codec"], "codec")).to(where.device)
    speaks = load_vocoder(vocoder or values.get("vocoder", "bundled"), folder).to(where.device)
    mel, its = quantizer.config.mel, speaks.config
    if its.input != "mel" or its.mel.replace(floor=mel.floor) != mel:
        raise ValueError(f"the vocoder reads {its.input} ({its.mel.to_dict()}), the codec gives {mel.to_dict()}")
    return WhisperspeechSystem(
        cast(T2S, load_part(folders["t2s"], "t2s")),
        cast(S2A, load_part(folders["s2a"], "s2a")),
        MelCodec(quantizer, speaks),
        sampling,
        where,
        t2s_sampling=parts["t2s"].sampling,
        s2a_sampling=parts["s2a"].sampling,
        compile=compile,
    )


def check_tokens(parts: dict[str, Part], folders: dict[str, Path]) -> None:
    """Raise ValueError where the parts of a system do not write and read the same tokens."""
    t2s, s2a, codec = (parts[kind].config for kind in ("t2s", "s2a", "codec"))
    told = [parts[kind].tokens.get("semantic", "") for kind in ("t2s", "s2a")]
    for what, writer, written, reader, read in (
        ("semantic codes", "t2s", t2s.codes, "s2a", s2a.semantic_codes),
        ("codebooks", "s2a", s2a.quantizers, "codec", codec.quantizers),
        ("codes in a codebook", "s2a", s2a.codes, "codec", codec.codes),
        ("as the hash of its semantic model", "t2s", told[0], "s2a", told[1] or told[0]),
    ):
        if written and written != read:
            raise ValueError(
                f"{folders[writer]} has {written} {what}, {folders[reader]} has {read}; they do not go together"
            )
