"""Report a tensor of integers that is made to require a gradient.

## Why it matters

A gradient describes the effect of a small change. An integer cannot change by a small amount, so PyTorch raises an error.
The usual cause is a list such as `[1, 2, 3]`, which makes a tensor of integers.

## Example

```python
import torch

w = torch.tensor([1, 2, 3], requires_grad=True)
```

Use floating-point numbers:

```python
import torch

w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
```

## What it does not report

Integer tensors that do not require a gradient, such as indices and labels.
"""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ..program.syntax import Syntax
from ..recorded.failure import Failure

CODE: Final = "integer-grad"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"[oO]nly Tensors of floating point"
_CALLS: Final = ("tensor", "full", "arange")
_LOOKING_UP: Final = frozenset({
    "index_select", "gather", "take", "take_along_dim", "scatter", "scatter_", "index_add", "index_add_", "embedding",
    "one_hot", "cross_entropy", "nll_loss",
})  # fmt: skip
"""Functions with an argument that has to be a tensor of integers."""
_INTEGERS: Final = frozenset({"int", "long", "short", "int8", "int16", "int32", "int64", "uint8"})


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with a fix that gives this tensor and others of the same kind a floating-point dtype."""
    line, syntax = failure.line, failure.syntax
    call = syntax.call(line, *_CALLS) if line is not None else None
    fix = _floating(syntax, call) if call is not None else None
    kind = "booleans" if call is not None and _has_booleans(call) else "integers"
    message = f"A tensor of {kind} cannot require a gradient."
    why = (
        f"A gradient describes the effect of a small change, and {kind} cannot change by a small amount. "
        "Write `1.0` instead of `1`, or pass `dtype=torch.float32`."
    )
    return failure.finding(CODE, message, why, line=line, fix=fix)


def _floating(syntax: Syntax, call: ast.Call) -> model.Fix | None:
    """Return the fix for a call with ``requires_grad``, and for all other calls that would fail next."""
    torch = syntax.torch_name()
    if torch is None or not _required(call) or syntax.calls("set_default_dtype") or _in_double(syntax):
        return None
    also = [each for each in syntax.statements(ast.Call) if each is not call and _called(each) and _integers(each)]
    edits = []
    if _has_booleans(call) or any(_is_index(syntax, each) for each in (call, *also)):
        return None  # a mask or an index was not meant to be trained
    for each in (call, *also):
        if any(keyword.arg is None for keyword in each.keywords):
            return None
        dtype = next((keyword.value for keyword in each.keywords if keyword.arg == "dtype"), None)
        if dtype is not None:
            edits.append(model.Edit(*syntax.span(dtype), f"{torch}.float32"))
        else:
            edits.append(syntax.argument(each, f"dtype={torch}.float32"))
    return model.Fix("Use floating-point numbers", edits)


def _has_booleans(call: ast.Call) -> bool:
    return any(isinstance(each, ast.Constant) and isinstance(each.value, bool) for arg in call.args for each in ast.walk(arg))


def _in_double(syntax: Syntax) -> bool:
    """Return whether the program names a floating-point dtype other than ``float32``, with which the fix might fail."""
    names = {each.attr for each in syntax.statements(ast.Attribute)}
    return bool(names & {"float64", "double", "float16", "half", "bfloat16"})


def _is_index(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether the tensor that a call makes is used as an index, or given to a function that looks values up."""
    parent = syntax.parent(call)
    target = parent.targets[0] if isinstance(parent, ast.Assign) else None
    name = target.id if isinstance(target, ast.Name) else None
    for node in syntax.statements(ast.expr):
        match node:
            case ast.Subscript(slice=index) if any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(index)):
                return True
            case ast.Call(func=ast.Attribute(attr=function), args=arguments) if function in _LOOKING_UP:
                if any(isinstance(each, ast.Name) and each.id == name for each in arguments):
                    return True
    return False


def _called(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in _CALLS


def _required(call: ast.Call) -> bool:
    return any(keyword.arg == "requires_grad" for keyword in call.keywords)


def _integers(call: ast.Call) -> bool:
    """Return whether a call makes a tensor of integers, judged by its literals or its dtype, that requires a gradient."""
    if not _required(call) or not call.args:
        return False
    dtype = next((keyword.value for keyword in call.keywords if keyword.arg == "dtype"), None)
    if dtype is not None:
        return isinstance(dtype, ast.Attribute) and dtype.attr in _INTEGERS
    parts = [each for argument in call.args for each in ast.walk(argument)]
    plain = all(isinstance(each, ast.Constant | ast.List | ast.Tuple | ast.UnaryOp | ast.USub | ast.Load) for each in parts)
    return plain and all(type(each.value) is int for each in parts if isinstance(each, ast.Constant))
