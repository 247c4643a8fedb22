"""Report a list that contains one layer several times, because it was made with `[layer] * n`.

## Why it matters

`[nn.Linear(8, 8)] * 3` calls `nn.Linear` once and puts the same layer into the list three times. A network made from
this list has one weight instead of three: it applies the same layer three times, and one `.grad` gets the gradients of all
positions.

## Example

```python
import torch
from torch import nn

net = nn.Sequential(*[nn.Linear(8, 8)] * 3)
loss = net(torch.ones(4, 8)).pow(2).mean()
loss.backward()
```

Make each layer:

```python
import torch
from torch import nn

net = nn.Sequential(*[nn.Linear(8, 8) for _ in range(3)])
loss = net(torch.ones(4, 8)).pow(2).mean()
loss.backward()
```

## What it does not report

- A layer that has a name and is repeated: `[layer] * 3` shares its weight visibly.
- Layers without parameters, such as `nn.ReLU()`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax, called
from ..recorded.passes import different_graphs

CODE: Final = "shared-layer"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each list that repeats a new layer whose parameters a pass uses several times."""
    repeated = {product: layer for product in syntax.statements(ast.BinOp) if (layer := _layer(product)) is not None}
    lines = {each.id: each.line for each in recording.parameters()} if repeated else {}
    for graph in different_graphs(recording) if repeated else ():
        leaves = [node for index, node in enumerate(graph.nodes) if node.kind == "leaf" and len(graph.users(index)) > 1]
        made = {line for leaf in leaves if (line := lines.get(leaf.parameter or "")) is not None}
        for product, layer in list(repeated.items()):
            if any(line in span for line in made for span in _spans(syntax, product, layer)):
                del repeated[product]
                yield _finding(syntax, product, layer, graph.step, graph.pass_)


def _layer(product: ast.BinOp) -> ast.Call | None:
    """Return the call in ``[Layer(…)] * n`` or ``n * [Layer(…)]`` whose result is repeated, ``None`` for another expression."""
    if not isinstance(product.op, ast.Mult):
        return None
    for items, times in ((product.left, product.right), (product.right, product.left)):
        if isinstance(items, ast.List) and not (isinstance(times, ast.Constant) and times.value == 1):
            return next(
                (each for each in items.elts if isinstance(each, ast.Call) and (called(each) or "?")[0].isupper()), None
            )
    return None


def _spans(syntax: Syntax, product: ast.BinOp, layer: ast.Call) -> Iterator[range]:
    """Yield the lines on which the parameters of a repeated layer are made: its call, or its class in the program."""
    classes = [each for each in syntax.statements(ast.ClassDef) if each.name == called(layer)]
    for first, last in ((product.lineno, product.end_lineno), *((each.lineno, each.end_lineno) for each in classes)):
        yield range(first, (last or first) + 1)


def _finding(syntax: Syntax, product: ast.BinOp, layer: ast.Call, step: int, pass_: int) -> model.Finding:
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=product.lineno,
        step=step,
        node=None,
        message=f"`{syntax.text(product)}` contains one `{called(layer)}` several times, so the layers share their weights.",
        why=f"Python evaluates `{syntax.text(layer)}` once, and the list repeats that layer. Use a comprehension, which makes "
        "a new layer for each position.",
        pass_=pass_,
    )
