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

import numpy as np
import numpy.typing as npt
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vivavoce import audio
from vivavoce.config import SpeakerConfig

ASSETS = Path(__file__).parent / "assets" / "speaker"


class SpeakerEncoder(nn.Module):
    """LSTM over the mel frames of 1.6 s; the last hidden state, projected, is that stretch's speaker vector."""

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
        """mels: power, not logarithm, [B, N, M] -> unit vectors [B, V], none of whose numbers is negative."""
        _, (hidden, _) = self.lstm(mels)  # hidden: [layers, B, H]
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=-1)

    def mel(self, samples: Tensor) -> Tensor:
        """samples: [B, S] at the config's rate -> power mel frames [B, 1 + S // hop, M], frame n centred on n * hop."""
        c = self.config
        half = c.n_fft // 2
        padded = nn.functional.pad(samples, (half, half))  # zeros, as librosa pads; torch.stft itself would mirror
        spectrum = torch.stft(padded, c.n_fft, c.hop, window=self.window, center=False, return_complex=True)
        return spectrum.abs().square().transpose(1, 2) @ self.mel_bank

    def partial_starts(self, num_samples: int) -> list[int]:
        """First frames of the overlapping 1.6 s stretches that a sound of `num_samples` is read in; never none."""
        c = self.config
        frames = num_samples // c.hop + 1
        starts = list(range(0, max(1, frames - c.partial_frames + c.partial_step + 1), c.partial_step))
        last_covered = (num_samples - starts[-1] * c.hop) / (c.partial_frames * c.hop)
        return starts[:-1] if last_covered < c.min_coverage and len(starts) > 1 else starts

    @torch.inference_mode()
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
        frames = self.mel(torch.tensor(wave, dtype=self.window.dtype, device=self.window.device)[None])[0]  # [N, M]
        partials = torch.stack([frames[s : s + c.partial_frames] for s in starts])  # [P, N, M]
        # Blocks, so that an hour of sound does not need its memory at once.
        vectors = torch.cat([self(block) for block in partials.split(256)])  # [P, V]
        mean = nn.functional.normalize(vectors.double().mean(dim=0), dim=0)
        return mean.float().cpu().numpy()


def load_speaker_encoder(path: str | Path | None = None, device: str | torch.device = "cpu") -> SpeakerEncoder:
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
        weights = load_file(weights_file)
        encoder.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (safetensors.SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{weights_file}: not this encoder's weights ({reason})") from None
    return encoder.to(device).eval()
