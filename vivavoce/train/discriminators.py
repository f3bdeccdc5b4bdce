"""Discriminators for vocoders. They give what spectral losses cannot: sharp harmonics and natural noise.

Multi-period as in HiFi-GAN (arXiv:2010.05646) and multi-scale STFT as in EnCodec (arXiv:2210.13438), both far narrower
than published, so that a step costs no more than the vocoder's own. Least-squares losses and feature matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vivavoce.train.losses import LowBand


class PeriodDiscriminator(nn.Module):
    """Judges every p-th sample: waveform [B, S] → logits [B, 1, T, p] and the features of each layer."""

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


class STFTDiscriminator(nn.Module):
    """Judges the complex spectrogram: waveform [B, S] → logits [B, 1, N, F] and the features of each layer."""

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
            # compress the magnitude and keep the phase, so that quiet parts count too
            power = spectrum.real.square() + spectrum.imag.square() + 1e-6
            scale = power.pow(-0.35)
            x = torch.stack((spectrum.real * scale, spectrum.imag * scale), dim=1)  # [B, 2, N, n_fft / 2]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.out(x), features


class Discriminators(nn.Module):
    """Period and STFT discriminators. Each step draws two periods and one resolution, or a single one of all."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), sizes: Sequence[int] = (2048, 1024, 512),
                 period_channels: int = 16, spectrum_channels: int = 16, single: bool = False):  # fmt: skip
        super().__init__()
        self.single = single
        self.periods = nn.ModuleList(PeriodDiscriminator(p, period_channels) for p in periods)
        self.spectra = nn.ModuleList(STFTDiscriminator(s, spectrum_channels) for s in sizes)

    def draw(self) -> list[nn.Module]:
        """Return the discriminators of one step, drawn by torch's global generator."""
        if self.single:
            everything = [*self.periods, *self.spectra]
            return [everything[int(torch.randint(len(everything), ()))]]
        periods = torch.randperm(len(self.periods))[:2].tolist()
        return [*(self.periods[i] for i in periods), self.spectra[int(torch.randint(len(self.spectra), ()))]]

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """Return the discriminators' own loss on waveforms [B, S], a scalar: real = 1, generated = 0."""
        both = torch.cat((real, generated))
        total = generated.new_zeros(())
        drawn = self.draw()
        for discriminator in drawn:
            on_real, on_generated = discriminator(both)[0].float().chunk(2)
            total = total + (on_real - 1).square().mean() + on_generated.square().mean()
        return total / len(drawn)

    def generator_losses(self, generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vocoder's adversarial loss and its feature matching loss on waveforms [B, S], two scalars.

        The discriminators get gradients from this, too; discard them.
        """
        adversarial = matching = generated.new_zeros(())
        drawn = self.draw()
        for discriminator in drawn:
            with torch.no_grad():
                _, targets = discriminator(real)
            logits, features = discriminator(generated)
            adversarial = adversarial + (logits.float() - 1).square().mean()
            distances = [(a.float() - b.float()).abs().mean() / b.float().abs().mean().clamp(min=1e-3)
                         for a, b in zip(features, targets, strict=True)]  # fmt: skip
            matching = matching + torch.stack(distances).mean()
        return adversarial / len(drawn), matching / len(drawn)


class BandDiscriminators(nn.Module):
    """Discriminators of the full band, one a step, and of the low band, three a step.

    A voice's first harmonics are a twentieth of the spectrum, so discriminators of the full band neglect them. The low
    band has an eighth of the samples and costs little.
    """

    def __init__(self, whole: Discriminators, low: Discriminators):
        super().__init__()
        self.band, self.whole, self.low = LowBand(), whole, low

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """Return the sum of both `Discriminators.forward`."""
        return self.whole(generated, real) + self.low(self.band(generated), self.band(real))

    def generator_losses(self, generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of both `Discriminators.generator_losses`."""
        adversarial, matching = self.whole.generator_losses(generated, real)
        adversarial_low, matching_low = self.low.generator_losses(self.band(generated), self.band(real))
        return adversarial + adversarial_low, matching + matching_low
