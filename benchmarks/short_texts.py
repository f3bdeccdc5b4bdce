"""Measure how many texts of one letter, one digit or one syllable are understood.

    python benchmarks/short_texts.py --asr base

speaks benchmarks/sentences/short-40.tsv in three voices. A clip is right if Whisper hears the text, or a word that
sounds the same, in the clip alone. Whisper needs context and often mishears so little speech, even of recordings. A
clip that it mishears is right, too, if the aligner finds that its sound fits the letters of its text better than those
of the other 39 texts. The table has both shares, by kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SENTENCES, exit_status, parser, write_json
from rich import box
from rich.console import Console
from rich.table import Table

import vivavoce
from vivavoce.audio.dsp import trim_silence
from vivavoce.checkpoints.aligner_torch import load_aligner
from vivavoce.config import BUILTIN_VOICES, MelConfig
from vivavoce.models.aligner import shares
from vivavoce.models.mel_torch import LogMel
from vivavoce.synthesis import verify
from vivavoce.text import letter_names, normalise
from vivavoce.text.tokenizer import CharTokenizer
from vivavoce.voices import get

LIST = SENTENCES / "short-40.tsv"
KINDS = ("letter", "digit", "syllable")


@dataclass(frozen=True)
class Clip:
    """One text in one voice."""

    text: str
    voice: str
    seed: int
    heard: str
    nearest: str  # the text whose letters fit the sound best
    seconds: float
    by_whisper: bool

    @property
    def kind(self) -> str:
        return "digit" if self.text.isdigit() else "letter" if len(self.text) == 1 else "syllable"

    @property
    def right(self) -> bool:
        return self.by_whisper or self.nearest == self.text


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
    """Finds the text whose letters fit a sound best, by the aligner's prediction of each letter's mel frame."""

    def __init__(self, characters: str, candidates: Sequence[str]) -> None:
        tokenizer = CharTokenizer(characters)
        self.ids = {}
        for text in candidates:
            spoken = letter_names.plain(normalise(f"{text}.")[0])[0]
            self.ids[text] = torch.tensor([tokenizer.encode(tokenizer.fit(f" {spoken.lower()} ")[0])])
        self.aligner = load_aligner("bundled", characters, MelConfig(), 256)
        self.log_mel = LogMel(MelConfig())

    @torch.inference_mode()
    def nearest(self, samples: np.ndarray, rate: int, embedding: np.ndarray) -> str:
        sound = trim_silence(samples, rate, margin=0.1)
        observed = self.aligner._scaled(self.log_mel(torch.from_numpy(sound)[None])[0]).numpy()
        apart = {}
        for text, ids in self.ids.items():
            predicted = self.aligner.predict(ids, torch.from_numpy(embedding)[None])[0].numpy()
            distances = np.square(predicted[:, None] - observed[None]).sum(-1)
            counts = shares(distances)
            path = np.repeat(np.arange(len(counts)), counts.round().astype(int))[: len(observed)]
            apart[text] = float(distances[path, np.arange(len(path))].mean())
        return min(apart, key=lambda text: apart[text])


def measure(args: argparse.Namespace) -> Iterator[Clip]:
    tts = vivavoce.load(args.model, args.backend, args.device)
    recognizer = verify.load_recognizer()
    accepted = texts()
    tokenizer: Any = tts.system.tokenizer
    judge = Judge("".join(tokenizer.characters), list(accepted))
    for number, text in enumerate(accepted):
        for voice in args.voices:
            for seed in range(args.seed + number, args.seed + number + 1000 * args.seeds, 1000):
                speech = tts.speak(text, voice, seed=seed)
                heard = recognizer.transcribe(speech.samples, speech.sample_rate, "en")
                embedding = get(voice).embedding
                assert embedding is not None  # the built-in voices have one
                nearest = judge.nearest(speech.samples, speech.sample_rate, embedding)
                yield Clip(text, voice, seed, heard, nearest, speech.duration, is_heard(heard, accepted[text]))


def report(args: argparse.Namespace) -> None:
    if args.asr:
        os.environ["VIVAVOCE_ASR"] = str(args.asr)
    clips: list[Clip] = []
    try:
        for clip in measure(args):
            clips.append(clip)
            if args.verbose:
                print(f"{clip.text}\t{clip.voice}\t{clip.heard}\t{clip.nearest}\t{clip.right}", flush=True)
    finally:
        write_json(args.json, [dataclasses.asdict(clip) for clip in clips])
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("kind", "clips", "Whisper %", "Whisper or aligner %"):
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
    parse.add_argument("--verbose", action="store_true", help="print each clip")
    parse.add_argument("--json", type=Path, metavar="FILE", help="write every clip to FILE")
    args = parse.parse_args(arguments)
    if args.seeds < 1:
        parse.error(f"--seeds is {args.seeds}; it must be at least 1")
    return exit_status(lambda: report(args))


if __name__ == "__main__":
    sys.exit(main())
