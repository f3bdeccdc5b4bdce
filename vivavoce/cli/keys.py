"""Keys that act while speech is played: the space bar pauses, q stops."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from vivavoce.audio.playback import Player

PAUSE, STOP = (" ", "p", "k"), ("q", "\x1b", "s")
HELP = "space: pause; q: stop"


def control(player: Player | None) -> contextlib.AbstractContextManager[bool]:
    """Return a context in which the keys pause and stop a player, if there is one, as `listen`."""
    if player is None:
        return contextlib.nullcontext(False)

    def pressed(key: str) -> None:
        if key in PAUSE:
            player.pause()
        elif key in STOP:
            player.stop()

    return listen(pressed)


@contextlib.contextmanager
def listen(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call `pressed` with each key, from a thread, until the block ends. Yields whether there is a keyboard.

    There is none where standard input or standard error is not a terminal. Ctrl-C works as usual.
    """
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
        yield False
        return
    done = threading.Event()
    with _one_by_one() as read:

        def run() -> None:
            while not done.is_set():
                if key := read():
                    pressed(key)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield True
        finally:
            done.set()
            thread.join(1.0)


@contextlib.contextmanager
def _one_by_one() -> Iterator[Callable[[], str]]:
    """Let the terminal pass on each key at once. Yields a function that returns one, or "" after 0.1 s without."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield _read_windows
        return
    import os
    import select

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read() -> str:
        ready, _, _ = select.select([descriptor], [], [], 0.1)
        return os.read(descriptor, 32).decode(errors="replace")[:1] if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield read
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read_windows() -> str:
    import msvcrt
    import time

    if not msvcrt.kbhit():  # type: ignore[attr-defined, unused-ignore]
        time.sleep(0.1)
        return ""
    return str(msvcrt.getwch())  # type: ignore[attr-defined, unused-ignore]
