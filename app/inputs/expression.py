"""Turn an expression and its named inputs into a program like one that a person would write."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Mapping
from typing import Any, Final

from .. import model
from ..errors import InvalidInput
from .literals import literals
from .text import SOURCE_BYTES, check_size

MODULES: Final = {
    "math": "import math", "np": "import numpy as np", "numpy": "import numpy", "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
}  # fmt: skip
"""Names that an expression may use, each with the import that binds it."""


def convert(expression: Any, inputs: Any, most_bytes: int = SOURCE_BYTES) -> model.Program:
    """Return the program of an expression of at most ``most_bytes``.

    ``inputs`` maps names to numbers, nested lists of numbers, or objects with ``values``, ``dtype`` and ``requires_grad``.
    The default dtype is float32. Inputs require grad by default if their dtype allows it.

    Raises :class:`InvalidInput` and :class:`TooLarge`, which point at the field that is wrong.

    >>> print(convert("(2 * (x + 2) ** 2).mean()", {"x": [1, 2, 3]}).text)
    import torch
    <BLANKLINE>
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    <BLANKLINE>
    result = (2 * (x + 2) ** 2).mean()
    result
    <BLANKLINE>
    """
    expression = text(expression, "expression", most_bytes)
    if not isinstance(inputs, Mapping):
        raise InvalidInput('`inputs` must be an object of names and values, such as {"x": [1, 2, 3]}.', where="inputs")
    used = names(expression, "expression")
    tensors = literals(inputs, "inputs")
    result = unused("result", inputs, "output", "answer")
    parts = [
        imports(used, inputs),
        "\n".join(tensor.text for tensor in tensors),
        f"{result} = {expression}\n{result}",
    ]
    return model.Program(text="\n\n".join(part for part in parts if part) + "\n", kind="expression")


def text(expression: object, where: str, most_bytes: int) -> str:
    """Return an expression as it is written into a program.

    Raises :class:`InvalidInput` if it is not a usable string, and :class:`TooLarge` if it has more than ``most_bytes``.
    """
    if not isinstance(expression, str):
        raise InvalidInput(f"The {where} must be a string.", where=where)
    check_size(expression, most_bytes, f"The {where}", where)
    written = expression.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not written:
        raise InvalidInput(f'The {where} is empty: send an expression such as "(x ** 2).sum()".', where=where)
    if "\0" in written:
        raise InvalidInput(f"The {where} contains NUL bytes, so it is not text.", where=where)
    return written


def names(expression: str, where: str) -> set[str]:
    """Return the names in an expression. Raises :class:`InvalidInput` for a statement.

    An expression with another syntax error has no names here. The run of the program reports the error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree: ast.AST = ast.parse(expression, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if _is_statement(expression):
                raise InvalidInput(
                    "This is a statement, not an expression. An expression has a value, such as (x ** 2).sum(). "
                    'Send a statement as "program".',
                    where=where,
                ) from None
            return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def imports(used: set[str], tensors: Collection[str]) -> str:
    """Return the imports of a program that uses the names ``used``. The names of ``tensors`` are not imported."""
    return "\n".join(["import torch", *(line for name, line in MODULES.items() if name in used and name not in tensors)])


def unused(name: str, taken: Collection[str], *others: str) -> str:
    """Return a name for a generated variable that is not in ``taken``. ``others`` are further candidates.

    >>> unused("loss", {"m": 1, "loss": 2})
    'loss_1'
    """
    numbered = (f"{name}_{number}" for number in range(1, len(taken) + 2))
    return next(each for each in (name, *others, *numbered) if each not in taken)


def _is_statement(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
