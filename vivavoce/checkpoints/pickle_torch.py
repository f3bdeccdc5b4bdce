"""PyTorch's pickled checkpoints (.bin, .pt, .ckpt, .model), read as data and never as code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def read_pickle(path: Path) -> dict[str, Any]:
    """Return the named values of a pickled checkpoint, on the CPU.

    Raises ValueError, naming the file, if it is truncated, or a pickle of more than tensors and plain values.
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "weights_only" in reason:  # torch advises to run the pickle's code
            raise ValueError(f"{path}: an old format of PyTorch; save it again with a newer version") from None
        raise ValueError(f"{path}: unreadable weights, truncated or damaged ({reason})") from None
    except Exception as error:  # pickle.UnpicklingError, and whatever else a hostile file raises
        raise ValueError(f"{path}: refused, it holds more than tensors ({type(error).__name__})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: holds a {type(values).__name__}, not named tensors")
    nested = [values, *(value for value in values.values() if isinstance(value, dict))]
    if wrong := [key for part in nested for key in part if not isinstance(key, str)]:
        kind = type(wrong[0]).__name__
        raise ValueError(f"{path}: a value is named {str(wrong[0])[:50]}, of type {kind}; names must be strings")
    return values
