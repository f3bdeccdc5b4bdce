"""`vivavoce train vocoder`: Vocos or, if the model has harmonic bins, the network that predicts these.

Both learn to reconstruct crops of recordings from their log-mels, optionally against discriminators. With a `teacher`,
a smaller vocoder learns to imitate a larger one instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivavoce.audio.pitch import track
from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.config import Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import Backbone, Vocoder, cycles_passed
from vivavoce.train.config import TrainConfig
from vivavoce.train.discriminators import BandDiscriminators, Discriminators
from vivavoce.train.harmonics import HarmonicLosses, magnitude_distance, phase_distance, pitch_error
from vivavoce.train.losses import LOW_BAND, LOW_WINDOWS, WINDOWS, LowBand, SpectralLosses
from vivavoce.train.tasks.base import Batch, Task


@dataclass(frozen=True)
class VocoderRecipe(Config):
    """How `vivavoce train vocoder` trains.

    If the model has harmonic_bins, only the network that predicts them is trained, on the low band alone, and the rest
    comes from the model that the run starts with; mel_weight, stft_weight and phase_weight are not used.

    With a teacher, the whole model learns the spectrum and the waveform of the teacher instead of the recording.
    Parts that are as wide as the teacher's start with its weights. If the teacher has more layers, every second or so
    is taken.
    """

    model: VocoderConfig = field(default_factory=VocoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    crop: int = 64  # length of a training example in hops
    mel_weight: float = 1.0
    stft_weight: float = 0.5
    phase_weight: float = 0.5
    low_weight: float = 0.0  # of the low band's spectral losses; above 0, it also gets its own discriminators
    harmonic_weight: float = 1.0  # of the distance of the harmonic bins, magnitudes and phases
    pitch_weight: float = 1.0  # of the pitch error, in octaves
    adversarial_weight: float = 0.0  # of the discriminators' verdict; 0 here and below: no discriminators
    matching_weight: float = 0.0  # of feature matching in the discriminators
    teacher: str = ""  # a mel vocoder to imitate: "bundled", a folder or a Hugging Face name
    spectrum_weight: float = 1.0  # of the distance from the teacher's spectrum, magnitudes and phases

    def __post_init__(self) -> None:
        for name in ("mel", "stft", "phase", "low", "harmonic", "pitch", "adversarial", "matching", "spectrum"):
            self.require(getattr(self, f"{name}_weight") >= 0, f"{name}_weight", "0 or more")
        longest = max(LOW_BAND * max(LOW_WINDOWS) if self.low_weight else 0, *WINDOWS)
        if bins := self.model.harmonic_bins:
            factor = self.model.n_fft // (2 * bins)
            fits = self.model.n_fft == 2 * bins * factor and self.model.hop % factor == 0
            if not fits:
                raise ValueError(
                    f"model.harmonic_bins is {bins}; it must divide half of n_fft ({self.model.n_fft // 2}), with "
                    f"a quotient that divides the hop ({self.model.hop})"
                )
            longest = factor * max(LOW_WINDOWS)
        least = longest // 2 // self.model.mel.hop + 1
        self.require(self.crop >= least, "crop", f"at least {least}, for the losses' longest window")


class VocoderTask(Task):
    """Vocos on spectral losses and, if the recipe gives them a weight, discriminators."""

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
        return self.recipe.crop + 1  # training sees a crop of each utterance

    def fingerprint(self) -> str:
        return f"vocoder {self.recipe.crop} {json.dumps(self.mel.to_dict())}"

    def collate(self, items: list[Features]) -> Batch:
        crops = [self.crop(item) for item in items]
        return {name: torch.stack([crop[name] for crop in crops]) for name in crops[0]}

    def crop(self, item: Features) -> Batch:
        """Return a training example: samples [S] from anywhere in the utterance, at a random loudness."""
        wave, size = item["wave"], self.recipe.crop * self.mel.hop
        start = int(torch.randint(len(wave) - size + 1, ()))
        return {"wave": self._random_gain(wave[start : start + size])}

    def _random_gain(self, samples: Tensor) -> Tensor:
        gain = 10 ** (torch.rand(()) * 0.6 - 0.5)  # -10 to +2 dB, so that the vocoder works at any loudness
        crop = samples.float() / 32767
        return crop * min(gain, 1 / crop.abs().max().clamp(min=1e-3))

    def discriminators(self) -> Discriminators | BandDiscriminators | None:
        if not (self.recipe.adversarial_weight or self.recipe.matching_weight):
            return None
        if self.recipe.low_weight:
            return BandDiscriminators(Discriminators(single=True), Discriminators(sizes=LOW_WINDOWS[:3]))
        return Discriminators()

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        generated, real, loss = self.generate(model, batch)
        if isinstance(discriminators, Discriminators | BandDiscriminators):
            adversarial, matching = discriminators.generator_losses(generated, real)
            loss = loss + self.recipe.adversarial_weight * adversarial + self.recipe.matching_weight * matching
        return loss

    def discriminator_loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module) -> Tensor:
        with torch.no_grad():
            generated, real, _ = self.generate(model, batch, with_loss=False)
        return discriminators(generated, real)

    def generate(self, model: nn.Module, batch: Batch, with_loss: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Return generated and real waveforms [B, S] for the discriminators, and the spectral loss, or 0."""
        wave = batch["wave"]
        generated = model(self._mel(wave))
        real, loss = wave[:, : generated.shape[1]], generated.new_zeros(())
        if with_loss:
            with torch.autocast(wave.device.type, enabled=False):  # compare spectra in float32
                loss = self.losses.to(wave.device)(generated.float(), wave)
                if self.recipe.low_weight:
                    band, losses = self.band.to(wave.device), self.low_losses.to(wave.device)
                    loss = loss + self.recipe.low_weight * losses(band(generated.float()), band(real))
        return generated, real, loss

    def _mel(self, wave: Tensor) -> Tensor:
        self.log_mel.to(wave.device)
        with torch.autocast(wave.device.type, enabled=False):  # float32, too
            return self.log_mel(wave)

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        wave = batch["wave"][:2]
        generated = model(self._mel(wave)).float()
        pairs = (("made", generated), ("recorded", wave))
        return {f"{i}-{name}": waves[i].cpu().numpy() for name, waves in pairs for i in range(len(wave))}


class HarmonicsTask(VocoderTask):
    """The harmonic network of a vocoder, on recordings with tracked pitch; the other weights are frozen."""

    def __init__(self, recipe: VocoderRecipe):
        super().__init__(recipe)
        self.harmonics = HarmonicLosses(recipe.model, recipe.harmonic_weight, recipe.low_weight, recipe.pitch_weight)

    def build(self) -> Vocoder:
        model = super().build().requires_grad_(False)
        model.harmonics.requires_grad_(True)
        return model

    def check_fresh(self) -> None:
        raise ValueError(
            f"model.harmonic_bins is {self.recipe.model.harmonic_bins}, so only the harmonic network is trained: "
            "--from must name the vocoder that it extends"
        )

    def featurize(self, utterance: Utterance) -> Features:
        features = super().featurize(utterance)
        cycles, voiced = track(utterance.samples, self.mel.sample_rate, self.mel.hop)
        return {**features, "cycles": torch.from_numpy(cycles), "voiced": torch.from_numpy(voiced)}

    def fingerprint(self) -> str:
        return f"harmonics, {super().fingerprint()}"

    def crop(self, item: Features) -> Batch:
        """Return samples [S] that start at a whole hop, and the pitch at their frames [N]."""
        hops, hop = self.recipe.crop, self.mel.hop
        first = int(torch.randint(len(item["wave"]) // hop - hops + 1, ()))
        frames = slice(first, first + hops + 1)
        cycles = item["cycles"][frames] - item["cycles"][first].floor()
        rate = torch.gradient(cycles)[0].clamp(min=0.1)
        wave = self._random_gain(item["wave"][first * hop : (first + hops) * hop])
        return {"wave": wave, "rate": rate.float(), "cycles": cycles.float(), "voiced": item["voiced"][frames].float()}

    def discriminators(self) -> Discriminators | None:
        wanted = self.recipe.adversarial_weight or self.recipe.matching_weight
        return Discriminators(sizes=LOW_WINDOWS[:3]) if wanted else None

    def generate(self, model: nn.Module, batch: Batch, with_loss: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `VocoderTask.generate` does, at the rate of the low band."""
        losses = self.harmonics.to(batch["wave"].device)
        low, pitch = model(self._mel(batch["wave"]), course=(batch["rate"], batch["cycles"]))
        with torch.autocast(low.device.type, enabled=False):
            real = losses.sound.spectrum(batch["wave"])
            loss = losses(low, pitch, real, batch["rate"], batch["voiced"]) if with_loss else pitch.new_zeros(())
            return losses.sound.wave(low), losses.sound.wave(real), loss


class ImitationTask(VocoderTask):
    """A smaller vocoder on the output of a larger one, its teacher."""

    def __init__(self, recipe: VocoderRecipe):
        super().__init__(recipe)
        self._teacher: Vocoder | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_teacher": None}  # workers do not need it

    def build(self) -> Vocoder:
        model, teacher = super().build(), self.teacher
        take_layers(model.backbone, teacher.backbone)
        if self.recipe.model.harmonic_bins:
            take_layers(model.harmonics.backbone, teacher.harmonics.backbone)
            take_weights(model.harmonics.out, teacher.harmonics.out)
        take_weights(model.head.out, teacher.head.out)
        return model

    @property
    def teacher(self) -> Vocoder:
        if self._teacher is None:
            teacher, ours = load_vocoder(self.recipe.teacher), self.recipe.model
            for name in ("mel", "n_fft", "hop", "padding", "harmonic_bins"):
                theirs, wanted = getattr(teacher.config, name), getattr(ours, name)
                if theirs != wanted:
                    raise ValueError(
                        f"teacher {self.recipe.teacher}: its {name} is {theirs!r}, the model's is {wanted!r}"
                    )
            self._teacher = teacher.eval().requires_grad_(False)
        return self._teacher

    def generate(self, model: nn.Module, batch: Batch, with_loss: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Return waveforms [B, S] of the model and of its teacher, for the discriminators, and the distance, or 0."""
        mel, bins = self._mel(batch["wave"]), self.recipe.model.harmonic_bins
        teacher = self.teacher.to(mel.device)
        with torch.no_grad(), torch.autocast(mel.device.type, enabled=False):
            target, rate = teacher.spectrum(mel)
            real = teacher.head.inverse(target)
        # With the teacher's cycles: a small error of the pitch would soon shift all phases.
        spectrum, heard = model(mel, course=(rate, cycles_passed(rate)), whole=True)
        with torch.autocast(mel.device.type, enabled=False):
            generated = teacher.head.inverse(spectrum)
            loss = generated.new_zeros(())
            if with_loss:
                loss = self.losses.to(mel.device)(generated, real)
                everywhere = torch.ones_like(rate)
                for part in (slice(0, bins), slice(bins, None)) if bins else (slice(None),):
                    ours, theirs = spectrum[..., part], target[..., part]
                    distance = magnitude_distance(ours, theirs) + phase_distance(ours, theirs, everywhere)
                    loss = loss + self.recipe.spectrum_weight * distance
                if bins:  # the pitch matters where the low band is loud
                    loudness = target[..., :bins].abs().mean(-1).sqrt()
                    loss = loss + self.recipe.pitch_weight * pitch_error(heard, rate, loudness)
        return generated, real, loss


def take_layers(backbone: Backbone, teacher: Backbone) -> None:
    """Fill a backbone with the teacher's weights, of evenly spaced layers, as far as their shapes are equal."""
    ours, theirs = backbone.convnext, teacher.convnext
    places = np.linspace(0, len(theirs) - 1, len(ours)).round().astype(int)
    take_weights(backbone.embed, teacher.embed)
    take_weights(backbone.norm, teacher.norm)
    take_weights(backbone.final_layer_norm, teacher.final_layer_norm)
    for block, place in zip(ours, places, strict=True):
        take_weights(block, theirs[place])


def take_weights(module: nn.Module, teacher: nn.Module) -> None:
    """Fill a module with the teacher's weights if all shapes are equal."""
    ours, theirs = module.state_dict(), teacher.state_dict()
    if {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}:
        module.load_state_dict(theirs)


def vocoder_task(recipe: VocoderRecipe) -> VocoderTask:
    """Return the task for a recipe."""
    if recipe.teacher:
        return ImitationTask(recipe)
    return HarmonicsTask(recipe) if recipe.model.harmonic_bins else VocoderTask(recipe)
