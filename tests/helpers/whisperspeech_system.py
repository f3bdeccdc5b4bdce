"""A small random whisperspeech system, in our own format and in the published one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from helpers.token_models import S2A_TINY, T2S_TINY, lively
from vivavoce.config import Config, MelConfig
from vivavoce.models.codec import CodecConfig
from vivavoce.models.codec_torch import MelQuantizer
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.models.whisperspeech_torch import S2A, T2S

MEL = MelConfig(n_fft=512, n_mels=8)
T2S_CONFIG = T2S_TINY.replace(text_length=200, code_length=400, alignment_layer=1)
S2A_CONFIG = S2A_TINY.replace(semantic_length=400, frame_length=800, speaker_dim=256)
CODEC_CONFIG = CodecConfig(mel=MEL, components=4, quantizers=3, codes=16)
VOCODER_CONFIG = VocoderConfig(mel=MEL, dim=8, intermediate_dim=16, num_layers=1, n_fft=512)
SYSTEM = {"format": 1, "kind": "whisperspeech", "t2s": "t2s", "s2a": "s2a", "codec": "codec", "vocoder": "vocoder"}


def put(folder: Path, kind: str, model: nn.Module, config: Config, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = {"format": 1, "kind": kind, "model": config.to_dict(), **more}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "model.safetensors")


def ending(model: T2S) -> T2S:
    """With an end about as likely at every code, so that most sayings have one and few have it at once."""
    with torch.no_grad():
        end = model.special_embed.weight.mul_(0.3)[0]
        model.decoder.norm.bias.copy_(end / end.square().sum() / model.config.logit_scale)
    return model


def build(folder: Path, **changes: Any) -> Path:
    """A whole system of our own format. `changes`: of its config.json, or of the T2S config as t2s_model."""
    torch.manual_seed(0)
    t2s_config = T2S_CONFIG.replace(**changes.pop("t2s_model", {}))
    t2s = ending(lively(T2S(t2s_config)))
    put(folder / "t2s", "t2s", t2s, t2s_config, sampling=changes.pop("t2s_sampling", {"temperature": 1.5}))
    put(folder / "s2a", "s2a", lively(S2A(S2A_CONFIG)), S2A_CONFIG)
    quantizer = MelQuantizer(CODEC_CONFIG)
    nn.init.normal_(quantizer.codebooks)
    nn.init.normal_(quantizer.components)
    put(folder / "codec", "codec", quantizer, CODEC_CONFIG)
    put(folder / "vocoder", "vocoder", Vocoder(VOCODER_CONFIG), VOCODER_CONFIG)
    values = {**SYSTEM, "sampling": {"max_seconds": 3.0, "pace": 30.0}, **changes}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def publish(folder: Path, speaker_dim: int = 192, t2s: str = "t2s-a.model", s2a: str = "s2a-a.model") -> None:
    """A pair as WhisperSpeech saves it, and Vocos' EnCodec variant beside it."""
    torch.manual_seed(0)
    for kind, path in (("t2s", t2s), ("s2a", s2a)):
        torch.save(published(kind, speaker_dim), folder / path)
    config = VocoderConfig(
        input="codes", dim=8, intermediate_dim=16, num_layers=1, padding="same", n_fft=1280, hop=320,
        codebooks=4, codebook_dim=8, bandwidths=(1.5, 3.0, 6.0),
    )  # fmt: skip
    model = Vocoder(config)
    nn.init.normal_(model.codebook_weights)
    put(folder / "vocos", "vocoder", model, config)


def published(kind: str, speaker_dim: int) -> dict[str, Any]:
    """What a .model file holds: our tensors under the published names."""
    common = {"depth": 2, "n_head": 2, "stoks_len": 750}
    if kind == "t2s":
        config = T2S_TINY.replace(code_length=750, padding="fixed", causal_encoder=True)
        names = {
            "language_embed.": "lang_embeddings.",
            "pace_embed.": "cps_embeddings.",
            "text_embed.": "encoder.embedding.main.",
            "encoder_norm.": "encoder.ln_post.",
            "special_embed.": "embeddings.embedding.special.",
            "code_embed.table.": "embeddings.embedding.main.",
            "code_embed.project_in.": "embeddings.embedding.emb_to_hidden.",
            "code_embed.project_out.": "embeddings.embedding.hidden_to_emb.",
        }
        model, more, tunables = ending(lively(T2S(config))), {"ttoks_len": 40}, {"padding_token_offset": 0}
    else:
        config = S2A_TINY.replace(
            semantic_length=750, frame_length=2250, quantizers=4, codes=1024, frames_per_code=3.0,
            speaker_dim=speaker_dim, padding="fixed",
        )  # fmt: skip
        names = {
            "semantic_embed.": "semantic_embedding.",
            "speaker_embed.": "spk_to_hidden.",
            "encoder_norm.": "ln_post.",
            "special_embed.": "embds.embeddings.0.special.",
            "split.": "head.splitter.0.",
        }
        names |= {f"code_embeds.{q}.table.": f"embds.embeddings.{q}.main." for q in range(4)}
        model, more, tunables = lively(S2A(config)), {"ctx_n": 2250}, {"rope": True}
    weights = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in names.items():
            if name.startswith(ours):
                name = theirs + name[len(ours) :]
        if kind == "t2s" and name.startswith("encoder.0."):
            name = name.replace("encoder.", "encoder.layers.")
        weights[name] = tensor
    return {"config": {**common, **more}, "tunables": tunables, "state_dict": weights}
