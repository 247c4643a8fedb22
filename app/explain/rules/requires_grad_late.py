"""Tell of a tensor that is made to require a gradient after what it is needed for has been computed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ... import model, wire
from ...recording import Recording
from ..syntax import Syntax

PASSES = 200
"""Passes that are looked through for the earlier use."""
_LOOKS = frozenset({"shape", "dtype", "device", "ndim", "data", "grad", "is_leaf", "requires_grad"})
_ASKS = frozenset({"size", "dim", "numel", "detach", "item", "tolist", "numpy", "stride", "type", "len", "print", "id",
                   "isinstance", "float", "int", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like",
                   "randn_like"})  # fmt: skip
"""What looks at a tensor without computing with it."""
_NOTHING = re.compile(r"does not require grad")


def requires_grad_late(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """``requires_grad_()`` on a tensor that was used before, where no pass of the whole run reaches the tensor.

    What is unfrozen between steps, or perturbed by its own gradient, is reached by a later pass.
    """
    for signal in recording.signals(wire.RequiresGradLate):
        statement = syntax.statement(signal.line)
        uses = _uses(syntax, signal.name, statement) if statement is not None else None
        if statement is None or uses is None or not uses.lines:
            continue
        place = _went_through(recording, uses, signal.passes)
        failed = _failed(recording, syntax, uses)
        if place is not None or failed is not None:
            yield _finding(recording, syntax, statement, uses, place, failed)


@dataclass(frozen=True)
class _Uses:
    """Where a tensor is used before it requires a gradient: the lines by their first one, and what is computed from it."""

    name: str
    made: ast.stmt | None
    lines: dict[int, int]
    names: frozenset[str]


def _uses(syntax: Syntax, name: str, late: ast.stmt) -> _Uses:
    """The statements between a name's last assignment and the late one that compute with it, or with what is computed so."""
    function = syntax.function_of(late)
    made: ast.stmt | None = None
    names, lines = {name}, dict[int, int]()
    for statement in syntax.statements(ast.stmt):
        if statement.lineno >= late.lineno or syntax.function_of(statement) is not function:
            continue
        if not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        given = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        if name in given:
            made, names, lines = statement, {name}, {}
        elif not syntax.in_no_grad(statement) and _computes(statement.value, names):
            names |= given
            lines[statement.lineno] = statement.end_lineno or statement.lineno
        elif isinstance(statement, ast.Assign):
            names -= given
    return _Uses(name, made, lines, frozenset(names))


def _computes(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression computes with one of these names, rather than looks at its shape or its kind."""
    waiting: list[ast.AST] = [node]
    while waiting:
        match waiting.pop():
            case ast.Name(id=found):
                if found in names:
                    return True
            case ast.Attribute(attr=attribute) if attribute in _LOOKS:
                continue
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called)) if called in _ASKS:
                continue
            case other:
                waiting += ast.iter_child_nodes(other)
    return False


def _went_through(recording: Recording, uses: _Uses, first: int) -> tuple[int, str] | None:
    """The first pass from one on that went through what was computed, and the node there."""
    seen: set[int] = set()
    for index in range(first, min(recording.log.counts()[1], first + PASSES)):
        event = recording.log.pass_(index)
        if event.graph < 0 or event.graph in seen:
            continue
        seen.add(event.graph)
        for node in recording.graph(event.graph).nodes:
            for start, end in uses.lines.items():
                if node.kind == "op" and node.line is not None and start <= node.line <= end:
                    return index, node.id
    return None


def _failed(recording: Recording, syntax: Syntax, uses: _Uses) -> int | None:
    """The line that the run ended on since what was computed has no graph at all."""
    for event in recording.log.others():
        if isinstance(event, wire.EndEvent) and event.failure is not None and _NOTHING.search(event.failure.message):
            statement = syntax.statement(event.failure.line)
            if statement is not None and any(
                isinstance(each, ast.Name) and each.id in uses.names for each in ast.walk(statement)
            ):
                return event.failure.line
    return None


def _finding(
    recording: Recording, syntax: Syntax, late: ast.stmt, uses: _Uses, place: tuple[int, str] | None, failed: int | None
) -> model.Finding:
    index, node = place if place is not None else (None, None)
    name, used = uses.name, min(uses.lines)
    ends = f"Line {failed} stops on that." if failed is not None else f"{name}.grad stays None."
    return model.Finding(
        code="requires-grad-late",
        severity="error" if failed is not None else "warning",
        file=None,
        line=late.lineno,
        step=recording.log.pass_(index).step if index is not None else None,
        node=node,
        message=f"{name} requires a gradient only from here on, and line {used} has used it already.",
        why=f"A graph is made while things are computed: what line {used} computed has no way back to {name}. {ends}",
        fix=_earlier(syntax, late, uses),
        pass_=index,
    )


def _earlier(syntax: Syntax, late: ast.stmt, uses: _Uses) -> model.Fix | None:
    """Move the statement up to where the tensor is made."""
    made, parent = uses.made, syntax.parent(late)
    if made is None or not syntax.alone(late) or not syntax.alone(made) or syntax.parent(made) is not parent:
        return None
    match late:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="requires_grad_", value=ast.Name(id=name)))) if name == uses.name:
            pass
        case ast.Assign(targets=[ast.Attribute(attr="requires_grad", value=ast.Name(id=name))]) if name == uses.name:
            pass
        case _:
            return None
    _, (end, _) = syntax.span(late)
    lines = syntax.lines
    gone = model.Edit((late.lineno - 1, len(lines[late.lineno - 2])), (end, len(lines[end - 1])), "")
    return model.Fix(f"Let {uses.name} require it before it is used", [syntax.after(made, syntax.text(late)), gone])
