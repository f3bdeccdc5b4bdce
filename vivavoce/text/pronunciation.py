"""Notations of pronunciations: the symbols of the English dictionary, IPA and ARPAbet.

The symbols are misaki's: IPA, with one letter for each diphthong and affricate (A eɪ, I aɪ, O oʊ, W aʊ, Y ɔɪ, ʤ, ʧ). A
stress mark precedes its vowel and forms one symbol with it. Knows nothing about dictionaries.
"""

from __future__ import annotations

import re
import unicodedata

STRESS = "ˈˌ"  # precedes its vowel
VOWELS = "AIOWYiuæɑɔəɛɜɪʊʌᵊᵻ"
SYMBOLS = frozenset(VOWELS + "bdfhjklmnpstvwzðŋɡɹɾʃʒʔʤʧθ")
ARPABET = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "IH": "ɪ"},
    **{"IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u", "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f"},
    **{"G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s"},
    **{"SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
UNSTRESSED = {"AH": "ə", "ER": "əɹ"}
# IPA in several conventions; longer strings first
IPA = {
    **{"t͡ʃ": "ʧ", "d͡ʒ": "ʤ", "tʃ": "ʧ", "dʒ": "ʤ", "eɪ": "A", "aɪ": "I", "aʊ": "W", "oʊ": "O", "əʊ": "O", "ɔɪ": "Y"},
    **{"ɝ": "ɜɹ", "ɚ": "əɹ", "r": "ɹ", "g": "ɡ", "'": "ˈ", "ː": "", ":": "", ".": "", "ɒ": "ɑ", "ɐ": "ʌ", "ɫ": "l"},
    **{"a": "ɑ", "e": "ɛ", "o": "ɔ", "l̩": "ᵊl", "n̩": "ᵊn", "ɱ": "m"},
}
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
# English inflections that a dictionary of base forms lacks: the ending, endings of the base form, the sound after
# a voiced and a voiceless phone, and the sound after a phone that needs a vowel in between
INFLECTIONS: tuple[tuple[str, tuple[str, ...], str, str, tuple[str, ...]], ...] = (
    ("'s", ("",), "z", "s", ("ᵻ", "z")),
    ("s'", ("", "s"), "z", "s", ("ᵻ", "z")),
    ("ies", ("y",), "z", "s", ("ᵻ", "z")),
    ("es", ("e", ""), "z", "s", ("ᵻ", "z")),
    ("s", ("",), "z", "s", ("ᵻ", "z")),
    ("ied", ("y",), "d", "t", ("ᵻ", "d")),
    ("ed", ("e", ""), "d", "t", ("ᵻ", "d")),
)
VOICELESS = "ptkfθsʃʧ"
NEEDS_VOWEL = {"z": "szʃʒʧʤ", "d": "td"}


def split_phones(written: str) -> tuple[str, ...]:
    """Split a transcription into symbols: one letter each, a vowel with its stress mark."""
    return tuple(re.findall(rf"[{STRESS}]?[^\s{STRESS}]", written))


def parse_pronunciation(written: str) -> str:
    """Return a pronunciation of one word, in IPA or ARPAbet, in the symbols of the English dictionary.

    ARPAbet is in capitals with a space between phones, as in CMUdict: "EH1 N JH IH0 N". Anything else is IPA, in which
    stress marks may precede the syllable. Raises ValueError for an unknown symbol, or without a phone.
    """
    text = unicodedata.normalize("NFC", written.strip())
    if re.fullmatch(r"[A-Z]{1,2}[0-2]?(?:\s+[A-Z]{1,2}[0-2]?)*", text):
        symbols = "".join(map(_arpabet, text.split()))
    else:
        symbols = _ipa(text)
    if not symbols.strip(STRESS):
        raise ValueError(f"the pronunciation {written!r} has no phone")
    return symbols


def _arpabet(phone: str) -> str:
    name, stress = phone.rstrip("012"), phone[-1]
    if name not in ARPABET:
        raise ValueError(f"{phone!r} is not a phone of ARPAbet; known are {', '.join(ARPABET)}")
    if stress == "0" and name in UNSTRESSED:
        return UNSTRESSED[name]
    return {"1": "ˈ", "2": "ˌ"}.get(stress, "") + ARPABET[name]


def _ipa(text: str) -> str:
    for old, new in IPA.items():
        text = text.replace(old, new)
    text = "".join(text.split())
    unknown = sorted(set(text) - SYMBOLS - set(STRESS))
    if unknown:
        raise ValueError(
            f"the pronunciation {text!r} contains {unknown[0]!r}, which is neither IPA for English nor ARPAbet"
        )
    # the mark moves from the start of the syllable to its vowel
    return re.sub(rf"([{STRESS}])([^{STRESS}{VOWELS}]*)(?=[{VOWELS}])", r"\2\1", text)


def inflect(phones: str) -> str:
    """Return the phones of an English plural or possessive from those of its word."""
    return phones + "".join(inflection(phones[-1], "z", "s", ("ᵻ", "z")))


def inflection(last: str, voiced: str, voiceless: str, syllable: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sound of an inflection after the phone `last`."""
    if last in NEEDS_VOWEL[voiced]:
        return syllable
    return (voiceless,) if last in VOICELESS else (voiced,)
