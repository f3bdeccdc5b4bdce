"""Speaker vectors: what a voice sounds like, as 256 numbers. Waveform [S] -> unit vector [256].

The network is the speaker encoder of "Generalized End-to-End Loss for Speaker Verification" (Wan and others 2018,
arXiv:1710.10467) with the weights and the front end of Resemblyzer (Apache-2.0; see assets/speaker/MODEL_CARD.md).
Two vectors' dot product says how alike two voices are, 1.0 at most: between clips of one built-in voice it is 0.91 to
0.93 on average, between different built-in voices (mean vectors) 0.49 to 0.86.
Does not look for speech: pauses count like speech, so trim silence first (`audio.trim_silence`). Resemblyzer cuts long
pauses out with WebRTC's voice detector before this step.
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
from vivavoce.config import SpeakerConfig

ASSETS = Path(__file__).parent / "assets" / "speaker"


class SpeakerEncoder(nn.Module):
    """LSTM over the mel frames of 1.6 s; the last hidden state, projected, is that stretch's speaker vector."""

    def __init__(self, config: SpeakerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SpeakerConfig()
        self.lstm = [nn.LSTM(c.hidden_dim if layer else c.n_mels, c.hidden_dim) for layer in range(c.num_layers)]
        self.linear = nn.Linear(c.hidden_dim, c.speaker_dim)
        bank = audio.mel_filterbank(c.sample_rate, c.n_fft, c.n_mels, scale="slaney", norm="slaney")
        self._mel_bank = mx.array(bank)  # [F, M]
        self._window = mx.hanning(c.n_fft + 1)[:-1]  # an underscore keeps what is no weight out of the parameters

    def __call__(self, mels: mx.array) -> mx.array:
        """mels: power, not logarithm, [B, N, M] -> unit vectors [B, V], none of whose numbers is negative."""
        hidden = mels
        for layer in self.lstm:
            hidden, _ = layer(hidden)  # [B, N, H]
        vector = nn.relu(self.linear(hidden[:, -1]))
        return vector / mx.maximum(mx.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)

    def mel(self, samples: mx.array) -> mx.array:
        """samples: [B, S] at the config's rate -> power mel frames [B, 1 + S // hop, M], frame n centred on n * hop."""
        c = self.config
        half = c.n_fft // 2
        padded = mx.pad(samples, [(0, 0), (half, half)])  # zeros, as librosa pads
        count = samples.shape[-1] // c.hop + 1
        frames = mx.as_strided(padded, (len(samples), count, c.n_fft), (padded.shape[-1], c.hop, 1))
        spectrum = mx.fft.rfft(frames * self._window)
        return mx.square(mx.abs(spectrum)) @ self._mel_bank

    def partial_starts(self, num_samples: int) -> list[int]:
        """First frames of the overlapping 1.6 s stretches that a sound of `num_samples` is read in; never none."""
        c = self.config
        frames = num_samples // c.hop + 1
        starts = list(range(0, max(1, frames - c.partial_frames + c.partial_step + 1), c.partial_step))
        last_covered = (num_samples - starts[-1] * c.hop) / (c.partial_frames * c.hop)
        return starts[:-1] if last_covered < c.min_coverage and len(starts) > 1 else starts

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.float32]:
        """The speaker vector of one recording, the mean over its stretches of 1.6 s.

        samples: [S], -1 to 1, of one speaker; a few seconds are enough, below 1.6 s the vector is less certain.
        sample_rate: Hz. Returns float32 [V], of length 1.
        Raises ValueError where samples are empty, silent, not finite or not mono.
        """
        c = self.config
        wave = audio.resample(samples, sample_rate, c.sample_rate)
        loudness = audio.rms_db(wave)
        if not np.isfinite(loudness):
            raise ValueError(f"a speaker vector needs sound; these {len(wave)} samples are silent")
        if loudness < c.volume_db:
            wave = wave * np.float32(10 ** ((c.volume_db - loudness) / 20))
        starts = self.partial_starts(len(wave))
        needed = (starts[-1] + c.partial_frames) * c.hop
        wave = np.pad(wave, (0, max(0, needed - len(wave))))
        frames = self.mel(mx.array(wave.astype(np.float32))[None])[0]  # [N, M]
        partials = mx.stack([frames[s : s + c.partial_frames] for s in starts])  # [P, N, M]
        # Blocks, so that an hour of sound does not need its memory at once.
        blocks = [np.array(self(partials[i : i + 256])) for i in range(0, len(partials), 256)]
        vectors = np.concatenate(blocks)  # [P, V]
        mean = vectors.astype(np.float64).mean(axis=0)
        return (mean / max(np.linalg.norm(mean), 1e-12)).astype(np.float32)


def from_torch(weights: dict[str, mx.array]) -> dict[str, mx.array]:
    """float32 weights under MLX's names, where each layer of the LSTM stands alone and has one bias instead of two."""
    weights = {name: tensor.astype(mx.float32) for name, tensor in weights.items()}
    for name in [n for n in weights if n.startswith("lstm.weight_ih_l")]:
        layer = name.removeprefix("lstm.weight_ih_l")
        weights[f"lstm.{layer}.Wx"] = weights.pop(name)
        weights[f"lstm.{layer}.Wh"] = weights.pop(f"lstm.weight_hh_l{layer}")
        weights[f"lstm.{layer}.bias"] = weights.pop(f"lstm.bias_ih_l{layer}") + weights.pop(f"lstm.bias_hh_l{layer}")
    return weights


def load_speaker_encoder(path: str | Path | None = None) -> SpeakerEncoder:
    """The encoder with its weights, ready to `embed`.

    path: folder with config.json and model.safetensors; None: the bundled one. Weights are stored as float16 and
    computed with as float32. Raises ValueError, naming the file, when one is missing or does not fit.
    """
    folder = ASSETS if path is None else Path(path)
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
    mx.eval(encoder.state)  # lazy weights belong to the thread that loads them; computed, they serve all threads
    return encoder
