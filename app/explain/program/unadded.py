"""Find the losses that a program computes but does not add to the loss from which it runs backward."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final

from ..wording import first_line
from .losses import Losses, bindings
from .sources import ValueSources
from .syntax import Syntax, called

_LOSSES: Final = ("loss", "cross_entropy", "kl_div", "criterion")
"""Ends of the names of functions that compute a loss."""


@dataclass(frozen=True)
class Cause:
    """A line, a sentence about its effect, and whether the line is certainly a mistake."""

    line: int
    why: str
    certain: bool


def unadded(syntax: Syntax, losses: Losses, sources: ValueSources, owners: set[str]) -> Cause | None:
    """Return the line that computes a loss with these modules or tensors, which no pass reaches, and that no pass uses.

    Either the value of each iteration of a loop replaces the one before, or nothing adds the value to the loss.
    """
    return _overwritten(syntax, losses, sources, owners) or _left_out(syntax, losses, sources, owners)


def _overwritten(syntax: Syntax, losses: Losses, sources: ValueSources, owners: set[str]) -> Cause | None:
    """Return the line that assigns the loss in a loop over layers of a list. A pass reaches only the last of them."""
    if not all("[" in owner for owner in owners):
        return None
    lists = {owner.partition("[")[0] for owner in owners}
    for statement in syntax.statements(ast.Assign):
        loop, target = syntax.parent(statement), statement.targets[0]
        if not isinstance(loop, ast.For) or not isinstance(target, ast.Name) or not losses.contain(statement.value):
            continue
        inside = [each for each in ast.walk(loop) if isinstance(each, ast.Name) and each.id == target.id]
        if len(inside) == 1 and all(sources.uses(statement.value, name) for name in lists):
            text = first_line(syntax.text(statement.value))
            why = (
                f"Line {statement.lineno} replaces `{target.id}` in each iteration of the loop on line {loop.lineno}, so only "
                f"the last value contributes to the loss. Add the values: `{target.id} = {target.id} + {text}`."
            )
            return Cause(statement.lineno, why, True)
    return None


def _left_out(syntax: Syntax, losses: Losses, sources: ValueSources, owners: set[str]) -> Cause | None:
    """Return the line of a training that assigns a loss to a name from which nothing runs backward."""
    training = {syntax.function_of(call) for call in syntax.statements(ast.Call) if called(call) == "backward"}
    for target, value in bindings(syntax):
        if not isinstance(target, ast.Name) or not isinstance(value, ast.Call) or losses.contain(value):
            continue
        if not (called(value) or "").lower().endswith(_LOSSES) or syntax.function_of(value) not in training:
            continue
        if syntax.in_loop(value) and not syntax.in_no_grad(value) and all(sources.uses(value, owner) for owner in owners):
            why = f"Line {value.lineno} computes `{target.id}`, but no `backward()` runs through it. Add it to the loss."
            return Cause(value.lineno, why, True)
    return None
