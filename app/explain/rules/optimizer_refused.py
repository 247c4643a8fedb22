"""Report an optimizer that refuses its parameters or options.

## Why it matters

An optimizer takes an iterable of tensors, or of dicts with the key `params`. It refuses modules, single tensors and iterables
without an element. The message of the exception does not say where the parameters were lost.

## Example

```python
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 1)]

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
```

Register the layers:

```python
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 1)])

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
```

## What it does not report

Computed tensors. For those, see [non-leaf-parameter](#non-leaf-parameter).
"""

from __future__ import annotations

import ast
import re
from typing import Final

from ... import model
from ..program.generators import used_up
from ..program.modules import unregistered
from ..program.syntax import called
from ..recorded.failure import Failure

CODE: Final = "optimizer-refused"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = (
    r"optimizer got an empty parameter list|given to the optimizer should be an iterable|optimizer can only optimize Tensors"
    r"|appear in more than one parameter group|^Invalid (learning rate|momentum value|weight_decay value|beta parameter)"
    r"|^'\w+' object is not iterable$"
)
_WHY: Final = "An optimizer takes an iterable of tensors, such as `model.parameters()`."


def explain(failure: Failure) -> model.Finding | None:
    """Return the finding, or ``None`` if an object is not iterable and the line makes no optimizer."""
    message = failure.exception.message
    if message.startswith("optimizer got an empty"):
        return _empty(failure)
    call = _call(failure)
    given = failure.syntax.text(call.args[0]) if call is not None and call.args else "the argument"
    if match := re.match(r"'(\w+)' object is not iterable", message):
        if call is None or not _makes_optimizer(failure, call):
            return None
        return _of_object(failure, given, match[1])
    if message.startswith("params argument"):
        return failure.finding(
            CODE,
            f"The optimizer gets a single tensor, `{given}`.",
            f"{_WHY} Put the tensor into a list: `[{given}]`.",
            line=failure.line,
        )
    if message.startswith("optimizer can only"):
        return _of_element(failure, given, message.rpartition(" is ")[2])
    if "more than one parameter group" in message:
        return failure.finding(
            CODE,
            "The optimizer gets the same parameter in two groups.",
            "Each parameter belongs to one group, whose options apply to it. Remove it from one of the two groups.",
            line=failure.line,
        )
    option = message.partition(":")[0].removeprefix("Invalid ")
    why = f"PyTorch says: `{message.splitlines()[0]}`."
    return failure.finding(CODE, f"The optimizer gets an invalid {option}.", why, line=failure.line)


def _empty(failure: Failure) -> model.Finding:
    """Return the finding for an iterable without an element, at the line that lost the parameters if it is known."""
    syntax, call = failure.syntax, _call(failure)
    first = call.args[0] if call is not None and call.args else None
    if call is not None and (used := used_up(syntax, call)) is not None:
        name, line = used
        return failure.finding(
            CODE,
            f"`{name}` is empty when the optimizer gets it, because line {line} has used it up.",
            f"`{name}` is a generator, which can be read only once. Make it a list: `list(…)`.",
            line=line,
        )
    lost = next(unregistered(syntax), None)
    if lost is not None:
        register = {"list": "`nn.ModuleList([…])`", "dict": "`nn.ModuleDict({…})`", "tensor": "`nn.Parameter(…)`"}[lost.kind]
        return failure.finding(
            CODE,
            f"The optimizer gets no parameter, because `self.{lost.attribute}` is not registered.",
            f"`parameters()` skips plain lists, dicts and tensors. Use {register}.",
            line=lost.line,
        )
    given = f"`{syntax.text(first)}`" if first is not None else "The argument"
    why = "It has no parameter. If parameters were filtered by `requires_grad`, all of them are frozen."
    return failure.finding(CODE, f"{given} has no element, so the optimizer has nothing to train.", why, line=failure.line)


def _of_object(failure: Failure, given: str, kind: str) -> model.Finding:
    """Return the finding for a module, or for a method that was not called."""
    if kind in ("method", "function", "builtin_function_or_method"):
        message, remedy = f"The optimizer gets the method `{given}` itself.", f"Call it: `{given}()`."
    else:
        message, remedy = f"The optimizer gets `{given}`, a `{kind}`.", f"Pass its parameters: `{given}.parameters()`."
    return failure.finding(CODE, message, f"{_WHY} {remedy}", line=failure.line)


def _of_element(failure: Failure, given: str, kind: str) -> model.Finding:
    """Return the finding for an iterable with an element that is not a tensor."""
    remedies = {
        "str": "Pass the values instead of a dict or its names. For a module, pass `parameters()`.",
        "Module.parameters": "Pass one list: `[*a.parameters(), *b.parameters()]`.",
        "tuple": "`named_parameters()` yields pairs. Pass `parameters()`.",
    }
    remedy = (
        remedies.get(kind) or f"Pass the parameters of each `{kind.rpartition('.')[2]}`: `[*a.parameters(), *b.parameters()]`."
    )
    message = f"`{given}` contains an element of type `{kind}`, which is not a tensor."
    return failure.finding(CODE, message, f"{_WHY} {remedy}", line=failure.line)


def _call(failure: Failure) -> ast.Call | None:
    """Return the call that makes the optimizer on the line that raised, or else the first call there with an argument."""
    calls = [node for node in failure.syntax.statements(ast.Call) if node.lineno == failure.line and node.args]
    return next((call for call in calls if _makes_optimizer(failure, call)), calls[0] if calls else None)


def _makes_optimizer(failure: Failure, call: ast.Call) -> bool:
    name = called(call) or ""
    imported = any(
        (node.module or "").endswith("optim") and any(name == (alias.asname or alias.name) for alias in node.names)
        for node in failure.syntax.statements(ast.ImportFrom)
    )
    return imported or "optim." in failure.syntax.text(call.func)
