"""The task `vivavoce train nanospeech`: the flow-matching model."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.audio.dsp import resample
from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.checkpoints.whisperspeech_torch import load_whisper
from vivavoce.config import ASSETS, Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models import solvers
from vivavoce.models.aligner_torch import equal_shares
from vivavoce.models.nanospeech import FILLER, NanospeechConfig, SamplingConfig
from vivavoce.models.nanospeech_torch import Nanospeech
from vivavoce.models.semantic_torch import HOP, SAMPLE_RATE, Whisper
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.train.auxiliary_losses import NanospeechWithAuxiliaryLosses
from vivavoce.train.config import TrainConfig
from vivavoce.train.distillation import trajectory_batch
from vivavoce.train.pronunciations import Lexicon
from vivavoce.train.tasks.base import Batch, Metrics
from vivavoce.train.tasks.codes import CodesBeside, initialise_codes
from vivavoce.train.tasks.text import TextTask

# Validation compares a loss with a condition, with the loss with the same condition of another item.
_COMPARED = (
    ("text", "noisy_loss", "noisy_loss, wrong text"),
    ("codes", "codes_loss", "codes_loss, wrong codes"),
    ("prosody", "noisy_loss", "noisy_loss, wrong prosody"),
)


@dataclass(frozen=True)
class NanospeechRecipe(Config):
    """The recipe of `vivavoce train nanospeech`."""

    model: NanospeechConfig = field(default_factory=NanospeechConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)  # written to the exported model
    characters: str = ""
    aligner: str = ""  # "bundled" or a folder: the aligner that finds the frames of the characters
    drop: float = 0.1  # share of items without conditions, for guidance
    sway: float = 0.0  # shifts flow times as `sampling.sway_coef` does in sampling; below 0: more noise
    hidden_phones: float = 0.3  # share of words whose phones are hidden, so that the model reads unknown words too
    hidden_prosody: float = 0.3  # share of samples whose prosody is not stated
    embedding_rate: float = 1.0  # factor on the learning rate of the language, phone and prosody embeddings
    semantic: str = ""  # folder of a semantic model, or "bundled": initialises the code embedding with its codebook
    hidden_text: float = 0.0  # share of samples without text, so that the model speaks from codes alone
    hidden_codes: float = 0.0  # share of samples without codes; none of them is without text, too
    wrong_codes: float = 0.0  # share of the codes that are random
    imitation: float = 0.0  # weight of the loss by which the encoding of the codes learns to say what the text's says
    imitation_only: bool = False  # only the encoder of the codes learns, and only from that loss: fast, and comes first
    lexicon: str = ""  # file of words and phones, for an auxiliary loss of the text encoder
    lexicon_words: int = 256  # per batch
    lexicon_weight: float = 0.1  # of the loss per phone
    whisper: str = ""  # a checkpoint of openai-whisper, whose features a block predicts as an auxiliary loss
    whisper_block: int = 0  # its number, from 1; 0: the middle block
    whisper_weight: float = 0.1  # of 1 - cosine
    guidance: float = 0.0  # guidance that the model learns, so that sampling needs none; 0: none
    # Of the guidance or distillation: "bundled", a folder or a Hugging Face name. Empty: the model supplies guidance.
    teacher: str = ""
    distil_steps: int = 0  # Euler steps of the teacher, which the model learns to take in fewer; 0: no distillation

    def __post_init__(self) -> None:
        for name in ("hidden_phones", "hidden_prosody"):
            self.require(0 <= getattr(self, name) <= 1, name, "from 0 to 1")
        self.require(self.embedding_rate > 0, "embedding_rate", "positive")
        self.require(0 <= self.drop < 1, "drop", "from 0 to below 1")
        self.require(self.lexicon_words > 0, "lexicon_words", "positive")
        self.require(self.lexicon_weight > 0, "lexicon_weight", "positive")
        letters = self.model.text_align == "letters"
        self.require(
            bool(self.aligner) == letters, "aligner", 'given if, and only if, the model\'s text_align is "letters"'
        )
        self.require(-1 <= self.sway <= 1, "sway", "from -1 to 1")
        self.require(0 <= self.whisper_block <= self.model.depth, "whisper_block", "from 0 to the model's depth")
        self.require(self.whisper_weight > 0, "whisper_weight", "positive")
        self.require(0 <= self.guidance <= 10, "guidance", "from 0 to 10")
        self.require(self.imitation >= 0, "imitation", "0 or more")
        self.require(self.model.codes > 0 or not self.imitation, "imitation", "0 if the model has no codes")
        self.require(self.imitation > 0 or not self.imitation_only, "imitation_only", "false if imitation is 0")
        for name in ("hidden_text", "hidden_codes", "wrong_codes"):
            self.require(0 <= getattr(self, name) <= 1, name, "from 0 to 1")
            self.require(self.model.codes > 0 or not getattr(self, name), name, "0 if the model has no codes")
        self.require(self.hidden_text + self.hidden_codes <= 1, "hidden_codes", "at most 1 together with hidden_text")
        self.require(self.model.codes > 0 or not self.semantic, "semantic", "empty if the model has no codes")
        self.require(
            bool(self.teacher) <= (self.guidance > 0 or self.distil_steps > 0),
            "teacher",
            "empty if guidance and distil_steps are 0",
        )
        self.require(self.distil_steps == 0 or self.distil_steps > 1, "distil_steps", "0, or 2 or more")
        if self.distil_steps:
            self.require(bool(self.teacher), "teacher", "given if distil_steps is")
            self.require(self.guidance == 0, "guidance", "0 if distil_steps is given: the teacher has its own")
            if not self.model.mean_velocity or self.model.audio_prompt:
                raise ValueError(
                    f"distil_steps is {self.distil_steps}; the model must then have mean_velocity and no audio_prompt"
                )


class NanospeechTask(CodesBeside, TextTask):
    """The flow-matching model."""

    name = "nanospeech"
    addable = (
        "transformer.text_encoder.language_embed.",
        "transformer.text_encoder.phone_embed.",
        "transformer.text_encoder.prosody_embed.",
        "transformer.bandwidth_embed.",
        "transformer.code_encoder.",
        "transformer.step_embed.",
    )
    training_only = ("pronunciation.", "ssl_head.", "hearing.")  # the last: older runs

    def __init__(self, recipe: NanospeechRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)
        self._teacher: Nanospeech | None = None

    @functools.cached_property
    def lexicon(self) -> Lexicon | None:
        return Lexicon.load(Path(self.recipe.lexicon), self.tokenizer) if self.recipe.lexicon else None

    def __getstate__(self) -> dict[str, Any]:
        # the data workers need neither
        return {k: v for k, v in super().__getstate__().items() if k not in ("lexicon", "whisper")} | {"_teacher": None}

    @functools.cached_property
    def whisper(self) -> Whisper | None:
        return load_whisper(Path(self.recipe.whisper)) if self.recipe.whisper else None

    def build(self) -> Nanospeech:
        model = self._new_model()
        if (encoder := model.transformer.code_encoder) is None:
            return model
        if self.recipe.semantic:
            initialise_codes(encoder.embed, self.recipe.semantic)
        if self.recipe.imitation_only:
            model.requires_grad_(False)
            encoder.requires_grad_(True)
        return model

    def _new_model(self) -> Nanospeech:
        recipe = self.recipe
        if self.lexicon is None and self.whisper is None:
            return Nanospeech(recipe.model)
        return NanospeechWithAuxiliaryLosses(
            recipe.model,
            phones=len(self.lexicon.inventory) if self.lexicon else 0,
            phones_weight=recipe.lexicon_weight,
            ssl_dim=self.whisper.config.n_audio_state if self.whisper else 0,
            ssl_weight=recipe.whisper_weight,
            block=recipe.whisper_block or (recipe.model.depth + 1) // 2,
        )

    def featurize(self, utterance: Utterance) -> Features:
        item, mel = self.read(utterance), self.mel_of(utterance)
        self.place_letters(item, mel)
        item |= {"mel": mel.half(), "length": len(mel)}
        if self.recipe.model.bandwidth:
            item["bandwidth"] = float(utterance.bandwidth or self.mel.sample_rate / 2)  # Hz
        if self.whisper is not None:
            item["ssl_features"] = self._ssl_features(self.whisper, utterance, len(mel))
        return item

    @torch.inference_mode()
    def _ssl_features(self, whisper: Whisper, utterance: Utterance, frames: int) -> Tensor:
        """Return Whisper's feature at the centre of each token [K, W], normalised per recording to remove the voice."""
        wave = resample(utterance.samples, self.mel.sample_rate, SAMPLE_RATE)
        if len(wave) > whisper.window:
            raise ValueError("longer than Whisper's window")
        # without padding to 30 s, which would take several times as long
        features = whisper.encoder(whisper.mel(torch.from_numpy(wave))[None])[0]  # [S, W]
        features = (features - features.mean(0)) / (features.std(0, correction=0) + 1e-3)
        patch = self.recipe.model.patch
        middles = (torch.arange(-(-frames // patch)) + 0.5) * patch / self.mel.frame_rate  # s
        return features[(middles * SAMPLE_RATE / (2 * HOP)).long().clamp(max=len(features) - 1)].half()

    def fingerprint(self) -> str:
        features = f" {zlib.crc32(Path(self.recipe.whisper).read_bytes())}" if self.recipe.whisper else ""
        return f"nanospeech {super().fingerprint()}{features}{self.codes_fingerprint()}"

    def data_info(self) -> dict[str, Any]:
        return self.tokens_info()

    def collate(self, items: list[Features]) -> Batch:
        batch = self.speech(items)
        if self.recipe.model.bandwidth:
            batch["bandwidth"] = torch.tensor([i["bandwidth"] for i in items])
        if self.recipe.model.text_align == "letters":
            batch["durations"] = pad_sequence([i["letters"] for i in items], True)
        if self.recipe.model.text_align == "durations":
            # word times give no more than the span: its characters share the frames equally
            shares = [equal_shares(i["spans"].long(), i["frames"]) for i in items]
            batch["durations"] = pad_sequence(shares, True)
        if self.recipe.model.codes:
            batch["codes"] = pad_sequence([i["codes"].long() for i in items], True, FILLER)
        if self.recipe.whisper:
            batch["ssl_features"] = pad_sequence([i["ssl_features"] for i in items], True)
        return batch

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        if steps := self.recipe.distil_steps:
            return model(**trajectory_batch(self._loaded_teacher(batch), batch, steps, self.recipe.sampling))
        words: Batch = {}
        if self.lexicon is not None:
            device = batch["mel"].device
            words = {name: value.to(device) for name, value in self.lexicon.batch(self.recipe.lexicon_words).items()}
        hidden = {
            "drop_text": self.recipe.hidden_text,
            "drop_codes": self.recipe.hidden_codes,
            "wrong_codes": self.recipe.wrong_codes,
            "imitation": self.recipe.imitation,
            "imitation_only": self.recipe.imitation_only,
        }
        return model(**batch, **words, **hidden, drop=self.recipe.drop, sway=self.recipe.sway, **self._guidance(batch))

    def _guidance(self, batch: Batch) -> dict[str, Any]:
        """Return the guidance arguments of the loss."""
        if not self.recipe.teacher:
            return {"guidance": self.recipe.guidance}
        return {"teacher": self._loaded_teacher(batch), "guidance": self.recipe.guidance}

    def _loaded_teacher(self, batch: Batch) -> Nanospeech:
        if self._teacher is None:
            from vivavoce.train.init_from import initialise  # avoids a circular import

            teacher = Nanospeech(self.recipe.model)
            initialise(self.recipe.teacher, self, teacher)
            self._teacher = teacher.to(batch["mel"].device).eval().requires_grad_(False)
        return self._teacher

    def weight(self, batch: Batch) -> int:
        return int(batch["lengths"].sum())  # frames; an audio prompt hides about the same share of every batch

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Return the metrics.

        loss; noisy_loss, at t < 0.3; text, the relative increase of noisy_loss with the text of another item (1 %:
        alignment emerges; 5 %: it is learned); phones, the loss on the lexicon; ssl, 1 - cosine to Whisper's features.
        With prosody, `prosody` is the relative increase of noisy_loss with the prosody of another item.
        With codes, the first is the loss with text and codes, the next two are without codes, and codes_loss and codes
        are the same two with codes alone.
        Of a distillation only the loss.
        """
        if self.recipe.distil_steps:
            return super().validate(model, batches)
        found: dict[str, list[float]] = {}  # losses by their names, one a batch
        for number, given in enumerate(batches):
            batch = {name: value for name, value in given.items() if name != "ssl_features"}
            size = len(batch["text"])
            torch.manual_seed(number)
            noise = torch.randn(batch["mel"].shape).to(batch["mel"].device)
            even = ((torch.arange(size) + 0.5) / size).to(noise.device)
            guidance = self._guidance(batch)
            losses = {"loss": model(**batch, drop=0.0, time=even, noise=noise, **guidance).item()}
            if "ssl_features" in given:
                assert isinstance(model, NanospeechWithAuxiliaryLosses)
                losses["ssl"] = model.ssl_loss(model.states[0], given["ssl_features"], batch["lengths"]).item()
            if size > 1:
                losses |= self._losses_of_channels(model, batch, {"drop": 0.0, "time": 0.3 * even, "noise": noise})
            for name, loss in losses.items():
                found.setdefault(name, []).append(loss)
        means = {name: float(np.mean(values)) for name, values in found.items()}
        metrics: Metrics = {name: means[name] for name in ("loss", "ssl") if name in means}
        if self.lexicon is not None:
            assert isinstance(model, NanospeechWithAuxiliaryLosses)
            torch.manual_seed(0)
            words = {name: value.to(batches[0]["mel"].device) for name, value in self.lexicon.batch(512).items()}
            metrics["phones"] = model.pronunciation_loss(**words).item()
        for name, right, wrong in _COMPARED:
            if wrong in means:
                metrics |= {right: means[right], name: means[wrong] / means[right] - 1}
        return metrics

    def _losses_of_channels(self, model: nn.Module, batch: Batch, early: dict[str, Any]) -> Metrics:
        """Return the losses of _COMPARED at early times, of the conditions that the batch has."""
        alone = {"text": {"drop_codes": 1.0}, "codes": {"drop_text": 1.0}} if self.recipe.model.codes else {"text": {}}
        of_text = [n for n in ("text", "durations", "languages", "phones", "prosody", "codes") if n in batch]
        others = dict(batch, **{name: batch[name].roll(1, 0) for name in of_text})
        losses = {}
        for name, right, wrong in _COMPARED:
            if name in alone:
                losses[right] = model(**batch, **early, **alone[name]).item()
                losses[wrong] = model(**others, **early, **alone[name]).item()
        if "prosody" in batch:
            other = dict(batch, prosody=batch["prosody"].roll(1, 0))
            losses["noisy_loss, wrong prosody"] = model(**other, **early, **alone["text"]).item()
        return losses

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        assert isinstance(model, Nanospeech)
        few: dict[str, Any] = {k: v[:2] for k, v in batch.items()}
        mel, lengths = few.pop("mel"), few.pop("lengths")
        few.pop("ssl_features", None)
        few.pop("bandwidth", None)  # samples have the full bandwidth
        torch.manual_seed(0)
        noise = torch.randn(mel.shape).to(mel.device)
        extra: dict[str, Any] = {}
        if self.recipe.model.audio_prompt:
            extra = {"prompt": mel, "prompt_lengths": lengths // 3}
        options: dict[str, Any] = {"times": solvers.schedule(8), "cfg": 0.0 if self.recipe.guidance > 0 else 1.0}
        if self.recipe.distil_steps:  # as in synthesis: the model knows no other steps
            sampling = self.recipe.sampling
            options = {"times": solvers.schedule(sampling.steps, sampling.sway_coef), "cfg": 0.0}
        made = model.sample(noise, few.pop("text"), lengths, **options, **few, **extra)
        vocoder = self._bundled_vocoder(mel.device)
        shown = {}
        for name, mels in (("made", made), ("recorded", mel)):
            for i, length in enumerate(lengths):
                frames = mels[i, :length].float()
                shown[f"{i}-{name}-mel"] = frames.cpu().numpy()
                if vocoder is not None:
                    shown[f"{i}-{name}"] = vocoder(frames[None])[0].float().cpu().numpy()
        return shown

    def _bundled_vocoder(self, device: torch.device) -> Vocoder | None:
        """Return the bundled vocoder; None if there is none, or it is for other mels."""
        if not (ASSETS / "vocoder" / "config.json").exists():
            return None
        vocoder = load_vocoder("bundled").to(device)
        return vocoder if vocoder.config.mel == self.mel else None

    def export(self) -> dict[str, Any]:
        return {**super().export(), "sampling": self.recipe.sampling.to_dict()}
