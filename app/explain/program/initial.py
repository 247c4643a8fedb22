"""Find the line that gives a parameter equal initial numbers."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from .losses import bindings
from .syntax import Syntax, called

_MAKES: Final = frozenset({"zeros", "ones", "full", "zeros_like", "ones_like", "full_like"})
_FILLS: Final = frozenset({"constant_", "zeros_", "ones_", "fill_", "zero_"})


def initial_line(syntax: Syntax, names: Sequence[str]) -> int | None:
    """Return the line that makes one of these parameters from equal numbers, or fills it with them.

    Without such a line, return the line of a call that fills tensors with other names, as in a loop over parameters,
    else ``None``.
    """
    last = {name.rpartition(".")[2] for name in names}
    for target, value in bindings(syntax):
        name = getattr(target, "id", "") or getattr(target, "attr", "")
        if name in last and any(isinstance(node, ast.Call) and called(node) in _MAKES for node in ast.walk(value)):
            return target.lineno
    fills = [call for call in syntax.statements(ast.Call) if called(call) in _FILLS and "grad" not in syntax.text(call)]
    for call in fills:
        if any(getattr(node, "id", getattr(node, "attr", None)) in last for node in ast.walk(call)):
            return call.lineno
    return fills[0].lineno if fills else None
