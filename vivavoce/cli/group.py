"""How a command line is read: `vivavoce "text"` means `vivavoce speak "text"`; some options take several values."""

from __future__ import annotations

import difflib
import sys
from typing import Any

from typer.core import TyperCommand, TyperGroup

from vivavoce.cli.terminal import LiteralHelp

_SIMILAR = 0.75  # how close a word must be to a command's name to count as a misspelling of it, 0 to 1


class Command(LiteralHelp, TyperCommand):
    """A command whose options may take several values: `--data a b c` means `--data a --data b --data c`.

    This lets the shell expand `--data shards/*.tar`.
    """

    several = ("--data", "--valid", "--sentences", "--speakers", "--reference")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        option, values = "", 0
        for arg in args:
            if arg.startswith("-"):
                option, values = (arg, 0) if arg in self.several else ("", 0)
            elif option:
                values += 1
                if values > 1:
                    spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


class Group(LiteralHelp, TyperGroup):
    """Run `speak` if the first argument is not a command, or if there is only standard input."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell completes the line
            return super().parse_args(ctx, args)
        if not args:
            args = ["--help"] if sys.stdin is None or sys.stdin.isatty() else ["speak"]
        elif args[0] not in self.commands and args[0] not in ("--help", "-h", "--version", "-v"):
            self._check_misspelling(args[0])
            args = ["speak", *args]
        return super().parse_args(ctx, args)

    def _check_misspelling(self, word: str) -> None:
        """Raise ValueError for a single word that looks like a command rather than a text to speak."""
        if word.startswith("-") or not word.strip() or len(word.split()) > 1:
            return
        speak_it = f'to speak the word, run: vivavoce speak "{word}"'
        if word.lower() == "help":
            raise ValueError(f"unknown command {word!r}; for help, run: vivavoce --help; {speak_it}")
        near = difflib.get_close_matches(word.lower(), self.commands, n=1, cutoff=_SIMILAR)
        if near:
            raise ValueError(f"unknown command {word!r}; did you mean {near[0]!r}? {speak_it[0].upper()}{speak_it[1:]}")
