"""What differs between the models in training: how an utterance becomes features, a batch, a loss and a sample.

`loop.py` runs any of them. A recipe is a JSON object {"model": …, "train": …, and the task's own settings}.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce import solvers
from vivavoce.checkpoints import ASSETS
from vivavoce.checkpoints_torch import load_vocoder
from vivavoce.config import (
    Config,
    DurationConfig,
    NanospeechConfig,
    SamplingConfig,
    TrainConfig,
    VocoderConfig,
)
from vivavoce.engines.nanospeech_torch import FILLER, CharacterDurations, Nanospeech, duration_model
from vivavoce.mel_torch import LogMel
from vivavoce.speaker_torch import SpeakerConfig, SpeakerEncoder, load_speaker_encoder
from vivavoce.text import CharTokenizer
from vivavoce.train.alignment import align
from vivavoce.train.codec import CodecRecipe, CodecTask
from vivavoce.train.critics import Critics
from vivavoce.train.lexicon import Lexicon, PronouncingNanospeech
from vivavoce.train.losses import LONGEST_WINDOW, SpectralLosses
from vivavoce.train.shards import Features, Utterance
from vivavoce.train.task import Batch, Metrics, Task
from vivavoce.train.tasks_semantic import SemanticRecipe, SemanticTask
from vivavoce.train.tasks_tokens import S2ARecipe, S2ATask, T2SRecipe, T2STask
from vivavoce.vocoder_torch import Vocoder


@dataclass(frozen=True)
class VocoderRecipe(Config):
    """How `vivavoce train vocoder` trains."""

    model: VocoderConfig = field(default_factory=VocoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    crop: int = 64  # hops of sound in one training example
    mel_weight: float = 1.0
    stft_weight: float = 0.5
    phase_weight: float = 0.5
    adversarial_weight: float = 0.0  # of being told from recordings by the critics; 0 for both: no critics
    matching_weight: float = 0.0  # of the distance between what the critics see in sound made and recorded

    def __post_init__(self) -> None:
        least = LONGEST_WINDOW // 2 // self.model.mel.hop + 1
        self.require(self.crop >= least, "crop", f"at least {least}, for the losses' longest window")
        for name in ("mel_weight", "stft_weight", "phase_weight", "adversarial_weight", "matching_weight"):
            self.require(getattr(self, name) >= 0, name, "0 or more")


@dataclass(frozen=True)
class DurationRecipe(Config):
    """How `vivavoce train duration` trains."""

    model: DurationConfig = field(default_factory=DurationConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    characters: str = ""


@dataclass(frozen=True)
class NanospeechRecipe(Config):
    """How `vivavoce train nanospeech` trains."""

    model: NanospeechConfig = field(default_factory=NanospeechConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)  # written into the exported model
    characters: str = ""
    drop: float = 0.1  # share of samples without their conditions, for guidance
    lexicon: str = ""  # file of words and their phones, which the text encoder learns beside the speech
    lexicon_words: int = 256  # in each batch
    lexicon_weight: float = 0.1  # of the loss of a phone
    guidance: float = 0.0  # strength of the guidance that is trained in, so that sampling needs none; 0: none
    teacher: str = ""  # "bundled", folder or Hugging Face name of the model that is guided; empty: this one itself

    def __post_init__(self) -> None:
        self.require(0 <= self.drop < 1, "drop", "from 0 to below 1")
        self.require(self.lexicon_words > 0, "lexicon_words", "positive")
        self.require(self.lexicon_weight > 0, "lexicon_weight", "positive")
        self.require(0 <= self.guidance <= 10, "guidance", "from 0 to 10")
        self.require(not self.teacher or self.guidance > 0, "teacher", "empty where guidance is 0")


class VocoderTask(Task):
    """Vocos on mel and STFT losses: the part of its training that needs no discriminator."""

    name = "vocoder"

    def __init__(self, recipe: VocoderRecipe):
        if recipe.model.input != "mel":
            raise ValueError(f"input is {recipe.model.input!r}; only mel vocoders can be trained")
        self.recipe, self.mel = recipe, recipe.model.mel
        self.log_mel = LogMel(self.mel)
        self.losses = SpectralLosses(self.mel, recipe.mel_weight, recipe.stft_weight, recipe.phase_weight)

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
        size = self.recipe.crop * self.mel.hop
        crops = []
        for item in items:
            start = int(torch.randint(len(item["wave"]) - size + 1, ()))
            gain = 10 ** (torch.rand(()) * 0.6 - 0.5)  # -10 to +2 dB, so that loudness does not matter
            crop = item["wave"][start : start + size].float() / 32767
            crops.append(crop * min(gain, 1 / crop.abs().max().clamp(min=1e-3)))
        return {"wave": torch.stack(crops)}

    def critics(self) -> Critics | None:
        wanted = self.recipe.adversarial_weight > 0 or self.recipe.matching_weight > 0
        return Critics() if wanted else None

    def loss(self, model: nn.Module, batch: Batch, critics: nn.Module | None = None) -> Tensor:
        wave = batch["wave"]
        made = model(self._mel(wave))
        self.losses.to(wave.device)
        with torch.autocast(wave.device.type, enabled=False):  # spectra are compared in float32
            loss = self.losses(made.float(), wave)
        if isinstance(critics, Critics):
            found, matching = critics.judge(made, wave[:, : made.shape[1]])
            loss = loss + self.recipe.adversarial_weight * found + self.recipe.matching_weight * matching
        return loss

    def critics_loss(self, model: nn.Module, batch: Batch, critics: nn.Module) -> Tensor:
        wave = batch["wave"]
        with torch.no_grad():
            made = model(self._mel(wave))
        return critics(made, wave[:, : made.shape[1]])

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


class TextTask(Task):
    """What the two tasks that read text share: ids, character durations and speaker vectors."""

    def __init__(self, recipe: Any, speaker_dim: int):
        self.recipe, self.mel, self.speaker_dim = recipe, recipe.model.mel, speaker_dim
        if not recipe.characters:
            raise ValueError("characters is empty; it must list the characters that the model reads")
        if len(recipe.characters) != recipe.model.vocab_size:
            raise ValueError(
                f"vocab_size is {recipe.model.vocab_size}, but characters has {len(recipe.characters)} of them"
            )
        if speaker_dim not in (0, SpeakerConfig.speaker_dim):
            raise ValueError(
                f"speaker_dim is {speaker_dim}; it must be {SpeakerConfig.speaker_dim}, the encoder's, or 0 for none"
            )
        self.tokenizer = CharTokenizer(recipe.characters)
        self.log_mel = LogMel(self.mel)
        self._encoder: SpeakerEncoder | None = None

    def read(self, utterance: Utterance) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids [T], each character's span [T], each span's frames [S], and the speaker vector [V]."""
        words = [w for w in (self.tokenizer.fit(w)[0] for w in utterance.text.split()) if w]
        times = [(self.tokenizer.fit(w)[0], start, end) for w, start, end in utterance.words]
        if not words:
            raise ValueError("no character of the vocabulary in the text")
        if len(utterance.samples) <= self.mel.n_fft // 2:
            raise ValueError("shorter than half a mel window")
        ids = self.tokenizer.encode(" " + " ".join(words) + " ")
        spans, seconds = align(words, times, len(utterance.samples) / self.mel.sample_rate)
        frames = torch.tensor(seconds) * self.mel.frame_rate
        vector = torch.zeros(0)
        if self.speaker_dim:
            if self._encoder is None:
                self._encoder = load_speaker_encoder()
            vector = torch.from_numpy(self._encoder.embed(utterance.samples, self.mel.sample_rate))
        return torch.tensor(ids, dtype=torch.int16), torch.tensor(spans, dtype=torch.int16), frames, vector

    def fingerprint(self) -> str:
        return f"text {self.recipe.characters} {self.speaker_dim} {json.dumps(self.mel.to_dict())}"

    def export(self) -> dict[str, Any]:
        return {"model": self.recipe.model.to_dict(), "characters": self.recipe.characters}


class DurationTask(TextTask):
    """Either duration model."""

    name = "duration"

    def __init__(self, recipe: DurationRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)

    def build(self) -> nn.Module:
        return duration_model(self.recipe.model)

    def featurize(self, utterance: Utterance) -> Features:
        ids, spans, frames, vector = self.read(utterance)
        item: Features = {"text": ids, "spans": spans, "frames": frames, "speaker": vector}
        if self.recipe.model.kind == "transformer":
            item["mel"] = self.log_mel(torch.from_numpy(utterance.samples)[None])[0].half()
        item["length"] = int(sum(frames))
        return item

    def fingerprint(self) -> str:
        return f"duration {self.recipe.model.kind} {super().fingerprint()}"

    def collate(self, items: list[Features]) -> Batch:
        text = pad_sequence([i["text"].long() for i in items], True, FILLER)
        if self.recipe.model.kind == "transformer":
            lengths = torch.tensor([len(i["mel"]) for i in items])
            return {"mel": pad_sequence([i["mel"].float() for i in items], True), "text": text, "lengths": lengths}
        batch = {
            "text": text,
            "spans": pad_sequence([i["spans"].long() for i in items], True),
            "frames": pad_sequence([i["frames"] for i in items], True, -1.0),
        }
        if self.speaker_dim:
            batch["speaker"] = torch.stack([i["speaker"] for i in items])
        return batch

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        metrics = super().validate(model, batches)
        if isinstance(model, CharacterDurations):
            errors = []
            for batch in batches:
                total = batch["frames"].clamp(min=0).sum(1)
                errors.append((model.predict(batch["text"], batch.get("speaker")).sum(1) / total - 1).abs())
            metrics["total_error"] = torch.cat(errors).mean().item()  # share by which the whole length is missed
        return metrics


class NanospeechTask(TextTask):
    """The flow-matching model."""

    name = "nanospeech"
    training_only = ("pronunciation.",)

    def __init__(self, recipe: NanospeechRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)
        self._teacher: Nanospeech | None = None

    @functools.cached_property
    def lexicon(self) -> Lexicon | None:
        return Lexicon.load(Path(self.recipe.lexicon), self.tokenizer) if self.recipe.lexicon else None

    def __getstate__(self) -> dict[str, Any]:
        # the processes that read the data need neither
        return {k: v for k, v in vars(self).items() if k != "lexicon"} | {"_teacher": None}

    def build(self) -> Nanospeech:
        if self.lexicon is None:
            return Nanospeech(self.recipe.model)
        return PronouncingNanospeech(self.recipe.model, len(self.lexicon.inventory), self.recipe.lexicon_weight)

    def featurize(self, utterance: Utterance) -> Features:
        ids, spans, frames, vector = self.read(utterance)
        mel = self.log_mel(torch.from_numpy(utterance.samples)[None])[0].half()
        return {"mel": mel, "text": ids, "spans": spans, "frames": frames, "speaker": vector, "length": len(mel)}

    def fingerprint(self) -> str:
        return f"nanospeech {super().fingerprint()}"

    def collate(self, items: list[Features]) -> Batch:
        batch = {
            "mel": pad_sequence([i["mel"].float() for i in items], True),
            "text": pad_sequence([i["text"].long() for i in items], True, FILLER),
            "lengths": torch.tensor([len(i["mel"]) for i in items]),
        }
        if self.recipe.model.text_align == "durations":
            # the characters of a span share its frames evenly: that is what word times can tell
            shares = []
            for i in items:
                spans = i["spans"].long()
                shares.append((i["frames"] / spans.bincount(minlength=len(i["frames"])).clamp(min=1))[spans])
            batch["durations"] = pad_sequence(shares, True)
        if self.speaker_dim:
            batch["speaker"] = torch.stack([i["speaker"] for i in items])
        return batch

    def loss(self, model: nn.Module, batch: Batch, critics: nn.Module | None = None) -> Tensor:
        words: Batch = {}
        if self.lexicon is not None:
            device = batch["mel"].device
            words = {name: value.to(device) for name, value in self.lexicon.batch(self.recipe.lexicon_words).items()}
        return model(**batch, **words, drop=self.recipe.drop, **self._guidance(batch))

    def _guidance(self, batch: Batch) -> dict[str, Any]:
        """How much guidance the loss is to teach, and the teacher, if there is one."""
        if not self.recipe.teacher:
            return {"guidance": self.recipe.guidance}
        if self._teacher is None:
            from vivavoce.train.start import begin  # which reads this module

            teacher = Nanospeech(self.recipe.model)
            begin(self.recipe.teacher, self, teacher)
            self._teacher = teacher.to(batch["mel"].device).eval().requires_grad_(False)
        return {"teacher": self._teacher, "guidance": self.recipe.guidance}

    def weight(self, batch: Batch) -> int:
        return int(batch["lengths"].sum())  # frames; an audio prompt hides nearly the same share of every batch

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """`text` is the share by which the loss where noise dominates (t < 0.3) rises with somebody else's text:
        1 % and more, alignment emerges; 5 %, it is there. `phones` is the loss on words of the lexicon."""
        losses, right, wrong = [], [], []
        for number, batch in enumerate(batches):
            size = len(batch["text"])
            torch.manual_seed(number)
            noise = torch.randn(batch["mel"].shape).to(batch["mel"].device)
            even = ((torch.arange(size) + 0.5) / size).to(noise.device)
            guidance = self._guidance(batch)
            losses.append(model(**batch, drop=0.0, time=even, noise=noise, **guidance).item())
            if size < 2:
                continue
            others = dict(batch, text=batch["text"].roll(1, 0))
            if "durations" in batch:
                others["durations"] = batch["durations"].roll(1, 0)
            right.append(model(**batch, drop=0.0, time=0.3 * even, noise=noise).item())
            wrong.append(model(**others, drop=0.0, time=0.3 * even, noise=noise).item())
        metrics = {"loss": float(np.mean(losses))}
        if isinstance(model, PronouncingNanospeech):
            assert self.lexicon is not None
            torch.manual_seed(0)
            words = {name: value.to(batches[0]["mel"].device) for name, value in self.lexicon.batch(512).items()}
            metrics["phones"] = model.pronunciation_loss(**words).item()
        if right:
            metrics["noisy_loss"] = float(np.mean(right))
            metrics["text"] = float(np.mean(wrong) / np.mean(right) - 1)
        return metrics

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        assert isinstance(model, Nanospeech)
        few: dict[str, Any] = {k: v[:2] for k, v in batch.items()}
        mel, lengths = few.pop("mel"), few.pop("lengths")
        torch.manual_seed(0)
        noise = torch.randn(mel.shape).to(mel.device)
        extra: dict[str, Any] = {}
        if self.recipe.model.audio_prompt:
            extra = {"prompt": mel, "prompt_lengths": lengths // 3}
        made = model.sample(noise, few.pop("text"), lengths, times=solvers.schedule(8), cfg=1.0, **few, **extra)
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
        """What makes samples audible; None where the package has none, or one for other mels."""
        if not (ASSETS / "vocoder" / "config.json").exists():
            return None
        vocoder = load_vocoder("bundled").to(device)
        return vocoder if vocoder.config.mel == self.mel else None

    def export(self) -> dict[str, Any]:
        return {**super().export(), "sampling": self.recipe.sampling.to_dict()}


TASKS: dict[str, tuple[type[Task], type[Config]]] = {
    "vocoder": (VocoderTask, VocoderRecipe),
    "duration": (DurationTask, DurationRecipe),
    "nanospeech": (NanospeechTask, NanospeechRecipe),
    "semantic": (SemanticTask, SemanticRecipe),
    "codec": (CodecTask, CodecRecipe),
    "t2s": (T2STask, T2SRecipe),
    "s2a": (S2ATask, S2ARecipe),
}


def load_task(name: str, recipe: Path | dict[str, Any]) -> Task:
    """The task `name` with its recipe, from a JSON file or an object.

    Raises ValueError for an unknown task, an unreadable file, unknown or wrong settings.
    """
    if name not in TASKS:
        raise ValueError(f"task is {name!r}; it must be one of {', '.join(TASKS)}")
    where = "recipe"
    if isinstance(recipe, Path):
        where = str(recipe)
        try:
            values = json.loads(recipe.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{recipe}: no such file") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{recipe}: not a readable JSON file ({error})") from None
    else:
        values = recipe
    if isinstance(values, dict) and "task" in values:  # as in the recipe.json that a run keeps
        if values["task"] != name:
            raise ValueError(f"{where}: a recipe for {values['task']!r}, not for {name!r}")
        values = {k: v for k, v in values.items() if k != "task"}
    task_type, recipe_type = TASKS[name]
    return task_type(recipe_type.from_dict(values, where))  # type: ignore[call-arg]
