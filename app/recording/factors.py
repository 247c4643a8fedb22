"""Name the local derivative of an edge: what a node multiplies the gradient by before it sends it on, as a person writes it.

It is read from the program's text, such as ``(y_pred - y) ** 2``, and the class of the node. An edge whose operation, text or
operand is not certain has none: a missing factor is better than a wrong one.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from ..model import Node, TensorSummary

LONGEST: Final = 22
"""Largest number of characters of a factor."""
_OPERATORS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.MatMult: "matmul",
}  # fmt: skip
_SAME: Final = {
    "multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div", "mm": "matmul",
    "square": "pow", "negative": "neg",
}  # fmt: skip
"""Other names of an operation in PyTorch."""


class EdgeFactor(Struct, frozen=True):
    """The local derivative of an edge. ``grad`` in ``code`` is the gradient that arrived."""

    code: str
    """Python expression of the gradient that is sent, without the sum after a broadcast."""
    text: str
    """The same for a person, such as ``× 2 (y_pred − y)``."""


class Operation(Struct, frozen=True):
    """An operation as the program writes it, with its operands."""

    name: str
    operands: tuple[str, ...]


@lru_cache(maxsize=4096)
def operation(expression: str) -> Operation | None:
    """Return the outermost operation of an expression, or ``None`` if it is none of those known here.

    >>> operation("((y_pred - y) ** 2).mean()")
    Operation(name='mean', operands=('(y_pred - y) ** 2',))
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match tree:
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            return Operation(_OPERATORS[type(op)], (ast.unparse(left), ast.unparse(right)))
        case ast.UnaryOp(ast.USub(), operand):
            return Operation("neg", (ast.unparse(operand),))
        case ast.Call(ast.Attribute(holder, name), arguments, []):
            module = isinstance(holder, ast.Name) and holder.id in ("torch", "F")
            operands = tuple(map(ast.unparse, [*([] if module else [holder]), *arguments]))
            squared = (*operands, "2") if name == "square" else operands
            return Operation(_SAME.get(name, name), squared)
        case _:
            return None


Shape = Sequence[int]
_Derived = tuple[str, str] | None
_Derive = Callable[[tuple[str, ...], int, Shape, Shape], _Derived]
"""Returns the code and the text of a derivative, given the operands, the target's place among them, and both shapes."""


def factor(node: Node, expression: str | None, operand: str | None, sent: Shape, arrived: Shape) -> EdgeFactor | None:
    """Return the local derivative of an edge, or ``None`` if it is not certain.

    ``expression`` is the text that made the node, ``operand`` that of the edge's target: its name or expression. ``sent`` and
    ``arrived`` are the shapes of the gradient on the edge and of the one that arrived at the node.
    """
    made = operation(expression) if expression else None
    formula = _FORMULAS.get(re.sub(r"Backward\d+$", "", node.op))
    if made is None or formula is None or not operand or made.name != formula.name:
        return None
    target = _plain(operand)
    places = [index for index, each in enumerate(made.operands[: formula.places]) if _plain(each) == target]
    if len(places) != 1 and made.operands[:1] * len(places) != made.operands[: len(places)]:
        return None
    found = formula.derive(made.operands, places[0], sent, arrived) if places else None
    if found is None:
        return None
    code, text = found
    if math.prod(arrived) > math.prod(sent) and formula.name in ("mul", "add", "sub", "div"):
        text += ", then Σ"
    return EdgeFactor(code, text) if len(text) <= LONGEST else None


def _plain(text: str) -> str:
    """Return an expression without what does not matter: spaces and the parentheses around it.

    >>> _plain("( y_pred - y )")
    'y_pred-y'
    """
    try:
        return ast.unparse(ast.parse(text.strip(), mode="eval")).replace(" ", "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text.replace(" ", "")


def _atom(text: str) -> str:
    """Return an operand as it stands in a product: a sum, difference or product in parentheses."""
    return text if re.fullmatch(r"[\w.\[\]]+", text) else f"({text})"


def _typeset(text: str) -> str:
    return re.sub(r" ?\*\* ?2\b", "²", text).replace(" - ", " − ").replace(" * ", " ").replace("-", "−")


_FRACTIONS: Final = {2: "½", 3: "⅓", 4: "¼", 5: "⅕", 6: "⅙", 7: "⅐", 8: "⅛", 9: "⅑", 10: "⅒"}


class _Derivative(Struct, frozen=True):
    """The derivative of an operation. ``places`` is the number of operands that a gradient is sent to."""

    name: str
    derive: _Derive
    places: int = 1


def _by(code: str, text: str) -> _Derive:
    """Return a derivative of an operand ``a``."""

    def derive(operands: tuple[str, ...], _place: int, _sent: Shape, _arrived: Shape) -> _Derived:
        if len(operands) != 1:
            return None
        return code.replace("{a}", _atom(operands[0])), text.replace("{a}", _typeset(operands[0]))

    return derive


def _sum(signs: tuple[str, str]) -> _Derive:
    def derive(operands: tuple[str, ...], place: int, _sent: Shape, _arrived: Shape) -> _Derived:
        return (f"{signs[place]}grad", f"× {signs[place]}1".replace("-", "−")) if len(operands) == 2 else None

    return derive


def _product(operands: tuple[str, ...], place: int, _sent: Shape, _arrived: Shape) -> _Derived:
    if len(operands) != 2:
        return None
    other = operands[1 - place]
    return f"grad * {_atom(other)}", f"× {_typeset(_atom(other))}"


def _matrix_product(operands: tuple[str, ...], place: int, sent: Shape, arrived: Shape) -> _Derived:
    if len(operands) != 2 or len(sent) != 2 or len(arrived) != 2:
        return None
    other = _atom(operands[1 - place])
    turned = _typeset(other)[:-2] if re.fullmatch(r"\w+\.T", other) else f"{_typeset(other)}ᵀ"
    return (f"grad @ {other}.mT", f"@ {turned}") if place == 0 else (f"{other}.mT @ grad", f"{turned} @")


def _quotient(operands: tuple[str, ...], place: int, _sent: Shape, _arrived: Shape) -> _Derived:
    if len(operands) != 2:
        return None
    above, below = map(_atom, operands)
    if place == 0:
        return f"grad / {below}", f"÷ {_typeset(below)}"
    return f"-grad * {above} / {below} ** 2", f"× −{_typeset(above)} ÷ {_typeset(below)}²"


def _power(operands: tuple[str, ...], _place: int, _sent: Shape, _arrived: Shape) -> _Derived:
    if len(operands) != 2 or not re.fullmatch(r"\d+(\.0)?", operands[1]):
        return None
    exponent, base = int(float(operands[1])), _atom(operands[0])
    if exponent < 2:
        return None
    rest = base if exponent == 2 else f"{base} ** {exponent - 1}"
    raised = _typeset(rest) if exponent < 4 else f"{_typeset(base)}{str(exponent - 1).translate(_SUPERSCRIPTS)}"
    return f"grad * {exponent} * {rest}", f"× {exponent} {raised}"


_SUPERSCRIPTS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _average(_operands: tuple[str, ...], _place: int, sent: Shape, arrived: Shape) -> _Derived:
    count = math.prod(sent) // max(1, math.prod(arrived))
    return f"grad / {count}", f"× {_FRACTIONS.get(count) or f'1/{count:,}'}" if count > 1 else "× 1"


def _copies(_operands: tuple[str, ...], _place: int, _sent: Shape, _arrived: Shape) -> _Derived:
    return "grad", "× 1"


_FORMULAS: Final[dict[str, _Derivative]] = {
    "Add": _Derivative("add", _sum(("", "")), 2),
    "Sub": _Derivative("sub", _sum(("", "-")), 2),
    "Rsub": _Derivative("sub", _sum(("", "-")), 2),
    "Mul": _Derivative("mul", _product, 2),
    "Div": _Derivative("div", _quotient, 2),
    "Pow": _Derivative("pow", _power),
    "Mm": _Derivative("matmul", _matrix_product, 2),
    "Mean": _Derivative("mean", _average),
    "Sum": _Derivative("sum", _copies),
    "Neg": _Derivative("neg", _by("-grad", "× −1")),
    "Exp": _Derivative("exp", _by("grad * torch.exp({a})", "× exp({a})")),
    "Log": _Derivative("log", _by("grad / {a}", "÷ {a}")),
    "Sqrt": _Derivative("sqrt", _by("grad / (2 * torch.sqrt({a}))", "÷ 2√{a}")),
    "Sin": _Derivative("sin", _by("grad * torch.cos({a})", "× cos({a})")),
    "Cos": _Derivative("cos", _by("-grad * torch.sin({a})", "× −sin({a})")),
    "Tanh": _Derivative("tanh", _by("grad * (1 - torch.tanh({a}) ** 2)", "× (1 − tanh²)")),
    "Sigmoid": _Derivative("sigmoid", _by("grad * torch.sigmoid({a}) * (1 - torch.sigmoid({a}))", "× σ (1 − σ)")),
    "Relu": _Derivative("relu", _by("grad * ({a} > 0)", "× 1 if {a} > 0, else 0")),
    "Abs": _Derivative("abs", _by("grad * torch.sign({a})", "× sign({a})")),
}
"""By the class of a node without ``Backward`` and its number."""


def edge_factor(
    lines: Sequence[str], ends: tuple[Node, Node], sent: TensorSummary | None, arrived: TensorSummary | None
) -> EdgeFactor | None:
    """Return the local derivative of an edge of a program with these lines, or ``None`` if it is not certain.

    ``ends`` are the edge's source and target, ``sent`` is the gradient on the edge, ``arrived`` the one that the source used.
    """
    source, target = ends
    if sent is None or arrived is None or "complex" in f"{sent.dtype}{arrived.dtype}":
        return None
    expression = _expression(lines, source)
    if expression is None or source.outputs != 1 or source.backward_of is not None:
        return None
    texts = [text for text in (target.name, _expression(lines, target)) if text]
    return next(
        (found for text in texts if (found := factor(source, expression, text, sent.shape, arrived.shape)) is not None), None
    )


def _expression(lines: Sequence[str], node: Node) -> str | None:
    """Return the text that made an operation."""
    if node.kind != "op" or node.file is not None or node.line is None or node.columns is None or node.line > len(lines):
        return None
    start, end = node.columns
    return lines[node.line - 1][start:end] or None
