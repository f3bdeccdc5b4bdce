"""Configs of the speaker encoders."""

from __future__ import annotations

from dataclasses import dataclass

from vivavoce.config import Config, exact_div


@dataclass(frozen=True)
class SpeakerConfig(Config):
    """Dimensions and front end of the speaker encoder. The defaults match Resemblyzer's weights."""

    sample_rate: int = 16_000  # Hz
    n_fft: int = 400  # samples: 25 ms
    hop: int = 160  # samples: 10 ms
    n_mels: int = 40
    hidden_dim: int = 256
    num_layers: int = 3
    speaker_dim: int = 256
    partial_frames: int = 160  # 1.6 s, as in training
    partials_per_second: float = 1.3
    min_coverage: float = 0.75  # share of the last partial that the recording must cover
    volume_db: float = -30.0  # quieter recordings are raised to this RMS level

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop", "n_mels", "hidden_dim", "num_layers", "speaker_dim"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(
            1 <= self.partial_step <= self.partial_frames,
            "partials_per_second",
            "high enough for partials to touch",
        )
        self.require(0 < self.min_coverage <= 1, "min_coverage", "above 0, at most 1")

    @property
    def partial_step(self) -> int:
        """Frames between the starts of two partials: 77 for the defaults."""
        return round(exact_div(self.sample_rate, self.hop, "sample_rate") / self.partials_per_second)


def partial_starts(config: SpeakerConfig, samples: int) -> list[int]:
    """Return the first frames of the overlapping stretches in which a recording of `samples` is read, at least one."""
    frames = samples // config.hop + 1
    stop = max(1, frames - config.partial_frames + config.partial_step + 1)
    starts = list(range(0, stop, config.partial_step))
    covered = (samples - starts[-1] * config.hop) / (config.partial_frames * config.hop)
    return starts[:-1] if covered < config.min_coverage and len(starts) > 1 else starts


@dataclass(frozen=True)
class EcapaConfig(Config):
    """The speaker encoder of published models, with its front end. The defaults match spkrec-ecapa-voxceleb."""

    sample_rate: int = 16_000  # Hz
    n_fft: int = 400  # samples: 25 ms
    hop: int = 160  # samples: 10 ms
    n_mels: int = 80
    channels: int = 1024
    depth: int = 3  # blocks after the first layer
    scale: int = 8  # groups of channels in a block
    se_channels: int = 128  # channels after a block's squeeze
    pooled_channels: int = 3072
    attention_channels: int = 128
    speaker_dim: int = 192

    def __post_init__(self) -> None:
        for name in self.to_dict():
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.channels % self.scale == 0, "channels", f"a multiple of scale ({self.scale})")
