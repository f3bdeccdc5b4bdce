"""`vivavoce train vocoder`: Vocos as a whole or, where it has harmonics, what makes these.

Both learn from crops of recordings, whose mel frames they are given; critics.py has what they may be trained against.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from vivavoce.config import Config, TrainConfig, VocoderConfig
from vivavoce.mel_torch import LogMel
from vivavoce.train.critics import BandCritics, Critics
from vivavoce.train.harmonics import HarmonicLosses
from vivavoce.train.losses import LOW_BAND, LOW_WINDOWS, WINDOWS, LowBand, SpectralLosses
from vivavoce.train.pitch import track
from vivavoce.train.shards import Features, Utterance
from vivavoce.train.task import Batch, Task
from vivavoce.vocoder_torch import Vocoder


@dataclass(frozen=True)
class VocoderRecipe(Config):
    """How `vivavoce train vocoder` trains.

    Where the model has harmonic_bins, only what makes them is trained, from the low band alone, and the rest is taken
    from the model that the run begins with: mel_weight, stft_weight and phase_weight have no part in it.
    """

    model: VocoderConfig = field(default_factory=VocoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    crop: int = 64  # hops of sound in one training example
    mel_weight: float = 1.0
    stft_weight: float = 0.5
    phase_weight: float = 0.5
    low_weight: float = 0.0  # of the spectral losses of the low band alone; above 0, critics look at it, too
    harmonic_weight: float = 1.0  # of the harmonic bins' distance in voiced frames, phases and all
    pitch_weight: float = 1.0  # of the error of the pitch heard, in octaves
    adversarial_weight: float = 0.0  # of being told from recordings by the critics; 0 for both: no critics
    matching_weight: float = 0.0  # of the distance between what the critics see in sound made and recorded

    def __post_init__(self) -> None:
        for name in ("mel", "stft", "phase", "low", "harmonic", "pitch", "adversarial", "matching"):
            self.require(getattr(self, f"{name}_weight") >= 0, f"{name}_weight", "0 or more")
        longest = max(LOW_BAND * max(LOW_WINDOWS) if self.low_weight else 0, *WINDOWS)
        if bins := self.model.harmonic_bins:
            factor = self.model.n_fft // (2 * bins)
            fits = self.model.n_fft == 2 * bins * factor and self.model.hop % factor == 0
            if not fits:
                raise ValueError(
                    f"model.harmonic_bins is {bins}; it must go into half of n_fft ({self.model.n_fft // 2}) so many "
                    f"times as divide the hop ({self.model.hop})"
                )
            longest = factor * max(LOW_WINDOWS)
        least = longest // 2 // self.model.mel.hop + 1
        self.require(self.crop >= least, "crop", f"at least {least}, for the losses' longest window")


class VocoderTask(Task):
    """Vocos as a whole, on mel and STFT losses and, where the recipe has them, critics."""

    name = "vocoder"
    addable = ("harmonics.",)

    def __init__(self, recipe: VocoderRecipe):
        if recipe.model.input != "mel":
            raise ValueError(f"input is {recipe.model.input!r}; only mel vocoders can be trained")
        self.recipe, self.mel = recipe, recipe.model.mel
        self.log_mel = LogMel(self.mel)
        self.losses = SpectralLosses(self.mel, recipe.mel_weight, recipe.stft_weight, recipe.phase_weight)
        self.band = LowBand()
        self.low_losses = SpectralLosses(self.mel, 0.0, 1.0, 1.0, LOW_WINDOWS)

    def build(self) -> Vocoder:
        return Vocoder(self.recipe.model)

    def featurize(self, utterance: Utterance) -> Features:
        if len(utterance.samples) < self.recipe.crop * self.mel.hop:
            raise ValueError("shorter than a training crop")
        wave = torch.from_numpy(np.clip(utterance.samples, -1, 1) * 32767).to(torch.int16)
        return {"wave": wave, "length": self.length(0)}

    def length(self, seconds: float) -> int:
        return self.recipe.crop + 1  # whatever the utterance is, a crop of it is trained on

    def fingerprint(self) -> str:
        return f"vocoder {self.recipe.crop} {json.dumps(self.mel.to_dict())}"

    def collate(self, items: list[Features]) -> Batch:
        crops = [self.crop(item) for item in items]
        return {name: torch.stack([crop[name] for crop in crops]) for name in crops[0]}

    def crop(self, item: Features) -> Batch:
        """What a batch holds of an utterance: samples [S] from anywhere in it, at any loudness."""
        wave, size = item["wave"], self.recipe.crop * self.mel.hop
        start = int(torch.randint(len(wave) - size + 1, ()))
        return {"wave": self._at_any_loudness(wave[start : start + size])}

    def _at_any_loudness(self, samples: Tensor) -> Tensor:
        gain = 10 ** (torch.rand(()) * 0.6 - 0.5)  # -10 to +2 dB, so that loudness does not matter
        crop = samples.float() / 32767
        return crop * min(gain, 1 / crop.abs().max().clamp(min=1e-3))

    def critics(self) -> Critics | BandCritics | None:
        if not (self.recipe.adversarial_weight or self.recipe.matching_weight):
            return None
        return BandCritics(Critics(one=True), Critics(sizes=LOW_WINDOWS[:3])) if self.recipe.low_weight else Critics()

    def loss(self, model: nn.Module, batch: Batch, critics: nn.Module | None = None) -> Tensor:
        made, recorded, loss = self.made(model, batch)
        if isinstance(critics, Critics | BandCritics):
            found, matching = critics.judge(made, recorded)
            loss = loss + self.recipe.adversarial_weight * found + self.recipe.matching_weight * matching
        return loss

    def critics_loss(self, model: nn.Module, batch: Batch, critics: nn.Module) -> Tensor:
        with torch.no_grad():
            made, recorded, _ = self.made(model, batch, compared=False)
        return critics(made, recorded)

    def made(self, model: nn.Module, batch: Batch, compared: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms made and recorded [B, S], as critics look at them, and the loss without critics, or 0."""
        wave = batch["wave"]
        made = model(self._mel(wave))
        recorded, loss = wave[:, : made.shape[1]], made.new_zeros(())
        if compared:
            with torch.autocast(wave.device.type, enabled=False):  # spectra are compared in float32
                loss = self.losses.to(wave.device)(made.float(), wave)
                if self.recipe.low_weight:
                    band, losses = self.band.to(wave.device), self.low_losses.to(wave.device)
                    loss = loss + self.recipe.low_weight * losses(band(made.float()), band(recorded))
        return made, recorded, loss

    def _mel(self, wave: Tensor) -> Tensor:
        self.log_mel.to(wave.device)
        with torch.autocast(wave.device.type, enabled=False):  # read in float32, too
            return self.log_mel(wave)

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        wave = batch["wave"][:2]
        made = model(self._mel(wave)).float()
        return {
            f"{i}-{n}": w[i].cpu().numpy() for n, w in (("made", made), ("recorded", wave)) for i in range(len(wave))
        }


class HarmonicsTask(VocoderTask):
    """What makes a vocoder's harmonics, from recordings whose pitch is known; the rest of it stays as it is."""

    def __init__(self, recipe: VocoderRecipe):
        super().__init__(recipe)
        self.harmonics = HarmonicLosses(recipe.model, recipe.harmonic_weight, recipe.low_weight, recipe.pitch_weight)

    def build(self) -> Vocoder:
        model = super().build().requires_grad_(False)
        model.harmonics.requires_grad_(True)
        return model

    def check_fresh(self) -> None:
        raise ValueError(
            f"model.harmonic_bins is {self.recipe.model.harmonic_bins}, so only what makes these bins is trained: "
            "--from must name the vocoder that the rest is taken from"
        )

    def featurize(self, utterance: Utterance) -> Features:
        features = super().featurize(utterance)
        cycles, voiced = track(utterance.samples, self.mel.sample_rate, self.mel.hop)
        return {**features, "cycles": torch.from_numpy(cycles), "voiced": torch.from_numpy(voiced)}

    def fingerprint(self) -> str:
        return f"harmonics, {super().fingerprint()}"

    def crop(self, item: Features) -> Batch:
        """Samples [S], and the course of the pitch at their frames [N], which is known at whole hops."""
        hops, hop = self.recipe.crop, self.mel.hop
        first = int(torch.randint(len(item["wave"]) // hop - hops + 1, ()))
        frames = slice(first, first + hops + 1)
        cycles = item["cycles"][frames] - item["cycles"][first].floor()
        rate = torch.gradient(cycles)[0].clamp(min=0.1)
        wave = self._at_any_loudness(item["wave"][first * hop : (first + hops) * hop])
        return {"wave": wave, "rate": rate.float(), "cycles": cycles.float(), "voiced": item["voiced"][frames].float()}

    def critics(self) -> Critics | None:
        wanted = self.recipe.adversarial_weight or self.recipe.matching_weight
        return Critics(sizes=LOW_WINDOWS[:3]) if wanted else None

    def made(self, model: nn.Module, batch: Batch, compared: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """As of `VocoderTask`, at the low band's rate."""
        losses = self.harmonics.to(batch["wave"].device)
        low, heard = model(self._mel(batch["wave"]), course=(batch["rate"], batch["cycles"]))
        with torch.autocast(low.device.type, enabled=False):
            recorded = losses.sound.spectrum(batch["wave"])
            loss = losses(low, heard, recorded, batch["rate"], batch["voiced"]) if compared else heard.new_zeros(())
            return losses.sound.wave(low), losses.sound.wave(recorded), loss


def vocoder_task(recipe: VocoderRecipe) -> VocoderTask:
    """The task that a recipe is for."""
    return HarmonicsTask(recipe) if recipe.model.harmonic_bins else VocoderTask(recipe)
