"""Make vivavoce/assets/speaker/ from the Resemblyzer wheel, whose weights are Apache-2.0.

    pip download --no-deps Resemblyzer==0.1.4 -d /tmp/resemblyzer
    python recipes/speaker/convert.py /tmp/resemblyzer/Resemblyzer-0.1.4-py3-none-any.whl

Nothing from the wheel is run: the weights are read as tensors only. Written as float16, because the vectors then still
agree with the package's to about 1e-4 (tests/test_speaker.py asks for 1e-3).
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

from vivavoce.speaker_torch import ASSETS, SpeakerConfig, SpeakerEncoder

CHECKPOINT = "resemblyzer/pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"  # of that file in release 0.1.4


def convert(wheel: Path, target: Path, dtype: torch.dtype) -> None:
    """Read the checkpoint out of `wheel` and write config.json and model.safetensors into the folder `target`."""
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(CHECKPOINT)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{wheel}: {CHECKPOINT} is not the one of Resemblyzer 0.1.4")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)["model_state"]
    config = SpeakerConfig()
    encoder = SpeakerEncoder(config)
    # The two numbers beside the network belong to the loss that it was trained with.
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
