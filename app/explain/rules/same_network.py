"""Report a name that was meant for a copy of a network, but refers to the network that is trained.

## Why it matters

An assignment does not copy. After `target = net`, both names refer to one module, and every update changes the "target" too.
A target network, a teacher, or the best network so far then has no effect: it is always the current network. `copy.copy` copies
only the outermost object, which still refers to the same parameters.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, net = torch.randn(8, 4), nn.Linear(4, 2)
target = net
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(4):
    with torch.no_grad():
        goal = 0.9 * target(x) + 1
    loss = ((net(x) - goal) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

Make a copy:

```python
import copy
import torch
from torch import nn

torch.manual_seed(0)
x, net = torch.randn(8, 4), nn.Linear(4, 2)
target = copy.deepcopy(net)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(4):
    with torch.no_grad():
        goal = 0.9 * target(x) + 1
    loss = ((net(x) - goal) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Names that do not say that a copy is meant, such as `model = net`, unless the copy is a shallow one: `copy.copy(net)`.
- A network that gets another name before the first name is bound to a new network.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.losses import bindings
from ..program.syntax import Syntax, called
from ..program.updates import written_by

CODE: Final = "same-network"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps of a run."""
_IN_PLACE: Final = frozenset({"eval", "train", "requires_grad_", "to", "cuda", "cpu", "float", "double", "half", "bfloat16"})
"""Methods of a network that change it and return it."""
_COPIES: Final = frozenset(
    {
        "target", "teacher", "ema", "old", "frozen", "reference", "ref", "best", "initial", "backup", "original", "previous",
        "prev", "momentum", "swa", "averaged", "snapshot",
    }
)  # fmt: skip
"""Words in names that mean a copy of a network."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each trained network that is assigned to a name that means a copy, or copied by ``copy.copy``."""
    if recording.log.counts()[2] < STEPS:
        return
    names = {name for parameter in recording.parameters() for name in parameter.names}
    trained = {part for name in names for part in name.split(".")[:-1]}
    if not trained:
        return
    pairs = list(bindings(syntax))
    for target, value in pairs:
        source = _same(value)
        name, given = _path(target), _path(source) if source is not None else None
        shallow = isinstance(value, ast.Call) and called(value) == "copy"
        if name is None or given is None or name == given or _means_copy(given):
            continue
        if isinstance(value, ast.Call) and given in names:
            continue  # a tensor, of which some of these methods return a copy
        aliases = {given} | {each for other, bound in pairs if _path(bound) == given and (each := _path(other)) is not None}
        if not (shallow or _means_copy(name) or any(_follows(syntax, name, each) for each in aliases - {name})):
            continue
        if not any(each in names or each.rpartition(".")[2] in trained for each in aliases - {name}):
            continue
        if _rebound(pairs, given, target.lineno) or not _used(syntax, name):
            continue
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=target.lineno,
            step=None,
            node=None,
            message=f"`{name}` has the parameters of `{given}` itself, so every update changes both."
            if shallow
            else f"`{name}` and `{given}` are the same network, so every update changes both.",
            why=f"{'`copy.copy` copies only the outermost object' if shallow else 'An assignment does not copy'}. Make a copy: "
            f"`copy.deepcopy({given})`.",
        )


def _same(value: ast.expr) -> ast.expr | None:
    """Return the network that an expression refers to without a copy of its parameters."""
    match value:
        case ast.Name() | ast.Attribute():
            return value
        case ast.Call(func=ast.Attribute(attr=method, value=owner)) if method in _IN_PLACE:
            return _same(owner)
        case ast.Subscript(value=ast.Name(), slice=ast.Constant()):
            return value
        case ast.Call(args=[only]) if called(value) == "copy":
            return only if isinstance(only, ast.Name | ast.Attribute) else None
    return None


def _path(node: ast.expr) -> str | None:
    """Return the text of a name, or of an attribute or item of a name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
        case ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value=key)):
            return f"{owner}[{key!r}]"
    return None


def _means_copy(path: str) -> bool:
    words = re.split(r"_|\.|(?<=[a-z])(?=[A-Z])", path.removeprefix("self."))
    return any(word.lower() in _COPIES for word in words)


def _follows(syntax: Syntax, name: str, given: str) -> bool:
    """Return whether a loop through the parameters of both names writes to those of ``name``, as for a target network."""
    for loop in syntax.statements(ast.For):
        match loop:
            case ast.For(
                iter=ast.Call(func=ast.Name(id="zip"), args=[ast.Call() as first, ast.Call() as second]),
                target=ast.Tuple(elts=[ast.Name(id=one), ast.Name(id=other)]),
            ) if {called(first), called(second)} == {"parameters"}:
                owners = [_path(each.func.value) if isinstance(each.func, ast.Attribute) else None for each in (first, second)]
                if sorted(str(each) for each in owners) != sorted((name, given)):
                    continue
                variable = one if owners[0] == name else other
                written = (written_by(each) for each in ast.walk(loop) if isinstance(each, ast.stmt))
                targets = (each for each in written if each is not None)
                if any(isinstance(each, ast.Name) and each.id == variable for target in targets for each in ast.walk(target)):
                    return True
    return False


def _rebound(pairs: list[tuple[ast.expr, ast.expr]], given: str, line: int) -> bool:
    """Return whether the first name of a network is bound again, after the network got a second name."""
    return any(_path(target) == given and target.lineno > line for target, _ in pairs)


def _used(syntax: Syntax, name: str) -> bool:
    """Return whether the program calls the copy, or a method of it, or passes it on."""
    owner_name, _, attribute = name.rpartition(".")
    ends = {attribute, owner_name} if owner_name not in ("", "self") else {attribute}
    for node in syntax.statements(ast.Call):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        paths = [_path(each) for each in (owner, node.func, *node.args)]
        if any(path is not None and (path == name or path.rpartition(".")[2] in ends) for path in paths):
            return True
    return False
