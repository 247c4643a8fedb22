"""Report a result that a custom function keeps for `backward` without a graph, so that a second derivative is wrong.

## Why it matters

`forward` of a `torch.autograd.Function` builds no graph. A result that it computes from its inputs and keeps in `ctx` is a
constant in `backward`. The first derivative is right. A derivative of the gradient, as in a gradient penalty, misses the part
that passes through the kept result, without an error.

## Example

```python
import torch

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.twice = 2 * x
        return x ** 2

    @staticmethod
    def backward(ctx, g):
        return g * ctx.twice

x = torch.tensor(3.0, requires_grad=True)
y = Square.apply(x) * x
first = torch.autograd.grad(y, x, create_graph=True)[0]
first.backward()
```

Save the input, and compute from it in `backward`:

```python
import torch

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 2

    @staticmethod
    def backward(ctx, g):
        return g * 2 * ctx.saved_tensors[0]

x = torch.tensor(3.0, requires_grad=True)
y = Square.apply(x) * x
first = torch.autograd.grad(y, x, create_graph=True)[0]
first.backward()
```

## What it does not report

- Functions whose gradient is not differentiated again.
- Kept outputs, which have a graph, and masks, signs and random numbers, whose derivative is 0.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.kept_results import kept_results
from ..recorded.passes import GraphOfPass, different_graphs

CODE: Final = "kept-result"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each kept result of a custom function whose gradient was differentiated."""
    again: dict[str, GraphOfPass] | None = None
    for function in syntax.statements(ast.ClassDef):
        kept = list(kept_results(syntax, function))
        if not kept:
            continue
        again = _differentiated_again(recording) if again is None else again
        graph = again.get(f"{function.name}Backward")
        if graph is not None:
            text, line = kept[0].text, kept[0].line
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=line,
                step=graph.step,
                node=None,
                message=f"`{function.name}` keeps `{text}`, which has no graph, so the derivative of its gradient is wrong.",
                why=f"`backward` treats `{text}` as a constant, although it depends on the input. Save the inputs with "
                "`ctx.save_for_backward(…)`, and compute from `ctx.saved_tensors` in `backward`.",
                pass_=graph.pass_,
            )


def _differentiated_again(recording: Recording) -> dict[str, GraphOfPass]:
    """Return the operations of each graph whose gradient a pass ran through, with the graph of this pass."""
    found: dict[str, GraphOfPass] = {}
    for graph in different_graphs(recording):
        earlier = {int(node.backward_of.graph[1:]) for node in graph.nodes if node.backward_of is not None}
        for index in earlier:
            for node in recording.graph(index).nodes:
                found.setdefault(node.op, graph)
    return found
