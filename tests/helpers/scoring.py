"""Shared by tests: from what was in test_evaluation.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


words = pytest.mark.skipif(
    not has("jiwer", "whisper_normalizer"), reason="jiwer or whisper-normalizer is missing: pip install vivavoce[eval]"
)


def script(name: str) -> ModuleType:
    """A file of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
