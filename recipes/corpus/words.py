"""Sentences for words that the corpus hardly has: sentences-words.tsv.gz, made once.

    python recipes/corpus/words.py gpt2.tiktoken cmudict.dict recipes/corpus/sentences-words.tsv.gz

The English sentences of the corpus have 5,500 words in their first 2,975 lines. A model that learned from those reads
the others by guessing from their letters, and misses one in four. So the other frequent words of English are put into
sentence frames at random: no sense, but every word said by some speaker, between chance neighbours. Frequent are words
that are one token of GPT-2's byte pairs (the file `gpt2.tiktoken` in openai-whisper's package, MIT; a lower rank is a
more frequent word) and that the CMU Pronouncing Dictionary has. Words of one syllable come twice.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import random
import re
import sys
from collections import Counter
from pathlib import Path

from make import LINES, SENTENCES, read_sentences

from vivavoce.audio import write_whole
from vivavoce.train.lexicon import read_dictionary

KNOWN_LINES = 2975  # of sentences.tsv.gz: what the first models were trained on
KNOWN = 3  # a word that they have so often needs no more
RANKS = 30_000
# Words that one would not want to hear in a sentence made at random begin with these.
RUDE = (
    "abort anal anus arous ass bastard bitch bloody boob breast cock condom corpse crap cunt damn dick dildo erect "
    "erot fag fuck gay genital homo jew jihad kill lesb lust murder muslim naked nazi negro nig nipple nude orgasm "
    "penis piss porn prostit pussy queer racis rape rapist sex shit slave slut sperm strip suck suicid terror "
    "testic tits tort vagin virgin whore"
).split()
FRAMES = """
The * * the *.
The * of the * is *.
A * and a * in the *.
* the * * with *.
Her * was *, and his * *.
They * a * on *.
No * or * can * it.
*, *, and *.
Is the * *?
* *!
It is not * but *.
We * the * of * *.
Who will * a * for the *?
He * to the * and * the *.
Some * * are * than *.
When did you * the * *?
Two * *, a *, and the *.
She had * the * before the * *.
That * has a * *.
By the * a * * *.
* and * were * in a *.
My * said: * the *.
Then * *, * *, and *.
How * the * was!
You * as a * would *.
There is a * under the * *.
* it, or * the *.
The * *, the * *.
From * to * and from * to *.
If it is *, * a *.
""".split("\n")[1:-1]


def frequent(tokens: Path) -> set[str]:
    """The lower-case words of three letters and more among the first RANKS tokens of a byte-pair vocabulary."""
    words = set()
    for line in tokens.read_text().splitlines():
        token, rank = line.split()
        word = base64.b64decode(token)
        if re.fullmatch(rb" [a-z]{3,}", word) and int(rank) < RANKS:
            words.add(word[1:].decode())
    return words


def syllables(dictionary: Path) -> dict[str, int]:
    """How many vowels each word of the CMU Pronouncing Dictionary has, in its first pronunciation."""
    counts: dict[str, int] = {}
    for word, phones in read_dictionary(dictionary):
        counts.setdefault(word, sum(phone[-1].isdigit() for phone in phones))
    return counts


def fill(frame: str, words: list[str]) -> str:
    """The frame with the next words in place of its stars, `a` before a vowel letter made `an`."""
    text = re.sub(r"\*", lambda _: words.pop(), frame)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[0].upper() + text[1:]


def sentences(tokens: Path, dictionary: Path) -> list[str]:
    """As many as make.py reads: all wanted words in random order, then all again, in frames drawn at random."""
    lines = [line.split("\t")[0] for line in read_sentences(SENTENCES["en"])[:KNOWN_LINES]]
    known = Counter(re.findall(r"[a-z']+", " ".join(lines).lower()))
    counts = syllables(dictionary)
    rude = tuple(RUDE)
    wanted = [w for w in sorted(frequent(tokens)) if w in counts and known[w] < KNOWN and not w.startswith(rude)]
    order = random.Random(1)
    words: list[str] = []
    made: list[str] = []
    while len(made) < LINES["words"]:
        frame = order.choice(FRAMES)
        if len(words) < frame.count("*"):
            again = [word for word in wanted for _ in range(2 if counts[word] == 1 else 1)]
            order.shuffle(again)
            words = again + words
        made.append(fill(frame, words))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path, help="gpt2.tiktoken, as in openai-whisper's package")
    parser.add_argument("dictionary", type=Path, help="cmudict.dict, the CMU Pronouncing Dictionary")
    parser.add_argument("out", type=Path, metavar="FILE.tsv.gz")
    args = parser.parse_args()
    try:
        lines = sentences(args.tokens, args.dictionary)
        text = "".join(f"{line}\twords\n" for line in lines)
        write_whole(args.out, gzip.compress(text.encode(), mtime=0))
    except (ValueError, OSError) as error:
        print(f"words.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
