"""Discriminators that teach a vocoder what spectral losses cannot: sharp harmonics and natural noise.

Periods as in HiFi-GAN (arXiv:2010.05646) and spectra at several resolutions as in EnCodec (arXiv:2210.13438), both far
narrower than published, so that a step costs no more than the vocoder's own. Least-squares losses and feature matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vivavoce.train.losses import LowBand


class PeriodCritic(nn.Module):
    """Looks at every p-th sample: waveform [B, S] → judgement of each place and the layers' features."""

    def __init__(self, period: int, channels: int):
        super().__init__()
        self.period = period
        widths = [1, channels, 4 * channels, 8 * channels, 8 * channels]
        self.layers = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairwise(widths))
        self.out = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = F.pad(wave[:, None], (0, -wave.shape[1] % self.period), mode="reflect").unflatten(-1, (-1, self.period))
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.out(x), features


class SpectrumCritic(nn.Module):
    """Looks at the complex spectrogram: waveform [B, S] → judgement of each place and the layers' features."""

    window: Tensor

    def __init__(self, n_fft: int, channels: int):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        shapes = [
            (2, (3, 9), (1, 2)),
            (channels, (3, 9), (1, 2)),
            (channels, (3, 9), (1, 2)),
            (channels, (3, 3), (1, 1)),
        ]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, channels, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for a, kernel, stride in shapes
        )
        self.out = weight_norm(nn.Conv2d(channels, 1, (3, 3), 1, (1, 1)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast(wave.device.type, enabled=False):
            frames = wave.float().unfold(-1, self.n_fft, self.n_fft // 4)
            spectrum = torch.fft.rfft(frames * self.window)[..., :-1] / self.n_fft**0.5
            # quiet parts count too: compressed magnitude, phase kept
            power = spectrum.real.square() + spectrum.imag.square() + 1e-6
            scale = power.pow(-0.35)
            x = torch.stack((spectrum.real * scale, spectrum.imag * scale), dim=1)  # [B, 2, N, n_fft / 2]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.out(x), features


class Critics(nn.Module):
    """All of them, and what they have to say. A step asks two periods and one resolution, drawn at random, or `one`."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), sizes: Sequence[int] = (2048, 1024, 512),
                 period_channels: int = 16, spectrum_channels: int = 16, one: bool = False):  # fmt: skip
        super().__init__()
        self.one = one
        self.periods = nn.ModuleList(PeriodCritic(p, period_channels) for p in periods)
        self.spectra = nn.ModuleList(SpectrumCritic(s, spectrum_channels) for s in sizes)

    def asked(self) -> list[nn.Module]:
        if self.one:
            everybody = [*self.periods, *self.spectra]
            return [everybody[int(torch.randint(len(everybody), ()))]]
        periods = torch.randperm(len(self.periods))[:2].tolist()
        return [*(self.periods[i] for i in periods), self.spectra[int(torch.randint(len(self.spectra), ()))]]

    def forward(self, made: Tensor, recorded: Tensor) -> Tensor:
        """The critics' own loss on waveforms [B, S], a scalar: 1 for what was recorded, 0 for what was made."""
        both = torch.cat((recorded, made))
        total = made.new_zeros(())
        critics = self.asked()
        for critic in critics:
            right, wrong = critic(both)[0].float().chunk(2)
            total = total + (right - 1).square().mean() + wrong.square().mean()
        return total / len(critics)

    def judge(self, made: Tensor, recorded: Tensor) -> tuple[Tensor, Tensor]:
        """What the vocoder is to make small: how well it is found out, and how far its features are from the real.

        The critics themselves get gradients from this, too, which are to be thrown away.
        """
        found = matching = made.new_zeros(())
        critics = self.asked()
        for critic in critics:
            with torch.no_grad():
                _, wanted = critic(recorded)
            judgement, features = critic(made)
            found = found + (judgement.float() - 1).square().mean()
            distances = [(a.float() - b.float()).abs().mean() / b.float().abs().mean().clamp(min=1e-3)
                         for a, b in zip(features, wanted, strict=True)]  # fmt: skip
            matching = matching + torch.stack(distances).mean()
        return found / len(critics), matching / len(critics)


class BandCritics(nn.Module):
    """Critics of the whole sound, of whom a step asks one, and of its low band, of whom it asks three.

    A voice's first harmonics are a twentieth of the spectrum, so critics of the whole hardly look at them, and an
    eighth of the samples is quickly looked at.
    """

    def __init__(self, whole: Critics, low: Critics):
        super().__init__()
        self.band, self.whole, self.low = LowBand(), whole, low

    def forward(self, made: Tensor, recorded: Tensor) -> Tensor:
        """As of `Critics`: the sum over both."""
        return self.whole(made, recorded) + self.low(self.band(made), self.band(recorded))

    def judge(self, made: Tensor, recorded: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Critics`: the sums over both."""
        found, matching = self.whole.judge(made, recorded)
        found_low, matching_low = self.low.judge(self.band(made), self.band(recorded))
        return found + found_low, matching + matching_low
