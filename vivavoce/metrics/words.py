"""Word and character error rates between a text and a transcript, and the words that were skipped or repeated."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from vivavoce.metrics.packages import require
from vivavoce.text.normalise import normalise


class WordErrors(NamedTuple):
    """Rates from 0 to 1; `word_errors` defines them."""

    wer: float
    cer: float
    skipped: float
    repeated: float


class Alignment(NamedTuple):
    """The errors of a transcript, and the words concerned, in Whisper's normalised spelling."""

    errors: WordErrors
    skipped: tuple[str, ...]  # words of the text that are missing from the transcript
    repeated: tuple[str, ...]  # words of the transcript that repeat their neighbours


def word_errors(reference: str, hypothesis: str, language: str = "en") -> WordErrors:
    """Return the word error rate, the character error rate, and the rates of skipped and repeated words.

    Both texts pass through Whisper's normaliser: the English one (case, punctuation, numbers, spelling), or the basic
    one for other languages. They are then aligned word by word with the fewest substitutions, deletions and
    insertions. The comparison runs on the texts as given, and again with numbers, symbols and initials spelled out by
    vivavoce's front end; for English also without Whisper's number conversion, which merges "seven six, six four" into
    7664. The best match counts, because the spelling that a recogniser chooses is not an error of the speech. A
    difference in spaces alone ("every day", "everyday") is not an error either. Relative to the words of the text:

    - skipped: words of the text that are deletions in the alignment.
    - repeated: inserted words that repeat the words beside them. A stretch of words must occur twice in a row, and at
      least as many of these words must be insertions as the stretch is long. "the the cat" for "the cat" has one, "on
      the mat on the mat" for "on the mat" has three, "no no" for "no no" has none.

    A substituted word is neither. All rates are capped at 1, so that one clip on which the recogniser loops cannot
    outweigh many good ones. If nothing is left of the reference after normalisation, the error rates are 0 for an empty
    transcript, otherwise 1, and nothing counts as skipped or repeated.
    """
    return align(reference, hypothesis, language).errors


def align(reference: str, hypothesis: str, language: str = "en") -> Alignment:
    """Return what `word_errors` counts, together with the words concerned."""
    normaliser = _normaliser(language)
    best = _align(normaliser(reference), normaliser(hypothesis))
    if not best.errors.wer:
        return best
    spelled, heard = _spelled_out(reference, language), _spelled_out(hypothesis, language)
    candidates = [best, _align(normaliser(spelled), normaliser(heard))]
    if language == "en":
        candidates.append(_align(_plain(spelled), _plain(heard)))
    return min(candidates, key=lambda alignment: alignment.errors.wer)


def spell(text: str, language: str) -> str:
    """Return the text as the front end reads it, or unchanged if the front end does not know the language."""
    try:
        return normalise(text, language)[0]
    except ValueError:
        return text


@functools.cache
def _normaliser(language: str) -> Callable[[str], str]:
    if language == "en":
        english: Callable[[str], str] = require("whisper_normalizer.english").EnglishTextNormalizer()
        return english
    basic: Callable[[str], str] = require("whisper_normalizer.basic").BasicTextNormalizer()
    return basic


def _spelled_out(text: str, language: str) -> str:
    # Whisper's normaliser drops bracketed text and counts an ellipsis between spaces as a word.
    return re.sub("[()…]", ",", spell(text, language))


def _plain(text: str) -> str:
    """Remove case, punctuation and accents, and change nothing else."""
    plain: str = require("whisper_normalizer.basic").BasicTextNormalizer(remove_diacritics=True)(text)
    return plain


def _align(reference: str, hypothesis: str) -> Alignment:
    """Align two normalised texts."""
    jiwer = require("jiwer")
    if not reference.strip():
        rate = 1.0 if hypothesis.strip() else 0.0
        return Alignment(WordErrors(rate, rate, 0.0, 0.0), (), ())
    output = jiwer.process_words(reference, hypothesis)
    text, heard = output.references[0], output.hypotheses[0]
    errors = output.substitutions + output.deletions + output.insertions
    skipped, inserted = list[str](), set[int]()
    for chunks in _differences(output.alignments[0]):
        first, last = chunks[0], chunks[-1]
        if "".join(text[first.ref_start_idx : last.ref_end_idx]) == "".join(
            heard[first.hyp_start_idx : last.hyp_end_idx]
        ):
            # "every day" and "everyday". A substitution chunk has equally many words on both sides.
            errors -= sum(max(c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx) for c in chunks)
            continue
        skipped += [text[i] for c in chunks if c.type == "delete" for i in range(c.ref_start_idx, c.ref_end_idx)]
        inserted.update(i for c in chunks if c.type == "insert" for i in range(c.hyp_start_idx, c.hyp_end_idx))
    repeated = [heard[i] for i in sorted(_repetitions(heard, inserted))]
    rates = (
        errors / len(text),
        jiwer.cer(reference, hypothesis),
        len(skipped) / len(text),
        len(repeated) / len(text),
    )
    return Alignment(WordErrors(*(min(1.0, float(rate)) for rate in rates)), tuple(skipped), tuple(repeated))


def _differences(chunks: Sequence[Any]) -> list[list[Any]]:
    """Group an alignment's chunks into the stretches between equal words."""
    stretches: list[list[Any]] = [[]]
    for chunk in chunks:
        if chunk.type == "equal":
            stretches.append([])
        else:
            stretches[-1].append(chunk)
    return [stretch for stretch in stretches if stretch]


def _repetitions(words: Sequence[str], inserted: set[int]) -> set[int]:
    """Return the `inserted` positions in `words` that are repetitions as `word_errors` defines them."""
    repeated: set[int] = set()
    for length in range(1, len(words) // 2 + 1) if inserted else ():
        for i in range(len(words) - 2 * length + 1):
            if words[i : i + length] == words[i + length : i + 2 * length]:
                # The alignment may mark either copy as inserted, or the end of one and the start of the other:
                # "a b a b" for "a b" can have its first, middle or last two words inserted.
                found = inserted.intersection(range(i, i + 2 * length))
                repeated |= found if len(found) >= length else set()
    return repeated
