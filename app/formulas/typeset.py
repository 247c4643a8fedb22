"""Write a product with the gradient as text for a person, such as `× 2 (y_pred − y)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Final

FRACTIONS: Final = {2: "½", 3: "⅓", 4: "¼", 5: "⅕", 6: "⅙", 7: "⅐", 8: "⅛", 9: "⅑", 10: "⅒"}
"""The characters of the inverses of whole numbers."""
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {ast.Gt: ">", ast.Lt: "<", ast.GtE: "≥", ast.LtE: "≤", ast.Eq: "="}
_SHORT: Final = {"tanh": "tanh", "sigmoid": "σ"}
"""Functions whose values are written without an argument, as in `1 − tanh²`."""
_FUNCTIONS: Final = frozenset({"exp", "log", "sin", "cos", "tan", "sinh", "cosh", "sign", "erf", "floor", "trunc"})


def factor_text(tree: ast.expr, texts: Mapping[str, str]) -> str | None:
    """Return the factor by which an expression multiplies ``grad``; ``None`` if there is none, or if it has no short form.

    ``texts`` has the program's text for the names in the expression.

    >>> factor_text(ast.parse("grad * (self >= min) * (self <= max)", mode="eval").body, {"self": "g", "min": "0", "max": "1"})
    '× (g ≥ 0) (g ≤ 1)'
    """
    match tree:
        case ast.BinOp(ast.Name("grad"), ast.MatMult(), other):
            text = _text(other, texts)
            return text and f"@ {text}"
        case ast.BinOp(other, ast.MatMult(), ast.Name("grad")):
            text = _text(other, texts)
            return text and f"{text} @"
    parts = _Product()
    if not parts.read(tree):
        return None
    if parts.above and isinstance(parts.above[0], ast.Compare | ast.Call) and len(parts.above) == 1 and not parts.below:
        condition = _condition(parts.above[0], texts)
        if condition is not None:
            return f"× {parts.sign}{condition}"
    above = [_in_product(each, texts) for each in parts.above]
    below = [_text(each, texts) for each in parts.below]
    if None in above or None in below or (len(parts.above) > 1 and "0" in above):
        return None
    divisor = " ".join(filter(None, below))
    if not above and len(parts.below) == 1 and isinstance(parts.below[0], ast.Constant):
        return f"× {parts.sign}{_inverse(parts.below[0].value)}"
    divided = f"÷ {divisor}" if len(below) == 1 else f"÷ ({divisor})" if below else ""
    if not above and not parts.sign and divided:
        return divided
    return " ".join(filter(None, ("×", f"{parts.sign}{' '.join(filter(None, above)) or '1'}", divided)))


def _in_product(node: ast.expr, texts: Mapping[str, str]) -> str | None:
    """Return a factor as text, a comparison in parentheses."""
    text = _text(node, texts)
    return f"({text})" if text and isinstance(node, ast.Compare) else text


def _inverse(count: object) -> str:
    if not isinstance(count, int):
        return f"1/{count}"
    return "1" if count == 1 else FRACTIONS.get(count) or f"1/{count:,}"


class _Product:
    """The factors of a product with ``grad``, and the divisors."""

    def __init__(self) -> None:
        self.sign = ""
        self.above: list[ast.expr] = []
        self.below: list[ast.expr] = []

    def read(self, node: ast.expr) -> bool:
        """Read a tree. Return whether it is a product with ``grad``."""
        match node:
            case ast.Name("grad"):
                return True
            case ast.UnaryOp(ast.USub(), operand):
                self.sign = "" if self.sign else "−"
                return self.read(operand)
            case ast.BinOp(left, ast.Mult(), right) if not _reads_grad(right):
                known = self.read(left)
                self.above.append(right)
                return known
            case ast.BinOp(left, ast.Div(), right) if not _reads_grad(right):
                known = self.read(left)
                self.below += _factors(right)
                return known
            case _:
                return False


def _factors(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left, ast.Mult(), right):
            return [*_factors(left), *_factors(right)]
        case _:
            return [node]


def _reads_grad(node: ast.expr) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "grad" for each in ast.walk(node))


def _condition(node: ast.expr, texts: Mapping[str, str]) -> str | None:
    """Return a factor that depends on a condition."""
    match node:
        case ast.Compare():
            test, yes, no = _text(node, texts), "1", "0"
        case ast.Call(ast.Name("where"), [ast.Compare() as compared, first, second]):
            test, yes, no = _text(compared, texts), _text(first, texts) or "", _text(second, texts) or ""
        case _:
            return None
    return f"{yes} if {test}, else {no}" if test and yes and no else None


def _text(node: ast.expr, texts: Mapping[str, str]) -> str | None:
    """Return a factor as text, a sum or difference in parentheses; ``None`` if it has no short form."""
    match node:
        case ast.Constant(value):
            return f"{value:g}".replace("-", "−") if isinstance(value, int | float) else None
        case ast.Name("pi"):
            return "π"
        case ast.Name(name):
            return typeset(atom(texts[name])) if name in texts else None
        case ast.UnaryOp(ast.USub(), operand):
            inner = _text(operand, texts)
            return inner and f"−{inner}"
        case ast.BinOp(base, ast.Pow(), ast.Constant(exponent)) if isinstance(exponent, int | float):
            inner = _text(base, texts)
            raised = str(exponent).translate(_SUPERSCRIPTS) if isinstance(exponent, int) else f"^{exponent:g}"
            return inner and f"{inner}{raised}".replace("^-", "^−")
        case ast.BinOp(left, (ast.Add() | ast.Sub()) as op, right):
            first, second = _text(left, texts), _text(right, texts)
            sign = "+" if isinstance(op, ast.Add) else "−"
            return f"({first} {sign} {second})" if first and second else None
        case ast.BinOp(left, ast.Mult(), right):
            first, second = _text(left, texts), _text(right, texts)
            return f"{first} {second}" if first and second else None
        case ast.Compare(left, [op], [right]) if type(op) in _COMPARISONS:
            first, second = _text(left, texts), _text(right, texts)
            return f"{first} {_COMPARISONS[type(op)]} {second}" if first and second else None
        case ast.Call(ast.Name(name), [argument, *_]):
            return _call(name, argument, texts)
        case _:
            return None


def _call(name: str, argument: ast.expr, texts: Mapping[str, str]) -> str | None:
    inner = _text(argument, texts)
    if inner is None:
        return None
    bare = inner[1:-1] if re.fullmatch(r"\([^()]*\)", inner) else inner
    if name == "transposed":
        return bare[:-2] if re.fullmatch(r"\w+\.T", bare) else f"{inner}ᵀ"
    if name in _SHORT:
        return _SHORT[name]
    if name == "sqrt":
        return f"√{inner}"
    if name == "abs":
        return f"|{bare}|"
    return f"{name}({bare})" if name in _FUNCTIONS else None


def atom(text: str) -> str:
    """Return an operand for use in a product: a sum, difference or product is put in parentheses."""
    return text if re.fullmatch(r"[\w.\[\]]+", text) else f"({text})"


def typeset(text: str) -> str:
    """Return an operand with mathematical signs."""
    return re.sub(r" ?\*\* ?2\b", "²", text).replace(" - ", " − ").replace(" * ", " ").replace("-", "−")
