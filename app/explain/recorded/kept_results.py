"""Find results that a custom function keeps in ``ctx`` without a graph, which makes its ``backward`` not differentiable."""

from __future__ import annotations

import ast
from typing import NamedTuple

from ...recording import Recording
from ..program.syntax import Syntax

GRAPHS = 20
"""Largest number of graphs that are searched for custom functions."""


class KeptResult(NamedTuple):
    """A result that ``forward`` of the class ``function`` keeps as ``text``, such as ``ctx.square``, on a line."""

    function: str
    text: str
    line: int


def kept_result(syntax: Syntax, recording: Recording, root: ast.expr, line: int) -> KeptResult | None:
    """Return the first result that a custom function of the recording keeps without a graph.

    Return ``None`` unless ``root``, which is on ``line``, is computed from a gradient with ``create_graph=True``.
    """
    if not any(_is_gradient(syntax, each.id, line) for each in ast.walk(root) if isinstance(each, ast.Name)):
        return None
    graphs = range(min(recording.log.counts()[0], GRAPHS))
    operations = {node.op for index in graphs for node in recording.graph(index).nodes}
    for function in syntax.statements(ast.ClassDef):
        if f"{function.name}Backward" in operations and (found := _kept(syntax, function)) is not None:
            return found
    return None


def _is_gradient(syntax: Syntax, name: str, line: int) -> bool:
    """Return whether the last assignment of a name above a line is a gradient that has a graph itself."""
    above = [each for each in syntax.statements(ast.Assign) if each.lineno < line and name in _names(each.targets)]
    calls = [each for each in ast.walk(above[-1].value) if isinstance(each, ast.Call)] if above else []
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "grad"
        and any(given.arg == "create_graph" and getattr(given.value, "value", None) is True for given in call.keywords)
        for call in calls
    )


def _names(targets: list[ast.expr]) -> set[str]:
    return {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}


def _kept(syntax: Syntax, function: ast.ClassDef) -> KeptResult | None:
    methods = {each.name: each for each in function.body if isinstance(each, ast.FunctionDef)}
    forward, backward = methods.get("forward"), methods.get("backward")
    if forward is None or backward is None or not forward.args.args or not backward.args.args:
        return None
    context = backward.args.args[0].arg
    read = {each.attr for each in ast.walk(backward) if isinstance(each, ast.Attribute) and _is_of(each, context)}
    for statement in ast.walk(forward):
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.BinOp | ast.Call | ast.UnaryOp):
            continue  # an argument, or a property of an argument, is not a result
        for target in statement.targets:
            if isinstance(target, ast.Attribute) and _is_of(target, forward.args.args[0].arg) and target.attr in read:
                return KeptResult(function.name, syntax.text(target), statement.lineno)
    return None


def _is_of(node: ast.Attribute, context: str) -> bool:
    """Return whether an attribute belongs to the context object of a custom function."""
    return isinstance(node.value, ast.Name) and node.value.id == context
