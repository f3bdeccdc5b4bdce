"""From written text to model input: parse its markup, normalise it, split it into pieces, encode each piece."""

from vivavoce.text.characters import PUNCTUATION, Change
from vivavoce.text.normalise import normalise
from vivavoce.text.pieces import Piece
from vivavoce.text.split import sentences, split, word_spans
from vivavoce.text.tokenizer import ByteTokenizer, CharTokenizer, evenly_in_words, read_vocabulary

__all__ = [
    "PUNCTUATION",
    "ByteTokenizer",
    "Change",
    "CharTokenizer",
    "Piece",
    "evenly_in_words",
    "normalise",
    "read_vocabulary",
    "sentences",
    "split",
    "word_spans",
]
