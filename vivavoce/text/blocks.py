"""Cut text into blocks of sentences with one voice and speed: the unit that is planned at once.

`chunks` cuts a text stream, such as the tokens of a language model, at the ends of sentences. `blocks` cuts segments
where the voice or speed changes, at requested pauses, and after paragraphs. Neither depends on a model.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vivavoce.text.markup import complete
from vivavoce.text.segments import Segment
from vivavoce.text.split import ends_at

BLOCK = 2000  # characters: a block of a long paragraph ends with the first sentence past this length
WAITING = 24  # characters: a shorter sentence in a text stream waits for the next one
FIRST_CLAUSE = 25  # characters: the first clause of a text stream is a chunk if it is at least this long
UNENDING = 600  # characters: a longer sentence in a text stream is cut at a space
AHEAD = 24  # characters after a full stop that decide whether it ends a sentence
BEHIND = 200  # characters before it that do

# Where a chunk may end. Pause tags at the end of a sentence belong to it.
_PLACE = re.compile(
    r"(?P<sentence>(?:(?<![.!?…])[.!?…]+[\"')\]”’»]*(?=\s|\[|$)|(?<![。！？])[。！？]+[」』”’]*)"
    r"(?:\s*\[pause [^\[\]\n]*\])*)"
    r"|(?P<clause>(?<!\d)[,;:—][\"')\]”’»]*(?=\s))"
    r"|(?P<paragraph>\n[^\S\n]*\n\s*)"
)
_UNFINISHED_PAUSE = re.compile(r"\s*(?:\[(?:p(?:a(?:u(?:s(?:e(?: [^\[\]\n]{0,100})?)?)?)?)?)?)?")
_PARAGRAPH = re.compile(r"[^\S\n]*\n[^\S\n]*\n\s*")


@dataclass(frozen=True)
class Chunk:
    """Whole sentences of a text stream."""

    text: str
    paragraph: bool  # whether it ends a paragraph
    more: bool  # whether more text follows


@dataclass(frozen=True)
class Block:
    """Sentences with one voice and speed. Their languages may differ."""

    parts: tuple[Segment, ...]
    pause: float | None = None  # seconds of silence requested after it; None: what its punctuation implies
    paragraph: bool = False  # whether it ends a paragraph
    more: bool = True  # whether more words follow
    share: float = 0.0  # fraction of the whole text, 0 to 1; 0 if unknown

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)


def chunks(texts: Iterable[str], least: int = WAITING, clause: bool = True) -> Iterator[Chunk]:
    """Cut a text stream into whole sentences of at least `least` characters, each as soon as its end is certain.

    No markup tag is cut. The chunks depend on the text only, not on how the stream delivers it. clause: the first chunk
    may be a clause. Raises ValueError for an item that is not a str.
    """
    buffer = ""
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"text is of type {type(text).__name__}; it must be a str or an iterator of str")
        buffer += text
        while cut := _cut(buffer, least, clause, ended=False):
            yield Chunk(buffer[: cut[0]], cut[1], True)
            buffer, clause = buffer[cut[0] :], False
    while cut := _cut(buffer, least, clause, ended=True):
        yield Chunk(buffer[: cut[0]], cut[1], bool(buffer[cut[0] :].strip()))
        buffer, clause = buffer[cut[0] :], False
    if buffer.strip():
        yield Chunk(buffer, False, False)


def _cut(buffer: str, least: int, clause: bool, ended: bool) -> tuple[int, bool] | None:
    """Return where the first chunk of the buffer ends and whether it ends a paragraph. None: its end is not certain."""
    start = len(buffer) - len(buffer.lstrip())
    longest = start + least + UNENDING
    for m in _PLACE.finditer(buffer, start, longest + AHEAD):  # a match that ends there is beyond `longest` anyway
        at = m.end()
        if at > longest:
            break
        if m["paragraph"]:
            return (at, True) if ended or at < len(buffer) else None
        if (m["clause"] and not clause) or at - start < (FIRST_CLAUSE if m["clause"] else least):
            continue
        if complete(buffer[:at]) != at:
            continue
        if m["clause"]:
            return at, False
        if not ended and _UNFINISHED_PAUSE.fullmatch(buffer, at):  # it would belong to the sentence
            return None
        paragraph = _PARAGRAPH.search(buffer, at, at + AHEAD + 8)
        if not ended and len(buffer) < at + AHEAD and not (paragraph and paragraph.end() < len(buffer)):
            return None
        following = buffer[at : min(at + AHEAD, paragraph.start() if paragraph else len(buffer))]
        if following.strip() and not _is_end(buffer[max(start, m.end("sentence") - BEHIND) : at], following):
            continue
        if paragraph and paragraph.start() == at:
            return paragraph.end(), True
        return (at, False) if at < len(buffer) else None
    if len(buffer) < longest + AHEAD:
        return None
    places = [m.start() for m in re.finditer(r"\s", buffer[:longest]) if m.start() > start + least]
    at = next((p for p in reversed(places) if complete(buffer[:p]) == p), longest)
    return at, False


def _is_end(before: str, following: str) -> bool:
    """Return whether a sentence ends between the two."""
    bare = re.sub(r"\[pause [^\[\]\n]*\]", "", before)
    return ends_at(" ".join(f"{bare}{following}".split()), len(" ".join(bare.split())))


def blocks(segments: Iterable[Segment], more: bool = False, known: bool = True) -> Iterator[Block]:
    """Yield segments as blocks, in order. more: whether text follows. known: whether they are the whole text."""
    segments = list(segments)
    total = sum(len(segment.text) for segment in segments) if known else 0
    waiting: list[Block] = []
    for block in _cut_blocks(segments):
        block = dataclasses.replace(block, share=len(block.text) / total if total else 0.0)
        if any(map(str.isalnum, block.text)):
            yield from waiting
            waiting = []
        waiting.append(block)
    yield from (dataclasses.replace(block, more=more) for block in waiting)


def _cut_blocks(segments: list[Segment]) -> Iterator[Block]:
    parts: list[Segment] = []

    def block(pause: float | None = None, paragraph: bool = False) -> Block:
        made = Block(tuple(parts), pause, paragraph)
        parts.clear()
        return made

    for segment in segments:
        if parts and (segment.voice, segment.speed) != (parts[0].voice, parts[0].speed):
            yield block()
        for chunk in chunks([segment.text], BLOCK, False):
            parts.append(dataclasses.replace(segment, text=chunk.text, pause=0.0))
            # the sentence may continue in the next segment
            if chunk.more or (chunk.paragraph and not segment.pause):
                yield block(paragraph=chunk.paragraph)
        if segment.pause:
            if not parts:
                parts.append(dataclasses.replace(segment, text="", pause=0.0))
            yield block(segment.pause)
    if parts:
        yield block()
