"""Report a leaf that requires a gradient and is changed in place while gradients are recorded.

## Why it matters

The gradient of a leaf belongs to the value that it had in the forward pass. PyTorch therefore refuses to change the leaf,
or a view of it, in place while gradients are recorded. An update of a parameter is not part of the graph: put it under
`torch.no_grad()`.

## Example

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
loss = (w - 1) ** 2
loss.backward()
w -= 0.1 * w.grad
```

Update the parameter with gradients off:

```python
import torch

w = torch.tensor(3.0, requires_grad=True)
loss = (w - 1) ** 2
loss.backward()
with torch.no_grad():
    w -= 0.1 * w.grad
```

If the statement is part of the forward pass, make a new tensor instead: `y = w + 1`, not `w += 1`. Under `torch.no_grad()`,
such a statement would change `w` in each step and make its gradient wrong.

## What it does not report

In-place operations under `torch.no_grad()`, and in-place operations on results that are not leaves. For those, see
[saved-modified](#saved-modified).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from ... import model
from ..program.syntax import Syntax
from ..program.updates import Update, by_gradient, last_reads, of_loop, pass_follows, reset, updates, without_gradients
from ..recorded.failure import Failure
from ..rewriting.rewrites import out_of_place
from ..wording import first_line, listed

CODE: Final = "inplace-on-leaf"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = (
    r"a leaf Variable that requires grad is being used in an in-place"
    r"|more than one element of the written-to tensor refers to a single memory location"
)


def explain(failure: Failure) -> model.Finding:
    """Return the finding. The fix puts an update under ``no_grad``, and makes a new tensor in a computation."""
    line, syntax = failure.line, failure.syntax
    statement = syntax.statement(line) if line is not None else None
    text = failure.raising_line
    if statement is not None and syntax.alone(statement):  # if a line has several statements, any of them may have raised
        text = f"`{first_line(syntax.text(statement))}`"
    if "single memory location" in failure.exception.message:
        message = f"{text} writes to a tensor in which several elements share one memory location."
        why = "`expand` repeats a tensor without a copy, so a write to one row would change all rows. Make a new tensor instead"
        fix = out_of_place(syntax, statement, view=True)
        return failure.finding(
            CODE, message, f"{why}, or write to a `clone()`." if fix is None else f"{why}.", line=line, fix=fix
        )
    view = "a view of a leaf" in failure.exception.message
    message = f"{text} changes {'a view of ' if view else ''}a leaf in place while gradients are recorded."
    why = "The gradient of a leaf belongs to the value it had in the forward pass, so autograd refuses the change. "
    if statement is not None and by_gradient(syntax, statement):
        fix = _update(syntax, statement)
        why += "Put the update under `torch.no_grad()`."
    else:
        fix = out_of_place(syntax, statement, view=True) if view else None
        why += "In a computation, make a new tensor with another name. To set initial values, write under `torch.no_grad()`."
    return failure.finding(CODE, message, why, line=line, fix=fix)


def _update(syntax: Syntax, statement: ast.stmt) -> model.Fix | None:
    """Return the fix that puts all updates by hand under ``no_grad`` and clears their gradients, if nothing else does."""
    lines = range(1, len(syntax.lines) + 1)
    found = [each for each in updates(syntax, lines) if by_gradient(syntax, each.statement) and not each.through_data]
    found = [each for each in found if not syntax.in_no_grad(each.statement)]
    torch = syntax.torch_name()
    if torch is None or not found or statement not in [each.statement for each in found]:
        return None
    if not all(syntax.alone(each.statement) for each in found) or syntax.keeps_graphs():
        return None
    groups, read = _groups(syntax, found), last_reads(syntax)
    edits = [edit for group in groups if (edit := _edit(syntax, group, torch, read)) is not None]
    if len(edits) != len(groups):
        return None
    names = list(dict.fromkeys(syntax.text(each.target) for each in found))
    return model.Fix(f"Update {listed(names)} under `no_grad`", edits)


def _groups(syntax: Syntax, found: list[Update]) -> list[list[Update]]:
    """Return the updates in groups: updates that follow each other without another line between them are in one group."""
    groups: list[list[Update]] = []
    for each in found:
        last = groups[-1][-1].statement if groups else None
        together = last is not None and syntax.parent(last) is syntax.parent(each.statement)
        if together and last is not None and each.statement.lineno == (last.end_lineno or 0) + 1:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _edit(syntax: Syntax, group: list[Update], torch: str, read: Mapping[ast.FunctionDef | None, int]) -> model.Edit | None:
    """Return the edit for one group, ``None`` if a gradient that it would clear is read afterwards.

    It is also ``None`` if such a gradient belongs to an item, as in ``w[0] -= …``. ``read`` has, for each function, the last
    line that reads a gradient.
    """
    edit = without_gradients(syntax, [each.statement for each in group], torch)
    cleared = []
    for each in group:
        if (
            pass_follows(syntax, each.statement)
            and (line := reset(syntax, syntax.text(each.target), each.statement)) is not None
        ):
            if read.get(syntax.function_of(each.statement), 0) > each.statement.lineno:
                return None
            if of_loop(syntax, each.target) is None and not isinstance(each.target, ast.Name | ast.Attribute):
                return None
            cleared.append(line)
    indent = syntax.indent(group[0].statement)
    return model.Edit(edit.start, edit.end, edit.text + "".join(f"\n{indent}{line}" for line in dict.fromkeys(cleared)))
