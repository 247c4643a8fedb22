"""Report a loss function that refuses the dtype of its targets.

## Why it matters

A loss that picks a class expects indices, which are integers: `cross_entropy` and `nll_loss`. A loss that compares numbers
expects targets of the dtype of the predictions: `mse_loss` and both kinds of binary cross entropy. The message of the exception
names dtypes, but not the argument that has the wrong one.

## Example

```python
import torch
import torch.nn.functional as F

logits = torch.ones(4, 3, requires_grad=True)
labels = torch.tensor([0.0, 1.0, 2.0, 1.0])
loss = F.cross_entropy(logits, labels)
loss.backward()
```

Pass the classes as integers:

```python
import torch
import torch.nn.functional as F

logits = torch.ones(4, 3, requires_grad=True)
labels = torch.tensor([0.0, 1.0, 2.0, 1.0])
loss = F.cross_entropy(logits, labels.long())
loss.backward()
```

## What it does not report

Other exceptions of a loss function, such as shapes that do not match.
"""

from __future__ import annotations

import re
from typing import Final

from ... import model
from ..recorded.failure import Failure

CODE: Final = "target-dtype"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = (
    r"^expected target dtype to be Long|^expected scalar type Long but found|^Expected floating point type for target"
    r"|^result type Float can't be cast to the desired output type Long|^Found dtype \w+ but expected \w+$"
    r"|two bool tensors is not supported|^\"\w*(nll_loss|cross_entropy|mse|binary_cross_entropy)\w*\" not implemented for"
)


def explain(failure: Failure) -> model.Finding | None:
    """Return the finding; ``None`` if neither the failed node nor the line that raised contains a loss function."""
    node, syntax = failure.exception.node, failure.syntax
    line = node.line if node is not None and node.line is not None else failure.line
    text = syntax.lines[line - 1] if line is not None and 1 <= line <= len(syntax.lines) else ""
    call = node.call or "" if node is not None else ""
    if not re.search(r"loss|criterion|entropy|bce|mse|nll", f"{text} {call}", re.IGNORECASE):
        return None
    classes = re.search(r"dtype to be Long|scalar type Long", failure.exception.message) is not None
    return failure.finding(
        CODE,
        f"The loss on line {line} expects targets that are {'indices of classes' if classes else 'floating-point numbers'}.",
        "Convert them with `.long()`. Probabilities of classes must have the shape of the logits."
        if classes
        else "Convert them with `.float()`, or to the dtype of the predictions. Class indices belong to `cross_entropy`.",
        line=line,
    )
