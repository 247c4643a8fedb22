"""Turn an expression and its named inputs into a program that a person could have written."""

from __future__ import annotations

import ast
import keyword
import math
import warnings
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from . import model
from .errors import InvalidInput

ELEMENTS: Final = 10_000
"""Numbers that all inputs may hold together; a program can make more itself."""
DIMENSIONS: Final = 16

INTEGERS: Final = {
    "int64": (-(2**63), 2**63 - 1), "int32": (-(2**31), 2**31 - 1), "int16": (-(2**15), 2**15 - 1),
    "int8": (-(2**7), 2**7 - 1), "uint8": (0, 2**8 - 1),
}  # fmt: skip
FLOATS: Final = ("float32", "float64", "float16", "bfloat16")
COMPLEX: Final = ("complex64", "complex128")
DTYPES: Final = (*FLOATS, *COMPLEX, *INTEGERS, "bool")

MODULES: Final = {
    "math": "import math", "np": "import numpy as np", "numpy": "import numpy", "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
}  # fmt: skip
"""Names that an expression may use, with the import that binds them."""

NON_FINITE: Final = {"NaN": 'float("nan")', "Infinity": 'float("inf")', "-Infinity": '-float("inf")'}


def convert(expression: Any, inputs: Any) -> model.Program:
    """Write the program. ``inputs`` maps names to numbers, nested lists of them, or ``{"values", "dtype", "requires_grad"}``.

    Numbers become float32 unless ``dtype`` says otherwise; inputs require grad unless told not to, or unless their
    dtype cannot. Raises :class:`InvalidInput` with the place of what is wrong.

    >>> print(convert("(2 * (x + 2) ** 2).mean()", {"x": [1, 2, 3]}).text)
    import torch
    <BLANKLINE>
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    <BLANKLINE>
    result = (2 * (x + 2) ** 2).mean()
    result
    <BLANKLINE>
    """
    if not isinstance(expression, str):
        raise InvalidInput("The expression is not a text.", where="expression")
    expression = expression.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not expression:
        raise InvalidInput('The expression is empty: send one such as "(x ** 2).sum()".', where="expression")
    if "\0" in expression:
        raise InvalidInput("The expression holds NUL bytes: it is not text.", where="expression")
    if not isinstance(inputs, Mapping):
        raise InvalidInput('Inputs are an object of names and values, such as {"x": [1, 2, 3]}.', where="inputs")
    used = _names(expression)
    tensors = [_tensor(name, value) for name, value in inputs.items()]
    if sum(tensor.elements for tensor in tensors) > ELEMENTS:
        largest = max(tensors, key=lambda tensor: tensor.elements)
        raise InvalidInput(
            f"The inputs hold more than {ELEMENTS:,} numbers: make larger tensors in a program, with torch.randn or the like.",
            where=f"inputs.{largest.name}",
        )
    imports = [line for name, line in MODULES.items() if name in used and name not in inputs]
    result = next(
        name
        for name in ("result", "output", "answer", *(f"result_{at}" for at in range(len(inputs) + 1)))
        if name not in inputs
    )
    parts = [
        "\n".join(["import torch", *imports]),
        "\n".join(tensor.text for tensor in tensors),
        f"{result} = {expression}\n{result}",
    ]
    return model.Program(text="\n\n".join(part for part in parts if part) + "\n", kind="expression")


def _names(expression: str) -> set[str]:
    """The names that an expression reads. One that does not parse has none: running it tells where it is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree: ast.AST = ast.parse(expression, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if _is_statement(expression):
                raise InvalidInput(
                    "This is a statement, not an expression: an expression has a value, such as (x ** 2).sum(). "
                    'Send it as "program" instead.',
                    where="expression",
                ) from None
            return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _is_statement(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


class _Tensor(NamedTuple):
    name: str
    text: str
    elements: int


def _tensor(name: str, value: Any) -> _Tensor:
    """Write the line that makes an input."""
    where = f"inputs.{name}"
    if not name.isidentifier() or keyword.iskeyword(name) or name == "torch" or name.startswith("__"):
        raise InvalidInput(f"{name!r} cannot be the name of an input: use a Python name, not torch.", where=where)
    dtype: Any = None
    requires_grad: Any = None
    if isinstance(value, Mapping):
        if unknown := sorted(set(value) - {"values", "dtype", "requires_grad"}):
            raise InvalidInput(
                f"Unknown field {unknown[0]!r}: an input has values, dtype, requires_grad.", where=f"{where}.{unknown[0]}"
            )
        if "values" not in value:
            raise InvalidInput("An input given as an object has its numbers under values.", where=where)
        dtype, requires_grad = value.get("dtype"), value.get("requires_grad")
        value = value["values"]
    if dtype is not None and dtype not in DTYPES:
        raise InvalidInput(f"{dtype!r} is no dtype that is known here: use one of {', '.join(DTYPES)}.", where=f"{where}.dtype")
    if requires_grad is not None and not isinstance(requires_grad, bool):
        raise InvalidInput("requires_grad is true or false.", where=f"{where}.requires_grad")
    if dtype is None:
        dtype = "bool" if isinstance(_first(value), bool) else "float32"
    can = dtype in FLOATS or dtype in COMPLEX
    if requires_grad and not can:
        raise InvalidInput(
            f"A tensor of {dtype} cannot require grad: only floating point and complex ones can.",
            where=f"{where}.requires_grad",
        )
    shape = _shape(value, where, in_complex=dtype in COMPLEX)
    text = _written(value, dtype, where, 0, shape)
    if dtype not in ("float32", "bool"):
        text += f", dtype=torch.{dtype}"
    if can if requires_grad is None else requires_grad:
        text += ", requires_grad=True"
    return _Tensor(name, f"{name} = torch.tensor({text})", math.prod(shape))


def _first(value: Any) -> Any:
    while isinstance(value, list) and value:
        value = value[0]
    return value


def _shape(value: Any, where: str, *, in_complex: bool) -> list[int]:
    """The shape that the first elements say; the others are held to it as they are written."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > DIMENSIONS + in_complex:
            raise InvalidInput(f"The values are nested more than {DIMENSIONS} deep.", where=where)
        if not value:
            break
        value = value[0]
    if in_complex:
        if not shape or shape[-1] != 2:
            raise InvalidInput("Complex values are written [re, im].", where=where)
        shape.pop()
    if math.prod(shape) > ELEMENTS:
        raise InvalidInput(
            f"The input holds more than {ELEMENTS:,} numbers: make it in a program, with torch.randn or the like.", where=where
        )
    return shape


def _written(value: Any, dtype: str, where: str, depth: int, shape: list[int]) -> str:
    """Write nested values as Python, checking each against the shape and the dtype."""
    if depth < len(shape):
        if not isinstance(value, list) or len(value) != shape[depth]:
            found = f"{len(value)} elements" if isinstance(value, list) else "a single value"
            raise InvalidInput(f"The values are ragged: here are {found} where others have {shape[depth]}.", where=where)
        items = [_written(item, dtype, f"{where}[{at}]", depth + 1, shape) for at, item in enumerate(value)]
        joined = ", ".join(items)
        if len(joined) <= 100 or not items:
            return f"[{joined}]"
        margin = "    " * (depth + 1)
        rows = items if depth + 1 < len(shape) else [", ".join(items[at : at + 8]) for at in range(0, len(items), 8)]
        return "[\n" + "".join(f"{margin}{row},\n" for row in rows) + "    " * depth + "]"
    if dtype in COMPLEX:
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidInput("Complex values are written [re, im].", where=where)
        return f"complex({_number(value[0], 'float64', where)}, {_number(value[1], 'float64', where)})"
    if isinstance(value, list):
        raise InvalidInput("The values are ragged: here is a list where others have a number.", where=where)
    return _number(value, dtype, where)


def _number(value: Any, dtype: str, where: str) -> str:
    if isinstance(value, bool) or dtype == "bool":
        if not isinstance(value, bool) or dtype != "bool":
            raise InvalidInput("Truth values and numbers do not mix: give all of one kind, and its dtype.", where=where)
        return repr(value)
    if isinstance(value, str) and value in NON_FINITE and dtype not in INTEGERS:
        return NON_FINITE[value]
    if not isinstance(value, int | float):
        raise InvalidInput(f'{_shown(value)} is not a number (nor "NaN", "Infinity", "-Infinity").', where=where)
    if dtype in INTEGERS:
        low, high = INTEGERS[dtype]
        if value != int(value) or not low <= value <= high:
            raise InvalidInput(f"{value!r} is no {dtype}.", where=where)
        return repr(int(value))
    try:
        return repr(float(value))
    except OverflowError:
        raise InvalidInput("A number is too large for any floating point.", where=where) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
