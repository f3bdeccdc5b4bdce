"""Draw spectrograms of recordings, and of their texts in the same voice before and after training.

    pip install "vivavoce[train,docs]"
    python examples/own-voice/picture.py me me.safetensors prepared/valid-*.tar --out spectrograms.png

Each of the first three recordings of 2 to 5 s gets a row: the recording, the bundled model, the trained model.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import vivavoce
from vivavoce import audio
from vivavoce.data.fetch import expand
from vivavoce.data.samples import Report, audio_of, metadata_of, raw_samples

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from pictures import draw

ROWS = 3
SECONDS = (2.0, 5.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the trained model")
    parser.add_argument("voice", type=Path, help="file of the saved voice")
    parser.add_argument("shards", nargs="+", help="shards of held-out recordings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        voice = vivavoce.Voice.load(args.voice)
        before, after = vivavoce.load("bundled"), vivavoce.load(args.model)
        rows = []
        for sample in raw_samples(expand(args.shards), Report()):
            text = metadata_of(sample.files).text
            recorded = audio.read(io.BytesIO(audio_of(sample.files)))
            if len(rows) < ROWS and SECONDS[0] <= len(recorded) / audio.SAMPLE_RATE <= SECONDS[1]:
                spoken = [tts.speak(text, voice=voice, seed=args.seed).samples for tts in (before, after)]
                sounds = [(f"recording: {text[:60]}", recorded), ("bundled", spoken[0]), ("trained", spoken[1])]
                rows.append((str(len(rows) + 1), sounds))
        if not rows:
            raise ValueError(f"no recording of {SECONDS[0]} to {SECONDS[1]} s in {', '.join(args.shards)}")
        draw(rows, args.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
