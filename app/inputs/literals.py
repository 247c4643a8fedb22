"""Turn a tensor given as JSON into the line of Python that creates it, and check its shape and dtype."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ..errors import InvalidInput
from .text import short

ELEMENTS: Final = 10_000
"""Largest number of elements of all inputs together. A program can create larger tensors itself."""
DIMENSIONS: Final = 16
"""Largest number of dimensions of an input."""
TENSORS: Final = 1_000
"""Largest number of inputs. They are counted before any is read."""
LONGEST_NAME: Final = 100
"""Largest number of characters in the name of an input."""

INTEGERS: Final = {
    "int64": (-(2**63), 2**63 - 1), "int32": (-(2**31), 2**31 - 1), "int16": (-(2**15), 2**15 - 1),
    "int8": (-(2**7), 2**7 - 1), "uint8": (0, 2**8 - 1),
}  # fmt: skip
FLOATS: Final = ("float32", "float64", "float16", "bfloat16")
COMPLEX: Final = ("complex64", "complex128")
DTYPES: Final = (*FLOATS, *COMPLEX, *INTEGERS, "bool")

NON_FINITE: Final = {"NaN": 'float("nan")', "Infinity": 'float("inf")', "-Infinity": '-float("inf")'}


class TensorLiteral(NamedTuple):
    """The line of Python that creates a tensor. ``elements`` is its number of elements; an empty list counts as an element."""

    name: str
    text: str
    elements: int


def literal(name: str, value: Any, among: str, *, learned: bool | None = None) -> TensorLiteral:
    """Return the line that creates the tensor ``name``.

    ``among`` is the path of the field that contains the tensor, for errors. ``value`` is a number, nested lists, or an object
    with ``values``, ``dtype`` and ``requires_grad``. ``learned`` sets whether the tensor requires grad; if it is ``None``, the
    value decides.

    Raises :class:`InvalidInput`, which points at the field that is wrong.
    """
    where = f"{among}.{short(name)}"
    if len(name) > LONGEST_NAME:
        raise InvalidInput(f"The name of a tensor can have at most {LONGEST_NAME} characters: shorten it.", where=where)
    if not name.isidentifier() or keyword.iskeyword(name) or name == "torch" or name.startswith("__"):
        raise InvalidInput(
            f"{short(name)!r} cannot be the name of a tensor: use a Python identifier other than torch.", where=where
        )
    dtype: Any = None
    requires_grad: Any = None
    if isinstance(value, Mapping):
        if unknown := sorted(set(value) - {"values", "dtype", "requires_grad"}):
            raise InvalidInput(
                f"Unknown field {short(unknown[0])!r}: a tensor has values, dtype and requires_grad.",
                where=f"{where}.{short(unknown[0])}",
            )
        if "values" not in value:
            raise InvalidInput("A tensor given as an object needs its numbers in `values`.", where=where)
        dtype, requires_grad = value.get("dtype"), value.get("requires_grad")
        value = value["values"]
    if dtype is not None and dtype not in DTYPES:
        raise InvalidInput(f"{_shown(dtype)} is not a supported dtype: use one of {', '.join(DTYPES)}.", where=f"{where}.dtype")
    if requires_grad is not None and not isinstance(requires_grad, bool):
        raise InvalidInput("requires_grad must be true or false.", where=f"{where}.requires_grad")
    if learned is not None:
        if requires_grad is not None and requires_grad != learned:
            message = (
                "A parameter always requires grad: move a tensor that is not learned to data."
                if learned
                else "Data never requires grad: move a tensor that is learned to parameters."
            )
            raise InvalidInput(message, where=f"{where}.requires_grad")
        requires_grad = learned
    if dtype is None:
        dtype = "bool" if isinstance(_first(value), bool) else "float32"
    differentiable = dtype in FLOATS or dtype in COMPLEX
    if requires_grad and not differentiable:
        raise InvalidInput(
            f"A tensor of {dtype} cannot require grad: only floating-point and complex tensors can.",
            where=f"{where}.requires_grad",
        )
    shape = _shape(value, where, in_complex=dtype in COMPLEX)
    text = _written(value, dtype, where, 0, shape)
    if dtype not in ("float32", "bool"):
        text += f", dtype=torch.{dtype}"
    if differentiable if requires_grad is None else requires_grad:
        text += ", requires_grad=True"
    return TensorLiteral(name, f"{name} = torch.tensor({text})", _size(shape))


def literals(values: Mapping[str, Any], among: str, *, learned: bool | None = None) -> list[TensorLiteral]:
    """Return the lines that create tensors. Together, the tensors may have :data:`ELEMENTS` elements."""
    if len(values) > TENSORS:
        raise InvalidInput(f"There are more than {TENSORS:,} {among}: write a program that creates them.", where=among)
    written: list[TensorLiteral] = []
    elements = 0
    for name, value in values.items():
        written.append(literal(name, value, among, learned=learned))
        elements += written[-1].elements
        if elements > ELEMENTS:
            largest = max(written, key=lambda tensor: tensor.elements)
            raise InvalidInput(
                f"The {among} have more than {ELEMENTS:,} numbers: create larger tensors in a program, such as with "
                "torch.randn.",
                where=f"{among}.{largest.name}",
            )
    return written


def _first(value: Any) -> Any:
    while isinstance(value, list) and value:
        value = value[0]
    return value


def _shape(value: Any, where: str, *, in_complex: bool) -> list[int]:
    """Return the shape of nested lists, read from their first elements. :func:`_written` checks the others."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > DIMENSIONS + in_complex:
            raise InvalidInput(f"The values are nested more than {DIMENSIONS} levels deep.", where=where)
        if not value:
            break
        value = value[0]
    if in_complex:
        if not shape or shape[-1] != 2:
            raise InvalidInput("Complex values are written [re, im].", where=where)
        shape.pop()
    if _size(shape) > ELEMENTS:
        raise InvalidInput(
            f"The input has more than {ELEMENTS:,} numbers: create it in a program, for example with torch.randn.", where=where
        )
    return shape


def _size(shape: list[int]) -> int:
    """Return the number of elements of a shape. An empty list counts as one element, because it takes as long to read."""
    return math.prod(max(1, length) for length in shape)


def _written(value: Any, dtype: str, where: str, depth: int, shape: list[int]) -> str:
    """Return nested values as Python source, after checking each value against the shape and the dtype."""
    if depth < len(shape):
        if not isinstance(value, list) or len(value) != shape[depth]:
            found = f"a list of {len(value)}" if isinstance(value, list) else "a single value"
            raise InvalidInput(f"The values are ragged: this is {found}, others are lists of {shape[depth]}.", where=where)
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
        raise InvalidInput("The values are ragged: this is a list, others are numbers.", where=where)
    return _number(value, dtype, where)


def _number(value: Any, dtype: str, where: str) -> str:
    if isinstance(value, bool) or dtype == "bool":
        if not isinstance(value, bool) or dtype != "bool":
            raise InvalidInput("A tensor cannot mix numbers with true or false: use one kind, and its dtype.", where=where)
        return repr(value)
    if isinstance(value, str) and value in NON_FINITE and dtype not in INTEGERS:
        return NON_FINITE[value]
    if not isinstance(value, int | float):
        raise InvalidInput(f'{_shown(value)} is not a number: send a number, "NaN", "Infinity" or "-Infinity".', where=where)
    if dtype in INTEGERS:
        low, high = INTEGERS[dtype]
        if value != int(value) or not low <= value <= high:
            raise InvalidInput(f"{_shown(value)} is not a value of {dtype}.", where=where)
        return repr(int(value))
    try:
        return repr(float(value))
    except OverflowError:
        raise InvalidInput("A number is too large for a floating-point number.", where=where) from None


def _shown(value: Any) -> str:
    """Return a value as it is quoted in a message. A container may be as large as the body, so only its kind is named."""
    if isinstance(value, dict | list):
        return "An object" if isinstance(value, dict) else "A list"
    if isinstance(value, int) and value.bit_length() > 200:
        return "An integer of many digits"
    return short(repr(value if not isinstance(value, str) else short(value, 40)), 45)
