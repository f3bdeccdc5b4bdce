"""The command line `vivavoce`: a thin shell over the library, one function a command.

`vivavoce "text"` is `vivavoce speak "text"`. What is typed wrongly gets one line and exit status 2 (`generate.run`).
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vivavoce.generate import number, run, speak, whole_number
from vivavoce.voices import voices as builtin_voices


class DefaultCommand(TyperGroup):
    """A first argument that is no command belongs to `speak`, and so does standard input without any argument."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            args = ["--help"] if sys.stdin is None or sys.stdin.isatty() else ["speak"]
        elif args[0] not in self.commands and args[0] not in ("--help", "--version"):
            args = ["speak", *args]
        return super().parse_args(ctx, args)


class ManyValues(TyperCommand):
    """`--data a b c` is `--data a --data b --data c`, so that the shell may expand `--data shards/*.tar`."""

    many = ("--data", "--valid")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        option, values = "", 0
        for arg in args:
            if arg.startswith("-"):
                option, values = (arg, 0) if arg in self.many else ("", 0)
            elif option:
                values += 1
                if values > 1:
                    spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


app = typer.Typer(cls=DefaultCommand, add_completion=False, pretty_exceptions_enable=False)
app.command("speak")(speak)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"vivavoce {metadata.version('vivavoce')}")
        except metadata.PackageNotFoundError:
            print("vivavoce, not installed: no version")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Text to speech. 'vivavoce "text"' is 'vivavoce speak "text"'; 'vivavoce speak --help' shows its flags."""


@app.command("voices")
def voices() -> None:
    """List the built-in voices: name, description, language, licence."""
    head = ("name", "description", "language", "licence")
    rows = [(v.name, v.description, v.language, v.licence) for v in builtin_voices()]
    if not sys.stdout.isatty():
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


@app.command("train", cls=ManyValues)
def train(
    task: Annotated[str, typer.Argument(metavar="TASK", help="vocoder, duration or nanospeech.")],
    config: Annotated[Path, typer.Option(metavar="FILE", help="The JSON config of the model and the run.")],
    data: Annotated[list[str], typer.Option(metavar="SHARD...", help="WebDataset shards: paths, globs, URLs.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for checkpoints, logs and samples.")],
    max_minutes: Annotated[
        float | None, typer.Option(parser=number, metavar="N", help="Stop after this long, with a checkpoint.")
    ] = None,
    valid: Annotated[list[str] | None, typer.Option(metavar="SHARD...", help="Shards to validate on.")] = None,
    threads: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="N", help="CPU threads (default: torch's choice).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with the run in --out, or refuse where there is one.")
    ] = True,
    start_from: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="Weights that a new run starts with.")
    ] = None,
) -> None:
    """Train a model on shards; a run that was stopped goes on where it stood."""
    if not resume and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"--no-resume: {out} is not empty; give another --out, or empty it")
    try:
        from vivavoce.train import loop
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "vivavoce":
            raise
        raise ValueError(f"train: the package {error.name} is missing: pip install vivavoce[train]") from None
    loop.train(task, config, data, out, max_minutes, valid or [], threads, start_from)


@app.command("export")
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'vivavoce train' wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the model, which --model takes.")],
) -> None:
    """Write a trained model as safetensors and config.json."""
    from vivavoce.train.export import export as write_model  # here, for it loads torch

    write_model(run_folder, out)


def main() -> None:
    sys.exit(run(app))


if __name__ == "__main__":
    main()
