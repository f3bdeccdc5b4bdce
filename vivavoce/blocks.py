"""A text as blocks of sentences that one voice speaks alike: as much of it as is planned at once.

`chunks` cuts text that is still to come, such as a language model's tokens, at the ends of sentences; `blocks` cuts
segments where voice or speed change, at pauses that were asked for, and after paragraphs.
Knows nothing about models, or what the words are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vivavoce import markup
from vivavoce.segments import Segment
from vivavoce.text import sentences

BLOCK = 2000  # characters of a paragraph that is at hand: so many and up to the end of the sentence are one block
WAITING = 24  # characters of a text that comes in scraps: a shorter sentence waits for the one after it
FIRST_CLAUSE = 25  # characters: the first clause of such a text is a chunk, where it is as long
UNENDING = 600  # characters without the end of a sentence are cut at a space
AHEAD = 24  # characters after a full stop that tell whether it ends a sentence
BEHIND = 200  # and before it

# Where a chunk may end. Pauses asked for at the end of a sentence go with it.
_PLACE = re.compile(
    r"(?P<sentence>(?:[.!?…]+[\"')\]”’»]*(?=\s|\[|$)|[。！？]+[」』”’]*)(?:\s*\[pause [^\[\]\n]*\])*)"
    r"|(?P<clause>(?<!\d)[,;:—][\"')\]”’»]*(?=\s))"
    r"|(?P<paragraph>\n[^\S\n]*\n\s*)"
)
_PARAGRAPH = re.compile(r"[^\S\n]*\n[^\S\n]*\n\s*")


@dataclass(frozen=True)
class Chunk:
    text: str
    paragraph: bool  # whether a paragraph ends with it
    more: bool  # whether text comes after it


@dataclass(frozen=True)
class Block:
    """Sentences that are spoken alike. Only the languages of the parts differ."""

    parts: tuple[Segment, ...]
    pause: float | None = None  # seconds of silence asked for after it; None: what its punctuation asks for
    paragraph: bool = False  # whether a paragraph ends with it
    more: bool = True  # whether words come after it
    share: float = 0.0  # of all the text, 0 to 1; 0 where that is not known

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)


def chunks(texts: Iterable[str], least: int = WAITING, clause: bool = True) -> Iterator[Chunk]:
    """Text in scraps → whole sentences of at least so many characters, each as soon as its end is certain.

    No tag of markup is cut. The chunks depend on the text, not on how it is cut into scraps. clause: the first may end
    with a clause. Raises ValueError where a scrap is no str.
    """
    buffer = ""
    for scrap in texts:
        if not isinstance(scrap, str):
            raise ValueError(f"text is of type {type(scrap).__name__}; it must be a str, or an iterator of them")
        buffer += scrap
        while cut := _cut(buffer, least, clause, ended=False):
            yield Chunk(buffer[: cut[0]], cut[1], True)
            buffer, clause = buffer[cut[0] :], False
    while cut := _cut(buffer, least, clause, ended=True):
        yield Chunk(buffer[: cut[0]], cut[1], bool(buffer[cut[0] :].strip()))
        buffer, clause = buffer[cut[0] :], False
    if buffer.strip():
        yield Chunk(buffer, False, False)


def _cut(buffer: str, least: int, clause: bool, ended: bool) -> tuple[int, bool] | None:
    """Where the first chunk of the buffer ends, and whether that ends a paragraph; None: not there yet."""
    start = len(buffer) - len(buffer.lstrip())
    longest = start + least + UNENDING
    for m in _PLACE.finditer(buffer, start):
        at = m.end()
        if at > longest:
            break
        if m["paragraph"]:
            return (at, True) if ended or at < len(buffer) else None
        if (m["clause"] and not clause) or at - start < (FIRST_CLAUSE if m["clause"] else least):
            continue
        if markup.complete(buffer[:at]) != at:
            continue
        if m["clause"]:
            return at, False
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
    at = next((p for p in reversed(places) if markup.complete(buffer[:p]) == p), longest)
    return at, False


def _is_end(before: str, following: str) -> bool:
    """Whether a sentence ends between the two."""
    bare = re.sub(r"\[pause [^\[\]\n]*\]", "", before)
    found = sentences(" ".join(f"{bare}{following}".split()))
    wanted = "".join(bare.split())
    said = ""
    for sentence in found[:-1]:
        said += "".join(sentence.split())
        if said == wanted:
            return True
    return False


def blocks(segments: Iterable[Segment], more: bool = False, known: bool = True) -> Iterator[Block]:
    """Segments, in order, as blocks. more: whether text comes after them. known: whether they are the whole text."""
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
            # what goes on in the next segment may be the same sentence
            if chunk.more or (chunk.paragraph and not segment.pause):
                yield block(paragraph=chunk.paragraph)
        if segment.pause:
            if not parts:
                parts.append(dataclasses.replace(segment, text="", pause=0.0))
            yield block(segment.pause)
    if parts:
        yield block()
