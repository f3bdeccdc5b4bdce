"""What do whisperspeech's tokens keep of speech?

    python benchmarks/tokens.py benchmarks/recordings/validation.tar --whisper base.pt

Semantic tokens: Whisper, the one that they were trained for, reads each recording from its sound and from its codes.
Acoustic tokens: a recogniser hears each recording, its copy by the vocoder alone, and its copy by codec and vocoder;
how alike the voices are is told, too. benchmarks/README.md explains the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.checkpoints_torch import load_vocoder
from vivavoce.checkpoints_whisperspeech_torch import load_part, load_whisper
from vivavoce.clips import Recording, read_shard
from vivavoce.engines.codec_torch import MelCodec, MelQuantizer
from vivavoce.engines.semantic_torch import PADDING, SAMPLE_RATE, Semantic
from vivavoce.evaluation import Recogniser, Similarity, word_errors
from vivavoce.mel_torch import LogMel
from vivavoce.prepare.tokens_torch import folder_of
from vivavoce.verify import DEFAULT_ASR
from vivavoce.voices import voices

SOUND, CODES = "sound", "semantic codes"
ORIGINAL, VOCODER, COPY = "recording", "vocoder alone", "codec and vocoder"


@dataclass(frozen=True)
class Read:
    """One recording, heard one way."""

    way: str
    key: str
    voice: str
    lang: str
    text: str
    heard: str
    wer: float
    cer: float
    own: float | None = None  # likeness to the recording that it is of
    reference: float | None = None  # likeness to the voice's reference, where the voice is built in


def score(way: str, recording: Recording, heard: str, **likeness: float | None) -> Read:
    said = recording.said
    (lang,) = said.languages
    errors = word_errors(said.text, heard, lang)
    return Read(way, recording.key, recording.voice, lang, said.text, heard, errors.wer, errors.cer, **likeness)


# --- semantic tokens -------------------------------------------------------------------------------------------------


def semantic(recordings: Sequence[Recording], args: argparse.Namespace) -> Iterator[Read]:
    """Each recording as Whisper reads it, greedily: from its encoder's frames, and from the codes of these."""
    decode = text_of(args.tokenizer)
    whisper = load_whisper(args.whisper)
    model = load_part(folder_of(args.semantic, "semantic"), "semantic")
    assert isinstance(model, Semantic)
    if model.config.whisper != whisper.config:
        raise ValueError(f"--whisper {args.whisper}: not the Whisper that the semantic model was trained for")
    for recording in shown(recordings, "semantic tokens"):
        wave = torch.from_numpy(audio.resample(*recording.wave(), SAMPLE_RATE))
        with torch.inference_mode():
            frames, sounds = whisper.frames([wave])
            codes, inside = model.codes(frames, sounds)
            through = model.dequantise(codes.masked_fill(~inside, PADDING))
        for way, given in ((SOUND, frames), (CODES, through)):
            heard = decode(whisper.transcribe(given, recording.said.languages[0])[0])
            yield score(way, recording, heard)


def text_of(path: Path) -> Callable[[list[int]], str]:
    """Whisper's text tokens → text."""
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise ValueError("the package tokenizers is missing: pip install vivavoce[train]") from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exceptions
        raise ValueError(f"--tokenizer {path}: not a tokenizer.json ({error})") from None
    return lambda ids: str(tokenizer.decode(ids)).strip()


# --- acoustic tokens -------------------------------------------------------------------------------------------------


def acoustic(recordings: Sequence[Recording], args: argparse.Namespace) -> Iterator[Read]:
    """Each recording, the vocoder's copy and the codec's, heard and compared."""
    quantizer = load_part(folder_of(args.codec, "codec"), "codec")
    assert isinstance(quantizer, MelQuantizer)
    vocoder = load_vocoder(args.vocoder)
    mel, codec = LogMel(quantizer.config.mel), MelCodec(quantizer, vocoder)
    rate = codec.sample_rate
    ears, likeness = Recogniser(args.asr, threads=1), Similarity()
    references = {voice.name: likeness.embed(voice.samples, voice.sample_rate) for voice in voices()}
    for recording in shown(recordings, "acoustic tokens"):
        samples = audio.resample(*recording.wave(), rate)
        wave = torch.from_numpy(samples)[None]
        own = likeness.embed(samples, rate)
        reference = references.get(recording.voice)
        with torch.inference_mode():
            ways: dict[str, Samples] = {
                ORIGINAL: samples,
                VOCODER: vocoder(mel(wave))[0].numpy(),
                COPY: codec.decode(codec.encode(wave))[0].numpy(),
            }
        for way, sound in ways.items():
            vector = likeness.embed(sound, rate)
            heard = ears.transcribe(sound, rate, recording.said.languages[0])
            alike = None if reference is None else float(vector @ reference)
            yield score(way, recording, heard, own=float(vector @ own), reference=alike)


# --- what is printed -------------------------------------------------------------------------------------------------


def shown(recordings: Sequence[Recording], name: str) -> Iterator[Recording]:
    console = Console(stderr=True)
    return iter(track(recordings, name, console=console, disable=not console.is_terminal, transient=True))


def table(found: Sequence[Read]) -> Table:
    """A row for each language and way, the mean of its recordings; of all languages where there are several."""
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("language", "of", "n", "WER %", "CER %", "likeness to the recording", "to the voice"):
        shown.add_column(head, justify="left" if head in ("language", "of") else "right", no_wrap=True)
    langs = list(dict.fromkeys(read.lang for read in found))
    for lang in [*langs, "all"] if len(langs) > 1 else langs:
        for way in dict.fromkeys(read.way for read in found):
            reads = [read for read in found if read.way == way and lang in (read.lang, "all")]
            figures = (mean(reads, "wer", 100, 2), mean(reads, "cer", 100, 2), mean(reads, "own", 1, 3))
            shown.add_row(lang, way, str(len(reads)), *figures, mean(reads, "reference", 1, 3))
    return shown


def mean(reads: Sequence[Read], name: str, factor: int, digits: int) -> str:
    known = [getattr(read, name) for read in reads if getattr(read, name) is not None]
    return f"{factor * float(np.mean(known)):.{digits}f}" if known else "–"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    asr = os.environ.get("VIVAVOCE_ASR") or DEFAULT_ASR
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("shards", nargs="+", type=Path, metavar="SHARD", help=".tar of recordings")
    add("--only", choices=("semantic", "acoustic"), help="default: both")
    add("--semantic", default="bundled", metavar="MODEL", help="semantic model, a folder (bundled)")
    add("--whisper", type=Path, metavar="FILE", help="its Whisper, a checkpoint of openai-whisper")
    add("--tokenizer", type=Path, default=Path(asr, "tokenizer.json"), metavar="FILE", help=f"of it ({asr}'s)")
    add("--codec", default="bundled", metavar="MODEL", help="codec, a folder (bundled)")
    add("--vocoder", default="bundled", help="a folder or a hub name (bundled)")
    add("--asr", default=asr, help="who hears the copies: a CTranslate2 folder, or a size to download (%(default)s)")
    add("--limit", type=int, metavar="N", help="only the first N recordings of each shard")
    add("--json", type=Path, metavar="FILE", help="write every recording's figures, with what was heard")
    args = parser.parse_args(argv)
    if args.limit is not None and args.limit < 1:
        parser.error(f"--limit is {args.limit}; it must be at least 1")
    if args.only != "acoustic" and args.whisper is None:
        parser.error("--whisper FILE is needed for semantic tokens; without it: --only acoustic")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured; 2: bad input, told in one line on stderr; 130: interrupted, with what there is until then."""
    args = arguments(argv)
    parts: dict[str, Any] = {"semantic": semantic, "acoustic": acoustic}
    made: dict[str, list[Read]] = {name: [] for name in parts if args.only in (None, name)}
    status = 0
    try:
        recordings = [recording for shard in args.shards for recording in read_shard(shard, limit=args.limit)]
        for name, found in made.items():
            for read in parts[name](recordings, args):
                found.append(read)
    except KeyboardInterrupt:
        print("interrupted: what there is until here", file=sys.stderr)
        status = 130
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    for name, found in made.items():
        if found:
            Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table(found))
            told = f"Whisper {args.whisper}, greedy" if name == "semantic" else f"Whisper {args.asr}, greedy, float32"
            print(f"{told}; mean of the recordings.\n")
    if args.json is not None:
        rows = {name: [asdict(read) for read in found] for name, found in made.items()}
        audio.write_whole(args.json, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    return status


if __name__ == "__main__":
    sys.exit(main())
