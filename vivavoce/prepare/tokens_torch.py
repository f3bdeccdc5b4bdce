"""The networks behind `prepare --tokens`, in whatever process they are started: recordings → tokens."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vivavoce import audio, checkpoints, speaker_torch
from vivavoce.checkpoints_whisperspeech_torch import load_part, load_whisper, read_part
from vivavoce.engines.codec_torch import MelQuantizer
from vivavoce.engines.semantic_torch import SAMPLE_RATE, Semantic, Whisper
from vivavoce.mel_torch import LogMel
from vivavoce.prepare.blocks import Block, Clip, Result
from vivavoce.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.tokens import TokenItem, TokensHeader


@dataclass
class Models:
    """What makes tokens."""

    whisper: Whisper
    semantic: Semantic
    codec: MelQuantizer
    mel: LogMel
    speaker: SpeakerEncoder


_models: Models | None = None  # of this process


def folder_of(name: str, kind: str) -> Path:
    """The folder of an exported model; "bundled" is the package's own. Raises ValueError where it has none."""
    if name != "bundled":
        return Path(name)
    folder = checkpoints.ASSETS / kind
    if not folder.is_dir():
        raise ValueError(f"{kind} 'bundled': no such model is bundled in this version; give an exported one's folder")
    return folder


def header_of(semantic: str, codec: str, whisper: str) -> TokensHeader:
    """Who makes the tokens. Raises ValueError where a model cannot be read."""
    if not Path(whisper).is_file():
        raise ValueError(f"{whisper}: no such file; it must be a checkpoint of openai-whisper")
    folders = folder_of(semantic, "semantic"), folder_of(codec, "codec")
    heard, spoken = read_part(folders[0], "semantic").config, read_part(folders[1], "codec").config
    return TokensHeader(
        semantic=digest(folders[0]),
        semantic_codes=heard.codes,
        semantic_rate=heard.rate,
        codec=digest(folders[1]),
        codec_codes=spoken.codes,
        quantizers=spoken.quantizers,
        codec_rate=spoken.frame_rate,
        speaker=digest(speaker_torch.ASSETS),
    )


def digest(folder: Path) -> str:
    """What tells a model from every other: a hash of its weights.

    Of a semantic model's it leaves out those that only read codes: they may be trained on, and its codes stay the same.
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


def start(semantic: str, codec: str, whisper: str, processes: int) -> None:
    """Load the models for `make`. Raises ValueError where they do not go together."""
    global _models
    if processes > 1:
        torch.set_num_threads(1)
    bottleneck, quantizer = (
        load_part(folder_of(semantic, "semantic"), "semantic"),
        load_part(folder_of(codec, "codec"), "codec"),
    )
    assert isinstance(bottleneck, Semantic) and isinstance(quantizer, MelQuantizer)
    listener = load_whisper(Path(whisper))
    if listener.config != bottleneck.config.whisper:
        raise ValueError(f"{whisper}: not the Whisper that the semantic model {semantic} was trained for")
    mel = LogMel(quantizer.config.mel)
    _models = Models(listener, bottleneck, quantizer, mel, load_speaker_encoder())


def make(block: Block) -> Result:
    """The tokens of a block's clips; those that cannot be used are counted by reason."""
    assert _models is not None  # set as the process starts
    models, rate = _models, _models.codec.config.mel.sample_rate
    dropped = Counter(block.dropped)
    usable: list[tuple[Clip, audio.Samples]] = []
    for clip in block.clips:
        try:
            samples = audio.read(io.BytesIO(clip.sound), rate)
        except ValueError:
            dropped["unreadable audio"] += 1
            continue
        if not samples.any():
            dropped["silent audio"] += 1
        elif len(samples) < 0.1 * rate:
            dropped["shorter than 0.1 s"] += 1
        else:
            usable.append((clip, samples))
    heard = [torch.from_numpy(audio.resample(samples, rate, SAMPLE_RATE)) for _, samples in usable]
    codes = models.semantic.encode_packed(models.whisper, heard)
    items: list[TokenItem] = []
    for (clip, samples), semantic in zip(usable, codes, strict=True):
        with torch.inference_mode():
            acoustic = models.codec.encode(models.mel(torch.from_numpy(samples)[None]))[0]
        items.append({
            "key": clip.key, "text": clip.text, "lang": clip.lang, "name": clip.name,
            "seconds": len(samples) / rate, "words": clip.words,
            "semantic": semantic.numpy().astype(np.int16), "acoustic": acoustic.numpy().astype(np.int16),
            "speaker": models.speaker.embed(samples, rate).astype(np.float16),
        })  # fmt: skip
    return Result(block.shard, block.done, items, dropped)
