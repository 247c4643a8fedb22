"""A stub of the tracer without PyTorch, for a zygote that starts quickly."""

from __future__ import annotations

from stub_entry import execute, optimizers

__all__ = ["execute", "optimizers", "preload", "warm"]


def preload() -> None:
    """Do nothing."""


def warm() -> None:
    """Do nothing."""
