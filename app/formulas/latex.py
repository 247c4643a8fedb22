"""Write the expressions of rules as LaTeX, with the names or numbers of a program in place of their operands."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = 1, 2, 3, 4, 5
"""How tightly the parts of an expression are bound; an operand that is bound less tightly gets parentheses."""
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Gt: ">", ast.Lt: "<", ast.GtE: r"\ge", ast.LtE: r"\le", ast.Eq: "=", ast.NotEq: r"\ne",
}  # fmt: skip
_KNOWN_FUNCTIONS: Final = frozenset({"log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "det", "min", "max", "exp"})
_UNCHANGED: Final = frozenset(
    {"spread", "reshaped", "swapped", "unpermuted", "inserted", "flipped", "rolled", "repeated", "part_of", "layer_of"}
)
"""Functions that move or copy elements. Only their first operand is written."""

Written = tuple[str, int]
"""LaTeX, and how tightly it is bound."""


def named(name: str) -> str:
    """Return a name of a program as LaTeX.

    >>> named("y_pred"), named("m"), named("a - b")
    ('\\\\text{y\\\\_pred}', 'm', '\\\\text{a - b}')
    """
    if len(name) == 1 and name.isalpha():
        return name
    plain = name.translate({ord("{"): "(", ord("}"): ")", ord("\\"): "/", ord("^"): " xor ", ord("~"): " not "})
    escaped = re.sub(r"([_#$%&])", r"\\\1", plain)
    return rf"\text{{{escaped}}}"


def number(value: float, digits: int = 5) -> str:
    """Return a number as LaTeX.

    >>> number(-9.333333), number(1.5e-7), number(float("inf")), number(2.0)
    ('-9.3333', '1.5 \\\\times 10^{-7}', '\\\\infty', '2')
    """
    if value != value:
        return r"\mathrm{NaN}"
    if value in (float("inf"), -float("inf")):
        return r"\infty" if value > 0 else r"-\infty"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return rf"{mantissa} \times 10^{{{int(exponent)}}}"
    return text


@lru_cache(maxsize=4096)
def _tree(code: str) -> ast.expr:
    return ast.parse(code, mode="eval").body


def latex(code: str, texts: Mapping[str, str]) -> str:
    """Return an expression as LaTeX. ``texts`` has the LaTeX of names, and of calls such as `size(self)`.

    >>> latex("grad * exponent * self ** (exponent - 1)", {"grad": "g", "exponent": "2", "self": "d"})
    'g \\\\cdot 2 \\\\cdot d'
    >>> latex("-grad * self / other ** 2", {"grad": "g", "self": "a", "other": "b"})
    '-g \\\\cdot \\\\frac{a}{b^{2}}'
    """
    return _write(_tree(code), texts)[0]


def _write(node: ast.expr, texts: Mapping[str, str]) -> Written:
    match node:
        case ast.Constant(value):
            return (number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)), _ATOM
        case ast.Name("pi"):
            return r"\pi", _ATOM
        case ast.Name(name):
            text = texts.get(name, named(name))
            return text, _bound(text)
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{_within(operand, texts, _SIGN)}", _SIGN
        case ast.BinOp(left, op, right):
            return _operation(left, op, right, texts)
        case ast.Compare(left, [op], [right]):
            return rf"[{_write(left, texts)[0]} {_COMPARISONS[type(op)]} {_write(right, texts)[0]}]", _ATOM
        case ast.Call(ast.Name(name), arguments):
            return _call(name, arguments, texts)
        case _:
            return ast.unparse(node), _SUM


def _bound(text: str) -> int:
    """Return how tightly LaTeX is bound: a sum, a product or a number with a sign needs parentheses in a product."""
    depth = 0
    if text.startswith(r"\text{"):
        return _ATOM if re.fullmatch(r"\\text\{[\w.,\[\]\\]+\}", text) else _SUM
    for at, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and (character in "+-" or text.startswith((r"\cdot", r"\times"), at)):
            return _SUM
        if text.startswith((r"\left(", r"\begin"), at):
            depth += 1
        elif text.startswith((r"\right)", r"\end"), at):
            depth -= 1
    return _ATOM


def _within(node: ast.expr, texts: Mapping[str, str], least: int) -> str:
    text, bound = _write(node, texts)
    return text if bound >= least else rf"\left({text}\right)"


def _operation(left: ast.expr, op: ast.operator, right: ast.expr, texts: Mapping[str, str]) -> Written:
    if isinstance(op, ast.Div):
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult):  # a product keeps its first factors in front
            before = _within(left.left, texts, _PRODUCT)
            return rf"{before} \cdot \frac{{{_write(left.right, texts)[0]}}}{{{_write(right, texts)[0]}}}", _PRODUCT
        return rf"\frac{{{_write(left, texts)[0]}}}{{{_write(right, texts)[0]}}}", _ATOM
    if isinstance(op, ast.Pow):
        exponent = _exponent(right, texts)
        if exponent == "1":
            return _write(left, texts)
        return rf"{_within(left, texts, _ATOM)}^{{{exponent}}}", _POWER
    if isinstance(op, ast.Add | ast.Sub):
        sign = "+" if isinstance(op, ast.Add) else "-"
        return f"{_write(left, texts)[0]} {sign} {_within(right, texts, _PRODUCT)}", _SUM
    if isinstance(op, ast.MatMult):
        return rf"{_within(left, texts, _PRODUCT)} \, {_within(right, texts, _SIGN + 1)}", _PRODUCT
    first, second = _within(left, texts, _PRODUCT), _within(right, texts, _SIGN + 1)
    if first == "1":
        return _write(right, texts)
    if second == "1":
        return _write(left, texts)
    return rf"{first} \cdot {second}", _PRODUCT


def _exponent(node: ast.expr, texts: Mapping[str, str]) -> str:
    """Return an exponent. A sum or difference of numbers, such as `exponent - 1` for the exponent 2, is calculated."""
    text = _write(node, texts)[0]
    found = re.fullmatch(r"(-?[\d.]+) ([+-]) ([\d.]+)", text)
    if found is None:
        return text
    left, right = float(found[1]), float(found[3])
    return number(left + right if found[2] == "+" else left - right)


def _call(name: str, arguments: list[ast.expr], texts: Mapping[str, str]) -> Written:
    if (known := texts.get(ast.unparse(ast.Call(ast.Name(name), arguments, [])))) is not None:
        return known, _bound(known)
    first = _write(arguments[0], texts)[0] if arguments else ""
    if name in _UNCHANGED or (name in ("rows_added", "scattered", "at_classes", "to", "clone", "alias") and arguments):
        return _write(arguments[0], texts)
    if name == "exp" and len(arguments) == 1:
        return rf"e^{{{first}}}", _POWER
    if name == "sqrt":
        return rf"\sqrt{{{first}}}", _ATOM
    if name == "abs":
        return rf"\left|{first}\right|", _ATOM
    if name == "sigmoid" and len(arguments) == 1:
        return rf"\sigma\left({first}\right)", _ATOM
    if name == "transposed":
        return rf"{_within(arguments[0], texts, _ATOM)}^{{\top}}", _POWER
    if name == "inverse":
        return rf"{_within(arguments[0], texts, _ATOM)}^{{-1}}", _POWER
    if name == "total":
        return rf"\sum {_within(arguments[0], texts, _PRODUCT)}", _SIGN
    if name == "average":
        return rf"\overline{{{first}}}", _ATOM
    if name == "where" and len(arguments) == 3:
        test, yes, no = (_write(each, texts)[0] for each in arguments)
        return rf"\begin{{cases}} {yes} & {test.strip('[]')} \\ {no} & \text{{else}} \end{{cases}}", _PRODUCT
    written = ", ".join(_write(each, texts)[0] for each in arguments)
    head = rf"\{name}" if name in _KNOWN_FUNCTIONS else rf"\operatorname{{{named_plain(name)}}}"
    return rf"{head}\left({written}\right)", _ATOM


def named_plain(name: str) -> str:
    """Return the name of a function with its underscores escaped."""
    return name.replace("_", r"\_")
