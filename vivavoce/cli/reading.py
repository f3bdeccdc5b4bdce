"""Commands for reading aloud every day: `watch`, `speechd` and `completion`; and `feed` for podcast players."""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vivavoce.audio.playback import Player, why_silent
from vivavoce.cli import clipboard, keys
from vivavoce.cli.inputs import chosen_voice
from vivavoce.cli.options import NUMBER, Flags, MarkupFlags, ModelFlags, VoiceFlags, takes
from vivavoce.cli.terminal import completion_script, print_line, progress_bar
from vivavoce.synthesis.tts import TTS, load
from vivavoce.text.lexicon import Lexicon
from vivavoce.voices import Voice


@dataclass(frozen=True)
class WatchFlags(Flags):
    """What is watched."""

    selection: Annotated[
        bool, typer.Option("--selection", help="Read what is selected, without copying it (Linux).")
    ] = False
    speed: Annotated[float | None, typer.Option(**NUMBER, help="Speaking rate; 2 is twice as fast.")] = None


@takes(WatchFlags, VoiceFlags, MarkupFlags, ModelFlags)
def watch(flags: WatchFlags, voice: VoiceFlags, reading: MarkupFlags, model: ModelFlags) -> None:
    """Read aloud what is copied to the clipboard, until Ctrl-C. New text replaces what is being read."""
    speaker = chosen_voice(voice)
    if silent := why_silent():
        raise ValueError(silent)
    clipboard.command(flags.selection)
    options = {**reading.given(), **({} if flags.speed is None else {"speed": flags.speed})}
    if reading.lexicon is not None:
        options["lexicon"] = Lexicon.load(reading.lexicon)
    with progress_bar("loading the model"):
        tts = load(**model.given())
    print_line(f"copy a text to hear it; Ctrl-C ends; {keys.HELP}")
    for text in clipboard.changes(flags.selection):
        _read_aloud(tts, text, speaker, flags.selection, options)


def _read_aloud(tts: TTS, text: str, speaker: Voice, selection: bool, options: dict[str, object]) -> None:
    """Speak one text; stop if another is copied, or q is pressed. A text that cannot be spoken is reported."""
    done = threading.Event()

    def stop_at_next(player: Player) -> None:
        while not done.wait(clipboard.POLL):
            with contextlib.suppress(ValueError):
                if clipboard.read(selection) not in ("", text):
                    player.stop()

    try:
        with Player(tts.sample_rate) as player:
            threading.Thread(target=stop_at_next, args=(player,), daemon=True).start()
            with keys.control(player):
                for speech in tts.stream(text, speaker, strict=False, **options):  # type: ignore[arg-type]
                    player.play(speech.samples)
                    if player.stopped:
                        break
                player.wait()
    except ValueError as error:
        warnings.warn(f"not read: {error}", stacklevel=1)
    finally:
        done.set()


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")],
) -> None:
    """Print a script with which your shell completes commands and flags."""
    print(completion_script(shell))


@dataclass(frozen=True)
class FeedFlags(Flags):
    """What is in the feed."""

    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", show_default=False, help="Folder of sound files, in the order of names.")
    ]
    url: Annotated[str, typer.Option(metavar="URL", help="Address at which the folder will be served.")] = ""
    title: Annotated[str | None, typer.Option(help="Title of the podcast (default: that of the album).")] = None
    author: Annotated[str | None, typer.Option(help="Author (default: that in the files).")] = None


@takes(FeedFlags)
def feed(flags: FeedFlags) -> None:
    """Write feed.xml, a podcast of a folder of chapters, so that podcast players can subscribe to it."""
    from vivavoce.books.feed import write_feed

    path, count = write_feed(flags.folder, flags.url, flags.title, flags.author)
    print(f"{count} episodes in {path}")


@dataclass(frozen=True)
class SpeechdFlags(Flags):
    """What Speech Dispatcher starts the command with."""

    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", show_default=False, help="Configuration file that Speech Dispatcher passes."),
    ] = None
    install: Annotated[
        bool, typer.Option("--install", help="Write the configuration for this user, and say what to do next.")
    ] = False
    speed: Annotated[float | None, typer.Option(**NUMBER, help="Speaking rate at Speech Dispatcher's default.")] = None


@takes(SpeechdFlags, VoiceFlags, ModelFlags)
def speechd(flags: SpeechdFlags, voice: VoiceFlags, model: ModelFlags) -> None:
    """Speak for screen readers: a module of Speech Dispatcher (Linux), which starts this command."""
    from vivavoce.cli import speechd_module

    if flags.install:
        for line in speechd_module.install():
            print(line)
        return
    speaker = chosen_voice(voice)
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("Speech Dispatcher starts this command; to set it up: vivavoce speechd --install")
    speechd_module.serve(lambda: load(**model.given()), speaker, flags.speed or 1.0)
