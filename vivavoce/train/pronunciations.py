"""A pronunciation dictionary as batches of words and their phones, for `auxiliary_losses.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vivavoce.models.nanospeech import FILLER
from vivavoce.text.tokenizer import CharTokenizer

WORDS = 8  # dictionary words in one line
SLOTS = 2  # phones of one character, as in "x"; CTC also needs a slot between two equal ones


def read_dictionary(path: Path) -> list[tuple[str, list[str]]]:
    """Read words and their phones, separated by white space as in CMUdict; "word(2)" is another reading.

    Text after "#" is ignored. Raises ValueError for a file that is missing or not text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"lexicon {path}: not a readable text file ({error})") from None
    entries = []
    for line in lines:
        word, *phones = line.split("#")[0].split() or [""]
        entries.append((re.sub(r"\(\d+\)$", "", word).lower(), phones))
    return entries


@dataclass(frozen=True)
class Lexicon:
    """A pronunciation dictionary: ids of each word's characters and phones; phones start at 1, 0 is CTC's blank."""

    words: list[list[int]]
    phones: list[list[int]]
    inventory: tuple[str, ...]
    space: int  # id of the character between words

    @classmethod
    def load(cls, path: Path, tokenizer: CharTokenizer) -> Lexicon:
        """Load a file as in `read_dictionary`, without the words that the tokenizer cannot encode.

        Raises ValueError also for a file without a usable word.
        """
        known = set(tokenizer.characters)
        entries = []
        for word, phones in read_dictionary(path):
            # CTC needs a slot for each phone and one more between two equal ones
            repeats = sum(a == b for a, b in pairwise(phones))
            if word and phones and set(word) <= known and len(phones) + repeats <= SLOTS * len(word):
                entries.append((word, phones))
        if not entries or " " not in known:
            raise ValueError(f"lexicon {path}: no line with a word of the model's characters and its phones")
        inventory = tuple(sorted({phone for _, phones in entries for phone in phones}))
        number = {phone: i + 1 for i, phone in enumerate(inventory)}
        return cls(
            [tokenizer.encode(word) for word, _ in entries],
            [[number[phone] for phone in phones] for _, phones in entries],
            inventory,
            tokenizer.encode(" ")[0],
        )

    def batch(self, count: int) -> dict[str, Tensor]:
        """Draw about `count` words with torch's global generator, `WORDS` per line.

        Returns `words`, ids [L, T] padded with -1; `places`, the positions of each word's characters in the flattened
        lines [W, C], padded with -1; and `phones` [W, P], padded with 0.
        """
        chosen = torch.randint(len(self.words), (max(1, count // WORDS), WORDS)).tolist()
        lines, spans = [], []
        for row in chosen:
            line, span = [self.space], []
            for index in row:
                span.append((len(line), len(self.words[index])))
                line += [*self.words[index], self.space]
            lines.append(torch.tensor(line))
            spans.append(span)
        text = pad_sequence(lines, True, FILLER)
        places = [
            torch.arange(start, start + size) + number * text.shape[1]
            for number, span in enumerate(spans)
            for start, size in span
        ]
        phones = [torch.tensor(self.phones[index]) for row in chosen for index in row]
        return {"words": text, "places": pad_sequence(places, True, -1), "phones": pad_sequence(phones, True, 0)}
