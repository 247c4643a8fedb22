"""Report a tensor that was changed through `.data` after the graph had saved it, so that its gradients are wrong.

## Why it matters

A node saves the tensors that its derivative needs. If such a tensor is changed in place before the pass, autograd detects the
change and raises an error. It does not detect a write through `.data`: the pass runs and computes gradients from the changed
numbers.

## Example

```python
import torch

w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
h = w * 2
loss = (h ** 2).sum()
h.data.clamp_(max=1)
loss.backward()
```

Change a copy, or change it before it is used:

```python
import torch

w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
h = w * 2
loss = (h ** 2).sum()
clamped = h.detach().clamp(max=1)
loss.backward()
```

## What it does not report

Writes that leave the saved numbers unchanged, and writes to tensors that no derivative needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from math import isclose
from typing import Final

from ... import model
from ...recording import Recording
from ..program.losses import bindings
from ..program.syntax import Syntax
from ..program.updates import Update, updates
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import first_line

CODE: Final = "changed-through-data"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_OPERANDS: Final = {
    "PowBackward0": {"self": 0},
    "MulBackward0": {"self": 0, "other": 1},
    "DivBackward0": {"self": 0, "other": 1},
    "MmBackward0": {"self": 0, "mat2": 1},
    "AddmmBackward0": {"mat1": 1, "mat2": 2},
    "LogBackward0": {"self": 0},
    "SinBackward0": {"self": 0},
    "CosBackward0": {"self": 0},
    "AbsBackward0": {"self": 0},
    "MseLossBackward0": {"self": 0},
}
"""For each function, the saved tensors that are its inputs, with their positions."""
_RESULTS: Final = frozenset({"result", "self_result"})


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield at most one finding, for a write through ``.data`` to a tensor that a graph has saved."""
    lines = range(1, len(syntax.lines) + 1)
    writes = [each for each in updates(syntax, lines) if each.through_data] if ".data" in program.text else []
    if not writes:
        return
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            changed = _changed(graph, index) if node.kind == "op" else None
            if changed is None:
                continue
            named = graph.nodes[changed].name
            tensor = f"`{named}`" if named else "a tensor"
            target = next((each for each in writes if syntax.text(each.target) == named), writes[0])
            when = f"{tensor} after line {node.line} has saved it"
            yield _finding(graph, syntax, target, node, when, "Change a copy, or write before the tensor is used.")
            return
        if (written := _before_pass(graph, syntax, writes)) is not None:
            target, node = written
            name = syntax.text(target.target)
            when = f"`{name}` between line {node.line}, which has saved it, and the pass"
            yield _finding(graph, syntax, target, node, when, f"Change `{name}` after `backward()`.")
            return


def _finding(graph: GraphOfPass, syntax: Syntax, write: Update, node: model.Node, when: str, remedy: str) -> model.Finding:
    """Return the finding for a write to a tensor that ``node`` saved. ``when`` names the tensor and the moment."""
    return graph.warning(
        CODE,
        node,
        line=write.statement.lineno,
        message=f"`{first_line(syntax.text(write.statement))}` changes {when}, so the gradients are wrong.",
        why="The derivative is computed from the saved numbers, which are no longer those of the forward pass. "
        f"Autograd does not detect a write through `.data`. {remedy}",
    )


def _before_pass(graph: GraphOfPass, syntax: Syntax, writes: list[Update]) -> tuple[Update, model.Node] | None:
    """Return a write to a leaf or constant between a line that saves it and the pass, and the node that saved it.

    The line that saves, the write and the pass must be statements of one block, so that they run in the order of their lines.
    The name of the tensor must not be assigned between the line that saves and the write.
    """
    pass_line = graph.recording.log.pass_(graph.pass_).line
    end = syntax.statement(pass_line)
    for write in writes:
        name = syntax.text(write.target)
        if end is None or not write.statement.lineno < pass_line or syntax.parent(write.statement) is not syntax.parent(end):
            continue
        for index, node in enumerate(graph.nodes):
            user = syntax.statement(node.line) if node.line is not None and node.line < write.statement.lineno else None
            if user is None or syntax.parent(user) is not syntax.parent(end):
                continue
            for saved in node.saved:
                position = _OPERANDS.get(node.op, {}).get(saved)
                inputs = graph.inputs(index)
                # a product lists `self` and `other`, but saves only the operands that its derivatives need
                if position is not None and position < len(inputs) and graph.saved(index, saved) is not None:
                    source = graph.nodes[graph.below_views(inputs[position])]
                    if source.kind != "op" and source.name == name and not _rebound(syntax, name, user, write.statement):
                        return write, node
    return None


def _rebound(syntax: Syntax, name: str, after: ast.stmt, before: ast.stmt) -> bool:
    """Return whether a name is assigned on a line from ``after`` up to, but not including, ``before``."""
    assigned = (target for target, _ in bindings(syntax) if syntax.text(target) == name)
    return any(after.lineno <= target.lineno < before.lineno for target in assigned)


def _changed(graph: GraphOfPass, index: int) -> int | None:
    """Return the node whose value in the forward pass differs from the tensor that node ``index`` saved, or ``None``."""
    node = graph.nodes[index]
    for name in node.saved:
        position = _OPERANDS.get(node.op, {}).get(name)
        inputs = graph.inputs(index)
        source = index if name in _RESULTS else inputs[position] if position is not None and position < len(inputs) else None
        if source is None or graph.nodes[source].kind == "constant":
            continue
        source = source if source == index else graph.below_views(source)
        then, now = graph.numbers.value(source), graph.saved(index, name)
        if then is None or now is None or graph.nodes[source].kind == "constant":
            continue
        if sorted(then.shape) == sorted(now.shape) and then.dtype == now.dtype and _differs(then, now):
            return source
    return None


def _differs(then: model.TensorSummary, now: model.TensorSummary) -> bool:
    """Return whether two tensors have different statistics, beyond the rounding of a sum in another order."""
    for before, after in ((then.min, now.min), (then.max, now.max), (then.norm, now.norm)):
        if not isinstance(before, float | int) or not isinstance(after, float | int):
            return False
        if not isclose(before, after, rel_tol=1e-6, abs_tol=1e-12):
            return True
    return False
