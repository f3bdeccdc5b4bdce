"""Whisperspeech models, our own folders and the published files, and openai-whisper's → PyTorch networks.

Our own are the folders that `vivavoce export` writes: config.json {"format", "kind", "model", …} and model.safetensors.
Weights are read as data alone. `convert` makes such folders of the published files.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save
from torch import nn

from vivavoce import audio, checkpoints_whisperspeech
from vivavoce.checkpoints import ASSETS, FORMAT, PUBLISHED_CODES_VOCODER, PUBLISHED_SPEAKER, find, read_config
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
from vivavoce.speaker_ecapa_torch import EcapaEncoder
from vivavoce.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.system_torch import Placement, placement
from vivavoce.system_whisperspeech_torch import EncodecVocos, WhisperspeechSystem

ENCODEC = "encodec"  # as the codec of a system: its codes are spoken by Vocos' EnCodec variant
SPEAKERS = {256: "bundled", 192: PUBLISHED_SPEAKER}  # by the numbers in their vectors: where none is named
ECAPA_FILE = "embedding_model.ckpt"

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


def load_ecapa(path: Path) -> EcapaEncoder:
    """SpeechBrain's embedding_model.ckpt. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = checkpoints_whisperspeech.import_ecapa(read_weights(path), str(path))
    return fill(EcapaEncoder(config), weights, path)


def load_speaker(name: str | None, beside: Path, s2a: S2AConfig, where: Placement) -> SpeakerEncoder | EcapaEncoder:
    """The encoder of the speaker vectors that an S2A reads.

    name: "bundled", or a folder (also relative to `beside`) or hub name that has SpeechBrain's embedding_model.ckpt;
    None: as SPEAKERS has it. Raises ValueError where it is not to be had, or its vectors are of another size.
    """
    name = name or SPEAKERS.get(s2a.speaker_dim)
    if name is None:
        known = " and ".join(map(str, SPEAKERS))
        raise ValueError(f"no encoder of such vectors is known, only of those of {known} numbers")
    encoder: SpeakerEncoder | EcapaEncoder
    if name == "bundled":
        encoder = load_speaker_encoder()
    else:
        try:
            folder = beside / name if (beside / name).is_dir() else find(name, (ECAPA_FILE,))
        except ValueError as error:
            raise ValueError(
                f"its encoder {name!r}, which is fetched once from Hugging Face, is not to be had: {error}"
            ) from None
        encoder = load_ecapa(folder / ECAPA_FILE)
    if encoder.config.speaker_dim != s2a.speaker_dim:
        raise ValueError(f"the speaker encoder {name!r} makes vectors of {encoder.config.speaker_dim} numbers")
    return encoder.to(where.device)


# ---- systems --------------------------------------------------------------------------------------------------------


def load_system(
    folder: Path, pair: tuple[str, str] | None, device: str, dtype: str, compile: bool, vocoder: str | None
) -> WhisperspeechSystem:
    """As `checkpoints.load_system`, from a system's folder, or from that of a published `pair` of T2S and S2A files."""
    where = placement(device, dtype)
    if pair is not None:
        t2s, s2a = load_t2s(folder / pair[0]), load_s2a(folder / pair[1])
        codec = _encodec(vocoder or PUBLISHED_CODES_VOCODER, folder, s2a, where)
        speaker = functools.partial(load_speaker, None, folder, s2a.config, where)
        return WhisperspeechSystem(t2s, s2a, codec, WhisperspeechConfig(), where, speaker=speaker, compile=compile)

    values = read_config(folder, "whisperspeech", ("t2s", "s2a", "codec", "vocoder", "speaker", "sampling"))
    sampling = WhisperspeechConfig.from_dict(values.get("sampling", {}), f"{folder / 'config.json'}: sampling")
    encodec = values.get("codec") == ENCODEC
    folders = {}
    for kind in ("t2s", "s2a") if encodec else ("t2s", "s2a", "codec"):
        name = values.get(kind, "bundled")
        folders[kind] = ASSETS / kind if name == "bundled" else folder / name
        if not folders[kind].is_dir():
            raise ValueError(f"{folder / 'config.json'}: {kind} is {name!r}, but there is no folder {folders[kind]}")
    parts = {kind: read_part(path, kind) for kind, path in folders.items()}
    check_tokens(parts, folders)
    s2a = cast(S2A, load_part(folders["s2a"], "s2a"))
    speaks = vocoder or values.get("vocoder", PUBLISHED_CODES_VOCODER if encodec else "bundled")
    return WhisperspeechSystem(
        cast(T2S, load_part(folders["t2s"], "t2s")),
        s2a,
        _encodec(speaks, folder, s2a, where) if encodec else _mel_codec(folders["codec"], speaks, folder, where),
        sampling,
        where,
        t2s_sampling=parts["t2s"].sampling,
        s2a_sampling=parts["s2a"].sampling,
        speaker=functools.partial(load_speaker, values.get("speaker"), folder, s2a.config, where),
        compile=compile,
    )


def _encodec(vocoder: str, folder: Path, s2a: S2A, where: Placement) -> EncodecVocos:
    speaks = load_vocoder(vocoder, folder)
    if speaks.config.input != "codes":
        raise ValueError(f"vocoder {vocoder!r} speaks mel frames; published models write EnCodec's codes")
    return EncodecVocos(speaks.to(where.device), s2a.config.quantizers)


def _mel_codec(codec: Path, vocoder: str, folder: Path, where: Placement) -> MelCodec:
    quantizer = cast(MelQuantizer, load_part(codec, "codec")).to(where.device)
    speaks = load_vocoder(vocoder, folder).to(where.device)
    mel, its = quantizer.config.mel, speaks.config
    if its.input != "mel" or its.mel.replace(floor=mel.floor) != mel:
        raise ValueError(f"the vocoder reads {its.input} ({its.mel.to_dict()}), the codec gives {mel.to_dict()}")
    return MelCodec(quantizer, speaks)


def check_tokens(parts: dict[str, Part], folders: dict[str, Path]) -> None:
    """Raise ValueError where the parts of a system do not write and read the same tokens. EnCodec is no part."""
    t2s, s2a = parts["t2s"].config, parts["s2a"].config
    told = [parts[kind].tokens.get("semantic", "") for kind in ("t2s", "s2a")]
    checks: list[tuple[str, str, Any, str, Any]] = [
        ("semantic codes", "t2s", t2s.codes, "s2a", s2a.semantic_codes),
        ("as the hash of its semantic model", "t2s", told[0], "s2a", told[1] or told[0]),
    ]
    if "codec" in parts:
        codec = parts["codec"].config
        checks.append(("codebooks", "s2a", s2a.quantizers, "codec", codec.quantizers))
        checks.append(("codes in a codebook", "s2a", s2a.codes, "codec", codec.codes))
    for what, writer, written, reader, read in checks:
        if written and written != read:
            raise ValueError(
                f"{folders[writer]} has {written} {what}, {folders[reader]} has {read}; they do not go together"
            )


# ---- published files → our own folders ------------------------------------------------------------------------------


def convert(files: Sequence[Path], out: Path, whisper: Path | None = None) -> str:
    """Published .model files → folders of our own format, in the files' precision. Says in a line what was made.

    One t2s-*, s2a-* or whisper-vq-stoks-*.model becomes the folder `out`; a t2s and an s2a together become a system, a
    folder with the folders t2s and s2a. A semantic model needs the `whisper` that it names, an openai-whisper
    checkpoint. Raises ValueError for other files, and where `out` is there and not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} is there already; give a new folder, or an empty one")
    found: dict[str, tuple[Config, nn.Module]] = {}
    for path in files:
        kind, config, model = _published(path, whisper)
        if kind in found:
            raise ValueError(f"{path}: a second {kind} model; one file, or a t2s and an s2a, make a folder")
        found[kind] = config, model
    if len(found) > 1 and set(found) != {"t2s", "s2a"}:
        raise ValueError(f"{' and '.join(found)} models do not make a system; one file, or a t2s and an s2a, do")
    for kind, (config, model) in found.items():
        folder = out if len(found) == 1 else out / kind
        folder.mkdir(parents=True, exist_ok=True)
        audio.write_whole(folder / "model.safetensors", save(model.state_dict()))
        _write_config(folder, {"kind": kind, "model": config.to_dict()})
    if len(found) > 1:
        _write_config(out, {"kind": "whisperspeech", "t2s": "t2s", "s2a": "s2a", "codec": ENCODEC})
    return f"{out}: {'a whisperspeech system' if len(found) > 1 else f'a {next(iter(found))} model'}"


def _published(path: Path, whisper: Path | None) -> tuple[str, Config, nn.Module]:
    """Kind, config and network of a published file, told by what its tensors are called."""
    spec = read_weights(path)
    state: Any = spec.get("state_dict")
    names = " ".join(state) if isinstance(state, dict) else ""
    if "rq." in names:
        if whisper is None:
            raise ValueError(f"{path}: a semantic model; --whisper FILE is needed, the checkpoint that it goes with")
        model = load_semantic(path, load_whisper(whisper))
        return "semantic", model.config, model
    for kind, mark, load in (("t2s", "lang_embeddings.", load_t2s), ("s2a", "semantic_embedding.", load_s2a)):
        if mark in names:
            network: Any = load(path)
            return kind, network.config, network
    raise ValueError(f"{path}: not a published WhisperSpeech model: t2s-*, s2a-* or whisper-vq-stoks-*.model")


def _write_config(folder: Path, values: dict[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, **values}, indent=1, ensure_ascii=False)
    audio.write_whole(folder / "config.json", f"{text}\n".encode())
