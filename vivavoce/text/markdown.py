"""Turn Markdown, as chats and language models write it, into plain text for the markup parser, whole or as a stream.

Emphasis, headings, links, code spans, quotes, HTML tags, emoticons and footnote marks lose their signs; list items and
headings end with a full stop, so that each is followed by a pause; a table is read row by row with its headings. Code
blocks, comments and `<think>` sections are left out and reported. Formulas and vivavoce's own tags pass unchanged.

Text without any of these passes unchanged, so the same rules serve for text that may or may not be Markdown. Each
decision waits for the characters that it needs: the result does not depend on how a stream is divided.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator

from vivavoce.text.characters import Change
from vivavoce.text.markdown_signs import (
    ADDRESS_END,
    BREAKING,
    CLOSERS,
    DEFINITION,
    EMOTICON,
    ENDS,
    FENCE,
    HEADING,
    HIGH_DIGITS,
    HTML,
    ITEM,
    LOW_DIGITS,
    MARKED,
    OWN_TAG,
    QUOTE,
    RULE,
    SHORTCODE,
    SKIPPED,
    SPECIAL,
    SUBSCRIPT,
    SUPERSCRIPT,
    closing_bracket,
    is_emphasis,
    is_formula,
)
from vivavoce.text.markdown_tables import Table, is_bare_delimiter, is_delimiter, row_text

AHEAD = 16  # characters of a line that decide what it starts
HOLD = 8  # characters at the end of a stream that may start a sign
SPAN = 500  # characters that a link, a code span or a tag may have
FORMULA = 2000  # characters that a displayed formula may have


class MarkdownFilter:
    """Convert Markdown to plain text with vivavoce's tags. `feed` the text in any parts, then `close`.

    changes: what was left out so far. read_code: read code blocks instead of leaving them out. certain: the text is
    Markdown; otherwise a line that starts with a number of three digits or more, such as a year, is not an item.
    """

    def __init__(self, *, read_code: bool = False, certain: bool = False) -> None:
        self.changes: list[Change] = []
        self._most_digits = 9 if certain else 2
        self._read_code = read_code
        self._text, self._at = "", 0  # the characters not yet converted start at `_at`
        self._final = False
        self._out: list[str] = []
        self._step: Callable[[], bool] = self._line_start
        self._block = ""  # text, item or heading: what the current line belongs to
        self._last = ""  # the last character that was emitted, other than closing marks and white space
        self._newline = False  # whether a line ended that the next line may continue
        self._table: Table | None = None
        self._bare = False  # whether the table has no pipes at the ends of its lines
        self._line: list[str] = []  # what was emitted since the start of the line before: it may be the headings
        self._fence = self._until = ""
        self._skipped: list[str] = []

    def feed(self, text: str) -> str:
        """Return the plain text that is certain after `text`."""
        self._text = self._text[max(0, self._at - HOLD) :] + text
        self._at = min(self._at, HOLD)
        return self._run()

    def close(self) -> str:
        """Return the rest of the plain text."""
        self._final = True
        return self._run()

    def _run(self) -> str:
        self._out = []
        while self._step():
            pass
        if self._final:
            self._finish()
        return "".join(self._out)

    def _finish(self) -> None:
        if self._skipped:
            self._leave_out("markdown", "".join(self._skipped))
            self._skipped = []
        self._end_table()
        if self._block in ("item", "heading"):
            self._stop()
        if self._newline:
            self._emit("\n")
        self._block, self._newline = "", False

    # ---- output ---------------------------------------------------------------------------------------------------

    def _emit(self, text: str) -> None:
        self._out.append(text)
        self._line.append(text)
        last = text.rstrip().rstrip(CLOSERS).rstrip()[-1:]
        self._last = last or ("" if "\n\n" in text else self._last)

    def _stop(self) -> None:
        """End a heading or an item with a full stop, unless it ends with a mark."""
        if self._last and self._last not in ENDS:
            self._emit(".")

    def _leave_out(self, rule: str, written: str) -> None:
        folded = " ".join(written.split())
        if folded:
            self.changes.append(Change(rule, folded if len(folded) <= 60 else f"{folded[:59]}…", ""))

    # ---- lines ----------------------------------------------------------------------------------------------------

    def _rest_of_line(self) -> str | None:
        """Return the rest of the line with its line break; None if it is not complete yet."""
        end = self._text.find("\n", self._at)
        if end >= 0:
            return self._text[self._at : end + 1]
        return self._text[self._at :] if self._final else None

    def _line_start(self) -> bool:
        """Decide what a line is, and end the block before it."""
        left = len(self._text) - self._at
        if not left:
            return False
        line = self._text[self._at : self._at + 200].partition("\n")
        indent = len(line[0]) - len(line[0].lstrip(" \t"))
        starts_bracket = line[0][indent : indent + 1] in ("[", "|")
        if not line[1] and not self._final and len(line[0]) < indent + (72 if starts_bracket else AHEAD) and left < 200:
            return False
        start = self._at
        if not line[0].strip() and (line[1] or self._final):
            self._end_block(blank=True)
            self._emit(line[0] + line[1])
            self._at += len(line[0]) + len(line[1])
            return True
        if self._text.startswith("|", start + indent) or (self._table is not None and self._bare):
            return self._table_row()
        if self._newline and self._block == "text" and re.match(r"[ \t]*:?--[-:| \t]*$", line[0]):
            if not line[1] and not self._final and left < 200:
                return False
            if is_bare_delimiter(line[0]) and "|" in "".join(self._line):
                return self._bare_table(len(line[0]) + len(line[1]))
        if fence := FENCE.match(self._text, start):
            self._end_block()
            self._fence, self._step, self._skipped = fence[1], self._code_line, []
            return True
        if line[1] or self._final:
            if RULE.match(line[0]):
                if self._block == "text" and self._newline:  # an underlined heading
                    self._stop()
                self._end_block(blank=True)
                self._block = ""
                self._emit("\n\n")
                self._at += len(line[0]) + len(line[1])
                return True
        elif RULE.match(line[0]) and left < 200:  # all of it so far is a rule
            return False
        if (definition := DEFINITION.match(self._text, start)) and not definition[1].startswith("^"):
            whole = self._rest_of_line()
            if whole is None:
                return False
            if re.match(r"<?[a-z]+://|<?[\w./#-]+$", whole[len(definition[0]) :].strip()):
                self._end_block()
                self._leave_out("markdown", whole)
                self._at += len(whole)
                return True
        if quote := QUOTE.match(self._text, start):
            if self._block != "text":
                self._end_block()
            self._at = quote.end()
            if quote[1]:
                self._emit(f"{quote[1].capitalize()}:\n")
            elif self._newline:
                self._emit("\n")
            self._newline, self._block, self._step = False, "text", self._inline
            if item := self._item(self._at):
                self._at, self._block = self._numbered(item.end()), "item"
            return True
        if heading := HEADING.match(self._text, start):
            self._end_block(blank=True)
            self._start("heading", heading.end())
        elif item := self._item(start):
            self._end_block()
            self._start("item", self._numbered(item.end()))
        elif definition:  # a footnote
            self._end_block()
            self._start("item", definition.end())
        elif self._block == "item" and indent >= 2:
            self._emit("\n")
            self._start("item", start + indent)
        else:
            self._end_block()
            self._start("text", start)
        return True

    def _item(self, at: int) -> re.Match[str] | None:
        """Match the sign of a list item."""
        item = ITEM.match(self._text, at)
        if item is not None and not item[0].strip():
            number = re.compile(r"\d+").match(self._text, item.end())
            return item if number and len(number[0]) <= self._most_digits else None
        return item

    def _numbered(self, at: int) -> int:
        """Emit the number of an item with a point, and return where its text starts."""
        number = re.compile(r"(\d{1,9})[.)](?:[ \t]\[[ xX]\](?=[ \t]))?[ \t]+").match(self._text, at)
        if number is None:
            return at
        self._emit(f"{number[1]}. ")
        return number.end()

    def _start(self, block: str, at: int) -> None:
        self._block, self._at, self._newline, self._step = block, at, False, self._inline
        self._line = []

    def _end_block(self, blank: bool = False) -> None:
        """End the block of the line before, and emit the line break."""
        self._end_table()
        if self._block in ("item", "heading"):
            self._stop()
        if self._newline:
            self._emit("\n\n" if self._block == "heading" else "\n")
        self._newline = False
        if blank or self._block == "heading":
            self._block = "" if self._block != "text" else self._block

    # ---- tables, code, and what is left out ------------------------------------------------------------------------

    def _bare_table(self, size: int) -> bool:
        """Start a table whose headings were read as the line before, which did not look like a table's."""
        headings = row_text("".join(self._line))
        self._end_block()
        self._table, self._block, self._bare = Table(headings), "table", True
        self._at += size
        return True

    def _table_row(self) -> bool:
        whole = self._rest_of_line()
        if whole is None:
            return False
        if self._bare and self._table is not None and "|" not in whole:
            self._end_table()
            return True
        if self._table is None:
            self._end_block()
            self._table = Table()
        self._at += len(whole)
        self._block = "table"
        if is_delimiter(whole):
            self._table.confirm()
            return True
        for row in self._table.add([plain_text(cell) for cell in row_text(whole)]):
            self._emit(f"{row}\n")
        return True

    def _end_table(self) -> None:
        if self._table is not None:
            for row in self._table.end():
                self._emit(f"{row}\n")
            self._table, self._block, self._bare = None, "", False

    def _code_line(self) -> bool:
        """Take one line of a code block, its fences included."""
        whole = self._rest_of_line()
        if not whole:
            return False
        self._at += len(whole)
        opening = not self._skipped
        self._skipped.append(whole)
        closed = not opening and re.fullmatch(rf"[ \t]*{re.escape(self._fence)}{self._fence[0]}*\s*", whole)
        if self._read_code and not opening and not closed:
            self._emit(re.sub(r"([\[\]])", r"\\\1", whole))
        if closed or (self._final and self._at >= len(self._text)):
            if not self._read_code:
                self._leave_out("code block", "".join(self._skipped))
            self._skipped, self._block, self._newline, self._step = [], "", False, self._line_start
        return True

    def _skip(self) -> bool:
        """Leave out everything up to a closing tag."""
        end = self._text.find(self._until, self._at)
        if end < 0:
            stop = len(self._text) if self._final else max(self._at, len(self._text) - len(self._until))
            if sum(map(len, self._skipped)) < 200:
                self._skipped.append(self._text[self._at : stop])
            self._at = stop
            return False
        self._skipped.append(self._text[self._at : end + len(self._until)])
        self._at = end + len(self._until)
        self._leave_out("markdown", "".join(self._skipped))
        self._skipped, self._step = [], self._inline
        return True

    # ---- signs within a line --------------------------------------------------------------------------------------

    def _inline(self) -> bool:
        """Emit text up to the next sign, or convert the sign."""
        text, at, limit = self._text, self._at, len(self._text) - (0 if self._final else HOLD)
        if at >= limit and not (at < len(text) and text[at] == "\n"):
            return False
        m = SPECIAL.search(text, at)
        if m is None or m.start() > at:
            stop = limit if m is None else min(m.start(), max(limit, at))
            if stop <= at:
                return False
            self._emit(text[at:stop])
            self._at = stop
            return True
        if m[0] == "\n":
            self._at += 1
            self._newline, self._step = True, self._line_start
            return True
        converted = self._sign(m)
        if converted is None:
            return False
        end, plain = converted
        if plain:
            self._emit(plain)
        self._at = end
        return True

    def _sign(self, m: re.Match[str]) -> tuple[int, str] | None:
        """Return where a sign ends and what it is in plain text; None if more characters must come first."""
        c = m[0][0]
        if c in "¹²³⁴⁵⁶⁷⁸⁹⁰":  # after a word: a footnote mark
            return m.end(), ""
        if c in " \t":  # a # closes a heading, if nothing follows it
            run = re.compile(r".#+[ \t]*").match(self._text, m.start())
            assert run is not None
            if run.end() == len(self._text) and not self._final:
                return None
            closes = self._block == "heading" and self._text[run.end() : run.end() + 1] in ("", "\n")
            return run.end(), "" if closes else run[0]
        if c == "h":
            window = self._text[m.start() : m.start() + SPAN]
            end = ADDRESS_END.search(window)
            if end is None and len(window) < SPAN and not self._final:
                return None
            address = window[: end.start() if end else None].rstrip("*_~")
            return m.start() + len(address), address
        if c == "\\":
            return self._escape(m.start())
        if c == "`":
            pattern = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
            return self._found(pattern, m.start(), lambda s: re.sub(r"([\[\]])", r"\\\1", s[2].strip()))
        if m[0] == "==":
            return self._found(MARKED, m.start(), lambda s: plain_text(s[1]))
        if c == "^" and (power := SUPERSCRIPT.match(self._text, m.start())):
            return power.end(), power[1].translate(HIGH_DIGITS)  # an ordinal's letters stay
        if (
            c == "~"
            and (index := SUBSCRIPT.match(self._text, m.start()))
            and self._text[m.start() - 1 : m.start()].isalnum()
        ):
            return index.end(), index[1].translate(LOW_DIGITS)
        if c in "*_~":
            return self._emphasis(m.start(), c)
        if c in "[!":
            return self._bracket(m.start())
        if c == "<":
            return self._angle(m.start())
        if c == "$":
            return self._dollar(m.start())
        if c == "【":
            return self._found(re.compile(r"【[^】\n]*†[^】\n]*】"), m.start(), lambda s: "", end="】")
        return self._face(m.start())

    def _found(
        self, pattern: re.Pattern[str], at: int, plain: Callable[[re.Match[str]], str], end: str = "\n"
    ) -> tuple[int, str] | None:
        """Match a span that starts at `at`; wait while it may still be completed within the line."""
        window = self._text[at : at + SPAN]
        line = window.partition("\n")
        if found := pattern.match(line[0]):
            complete = line[1] or self._final or len(window) == SPAN or found.end() < len(line[0])
            return (at + found.end(), plain(found)) if complete else None
        decided = line[1] or self._final or len(window) == SPAN or (end != "\n" and re.search(end, line[0][1:]))
        return (at + 1, self._text[at]) if decided else None

    def _until_closing(self, at: int, closing: str, size: int, end: str) -> str | None:
        """Return the content up to a closing sign within `size` characters and before `end`: "" if there is none.

        None: it may still come.
        """
        window, ended, _ = self._text[at : at + size].partition(end)
        found = window.find(closing)
        if found >= 0:
            return window[:found]
        return "" if ended or self._final or len(window) == size else None

    def _escape(self, at: int) -> tuple[int, str] | None:
        following = self._text[at + 1 : at + 2]
        if not following:
            return (at + 1, "\\") if self._final else None
        if following in "([":
            closing, size = ("\\)", SPAN) if following == "(" else ("\\]", FORMULA)
            content = self._until_closing(at + 2, closing, size, "\n" if following == "(" else "\n\n")
            if content is None:
                return None
            if is_formula(content, displayed=following == "["):
                inner = " ".join(content.split())
                if not re.search(r"[\\^_=+<>A-Za-z]", inner):  # "2/3": between dollar signs it might be money
                    return at + 2 + len(content) + 2, inner
                sign = "$" if following == "(" else "$$"
                return at + 2 + len(content) + 2, f"{sign}{inner}{sign}"
        if following in "[]":
            return at + 2, self._text[at : at + 2]
        return (at + 2, following) if following in "*_`#~|<>$!(){}+-." else (at + 1, "\\")

    def _emphasis(self, at: int, c: str) -> tuple[int, str] | None:
        end = at
        while self._text.startswith(c, end):
            end += 1
        if end + 1 >= len(self._text) and not self._final:
            return None
        run = self._text[at:end]
        before, after = self._text[max(0, at - 2) : at], self._text[end : end + 2]
        return end, "" if is_emphasis(before, run, after) else run

    def _bracket(self, at: int) -> tuple[int, str] | None:
        """Convert links, images and footnote marks; leave vivavoce's tags and other brackets."""
        image = self._text[at] == "!"
        start = at + image
        window = self._text[start : start + SPAN]
        if tag := OWN_TAG.match(window):
            following = window[tag.end() : tag.end() + 1]
            if not following and not self._final:
                return None
            if following != "(":
                return start + tag.end(), tag[0]
        line = window.partition("\n")
        decided = bool(line[1]) or self._final or len(window) == SPAN
        close = closing_bracket(line[0], "[", "]")
        if close < 0:
            return (at + 1, self._text[at]) if decided else None
        label, following = line[0][1:close], line[0][close + 1 : close + 2]
        if not following and not decided:
            return None
        if label.startswith("^") and label[1:]:
            return start + close + 1, ""
        if following == "(":
            end = closing_bracket(line[0][close + 1 :], "(", ")")
            if end >= 0:
                return start + close + 1 + end + 1, plain_text(label)
            return (at + 1, self._text[at]) if decided else None
        reference = re.match(r"\[[\w .-]*\]", line[0][close + 1 :])
        if reference and not OWN_TAG.match(reference[0]):
            return start + close + 1 + reference.end(), plain_text(label)
        if following == "[" and not reference and not decided:
            return None
        if line[0].startswith("[[") and line[0][close - 1 : close + 1] == "]]":
            return start + close + 1, plain_text(label[1:-1].rpartition("|")[2])
        return at + 1, self._text[at]

    def _angle(self, at: int) -> tuple[int, str] | None:
        window = self._text[at : at + SPAN]
        if len(window) < HOLD and not self._final and "\n" not in window:
            return None
        if face := EMOTICON.match(self._text, at):
            return face.end(), ""
        if window.startswith("<!--"):
            self._until, self._step = "-->", self._skip
            return at, ""
        tag = re.match(r"</?([A-Za-z][A-Za-z0-9]*)(?:[\s/][^<>]*)?>", window)
        if tag:
            name = tag[1].lower()
            if name in SKIPPED and window[1] != "/":
                self._until, self._step = f"</{tag[1]}>", self._skip
                return at, ""
            if name in HTML | SKIPPED:
                alt = re.search(r"\balt\s*=\s*[\"']([^\"']*)", tag[0]) if name == "img" else None
                return at + tag.end(), html.unescape(alt[1]) if alt else "\n" if name in BREAKING else ""
            return at + 1, "<"
        if link := re.match(r"<((?:https?://|mailto:)[^\s<>]+|[\w.+-]+@[\w.-]+)>", window):
            return at + link.end(), link[1]
        if re.match(r"</?[A-Za-z][^<>\n]*$", window) and len(window) < SPAN and not self._final:
            return None
        return at + 1, "<"

    def _dollar(self, at: int) -> tuple[int, str] | None:
        """Pass a formula unchanged; its signs are not Markdown's."""
        if len(self._text) - at < 2 and not self._final:
            return None
        if self._text.startswith("$$", at):
            content = self._until_closing(at + 2, "$$", FORMULA, "\n\n")
            if content is None:
                return None
            return (at + 4 + len(content), f"$${' '.join(content.split())}$$") if content else (at + 2, "$$")
        return self._found(re.compile(r"\$(?=[^\s$])[^$\n]{0,300}?(?<=[^\s\\])\$(?!\d)"), at, lambda s: s[0])

    def _face(self, at: int) -> tuple[int, str] | None:
        """Leave out an emoticon or the short code of an emoji."""
        if len(self._text) - at < 40 and not self._final and not re.search(r"\s", self._text[at + 1 :]):
            return None
        found = EMOTICON.match(self._text, at) or SHORTCODE.match(self._text, at)
        return (found.end(), "") if found else (at + 1, self._text[at])


def plain_text(text: str) -> str:
    """Return the plain text of signs within one line, such as the label of a link or the cell of a table."""
    inner = MarkdownFilter()
    inner._block, inner._step = "text", inner._inline
    return inner.feed(text.replace("\n", " ")) + inner.close()


def convert(
    texts: Iterable[str], report: Callable[[list[Change]], object], *, read_code: bool = False, certain: bool = False
) -> Iterator[str]:
    """Yield a stream of Markdown as plain text, as soon as it is certain. `report` is called with what is left out.

    Raises ValueError for an item that is not a str.
    """
    markdown = MarkdownFilter(read_code=read_code, certain=certain)
    reported = 0
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"text is of type {type(text).__name__}; it must be a str or an iterator of str")
        plain = markdown.feed(text)
        report(markdown.changes[reported:])
        reported = len(markdown.changes)
        if plain:
            yield plain
    plain = markdown.close()
    report(markdown.changes[reported:])
    if plain:
        yield plain
