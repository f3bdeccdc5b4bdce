"""What differs between the models in training: how an utterance becomes features, a batch, a loss and a sample.

`loop.py` runs any of them. A recipe is a JSON object {"model": …, "train": …, and the task's own settings}.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce import audio, solvers
from vivavoce.checkpoints import ASSETS
from vivavoce.checkpoints_torch import load_vocoder
from vivavoce.checkpoints_whisperspeech_torch import load_whisper
from vivavoce.config import (
    Config,
    DurationConfig,
    NanospeechConfig,
    SamplingConfig,
    TrainConfig,
)
from vivavoce.engines.nanospeech_torch import FILLER, CharacterDurations, Nanospeech, duration_model
from vivavoce.engines.semantic_torch import HOP, SAMPLE_RATE, Whisper
from vivavoce.mel_torch import LogMel
from vivavoce.speaker_torch import SpeakerConfig, SpeakerEncoder, load_speaker_encoder
from vivavoce.text import CharTokenizer
from vivavoce.train.aligner import Aligner, AlignerRecipe, equal_shares, load_aligner
from vivavoce.train.alignment import align
from vivavoce.train.codec import CodecRecipe, CodecTask
from vivavoce.train.lessons import TaughtNanospeech
from vivavoce.train.lexicon import Lexicon
from vivavoce.train.shards import Features, Utterance
from vivavoce.train.task import Batch, Metrics, Task
from vivavoce.train.tasks_semantic import SemanticRecipe, SemanticTask
from vivavoce.train.tasks_tokens import S2ARecipe, S2ATask, T2SRecipe, T2STask
from vivavoce.train.tasks_vocoder import VocoderRecipe, vocoder_task
from vivavoce.vocoder_torch import Vocoder


@dataclass(frozen=True)
class DurationRecipe(Config):
    """How `vivavoce train duration` trains."""

    model: DurationConfig = field(default_factory=DurationConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    characters: str = ""
    aligner: str = ""  # "bundled" or a folder: what tells the characters' frames; empty: only words' are learned

    def __post_init__(self) -> None:
        self.require(bool(self.aligner) == self.model.letters, "aligner", "given where the model's letters is true")


@dataclass(frozen=True)
class NanospeechRecipe(Config):
    """How `vivavoce train nanospeech` trains."""

    model: NanospeechConfig = field(default_factory=NanospeechConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)  # written into the exported model
    characters: str = ""
    aligner: str = ""  # "bundled" or a folder: what tells the characters' frames
    drop: float = 0.1  # share of samples without their conditions, for guidance
    sway: float = 0.0  # moves flow times as `sampling.sway_coef` moves the sampler's: below 0, to where noise dominates
    lexicon: str = ""  # file of words and their phones, which the text encoder learns beside the speech
    lexicon_words: int = 256  # in each batch
    lexicon_weight: float = 0.1  # of the loss of a phone
    whisper: str = ""  # a checkpoint of openai-whisper, whose frames a block learns to tell beside the speech
    whisper_block: int = 0  # which one, from 1 on; 0: that in the middle
    whisper_weight: float = 0.1  # of 1 - cosine
    guidance: float = 0.0  # strength of the guidance that is trained in, so that sampling needs none; 0: none
    teacher: str = ""  # "bundled", folder or Hugging Face name of the model that is guided; empty: this one itself

    def __post_init__(self) -> None:
        self.require(0 <= self.drop < 1, "drop", "from 0 to below 1")
        self.require(self.lexicon_words > 0, "lexicon_words", "positive")
        self.require(self.lexicon_weight > 0, "lexicon_weight", "positive")
        letters = self.model.text_align == "letters"
        self.require(bool(self.aligner) == letters, "aligner", 'given where the model\'s text_align is "letters"')
        self.require(-1 <= self.sway <= 1, "sway", "from -1 to 1")
        self.require(0 <= self.whisper_block <= self.model.depth, "whisper_block", "from 0 to the model's depth")
        self.require(self.whisper_weight > 0, "whisper_weight", "positive")
        self.require(0 <= self.guidance <= 10, "guidance", "from 0 to 10")
        self.require(not self.teacher or self.guidance > 0, "teacher", "empty where guidance is 0")


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

    @functools.cached_property
    def aligner(self) -> Aligner | None:
        """What tells the characters' places in their words; None where the recipe has none."""
        name = getattr(self.recipe, "aligner", "")
        return load_aligner(name, self.recipe.characters, self.mel, self.speaker_dim) if name else None

    def __getstate__(self) -> dict[str, Any]:
        # each process that reads the data loads its own
        return {name: value for name, value in vars(self).items() if name != "aligner"}

    def read(self, utterance: Utterance) -> Features:
        """Ids `text` [T], each character's span `spans` [T], each span's `frames` [S], and the speaker vector [V]."""
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
        text, numbers = torch.tensor(ids, dtype=torch.int16), torch.tensor(spans, dtype=torch.int16)
        return {"text": text, "spans": numbers, "frames": frames, "speaker": vector}

    def mel_of(self, utterance: Utterance) -> Tensor:
        """Log-mel frames [N, M]."""
        return self.log_mel(torch.from_numpy(utterance.samples)[None])[0]

    def place_letters(self, item: Features, mel: Tensor) -> None:
        """Add `letters`, the frames of each character [T], where there is an aligner."""
        if self.aligner is not None:
            item["letters"] = self.aligner.place(item["text"], mel, item["spans"], item["frames"], item["speaker"])

    def speech(self, items: list[Features]) -> Batch:
        """Padded mels, texts, the mels' lengths and, where the model wants them, speaker vectors."""
        batch = {
            "mel": pad_sequence([i["mel"].float() for i in items], True),
            "text": pad_sequence([i["text"].long() for i in items], True, FILLER),
            "lengths": torch.tensor([len(i["mel"]) for i in items]),
        }
        if self.speaker_dim:
            batch["speaker"] = torch.stack([i["speaker"] for i in items])
        return batch

    def fingerprint(self) -> str:
        placed = f" {self.aligner.fingerprint()}" if self.aligner is not None else ""
        return f"text {self.recipe.characters} {self.speaker_dim} {json.dumps(self.mel.to_dict())}{placed}"

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
        item = self.read(utterance)
        if self.recipe.model.kind == "transformer":
            item["mel"] = self.mel_of(utterance).half()
        elif self.aligner is not None:
            self.place_letters(item, self.mel_of(utterance))
        item["length"] = int(sum(item["frames"]))
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
        if self.aligner is not None:
            batch["letters"] = pad_sequence([i["letters"] for i in items], True)
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


class AlignerTask(TextTask):
    """What finds each character's frames."""

    name = "aligner"

    def __init__(self, recipe: AlignerRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)

    def build(self) -> Aligner:
        return Aligner(self.recipe.model)

    def featurize(self, utterance: Utterance) -> Features:
        item, mel = self.read(utterance), self.mel_of(utterance)
        return item | {"mel": mel.half(), "length": len(mel)}

    def fingerprint(self) -> str:
        return f"aligner {super().fingerprint()}"

    def collate(self, items: list[Features]) -> Batch:
        return self.speech(items) | {
            "spans": pad_sequence([i["spans"].long() for i in items], True),
            "frames": pad_sequence([i["frames"] for i in items], True, -1.0),
        }

    def loss(self, model: nn.Module, batch: Batch, critics: nn.Module | None = None) -> Tensor:
        return model(**batch, evenly=self.step < self.recipe.even_steps)

    def weight(self, batch: Batch) -> int:
        return int(batch["lengths"].sum())


class NanospeechTask(TextTask):
    """The flow-matching model."""

    name = "nanospeech"
    training_only = ("pronunciation.", "hearing.")

    def __init__(self, recipe: NanospeechRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)
        self._teacher: Nanospeech | None = None

    @functools.cached_property
    def lexicon(self) -> Lexicon | None:
        return Lexicon.load(Path(self.recipe.lexicon), self.tokenizer) if self.recipe.lexicon else None

    def __getstate__(self) -> dict[str, Any]:
        # the processes that read the data need neither
        return {k: v for k, v in super().__getstate__().items() if k not in ("lexicon", "whisper")} | {"_teacher": None}

    @functools.cached_property
    def whisper(self) -> Whisper | None:
        return load_whisper(Path(self.recipe.whisper)) if self.recipe.whisper else None

    def build(self) -> Nanospeech:
        recipe = self.recipe
        if self.lexicon is None and self.whisper is None:
            return Nanospeech(recipe.model)
        return TaughtNanospeech(
            recipe.model,
            phones=len(self.lexicon.inventory) if self.lexicon else 0,
            phones_weight=recipe.lexicon_weight,
            heard=self.whisper.config.n_audio_state if self.whisper else 0,
            heard_weight=recipe.whisper_weight,
            block=recipe.whisper_block or (recipe.model.depth + 1) // 2,
        )

    def featurize(self, utterance: Utterance) -> Features:
        item, mel = self.read(utterance), self.mel_of(utterance)
        self.place_letters(item, mel)
        item |= {"mel": mel.half(), "length": len(mel)}
        if self.whisper is not None:
            item["heard"] = self._heard(self.whisper, utterance, len(mel))
        return item

    @torch.inference_mode()
    def _heard(self, whisper: Whisper, utterance: Utterance, frames: int) -> Tensor:
        """Whisper's frame at the middle of each token [K, W], without what all of them have in common: the voice."""
        wave = audio.resample(utterance.samples, self.mel.sample_rate, SAMPLE_RATE)
        if len(wave) > whisper.window:
            raise ValueError("longer than Whisper's window")
        # of the sound alone: encoding 30 s, most of them silent, would take several times as long
        heard = whisper.encoder(whisper.mel(torch.from_numpy(wave))[None])[0]  # [S, W]
        heard = (heard - heard.mean(0)) / (heard.std(0, correction=0) + 1e-3)
        patch = self.recipe.model.patch
        middles = (torch.arange(-(-frames // patch)) + 0.5) * patch / self.mel.frame_rate  # s
        return heard[(middles * SAMPLE_RATE / (2 * HOP)).long().clamp(max=len(heard) - 1)].half()

    def fingerprint(self) -> str:
        heard = f" {zlib.crc32(Path(self.recipe.whisper).read_bytes())}" if self.recipe.whisper else ""
        return f"nanospeech {super().fingerprint()}{heard}"

    def collate(self, items: list[Features]) -> Batch:
        batch = self.speech(items)
        if self.recipe.model.text_align == "letters":
            batch["durations"] = pad_sequence([i["letters"] for i in items], True)
        if self.recipe.model.text_align == "durations":
            # the characters of a span share its frames evenly: that is what word times can tell
            shares = [equal_shares(i["spans"].long(), i["frames"]) for i in items]
            batch["durations"] = pad_sequence(shares, True)
        if self.recipe.whisper:
            batch["heard"] = pad_sequence([i["heard"] for i in items], True)
        return batch

    def loss(self, model: nn.Module, batch: Batch, critics: nn.Module | None = None) -> Tensor:
        words: Batch = {}
        if self.lexicon is not None:
            device = batch["mel"].device
            words = {name: value.to(device) for name, value in self.lexicon.batch(self.recipe.lexicon_words).items()}
        return model(**batch, **words, drop=self.recipe.drop, sway=self.recipe.sway, **self._guidance(batch))

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
        1 % and more, alignment emerges; 5 %, it is there. `phones` is the loss on words of the lexicon, `unheard`
        what is missing of Whisper's frames (1 - cosine)."""
        losses, right, wrong, unheard = [], [], [], []
        for number, given in enumerate(batches):
            batch = {name: value for name, value in given.items() if name != "heard"}
            size = len(batch["text"])
            torch.manual_seed(number)
            noise = torch.randn(batch["mel"].shape).to(batch["mel"].device)
            even = ((torch.arange(size) + 0.5) / size).to(noise.device)
            guidance = self._guidance(batch)
            losses.append(model(**batch, drop=0.0, time=even, noise=noise, **guidance).item())
            if "heard" in given:
                assert isinstance(model, TaughtNanospeech)
                unheard.append(model.hearing_loss(model.states[0], given["heard"], batch["lengths"]).item())
            if size < 2:
                continue
            others = dict(batch, text=batch["text"].roll(1, 0))
            if "durations" in batch:
                others["durations"] = batch["durations"].roll(1, 0)
            right.append(model(**batch, drop=0.0, time=0.3 * even, noise=noise).item())
            wrong.append(model(**others, drop=0.0, time=0.3 * even, noise=noise).item())
        metrics = {"loss": float(np.mean(losses))}
        if unheard:
            metrics["unheard"] = float(np.mean(unheard))
        if self.lexicon is not None:
            assert isinstance(model, TaughtNanospeech)
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
        few.pop("heard", None)
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


TASKS: dict[str, tuple[Callable[..., Task], type[Config]]] = {
    "vocoder": (vocoder_task, VocoderRecipe),
    "duration": (DurationTask, DurationRecipe),
    "nanospeech": (NanospeechTask, NanospeechRecipe),
    "aligner": (AlignerTask, AlignerRecipe),
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
    make, recipe_type = TASKS[name]
    return make(recipe_type.from_dict(values, where))
