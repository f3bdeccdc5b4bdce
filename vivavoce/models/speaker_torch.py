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

import numpy as np
import numpy.typing as npt
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vivavoce import audio
from vivavoce.config import ASSETS
from vivavoce.models.speaker import SpeakerConfig, partial_starts

FOLDER = ASSETS / "speaker"


class SpeakerEncoder(nn.Module):
    """LSTM over 1.6 s of mel frames, a partial; its last hidden state is projected to the speaker vector."""

    mel_bank: Tensor
    window: Tensor

    def __init__(self, config: SpeakerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SpeakerConfig()
        self.lstm = nn.LSTM(c.n_mels, c.hidden_dim, c.num_layers, batch_first=True)
        self.linear = nn.Linear(c.hidden_dim, c.speaker_dim)
        bank = audio.mel_filterbank(c.sample_rate, c.n_fft, c.n_mels, scale="slaney", norm="slaney")
        self.register_buffer("mel_bank", torch.from_numpy(bank), persistent=False)  # [F, M]
        self.register_buffer("window", torch.hann_window(c.n_fft), persistent=False)

    def forward(self, mels: Tensor) -> Tensor:
        """Return unit vectors [B, V], without negative numbers, for mel power [B, N, M], not its logarithm."""
        _, (hidden, _) = self.lstm(mels)  # hidden: [layers, B, H]
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=-1)

    def mel(self, samples: Tensor) -> Tensor:
        """Return mel power [B, 1 + S // hop, M] of samples [B, S]; frame n is centred on sample n * hop."""
        c = self.config
        half = c.n_fft // 2
        padded = nn.functional.pad(samples, (half, half))  # zeros, as in librosa; torch.stft would reflect
        spectrum = torch.stft(padded, c.n_fft, c.hop, window=self.window, center=False, return_complex=True)
        return spectrum.abs().square().transpose(1, 2) @ self.mel_bank

    @torch.inference_mode()
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
        frames = self.mel(torch.tensor(wave, dtype=self.window.dtype, device=self.window.device)[None])[0]  # [N, M]
        partials = torch.stack([frames[s : s + c.partial_frames] for s in starts])  # [P, N, M]
        # in blocks, to limit memory for long recordings
        vectors = torch.cat([self(block) for block in partials.split(256)])  # [P, V]
        mean = nn.functional.normalize(vectors.double().mean(dim=0), dim=0)
        return mean.float().cpu().numpy()


def load_speaker_encoder(path: str | Path | None = None, device: str | torch.device = "cpu") -> SpeakerEncoder:
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
        weights = load_file(weights_file)
        encoder.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (safetensors.SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{weights_file}: not this encoder's weights ({reason})") from None
    return encoder.to(device).eval()
