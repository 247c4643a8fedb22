"""Report a loss that expects logarithms of probabilities and gets other numbers.

## Why it matters

`nll_loss`, `kl_div` and `ctc_loss` expect the logarithms of probabilities, which are never above 0. With probabilities or
logits they return a number without a warning, often a negative one. The optimizer then reduces a number that does not measure
the fit.

## Example

```python
import torch
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
w = torch.randn(4, 3, requires_grad=True)
loss = F.nll_loss((x @ w).softmax(dim=1), y)
loss.backward()
```

Pass the result of `log_softmax`:

```python
import torch
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(12, 4), torch.randint(3, (12,))
w = torch.randn(4, 3, requires_grad=True)
loss = F.nll_loss((x @ w).log_softmax(dim=1), y)
loss.backward()
```

## What it does not report

- Inputs without an element above 0.
- The second argument of `kl_div`, which is a probability unless `log_target=True`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..recorded.passes import GraphOfPass, different_graphs
from ..wording import short

CODE: Final = "not-log-probabilities"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
ROUNDING: Final = 1e-3
"""Largest number that may be the logarithm of a probability: rounding may leave a logarithm slightly above 0."""
_CTC: Final = ("CtcLoss", "CudnnCtcLoss")
_NLL: Final = ("NllLossBackward0", "NllLoss2DBackward0")


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line on which ``nll_loss``, ``kl_div`` or ``ctc_loss`` gets numbers above 0."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            if node.line in reported:
                continue
            given = _given(graph, index)
            value = graph.numbers.value(given) if given is not None else None
            if given is not None and value is not None and isinstance(value.max, float | int) and value.max > ROUNDING:
                reported.add(node.line)
                yield _finding(graph, node, given, float(value.max))


def _given(graph: GraphOfPass, index: int) -> int | None:
    """Return the node whose result a loss reads as logarithms of probabilities; ``None`` for other nodes."""
    node = graph.nodes[index]
    if node.op in _NLL:
        inputs = graph.inputs(index)
        return inputs[0] if inputs and node.call is not None and "nll_loss" in node.call else None
    if node.op.startswith(_CTC):
        return next(iter(graph.inputs(index)), None)
    if node.op != "MulBackward0" or node.call is None or not node.call.endswith("kl_div"):
        return None
    # this node multiplies the arguments of kl_div; an argument is a result of another call, or a leaf
    outside = [each for each in graph.inputs(index) if graph.nodes[each].call != node.call]
    softmaxes = [each for each in outside if graph.before_views(each).op in ("SoftmaxBackward0", "SigmoidBackward0")]
    scores = [each for each in outside if _has_both_signs(graph, each)]
    if len(scores) == 1 and graph.nodes[scores[0]].kind != "constant":
        return scores[0]
    if len(outside) != len(softmaxes) + sum(_is_probability(graph, each) for each in outside if each not in softmaxes):
        return None
    return softmaxes[0] if softmaxes else None


def _has_both_signs(graph: GraphOfPass, node: int) -> bool:
    """Return whether a node has elements below and above 0, so that it is neither a probability nor a logarithm of one."""
    value = graph.numbers.value(node)
    if value is None or not isinstance(value.min, float | int) or not isinstance(value.max, float | int):
        return False
    return value.min < -ROUNDING and value.max > ROUNDING


def _is_probability(graph: GraphOfPass, node: int) -> bool:
    value = graph.numbers.value(node)
    return value is not None and isinstance(value.min, float | int) and value.min >= 0


def _finding(graph: GraphOfPass, loss: model.Node, given: int, largest: float) -> model.Finding:
    function = "kl_div" if loss.op == "MulBackward0" else "ctc_loss" if loss.op.startswith(_CTC) else "nll_loss"
    made = graph.before_views(given)
    probabilities = made.op in ("SoftmaxBackward0", "SigmoidBackward0")
    what = "probabilities" if probabilities else f"numbers up to {short(largest)}"
    remedy = "Pass the result of `log_softmax`" if made.op != "SigmoidBackward0" else "Pass the result of `logsigmoid`"
    alternative = ", or use `cross_entropy`, which takes logits" if function == "nll_loss" else ""
    return graph.warning(
        CODE,
        made,
        line=loss.line,
        message=f"`{function}` gets {what}, but expects logarithms of probabilities.",
        why=f"Logarithms of probabilities are never above 0. `{function}` does not check this, and the number that it returns "
        f"does not measure the fit. {remedy}{alternative}.",
    )
