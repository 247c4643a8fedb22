"""Write a tensor that was given as JSON as Python that makes it, holding it to its shape and dtype."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ..errors import InvalidInput

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

NON_FINITE: Final = {"NaN": 'float("nan")', "Infinity": 'float("inf")', "-Infinity": '-float("inf")'}


class Literal(NamedTuple):
    """The line that makes a tensor, and how many elements it has."""

    name: str
    text: str
    elements: int


def literal(name: str, value: Any, among: str, *, learned: bool | None = None) -> Literal:
    """Write the line that makes the tensor ``name``, which stands ``among`` others of a request.

    ``value`` is a number, nested lists, or ``{"values", "dtype", "requires_grad"}``. ``learned``: whether it requires grad,
    whatever the dtype; ``None`` leaves that to the value. Raises :class:`InvalidInput` with the place of what is wrong.
    """
    where = f"{among}.{name}"
    if not name.isidentifier() or keyword.iskeyword(name) or name == "torch" or name.startswith("__"):
        raise InvalidInput(f"{name!r} cannot be the name of a tensor: use a Python name, not torch.", where=where)
    dtype: Any = None
    requires_grad: Any = None
    if isinstance(value, Mapping):
        if unknown := sorted(set(value) - {"values", "dtype", "requires_grad"}):
            raise InvalidInput(
                f"Unknown field {unknown[0]!r}: a tensor has values, dtype, requires_grad.", where=f"{where}.{unknown[0]}"
            )
        if "values" not in value:
            raise InvalidInput("A tensor given as an object has its numbers under values.", where=where)
        dtype, requires_grad = value.get("dtype"), value.get("requires_grad")
        value = value["values"]
    if dtype is not None and dtype not in DTYPES:
        raise InvalidInput(f"{dtype!r} is no dtype that is known here: use one of {', '.join(DTYPES)}.", where=f"{where}.dtype")
    if requires_grad is not None and not isinstance(requires_grad, bool):
        raise InvalidInput("requires_grad is true or false.", where=f"{where}.requires_grad")
    if learned is not None:
        if requires_grad is not None and requires_grad != learned:
            told = (
                "A parameter is what is learned: what is not belongs to data."
                if learned
                else "Data never requires grad: what is learned belongs to parameters."
            )
            raise InvalidInput(told, where=f"{where}.requires_grad")
        requires_grad = learned
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
    return Literal(name, f"{name} = torch.tensor({text})", math.prod(shape))


def literals(values: Mapping[str, Any], among: str, *, learned: bool | None = None) -> list[Literal]:
    """Write the lines that make tensors, which together may hold :data:`ELEMENTS` numbers."""
    written = [literal(name, value, among, learned=learned) for name, value in values.items()]
    if sum(tensor.elements for tensor in written) > ELEMENTS:
        largest = max(written, key=lambda tensor: tensor.elements)
        raise InvalidInput(
            f"The {among} hold more than {ELEMENTS:,} numbers: make larger tensors in a program, with torch.randn or the like.",
            where=f"{among}.{largest.name}",
        )
    return written


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
