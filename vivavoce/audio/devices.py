"""Why a sound device cannot be used. The package sounddevice is imported only where one is."""

from __future__ import annotations

from typing import Literal

NAMES = {"input": "microphone", "output": "sound output device"}


def why_unusable(kind: Literal["input", "output"]) -> str | None:
    """Return why this machine has no usable sound device of that kind; None if it has one."""
    try:
        import sounddevice

        sounddevice.query_devices(kind=kind)
    except ImportError:
        return "the package sounddevice is missing: pip install vivavoce[play]"
    except OSError as error:  # sounddevice is installed, the library below it is not
        return f"{error} (on Debian and Ubuntu: apt install libportaudio2)"
    except Exception as error:  # sounddevice.PortAudioError and ValueError: no device, or none that is usable
        return f"no {NAMES[kind]} was found ({error})"
    return None
