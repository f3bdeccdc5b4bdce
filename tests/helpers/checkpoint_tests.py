"""What the tests of checkpoints share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def refusal(act: Callable[[], Any]) -> str:
    """The ValueError's message, which is one line."""
    with pytest.raises(ValueError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message and message.strip()
    return message
