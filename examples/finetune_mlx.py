"""Fine-tune a nanospeech model with MLX, on a folder with recordings NAME.wav and transcripts NAME.txt.

python examples/finetune_mlx.py RECORDINGS OUT --steps 500
vivavoce "Hello." --model OUT --ref-audio RECORDINGS/NAME.wav     # on either backend
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from vivavoce.checkpoints import resolve, weights_mlx
from vivavoce.systems.load import load_system
from vivavoce.systems.nanospeech_mlx import NanospeechSystem, pad_sequence
from vivavoce.text import evenly_in_words, normalise
from vivavoce.voices import Voice

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("recordings", type=Path, help="folder with NAME.wav, 1 to 15 s each, and NAME.txt")
parser.add_argument("out", type=Path, help="folder for the model; it must not exist")
parser.add_argument("--model", default="nanospeech", help="the model to start from")
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--batch", type=int, default=8, help="recordings a step")
parser.add_argument("--rate", type=float, default=1e-4, help="initial learning rate")


def read(system: NanospeechSystem, wav: Path) -> dict[str, Any]:
    """Return mel frames [N, M], ids [T], predicted frames of each character [T] and the speaker vector [V]."""
    voice = system.embedded(Voice.from_file(wav))
    words, _ = normalise(wav.with_suffix(".txt").read_text(encoding="utf-8"))
    text = f" {system.tokenizer.fit(words)[0].strip()} "  # spaces stand for the silence at both ends
    ids = np.array(system.tokenizer.encode(text))
    frames = np.array(system.duration.predict(mx.array(ids)[None], mx.array(voice.embedding)[None])[0])
    if system.model.config.text_align != "letters":
        frames = evenly_in_words(text, frames)
    mel = system.log_mel(mx.array(voice.samples)[None])[0]
    return {"mel": mel, "text": ids, "durations": frames, "speaker": voice.embedding}


def batch(items: list[dict[str, Any]]) -> dict[str, mx.array]:
    """Return the items padded to a batch, as the arguments of the model's loss."""
    lengths = [len(i["mel"]) for i in items]
    made = {name: pad_sequence([i[name] for i in items], fill) for name, fill in (("text", -1), ("durations", 0))}
    made["mel"] = mx.stack([mx.pad(i["mel"], [(0, max(lengths) - len(i["mel"])), (0, 0)]) for i in items])
    return {**made, "lengths": mx.array(lengths), "speaker": mx.array(np.stack([i["speaker"] for i in items]))}


def main() -> None:
    args = parser.parse_args()
    system: Any = load_system(args.model, "mlx")
    items = [read(system, wav) for wav in sorted(args.recordings.glob("*.wav"))]
    shutil.copytree(resolve.find(args.model), args.out, ignore=shutil.ignore_patterns("*.md"))
    model, generator = system.model, np.random.default_rng(0)
    model.unfreeze()
    model.train()
    optimizer = optim.AdamW(optim.cosine_decay(args.rate, args.steps), betas=[0.9, 0.95])
    loss_and_gradients = nn.value_and_grad(model, lambda batch: model.loss(**batch))
    for step in range(args.steps):
        chosen = generator.choice(len(items), min(args.batch, len(items)), replace=False)
        loss, gradients = loss_and_gradients(batch([items[i] for i in chosen]))
        optimizer.update(model, optim.clip_grad_norm(gradients, 1.0)[0])
        mx.eval(model.parameters(), optimizer.state)
        print(f"step {step + 1} of {args.steps}: loss {loss.item():.4f}")
    weights_mlx.save_weights(model, args.out / "model.safetensors")


if __name__ == "__main__":
    main()
