"""Build programs whose recordings or whose text cause much more work than their size: for findings, pictures and streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

HEAD: Final = "import torch\nw = torch.ones(2, requires_grad=True)\n"

ALTERNATING: Final = """\
x = w
for _ in range(2000):
    x = x - x * 1
    x = torch.nan_to_num(x / x, nan=float("inf"))
x.sum().backward()
"""
DEAD: Final = """\
x = w
for _ in range(1900):
    x = torch.relu(x - 9)
x.sum().backward()
"""
COLUMNS: Final = """\
x = torch.ones(9, 1) * w.sum()
for _ in range(3000):
    x = -x
((x - torch.ones(9)) ** 2).mean().backward()
"""
CAUGHT: Final = """\
for _ in range(5000):
    try:
        w.backward()
    except RuntimeError:
        pass
"""
TANGLED: Final = """\
row = [w * i for i in range(60)]
for _ in range(9):
    row = [sum(row[j] for j in range(i, i + 9)) for i in range(len(row) - 9)] or row
sum(row).sum().backward()
"""
NAMED_STEPS: Final = """\
for step in range(5000):
    (w * step).sum().backward()
    w = (w - w.grad).detach().requires_grad_()
"""

PROGRAMS: Final[dict[str, Callable[[], str]]] = {
    "nan_and_back": lambda: HEAD + ALTERNATING,
    "dead_relus": lambda: HEAD + DEAD,
    "columns_of_columns": lambda: HEAD + COLUMNS,
    "caught_failures": lambda: HEAD + CAUGHT,
    "tangled_edges": lambda: HEAD + TANGLED,
    "steps_with_new_leaves": lambda: HEAD + NAMED_STEPS,
    "updates_through_data": lambda: HEAD + "w.sum().backward()\n" + "w.data -= 0.1 * w.grad\n" * 8_000,
    "updates_on_one_line": lambda: HEAD + "w.sum().backward()\n" + "w.data -= w.grad; " * 12_000 + "\n",
    "attributes_of_attributes": lambda: HEAD + f"x = w{'.data' * 20_000}\n",
    "assignments_of_one_name": lambda: HEAD + "x = w\n" + "x = x.detach()\n" * 12_000 + "x.sum().backward()\n",
    "functions_that_call_each_other": lambda: HEAD + "\n".join(f"def f{at}(x): return f{at + 1}(x)" for at in range(6_000)),
}
"""Programs that a server accepts, by name."""
