"""Make vivavoce/assets/speaker/ from the Resemblyzer wheel, whose weights are Apache-2.0.

    pip download --no-deps Resemblyzer==0.1.4 -d /tmp/resemblyzer
    python recipes/speaker/convert.py /tmp/resemblyzer/Resemblyzer-0.1.4-py3-none-any.whl

No code from the wheel runs: the weights are read as tensors only. They are written as float16; the speaker vectors
agree with Resemblyzer's to about 1e-4 (tests/models/test_speaker.py requires 1e-3).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save

from vivavoce.config import ASSETS
from vivavoce.models.speaker import SpeakerConfig
from vivavoce.models.speaker_torch import SpeakerEncoder

CHECKPOINT = "resemblyzer/pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"  # of the checkpoint in release 0.1.4


def convert(wheel: Path, target: Path, dtype: torch.dtype) -> None:
    """Read the checkpoint out of `wheel` and write config.json and model.safetensors into the folder `target`."""
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(CHECKPOINT)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{wheel}: {CHECKPOINT} is not the one of Resemblyzer 0.1.4")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)["model_state"]
    config = SpeakerConfig()
    encoder = SpeakerEncoder(config)
    # Two scalars beside the network belong to its training loss.
    names = encoder.state_dict().keys()
    left_out = sorted(set(state) - set(names))
    if left_out != ["similarity_bias", "similarity_weight"]:
        raise SystemExit(f"{wheel}: unexpected tensors {left_out}")
    encoder.load_state_dict({name: state[name] for name in names})
    target.mkdir(parents=True, exist_ok=True)
    weights = save({name: state[name].to(dtype).contiguous() for name in names})
    (target / "model.safetensors").write_bytes(weights)
    (target / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    print(f"{target / 'model.safetensors'}: {len(names)} tensors, {len(weights) / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Convert Resemblyzer's speaker encoder.")
    parser.add_argument("wheel", type=Path, help="Resemblyzer-0.1.4-py3-none-any.whl")
    parser.add_argument("--target", type=Path, default=ASSETS)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    options = parser.parse_args()
    convert(options.wheel, options.target, getattr(torch, options.dtype))
