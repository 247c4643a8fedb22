"""Rewrite the numbers of a lesson that no longer agree with its cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import shown
from .document import Bound


def updated(text: str, stale: Iterable[tuple[Bound, Any]]) -> tuple[str, list[Bound]]:
    """Return a lesson's text with the values of these numbers in the style of the old ones, and the numbers not found in it.

    An answer that had only a binding gets its value before the binding.
    """
    lines, missing = text.split("\n"), list[Bound]()
    for bound, value in stale:
        line, new = lines[bound.line - 1], f"{shown.rewritten(bound.shown, value)} <{bound.binding}>"
        old = [f"{each} <{bound.binding}>" for each in _spellings(bound.shown)] if bound.shown else [bound.binding]
        found = next((each for each in old if each in line), None)
        if found is None:
            missing.append(bound)
        else:
            lines[bound.line - 1] = new.join(line.rsplit(found, 1))
    return "\n".join(lines), missing


def _spellings(text: str) -> list[str]:
    """Return the ways in which a file may have a text: with either minus, and in brackets."""
    typed = [text, text.replace("-", "−")]
    return [*(f"[{each}]" for each in typed), *typed]
