"""The folder in which tests/test_docs.py follows the pages, and stand-ins for the network.

It has recordings, a letter and a book. Downloads are replaced by small stand-ins of the same format: models on the hub
have random weights, Whisper transcribes every sound as the same words, recipes end after one step.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.ecapa import put as put_ecapa
from helpers.published import write_published, write_vocos
from helpers.small_whisper import CONFIG, SMALL, save_tokenizer, save_whisper
from helpers.whisperspeech_system import publish, put
from vivavoce import audio
from vivavoce.evaluate import run
from vivavoce.evaluate.judge import Judge
from vivavoce.metrics import asr
from vivavoce.metrics.mos import Opinion
from vivavoce.metrics.similarity import GE2E
from vivavoce.models.semantic_torch import Semantic
from vivavoce.voices import Voice, voices

ROOT = Path(__file__).resolve().parents[2]
PAIR = ("t2s-small-en+pl.model", "s2a-q4-tiny-en+pl.model")


def fill(folder: Path) -> None:
    """Write the files that the pages mention."""
    recordings = folder / "recordings"
    recordings.mkdir()
    for i, voice in enumerate(voices()):
        audio.write(recordings / f"{i:03}.wav", voice.samples, voice.sample_rate)
        (recordings / f"{i:03}.txt").write_text(voice.transcript or "", encoding="utf-8")
    shutil.copy(recordings / "000.wav", folder / "me.wav")
    Voice.from_file(folder / "me.wav").save(folder / "me.safetensors")
    (folder / "letter.txt").write_text("A short letter.", encoding="utf-8")
    (folder / "cast.tsv").write_text("Alice\tluna\n*\trhea\n", encoding="utf-8")
    (folder / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0 a cover")
    (folder / "words.txt").write_text("Nguyen\twin\nSiobhán\tshiv awn\nnginx\tengine ex\n", encoding="utf-8")
    (folder / "film.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\nIt is raining.\n", encoding="utf-8")
    said = '<speak version="1.1">Hello <break time="300ms"/> there.</speak>'
    (folder / "greeting.ssml").write_text(said, encoding="utf-8")
    write_epub(folder / "book.epub", {"The Rain": "It rained.", "The Sun": "It stopped."})
    for name in ("sentences", "recordings"):
        shutil.copytree(ROOT / "benchmarks" / name, folder / "benchmarks" / name)
    (folder / "shards").mkdir()
    shutil.copy(ROOT / "benchmarks" / "recordings" / "blends.tar", folder / "shards")
    for recipe in (ROOT / "examples").glob("*/*.json"):
        write_short_recipe(recipe, folder / recipe.relative_to(ROOT))


def write_short_recipe(recipe: Path, path: Path) -> None:
    """Write the recipe reduced to one step of one small batch; without `--from`, also to a small model."""
    values = json.loads(recipe.read_text(encoding="utf-8"))
    train = values["train"]
    train |= {"max_steps": 1, "warmup_steps": 0, "frames_per_batch": 1500, "workers": 0}
    train.pop("decay_steps", None)
    if "libritts" in recipe.parts[-2]:
        values["model"] |= {"depth": 1, "text_layers": 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def write_epub(path: Path, chapters: dict[str, str]) -> None:
    names = [f"chapter{i}.xhtml" for i in range(len(chapters))]
    kind = 'media-type="application/xhtml+xml"'
    items = "".join(f'<item id="c{i}" href="{name}" {kind}/>' for i, name in enumerate(names))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(names)))
    contents = "".join(f'<li><a href="{n}">{title}</a></li>' for n, title in zip(names, chapters, strict=True))
    html = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><body>{}</body></html>'
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>{}</rootfiles></container>'
    )
    root = '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/>'
    about = '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Weather</dc:title></metadata>'
    nav = f'<item id="nav" href="nav.xhtml" properties="nav" {kind}/>'
    package = f"{about}<manifest>{nav}{items}</manifest><spine>{spine}</spine>"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("META-INF/container.xml", container.format(root))
        book.writestr("book.opf", f'<package xmlns="http://www.idpf.org/2007/opf" version="3.0">{package}</package>')
        book.writestr("nav.xhtml", html.format(f'<nav epub:type="toc"><ol>{contents}</ol></nav>'))
        for name, (title, text) in zip(names, chapters.items(), strict=True):
            book.writestr(name, html.format(f"<h1>{title}</h1><p>{text}</p>"))


# --- stand-ins for downloads ---------------------------------------------------------------------------------------


def publish_models(hub: Path) -> None:
    """Write models in the published formats and under the published names, with random weights."""
    write_published(hub / "lucasnewman" / "nanospeech")
    write_vocos(hub / "charactr" / "vocos-mel-24khz")
    pair = hub / "collabora" / "whisperspeech"
    pair.mkdir(parents=True)
    publish(pair, t2s=PAIR[0], s2a=PAIR[1])
    put_ecapa(hub / "speechbrain" / "spkrec-ecapa-voxceleb")
    shutil.move(pair / "vocos", hub / "charactr" / "vocos-encodec-24khz")


class Hub:
    """A stand-in for huggingface_hub: folders of models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snapshot_download(self, name: str, **_: Any) -> str:
        return str(self.folder / name)

    def list_repo_files(self, name: str) -> list[str]:
        return [path.name for path in (self.folder / name).iterdir()]


def place_whisper(folder: Path) -> None:
    """Write a small base.pt with its tokenizer and semantic model; its input has the usual 30 s."""
    config = CONFIG.replace(whisper=SMALL.replace(n_audio_ctx=1500))
    save_whisper(folder / "base.pt", config.whisper)
    save_tokenizer(folder / "tokenizer.json")
    put(folder / "semantic", "semantic", Semantic(config), config)


def write_small_stages(folder: Path) -> None:
    """Write t2s.json and s2a.json, the bundled recipes reduced to one layer."""
    for name in ("t2s", "s2a"):
        values = json.loads((ROOT / "recipes" / "whisperspeech" / name / "recipe.json").read_text(encoding="utf-8"))
        values["model"] |= {"encoder_layers": 1, "decoder_layers": 1, "heads": 1}
        values["model"] |= {"alignment_layer": 0} if name == "t2s" else {}
        (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")


class Ears:
    """A stand-in for Whisper: transcribes everything as the first line of corpus-60."""

    heard = (ROOT / "benchmarks" / "sentences" / "corpus-60.txt").read_text(encoding="utf-8").split("\n")[0]

    def __init__(self, *_: Any, **__: Any) -> None:
        words = [SimpleNamespace(word=word, start=i, end=i + 1) for i, word in enumerate(self.heard.split())]
        self.model = SimpleNamespace(transcribe=lambda *_, **__: ([SimpleNamespace(words=words)], None))

    def transcribe(self, samples: np.ndarray, sample_rate: int, language: str | None = None) -> str:
        return self.heard


def give_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace Whisper and DNSMOS, which the extra `eval` and downloads would provide."""
    opinion = SimpleNamespace(score=lambda samples, sample_rate: Opinion(3.0, 3.5, 4.0))
    monkeypatch.setattr(asr, "WhisperRecognizer", Ears)
    monkeypatch.setattr(run, "load_judge", lambda asr, threads: Judge(Ears(), GE2E(), opinion))
