"""Text to speech: `vivavoce.load().speak("Hello there.").save("hello.wav")`.

The names below are the public ones. Importing the package loads neither torch nor mlx; `load` does.

Where to look: text/ turns text into words; models/ has the networks; systems/ has the engines, and systems/load.py the
registry to which a new one is added; synthesis/ plans a text and checks the generated speech (synthesis/checks.py);
books/ reads books; train/ trains; serve/ and cli/ are the servers and the commands. The docstring of each folder lists
its modules. CONTRIBUTING.md has the whole tree, and which folder may import which.
"""

from typing import Any

from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.tts import TTS, load
from vivavoce.systems.interface import SynthesisError
from vivavoce.voices import Voice, voices

__all__ = ["load", "TTS", "Speech", "SynthesisError", "Voice", "voices"]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    # Looked up on demand: the version is written once, in pyproject.toml.
    if name == "__version__":
        from importlib import metadata

        return metadata.version("vivavoce")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
