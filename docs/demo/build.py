"""Build the page that speaks in the browser: a static folder for any web server.

    python docs/demo/build.py OUT

Copies the page, vendors onnxruntime-web with `npm ci`, and writes the model: the package's graphs, their weights (8
bits for matrix products, 16 for the rest), its configuration and the vectors of the built-in voices. Needs npm.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.checkpoints.weights_onnx import FOLDER, arranged, read_weights
from vivavoce.config import ASSETS
from vivavoce.voices import builtin_voices

HERE = Path(__file__).resolve().parent
PAGE = ("index.html", "style.css", "app.js", "worker.js", "speech.js", "phones.js", "text.js")
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
KINDS = {"nanospeech": ("text", "flow.int8"), "duration": ("durations",), "vocoder": ("vocoder.int8",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name in PAGE:
        shutil.copy(HERE / name, out / name)
    vendor(out / "ort")
    write_model(out / "model")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB; serve it with any web server, such as: python -m http.server -d {out}")


def vendor(out: Path) -> None:
    """Copy the files of onnxruntime-web that the page needs, in the version of package-lock.json."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is missing; it downloads onnxruntime-web")
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
        package = Path(folder) / "node_modules" / "onnxruntime-web"
        for name in RUNTIME:
            shutil.copy(package / "dist" / name, out / name)


def write_model(out: Path) -> None:
    """Write model.json, the graphs, and the weights that each graph expects, in its order."""
    out.mkdir(exist_ok=True)
    about: dict[str, Any] = {"graphs": {}}
    values = json.loads((ASSETS / "nanospeech" / "config.json").read_text(encoding="utf-8"))
    about |= {name: values[name] for name in ("model", "sampling")}
    about["characters"] = list(values["characters"])
    if about["sampling"]["method"] != "euler" or about["sampling"]["cfg"]:
        raise SystemExit("the page only has Euler's method without guidance")
    if about["model"].get("phones"):
        shutil.copy(ASSETS / "phones" / "en.tsv.gz", out / "phones.bin")
        costs = json.loads((ASSETS / "phones" / "en.json").read_text(encoding="utf-8"))
        about["phones"] = {"dictionary": "phones.bin", "costs": costs}
    for kind, names in KINDS.items():
        description = json.loads((ASSETS / FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
        if kind == "vocoder":
            about["vocoder"] = description["config"]
        tensors = read_weights(ASSETS / kind / "model.safetensors")
        for name in names:
            parts, packed = [], []
            for source in description["graphs"][name].values():
                value = arranged(tensors[source["tensor"]], source["as"])
                parts.append({"type": value.dtype.name, "count": value.size})
                packed.append(value.astype(np.float16 if value.dtype == np.float32 else value.dtype).tobytes())
            shutil.copy(ASSETS / FOLDER / f"{name}.onnx", out / f"{name}.onnx")
            (out / f"{name}.weights").write_bytes(b"".join(packed))
            graph = {"file": f"{name}.onnx", "weights": f"{name}.weights", "parts": parts}
            about["graphs"][name.removesuffix(".int8")] = graph
    about["voices"] = [
        {"name": voice.name, "description": voice.description, "vector": [round(float(x), 6) for x in voice.embedding]}
        for voice in builtin_voices()
        if voice.embedding is not None
    ]
    (out / "model.json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
