"""A nanospeech folder with languages and phones: the characters get theirs, on both backends, and no others do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.letters_only import letters_only, write_letters_only

import vivavoce
from vivavoce.config import ASSETS, SpeakOptions
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.systems.load import load_system
from vivavoce.text.pieces import Piece
from vivavoce.train.export import write_folder
from vivavoce.voices import get

LANGUAGES = ["en", "es", "fr"]
PHONES = ["b", "ð", "k", "s", "ə", "ˈɑ", "t"]
OPTIONS = SpeakOptions(steps=2, method="euler", cfg=0.0, sway_coef=-1.0, temperature=0.8)


def write_multilingual(folder: Path, scale: float) -> Path:
    """The bundled model and its duration model with languages and phones, whose embeddings are random times `scale`."""
    draw = torch.Generator().manual_seed(0)
    for kind, prefix in (("duration", "text_encoder."), ("nanospeech", "transformer.text_encoder.")):
        settings, weights = letters_only(kind)
        width = weights[prefix + "embed.weight"].shape[1]
        for name, rows in (("language_embed", len(LANGUAGES)), ("phone_embed", 2 * (len(PHONES) + 2))):
            weights[f"{prefix}{name}.weight"] = scale * torch.randn(rows, width, generator=draw)
        settings["model"] |= {"languages": LANGUAGES, "phones": PHONES}
        if kind == "nanospeech":
            settings |= {"duration": "../duration", "vocoder": str(ASSETS / "vocoder")}
        write_folder(folder / kind, kind, settings, weights, kind)
    return folder / "nanospeech"


def spoken(system: Any, *pieces: Piece) -> list[np.ndarray]:
    requests = [SynthesisRequest(piece, get("nash"), OPTIONS, seed=3) for piece in pieces]
    return [result.samples for result in system.synthesize(requests)]


def system_of(folder: Path | str, backend: str = "torch") -> Any:
    return load_system(str(folder), backend=backend, device="cpu" if backend == "torch" else "auto", dtype="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multilingual(tmp_path_factory.mktemp("random"), 0.5)


def test_untrained_languages_and_phones_change_nothing(tmp_path: Path) -> None:
    piece = Piece("a box of letters.", 0.0, (("fr", 17),))
    (plain,) = spoken(system_of(write_letters_only(tmp_path / "plain")), Piece(piece.text, 0.0))
    (made,) = spoken(system_of(write_multilingual(tmp_path / "added", 0.0)), piece)
    np.testing.assert_allclose(made, plain, atol=1e-5)


def test_a_language_and_a_phone_are_read(folder: Path) -> None:
    system = system_of(folder)
    assert system.languages == ("en", "es", "fr")
    english, french = Piece("box.", 0.0, (("en", 4),)), Piece("box.", 0.0, (("fr", 4),))
    usual, named, other, unknown = spoken(system, Piece("box.", 0.0), english, french, Piece("bok.", 0.0))
    assert np.array_equal(usual, named)
    assert len(usual) != len(other) or np.abs(usual - other).max() > 0.01
    assert len(usual) != len(unknown) or np.abs(usual - unknown).max() > 0.01
    with pytest.raises(ValueError, match=r"in 'de'; this model speaks en, es, fr"):
        spoken(system, Piece("box.", 0.0, (("de", 4),)))


def test_each_character_has_the_language_of_its_run(folder: Path) -> None:
    system = system_of(folder)
    piece = Piece(" a box, si ", 0.0, (("en", 8), ("es", 3)))
    channels = system._text_channels(system.model.config, [piece, Piece("box", 0.0)])
    assert channels["languages"].tolist() == [[0] * 8 + [1] * 3, [0] * 11]
    phones = channels["phones"]
    assert phones.shape == (2, 11, 2) and phones[0, 3:6].bool().any(-1).all() and not phones[0, 6:].any()
    assert torch.equal(phones[1, 1:4], phones[0, 3:6])


@pytest.mark.skipif(importlib.util.find_spec("mlx") is None, reason="MLX is missing: pip install vivavoce[mlx]")
def test_both_backends_speak_the_same(folder: Path) -> None:
    pieces = Piece("a box, si.", 0.0, (("en", 7), ("es", 3))), Piece("box", 0.0)
    for ours, theirs in zip(*(spoken(system_of(folder, b), *pieces) for b in ("torch", "mlx")), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 1e-3


def test_a_given_pronunciation_reaches_its_word(folder: Path) -> None:
    tts = vivavoce.load(str(folder), device="cpu")
    piece = tts.begin("A kob, [say:box|/ˈkɑːs/].", "nash", seed=1).next_request().piece
    start = piece.text.index("box")
    assert piece.phones == ((start, start + 3, "kˈɑs"),)
    system: Any = tts.system
    phones = system._text_channels(system.model.config, [piece])["phones"][0]
    assert phones[start + 1 : start + 4, 0].tolist() == [PHONES.index(phone) + 2 for phone in ("k", "ˈɑ", "s")]
