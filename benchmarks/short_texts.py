"""Measure how many texts of one letter, one digit or one syllable are understood.

    python benchmarks/short_texts.py --asr base

speaks benchmarks/sentences/short-40.tsv in three voices and asks Whisper two questions about each clip alone, without a
carrier sentence. Free: what was said? Right if Whisper hears the text, or a word that sounds the same. Whisper needs
context and often mishears so little speech, even of good recordings, because it may choose among all words. Forced
choice: which of the 40 texts is the most likely? Right if it is the one that was spoken. The table has both shares, by
kind.

    python benchmarks/short_texts.py --asr base --clips FOLDER

judges recordings instead, named TEXT-VOICE.wav, such as `Stop-heart.wav`: that is how the judge itself is checked.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import SENTENCES, exit_status, parser, write_json
from rich import box
from rich.console import Console
from rich.table import Table

import vivavoce
from vivavoce.audio import io
from vivavoce.audio.dsp import resample
from vivavoce.config import BUILTIN_VOICES
from vivavoce.synthesis import verify
from vivavoce.text import normalise

LIST = SENTENCES / "short-40.tsv"
KINDS = ("letter", "digit", "syllable")


@dataclass(frozen=True)
class Clip:
    """One text in one voice."""

    text: str
    voice: str
    seed: int
    heard: str
    chosen: str  # the most likely of the texts
    seconds: float
    by_whisper: bool

    @property
    def kind(self) -> str:
        return "digit" if self.text.isdigit() else "letter" if len(self.text) == 1 else "syllable"

    @property
    def right(self) -> bool:
        return self.chosen == self.text


def texts() -> dict[str, set[str]]:
    """Return the texts, and what may be heard for each: it, and words that sound the same."""
    found = {}
    for line in LIST.read_text(encoding="utf-8").splitlines()[1:]:
        text, _, others = line.partition("\t")
        found[text] = {text.lower(), *others.split()}
    return found


def is_heard(transcript: str, accepted: set[str]) -> bool:
    """Return whether a transcript is one of the accepted words, once or repeated in other spellings."""
    words = re.findall(r"[a-z0-9']+", transcript.lower())
    return bool(words) and all(word in accepted for word in words)


class Judge:
    """Finds the most likely of some texts in a sound, by the probabilities of Whisper's decoder.

    A text scores the log probability of its tokens after the sound, less a share of the same after noise: without that,
    frequent words win.
    """

    FRAMES = 120  # of the encoder's output that the decoder sees, 2.4 s
    PRIOR = 0.6  # chosen on the teacher's clips, of which every share from 0 to 1 gets 98 % right

    def __init__(self, recognizer: Any, candidates: Sequence[str]) -> None:
        self.model = recognizer.model
        self.names, self.tokens = [], []
        encode = self.model.hf_tokenizer.encode
        for text in candidates:
            spoken = normalise(text)[0]
            for written in dict.fromkeys((text, spoken)):  # "2" and "Two"
                self.names.append(text)
                self.tokens.append(encode(f" {written}.", add_special_tokens=False).ids)
        special = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
        self.start = [self.model.hf_tokenizer.token_to_id(token) for token in special]
        random = np.random.default_rng(0)
        noises = [random.normal(0, scale, 12_000).astype(np.float32) for scale in (1e-4, 1e-3, 1e-2)]
        self.prior = np.mean([self._scores(noise, 16_000) for noise in noises], 0)

    def nearest(self, samples: np.ndarray, rate: int) -> str:
        scores = self._scores(samples, rate) - self.PRIOR * self.prior
        return self.names[int(np.argmax(scores))]

    def _scores(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Return the log probability of each text [T]."""
        from ctranslate2 import StorageView

        sound = np.concatenate([np.zeros(4_800, np.float32), resample(samples, rate, 16_000)])
        features = self.model.feature_extractor(sound)[:, :3000]
        missing = 3000 - features.shape[1]
        features = np.pad(features, ((0, 0), (0, missing)), constant_values=features.min())
        encoded = np.array(self.model.encode(features))[:, : self.FRAMES]
        repeated = StorageView.from_array(np.ascontiguousarray(np.repeat(encoded, len(self.tokens), 0)))
        found = self.model.model.align(repeated, self.start, self.tokens, [self.FRAMES] * len(self.tokens))
        return np.array([np.log(np.maximum(one.text_token_probs, 1e-9)).sum() for one in found])


def measure(args: argparse.Namespace) -> Iterator[Clip]:
    recognizer = verify.load_recognizer()
    accepted = texts()
    judge = Judge(recognizer, list(accepted))
    for text, voice, seed, samples, rate in recordings(args.clips, accepted) if args.clips else spoken(args, accepted):
        heard = recognizer.transcribe(samples, rate, "en")
        seconds = len(samples) / rate
        yield Clip(text, voice, seed, heard, judge.nearest(samples, rate), seconds, is_heard(heard, accepted[text]))


def spoken(args: argparse.Namespace, known: Iterable[str]) -> Iterator[tuple[str, str, int, np.ndarray, int]]:
    """Yield each text, its voice and seed, and its sound."""
    tts = vivavoce.load(args.model, args.backend, args.device)
    for number, text in enumerate(known):
        for voice in args.voices:
            for seed in range(args.seed + number, args.seed + number + 1000 * args.seeds, 1000):
                speech = tts.speak(text, voice, seed=seed)
                yield text, voice, seed, speech.samples, speech.sample_rate


def recordings(folder: Path, known: Iterable[str]) -> Iterator[tuple[str, str, int, np.ndarray, int]]:
    """Yield the recordings of a folder in the same form. Raises ValueError if one is named after none of the texts."""
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise ValueError(f"{folder}: no *.wav in it")
    for path in paths:
        text, _, voice = path.stem.partition("-")
        if text not in set(known):
            raise ValueError(f"{path}: a name is one of the texts of {LIST.name}, a hyphen and a voice")
        yield text, voice, 0, io.read(path, 24_000), 24_000


def report(args: argparse.Namespace) -> None:
    if args.asr:
        os.environ["VIVAVOCE_ASR"] = str(args.asr)
    clips: list[Clip] = []
    try:
        for clip in measure(args):
            clips.append(clip)
            if args.verbose:
                print(f"{clip.text}\t{clip.voice}\t{clip.heard}\t{clip.chosen}\t{clip.right}", flush=True)
    finally:
        write_json(args.json, [dataclasses.asdict(clip) for clip in clips])
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("kind", "clips", "free %", "forced choice %"):
        shown.add_column(head, justify="left" if head == "kind" else "right", no_wrap=True)
    for kind in (*KINDS, "all"):
        found = [clip for clip in clips if kind in (clip.kind, "all")]
        by_whisper = f"{100 * np.mean([clip.by_whisper for clip in found]):.0f}"
        shown.add_row(kind, str(len(found)), by_whisper, f"{100 * np.mean([clip.right for clip in found]):.0f}")
    Console(highlight=False).print(shown)


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("--model", default="nanospeech", help="nanospeech, a folder or a hub name")
    parse.add_argument("--backend", default="torch", help="(torch)")
    parse.add_argument("--device", default="auto", help="(auto)")
    parse.add_argument("--asr", help="Whisper's size or folder (base, or VIVAVOCE_ASR)")
    parse.add_argument("--voices", nargs="+", default=list(BUILTIN_VOICES[:3]), help="(the first three)")
    parse.add_argument("--seeds", type=int, default=1, help="readings of each text (1)")
    parse.add_argument("--seed", type=int, default=0, help="seed of the first reading of the first text (0)")
    parse.add_argument("--clips", type=Path, metavar="FOLDER", help="judge its TEXT-VOICE.wav instead of speaking")
    parse.add_argument("--verbose", action="store_true", help="print each clip")
    parse.add_argument("--json", type=Path, metavar="FILE", help="write every clip to FILE")
    args = parse.parse_args(arguments)
    if args.seeds < 1:
        parse.error(f"--seeds is {args.seeds}; it must be at least 1")
    return exit_status(lambda: report(args))


if __name__ == "__main__":
    sys.exit(main())
