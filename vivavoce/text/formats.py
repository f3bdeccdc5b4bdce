"""Parse a text in one of the accepted formats into segments: plain text with tags, Markdown, or SSML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vivavoce.text import ssml as ssml_format
from vivavoce.text.characters import Change
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.markdown import MarkdownFilter
from vivavoce.text.markdown_signs import FORMATS, check_format, filter_options
from vivavoce.text.markup import MarkupParser
from vivavoce.text.segments import Segment

__all__ = ["FORMATS", "Text", "check_format", "parse", "parse_text", "strip_markdown"]

Text = str | Sequence[tuple[str, str]]  # a text, or parts of one with their languages: (language, text)


def strip_markdown(text: str, format: str = "auto") -> tuple[str, tuple[Change, ...]]:
    """Return a whole text without the signs of Markdown, and what was left out. Raises ValueError as `parse`."""
    if check_format(format) == "plain":
        return text, ()
    markdown = MarkdownFilter(**filter_options(format))
    text = markdown.feed(text) + markdown.close()
    return text, tuple(markdown.changes)


def parse(
    text: str,
    *,
    format: str = "plain",
    ssml: bool = False,
    strict: bool | None = None,
    lexicon: Lexicon | None = None,
    lang: str = "en",
) -> list[Segment]:
    """Return the segments of a text with tags, or of an SSML document; at least one, in order.

    format: plain, markdown, or auto, which also reads what is unmistakably Markdown; with "+code" ("auto+code") code
    blocks are read instead of being left out; ignored for SSML. strict: raise an error for a wrong tag, or for SSML
    that cannot be followed, instead of leaving it out; None: for tags only.
    lexicon: its words become segments of their own. lang: the language of the whole text; a segment's `lang` is None
    where the text sets no language. Raises ValueError naming the line and column of what is wrong.
    """
    check_format(format)
    if ssml:
        segments = ssml_format.parse(text, lang, strict=bool(strict))
        return segments if lexicon is None else [part for segment in segments for part in lexicon.apply(segment)]
    text, changes = strip_markdown(text, format)
    segments = MarkupParser(lexicon, lang, strict=strict is not False).parse(text)
    return [replace(segments[0], changes=changes + segments[0].changes), *segments[1:]] if changes else segments


def parse_text(
    text: Text,
    *,
    ssml: bool = False,
    format: str = "auto",
    strict: bool | None = None,
    lexicon: Lexicon | None = None,
    lang: str = "en",
) -> list[Segment]:
    """Return the segments of a text, or of texts with their languages. Arguments as for `TTS.speak`.

    Raises ValueError for an empty text, wrong markup, and a text of another type.
    """
    if isinstance(text, str):
        if not text.strip():
            raise ValueError("the text is empty")
        return parse(text, ssml=ssml, format=format, strict=strict, lexicon=lexicon, lang=lang)
    if ssml:
        raise ValueError("ssml=True needs the document as one str")
    if not isinstance(text, list | tuple):
        raise ValueError(f"text is of type {type(text).__name__}; it must be a str")
    segments: list[Segment] = []
    for item in text:
        if not isinstance(item, tuple | list) or len(item) != 2 or not all(isinstance(part, str) for part in item):
            raise ValueError(f"{item!r} is in the list of texts; an item must be (language, text)")
        code, words = item
        if segments and not segments[-1].text[-1:].isspace():
            words = f" {words}"
        for segment in parse(words, format=format, strict=strict, lexicon=lexicon, lang=code):
            segments.append(replace(segment, lang=segment.lang or code))
    if not any(segment.text.strip() for segment in segments):
        raise ValueError("the text is empty")
    return segments
