"""Make sentences for words that are rare in the corpus: sentences-words.tsv.gz and sentences-frequent.tsv.gz.

    python recipes/corpus/words.py rare gpt2.tiktoken cmudict.dict recipes/corpus/sentences-words.tsv.gz
    python recipes/corpus/words.py frequent frequency_dictionary_en_82_765.txt sentences-frequent.tsv.gz more.tsv

`rare`: the English sentences of the corpus have 5,500 words in their first 2,975 lines. A model that learned from those
guesses the others from their letters, and gets one in four wrong. So the other frequent words of English are put into
sentence frames at random. The sentences make no sense, but every word is spoken by some speaker, next to random
neighbours. Frequent words are those that are a single token of GPT-2's byte pairs (the file `gpt2.tiktoken` in
openai-whisper's package, MIT; a lower rank is a more frequent word) and that the CMU Pronouncing Dictionary has. Words
of one syllable occur twice.

`frequent`: the 40,000 most frequent words of symspellpy's dictionary (MIT; counts from Google Books, CC BY 3.0), as far
as hibari's lexicons have them, are to occur three times each. If a word is rarer in the list `en`, sentences of the
files given as `more` are used first, then frames: short ones as above, and enumerations.
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
from typing import Any

from judged import Judged
from judged import words as words_of
from lists import ENOUGH, heard, unjudged
from make import LINES, SENTENCES, read_sentences

from vivavoce.audio.files import atomic_write
from vivavoce.train.pronunciations import read_dictionary

KNOWN_LINES = 2975  # of sentences.tsv.gz: what the first models were trained on
KNOWN = 3  # a word that occurs this often there needs no more
RANKS = 30_000
FREQUENT = 40_000  # words that are to occur three times
CHUNK = 2000  # words of similar frequency, from which a sentence is made
WORTH = 7  # words of a sentence per word that is still missing
# Words of one and two letters; the dictionary also has "re", "de", "al", …
SHORT = "a i am an as at be by do go he if in is it me my no of oh on or ox so to up us we".split()
# Beginnings of words that would be unpleasant in random sentences.
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


# Frames with more places, for the tens of thousands of words of `frequent`
LONG_FRAMES = """
*, *, *, * and *.
First *, then *, then * and last of all *.
* * and * *, or * * and * *.
The * *, the * * and the * * are in the *.
* and *, * and *, * and *.
Neither * nor *, neither * nor *, said the *.
He wrote *, *, * and * under *.
Between * and * there was *, and after * came *.
Is it *, *, * or *?
My * is *, your * is *, and their * was *.
A * with * and * is not a * with *.
Read me * and *, please, and then * and *.
""".split("\n")[1:-1]
ALONE = ("The next word is *.", "How do you spell *?", "In the dictionary, * comes first.")  # for words of RUDE
# Words that begin with these are never used.
WORST = tuple(
    "anal arous boob bitch cunt dildo fagg fuck gook kike nigg orgasm penis piss porn pussy shit slut tits "
    "vagin wetback whore".split()
)


def frequent(tokens: Path) -> set[str]:
    """Return the lower-case words of three letters or more among the first RANKS tokens of a byte-pair vocabulary."""
    words = set()
    for line in tokens.read_text().splitlines():
        token, rank = line.split()
        word = base64.b64decode(token)
        if re.fullmatch(rb" [a-z]{3,}", word) and int(rank) < RANKS:
            words.add(word[1:].decode())
    return words


def syllables(dictionary: Path) -> dict[str, int]:
    """Return how many vowels each word of the CMU Pronouncing Dictionary has in its first pronunciation."""
    counts: dict[str, int] = {}
    for word, phones in read_dictionary(dictionary):
        counts.setdefault(word, sum(phone[-1].isdigit() for phone in phones))
    return counts


def fill(frame: str, words: list[str]) -> str:
    """Return the frame with the next words in place of its stars; `a` before a vowel letter becomes `an`."""
    text = re.sub(r"\*", lambda _: words.pop(), frame)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[0].upper() + text[1:]


def sentences(tokens: Path, dictionary: Path) -> list[str]:
    """Return as many sentences as make.py reads: all wanted words in random order, then all again, in random frames."""
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


def reading(word: str, g2p: Any) -> str | None:
    """Return a word as it is written in a sentence, "paul" as "Paul"; None if hibari's lexicons do not have it."""
    from hibari.g2p import Context

    for written, tag in ((word, "NN"), (word.capitalize(), "NNP")):
        if g2p.lexicon.get_word(written, tag, None, Context())[0]:
            return written
    return None


def most_frequent(dictionary: Path) -> dict[str, str]:
    """Return the FREQUENT most frequent words that hibari's lexicons have, each with its spelling. Letters and
    syllables of two letters count only if they are words. Raises ValueError if the file does not consist of lines with
    a word and its count, or a package is missing.
    """
    try:
        from hibari.g2p import G2P
    except ModuleNotFoundError:
        raise ValueError("the package hibari is missing: pip install -r recipes/corpus/requirements.txt") from None
    g2p = G2P()
    chosen: dict[str, str] = {}
    for number, line in enumerate(read_sentences(dictionary), 1):
        word, _, count = line.lstrip("\ufeff").partition(" ")
        if not count.strip().isdigit():
            raise ValueError(f"{dictionary}: line {number} must be a word and its count: {line!r}")
        written = None if word.startswith(WORST) or (len(word) < 3 and word not in SHORT) else reading(word, g2p)
        if written:
            chosen[word] = written
            if len(chosen) == FREQUENT:
                break
    return chosen


def fitting(lines: list[str], missing: Counter[str]) -> list[str]:
    """Return the lines with at least one missing word per WORTH words; `missing` is counted down."""
    chosen = []
    for line in lines:
        said = words_of(line.split("\t")[0])
        needed = {word for word in said if missing[word] > 0}
        if needed and len(said) <= WORTH * len(needed):
            chosen.append(line)
            missing.subtract(said)
    return chosen


def frequent_sentences(dictionary: Path, more: list[Path], judged: Judged) -> list[str]:
    """Return lines that, together with the list `en`, have each of the most frequent words ENOUGH times."""
    written = most_frequent(dictionary)
    missing = Counter(dict.fromkeys(written, ENOUGH))
    missing.subtract(heard(["en"], judged))
    made = fitting(unjudged((line for file in more for line in read_sentences(file)), judged), missing)
    order = random.Random(2)
    rude = tuple(RUDE)
    alone = [word for word in written if word.startswith(rude)]
    others = sorted(set(written) - set(alone))
    made += [
        f"{fill(frame, [written[word]])}\tframes" for word in alone for frame in ALONE[: max(0, missing.pop(word))]
    ]
    for wanted in range(1, ENOUGH + 1):  # all words once, then all twice, …, the more frequent ones first
        left: list[str] = []
        for first in range(0, len(written), CHUNK):
            chunk = list(written)[first : first + CHUNK]
            fresh = [word for word in chunk if missing[word] > ENOUGH - wanted]
            order.shuffle(fresh)
            left += fresh
        while left:
            frame = order.choice(FRAMES if order.random() < 0.4 else LONG_FRAMES)
            places = frame.count("*")
            chosen = left[:places] + order.sample(others, max(0, places - len(left)))
            left = left[places:]
            sentence = fill(frame, [written[word] for word in reversed(chosen)])
            made.append(f"{sentence}\tframes")
            missing.subtract(words_of(sentence))
    return unjudged(made, judged)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True, metavar="rare|frequent")
    rare = what.add_parser("rare", help="words that the first lines lack, in frames")
    rare.add_argument("tokens", type=Path, help="gpt2.tiktoken, as in openai-whisper's package")
    rare.add_argument("dictionary", type=Path, help="cmudict.dict, the CMU Pronouncing Dictionary")
    often = what.add_parser("frequent", help=f"the {FREQUENT} most frequent words, each {ENOUGH} times")
    often.add_argument("dictionary", type=Path, help="frequency_dictionary_en_82_765.txt, as in symspellpy's package")
    for command in (rare, often):
        command.add_argument("out", type=Path, metavar="FILE.tsv.gz")
    often.add_argument("more", type=Path, nargs="*", help="sentences, a tab and their source, to be taken first")
    args = parser.parse_args()
    try:
        if args.what == "rare":
            lines = [f"{line}\twords" for line in sentences(args.tokens, args.dictionary)]
        else:
            lines = frequent_sentences(args.dictionary, args.more, Judged.load())
        atomic_write(args.out, gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    except (ValueError, OSError) as error:
        print(f"words.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
