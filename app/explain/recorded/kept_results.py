"""Find results that a custom function keeps in ``ctx`` without a graph, which makes its ``backward`` not differentiable."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

from ...recording import Recording
from ..program.syntax import Syntax, called

GRAPHS = 20
"""Largest number of graphs that are searched for custom functions."""
_FLAT: Final = frozenset(
    {
        "sign", "sgn", "round", "floor", "ceil", "trunc", "argmax", "argmin", "argsort", "topk", "sort", "bool", "long", "int",
        "rand", "rand_like", "randn", "randn_like", "randint", "bernoulli", "multinomial", "dropout", "empty", "empty_like",
        "zeros", "zeros_like", "ones", "ones_like", "full", "full_like", "eye", "arange", "size", "numel", "dim", "len",
        "tensor", "where", "gt", "lt", "ge", "le", "eq", "ne", "isnan", "isfinite", "nonzero", "clone", "detach", "type", "to",
    }
)  # fmt: skip
"""Functions whose results have a derivative of 0 or none at all, or may be an input."""


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
        if f"{function.name}Backward" in operations and (found := next(_attributes(syntax, function), None)) is not None:
            return found
    return None


def kept_results(syntax: Syntax, function: ast.ClassDef) -> Iterator[KeptResult]:
    """Yield the results that ``forward`` of a custom function computes from its inputs and keeps for ``backward``.

    Left out are outputs, which have a graph, and results whose derivative is 0, such as masks.
    """
    methods = {each.name: each for each in function.body if isinstance(each, ast.FunctionDef)}
    forward, backward = methods.get("forward"), methods.get("backward")
    if forward is None or backward is None or len(forward.args.args) < 2:
        return
    context, inputs = forward.args.args[0].arg, _differentiated(forward, backward)
    computed: dict[str, ast.expr] = {}
    for statement in ast.walk(forward):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                computed[name] = value
    returned = {
        syntax.text(each)
        for statement in ast.walk(forward)
        if isinstance(statement, ast.Return) and statement.value is not None
        for each in (statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value])
    }
    for kept in _attributes(syntax, function):
        assigned = syntax.statement(kept.line)
        if isinstance(assigned, ast.Assign) and kept.text not in returned and _varies(assigned.value, computed, inputs):
            yield kept
    read = {each.attr for each in ast.walk(backward) if isinstance(each, ast.Attribute)}
    for call in ast.walk(forward):
        if not isinstance(call, ast.Call) or called(call) != "save_for_backward" or "saved_tensors" not in read:
            continue
        if not isinstance(call.func, ast.Attribute) or not _is_of(call.func, context):
            continue
        for given in call.args:
            saved = computed.get(given.id) if isinstance(given, ast.Name) else given
            text = syntax.text(given)
            if (
                isinstance(saved, ast.BinOp | ast.Call | ast.UnaryOp)
                and text not in returned
                and _varies(saved, computed, inputs)
            ):
                yield KeptResult(function.name, text, saved.lineno)


def _differentiated(forward: ast.FunctionDef, backward: ast.FunctionDef) -> set[str]:
    """Return the names of the inputs for which ``backward`` returns a gradient."""
    names = [each.arg for each in forward.args.args[1:]]
    for statement in ast.walk(backward):
        match statement:
            case ast.Return(value=ast.Tuple(elts=elements)):
                without = {
                    name
                    for name, each in zip(names, elements, strict=False)
                    if isinstance(each, ast.Constant) and each.value is None
                }
                return set(names) - without
    return set(names)


def _varies(value: ast.expr, computed: dict[str, ast.expr], inputs: set[str], depth: int = 5) -> bool:
    """Return whether an expression is a function of an input with a derivative other than 0, as far as the text shows."""
    nodes = list(ast.walk(value))
    if any(isinstance(each, ast.Compare | ast.BoolOp | ast.IfExp | ast.Subscript) for each in nodes):
        return False
    if any(isinstance(each, ast.Call) and called(each) in _FLAT for each in nodes):
        return False
    if any(isinstance(each, ast.Attribute) and each.attr in ("shape", "dtype", "data") for each in nodes):
        return False
    names = {each.id for each in nodes if isinstance(each, ast.Name)}
    if names & inputs:
        return True
    return depth > 0 and any(_varies(computed[name], computed, inputs, depth - 1) for name in names if name in computed)


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


def _attributes(syntax: Syntax, function: ast.ClassDef) -> Iterator[KeptResult]:
    """Yield the results that ``forward`` of a custom function assigns to attributes of ``ctx`` that ``backward`` reads."""
    methods = {each.name: each for each in function.body if isinstance(each, ast.FunctionDef)}
    forward, backward = methods.get("forward"), methods.get("backward")
    if forward is None or backward is None or not forward.args.args or not backward.args.args:
        return
    context = backward.args.args[0].arg
    read = {each.attr for each in ast.walk(backward) if isinstance(each, ast.Attribute) and _is_of(each, context)}
    for statement in ast.walk(forward):
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.BinOp | ast.Call | ast.UnaryOp):
            continue  # an argument, or a property of an argument, is not a result
        for target in statement.targets:
            if isinstance(target, ast.Attribute) and _is_of(target, forward.args.args[0].arg) and target.attr in read:
                yield KeptResult(function.name, syntax.text(target), statement.lineno)


def _is_of(node: ast.Attribute, context: str) -> bool:
    """Return whether an attribute belongs to the context object of a custom function."""
    return isinstance(node.value, ast.Name) and node.value.id == context
