"""Format numbers for pictures: four decimals, one exponent for all elements, and a norm instead of many elements.

Functions return text with an ASCII minus; :func:`typeset` replaces it with the true minus sign for drawing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from ..model import TensorSummary
from .style import CHARACTERS, DECIMALS, HIGH, LOW, MINUS, SHARED_DECIMALS

Number = float | int | str | bool
"""A number of a :class:`~tapedeck.model.TensorSummary`, in which ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are strings."""

_LEAST = LOW - 10.0 ** -(DECIMALS + 2) / 2
"""Smallest magnitude that is written without an exponent: slightly below 0.01, because float32 rounds 0.01 down."""
_NAMED = {"NaN": "NaN", "Infinity": "inf", "-Infinity": "-inf"}
LONGEST = 100
"""Largest number of characters of a tensor in a text description: about a dozen elements."""
SHORT = 3
"""Largest number of elements whose values an edge's label shows. For more, it shows the norm."""


def typeset(text: str) -> str:
    """Return the text with the typographic signs − and ∞.

    >>> typeset("[-1.5000, inf]e-3")
    '[−1.5000, ∞]e−3'
    """
    return text.replace("-", MINUS).replace("inf", "∞")


def number(value: Number | None, decimals: int = DECIMALS) -> str:
    """Return one number as text.

    >>> number(-9.333333015441895), number(0.0), number(1.234e-10), number(123456.0), number("NaN"), number(True), number(7)
    ('-9.3333', '0.0000', '1.2340e-10', '1.2346e5', 'NaN', 'True', '7')
    """
    if isinstance(value, float):
        if _LEAST <= abs(value) < HIGH or value == 0:
            return fixed(value, decimals)
        if math.isfinite(value):
            return exponent(value, decimals)
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, str):
        return _NAMED.get(value, "NaN")
    if value is None:
        return "unknown"
    return str(value) if abs(value) < 10**12 else exponent(float(value), decimals)


def fixed(value: float, decimals: int) -> str:
    """Return a number with a fixed number of decimals. A number that rounds to zero has no sign.

    >>> fixed(-0.00001, 4), fixed(2.5, 1)
    ('0.0000', '2.5')
    """
    text = "%.*f" % (decimals, value)  # noqa: UP031 -- twice as fast as an f-string
    return text[1:] if text[0] == "-" and not text.strip("-0.") else text


def exponent(value: float, decimals: int) -> str:
    """Return a number with an exponent that has no padding.

    >>> exponent(-1.5e-05, 2)
    '-1.50e-5'
    """
    mantissa, power = f"{value:.{decimals}e}".split("e")
    return f"{mantissa}e{int(power)}"


def complex_number(pair: list[Number], decimals: int = DECIMALS) -> str:
    """Return a complex number from its real and imaginary parts.

    >>> complex_number([1.0, -2.0])
    '1.0000-2.0000j'
    """
    real, imaginary = (number(part, decimals) for part in pair)
    return f"{real}{'' if imaginary.startswith('-') else '+'}{imaginary}j"


def shape_and_dtype(summary: TensorSummary) -> str:
    """Return the shape and dtype of a tensor.

    >>> shape_and_dtype(TensorSummary([3], "float32"))
    '[3] float32'
    """
    return f"{summary.shape} {summary.dtype}"


def described(summary: TensorSummary) -> str:
    """Return the shape and dtype of a tensor, with the word "scalar" for an empty shape.

    >>> described(TensorSummary([], "float32"))
    'scalar float32'
    """
    return shape_and_dtype(summary) if summary.shape else f"scalar {summary.dtype}"


def flat(values: Any, depth: int) -> Iterator[Any]:
    """Yield the elements of lists nested ``depth`` deep."""
    if depth <= 0:
        yield values
        return
    for item in values:
        yield from flat(item, depth - 1)


def values(summary: TensorSummary, limit: int = CHARACTERS, decimals: tuple[int, ...] = (DECIMALS, 3, 2)) -> str | None:
    """Return all values in at most ``limit`` characters, with the first of ``decimals`` that fits.

    Return ``None`` if no choice fits, or if the values were not recorded.

    >>> values(TensorSummary([3], "float32", values=[-0.666667, -1.333333, -2.0]))
    '[-0.6667, -1.3333, -2.0000]'
    >>> values(TensorSummary([3], "float32", values=[0.00015, 0.0006, 0.00136]))
    '[0.15, 0.60, 1.36]e-3'
    >>> values(TensorSummary([4], "float32", values=[2.0, 0.0, 0.0, 7.0]), 16)
    '[2., 0., 0., 7.]'
    >>> values(TensorSummary([0], "float32", values=[]))
    '[]'
    """
    if summary.values is None:
        return None
    if isinstance(summary.values, float) and len(text := number(summary.values)) <= limit:
        return text
    paired = summary.dtype.startswith("complex")
    if not summary.shape:
        return _first(limit, (_element(summary.values, paired, digits) for digits in (*decimals, 1)))
    count = math.prod(summary.shape)
    if 2 * count + max(0, count - 1) > limit:  # each element needs at least a digit, a comma and a space
        return None
    items = list(flat(summary.values, len(summary.shape)))
    real = not paired and any(isinstance(item, float) for item in items)
    largest = max((abs(item) for item in items if isinstance(item, float)), default=0.0) if real else 0.0
    if largest and not LOW <= largest < HIGH:
        power = int(f"{largest:.{SHARED_DECIMALS}e}".split("e")[1])  # exponent of the largest element after rounding
        up, down = (1.0, 10.0**power) if power > -300 else (1e300, 10.0 ** (power + 300))  # 10.0**-324 is 0.0
        scaled = [fixed(item * up / down, SHARED_DECIMALS) if isinstance(item, float) else number(item) for item in items]
        return _first(limit, [_nest(scaled, summary.shape) + f"e{power}"])
    choices = decimals if real or paired else (DECIMALS,)
    fitting = _first(limit, (_nest([_inside(item, paired, digits) for item in items], summary.shape) for digits in choices))
    if fitting is None and real and len(decimals) > 1 and all(isinstance(item, float) and item.is_integer() for item in items):
        return _first(limit, [_nest([f"{item:.0f}." for item in items], summary.shape)])
    return fitting


def _inside(item: Any, paired: bool, decimals: int) -> str:
    """Return the text of an element of a list. Floats in a list have no exponents of their own."""
    return fixed(item, decimals) if isinstance(item, float) else _element(item, paired, decimals)


def _element(item: Any, paired: bool, decimals: int) -> str:
    return complex_number(item, decimals) if paired else number(item, decimals)


def _nest(texts: list[str], shape: list[int]) -> str:
    """Return texts in brackets, nested as in ``shape``.

    >>> _nest(["1", "2", "3", "4"], [2, 2])
    '[[1, 2], [3, 4]]'
    """
    for size in reversed(shape):
        if size == 0:
            return "[]"
        texts = ["[" + ", ".join(texts[start : start + size]) + "]" for start in range(0, len(texts), size)]
    return texts[0]


def _first(limit: int, texts: Any) -> str | None:
    return next((text for text in texts if len(text) <= limit), None)


def in_words(summary: TensorSummary | None, limit: int = LONGEST) -> str:
    """Return a tensor in plain ASCII with four decimals: its values if they fit, else its norm and range.

    >>> in_words(TensorSummary([64], "float32", min=-1.25, max=0.8, norm=3.7417))
    'norm 3.7417, from -1.2500 to 0.8000'
    """
    if summary is None:
        return "none"
    whole = values(summary, limit, (DECIMALS,))
    if whole is not None:
        return whole
    if summary.norm is None:
        return "not recorded"
    statistics = f"norm {number(summary.norm)}, from {number(summary.min)} to {number(summary.max)}"
    return ", ".join([statistics, *_nonfinite_counts(summary)])


def _nonfinite_counts(summary: TensorSummary) -> list[str]:
    """Return the counts of NaN and of infinite elements.

    >>> _nonfinite_counts(TensorSummary([16], "float32", min="-Infinity", max=2.0, inf=6))
    ['6 -inf']
    """
    sign = "±" if (summary.min, summary.max) == ("-Infinity", "Infinity") else "-" if summary.min == "-Infinity" else ""
    return [f"{count} {name}" for count, name in ((summary.nan, "NaN"), (summary.inf, f"{sign}inf")) if count]


def brief(summary: TensorSummary | None, limit: int = CHARACTERS) -> str:
    """Return a tensor in at most ``limit`` characters: its values, else its norm and range, else its shape.

    >>> brief(TensorSummary([64], "float32", min=-1.25, max=0.8, norm=3.7417))
    '‖3.7417‖ -1.2500 to 0.8000'
    >>> brief(TensorSummary([2], "float32", values=[1.0, "NaN"], nan=1))
    '[1.0000, NaN]'
    >>> brief(TensorSummary([64], "float32", norm="NaN", nan=3, inf=1))
    '3 NaN, 1 inf of 64'
    >>> brief(TensorSummary([64], "int64", min=0.0, max=9.0, norm=41.2))
    '[64] 0 to 9'
    """
    if summary is None:
        return "none"
    whole = values(summary, limit)
    if whole is not None:
        return whole
    if summary.nan or summary.inf:
        return _cut(f"{', '.join(_nonfinite_counts(summary))} of {math.prod(summary.shape)}", limit)
    if summary.norm is None:
        return _cut(shape_and_dtype(summary), limit)
    if (text := integer_range(summary)) is not None:
        return text if len(text) <= limit else _cut(shape_and_dtype(summary), limit)
    norm = f"‖{number(summary.norm)}‖"
    if summary.min is not None and summary.max is not None:
        for decimals in (4, 2, 1):
            text = f"{norm} {number(summary.min, decimals)} to {number(summary.max, decimals)}"
            if len(text) <= limit:
                return text
    return norm if len(norm) <= limit else _cut(shape_and_dtype(summary), limit)


def short(summary: TensorSummary, limit: int) -> str:
    """Return a tensor as a line of text has room for it: its values in ``limit`` characters, else its norm or range.

    >>> short(TensorSummary([64], "float32", min=-1.25, max=0.8, norm=3.7417), 27)
    '[64] ‖3.7417‖'
    >>> short(TensorSummary([64], "float32", norm="NaN", nan=3, inf=1), 27)
    '3 NaN, 1 inf in [64]'
    """
    whole = values(summary, limit)
    if whole is not None:
        return whole
    if summary.nan or summary.inf:
        return f"{', '.join(_nonfinite_counts(summary))} in {summary.shape}"
    if summary.norm is None:
        return shape_and_dtype(summary)
    if (text := integer_range(summary)) is not None:
        return text if len(text) <= limit else shape_and_dtype(summary)
    norm = f"‖{number(summary.norm)}‖"
    return next((text for text in (f"{summary.shape} {norm}", norm) if len(text) <= limit), shape_and_dtype(summary))


def integer_range(summary: TensorSummary) -> str | None:
    """Return the range of a tensor of integers or booleans, whose norm is not informative; ``None`` for other dtypes.

    >>> integer_range(TensorSummary([16], "int64", min=0.0, max=49.0))
    '[16] 0 to 49'
    >>> integer_range(TensorSummary([16], "bool", zeros=11, min=0.0, max=1.0))
    '[16] 5 True'
    >>> integer_range(TensorSummary([16], "float32", min=0.0, max=49.0))
    """
    if not re.fullmatch(r"u?int\d+|bool", summary.dtype):
        return None
    if summary.dtype == "bool" and summary.zeros is not None:
        return f"{summary.shape} {math.prod(summary.shape) - summary.zeros} True"
    if not isinstance(summary.min, int | float) or not isinstance(summary.max, int | float):
        return None
    return f"{summary.shape} {number(int(summary.min))} to {number(int(summary.max))}"


def typeset_literals(text: str) -> str:
    """Return the text of a plain Python value for drawing: numbers are rounded, except short or quoted ones.

    >>> typeset_literals("0.40265321731567383"), typeset_literals("lr = 0.05"), typeset_literals("'-0.123456789'")
    ('0.4027', 'lr = 0.05', "'-0.123456789'")
    >>> typeset_literals("[-1.0, 0.333333333, 12345678]")
    '[−1.0, 0.3333, 12345678]'
    """
    return _LITERALS.sub(_typeset_literal, text)


def _typeset_literal(found: re.Match[str]) -> str:
    text: str | None = found[1]
    if text is None:
        return str(found[0])
    return typeset(text if len(text) <= SHORT_LITERAL or text.lstrip("-").isdigit() else number(float(text)))


_LITERALS = re.compile(r"""'[^']*'|"[^"]*"|(?<![\w.])(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?![\w.])""")
SHORT_LITERAL = 7
"""Largest number of characters of a number that is left unchanged, because a person may have written it."""


def edge_text(summary: TensorSummary | None, limit: int = CHARACTERS) -> str:
    """Return a gradient as an edge's label shows it: the values of a few elements, else the norm.

    >>> edge_text(TensorSummary([9], "float32", norm=0.5)), edge_text(TensorSummary([], "float32", values=-9.33333))
    ('‖0.5000‖', '-9.3333')
    """
    if summary is None:
        return "none"
    if math.prod(summary.shape) <= SHORT:
        whole = values(summary, limit)
        if whole is not None:
            return whole
    if summary.norm is None:
        return _cut(shape_and_dtype(summary), limit)
    return f"‖{number(summary.norm)}‖"


def all_digits(summary: TensorSummary | None, most: int = 16) -> str:
    """Return a tensor with every digit of its dtype, for a tooltip; above ``most`` elements return its norm and range.

    >>> all_digits(TensorSummary([], "float32", values=-9.333333015441895))
    '-9.333333'
    """
    if summary is None:
        return "none"
    paired = summary.dtype.startswith("complex")
    if summary.values is not None and math.prod(summary.shape) <= most:
        double = summary.dtype in ("float64", "complex128")
        texts = [_digits(item, paired, double) for item in flat(summary.values, len(summary.shape))]
        listed = _nest(texts, summary.shape) if summary.shape else texts[0]
        return listed if not summary.shape else f"{listed}, {shape_and_dtype(summary)}"
    if summary.norm is None:
        return shape_and_dtype(summary)
    bounds = f", from {number(summary.min)} to {number(summary.max)}"
    counts = f", {summary.nan} NaN, {summary.inf} inf" if summary.nan or summary.inf else ""
    return f"{shape_and_dtype(summary)}, norm {number(summary.norm)}{bounds}{counts}"


def _digits(item: Any, paired: bool, double: bool) -> str:
    if paired:
        real, imaginary = (_digits(part, False, double) for part in item)
        return f"{real}{'' if imaginary.startswith('-') else '+'}{imaginary}j"
    if isinstance(item, float):
        return repr(item) if double else f"{item:.7g}"
    return number(item)


def is_suspect(value: TensorSummary | None) -> bool:
    """Return whether a value is probably wrong: it has NaN or +Inf. A mask of -Inf before a softmax is ordinary."""
    masked = value is not None and not value.nan and value.min == "-Infinity" and value.max != "Infinity"
    return is_nonfinite(value) and not masked


def is_nonfinite(summary: TensorSummary | None) -> bool:
    """Return whether a tensor has an element that is NaN or infinite."""
    return summary is not None and bool(summary.nan or summary.inf or summary.norm in ("NaN", "Infinity"))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun, such as ``1 edge`` or ``2,000 edges``.

    >>> count_of(2, "box")
    '2 boxes'
    """
    ending = "es" if noun.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}{ending}"
