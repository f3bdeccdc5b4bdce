"""Rich Text Format (RTF 1.9): paragraphs, and chapters at paragraphs with an outline level. Tables are read by rows."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vivavoce.books.book import Block, Book, escape, left_out, only_heading, to_chapters

_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
# Groups that are not text. A group that starts with \* is not, either, unless it is known.
_SKIPPED = {
    *"fonttbl colortbl stylesheet info pict object themedata colorschememapping datastore listtable rsidtbl".split(),
    *"listoverridetable revtbl generator header headerl headerr headerf footer footerl footerr footerf".split(),
    *"xmlnstbl latentstyles wgrffmtfilter fldinst pntext nonshppict bkmkstart bkmkend".split(),
}
_COUNTED = {"pict": "image", "footnote": "footnote", "annotation": "comment"}
_SIGNS = {
    "par": "\n\n",
    "sect": "\n\n",
    "page": "\n\n",
    "row": ".\n\n",
    "cell": ", ",
    "line": "\n",
    "tab": " ",
    "emdash": "—",
    "endash": "–",
    "bullet": "•",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
    "emspace": " ",
    "enspace": " ",
}
_SYMBOLS = {b"~": "\u00a0", b"_": "‑", b"\\": "\\", b"{": "{", b"}": "}"}
_DEPTH = 500  # nested groups; more is not written by any program


@dataclass
class _State:
    """What a group inherits from the one around it."""

    skipped: bool = False
    info: bool = False
    title: bool = False
    hidden: bool = False
    fallback: int = 1  # characters after \u that stand for it in old readers


def read_rtf(path: Path, name: str) -> Book:
    """Return the chapters of an RTF file. Raises ValueError, naming the file, if it is not one."""
    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):
        raise ValueError(f"{name} is not an rtf: it does not start with {{\\rtf")
    return _Reader(data, name).read()


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name
        self._encoding = "cp1252"
        self._text: list[str] = []
        self._title: list[str] = []
        self._blocks: list[Block] = []
        self._level = 0
        self._left_out: Counter[str] = Counter()

    def read(self) -> Book:
        stack, state, starred, jump = list[_State](), _State(), False, 0
        opened = False  # the last token opened a group
        for m in _TOKEN.finditer(self._data):
            word, number, code, symbol, brace, plain = m.groups()
            if brace == b"{":
                if len(stack) > _DEPTH:
                    raise ValueError(f"{self._name} is damaged: its groups are nested more than {_DEPTH} deep")
                stack.append(state)
                state, opened, starred, jump = _State(**vars(state)), True, False, 0
                continue
            if brace == b"}":
                state = stack.pop() if stack else _State()
                opened = False
                continue
            if symbol == b"*" and opened:
                starred = True
                continue
            if word is not None:
                name, value = word.decode(), int(number) if number else None
                if name == "u" and value is not None:
                    self._add(_character(value), state)
                    jump = state.fallback
                else:
                    jump = 0
                    self._control(name, value, state, opened, starred)
            elif code is not None:
                if jump:
                    jump -= 1
                else:
                    self._add(codecs.decode(bytes([int(code, 16)]), self._encoding, "replace"), state)
            elif symbol is not None:
                self._add(_SYMBOLS.get(symbol, "\n\n" if symbol in (b"\n", b"\r") else ""), state)
            elif plain is not None:
                text = plain.decode(self._encoding, "replace")
                self._add(text[jump:], state)
                jump = max(0, jump - len(text))
            opened = starred = False
        self._end_paragraph()
        title = " ".join("".join(self._title).split())
        return Book(title or only_heading(self._blocks), to_chapters(self._blocks), (), left_out(self._left_out))

    def _control(self, name: str, value: int | None, state: _State, opened: bool, starred: bool) -> None:
        if name == "info":
            state.info = True
        if name == "title" and state.info:
            state.title = True
        if name in _COUNTED and not state.skipped:
            self._left_out[_COUNTED[name]] += 1
        if name in _SKIPPED or name in _COUNTED or (opened and starred and name != "shppict"):
            state.skipped = True
        elif name == "ansicpg" and value:
            self._encoding = _codec(value)
        elif name == "uc":
            state.fallback = max(0, min(value or 0, 8))
        elif name == "v":
            state.hidden = value != 0
        elif name in ("pard", "plain") and not state.skipped:
            self._level = 0 if name == "pard" else self._level
        elif name == "outlinelevel" and not state.skipped:
            self._level = 1 + max(0, min(value or 0, 5))
        elif name in _SIGNS:
            self._add(_SIGNS[name], state)

    def _add(self, text: str, state: _State) -> None:
        if state.title:
            self._title.append(text)
        elif state.skipped or state.hidden:
            return
        elif text.endswith("\n\n"):
            self._text.append(text.removesuffix("\n\n"))
            self._end_paragraph()
        else:
            self._text.append(text)

    def _end_paragraph(self) -> None:
        lines = (" ".join(line.split()) for line in "".join(self._text).split("\n"))
        text = "\n".join(filter(None, lines)).replace(", .", ".")
        self._text = []
        if any(map(str.isalnum, text)):
            self._blocks.append(Block(escape(text), self._level))


def _character(value: int) -> str:
    value %= 1 << 16
    return "" if 0xD800 <= value < 0xE000 else chr(value)


def _codec(page: int) -> str:
    try:
        return codecs.lookup({65001: "utf-8", 10000: "mac-roman"}.get(page, f"cp{page}")).name
    except LookupError:
        return "cp1252"
