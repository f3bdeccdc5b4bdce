"""The text on the clipboard, read by a program that the desktop has: no package is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

MAX_BYTES = 2_000_000
POLL = 0.4  # seconds between two looks at the clipboard
_SECONDS = 5.0  # that a program may take


def command(primary: bool = False) -> list[str]:
    """Return the program that prints the clipboard. primary: what is selected, where the desktop has it (Linux).

    Raises ValueError, saying what to install, if there is none.
    """
    if sys.platform == "darwin":
        return ["pbpaste"]
    if sys.platform == "win32" or "microsoft" in os.uname().release.lower():
        script = "[Console]::OutputEncoding = [Text.Encoding]::UTF8; Get-Clipboard -Raw"
        return ["powershell.exe", "-NoProfile", "-Command", script]
    wayland = ["wl-paste", "--no-newline", "--type", "text/plain;charset=utf-8", *["--primary"] * primary]
    selection = "primary" if primary else "clipboard"
    candidates = [
        *([wayland] if os.environ.get("WAYLAND_DISPLAY") else []),
        ["xclip", "-out", "-selection", selection],
        ["xsel", "--output", f"--{selection}"],
    ]
    for line in candidates:
        if shutil.which(line[0]):
            return line
    raise ValueError("the clipboard cannot be read: install wl-clipboard (Wayland), or xclip or xsel (X11)")


def read(primary: bool = False) -> str:
    """Return the text on the clipboard; "" if it holds none. Raises ValueError as `command` does."""
    line = command(primary)
    try:
        done = subprocess.run(line, capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{line[0]} did not answer within {_SECONDS:g} s") from None
    except OSError as error:
        raise ValueError(f"{line[0]}: {error.strerror or error}") from None
    if len(done.stdout) > MAX_BYTES:
        raise ValueError(f"the clipboard has more than {MAX_BYTES / 1e6:g} MB of text; save it and read it with --file")
    return done.stdout.decode("utf-8", "replace").replace("\r\n", "\n") if done.returncode == 0 else ""


def changes(
    primary: bool = False, look: Callable[[bool], str] = read, wait: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """Yield each text that is copied from now on."""
    last = look(primary)
    while True:
        text = look(primary)
        if text != last:
            last = text
            if text.strip():
                yield text
        wait(POLL)
