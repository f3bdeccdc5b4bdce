"""Defaults of flags from the environment and from a config file.

    ~/.config/vivavoce/config.toml    voice = "rhea", model, speed, lexicon (a path relative to the file)
    VIVAVOCE_VOICE, VIVAVOCE_MODEL, VIVAVOCE_SPEED, VIVAVOCE_LEXICON    the same; they take precedence over the file
    VIVAVOCE_CONFIG                   another config file; empty: none

A flag on the command line takes precedence over both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEYS: dict[str, type | tuple[type, ...]] = {"voice": str, "model": str, "speed": (int, float), "lexicon": str}
_COMMANDS = {
    "speak": KEYS,
    "preview": KEYS,
    "watch": KEYS,
    "speechd": ("voice", "model", "speed"),
    "batch": ("voice", "model", "speed"),
    "serve": ("model",),
    "wyoming": ("voice", "model"),
    "mcp": ("voice", "model"),
}


def config_path() -> Path | None:
    """Return the path of the config file, which need not exist; None: there is none."""
    given = os.environ.get("VIVAVOCE_CONFIG")
    if given is not None:
        return Path(given).expanduser() if given else None
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "vivavoce" / "config.toml"


def read_defaults() -> dict[str, str]:
    """Return the defaults by key. Raises ValueError, naming the file or variable, for what is wrong in them."""
    path = config_path()
    found = {} if path is None else _read_file(path)
    for key in KEYS:
        if value := os.environ.get(f"VIVAVOCE_{key.upper()}", ""):
            found[key] = value
    return found


def default_map(arguments: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the defaults of each command. --ref-audio chooses the voice, so no other voice is then a default."""
    found = read_defaults()
    if any(argument.split("=")[0] == "--ref-audio" for argument in arguments):
        found.pop("voice", None)
    return {command: {key: found[key] for key in keys if key in found} for command, keys in _COMMANDS.items()}


def _read_file(path: Path) -> dict[str, str]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if "VIVAVOCE_CONFIG" in os.environ:
            raise ValueError(f"VIVAVOCE_CONFIG names {path}, which does not exist") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    for key, value in values.items():
        if key not in KEYS:
            raise ValueError(f"{path}: unknown key {key!r}; known are {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            raise ValueError(f"{path}: {key} is {value!r}; it must be a {'number' if key == 'speed' else 'string'}")
    if "lexicon" in values:
        values["lexicon"] = str(path.parent / Path(values["lexicon"]).expanduser())
    for key in ("voice", "model"):
        if str(values.get(key, "")).startswith("~"):
            values[key] = str(Path(values[key]).expanduser())
    return {key: str(value) for key, value in values.items()}
