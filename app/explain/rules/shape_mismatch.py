"""Report tensors whose shapes do not fit together in an operation.

## Why it matters

PyTorch stops with an error that gives sizes but not the rule behind them. Element-wise operations compare shapes from the
last dimension: two sizes must be equal, or one of them must be 1. A matrix product needs as many columns in the first
matrix as the second has rows.

## Example

```python
import torch

x = torch.ones(4, 3)
layer = torch.nn.Linear(4, 2)
layer(x)
```

Give the layer as many input features as the data has columns:

```python
import torch

x = torch.ones(4, 3)
layer = torch.nn.Linear(3, 2)
layer(x)
```

## What it does not report

Shapes that PyTorch accepts although they are a mistake. For those, see [broadcast-both](#broadcast-both).
"""

from __future__ import annotations

import re
from typing import Final

from ... import model
from ..recorded.failure import Failure

CODE: Final = "shape-mismatch"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
_BROADCAST = r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)"
_PRODUCT = r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)"
MESSAGES: Final = f"{_BROADCAST}|{_PRODUCT}"


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with the sizes that do not fit and the sizes that would."""
    product = re.search(_PRODUCT, failure.exception.message)
    if product is not None:
        rows, inner, outer, columns = product.groups()
        message = f"A {rows} × {inner} matrix cannot be multiplied by a {outer} × {columns} matrix: {inner} is not {outer}."
        why = (
            "The first matrix needs as many columns as the second has rows. "
            f"A layer for this input has {inner} input features. If rows and columns of a matrix are swapped, transpose it "
            "with `.T`."
        )
        return failure.finding(CODE, message, why, line=failure.line)
    broadcast = re.search(_BROADCAST, failure.exception.message)
    first, second, dimension = broadcast.groups() if broadcast else ("?",) * 3
    message = f"These shapes do not fit: in dimension {dimension} the first tensor has size {first}, the second {second}."
    why = (
        "Compared from the last dimension, two sizes must be equal, or one of them must be 1. "
        "Reshape one tensor, or insert a dimension of size 1 with `unsqueeze()`."
    )
    return failure.finding(CODE, message, why, line=failure.line)
