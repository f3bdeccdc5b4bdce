"""The parts of the whisperspeech engine, from our own folders and from published files, as PyTorch networks.

Our own folders are those of `vivavoce export`: config.json {"format", "kind", "model", …} and model.safetensors.
Pickles are read as data. `convert` turns published files into such folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from vivavoce.audio.files import atomic_write
from vivavoce.checkpoints import whisperspeech
from vivavoce.checkpoints.resolve import FORMAT, find, read_config
from vivavoce.checkpoints.weights_torch import build, load_model, read_weights
from vivavoce.config import Config
from vivavoce.models.codec import CodecConfig
from vivavoce.models.codec_torch import MelQuantizer
from vivavoce.models.ecapa_torch import EcapaEncoder
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.models.semantic import SemanticConfig
from vivavoce.models.semantic_torch import Semantic, Whisper
from vivavoce.models.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.models.whisperspeech import (
    MaskedSamplingConfig,
    MaskedT2SConfig,
    S2AConfig,
    T2SConfig,
    TokenSamplingConfig,
    in_frames,
)
from vivavoce.models.whisperspeech_torch import S2A, T2S

ENCODEC = "encodec"  # the codec of a system whose codes Vocos' EnCodec variant decodes
SPEAKERS = {
    256: "bundled",
    192: whisperspeech.SPEAKER_ENCODER,
}  # by vector size, if none is named
ECAPA_FILE = "embedding_model.ckpt"

PARTS: dict[str, tuple[type[Config], type[nn.Module]]] = {
    "t2s": (T2SConfig, T2S),
    "s2a": (S2AConfig, S2A),
    "semantic": (SemanticConfig, Semantic),
    "codec": (CodecConfig, MelQuantizer),
}
MASKED: tuple[type[Config], type[nn.Module]] = (MaskedT2SConfig, MaskedT2S)  # of a t2s with "alignment": "frames"


@dataclass
class Part:
    """The config.json of one part of the engine."""

    config: Any  # of the kind's class
    # for t2s and s2a
    sampling: TokenSamplingConfig | MaskedSamplingConfig = field(default_factory=TokenSamplingConfig)
    characters: str = ""  # of a t2s that reads characters
    tokens: dict[str, Any] = field(default_factory=dict)  # describes the tokens that it was trained on; {}: unknown


def read_part(folder: Path, kind: str) -> Part:
    """Read the settings of our own folder of a `kind`: "t2s", "s2a", "semantic" or "codec".

    Raises ValueError for a folder that is missing, damaged, or of another kind.
    """
    values = read_config(folder, kind, ("model", "sampling", "tokens", "characters"))
    where = str(folder / "config.json")
    if not isinstance(values.get("tokens", {}), dict):
        raise ValueError(f"{where}: tokens is {values['tokens']!r}; it must be an object")
    masked = kind == "t2s" and in_frames(values)
    config = (MASKED if masked else PARTS[kind])[0].from_dict(values.get("model", {}), where)
    sampling_type = MaskedSamplingConfig if masked else TokenSamplingConfig
    sampling = sampling_type.from_dict(values.get("sampling", {}), f"{where}: sampling")
    return Part(config, sampling, "".join(values.get("characters", "")), values.get("tokens", {}))


def load_part(folder: Path, kind: str) -> nn.Module:
    """Load our own folder of a `kind` for inference: T2S or MaskedT2S, S2A, Semantic or MelQuantizer.

    Raises ValueError for a folder that is missing, damaged, or of another kind.
    """
    config = read_part(folder, kind).config
    network = MASKED[1] if isinstance(config, MaskedT2SConfig) else PARTS[kind][1]
    return load_model(network, config, folder / "model.safetensors")


def digest(folder: Path) -> str:
    """Return a hash of a model's weights.

    It excludes the weights of a semantic model that only read codes: training them further does not change the codes.
    """
    path = folder / "model.safetensors"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    semantic = "codebook.vectors" in weights
    found = hashlib.sha256()
    for name in sorted(weights):
        if not (semantic and name.startswith(Semantic.AFTER_CODES)):
            found.update(name.encode() + weights[name].flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def load_t2s(path: Path) -> T2S:
    """Load a published t2s-*.model file. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = whisperspeech.import_t2s(read_weights(path), str(path))
    return build(T2S, config, weights, path)


def load_s2a(path: Path) -> S2A:
    """Load a published s2a-*.model file. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = whisperspeech.import_s2a(read_weights(path), str(path))
    return build(S2A, config, weights, path)


def load_whisper(path: Path) -> Whisper:
    """Load an openai-whisper checkpoint, such as base.pt. Raises ValueError if it is missing, damaged, or another."""
    config, weights = whisperspeech.import_whisper(read_weights(path), str(path))
    return build(Whisper, config, weights, path)


def load_semantic(path: Path, whisper: Whisper) -> Semantic:
    """Load a published whisper-vq-stoks-*.model file, for the Whisper that it names.

    Raises ValueError for one that is missing, damaged, something else, or made for another Whisper.
    """
    config, weights = whisperspeech.import_semantic(read_weights(path), whisper.config, str(path))
    return build(Semantic, config, weights, path)


def load_ecapa(path: Path) -> EcapaEncoder:
    """Load SpeechBrain's embedding_model.ckpt. Raises ValueError if it is missing, damaged, or something else."""
    config, weights = whisperspeech.import_ecapa(read_weights(path), str(path))
    return build(EcapaEncoder, config, weights, path)


def load_speaker(name: str | None, beside: Path, s2a: S2AConfig, device: torch.device) -> SpeakerEncoder | EcapaEncoder:
    """Load the encoder of the speaker vectors that an S2A reads.

    name: "bundled", or a folder (also relative to `beside`) or hub name with SpeechBrain's embedding_model.ckpt; None:
    the one of SPEAKERS. Raises ValueError if it is unavailable, or its vectors are of another size.
    """
    name = name or SPEAKERS.get(s2a.speaker_dim)
    if name is None:
        known = " and ".join(map(str, SPEAKERS))
        raise ValueError(f"no encoder is known for vectors of {s2a.speaker_dim} numbers, only of {known}")
    encoder: SpeakerEncoder | EcapaEncoder
    if name == "bundled":
        encoder = load_speaker_encoder()
    else:
        try:
            folder = beside / name if (beside / name).is_dir() else find(name, (ECAPA_FILE,))
        except ValueError as error:
            raise ValueError(
                f"its encoder {name!r}, which is downloaded once from Hugging Face, is not available: {error}"
            ) from None
        encoder = load_ecapa(folder / ECAPA_FILE)
    if encoder.config.speaker_dim != s2a.speaker_dim:
        raise ValueError(
            f"the speaker encoder {name!r} has vectors of {encoder.config.speaker_dim} numbers, not {s2a.speaker_dim}"
        )
    return encoder.to(device)


def check_tokens(parts: dict[str, Part], folders: dict[str, Path]) -> None:
    """Raise ValueError if the parts of a system do not write and read the same tokens. parts, folders: by kind."""
    t2s, s2a = parts["t2s"].config, parts["s2a"].config
    hashes = [parts[kind].tokens.get("semantic", "") for kind in ("t2s", "s2a")]
    checks: list[tuple[str, str, Any, str, Any]] = [
        ("semantic codes", "t2s", t2s.codes, "s2a", s2a.semantic_codes),
        ("for the hash of its semantic model", "t2s", hashes[0], "s2a", hashes[1] or hashes[0]),
    ]
    if "codec" in parts:
        codec = parts["codec"].config
        checks.append(("codebooks", "s2a", s2a.quantizers, "codec", codec.quantizers))
        checks.append(("codes in a codebook", "s2a", s2a.codes, "codec", codec.codes))
    for what, writer, written, reader, read in checks:
        if written and written != read:
            raise ValueError(
                f"{folders[writer]} has {written} {what}, {folders[reader]} has {read}; they do not fit together"
            )


# ---- published files → our own folders ------------------------------------------------------------------------------


def convert(files: Sequence[Path], out: Path, whisper: Path | None = None) -> str:
    """Convert published .model files to folders of our own format, in their precision. Return a line that names them.

    One t2s-*, s2a-* or whisper-vq-stoks-*.model becomes the folder `out`; a t2s and an s2a together become a system, a
    folder with the folders t2s and s2a. A semantic model needs the `whisper` that it names, an openai-whisper
    checkpoint. Raises ValueError for other files, and if `out` exists and is not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} already exists; give a new folder, or an empty one")
    found: dict[str, tuple[Config, nn.Module]] = {}
    for path in files:
        kind, config, model = _published(path, whisper)
        if kind in found:
            raise ValueError(f"{path}: a second {kind} model; give one file, or a t2s and an s2a")
        found[kind] = config, model
    if len(found) > 1 and set(found) != {"t2s", "s2a"}:
        raise ValueError(f"{' and '.join(found)} models do not form a system; give one file, or a t2s and an s2a")
    for kind, (config, model) in found.items():
        folder = out if len(found) == 1 else out / kind
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / "model.safetensors", save(model.state_dict()))
        _write_config(folder, {"kind": kind, "model": config.to_dict()})
    if len(found) > 1:
        _write_config(out, {"kind": "whisperspeech", "t2s": "t2s", "s2a": "s2a", "codec": ENCODEC})
    return f"{out}: {'a whisperspeech system' if len(found) > 1 else f'a {next(iter(found))} model'}"


def _published(path: Path, whisper: Path | None) -> tuple[str, Config, nn.Module]:
    """Return kind, config and network of a published file, recognised by its tensors' names."""
    spec = read_weights(path)
    state: Any = spec.get("state_dict")
    names = " ".join(state) if isinstance(state, dict) else ""
    if "rq." in names:
        if whisper is None:
            raise ValueError(f"{path}: a semantic model; give its Whisper checkpoint with --whisper FILE")
        model = load_semantic(path, load_whisper(whisper))
        return "semantic", model.config, model
    for kind, mark, load in (("t2s", "lang_embeddings.", load_t2s), ("s2a", "semantic_embedding.", load_s2a)):
        if mark in names:
            network: Any = load(path)
            return kind, network.config, network
    raise ValueError(f"{path}: not a published WhisperSpeech model: t2s-*, s2a-* or whisper-vq-stoks-*.model")


def _write_config(folder: Path, values: dict[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, **values}, indent=1, ensure_ascii=False)
    atomic_write(folder / "config.json", f"{text}\n".encode())
