"""Report a gradient that is requested where no graph connects the result to the tensor.

## Why it matters

`backward()` follows the graph from the result back to the leaves. If the result was computed without a graph, or a line on
the way cut the graph, there is nothing to follow. Common cuts are `detach()`, `.data`, `.item()`, `torch.tensor(…)` around
a result, and code under `torch.no_grad()`.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
loss = torch.tensor((x * 2).sum().item())
loss.backward()
```

Keep the tensor that has the graph:

```python
import torch

x = torch.ones(3, requires_grad=True)
loss = (x * 2).sum()
loss.backward()
```

## What it does not report

Tensors that are detached on purpose, such as targets, as long as another path leads to a leaf.
"""

from __future__ import annotations

from typing import Final

from ... import model
from ..cuts import Cuts
from ..failure import Failure
from ..syntax import root_of_pass
from ..wording import first_line

CODE: Final = "no-grad-path"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
_UNUSED = "not have been used"
_NOT_REQUIRED = "differentiated Tensors does not require grad"
_INFERENCE = "Inference tensors cannot be saved for backward"
MESSAGES: Final = (
    r"does not require grad and does not have a grad_fn|object has no attribute 'backward'"
    rf"|appears to not have been used in the graph|{_NOT_REQUIRED}|{_INFERENCE}"
)


def explain(failure: Failure) -> model.Finding:
    """Return the finding for whatever has no graph: the result, the tensor to differentiate by, or an inference tensor."""
    message = failure.exception.message
    if _INFERENCE in message:
        return _inference(failure)
    if _UNUSED in message or _NOT_REQUIRED in message:
        return _no_path_to_input(failure)
    return _no_graph(failure)


def _no_graph(failure: Failure) -> model.Finding:
    """Return the finding for a result without a graph: the line that cut the graph, if one is found."""
    line, syntax = failure.line, failure.syntax
    call = syntax.call(line, "backward", "grad") if line is not None else None
    root = root_of_pass(call)
    requires_grad = {
        row.line: bool(row.tensor.requires_grad)
        for row in failure.recording.lines()
        if row.tensor is not None and row.file is None
    }
    what = f"`{syntax.text(root)}`" if root is not None and len(syntax.text(root)) <= 60 else "The result"
    nothing = f"{what} has no `grad_fn`, so there is no graph to run backward through."
    cut = Cuts(syntax, requires_grad).nearest(root) if root is not None else None
    if cut is not None:
        message = f"{what} has no `grad_fn`: `{first_line(cut.text)}` on line {cut.line} cuts the graph."
        if f"`{cut.text}`" == what:
            message = nothing
        return failure.finding(CODE, message, cut.why, line=cut.line, fix=cut.fix)
    if any(requires_grad.values()) or failure.recording.parameters():
        why = "It was not computed from a tensor that requires a gradient, or the graph was cut on the way."
    else:
        why = "Nothing in this program requires a gradient. Create the tensor that should learn with `requires_grad=True`."
    return failure.finding(CODE, nothing, why, line=line)


def _no_path_to_input(failure: Failure) -> model.Finding:
    """Return the finding for ``autograd.grad`` with an input that the result does not depend on."""
    line, syntax = failure.line, failure.syntax
    call = syntax.call(line, "grad") if line is not None else None
    fix = None
    if _UNUSED in failure.exception.message:
        message = "A gradient is requested for a tensor that the result was not computed from."
        why = (
            "No path leads from the result to that tensor, so there is no gradient, not even zero. "
            "With `allow_unused=True` PyTorch returns `None` instead of raising an error."
        )
        if call is not None and not any(keyword.arg in ("allow_unused", None) for keyword in call.keywords):
            fix = model.Fix("Accept `None` as its gradient", [syntax.argument(call, "allow_unused=True")])
    else:
        message = "A gradient is requested for a tensor that does not require one."
        why = (
            "Only a tensor with `requires_grad=True`, or one computed from such a tensor, is part of a graph. "
            "A tensor returned by `detach()` is not."
        )
    return failure.finding(CODE, message, why, line=line, fix=fix)


def _inference(failure: Failure) -> model.Finding:
    """Return the finding for a graph that needs a tensor made in inference mode."""
    message = f"{failure.raising_line} uses a tensor that was created in inference mode, and a graph cannot save it."
    why = "`clone()` the tensor outside of inference mode, or create it under `torch.no_grad()` instead."
    return failure.finding(CODE, message, why, line=failure.line)
