"""Find the statements that update parameters, and the tensor that each statement writes to."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ... import model
from .syntax import Syntax, called, is_gradient


@dataclass(frozen=True)
class Update:
    """A statement that writes to a tensor in place. ``target`` is the tensor's expression, without its ``.data``."""

    statement: ast.stmt
    target: ast.expr
    through_data: bool


def updates(syntax: Syntax, lines: Iterable[int]) -> Iterator[Update]:
    """Yield the statements on these lines that write to a tensor in place, in the order of the lines.

    Statements that write to a ``.grad`` are left out.
    """
    wanted = set(lines)
    for statement in syntax.statements(ast.stmt):
        if statement.lineno in wanted and (written := written_by(statement)) is not None:
            target, through_data = _owner(written)
            if not (isinstance(target, ast.Attribute) and target.attr == "grad"):
                yield Update(statement, target, through_data)


def written_by(statement: ast.stmt) -> ast.expr | None:
    """Return the expression that a statement writes to, as in ``w -= …``, ``w.data = …``, ``w[0] = …`` or ``w.sub_(…)``."""
    match statement:
        case ast.AugAssign(target=target):
            return target
        case ast.Assign(targets=[(ast.Attribute(attr="data") | ast.Subscript()) as target]):
            return target
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name, value=value))) if _in_place(name):
            return value
    return None


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _owner(written: ast.expr) -> tuple[ast.expr, bool]:
    """Return the tensor whose numbers are written, and whether they are written through its ``.data``."""
    node = written
    while isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr == "data"):
        if isinstance(node, ast.Attribute):
            return node.value, True
        if not _has_data(node.value):
            break
        node = node.value
    return node, False


def _has_data(node: ast.expr) -> bool:
    while isinstance(node, ast.Subscript):
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == "data"


def by_gradient(syntax: Syntax, statement: ast.stmt) -> bool:
    """Return whether a statement uses a ``.grad``, directly or through names assigned from one."""
    names = syntax.from_gradients
    return any(is_gradient(node, names) for node in ast.walk(statement))


def of_loop(syntax: Syntax, target: ast.expr) -> ast.For | None:
    """Return the ``for`` loop around a name whose loop variables include this name; ``None`` if there is no such loop."""
    node: ast.AST | None = target
    while node is not None and isinstance(target, ast.Name):
        if isinstance(node, ast.For):
            names = (each.id for each in ast.walk(node.target) if isinstance(each, ast.Name))
            if target.id in names:
                return node
        node = syntax.parent(node)
    return None


def without_gradients(syntax: Syntax, statements: Sequence[ast.stmt], torch: str) -> model.Edit:
    """Return the edit that puts adjacent statements under one ``no_grad``."""
    (start, _), (_, end) = syntax.span(statements[0]), syntax.span(statements[-1])
    indent = syntax.indent(statements[0])
    lines = syntax.lines[start[0] - 1 : end[0]]
    lines[-1] = lines[-1][: end[1]]
    lines[0] = lines[0][start[1] :]
    body = "\n".join([lines[0], *(f"    {line}" for line in lines[1:])])
    return model.Edit(start, end, f"with {torch}.no_grad():\n{indent}    {body}")


def reset(syntax: Syntax, what: str, value: ast.AST) -> str | None:
    """Return a statement that resets a gradient after an update, ``None`` if the program resets it already."""
    cleared, used = syntax.cleared, syntax.graded(ast.walk(value))
    if what in cleared or (len(used) == 1 and used <= cleared):
        return None
    others = bool(cleared) or syntax.calls("zero_grad")
    if what.isidentifier():
        return None if syntax.calls("zero_grad") else f"{what}.grad = None"
    # the program may call zero_() on the same gradient under another name, which fails if the gradient is None
    return f"{what}.grad.zero_()" if others else f"{what}.grad = None"


def pass_follows(syntax: Syntax, statement: ast.stmt) -> bool:
    """Return whether a pass may run after a statement: in the next turn of a loop, or by a later ``backward()``."""
    return syntax.in_loop(statement) or any(
        called(call) == "backward" and call.lineno > statement.lineno for call in syntax.statements(ast.Call)
    )


def last_reads(syntax: Syntax) -> dict[ast.FunctionDef | None, int]:
    """Return for each function, and for the module, the last line that reads a ``.grad`` outside of an update."""
    lines: dict[ast.FunctionDef | None, int] = {}
    for node in syntax.statements(ast.Attribute):
        if node.attr == "grad" and isinstance(node.ctx, ast.Load):
            statement = syntax.statement_of(node)
            if statement is None or written_by(statement) is None:
                lines[syntax.function_of(node)] = node.lineno
    return lines
