"""Report a backward pass that failed in a hook, in a custom function or in PyTorch itself.

## Why it matters

An exception inside a backward pass is raised from C++ code. Its traceback ends at `backward()` and does not show which
operation of the graph was being differentiated. This finding names that operation, the line that created it, and the line
that raised.

## Example

```python
import torch

def hook(gradient):
    return gradient[:2]

x = torch.ones(3, requires_grad=True)
y = x * 2
y.register_hook(hook)
y.sum().backward()
```

A hook must return a gradient of the same shape, or `None`:

```python
import torch

def hook(gradient):
    return gradient * 0.5

x = torch.ones(3, requires_grad=True)
y = x * 2
y.register_hook(hook)
y.sum().backward()
```

## What it does not report

Failures that another rule explains, such as [saved-modified](#saved-modified) and [backward-twice](#backward-twice).
"""

from __future__ import annotations

import re
from typing import Final

from ... import model
from ...recording import title
from ..recorded.exceptions import MESSAGE_LIMIT
from ..recorded.failure import Failure
from ..wording import first_line

CODE: Final = "backward-failed"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"Mismatch in (?:shape|dtype): grad_output|gradients can be either Tensors or None"
"""Pattern for messages of failures before a pass begins. Failures during a pass are reported if no other rule explains them."""

_SENTENCES = (
    (
        r"function (\w+) returned an incorrect number of gradients \(expected (\d+), got (\d+)\)",
        "`{0}` must return one gradient per input of its `forward`: expected {1}, returned {2}.",
    ),
    (
        r"Function (\w+) returned an invalid gradient at index (\d+) - got (\S+.*) but expected shape compatible with (.+)",
        "`{0}` returned a gradient of shape {2} for its input {1}, which has shape {3}.",
    ),
    (r"Function '(\w+)' returned nan values", "`{0}` computed a NaN gradient, and anomaly mode stopped the pass."),
    (
        r"expected Variable or None \(got (\w+)\)",
        "A custom function returned a value of type `{0}` instead of a tensor or `None`.",
    ),
    (
        r"expected (?:Variable|tuple), but hook returned '(\w+)'",
        "A hook returned a value of type `{0}` instead of a gradient or `None`.",
    ),
    (r"hook '(.+)' has changed the size of value", "The hook `{0}` returned a gradient of a different shape."),
    (
        r"hook '(.+)' has changed the type of value \((.+)\)",
        "The hook `{0}` returned a gradient of a different type: {1}.",
    ),
    (
        r"hook '(.+)' has returned an incorrect number of values \(got (\d+), but expected (\d+)\)",
        "The hook `{0}` returned the wrong number of gradients: expected {2}, returned {1}.",
    ),
    (
        r"has a shape of torch.Size\((.+?)\) and output\[\d+\] has a shape of torch.Size\((.+?)\)",
        "The gradient that the pass starts from has shape {0}, but its tensor has shape {1}.",
    ),
    (
        r"has a dtype of torch.(\w+) and output\[\d+\] has a dtype of torch.(\w+)",
        "The gradient that the pass starts from has dtype `{0}`, but its tensor has dtype `{1}`.",
    ),
    (
        r"gradients can be either Tensors or None, but got (\w+)",
        "The gradient passed to `backward()` has type `{0}`. It must be a tensor or `None`.",
    ),
)
"""Patterns of PyTorch's messages, and the sentences that explain them."""


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with the node at which the pass failed and the line that raised."""
    exception = failure.exception
    node, text = exception.node, exception.message[:MESSAGE_LIMIT]
    backward = f"the backward pass of line {exception.line}" if exception.line is not None else "a backward pass"
    at = f" at `{title(node)}`" if node is not None else ""
    created = f" (created on line {node.line})" if node is not None and node.line is not None else ""
    if exception.raised is not None:
        detail = f" ({first_line(text)})" if text else ""
        message = f"Line {exception.raised} raised `{exception.type}`{detail} during {backward}."
    else:
        sentences = (
            sentence.format(*found.groups()) for pattern, sentence in _SENTENCES if (found := re.search(pattern, text))
        )
        message = next(sentences, f"{backward[0].upper()}{backward[1:]} failed{at}: {first_line(text)}")
    line = exception.raised or (node.line if node is not None and node.kind == "op" else None) or exception.line
    if node is not None:
        why = f"The pass stopped{at}{created}. The recording shows everything up to that point."
    else:
        why = "The pass had not begun: no node had run."
    return failure.finding(CODE, message, why, line=line)
