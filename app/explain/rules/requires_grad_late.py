"""Report a tensor that is made to require a gradient after the program has already computed with it.

## Why it matters

PyTorch builds the graph while it computes. Results that were computed before `requires_grad_()` have no path back to the
tensor, so `backward()` cannot reach it: its `.grad` stays `None`, or `backward()` raises an error.

## Example

```python
import torch

w = torch.tensor(3.0)
b = torch.tensor(1.0, requires_grad=True)
y = w * 2 + b
w.requires_grad_()
(y ** 2).backward()
```

Make the tensor require a gradient before it is used:

```python
import torch

w = torch.tensor(3.0)
w.requires_grad_()
b = torch.tensor(1.0, requires_grad=True)
y = w * 2 + b
(y ** 2).backward()
```

## What it does not report

- Tensors that a later pass reaches, for example a layer that is unfrozen between two steps.
- Uses that do not compute with the values, such as `w.shape`, `torch.zeros_like(w)` or `print(w)`.
- Uses under `torch.no_grad()`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ... import model, wire
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.signals import distinct

CODE: Final = "requires-grad-late"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "warning")
PASSES: Final = 200
"""Largest number of passes that are searched for the earlier use."""
_LOOKS: Final = frozenset({"shape", "dtype", "device", "ndim", "data", "grad", "is_leaf", "requires_grad"})
"""Attributes of a tensor that inspect it without computing with its values."""
_INSPECTING: Final = frozenset({
    "size", "dim", "numel", "detach", "item", "tolist", "numpy", "stride", "type", "len", "print", "id", "isinstance", "float",
    "int", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like",
})  # fmt: skip
"""Functions and methods whose use is not a computation with the tensor."""
_PLAIN: Final = frozenset({"numpy", "data", "data_ptr", "grad"})
"""Attributes that behave differently, or fail, once a tensor requires a gradient."""
_NO_GRAPH: Final = re.compile(r"does not require grad")


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each late ``requires_grad_()`` on a tensor that no pass of the run reaches."""
    for signal in distinct(recording.signals(wire.RequiresGradLate), lambda signal: (signal.line, signal.name)):
        statement = syntax.statement(signal.line)
        uses = _uses(syntax, signal.name, statement) if statement is not None else None
        if statement is None or uses is None or not uses.lines:
            continue
        reached = _node_of_use(recording, uses, signal.passes)
        failing = _failing_line(recording, syntax, uses)
        if reached is not None or failing is not None:
            yield _finding(recording, syntax, statement, uses, reached, failing)


@dataclass(frozen=True)
class _Uses:
    """The uses of a tensor before it requires a gradient.

    ``made`` assigns the tensor. ``lines`` maps the first line of each use to its last, and ``names`` has the tensor's name
    and the names of everything computed from it.
    """

    name: str
    made: ast.stmt | None
    lines: dict[int, int]
    names: frozenset[str]


def _uses(syntax: Syntax, name: str, late: ast.stmt) -> _Uses:
    """Return the statements between the assignment of a name and ``late`` that compute with it or with results of it."""
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
    """Return whether an expression computes with one of these names. Inspecting a shape or a type does not count."""
    waiting: list[ast.AST] = [node]
    while waiting:
        match waiting.pop():
            case ast.Name(id=found):
                if found in names:
                    return True
            case ast.Attribute(attr=attribute) if attribute in _LOOKS:
                continue
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called)) if called in _INSPECTING:
                continue
            case other:
                waiting += ast.iter_child_nodes(other)
    return False


def _node_of_use(recording: Recording, uses: _Uses, first: int) -> tuple[int, str] | None:
    """Return the first pass, from ``first`` on, whose graph has a node made by one of the uses, and the id of that node."""
    seen: set[int] = set()
    lines = {line for start, end in uses.lines.items() for line in range(start, end + 1)}
    for index in range(first, min(recording.log.counts()[1], first + PASSES)):
        event = recording.log.pass_(index)
        if event.graph < 0 or event.graph in seen:
            continue
        seen.add(event.graph)
        for node in recording.graph(event.graph).nodes:
            if node.kind == "op" and node.line in lines:
                return index, node.id
    return None


def _failing_line(recording: Recording, syntax: Syntax, uses: _Uses) -> int | None:
    """Return the line on which the run ended because the results of the uses have no graph at all."""
    for event in recording.log.others():
        if isinstance(event, wire.EndEvent) and event.failure is not None and _NO_GRAPH.search(event.failure.message):
            statement = syntax.statement(event.failure.line)
            if statement is not None and any(
                isinstance(each, ast.Name) and each.id in uses.names for each in ast.walk(statement)
            ):
                return event.failure.line
    return None


def _finding(
    recording: Recording,
    syntax: Syntax,
    late: ast.stmt,
    uses: _Uses,
    reached: tuple[int, str] | None,
    failing: int | None,
) -> model.Finding:
    index, node = reached if reached is not None else (None, None)
    name, used = uses.name, min(uses.lines)
    effect = f"This causes the error on line {failing}." if failing is not None else f"`{name}.grad` stays `None`."
    fix = _earlier(syntax, late, uses)
    remedy = "" if fix is not None else f" Make `{name}` require a gradient before line {used}."
    return model.Finding(
        code=CODE,
        severity="error" if failing is not None else "warning",
        file=None,
        line=late.lineno,
        step=recording.log.pass_(index).step if index is not None else None,
        node=node,
        message=f"`{name}` requires a gradient only from this line on, but line {used} has already used it.",
        why=f"PyTorch builds the graph while it computes: the result of line {used} has no path back to `{name}`. "
        f"{effect}{remedy}",
        fix=fix,
        pass_=index,
    )


def _earlier(syntax: Syntax, late: ast.stmt, uses: _Uses) -> model.Fix | None:
    """Return the fix that moves the statement up to the assignment of the tensor."""
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
    if _written_between(syntax, uses, made, late):
        return None  # after the move, a write or a conversion to an array between the statements would fail
    _, (end, _) = syntax.span(late)
    lines = syntax.lines
    removal = model.Edit((late.lineno - 1, len(lines[late.lineno - 2])), (end, len(lines[end - 1])), "")
    return model.Fix(
        f"Make `{uses.name}` require a gradient before it is used", [syntax.after(made, syntax.text(late)), removal]
    )


def _written_between(syntax: Syntax, uses: _Uses, made: ast.stmt, late: ast.stmt) -> bool:
    """Return whether a statement between two others writes to the tensor or a result of it in place, or takes its numbers."""
    for node in syntax.statements(ast.expr):
        if not made.lineno < node.lineno < late.lineno:
            continue
        parent = syntax.parent(node)
        if not isinstance(node, ast.Name) or node.id not in uses.names:
            continue
        augmented = isinstance(parent, ast.AugAssign) and parent.target is node
        if augmented or isinstance(getattr(parent, "ctx", None), ast.Store):
            return True
        if isinstance(parent, ast.Attribute) and (parent.attr.endswith("_") or parent.attr in _PLAIN):
            return True
    return False
