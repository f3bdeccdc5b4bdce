"""Speaker vectors, which describe the sound of a voice: waveform [S] → unit vector [256].

The network is the speaker encoder of "Generalized End-to-End Loss for Speaker Verification" (Wan et al., 2018,
arXiv:1710.10467) with the weights and the front end of Resemblyzer (Apache-2.0; see assets/speaker/MODEL_CARD.md).
The dot product of two vectors, 1.0 at most, is the similarity of the voices: on average 0.91 to 0.93 between clips of
one built-in voice, and 0.49 to 0.86 between the mean vectors of different ones.
It does not detect speech: pauses count too, so trim silence first (`audio.trim_silence`). Resemblyzer removes long
pauses with WebRTC's voice activity detector before this step.
"""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
import safetensors
from safetensors.mlx import load_file

from vivavoce import audio
from vivavoce.config import ASSETS
from vivavoce.models.speaker import SpeakerConfig, partial_starts

FOLDER = ASSETS / "speaker"


class SpeakerEncoder(nn.Module):
    """LSTM over 1.6 s of mel frames, a partial; its last hidden state is projected to the speaker vector."""

    def __init__(self, config: SpeakerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SpeakerConfig()
        self.lstm = [nn.LSTM(c.hidden_dim if layer else c.n_mels, c.hidden_dim) for layer in range(c.num_layers)]
        self.linear = nn.Linear(c.hidden_dim, c.speaker_dim)
        bank = audio.mel_filterbank(c.sample_rate, c.n_fft, c.n_mels, scale="slaney", norm="slaney")
        self._mel_bank = mx.array(bank)  # [F, M]
        self._window = mx.hanning(c.n_fft + 1)[:-1]  # the underscore keeps it out of the parameters

    def __call__(self, mels: mx.array) -> mx.array:
        """Return unit vectors [B, V], without negative numbers, for mel power [B, N, M], not its logarithm."""
        hidden = mels
        for layer in self.lstm:
            hidden, _ = layer(hidden)  # [B, N, H]
        vector = nn.relu(self.linear(hidden[:, -1]))
        return vector / mx.maximum(mx.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)

    def mel(self, samples: mx.array) -> mx.array:
        """Return mel power [B, 1 + S // hop, M] of samples [B, S]; frame n is centred on sample n * hop."""
        c = self.config
        half = c.n_fft // 2
        padded = mx.pad(samples, [(0, 0), (half, half)])  # zeros, as in librosa
        count = samples.shape[-1] // c.hop + 1
        frames = mx.as_strided(padded, (len(samples), count, c.n_fft), (padded.shape[-1], c.hop, 1))
        spectrum = mx.fft.rfft(frames * self._window)
        return mx.square(mx.abs(spectrum)) @ self._mel_bank

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.float32]:
        """Return the speaker vector of a recording, a float32 unit vector [V], the mean over its partials.

        samples: [S], -1 to 1, of one speaker; a few seconds are enough, less than 1.6 s are less reliable.
        sample_rate: Hz. Raises ValueError if samples are empty, silent, not finite or not mono.
        """
        c = self.config
        wave = audio.resample(samples, sample_rate, c.sample_rate)
        loudness = audio.rms_db(wave)
        if not np.isfinite(loudness):
            raise ValueError(f"a speaker vector needs sound; these {len(wave)} samples are silent")
        if loudness < c.volume_db:
            wave = wave * np.float32(10 ** ((c.volume_db - loudness) / 20))
        starts = partial_starts(c, len(wave))
        needed = (starts[-1] + c.partial_frames) * c.hop
        wave = np.pad(wave, (0, max(0, needed - len(wave))))
        frames = self.mel(mx.array(wave.astype(np.float32))[None])[0]  # [N, M]
        partials = mx.stack([frames[s : s + c.partial_frames] for s in starts])  # [P, N, M]
        # in blocks, to limit memory for long recordings
        blocks = [np.array(self(partials[i : i + 256])) for i in range(0, len(partials), 256)]
        vectors = np.concatenate(blocks)  # [P, V]
        mean = vectors.astype(np.float64).mean(axis=0)
        return (mean / max(np.linalg.norm(mean), 1e-12)).astype(np.float32)


def from_torch(weights: dict[str, mx.array]) -> dict[str, mx.array]:
    """Return float32 weights with MLX's names, where each LSTM layer is separate and has one bias instead of two."""
    weights = {name: tensor.astype(mx.float32) for name, tensor in weights.items()}
    for name in [n for n in weights if n.startswith("lstm.weight_ih_l")]:
        layer = name.removeprefix("lstm.weight_ih_l")
        weights[f"lstm.{layer}.Wx"] = weights.pop(name)
        weights[f"lstm.{layer}.Wh"] = weights.pop(f"lstm.weight_hh_l{layer}")
        weights[f"lstm.{layer}.bias"] = weights.pop(f"lstm.bias_ih_l{layer}") + weights.pop(f"lstm.bias_hh_l{layer}")
    return weights


def load_speaker_encoder(path: str | Path | None = None) -> SpeakerEncoder:
    """Load an encoder from a folder with config.json and model.safetensors; None is the bundled one.

    Weights are stored as float16 and used as float32. Raises ValueError, with the file's name, if a file is missing or
    does not fit.
    """
    folder = FOLDER if path is None else Path(path)
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for file in (config_file, weights_file):
        if not file.is_file():
            raise ValueError(f"{file}: no such file; a speaker encoder is a folder with config.json, model.safetensors")
    try:
        settings = json.loads(config_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{config_file}: not JSON ({error})") from None
    encoder = SpeakerEncoder(SpeakerConfig.from_dict(settings, str(config_file)))
    try:
        encoder.load_weights(list(from_torch(load_file(weights_file)).items()))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{weights_file}: not this encoder's weights ({reason})") from None
    encoder.eval()
    mx.eval(encoder.state)  # lazy weights belong to the loading thread; evaluated ones can be used by all
    return encoder
