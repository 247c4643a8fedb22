"""Report dropout that stays on in evaluation mode, because the function is called without `training=`.

## Why it matters

`nn.Dropout` follows `train()` and `eval()`. The function `torch.nn.functional.dropout` does not know the mode of the network:
its argument `training` is `True` by default. Without this argument, dropout also runs in evaluation. The results are then
random, and usually worse.

## Example

```python
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(F.dropout(x, 0.5))

net, x = Net(), torch.ones(8, 4)
loss = (net(x) ** 2).mean()
loss.backward()
net.eval()
print(net(x).mean())
```

Pass the mode:

```python
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(F.dropout(x, 0.5, training=self.training))

net, x = Net(), torch.ones(8, 4)
loss = (net(x) ** 2).mean()
loss.backward()
net.eval()
print(net(x).mean())
```

## What it does not report

Programs that never call `eval()`, dropout outside of a module's methods, and `training=True`, which is deliberate.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.modules import module_classes
from ..program.syntax import Syntax, called

CODE: Final = "dropout-always"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
_FUNCTIONS: Final = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"})
_TRAINING: Final = 2
"""Position of the argument ``training``."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each dropout without ``training=`` in a method of a module, if the program calls ``eval()``."""
    if not recording.log.counts()[1] or not syntax.calls("eval"):
        return
    classes = module_classes(syntax)
    for call in syntax.statements(ast.Call):
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        functional = owner is not None and syntax.text(owner) in ("F", "nn.functional", "torch.nn.functional", "functional")
        if called(call) not in _FUNCTIONS or not functional or len(call.args) > _TRAINING:
            continue
        if any(keyword.arg in ("training", None) for keyword in call.keywords):
            continue
        function = syntax.function_of(call)
        definition = syntax.parent(function) if function is not None else None
        if isinstance(definition, ast.ClassDef) and definition.name in classes:
            yield model.Finding(
                code=CODE,
                severity="warning",
                file=None,
                line=call.lineno,
                step=None,
                node=None,
                message=f"`{called(call)}` on line {call.lineno} stays on after `eval()`, because `training=` is missing.",
                why="The function does not know the mode of the network. Pass `training=self.training`, or use `nn.Dropout`.",
            )
