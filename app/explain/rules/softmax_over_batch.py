"""Report a softmax over the samples of a batch before a loss that expects a softmax over the classes.

## Why it matters

After a softmax of a batch with `dim=0`, the numbers of each class add up to 1 over all samples. For each sample, the numbers
of all classes should add up to 1. With `dim=0`, every sample depends on the others, and the loss can be low although no sample
is classified correctly. Training runs without an error.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Linear(4, 3)
loss = nn.functional.nll_loss(torch.log_softmax(model(x), dim=0), y)
loss.backward()
```

The classes are the last dimension:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
model = nn.Linear(4, 3)
loss = nn.functional.nll_loss(torch.log_softmax(model(x), dim=1), y)
loss.backward()
```

## What it does not report

- A softmax of a single sample, whose only dimension is the classes.
- A softmax whose result no classification loss uses, such as attention over a sequence.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax, called
from ..recorded.passes import GraphOfPass, different_graphs

CODE: Final = "softmax-over-batch"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_FUNCTIONS: Final = frozenset({"softmax", "log_softmax", "Softmax", "LogSoftmax"})
_METHODS: Final = frozenset({"softmax", "log_softmax"})
_BETWEEN: Final = ("Log", "Clamp", "Add")
"""Functions through which the probabilities of a softmax reach `nll_loss`."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each softmax over dimension 0 of a batch whose result a classification loss uses."""
    calls = [call for call in syntax.statements(ast.Call) if called(call) in _FUNCTIONS and _dimension(call) == 0]
    reported: set[int] = set()
    for graph in different_graphs(recording) if calls else ():
        for index, node in enumerate(graph.nodes):
            call = _call(node, calls) if node.op in ("SoftmaxBackward0", "LogSoftmaxBackward0") else None
            value = graph.numbers.value(index) if call is not None else None
            if call is None or value is None or call.lineno in reported or not _is_classified(graph, index):
                continue
            if len(value.shape) == 2 and min(value.shape) > 1:
                reported.add(call.lineno)
                yield _finding(graph, node, call, value.shape)


def _dimension(call: ast.Call) -> int | None:
    """Return the dimension that a call passes to a softmax, ``None`` if it is not a literal integer."""
    name = called(call) or ""
    is_method = name in _METHODS and isinstance(call.func, ast.Attribute) and not _is_function(call.func)
    position = 0 if is_method or name[0].isupper() else 1
    given = next((each.value for each in call.keywords if each.arg == "dim"), None)
    given = call.args[position] if given is None and len(call.args) > position else given
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, int) else None


def _is_function(function: ast.Attribute) -> bool:
    """Return whether an attribute is a function of a module such as ``F`` or ``torch.special``, not a tensor's method."""
    names = {each.id for each in ast.walk(function.value) if isinstance(each, ast.Name)}
    return bool(names & {"torch", "F", "nn", "functional"}) and not any(
        isinstance(e, ast.Call) for e in ast.walk(function.value)
    )


def _call(node: model.Node, calls: list[ast.Call]) -> ast.Call | None:
    """Return the call that made a node, or that made its module."""
    on_line = (each for each in calls if node.line is not None and each.lineno <= node.line <= (each.end_lineno or each.lineno))
    made = (each for each in calls if node.module and (called(each) or "")[0].isupper())
    return next(on_line, None) or next(made, None)


def _is_classified(graph: GraphOfPass, index: int) -> bool:
    """Return whether ``nll_loss`` uses the result of a node, directly or through the functions of :data:`_BETWEEN`."""
    waiting, seen = [index], {index}
    while waiting:
        for user, _ in graph.users(waiting.pop()):
            op = graph.nodes[user].op
            if op.startswith("NllLoss"):
                return True
            if user not in seen and op.startswith(_BETWEEN):
                seen.add(user)
                waiting.append(user)
    return False


def _finding(graph: GraphOfPass, node: model.Node, call: ast.Call, shape: list[int]) -> model.Finding:
    return graph.warning(
        CODE,
        node,
        line=call.lineno,
        message=f"`dim=0` takes the softmax over the {shape[0]} samples of the batch, not over the {shape[1]} classes.",
        why="The numbers of each class add up to 1 over the batch, so every sample depends on the others. The loss does not "
        "measure how well each sample is classified. Use `dim=1`, or `dim=-1` for the last dimension.",
    )
