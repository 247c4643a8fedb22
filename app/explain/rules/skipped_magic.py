"""Report a line of a notebook that was skipped because it is a command of the notebook.

## Why it matters

Lines that begin with `%` or `!` are run by Jupyter, not by Python. Tapedeck runs only the Python code. If a later line
depends on such a command, for example on a package that it installs, that line may fail.

## Example

```python
%matplotlib inline
import torch

x = torch.ones(2, requires_grad=True)
(x * 2).sum().backward()
```

Remove the line, or write it in Python:

```python
import torch

x = torch.ones(2, requires_grad=True)
(x * 2).sum().backward()
```

## What it does not report

The other lines of a cell that begins with a command such as `%%time`: they are Python code, and they are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..rule import note

CODE: Final = "skipped-magic"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("note",)


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a note for each line that was skipped when the notebook was read."""
    for skipped in program.notes:
        if skipped["code"] == CODE:
            yield note(
                CODE,
                int(skipped["line"]),
                f"Line {skipped['line']} was skipped: `{skipped['text']}` is a notebook command, not Python.",
                "Jupyter runs lines that begin with `%` or `!` itself. Tapedeck runs only the Python code.",
            )
