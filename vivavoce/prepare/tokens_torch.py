"""The networks of `prepare --tokens`: recordings → tokens. Runs in worker processes."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vivavoce import audio
from vivavoce.checkpoints import resolve
from vivavoce.checkpoints.whisperspeech_torch import digest, load_part, load_whisper, read_part
from vivavoce.data.tokens import TokenItem, TokensHeader
from vivavoce.models import speaker_torch
from vivavoce.models.codec_torch import MelQuantizer
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.semantic_torch import SAMPLE_RATE, Semantic, Whisper
from vivavoce.models.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.prepare.blocks import Block, Clip, Result


@dataclass
class Models:
    """The networks."""

    whisper: Whisper
    semantic: Semantic
    codec: MelQuantizer
    mel: LogMel
    speaker: SpeakerEncoder


_models: Models | None = None  # of this process


def folder_of(name: str, kind: str) -> Path:
    """Return the folder of an exported model; "bundled" is the package's own. Raises ValueError if it has none."""
    if name != "bundled":
        return Path(name)
    folder = resolve.ASSETS / kind
    if not folder.is_dir():
        raise ValueError(f"{kind} 'bundled': no such model is bundled in this version; give an exported one's folder")
    return folder


def header_of(semantic: str, codec: str, whisper: str) -> TokensHeader:
    """Return the header of token shards by these models. Raises ValueError if one cannot be read."""
    if not Path(whisper).is_file():
        raise ValueError(f"{whisper}: no such file; it must be a checkpoint of openai-whisper")
    folders = folder_of(semantic, "semantic"), folder_of(codec, "codec")
    bottleneck, quantizer = read_part(folders[0], "semantic").config, read_part(folders[1], "codec").config
    return TokensHeader(
        semantic=digest(folders[0]),
        semantic_codes=bottleneck.codes,
        semantic_rate=bottleneck.rate,
        codec=digest(folders[1]),
        codec_codes=quantizer.codes,
        quantizers=quantizer.quantizers,
        codec_rate=quantizer.frame_rate,
        speaker=digest(speaker_torch.FOLDER),
    )


def start(semantic: str, codec: str, whisper: str, processes: int) -> None:
    """Load the models for `make`. Raises ValueError if they do not fit together."""
    global _models
    if processes > 1:
        torch.set_num_threads(1)
    bottleneck, quantizer = (
        load_part(folder_of(semantic, "semantic"), "semantic"),
        load_part(folder_of(codec, "codec"), "codec"),
    )
    assert isinstance(bottleneck, Semantic) and isinstance(quantizer, MelQuantizer)
    encoder = load_whisper(Path(whisper))
    if encoder.config != bottleneck.config.whisper:
        raise ValueError(f"{whisper}: not the Whisper that the semantic model {semantic} was trained for")
    mel = LogMel(quantizer.config.mel)
    _models = Models(encoder, bottleneck, quantizer, mel, load_speaker_encoder())


def make(block: Block) -> Result:
    """Return the tokens of a block's clips; unusable ones are counted by reason."""
    assert _models is not None  # set when the process starts
    models, rate = _models, _models.codec.config.mel.sample_rate
    dropped = Counter(block.dropped)
    usable: list[tuple[Clip, audio.Samples]] = []
    for clip in block.clips:
        try:
            samples = audio.read(io.BytesIO(clip.audio), rate)
        except ValueError:
            dropped["unreadable audio"] += 1
            continue
        if not samples.any():
            dropped["silent audio"] += 1
        elif len(samples) < 0.1 * rate:
            dropped["shorter than 0.1 s"] += 1
        else:
            usable.append((clip, samples))
    waves = [torch.from_numpy(audio.resample(samples, rate, SAMPLE_RATE)) for _, samples in usable]
    codes = models.semantic.encode_packed(models.whisper, waves)
    items: list[TokenItem] = []
    for (clip, samples), semantic in zip(usable, codes, strict=True):
        with torch.inference_mode():
            acoustic = models.codec.encode(models.mel(torch.from_numpy(samples)[None]))[0]
        items.append({
            "key": clip.key, "text": clip.meta.text, "lang": clip.meta.lang or "en", "name": clip.meta.speaker,
            "seconds": len(samples) / rate, "words": list(clip.meta.words),
            "semantic": semantic.numpy().astype(np.int16), "acoustic": acoustic.numpy().astype(np.int16),
            "speaker": models.speaker.embed(samples, rate).astype(np.float16),
        })  # fmt: skip
    return Result(block.shard, block.done, items, dropped)
