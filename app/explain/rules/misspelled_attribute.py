"""Report an assignment to an attribute whose name is a misspelled `requires_grad` or `grad`.

## Why it matters

If an attribute does not exist, an assignment creates it. `p.require_grad = False` therefore runs without an error and freezes
nothing.

## Example

```python
import torch

w = torch.ones(2, requires_grad=True)
frozen = torch.ones(2, requires_grad=True)
frozen.require_grad = False
loss = ((w + frozen) ** 2).sum()
loss.backward()
```

Spell it `requires_grad`:

```python
import torch

w = torch.ones(2, requires_grad=True)
frozen = torch.ones(2, requires_grad=True)
frozen.requires_grad = False
loss = ((w + frozen) ** 2).sum()
loss.backward()
```

## What it does not report

Attributes that the program also reads, or defines in a class of its own.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax

CODE: Final = "misspelled-attribute"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
NAME: Final = "requires_grad"
GRAD: Final = "grad"
ALIKE: Final = 0.82
"""Smallest similarity of a misspelled name, as :class:`difflib.SequenceMatcher` measures it."""
LONGEST: Final = 20
"""Length of the longest name that is compared."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each assignment to a misspelled attribute, with a fix that corrects the name."""
    candidates = [node for node in syntax.statements(ast.Attribute) if isinstance(node.ctx, ast.Store) and _meant(syntax, node)]
    if not candidates:
        return
    own = {node.attr for node in syntax.statements(ast.Attribute) if isinstance(node.ctx, ast.Load)}
    own |= {
        node.id
        for node in syntax.statements(ast.Name)
        if isinstance(syntax.parent(syntax.statement_of(node) or node), ast.ClassDef)
    }
    for node in candidates:
        statement = syntax.statement_of(node)
        if node.attr in own or not isinstance(statement, ast.Assign | ast.AnnAssign) or _of_self(node):
            continue
        _, (line, end) = syntax.span(node)
        name = _meant(syntax, node) or NAME
        yield model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=node.lineno,
            step=None,
            node=None,
            message=f"`{syntax.text(node)}` is a new attribute with a misspelled name, so this line changes nothing.",
            why=f"PyTorch reads `{name}`. Python creates any other attribute without an error, and nothing reads it.",
            fix=model.Fix(f"Spell it `{name}`", [model.Edit((line, end - len(node.attr)), (line, end), name)]),
        )


def _meant(syntax: Syntax, node: ast.Attribute) -> str | None:
    """Return the name that an attribute is meant to have, ``None`` if it is not misspelled.

    A misspelled ``grad`` has the same letters in another order, or an ``s`` at its end, and is set to ``None``.
    """
    name, parent = node.attr, syntax.parent(node)
    if name in (NAME, GRAD) or not name.isascii() or len(name) > LONGEST:
        return None
    if difflib.SequenceMatcher(None, name.lower(), NAME).ratio() >= ALIKE:
        return NAME
    resets = isinstance(parent, ast.Assign) and isinstance(parent.value, ast.Constant) and parent.value.value is None
    return GRAD if resets and (sorted(name) == sorted(GRAD) or name == f"{GRAD}s") else None


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "ctx")
