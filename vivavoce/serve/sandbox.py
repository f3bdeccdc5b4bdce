"""Read untrusted files in a separate process with limited memory and time, so that a hostile file only harms that
process.

`run` starts `python -m MODULE MEMORY SECONDS`, whose `main` calls `limit` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys


async def run(module: str, data: bytes, memory: int, seconds: float) -> bytes | None:
    """Return what the process writes to standard output; None if it fails or takes too much memory.

    data: its standard input. memory: bytes of address space, much of which the libraries take.
    Raises TimeoutError after `seconds`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, str(memory), str(math.ceil(seconds))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # libsndfile's MP3 decoder prints errors there
        # no linear algebra here, and each thread of its library would reserve address space
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(data), seconds)
    except asyncio.TimeoutError:
        raise TimeoutError from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            await process.wait()
    return out if process.returncode == 0 else None


def limit(memory: int, seconds: int) -> None:
    """Limit the memory (bytes) and CPU time of this process, and forbid it to write files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: seconds, resource.RLIMIT_FSIZE: 0}
    for what, most in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(what, (most, most))
