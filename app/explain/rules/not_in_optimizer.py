"""Report parameters that get gradients in each step, but that no optimizer changes.

## Why it matters

`parameters()` returns only the parameters that a module has registered, including those of layers in an `nn.ModuleList` or
`nn.ModuleDict`. It skips layers in a plain list or dict, and tensors that are not an `nn.Parameter`. An optimizer that is made
from `parameters()` leaves these at their random initial values. The loss may still fall, because the other layers learn.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, 4)]
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).tanh()
        return self.head(x)

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
```

Register the layers with `nn.ModuleList`:

```python
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(8, 4), torch.randn(8, 1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).tanh()
        return self.head(x)

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
```

## What it does not report

- Runs in which fewer than two steps update parameters with an optimizer.
- Parameters that the program changes itself, and inputs that require a gradient.
- Modules that the program leaves out of the optimizer on purpose, as in fine-tuning: nothing shows that they were forgotten.
  A single `nn.Parameter` outside of a module, a tensor that begins with equal elements, and the parameters of a loss function
  are reported, unless the program reads their gradients.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from ... import model, wire
from ...recording import Recording, Tensors
from ..program.forgotten import forgotten
from ..program.modules import Unregistered, makes_layer, module_classes, unregistered
from ..program.optimizers import optimizers
from ..program.syntax import Syntax, called
from ..recorded.steps import first_steps, is_zero
from ..wording import first_line, listed

CODE: Final = "not-in-optimizer"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
STEPS: Final = 2
"""Smallest number of steps with an optimizer's update, and of parameters that a line makes for a single step each."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield findings for attributes that are not registered, and for lines that make, add or unfreeze layers too late."""
    with_gradient: defaultdict[int, list[int]] = defaultdict(list)
    changed: set[int] = set()
    updates = 0
    for step in first_steps(recording):
        tensors = Tensors(step.tensors)
        updates += step.optimizer is not None
        for row in step.parameters:
            if row.grad_used >= 0 or (row.update >= 0 and not is_zero(tensors.summary(row.update))):
                changed.add(row.parameter)
            elif row.contribution >= 0:
                with_gradient[row.parameter].append(step.index)
    if updates < STEPS or not changed:
        return
    left = {f"p{index}": steps for index, steps in with_gradient.items() if index not in changed}
    if not left:
        return
    parameters = [each for each in recording.parameters() if each.id in left]
    names = [each.names[0] for each in parameters if each.names and len(left[each.id]) >= STEPS]
    yield from _of_attributes(syntax, names)
    yield from _made_anew(syntax, {(each.line, left[each.id][0]) for each in parameters if len(left[each.id]) == 1})
    held = {name for each in recording.parameters() if int(each.id[1:]) in changed for name in each.names}
    replaced = {signal.name for signal in recording.signals(wire.UnusedParameter)}  # unused-parameter names their line
    yield from _added_later(syntax, [name for name in names if name not in replaced], held)
    yield from _unfrozen_later(syntax, names)
    for lone in forgotten(syntax, names, held):
        yield _finding(
            lone.line,
            f"No optimizer changes `{lone.name}`, because line {lone.made} does not give it to the optimizer.",
            f"`backward()` computes its gradient in each step, and nothing uses it. {lone.remedy}",
        )


def _of_attributes(syntax: Syntax, names: list[str]) -> Iterator[model.Finding]:
    """Yield a finding for each attribute of a module that is not registered and contains parameters with these names."""
    for attribute in unregistered(syntax) if names else ():
        found = [name for name in names if _contains(attribute, name)]
        if found:
            what, remedy = _KINDS[attribute.kind]
            yield _finding(
                attribute.line,
                f"No optimizer changes {listed(found)}, because `self.{attribute.attribute}` is {what}.",
                "`parameters()` returns only what the module has registered, so the optimizer did not get "
                f"{'them' if len(found) > 1 else 'it'}. {remedy}",
            )


_KINDS: Final = {
    "parameters": ("a plain list", "Use `nn.ParameterList([…])`."),
    "list": ("a plain list", "Use `nn.ModuleList([…])`, or `nn.Sequential`."),
    "dict": ("a plain dict", "Use `nn.ModuleDict({…})`."),
    "tensor": ("a tensor, not a parameter", "Use `nn.Parameter(…)`."),
}


_ADDS: Final = frozenset({"add_module", "register_module", "append", "extend", "insert", "register_parameter"})
"""Methods that add a layer or parameter to a module."""


def _contains(attribute: Unregistered, name: str) -> bool:
    """Return whether a parameter's name leads through an attribute.

    In the name, an index or key follows a list or dict, as in ``net.layers[0].weight``.
    """
    if attribute.kind == "tensor":
        return name.endswith(f".{attribute.attribute}")
    return f".{attribute.attribute}[" in name


def _made_anew(syntax: Syntax, made_in: set[tuple[int | None, int]]) -> Iterator[model.Finding]:
    """Yield a finding for each line that makes a layer in a loop, in at least ``STEPS`` steps.

    ``made_in`` has the lines that made the parameters with a gradient in only one step, each with this step.
    """
    classes = module_classes(syntax)
    for line, count in Counter(line for line, _ in sorted(made_in, key=lambda each: each[1])).items():
        if line is None or count < STEPS:
            continue
        made = next((each for each in syntax.statements(ast.Call) if each.lineno == line and makes_layer(each, classes)), None)
        if made is not None and syntax.in_loop(made):
            text = first_line(syntax.text(made))
            yield _finding(
                line,
                f"Line {line} makes a new layer in each step, `{text}`, and no optimizer changes it.",
                "Its weights are random again in every step, so it never learns. Make the layer once, in `__init__`, before "
                "the optimizer.",
            )


def _added_later(syntax: Syntax, names: list[str], held: set[str]) -> Iterator[model.Finding]:
    """Yield a finding for the first line that adds layers to a network after the optimizer was made from its parameters.

    ``names`` are parameters that no optimizer changes, ``held`` parameters that an optimizer changes.
    """
    made = max((optimizer.made.lineno for optimizer in optimizers(syntax)), default=None)
    roots = {name.partition(".")[0] for name in held}
    left = [name for name in names if "." in name and name.partition(".")[0] in roots]
    for line, owner in _additions(syntax) if made is not None and left else ():
        found = [name for name in left if name.startswith(f"{owner}.")]
        if found and made is not None and line > made:
            yield _finding(
                line,
                f"No optimizer changes {listed(found)}, because line {line} adds the layer after line {made} has made "
                "the optimizer.",
                "An optimizer changes only the parameters that it got when it was made. Add the layer first, or call "
                "`add_param_group`.",
            )
            return


def _additions(syntax: Syntax) -> Iterator[tuple[int, str]]:
    """Yield the lines that add a layer to a module, with the path of the module or of the layer, as in names of parameters."""
    for call in syntax.statements(ast.Call):
        if isinstance(call.func, ast.Attribute) and called(call) in _ADDS:
            yield call.lineno, syntax.text(call.func.value)
    for statement in syntax.statements(ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Attribute | ast.Subscript) and isinstance(statement.value, ast.Call):
                yield statement.lineno, syntax.text(target).replace("[", ".").replace("]", "")


def _unfrozen_later(syntax: Syntax, names: list[str]) -> Iterator[model.Finding]:
    """Yield a finding for a line that unfreezes parameters after an optimizer got only those that required a gradient."""
    made = max((optimizer.made for optimizer in optimizers(syntax)), key=lambda call: call.lineno, default=None)
    if not names or made is None or "requires_grad" not in syntax.text(made) or syntax.calls("add_param_group"):
        return
    for node in syntax.statements(ast.stmt):
        if node.lineno > made.lineno and _unfreezes(node):
            yield _finding(
                node.lineno,
                f"No optimizer changes {listed(names)}, because line {node.lineno} unfreezes them, but line {made.lineno} gave "
                "the optimizer only parameters that already required a gradient.",
                "An optimizer changes only the parameters that it got when it was made. Give it all parameters, since it skips "
                "those without a gradient, or call `add_param_group`.",
            )
            return


def _unfreezes(statement: ast.stmt) -> bool:
    """Return whether a statement is ``….requires_grad = True`` or ``….requires_grad_()``."""
    match statement:
        case ast.Assign(targets=[ast.Attribute(attr="requires_grad")], value=ast.Constant(value=True)):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="requires_grad_"), args=[])):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="requires_grad_"), args=[ast.Constant(value=True)])):
            return True
    return False


def _finding(line: int, message: str, why: str) -> model.Finding:
    return model.Finding(code=CODE, severity="warning", file=None, line=line, step=None, node=None, message=message, why=why)
