"""From written text to model input: parse its markup, normalise it, split it into pieces, encode each piece.

formats                     text in one of the accepted formats to segments
markup, ssml, say_as        tags; SSML
markdown, markdown_*        Markdown as plain text; formulas: as people say them
segments, blocks, parts     stretches with one voice; the unit that is planned, and normalised, at once
prosody                     prosody as numbers
line_breaks                 words that are broken at the end of a line
lexicon, pronunciation      a user's readings of words; IPA and ARPAbet; phones: beside letters
normalise, characters       written to speakable words; what every language shares
english_*                   the rules of English, by what they read
romance, romance_tables     Spanish, French, Italian and Portuguese
languages                   language codes
spelling, letter_names      text character by character
split, pieces               sentences; what a model speaks at once
tokenizer                   characters or bytes to ids
"""

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
