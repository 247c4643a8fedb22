"""Stand in for the tracer where torch is not needed: a zygote that starts in a moment."""

from __future__ import annotations

from stub_entry import execute, optimizers

__all__ = ["execute", "optimizers", "preload", "warm"]


def preload() -> None:
    """Load nothing."""


def warm() -> None:
    """Warm nothing."""
