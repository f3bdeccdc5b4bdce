"""Names of models → loaded systems: the bundled ones, folders written by `vivavoce export`, the published formats.

A model folder holds config.json and model.safetensors. Its config.json says what it is ("kind"), its settings, and for
a nanospeech model which duration model and vocoder speak with it: "bundled", or a folder relative to this one.
A folder or hub repository without config.json but with model.safetensors and vocab.txt is a published nanospeech
checkpoint; one with t2s-*.model and s2a-*.model is a published WhisperSpeech, and config.yaml with pytorch_model.bin a
published Vocos. Their tensors are renamed, then loaded strictly. Dimensions come from the config or from the tensors,
never from numbers in this file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vivavoce.config import Config, DurationConfig, MelConfig, NanospeechConfig, VocoderConfig

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    import torch

    from vivavoce import system_mlx, system_torch
    from vivavoce.system_whisperspeech_torch import WhisperspeechSystem

    Tensor = TypeVar("Tensor", torch.Tensor, mx.array)
    NanospeechSystem = system_torch.NanospeechSystem | system_mlx.NanospeechSystem

ASSETS = Path(__file__).parent / "assets"
BUNDLED = ("nanospeech", "whisperspeech")  # `bundled` is the first of them
PUBLISHED_VOCODER = "charactr/vocos-mel-24khz"
PUBLISHED_CODES_VOCODER = "charactr/vocos-encodec-24khz"
PUBLISHED_SPEAKER = "speechbrain/spkrec-ecapa-voxceleb"
FORMAT = 1  # of config.json

C = TypeVar("C", bound=Config)


# ---- finding and reading ------------------------------------------------------------------------------------------


def find(model: str, files: tuple[str, ...] = ("*.json", "*.safetensors", "vocab.txt")) -> Path:
    """The folder of a model: "bundled" or a bundled model's name, a local folder, or a Hugging Face repository.

    Raises ValueError where there is none, or the hub cannot be reached.
    """
    if model == "bundled" or model in BUNDLED:
        folder = ASSETS / (BUNDLED[0] if model == "bundled" else model)
        if not folder.is_dir():
            raise ValueError(f"model {model!r} is not bundled in this version; give a folder or a Hugging Face name")
        return folder
    if os.path.isdir(model):
        return Path(model)
    if os.path.exists(model):
        raise ValueError(f"model {model!r} is a file; give the folder that holds config.json and model.safetensors")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or model.startswith("."):
        raise ValueError(
            f"no model {model!r}; give a folder, a Hugging Face name such as owner/name, or one of: "
            + ", ".join(("bundled", *BUNDLED))
        )
    import huggingface_hub

    with _told_of_hub(model):
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=list(files)))


@contextlib.contextmanager
def _told_of_hub(model: str) -> Iterator[None]:
    """What goes wrong with Hugging Face, as one ValueError that names the model."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"no folder {model!r} here, and Hugging Face does not give such a model ({type(error).__name__}: {reason})"
        ) from None


def read_config(folder: Path, kind: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """config.json of a model folder that is to be a `kind` and may have `settings`.

    Raises ValueError where it is missing, not JSON, of a later format, of another kind, or has an unknown setting.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no config.json; is it a model folder?") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({error})") from None
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ValueError(f'{path}: no "kind"; here it must be {kind}')
    if values.get("format") != FORMAT:
        raise ValueError(f"{path}: format {values.get('format')!r}; this version of vivavoce reads format {FORMAT}")
    if values["kind"] != kind:
        raise ValueError(f"{path}: a {values['kind']} model, where a {kind} model is needed")
    known = ("format", "kind", *settings)
    for key in values:
        if key not in known:
            raise ValueError(f"{path}: unknown setting {key!r}; valid are {', '.join(known)}")
    for key in ("duration", "vocoder", "t2s", "s2a", "codec", "speaker"):
        if not isinstance(values.get(key, ""), str):
            raise ValueError(f'{path}: {key} is {values[key]!r}; it must be "bundled" or the name of a folder')
    characters = values.get("characters", "")
    if not isinstance(characters, str | list) or not all(isinstance(c, str) for c in characters):
        raise ValueError(f"{path}: characters is {characters!r}; it must be a string, or a list of strings")
    return values


def check_rows(vocabulary: Path, characters: list[str], rows: int, weights: str) -> None:
    """The published loader counts the nothing after a final line end as an entry, so such weights have a row more."""
    spare = vocabulary.read_bytes().endswith(b"\n")
    if rows not in (len(characters), len(characters) + spare):
        raise ValueError(f"{vocabulary}: {len(characters)} characters, but {weights} has {rows}")


# ---- systems ------------------------------------------------------------------------------------------------------


def load_system(
    model: str = "bundled",
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "float32",
    compile: bool = False,
    vocoder: str | None = None,
    bits: int | None = None,
) -> NanospeechSystem | WhisperspeechSystem:
    """Everything that speaks, by the name of its main model.

    `model` as in `find`, or with the files of a published whisperspeech pair behind a colon, as in
    "owner/name:t2s-small.model,s2a-small.model"; `backend` "auto", "torch" or "mlx"; `device` "auto", "cpu", "cuda" or
    "mps"; `dtype` "float32", "bfloat16" or "float16"; `vocoder` replaces the one that the model asks for ("bundled", a
    folder, a hub name); `bits` 4 or 8 quantises the model's weights, with MLX only.
    Raises ValueError for anything that cannot be had.
    """
    if bits not in (None, 4, 8):
        raise ValueError(f"bits is {bits!r}; it must be 4 or 8")
    chosen = choose_backend(backend)
    name, named = split_name(model)
    # before a backend is loaded: a wrong name is answered at once
    folder = find(name, named) if named else find(name)
    pair = None
    if named or not ((folder / "config.json").exists() or (folder / "model.safetensors").exists()):
        folder, pair = find_pair(name, folder, named)
    # oneDNN keeps what it has compiled for each of the last 1024 shapes. Texts have lengths of their own, so it would
    # gain little and memory would grow for hours. It reads these names when it is first used.
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "16")
    if pair or _kind(folder) == "whisperspeech":
        if backend == "mlx":
            raise ValueError(f"backend is 'mlx', and {model} is a whisperspeech model, which runs in PyTorch alone")
        if bits is not None:
            raise ValueError(f"bits is {bits}, and {model} is a whisperspeech model, which has no quantised weights")
        from vivavoce import checkpoints_whisperspeech_torch

        return checkpoints_whisperspeech_torch.load_system(folder, pair, device, dtype, compile, vocoder)
    if bits is not None and chosen != "mlx":
        raise ValueError(
            f"bits is {bits}, and only the backend mlx has quantised weights; the backend here is {chosen}"
        )
    if chosen == "mlx":
        try:
            from vivavoce import checkpoints_mlx
        except ImportError as error:
            if not (error.name or "").startswith("mlx"):
                raise
            raise ValueError(f"backend is 'mlx', which does not load ({error}): pip install vivavoce[mlx]") from None

        return checkpoints_mlx.load_system(folder, device, dtype, compile, vocoder, bits)
    from vivavoce import checkpoints_torch

    return checkpoints_torch.load_system(folder, device, dtype, compile, vocoder)


def _kind(folder: Path) -> str:
    """What config.json says that a model is; "" where it does not: whoever reads it then tells what is wrong."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(values.get("kind", "")) if isinstance(values, dict) else ""


def split_name(model: str) -> tuple[str, tuple[str, ...]]:
    """ "owner/name:t2s-a.model,s2a-b.model" → its name, and the files of a whisperspeech pair; () for none."""
    found = re.fullmatch(r"(.+?):([^:/\\]+\.model)", model)
    return (found[1], tuple(found[2].split(","))) if found else (model, ())


def find_pair(model: str, folder: Path, named: tuple[str, ...]) -> tuple[Path, tuple[str, str] | None]:
    """The published t2s-*.model and s2a-*.model in the folder of `model`, fetched where it is a repository.

    `named` are those that the user chose. None where there is neither of the two, so that it is something else.
    Raises ValueError, listing what there is, where it is not clear which one is meant.
    """
    there = sorted(path.name for path in folder.glob("*.model"))
    if not os.path.isdir(model):
        import huggingface_hub

        with contextlib.suppress(ValueError), _told_of_hub(model):  # without a connection, what was fetched before
            there = sorted(name for name in huggingface_hub.list_repo_files(model) if name.endswith(".model"))
    kinds = [[name for name in there if name.startswith(f"{kind}-")] for kind in ("t2s", "s2a")]
    if not named and not any(kinds):
        return folder, None
    if missing := [name for name in named if name not in there]:
        raise ValueError(f"{model} has no {missing[0]}; it has {', '.join(there) or 'no .model files'}")
    chosen = [[name for name in names if name in named] or names for names in kinds]
    if any(len(names) != 1 for names in chosen) or len(named) > 2:
        hint = f"; name them, as in {model}:{kinds[0][0]},{kinds[1][0]}" if all(kinds) else ""
        raise ValueError(f"{model}: one t2s-*.model and one s2a-*.model are needed; it has {', '.join(there)}{hint}")
    pair = (chosen[0][0], chosen[1][0])
    return (folder if os.path.isdir(model) else find(model, pair)), pair


def choose_backend(backend: str) -> str:
    """ "auto" is MLX on Apple silicon where it is installed, else torch. Raises ValueError for an unknown one."""
    if backend not in ("auto", "torch", "mlx"):
        raise ValueError(f"backend is {backend!r}; it must be auto, torch or mlx")
    if backend != "auto":
        return backend
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return "mlx" if apple and importlib.util.find_spec("mlx") else "torch"


def read_pickled(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a PyTorch .bin or .pt as numpy arrays, for the other backend; it loads PyTorch, which alone reads it.

    Raises ValueError, naming the file, where it cannot be read, holds other things, or PyTorch is missing.
    """
    try:
        from vivavoce import checkpoints_torch
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: only PyTorch reads this file, and the package {error.name} is missing") from None
    weights = checkpoints_torch.read_weights(path)
    if wrong := [name for name, value in weights.items() if not hasattr(value, "numpy")]:
        raise ValueError(f"{path}: {wrong[0]} is a {type(weights[wrong[0]]).__name__}, not a tensor")
    return {name: tensor.float().numpy() for name, tensor in weights.items()}


# ---- the published formats ----------------------------------------------------------------------------------------

# Ours, from theirs, for both transformers of lucasnewman/nanospeech
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
HEAD_DIM = 64  # the one dimension that the published tensors do not tell


def rename(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published nanospeech names → ours; buffers that are computed anyway are left out."""
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


def _layers(weights: Mapping[str, Any], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def import_nanospeech(weights: Mapping[str, Tensor], where: str) -> tuple[NanospeechConfig, dict[str, Tensor]]:
    """Config, from the tensors' shapes, and renamed tensors of a published nanospeech model."""

    def describe(w: Mapping[str, Tensor]) -> NanospeechConfig:
        embedding, channels = w["transformer.text_encoder.embed.weight"], w["transformer.out.weight"]
        return NanospeechConfig(
            mel=MelConfig(n_mels=channels.shape[0]),
            vocab_size=embedding.shape[0] - 1,
            text_dim=embedding.shape[1],
            dim=channels.shape[1],
            depth=_layers(w, "transformer.blocks."),
            heads=w["transformer.blocks.0.attention.query.weight"].shape[0] // HEAD_DIM,
            head_dim=HEAD_DIM,
            ff_mult=w["transformer.blocks.0.ff.expand.weight"].shape[0] // channels.shape[1],
            text_layers=_layers(w, "transformer.text_encoder.blocks."),
        )

    return _import(weights, where, describe)


def import_duration(weights: Mapping[str, Tensor], where: str) -> tuple[DurationConfig, dict[str, Tensor]]:
    """Config and renamed tensors of a published nanospeech duration model."""

    def describe(w: Mapping[str, Tensor]) -> DurationConfig:
        embedding, project = w["transformer.text_encoder.embed.weight"], w["transformer.input.weight"]
        return DurationConfig(
            mel=MelConfig(n_mels=project.shape[1] - embedding.shape[1]),
            vocab_size=embedding.shape[0] - 1,
            text_dim=embedding.shape[1],
            dim=project.shape[0],
            depth=_layers(w, "transformer.blocks."),
            heads=w["transformer.blocks.0.attention.query.weight"].shape[0] // HEAD_DIM,
            head_dim=HEAD_DIM,
            ff_mult=w["transformer.blocks.0.ff.expand.weight"].shape[0] // project.shape[0],
            text_layers=_layers(w, "transformer.text_encoder.blocks."),
        )

    config, renamed = _import(weights, where, describe)
    named = {re.sub(r"^to_pred\.0\.", "out.", re.sub(r"^transformer\.", "", n)): t for n, t in renamed.items()}
    return config, named


def _vocos_config(values: dict[str, Any], weights: Mapping[str, Tensor]) -> VocoderConfig:
    """The config of a published Vocos from its parsed config.yaml. Raises whatever a wrong one brings about."""
    parts = {name: values[name] for name in ("feature_extractor", "backbone", "head")}
    kinds = [str(part["class_path"]).rsplit(".", 1)[-1] for part in parts.values()]
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
        mel = MelConfig(
            sample_rate=features.get("sample_rate", 24_000),
            n_fft=features.get("n_fft", 1024),
            hop=features.get("hop_length", 256),
            n_mels=features.get("n_mels", 100),
            floor=1e-7,
        )
        return VocoderConfig(mel=mel, **common)
    table = weights["feature_extractor.codebook_weights"]
    size = VocoderConfig.codebook_size  # EnCodec has no other
    bandwidths = tuple(float(b) for b in features.get("bandwidths", (1.5, 3.0, 6.0, 12.0)))
    return VocoderConfig(
        input="codes", codebooks=len(table) // size, codebook_dim=table.shape[1], bandwidths=bandwidths, **common
    )


def import_vocos(
    config_yaml: str, weights: Mapping[str, Tensor], where: str
) -> tuple[VocoderConfig, dict[str, Tensor]]:
    """Config and tensors of a published Vocos: its config.yaml and state dict. No class that it names is imported."""
    import yaml  # type: ignore[import-untyped]

    try:
        config = _vocos_config(yaml.safe_load(config_yaml), weights)
    except KeyError as error:
        raise ValueError(f"{where}: not a published Vocos, {error} is missing") from None
    except (yaml.YAMLError, TypeError, AttributeError, IndexError, ValueError) as error:
        reason = " ".join(str(error).split())  # YAML errors come in several lines
        raise ValueError(f"{where}/config.yaml: not a Vocos config ({reason})") from None
    kept = {
        name.removeprefix("feature_extractor."): tensor
        for name, tensor in weights.items()
        if (not name.startswith("feature_extractor.") or name == "feature_extractor.codebook_weights")
        and not name.endswith("istft.window")
    }
    return config, kept
