"""`vivavoce voices`: list the voices, and add, remove, export and describe those of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vivavoce.bundles import read_bundle
from vivavoce.cli.terminal import LiteralHelp, print_table
from vivavoce.voices import Voice, find_voice, get, names, own_path
from vivavoce.voices import add_voice as add
from vivavoce.voices import remove_voice as remove

_File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="A saved voice, such as me.voice.")]
_Name = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, help="A voice of 'vivavoce voices', or a saved one's file.")
]


class _Group(LiteralHelp, TyperGroup):
    """A group whose help may contain square brackets."""


class _Command(LiteralHelp, TyperCommand):
    """The same for its commands."""


app = typer.Typer(cls=_Group, add_completion=False)


@app.callback(invoke_without_command=True)
def list_voices(context: typer.Context) -> None:
    """List the voices: name, description, language, licence. Add voices of your own, and pass them on."""
    if context.invoked_subcommand is not None:
        return
    rows = []
    for name in names():
        try:
            voice = get(name)
            rows.append((name, voice.description, voice.language, voice.licence))
        except (ValueError, OSError) as error:
            rows.append((name, f"unusable: {error}", "", ""))
    print_table(("name", "description", "language", "licence"), rows)


@app.command("add", cls=_Command)
def add_voice(
    file: _File,
    name: Annotated[str | None, typer.Option(help="What to call it (default: the name in the file).")] = None,
) -> None:
    """Add a saved voice, so that --voice NAME speaks it. Prints its licence and what its speaker consented to."""
    _print_terms(voice := add(file, name))
    print(f'added; speak with it: vivavoce --voice "{voice.name}" "Hello."')


@app.command("remove", cls=_Command)
def remove_voice(name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)]) -> None:
    """Delete a voice that was added or trained."""
    print(f"deleted {remove(name)}")


@app.command("export", cls=_Command)
def export_voice(
    name: _Name,
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="File to write, such as me.voice.")],
) -> None:
    """Write a voice to one file, with its recording, terms and trained weights, to use it on another machine."""
    voice = find_voice(name)
    voice.save(out)
    _print_terms(voice)
    print(f"written to {out}")


@app.command("info", cls=_Command)
def describe_voice(name: _Name) -> None:
    """Describe a voice: licence, consent, recording, trained weights."""
    voice = find_voice(name)
    _print_terms(voice)
    print(f"recording    {voice.duration:.1f} s" + (f", {voice.transcript!r}" if voice.transcript else ""))
    weights = voice.weights
    if weights is None:
        print("weights      none; the model speaks it from its recording")
        return
    size = weights.path.stat().st_size / 1e6
    parts = ", ".join(f"{part} (from {base[:12]}…)" for part, base in weights.base.items())
    print(f"weights      {parts}; {size:.1f} MB in {weights.path}")
    for key, value in read_bundle(weights.path, complete=True).training.items():
        print(f"{key:<12} {_shown(value)}")


def _print_terms(voice: Voice) -> None:
    own = own_path(voice.name)
    for key, value in (
        ("name", voice.name),
        ("description", voice.description),
        ("language", voice.language),
        ("licence", voice.licence),
        ("consent", voice.consent or "not stated"),
        ("file", "" if own is None else str(own)),
    ):
        if value:
            print(f"{key:<12} {value}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
