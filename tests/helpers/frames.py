"""A small random whisperspeech system in step with the text, in our own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.published import CHARACTERS, DURATION, MODEL, VOCODER, write
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.models.nanospeech_torch import Nanospeech, duration_model
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.models.whisperspeech import MaskedT2SConfig

ACOUSTIC = MODEL.replace(text_align="letters", languages=("en", "es"), codes=9, code_width=5)
LENGTHS = DURATION.replace(letters=True, languages=("en", "es"))
T2S = MaskedT2SConfig(
    vocab_size=len(CHARACTERS), dim=32, depth=1, heads=2, head_dim=16, ff_mult=1, text_dim=16, text_layers=1,
    speaker_dim=8, codes=9, code_width=5, languages=("en", "es"),
)  # fmt: skip
SYSTEM = {"format": 1, "kind": "whisperspeech", "alignment": "frames", "vocoder": "vocoder"}


def write_frames(folder: Path, **changes: Any) -> Path:
    """A whole system. `changes`: of its config.json; of the T2S' config and settings as t2s and about."""
    t2s, about = T2S.replace(**changes.pop("t2s_model", {})), changes.pop("about", {})
    tokens = changes.pop("tokens", {"semantic": "a"})
    sampling = {"steps": 2, "method": "euler", "cfg": 0.0, "sway_coef": 0.0, "max_seconds": 3.0}
    write(
        folder / "acoustic", "nanospeech", Nanospeech(ACOUSTIC), ACOUSTIC, characters=CHARACTERS, sampling=sampling,
        tokens=tokens,
    )  # fmt: skip
    settings = {"sampling": {"passes": 3, "temperature": 1.0}, "tokens": tokens, "characters": CHARACTERS, **about}
    write(folder / "t2s", "t2s", MaskedT2S(t2s), t2s, **settings)
    write(folder / "duration", "duration", duration_model(LENGTHS), LENGTHS, characters=CHARACTERS)
    write(folder / "vocoder", "vocoder", Vocoder(VOCODER), VOCODER)
    (folder / "config.json").write_text(json.dumps({**SYSTEM, **changes}), encoding="utf-8")
    return folder
