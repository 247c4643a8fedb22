"""Stand in for the tracer where torch is not needed: a zygote that starts in a moment."""

from __future__ import annotations

from stub_entry import execute

__all__ = ["execute", "preload", "warm"]


def preload() -> None:
    """Load nothing."""


def warm() -> None:
    """Warm nothing."""
