"""Write the factor by which a node multiplies the gradient, from the rule of the node and the program's text."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from .rule import LocalRule
from .typeset import factor_text

_OPERATORS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.MatMult: "matmul",
}  # fmt: skip
_SAME: Final = {
    "multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div", "negative": "neg", "absolute": "abs",
    "mm": "matmul", "mv": "matmul", "dot": "matmul", "square": "pow",
}  # fmt: skip
"""Other names of an operation in PyTorch."""


class EdgeFactor(Struct, frozen=True):
    """The local derivative of an edge. ``grad`` in ``code`` is the gradient that arrived."""

    code: str
    """Python expression of the gradient that is sent, without the sum after a broadcast."""
    text: str
    """The same for a person, such as ``× 2 (y_pred − y)``."""


class Operation(Struct, frozen=True):
    """An operation as a program or a rule writes it, with its operands."""

    name: str
    operands: tuple[str, ...]
    changed: str | None = None
    """The operand that the operation changes in place. After it, its text is the result."""


@lru_cache(maxsize=4096)
def operation(expression: str) -> Operation | None:
    """Return the outermost operation of an expression, or ``None`` if it has keywords or cannot be the operation of a rule.

    >>> operation("((y_pred - y) ** 2).mean()")
    Operation(name='mean', operands=('(y_pred - y) ** 2',), changed=None)
    >>> operation("y += 1")
    Operation(name='add', operands=('y', '1'), changed='y')
    """
    tree = _parsed(expression)
    match tree:
        case ast.Name(text) if "=" in text:
            return _update(text)
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            return Operation(_OPERATORS[type(op)], (ast.unparse(left), ast.unparse(right)))
        case ast.UnaryOp(ast.USub(), operand):
            return Operation("neg", (ast.unparse(operand),))
        case ast.Call(ast.Attribute(holder, name), arguments, []):
            module = isinstance(holder, ast.Name) and holder.id in ("torch", "F")
            operands = tuple(map(ast.unparse, [*([] if module else [holder]), *arguments]))
            return Operation(_SAME.get(name, name), (*operands, "2") if name == "square" else operands)
        case _:
            return None


def _update(text: str) -> Operation | None:
    """Return the operation of an assignment such as ``y += 1``, or ``None`` for another text."""
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match body:
        case [ast.AugAssign(target, op, value)] if type(op) in _OPERATORS:
            return Operation(_OPERATORS[type(op)], (ast.unparse(target), ast.unparse(value)), ast.unparse(target))
    return None


@lru_cache(maxsize=1024)
def _of_rule(value: str) -> Operation | None:
    """Return the operation of a rule's value, such as `mm(self, mat2)`."""
    return operation(f"torch.{value}" if isinstance(_parsed(value), ast.Call) else value)


def edge_factors(rule: LocalRule, expression: str, operand: str | None, sent: int, arrived: int) -> EdgeFactor | None:
    """Return the local derivative of an operation by an operand, or ``None`` if it is uncertain or not a product.

    ``expression`` is the text that made the node, ``operand`` the name or the expression of the edge's target; ``None`` is the
    only operand of a rule with one, under whatever name. ``sent`` is
    the number of elements of the gradient on the edge, ``arrived`` that of the gradient that arrived at the node.
    """
    made, defined = operation(expression), _of_rule(rule.value)
    if made is None or defined is None or made.name != defined.name:
        return None
    bound = _bound(rule, defined.operands, made.operands)
    if bound is None:
        return None
    names = [name for name in defined.operands if name in rule.gradients]
    if operand is not None:
        target = plain(operand)
        names = [name for name in names if plain(bound.get(name, "")) == target]
    found = {_written(rule, name, bound, sent, arrived) for name in names}
    factor = found.pop() if len(found) == 1 else None
    return None if factor and made.changed and re.search(rf"\b{re.escape(made.changed)}", factor.code) else factor


def _bound(rule: LocalRule, names: Sequence[str], texts: Sequence[str]) -> Mapping[str, str] | None:
    """Return the program's text for each name of a rule's call; ``None`` if they do not correspond."""
    if names[-1:] == ("dim",) and len(texts) > len(names):  # several dimensions, or `keepdim`
        texts = (*texts[: len(names) - 1], ", ".join(texts[len(names) - 1 :]))
    missing = names[len(texts) :]
    if len(texts) > len(names) or any(name not in rule.options for name in missing):
        return None
    return {**{name: str(values[0]) for name, values in rule.options.items()}, **dict(zip(names, texts, strict=False))}


def _written(rule: LocalRule, operand: str, bound: Mapping[str, str], sent: int, arrived: int) -> EdgeFactor | None:
    reading = _InProgram(rule, operand, bound, sent // max(1, arrived) if "spread" in rule.gradients[operand] else sent)
    try:
        tree = reading.visit(_parsed(rule.gradients[operand]))
        text = factor_text(tree, bound)
        code = ast.unparse(_InTorch(bound).visit(copy.deepcopy(tree)))
    except _Uncertain:
        return None
    if text is None:
        return None
    return EdgeFactor(code, f"{text}, then Σ" if rule.elementwise and arrived > sent else text)


class _Uncertain(Exception):
    """The derivative has a part that the text of the program does not determine."""


class _InProgram(ast.NodeTransformer):
    """Replace the options, sizes and results in a rule's expression by the program's text, and simplify the expression."""

    def __init__(self, rule: LocalRule, operand: str, bound: Mapping[str, str], count: int) -> None:
        self._rule = rule
        self._operand = operand
        self._bound = bound
        self._count = count

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace the result by the rule's call, and an option by its number."""
        if node.id == "result":
            value: ast.expr = self.visit(_parsed(self._rule.value))
            return value
        if node.id in self._rule.gradients or node.id not in self._bound:
            return node
        if node.id not in self._rule.options and _number(_parsed(self._bound[node.id])) is None:
            return node
        found: ast.expr = self.visit(_parsed(self._bound[node.id]))
        if node.id in self._rule.options and _number(found) is None:
            raise _Uncertain
        return ast.Constant(_number(found)) if _number(found) is not None else found

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace a size by its value, and a gradient spread over the reduced elements by the gradient itself."""
        match node:
            case ast.Call(ast.Name("spread"), [ast.Name("grad"), *_]):
                return ast.Name("grad")
            case ast.Call(ast.Name("size"), [ast.Name(name), *_]):
                if name != self._operand:
                    raise _Uncertain
                return ast.Constant(self._count)
        node.args = [self.visit(each) for each in node.args]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Leave out factors and exponents of 1, and calculate sums and differences of two numbers."""
        left, right = self.visit(node.left), self.visit(node.right)
        first, second = _number(left), _number(right)
        match node.op:
            case ast.Mult() if first == 1:
                return right  # type: ignore[no-any-return]
            case ast.Mult() | ast.Div() | ast.Pow() if second == 1:
                return left  # type: ignore[no-any-return]
            case ast.Pow() if second == 0:
                return ast.Constant(1)
            case ast.Sub() if first is not None and second is not None:
                return ast.Constant(first - second)
            case ast.Add() if first is not None and second is not None:
                return ast.Constant(first + second)
        return ast.BinOp(left, node.op, right)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """In a comparison with 0, replace the result of `relu` by its operand: both are positive at the same elements."""
        left = self.visit(node.left)
        if isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "relu":
            left = left.args[0]
        return ast.Compare(left, node.ops, [self.visit(each) for each in node.comparators])


class _InTorch(ast.NodeTransformer):
    """Turn an expression of a rule into PyTorch code with the program's operands."""

    def __init__(self, bound: Mapping[str, str]) -> None:
        self._bound = bound

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace an operand by the program's text."""
        if node.id == "pi":
            return _parsed("torch.pi")
        return _parsed(self._bound[node.id]) if node.id in self._bound else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace a function of the rules by PyTorch's function."""
        assert isinstance(node.func, ast.Name)
        arguments = [self.visit(each) for each in node.args]
        if node.func.id == "transposed":
            return ast.Attribute(arguments[0], "mT")
        if node.func.id == "log" and _number(arguments[0]) is not None:
            return _parsed(f"torch.log(torch.tensor({_number(arguments[0])}))")
        return ast.Call(ast.Attribute(ast.Name("torch"), node.func.id), arguments, [])


def _parsed(text: str) -> ast.expr:
    """Return the tree of an expression. A text that is not an expression becomes a name."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Name(text)


def _number(node: ast.expr) -> float | None:
    """Return the value of a literal number, which may have a sign; ``None`` for other expressions."""
    match node:
        case ast.Constant(value) if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value) if value == int(value) else value
        case ast.UnaryOp(ast.USub(), operand):
            found = _number(operand)
            return None if found is None else -found
        case _:
            return None


def plain(text: str) -> str:
    """Return an expression without spaces and without the parentheses around it.

    >>> plain("( y_pred - y )")
    'y_pred-y'
    """
    try:
        return ast.unparse(ast.parse(text.strip(), mode="eval")).replace(" ", "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text.replace(" ", "")
