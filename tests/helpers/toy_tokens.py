"""Token shards of a language that is easy to learn: each letter has its own sound, of random length.

A letter's semantic code comes two to four times, a space's code one to three times. The acoustic codes follow from the
semantic code and the speaker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vivavoce.data.tokens import SUFFIX, TokenItem, TokensHeader, TokenWriter

HEADER = TokensHeader(
    semantic="a",
    semantic_codes=32,
    codec="b",
    codec_codes=16,
    quantizers=2,
    codec_rate=50.0,
    speaker="c",
    speaker_dim=4,
)
LETTERS = "abcdefghijklmnop"
SILENCE = 31


def utterance(number: int, words: int = 4, timed: bool = True, lang: str = "en") -> TokenItem:
    """One utterance, always the same for its number. French has other sounds for the letters than English."""
    random = np.random.default_rng(number)
    voice = number % 3
    text, codes, times = [], [SILENCE] * int(random.integers(1, 4)), []
    for _ in range(words):
        word = "".join(random.choice(list(LETTERS), int(random.integers(2, 6))))
        first = len(codes)
        for letter in word:
            sound = (LETTERS.index(letter) + (5 if lang == "fr" else 0)) % len(LETTERS)
            codes += [sound] * int(random.integers(2, 5))
        times.append((word, first / HEADER.semantic_rate, len(codes) / HEADER.semantic_rate))
        text.append(word)
        codes += [SILENCE] * int(random.integers(1, 4))
    semantic = np.array(codes, np.int16)
    twice = semantic.repeat(2)
    vector = np.zeros(HEADER.speaker_dim, np.float16)
    vector[voice] = 1
    return {
        "key": f"{number:05d}",
        "text": " ".join(text),
        "lang": lang,
        "name": f"voice-{voice}",
        "seconds": len(codes) / HEADER.semantic_rate,
        "words": times if timed else [],
        "semantic": semantic,
        "acoustic": np.stack((twice % 16, (twice // 16 + voice) % 16)).astype(np.int16),
        "speaker": vector,
    }


def write_tokens(path: Path, items: list[TokenItem], header: TokensHeader = HEADER) -> str:
    """A token shard of the items at `path`, which gets the right ending."""
    path = path.with_name(path.name + SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = TokenWriter(path, header)
    for item in items:
        writer.add_item(item)
    writer.close()
    return str(path)
