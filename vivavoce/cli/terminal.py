"""How every command behaves on a terminal: exit statuses, one line per error and notice, a progress bar."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import typer
import typer.main

from vivavoce.cli.defaults import default_map
from vivavoce.config import require_choice
from vivavoce.systems.interface import SynthesisError

LOG_SECONDS = 60.0  # between lines about the progress where there is no terminal
_COMPLETE = "_VIVAVOCE_COMPLETE"  # the variable by which a shell asks for completions
BAD_INPUT, FAILED, INTERRUPTED, PIPE_CLOSED = 2, 1, 130, 141  # exit statuses; the last two follow shell convention


def run(app: typer.Typer, arguments: Sequence[str] | None = None, name: str = "vivavoce") -> int:
    """Run a command line and return its exit status. Any status but 0 comes with one line on stderr.

    With VIVAVOCE_DEBUG=1 in the environment, the traceback precedes that line.
    """
    _occupy_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(app)
    _complete(command, name)
    try:
        defaults = default_map(arguments)
        settings: dict[str, Any] = {"help_option_names": ["-h", "--help"], "default_map": defaults}
        if not isinstance(command, typer.core.TyperGroup):  # python -m vivavoce.generate
            settings["default_map"] = defaults["speak"]
        with _print_warnings(), command.make_context(name, list(arguments), **settings) as context:
            command.invoke(context)
            if sys.stdout is not None:
                sys.stdout.flush()
        return 0
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print_line("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()  # the reader has closed the pipe on purpose, as `head` does
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get("VIVAVOCE_DEBUG") == "1":
            traceback.print_exc()
        message, status = _explain(error)
        print_line(f"error: {message}")
        _discard_stdout()
        return status


def _complete(command: Any, name: str) -> None:
    """Answer a shell that asks how to complete a command line (`vivavoce completion`), and exit."""
    if _COMPLETE in os.environ:
        from typer.completion import completion_init

        completion_init()
        command._main_shell_completion({}, name, _COMPLETE)


def completion_script(shell: str) -> str:
    """Return the script that makes a shell complete commands and flags. Raises ValueError for an unknown shell."""
    from typer._completion_shared import get_completion_script

    require_choice("shell", shell, ("bash", "zsh", "fish", "powershell"))
    return get_completion_script(prog_name="vivavoce", complete_var=_COMPLETE, shell=shell)


def print_line(message: str) -> None:
    """Print one line on stderr, whatever line breaks the message contains."""
    with contextlib.suppress(OSError, ValueError):
        print(" ".join(message.split()), file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar on stderr and yield a function (description, fraction done from 0 to 1) that updates it.

    Shows nothing where stderr is not a terminal.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda description, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    remaining = (TimeRemainingColumn(), TextColumn("{task.fields[left]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), *remaining)
    # stdout may carry the audio, so the bar must not redirect it.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(description, total=None, left="")
        yield lambda description, done: bar.update(
            task, description=description, total=1.0, completed=done, left="left"
        )


def rate_of(what: str, show: Callable[[str, float], None]) -> Callable[[int, int], None]:
    """Return a function (done, total) that shows how many are done, how many a second, and the time left.

    Where stderr is not a terminal, such as in the log of a cluster, it prints a line every LOG_SECONDS.
    """
    began: tuple[float, int] | None = None
    printed = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal began, printed
        now = time.monotonic()
        began = began or (now, done)  # an earlier run did some of them
        line = f"{done} of {total} {what}"
        if done > began[1] and now > began[0]:
            rate = (done - began[1]) / (now - began[0])
            line += f", {rate:.{1 if rate >= 1 else 3}f} a second"
        show(line, done / total if total else 1.0)
        if now - printed > LOG_SECONDS and done > began[1] and not (sys.stderr is not None and sys.stderr.isatty()):
            printed = now
            print_line(f"{line}, {(total - done) / rate / 60:.0f} minutes left")

    return update


@contextlib.contextmanager
def requires(command: str, extra: str) -> Iterator[None]:
    """Raise ValueError with the command to run where an import fails because an extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "vivavoce":
            raise
        raise ValueError(f"{command}: the package {error.name} is missing: pip install vivavoce[{extra}]") from None


@contextlib.contextmanager
def resumable(what: str) -> Iterator[None]:
    """After Ctrl-C, print how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        print_line(f"stopped; finished {what} are kept, and the same command resumes from there")
        raise


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, tab-separated elsewhere."""
    if sys.stdout is None or not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _explain(error: Exception) -> tuple[str, int]:
    """Return the message for the user and the exit status."""
    if hasattr(error, "format_message"):  # click's errors about flags, whichever click typer uses
        return error.format_message(), BAD_INPUT
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror, BAD_INPUT
    if isinstance(error, ValueError | OSError):
        return str(error), BAD_INPUT
    if isinstance(error, SynthesisError):
        return str(error), FAILED
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return "out of memory", FAILED
    report = "this is a bug in vivavoce; please report it with the output of the same command under VIVAVOCE_DEBUG=1"
    return f"unexpected {type(error).__name__}: {str(error)[:300]}; {report}", FAILED


@contextlib.contextmanager
def _print_warnings() -> Iterator[None]:
    """Print the library's warnings as one line each, and hide the deprecation warnings of other packages."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print_line(f"notice: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _occupy_standard_streams() -> None:
    """Open the null device for each of descriptors 0 to 2 that the caller closed (`>&-`).

    Otherwise the next file that is opened gets the number, and a library that prints to stdout writes into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _discard_stdout() -> None:
    """Point stdout at the null device if it cannot be flushed, so that Python's own flush at exit does not fail."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escape_markup(text: str | None) -> Any:
    """Return help text in which rich finds no markup: it would swallow square brackets."""
    from rich.markup import escape

    return None if text is None else escape(text)


class LiteralHelp:
    """Mixin for commands: `--help` prints help texts exactly as they are written."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        described: list[Any] = [self, *self.get_params(ctx)]  # type: ignore[attr-defined]
        described += getattr(self, "commands", {}).values()
        texts = [(each, name, getattr(each, name, None)) for each in described for name in ("help", "short_help")]
        try:
            for each, name, text in texts:
                if text is not None:
                    setattr(each, name, _escape_markup(text))
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            for each, name, text in texts:
                if text is not None:
                    setattr(each, name, text)
