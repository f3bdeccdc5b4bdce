"""The published formats of WhisperSpeech, Whisper and ECAPA-TDNN: their configs and tensor names → ours.

A published .model file is a pickle of `config` and `tunables`, both plain values, and `state_dict`; Whisper's is one of
`dims` and `model_state_dict`; ECAPA's has only tensors. `pickle_torch` reads them as data. Dimensions come from the
tensors or from the file's own config, never from numbers in this file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from vivavoce.checkpoints.published import count_layers
from vivavoce.config import Config
from vivavoce.models.semantic import SemanticConfig, WhisperConfig
from vivavoce.models.speaker import EcapaConfig
from vivavoce.models.whisperspeech import S2AConfig, T2SConfig
from vivavoce.text.languages import WHISPER_LANGUAGES

if TYPE_CHECKING:
    from torch import Tensor

VOCODER = "charactr/vocos-encodec-24khz"  # of a published pair of T2S and S2A
SPEAKER_ENCODER = "speechbrain/spkrec-ecapa-voxceleb"

C = TypeVar("C", bound=Config)

# Buffers that we compute, training counters, and caches of optimised inference.
DROPPED = re.compile(
    r"(\.inv_freq|(^|\.)mask|(^|\.)positional_embeddings?|^val_(true|total)|^_extra_state|\.[kv]_cache|"
    r"\.merged_(in|out)|\.bias_out)$"
)

RENAMES: tuple[tuple[str, str], ...] = (
    (r"(^|\.)attn_ln\.", r"\1attention_norm."),
    (r"(^|\.)attn\.", r"\1attention."),
    (r"(^|\.)cross_attn_ln\.", r"\1cross_norm."),
    (r"(^|\.)cross_attn\.", r"\1cross."),
    (r"(^|\.)mlp_ln\.", r"\1ff_norm."),
    (r"(^|\.)mlp\.", r"\1ff."),
    (r"^decoder\.layers\.", "decoder.blocks."),
    (r"^decoder\.ln_post\.", "decoder.norm."),
    # text to semantic
    (r"^lang_embeddings\.", "language_embed."),
    (r"^cps_embeddings\.", "pace_embed."),
    (r"^encoder\.embedding\.main\.", "text_embed."),
    (r"^encoder\.layers\.", "encoder."),
    (r"^encoder\.ln_post\.", "encoder_norm."),
    (r"^embeddings\.embedding\.special\.", "special_embed."),
    (r"^embeddings\.embedding\.", "code_embed."),
    # semantic to acoustic
    (r"^semantic_embedding\.", "semantic_embed."),
    (r"^emb_to_hidden\.", "semantic_project."),
    (r"^(cond_embeddings\.speaker\.)?spk_to_hidden\.", "speaker_embed."),
    (r"^ln_post\.", "encoder_norm."),
    (r"^embds\.embeddings\.0\.special\.", "special_embed."),
    (r"^embds\.embeddings\.", "code_embeds."),
    (r"^head\.splitter\.0\.", "split."),
    (r"\.main\.", ".table."),
    (r"\.emb_to_hidden\.", ".project_in."),
    (r"\.hidden_to_emb\.", ".project_out."),
)


def rename(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published tensors to ours, without those that we compute."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if DROPPED.search(name):
            continue
        renamed[_replaced(name, RENAMES)] = tensor
    return renamed


def _import(
    spec: Mapping[str, Any],
    where: str,
    what: str,
    describe: Callable[[Mapping[str, Any], Mapping[str, Any], dict[str, Tensor]], C],
) -> tuple[C, dict[str, Tensor]]:
    """Read a .model file's parts; `describe` returns the config and may change the renamed tensors."""
    parts = [spec.get(name, {}) for name in ("config", "tunables", "state_dict")]
    if not all(isinstance(part, Mapping) for part in parts) or not parts[2]:
        raise ValueError(f"{where}: not a published WhisperSpeech model, it has no config and state_dict")
    config, tunables, weights = parts
    renamed = rename(weights)
    try:
        return describe(config, tunables, renamed), renamed
    except KeyError as error:
        raise ValueError(f"{where}: not a published {what} model, {error} is missing") from None
    except (IndexError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{where}: not a published {what} model that this version can read ({error})") from None


def _transformer(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    width = weights["encoder_norm.weight"].shape[0]
    heads = int(config["n_head"])
    return {
        "heads": heads,
        "head_dim": width // heads,
        "ff_mult": weights["decoder.blocks.0.ff.0.weight"].shape[0] // width,
        "encoder_layers": count_layers(weights, "encoder."),
        "decoder_layers": count_layers(weights, "decoder.blocks."),
        "padding": "fixed",
    }


def _tuned(tunables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the muP settings in the file; missing ones had the same defaults as ours when it was written."""
    names = {
        "query_mult": "query_mult",
        "output_mult": "output_mult",
        "init_std": "init_std",
        "embeddings_std": "embedding_std",
        "embeddings_lr_scale": "embedding_lr",
        "embedding_projector_lr_scale": "projector_lr",
    }
    found = {ours: float(tunables[theirs]) for theirs, ours in names.items() if theirs in tunables}
    if "causal_encoder" in tunables:
        found["causal_encoder"] = bool(tunables["causal_encoder"])
    return found


def import_t2s(spec: Mapping[str, Any], where: str) -> tuple[T2SConfig, dict[str, Tensor]]:
    """Return config and renamed tensors of a published t2s-*.model. Raises ValueError for anything else."""

    def describe(config: Mapping[str, Any], tunables: Mapping[str, Any], w: dict[str, Tensor]) -> T2SConfig:
        rows = w["language_embed.weight"].shape[0]
        if rows > len(WHISPER_LANGUAGES):
            raise ValueError(f"{rows} languages; only {len(WHISPER_LANGUAGES)} are known")
        codes, code_width = w["code_embed.table.weight"].shape
        # published models before this setting ended on the last of the usual codes
        return T2SConfig(
            **_transformer(config, w),
            **_tuned(tunables),
            languages=WHISPER_LANGUAGES[:rows],
            text_length=int(config["ttoks_len"]),
            codes=codes,
            end_code=codes + int(tunables.get("padding_token_offset", -1)),
            code_length=int(config["stoks_len"]),
            code_width=code_width,
            frozen_codes=config.get("stoks_width") is not None,
            pace_bins=w["pace_embed.weight"].shape[0],
        )

    return _import(spec, where, "T2S", describe)


def import_s2a(spec: Mapping[str, Any], where: str) -> tuple[S2AConfig, dict[str, Tensor]]:
    """Return config and renamed tensors of a published s2a-*.model. Raises ValueError for anything else."""

    def describe(config: Mapping[str, Any], tunables: Mapping[str, Any], w: dict[str, Tensor]) -> S2AConfig:
        if not tunables.get("rope", False):
            raise ValueError("without rotary positions; such early models are not supported")
        if int(config["stoks_len"]) != 750:
            raise ValueError(f"{config['stoks_len']} semantic codes in 30 s; only 750 are supported")
        for name in [n for n in w if re.match(r"code_embeds\.\d+\.special\.|hidden_to_emb\.", n)]:
            del w[name]  # the same special codes for each codebook; a projection that only the training used
        _add_voice(w)
        rows, semantic_width = w["semantic_embed.weight"].shape
        codes, code_width = w["code_embeds.0.table.weight"].shape
        return S2AConfig(
            **_transformer(config, w),
            **_tuned(tunables),
            semantic_codes=rows - 1,
            semantic_length=int(config["stoks_len"]),
            semantic_width=semantic_width,
            frozen_codes=config.get("stoks_width") is not None,
            speaker_dim=w["speaker_embed.weight"].shape[1],
            quantizers=count_layers(w, "code_embeds."),
            codes=codes,
            code_width=code_width,
            frames_per_code=3.0,
            frame_length=int(config["ctx_n"]),
        )

    return _import(spec, where, "S2A", describe)


def _add_voice(w: dict[str, Tensor]) -> None:
    """Convert both published kinds of conditioning to one linear layer of the speaker vector.

    A vector of the network's width is used unchanged. Models that are also conditioned on the language and the
    recording's quality get, as in the published program, no language and the quality "60, 60".
    """
    width = w["encoder_norm.weight"].shape[0]
    if "speaker_embed.weight" not in w:
        w["speaker_embed.weight"] = w["encoder_norm.weight"].new_zeros(width, width).fill_diagonal_(1.0)
        w["speaker_embed.bias"] = w["encoder_norm.weight"].new_zeros(width)
    for name, low, high in (("lang", 0, 0), ("snr", -10, 70), ("c50", 0, 60)):
        table = w.pop(f"cond_embeddings.{name}.embed.weight", None)
        if table is not None:
            bins = table.shape[0] - 1  # the last row stands for "unknown"
            row = bins if name == "lang" else min(bins - 1, int((60 - low) / (high - low) * bins))
            w["speaker_embed.bias"] = w["speaker_embed.bias"] + table[row]


# ---- Whisper and its bottleneck -------------------------------------------------------------------------------------

WHISPER_RENAMES = (
    *RENAMES[:6],
    (r"^encoder\.ln_post\.", "encoder.norm."),
    (r"^decoder\.ln\.", "decoder.norm."),
    (r"^decoder\.token_embedding\.", "decoder.token_embed."),
    (r"^decoder\.positional_embedding$", "decoder.positions"),
)

SEMANTIC_RENAMES = (
    *RENAMES[:6],
    (r"^_out_blocks\.", "blocks."),
    (r"^ln_post\.", "norm."),
    (r"^positional_embedding\.", "positions."),
    (r"^rq\.(layers\.0\.)?project_", "project_"),
    (r"^rq\.layers\.0\._codebook\.embed$", "codebook.vectors"),
    (r"^rq\.layers\.0\._codebook\.embed_avg$", "codebook.average"),
)


def import_whisper(spec: Mapping[str, Any], where: str) -> tuple[WhisperConfig, dict[str, Tensor]]:
    """Return config and renamed tensors of an openai-whisper checkpoint. Raises ValueError for anything else."""
    dims, weights = spec.get("dims"), spec.get("model_state_dict")
    if not isinstance(dims, Mapping) or not isinstance(weights, Mapping):
        raise ValueError(f"{where}: not a Whisper checkpoint, it has no dims and model_state_dict")
    config = WhisperConfig.from_dict(dict(dims), where)
    renamed = {}
    for name, tensor in weights.items():
        if name in ("encoder.positional_embedding", "decoder.mask", "alignment_heads"):
            continue
        renamed[_replaced(name, WHISPER_RENAMES)] = tensor
    return config, renamed


def import_semantic(
    spec: Mapping[str, Any], whisper: WhisperConfig, where: str
) -> tuple[SemanticConfig, dict[str, Tensor]]:
    """Return config and renamed tensors of a published whisper-vq-stoks-*.model, made for the given `whisper`.

    Raises ValueError for anything else, and if the widths of the two differ.
    """
    config, weights = spec.get("config"), spec.get("state_dict")
    tunables = spec.get("tunables", {})
    if not isinstance(config, Mapping) or not isinstance(weights, Mapping) or not isinstance(tunables, Mapping):
        raise ValueError(f"{where}: not a published WhisperSpeech model, it has no config and state_dict")
    for wanted, given in (
        ("one codebook", config.get("q_depth") == 1),
        ("a codebook by cosine similarity", config.get("use_cosine_sim") is True),
        ("rotary positions", tunables.get("rope") is True),
        ("the mean of neighbouring frames", bool(tunables.get("downsample_mean"))),
        ("no convolution over frames", not tunables.get("downsample_conv")),
    ):
        if not given:
            raise ValueError(f"{where}: this early kind of model is not supported; it must have {wanted}")
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if re.search(r"(\.inv_freq|^val_(true|total)|\.initted|\.cluster_size)$", name):
            continue
        name = _replaced(name, SEMANTIC_RENAMES)
        renamed[name] = tensor[0] if name.startswith("codebook.") else tensor
    try:
        codes, heads = int(config["vq_codes"]), int(config["n_head"])
        width = renamed["norm.weight"].shape[0]
        rows, code_width = renamed["codebook.vectors"].shape
        if width != whisper.n_audio_state:
            raise ValueError(
                f"it was made for Whisper {config.get('whisper_model_name')}, {width} wide; "
                f"the Whisper given is {whisper.n_audio_state} wide"
            )
        described = SemanticConfig(
            whisper=whisper,
            codes=codes,
            code_width=code_width,
            downsample=int(config["downsample"]),
            heads=heads,
            ff_mult=renamed["ff.0.weight"].shape[0] // width,
            depth=count_layers(renamed, "blocks."),
            query_mult=float(tunables.get("query_mult", 1)),
            padding_code="among" if rows == codes + 1 else "none",
            decay=float(tunables.get("codebook_decay", 0.9)),
        )
    except KeyError as error:
        raise ValueError(f"{where}: not a published semantic model, {error} is missing") from None
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: not a semantic model that can be read here ({error})") from None
    return described, renamed


# ---- the speaker encoder ------------------------------------------------------------------------------------------


def import_ecapa(weights: Mapping[str, Tensor], where: str) -> tuple[EcapaConfig, dict[str, Tensor]]:
    """Return config, from the tensors' shapes, and renamed tensors of SpeechBrain's ECAPA-TDNN.

    Raises ValueError for anything else.
    """
    # SpeechBrain wraps each convolution and norm in a module
    w = {re.sub(r"\.(conv|norm)\.(\w+)$", r".\2", name): tensor for name, tensor in weights.items()}
    try:
        config = EcapaConfig(
            n_mels=w["blocks.0.conv.weight"].shape[1],
            channels=w["blocks.0.conv.weight"].shape[0],
            depth=count_layers(w, "blocks.") - 1,
            scale=count_layers(w, "blocks.1.res2net_block.blocks.") + 1,
            se_channels=w["blocks.1.se_block.conv1.weight"].shape[0],
            pooled_channels=w["mfa.conv.weight"].shape[0],
            attention_channels=w["asp.conv.weight"].shape[1],
            speaker_dim=w["fc.weight"].shape[0],
        )
    except KeyError as error:
        raise ValueError(f"{where}: not SpeechBrain's ECAPA-TDNN, {error} is missing") from None
    except (IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"{where}: not an ECAPA-TDNN that this version can read ({error})") from None
    return config, w


def _replaced(name: str, renames: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name
