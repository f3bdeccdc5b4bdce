"""Small models in our own format and in the published ones, and what they speak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from vivavoce.config import Config, SpeakOptions
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.nanospeech_torch import Nanospeech, duration_model
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.systems.load import load_system
from vivavoce.systems.nanospeech_torch import NanospeechSystem
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

CHARACTERS = " abcdefghijklmnopqrstuvwxyz,.'"
TEXT = "others call me mother nature."
VOCODER = VocoderConfig(dim=16, intermediate_dim=32, num_layers=1)
MODEL = NanospeechConfig(
    vocab_size=len(CHARACTERS), dim=32, depth=2, heads=2, head_dim=16, text_dim=16, text_layers=1,
    text_align="durations", rotary="all_heads", adaln="shared", audio_prompt=False, speaker_dim=8, patch=2,
    mel_mean=-4.0, mel_scale=0.5,
)  # fmt: skip
DURATION = DurationConfig(kind="characters", vocab_size=len(CHARACTERS), dim=16, depth=1, speaker_dim=8)
OPTIONS = SpeakOptions(steps=2, method="euler", cfg=1.5, sway_coef=-1.0)


def randomised(model: nn.Module) -> nn.Module:
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not name.endswith(("out.bias", "gamma")):
                p.copy_(torch.randn(p.shape, generator=draw) / (p[0].numel() ** 0.5 if p.ndim > 1 else 10))
    return model


def write(folder: Path, kind: str, model: nn.Module, config: Config, **settings: Any) -> Path:
    """A model folder in our format."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"format": 1, "kind": kind, "model": config.to_dict(), **settings}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    save_file(randomised(model).state_dict(), folder / "model.safetensors")
    return folder


def write_own(folder: Path, model: NanospeechConfig = MODEL, duration: DurationConfig = DURATION) -> Path:
    """Our format, with its duration model and vocoder in folders within."""
    write(
        folder, "nanospeech", Nanospeech(model), model, characters=CHARACTERS,
        duration="duration", vocoder="vocoder", sampling={"steps": 3, "method": "euler", "cfg": 1.0, "sway_coef": 0.0},
    )  # fmt: skip
    write(folder / "duration", "duration", duration_model(duration), duration, characters=CHARACTERS)
    write(folder / "vocoder", "vocoder", Vocoder(VOCODER), VOCODER)
    return folder


def linear(name: str, out: int, inside: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inside), **({f"{name}.bias": (out,)} if bias else {})}


def conv(name: str, out: int, inside: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inside, kernel), f"{name}.bias": (out,)}


def published_shapes(
    rows: int, dim: int, depth: int, heads: int, text_dim: int, text_layers: int, duration: bool
) -> dict[str, tuple[int, ...]]:
    """Names and shapes as lucasnewman/nanospeech saves them, buffers included."""
    t, wide = "transformer", heads * 64
    shapes: dict[str, tuple[int, ...]] = {
        "mel_spec.mel_stft.spectrogram.window": (1024,),
        "mel_spec.mel_stft.mel_scale.fb": (513, 100),
        f"{t}.text_embed.text_embed.weight": (rows, text_dim),
    }
    for i in range(text_layers):
        block = f"{t}.text_embed.text_blocks.{i}"
        shapes |= conv(f"{block}.dwconv", text_dim, 1, 7) | {f"{block}.norm.weight": (text_dim,)}
        shapes |= {f"{block}.norm.bias": (text_dim,)} | linear(f"{block}.pwconv1", 2 * text_dim, text_dim)
        shapes |= {f"{block}.grn.{p}": (1, 1, 2 * text_dim) for p in ("gamma", "beta")}
        shapes |= linear(f"{block}.pwconv2", text_dim, 2 * text_dim)
    shapes |= linear(f"{t}.input_embed.proj", dim, (100 if duration else 200) + text_dim)
    for i in (0, 2):
        shapes |= conv(f"{t}.input_embed.conv_pos_embed.conv1d.{i}", dim, dim // 16, 31)
    for i in range(depth):
        block = f"{t}.transformer_blocks.{i}"
        for part in "qkv":
            shapes |= linear(f"{block}.attn.to_{part}", wide, dim)
        shapes |= linear(f"{block}.attn.to_out.0", dim, wide, bias=False)
        shapes |= linear(f"{block}.ff.ff.0.0", 2 * dim, dim) | linear(f"{block}.ff.ff.2", dim, 2 * dim)
        if not duration:
            shapes |= linear(f"{block}.attn_norm.linear", 6 * dim, dim)
    if duration:
        return shapes | {f"{t}.norm_out.weight": (dim,)} | linear("to_pred.0", 1, dim, bias=False)
    shapes |= linear(f"{t}.time_embed.time_mlp.0", dim, 256) | linear(f"{t}.time_embed.time_mlp.2", dim, dim)
    return shapes | linear(f"{t}.norm_out.linear", 2 * dim, dim) | linear(f"{t}.proj_out", 100, dim, bias=False)


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {
        n: torch.randn(s, generator=draw) / (torch.Size(s[1:]).numel() ** 0.5 if len(s) > 1 else 10)
        for n, s in shapes.items()
    }


def write_published(folder: Path, duration: bool = True, vocabulary: str = "\n".join(CHARACTERS)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(vocabulary.split("\n")) + 1  # as the published loader counts
    shapes = published_shapes(rows, 32, 2, 1, 16, 1, duration=False)
    save_file(random_weights(shapes), folder / "model.safetensors")
    if duration:
        shapes = published_shapes(rows, 32, 1, 1, 16, 0, duration=True)
        save_file(random_weights(shapes), folder / "duration.safetensors")
    (folder / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    return folder


def write_vocos(folder: Path) -> Path:
    """charactr/vocos-mel-24khz's two files, small."""
    folder.mkdir(parents=True, exist_ok=True)
    state = dict(randomised(Vocoder(VOCODER)).state_dict())
    state |= {
        "feature_extractor.mel_spec.spectrogram.window": torch.hann_window(1024),
        "feature_extractor.mel_spec.mel_scale.fb": torch.zeros(513, 100),
        "head.istft.window": torch.hann_window(1024),
    }
    torch.save(state, folder / "pytorch_model.bin")
    values = {
        "feature_extractor": {
            "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
            "init_args": {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
        },
        "backbone": {
            "class_path": "vocos.models.VocosBackbone",
            "init_args": {"input_channels": 100, "dim": 16, "intermediate_dim": 32, "num_layers": 1},
        },
        "head": {
            "class_path": "vocos.heads.ISTFTHead",
            "init_args": {"dim": 16, "n_fft": 1024, "hop_length": 256, "padding": "center"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


def speaking(folder: Path, **options: Any) -> NanospeechSystem:
    return load_system(str(folder), device="cpu", **options)


def speaking_published(folder: Path) -> NanospeechSystem:
    return speaking(folder, vocoder=str(folder.parent / "vocos"))


def job(text: str, voice: Voice, options: SpeakOptions = OPTIONS, seed: int = 1) -> SynthesisRequest:
    return SynthesisRequest(Piece(text, 0.0), voice, options, seed)


def spoken(system: Any, text: str, voice: Voice, options: SpeakOptions = OPTIONS, seed: int = 1) -> np.ndarray:
    """What a system of either backend makes of one text."""
    return system.synthesize([job(text, voice, options, seed)])[0].samples
