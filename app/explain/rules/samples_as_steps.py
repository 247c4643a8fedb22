"""Report an LSTM, GRU or RNN that takes the samples of a batch for the steps of a sequence.

## Why it matters

Without `batch_first=True`, a recurrent layer expects the steps in dimension 0 of its input, and the samples in dimension 1.
Given a batch of shape (samples, steps, features), it runs from sample to sample. No error is raised, because `out[:, -1]` then
has one row for each sample too. But each row depends on the samples before it, and only on the last step of each.

## Example

```python
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(6, 5, 3), torch.randn(6, 4)
lstm = nn.LSTM(3, 4)
out, _ = lstm(x)
loss = F.mse_loss(out[:, -1], y)
loss.backward()
```

Tell the layer where the samples are:

```python
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(6, 5, 3), torch.randn(6, 4)
lstm = nn.LSTM(3, 4, batch_first=True)
out, _ = lstm(x)
loss = F.mse_loss(out[:, -1], y)
loss.backward()
```

## What it does not report

- A layer of whose output the program does not take the last index of dimension 1, as `out[:, -1]` does.
- A batch of one sample, and a pass that reads no targets with as many rows as the output.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs

CODE: Final = "samples-as-steps"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_LAYERS: Final = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each call of a recurrent layer that runs over the samples."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            if not node.op.startswith("SelectBackward") or not _takes_last(syntax, node):
                continue
            for source in graph.inputs(index)[:1]:
                layer = graph.nodes[source]
                kind = _LAYERS.get((layer.call or "").rpartition(".")[2])
                out = graph.numbers.value(source)
                if kind is None or layer.op.startswith("Transpose") or layer.line in reported or out is None:
                    continue
                if len(out.shape) == 3 and out.shape[1] > 1 and _has_targets(graph, layer, out.shape[0]):
                    reported.add(layer.line)
                    yield _finding(graph, layer, node, kind, out.shape)


def _takes_last(syntax: Syntax, node: model.Node) -> bool:
    """Return whether a node computed the last index of dimension 1, as `out[:, -1]` does."""
    for each in syntax.at(node.line, node.columns):
        match each:
            case ast.Subscript(
                slice=ast.Tuple(elts=[ast.Slice(None, None, None), ast.UnaryOp(ast.USub(), ast.Constant(1)), *_])
            ):
                return True
    return False


def _has_targets(graph: GraphOfPass, layer: model.Node, rows: int) -> bool:
    """Return whether a pass reads data with a number of rows outside the recurrent layer."""
    for index, node in enumerate(graph.nodes):
        if node.kind == "op" and node.call != layer.call:
            for source in graph.inputs(index):
                value = graph.numbers.value(source) if graph.nodes[source].kind == "constant" else None
                if value is not None and value.shape[:1] == [rows]:
                    return True
    return False


def _finding(graph: GraphOfPass, layer: model.Node, node: model.Node, kind: str, shape: list[int]) -> model.Finding:
    name = f"`{layer.module}`" if layer.module else f"The {kind}"
    steps, samples = shape[:2]
    return graph.warning(
        CODE,
        layer,
        line=layer.line,
        message=f"{name} reads its input as {steps:,} steps of {samples:,} samples, but line {node.line} uses its output as "
        f"{steps:,} samples.",
        why=f"Without `batch_first=True`, dimension 0 of the input of `nn.{kind}` are the steps. Here they are the samples, so "
        f"each one reaches the ones after it. Make the layer with `nn.{kind}(…, batch_first=True)`.",
    )
