"""Config of the acoustic codec."""

from __future__ import annotations

from dataclasses import dataclass, field

from vivavoce.config import Config, MelConfig


@dataclass(frozen=True)
class CodecConfig(Config):
    """The bundled codec: stacked log-mel frames, their principal components and residual codebooks."""

    mel: MelConfig = field(default_factory=MelConfig)
    stack: int = 2  # mel frames in one acoustic frame
    components: int = 64  # principal components that the codebooks quantise
    quantizers: int = 4
    codes: int = 1024

    def __post_init__(self) -> None:
        for name in ("stack", "components", "quantizers", "codes"):
            self.require(getattr(self, name) > 0, name, "positive")
        width = self.stack * self.mel.n_mels
        self.require(self.components <= width, "components", f"at most stack * n_mels ({width})")

    @property
    def frame_rate(self) -> float:
        """Acoustic frames per second: 46.875 for the defaults."""
        return self.mel.frame_rate / self.stack
