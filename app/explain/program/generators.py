"""Find generators that a program reads twice: the second time, they are empty."""

from __future__ import annotations

import ast
from typing import Final

from .syntax import Syntax, called

_GENERATORS: Final = frozenset({"parameters", "named_parameters", "filter", "map", "iter"})
"""Functions that return an iterator, which is empty once it was read to its end."""
_READS: Final = frozenset({"list", "tuple", "sum", "set", "sorted", "max", "min"})
"""Functions that read an iterator to its end."""


def used_up(syntax: Syntax, call: ast.Call) -> tuple[str, int] | None:
    """Return the generator that is the first argument of a call, and the earlier line that has read it to its end.

    If the call itself reads the generator in an earlier iteration of a loop, that line is the line of the call.
    """
    first = call.args[0] if call.args else None
    if not isinstance(first, ast.Name | ast.Attribute):
        return None
    name = syntax.text(first)
    values = [
        node.value for node in syntax.statements(ast.Assign) if any(syntax.text(target) == name for target in node.targets)
    ]
    if len(values) != 1 or not _is_generator(values[0]):
        return None
    made = values[0]
    of_name = isinstance(first, ast.Name)
    if of_name and syntax.function_of(made) is not syntax.function_of(call):
        return None
    for use in syntax.statements(type(first)):
        if use is not first and isinstance(use.ctx, ast.Load) and syntax.text(use) == name:
            before = made.lineno <= use.lineno < call.lineno
            if before and _reads(syntax, use) and not (of_name and set(syntax.loops(made)) - set(syntax.loops(use))):
                return name, use.lineno
    return (name, call.lineno) if set(syntax.loops(call)) - set(syntax.loops(made)) else None


def _is_generator(made: ast.expr) -> bool:
    return isinstance(made, ast.GeneratorExp) or (isinstance(made, ast.Call) and called(made) in _GENERATORS)


def _reads(syntax: Syntax, use: ast.expr) -> bool:
    """Return whether a use of a generator reads it to its end."""
    parent = syntax.parent(use)
    if isinstance(parent, ast.For | ast.comprehension):
        return parent.iter is use
    return isinstance(parent, ast.Call) and ("optim." in syntax.text(parent.func) or called(parent) in _READS)
