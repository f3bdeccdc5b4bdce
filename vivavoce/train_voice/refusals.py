"""Reasons why the studio refuses something, as exceptions that a server can tell apart."""

from __future__ import annotations


class Busy(ValueError):
    """The training must be stopped first."""


class Changed(ValueError):
    """The recordings are no longer those of the run."""


class Missing(ValueError):
    """There is no such thing."""


class Full(ValueError):
    """There is no room for more."""
