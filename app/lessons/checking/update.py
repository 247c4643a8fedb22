"""Rewrite the numbers of a lesson that no longer agree with its cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..document import Bound
from ..values import shown


def updated(text: str, stale: Iterable[tuple[Bound, Any]]) -> tuple[str, list[Bound]]:
    """Return a lesson's text with new values for stale numbers, in their old style, and the numbers that were not found.

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
    """Return the spellings of a number in a file: with either minus sign, with or without brackets."""
    typed = [text, text.replace("-", "−")]
    return [*(f"[{each}]" for each in typed), *typed]
