"""Markdown, by way of HTML. Tags of `text.markup` stay as they are written."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from vivavoce.books.book import Book, escape, left_out, only_heading, to_chapters
from vivavoce.books.html import parse_html
from vivavoce.books.notes import FOOTNOTES, place_notes

MAX_NESTING = 100  # levels of lists and quotations that markdown-it reads; it drops what is deeper
MAX_BRACKETS = 10  # open brackets that may begin a link; each further one would take as long as all the text after it
MAX_INDENT = 80  # columns; a list that is indented further is read at this level

_FRONT = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_BRACKET = re.compile(r"\\.|[\[\]]|\n[^\S\n]*\n", re.DOTALL)
_PREFIX = re.compile(r"^(?:[ \t]|>)+", re.MULTILINE)


def read_markdown(text: str, footnotes: str = FOOTNOTES[0]) -> Book:
    """Return the chapters of a Markdown text."""
    from markdown_it import MarkdownIt

    title = ""
    if front := _FRONT.match(text):
        text = text[front.end() :]
        found = re.search(r"^title:\s*(.+?)\s*$", front[1] or "", re.MULTILINE)
        title = found[1].strip("\"'") if found else ""
    text = re.sub(r"^\[\^[^\]\s]+\]:[^\S\n]*", "", text, flags=re.MULTILINE)  # a note is read where it stands
    text, marks = re.subn(r"\[\^[^\]\s]+\]", "", text)
    # Without text_join, an escaped bracket is a separate token, distinct from the bracket of a tag.
    markdown = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
    markdown.disable("text_join")
    markdown.add_render_rule("text_special", _render_special)
    markdown.add_render_rule("code_inline", lambda _, tokens, at, *rest: _to_html(escape(tokens[at].content)))
    tokens = markdown.parse(_PREFIX.sub(_shallower, _fewer_brackets(text)))
    deep = sum(token.level >= MAX_NESTING - 1 for token in tokens)
    page = parse_html(markdown.renderer.render(tokens, markdown.options, {}), tags=True)
    if marks:
        page.left_out["note mark"] += marks
    notices = left_out(page.left_out)
    if deep:
        notices += (f"lists or quotations nested deeper than {MAX_NESTING // 2} levels are left out",)
    blocks = place_notes({"": replace(page)}, footnotes, page.left_out, page.language)
    return Book(title or only_heading(blocks), to_chapters(blocks), (), notices)


def _fewer_brackets(text: str) -> str:
    """Escape the brackets of a paragraph that are nested too deeply to be those of links."""
    depth = 0

    def replace(m: re.Match[str]) -> str:
        nonlocal depth
        if m[0] == "[":
            depth += 1
            return m[0] if depth <= MAX_BRACKETS else "\\["
        depth = max(0, depth - 1) if m[0] == "]" else 0 if m[0][0] == "\n" else depth
        return m[0]

    return _BRACKET.sub(replace, text)


def _shallower(m: re.Match[str]) -> str:
    """Limit the indentation and the marks of quotation of a line, so that nothing is nested too deeply to be read."""
    prefix = m[0].expandtabs(4)
    marks = prefix.count(">")
    if marks <= MAX_NESTING // 4 and len(prefix) - marks <= MAX_INDENT:
        return m[0]
    spaces = " " * min(MAX_INDENT, len(prefix) - len(prefix.rstrip(" ")))
    return ">" * min(marks, MAX_NESTING // 4) + spaces


def _render_special(_: Any, tokens: Any, at: int, *rest: Any) -> str:
    return _to_html(escape(tokens[at].content))


def _to_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
