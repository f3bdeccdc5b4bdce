"""Measure how fast the WebSocket of `vivavoce serve` stops when the listener interrupts.

    python benchmarks/barge_in.py --times 50

starts a server with the bundled model. Each time, a stream receives a long text and, once audio arrives, sends cancel
after a random delay. The script prints the milliseconds from sending cancel to the reply `cancelled`, after which no
audio of the text follows, and how many milliseconds of speech were sent in between.

Exit status 0: every reply came within --limit milliseconds. 1: otherwise.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import numpy as np
from common import parser

from vivavoce import client

# Four minutes: generating it takes longer than any interruption waits.
TEXT = "The road was empty, and they walked on until the first houses came into sight. " * 48


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server on a free port and yield its address."""
    with tempfile.TemporaryDirectory() as voices:
        command = [sys.executable, "-m", "vivavoce", "serve", "--port", "0", "--voices", f"{voices}/voices"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                for line in process.stderr:
                    if found := re.search(r"listening at (http://\S+\d)", line):
                        yield found[1]
                        return
                raise RuntimeError("the server did not start")
            finally:
                process.terminate()


def interrupt(address: str, wait: float) -> tuple[float, float]:
    """Return the milliseconds to the reply, and those of the speech that arrived before it."""
    with client.connect(address, voice="nash") as stream:
        stream.append(TEXT)
        events = iter(stream)
        until = 0.0
        for event in events:
            until = until or time.monotonic() + wait
            if event.audio and time.monotonic() >= until:
                break
        asked = time.monotonic()
        stream.cancel()
        late = 0
        for event in events:
            if event.type == "cancelled":
                return 1000 * (time.monotonic() - asked), 1000 * late / 2 / client.SAMPLE_RATE
            late += len(event.audio)
    raise RuntimeError("the stream ended without the reply")


def main(argv: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("--times", type=int, default=50, help="interruptions (50)")
    parse.add_argument("--limit", type=float, default=50.0, help="milliseconds (50)")
    args = parse.parse_args(argv)
    if args.times < 1:
        parse.error(f"--times is {args.times}; it must be 1 or more")
    draw = random.Random(0)
    with server() as address:
        found = np.array([interrupt(address, draw.uniform(0, 1.5)) for _ in range(args.times)])
    for name, values in (("reply to cancel", found[:, 0]), ("speech after cancel", found[:, 1])):
        shares = ", ".join(f"{share} %: {np.percentile(values, share):.1f}" for share in (50, 90))
        print(f"{name}: {shares}, at most {values.max():.1f} ms")
    return int(found[:, 0].max() > args.limit)


if __name__ == "__main__":
    sys.exit(main())
