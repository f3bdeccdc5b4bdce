"""Measure how soon `vivavoce speechd`, the module of Speech Dispatcher, answers a message and sends its first sound.

    python benchmarks/screen_reader.py

loads the module with the bundled model and sends it the messages of a screen reader. CPU time is that of this process,
which other load on the machine does not change.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from common import exit_status, parser

from vivavoce.cli.speechd_module import Module
from vivavoce.synthesis.tts import load
from vivavoce.voices import get

MESSAGES = [
    ("CHAR", "b"),
    ("CHAR", "b"),
    ("SPEAK", "OK button."),
    ("SPEAK", "File menu, three items."),
    ("SPEAK", "The quick brown fox jumps over the lazy dog and goes to the market to buy bread."),
    (
        "SPEAK",
        "You have three new messages, two of them are from your bank. The first was sent this morning by the branch in "
        "the main street, and it says that your card has been renewed.",
    ),
]


class Client:
    """Speech Dispatcher's side of the two pipes."""

    def __init__(self, voice: str) -> None:
        below, above = os.pipe()
        source, self.commands = os.fdopen(below, "rb"), os.fdopen(above, "wb", buffering=0)
        below, above = os.pipe()
        self.answers, target = os.fdopen(below, "rb"), os.fdopen(above, "wb")
        module = Module(load, get(voice), 1.0, source, target)
        threading.Thread(target=module.run, daemon=True).start()

    def send(self, *lines: str) -> None:
        self.commands.write("".join(f"{line}\n" for line in lines).encode())

    def until(self, beginning: bytes) -> None:
        while line := self.answers.readline():
            if line.startswith(beginning):
                return
        raise RuntimeError(f"the module ended before it sent {beginning.decode()}")

    def measure(self, command: str, text: str) -> list[float]:
        """Return CPU and clock milliseconds until the answer, and until the first sound."""
        cpu, clock = time.process_time(), time.monotonic()
        self.send(command, text, ".")
        found = []
        for beginning in (b"200 OK SPEAKING", b"705-bits"):
            self.until(beginning)
            found += [1000 * (time.process_time() - cpu), 1000 * (time.monotonic() - clock)]
        self.until(b"702 END")
        return found


def measure(voice: str) -> None:
    client = Client(voice)
    client.send("INIT")
    client.until(b"299 OK")
    print("ms until the answer: CPU, clock; until the first sound: CPU, clock")
    for command, text in MESSAGES:
        figures = " ".join(f"{value:6.1f}" for value in client.measure(command, text))
        print(f"{figures}  {command} {text if len(text) < 50 else f'{text[:40]}… ({len(text)} characters)'}")
    client.send("QUIT")
    client.until(b"210")


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--voice", default="celeste")
    arguments = options.parse_args()
    return exit_status(lambda: measure(arguments.voice))


if __name__ == "__main__":
    sys.exit(main())
