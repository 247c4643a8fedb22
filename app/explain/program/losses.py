"""Follow a program's losses back to the expressions from which they are computed, through names and functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from .syntax import Syntax, called, root_of_pass, variable_name

_LIBRARIES: Final = frozenset({"torch", "nn", "F", "functional", "np", "numpy", "math"})
"""Names of Python modules that are libraries. Their functions have no ``forward`` in the program."""
EXPRESSIONS: Final = 2_000
"""Largest number of expressions that are followed."""


class Losses:
    """The expressions that contribute to the losses of a program.

    The scope of a name is ignored: every assignment to a name counts, in whichever function it is.
    """

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._assigned: dict[str, list[ast.expr]] = {}
        for target, value in bindings(syntax):
            for node in ast.walk(target):
                name = variable_name(node)
                if name is not None:
                    self._assigned.setdefault(name, []).append(value)
        self._returned: dict[str, list[ast.expr]] = {}
        for statement in syntax.statements(ast.Return):
            function = syntax.function_of(statement)
            if function is not None and statement.value is not None:
                self._returned.setdefault(function.name, []).append(statement.value)
        roots = [root_of_pass(call) for call in syntax.statements(ast.Call) if called(call) == "backward"]
        self._nodes = self._reached(root for root in roots if root is not None)

    def contain(self, node: ast.AST) -> bool:
        """Return whether a loss is computed from an expression."""
        return node in self._nodes

    def values(self, node: ast.expr) -> list[ast.expr]:
        """Return the possible values of an expression: assigned to its name, or returned by the function that it calls."""
        if isinstance(node, ast.Call):
            return self._returned.get(called(node) or "", [])
        name = variable_name(node)
        return self._assigned.get(name, []) if name is not None else []

    def below(self, node: ast.expr) -> set[ast.AST]:
        """Return the nodes of the syntax tree of an expression, and of the expressions that it is computed from."""
        return self._reached([node])

    def _reached(self, roots: Iterable[ast.expr]) -> set[ast.AST]:
        waiting, seen = list(roots), set[ast.AST]()
        followed: set[str] = set()
        count = 0
        while waiting and count < EXPRESSIONS:
            count += 1
            for node in ast.walk(waiting.pop()):
                seen.add(node)
                name = variable_name(node)
                if name is not None and name not in followed:
                    followed.add(name)
                    waiting += self._assigned.get(name, [])
                if isinstance(node, ast.Call):
                    for function in (called(node) or "",) if _of_library(node) else (called(node) or "", "forward"):
                        if f"{function}()" not in followed:
                            followed.add(f"{function}()")
                            waiting += self._returned.get(function, [])
        return seen


def bindings(syntax: Syntax) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield the targets and values of assignments, loops and comprehensions, and of calls that add to a list."""
    for assign in syntax.statements(ast.Assign):
        for target in assign.targets:
            if (
                isinstance(target, ast.Tuple)
                and isinstance(assign.value, ast.Tuple)
                and len(target.elts) == len(assign.value.elts)
            ):
                yield from zip(target.elts, assign.value.elts, strict=True)
            else:
                yield target, assign.value
    for added in syntax.statements(ast.AugAssign):
        yield added.target, added.value
    for annotated in syntax.statements(ast.AnnAssign):
        if annotated.value is not None:
            yield annotated.target, annotated.value
    for loop in syntax.statements(ast.For):
        yield loop.target, loop.iter
    for generator in syntax.statements(ast.comprehension):
        yield generator.target, generator.iter
    for call in syntax.statements(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("append", "extend") and call.args:
            yield call.func.value, call.args[0]


def _of_library(call: ast.Call) -> bool:
    """Return whether a call is to a function of PyTorch, NumPy or ``math``, which has no ``forward`` in the program."""
    node: ast.AST = call.func
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(call.func, ast.Attribute) and isinstance(node, ast.Name) and node.id in _LIBRARIES
