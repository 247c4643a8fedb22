"""Parse the expressions to which a lesson binds its numbers: ``m.grad``, ``fit[-1].loss``, ``node(y_pred).grad @ backward``.

The language has Python's grammar for expressions, which Python's parser reads. Only the forms listed here are accepted, and
:mod:`.bindings` evaluates them over a recording. Nothing is passed to Python's own evaluation.

========================================  ========================================================================
``m``, ``m.grad``, ``x[0]``               a variable of the program, at the end of the cell above
``m @ update``, ``y_pred @ line 5``       the same at an instant of the last step, or after the last run of a line
``fit[3].loss``, ``fit[-1].m.grad``       the same in a step of a recording; ``@ update`` reads it after the update
``fit.m``                                 the same at the end of a recording
``node(y_pred).grad``, ``.value``         a node of the last pass, by its variable or by its source text in quotes
``edge(y_pred, m)``                       the gradient on the edge between two nodes
``leaf(m)``                               the tensor that the name was bound to first
``state(m, "exp_avg")``                   the optimizer's state for a parameter after the update
``leaves(loss)``                          the names of the leaves below a node
``slope(m)``, ``difference(m, h=0.001)``  the slope of the loss, and a difference quotient, by a replay
``error``                                 the type of the exception that ended the recording, or ``None``
``+ - * / **``, ``sum``, ``abs``, ``len`` and other functions of numbers
``== < <= and or not is``                 conditions
========================================  ========================================================================
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from functools import lru_cache
from typing import Final

from msgspec import Struct

LENGTH: Final = 400
"""Largest number of characters of an expression."""
NUMERIC: Final = frozenset({"sum", "mean", "abs", "len", "norm", "min", "max", "sqrt", "exp", "log"})
"""Functions of numbers."""
OF_RECORDING: Final = frozenset({"node", "edge", "leaf", "state", "leaves", "slope", "difference"})
"""Functions that read a recording. A name among their arguments is not replaced by its value."""
SIDES: Final = ("central", "forward", "backward")
INSTANTS: Final = frozenset({"forward", "loss", "backward", "update"})

OF_TENSOR: Final = frozenset({"is_leaf", "requires_grad", "grad_fn", "dtype", "shape"})
"""Attributes of a tensor that are recorded with it."""
_LINE: Final = re.compile(r"@\s*line\s+(\d+)")
_ALLOWED: Final = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.Pow, ast.MatMult, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.Constant,
    ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.keyword, ast.List, ast.Tuple, ast.Load,
)  # fmt: skip


class BindingError(ValueError):
    """A binding cannot be read or has no value. The message is for the author of the lesson."""


@lru_cache(maxsize=1_000)
def parse(text: str) -> ast.expr:
    """Return the syntax tree of a binding. Raises :class:`BindingError`.

    >>> ast.unparse(parse("m.grad @ line 5"))
    'm.grad @ line(5)'
    """
    if len(text) > LENGTH:
        raise BindingError(f"The binding has {len(text):,} characters: the limit is {LENGTH}.")
    try:
        tree = ast.parse(_LINE.sub(r"@ line(\1)", text.strip()), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BindingError(f"`{text}` is not an expression: {getattr(error, 'msg', error)}.") from error
    for node in ast.walk(tree):
        _check(node, text)
    return tree.body


def _check(node: ast.AST, text: str) -> None:
    if not isinstance(node, _ALLOWED):
        raise BindingError(f"`{text}` has a form that a binding cannot have ({type(node).__name__}).")
    if isinstance(node, ast.Subscript) and not isinstance(index_of(node), int):
        raise BindingError(f"`{ast.unparse(node)}`: an index is a whole number.")
    if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
        raise BindingError(f"`{ast.unparse(node)}`: an attribute of a binding does not begin with `_`.")
    if isinstance(node, ast.Call):
        name = (
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        )
        if name not in NUMERIC | OF_RECORDING | {"line"}:
            known = ", ".join(sorted(NUMERIC | OF_RECORDING))
            raise BindingError(f"There is no function `{ast.unparse(node.func)}` in a binding: there are {known}.")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        instant(node.right)


def index_of(node: ast.Subscript) -> int | None:
    """Return the index of ``x[2]`` or ``x[-1]``; ``None`` if it is not a whole number."""
    match node.slice:
        case ast.Constant(value=int() as index) if not isinstance(index, bool):
            return index
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as index)):
            return -index
    return None


def instant(node: ast.expr) -> str | int:
    """Return the right side of ``@``: a phase, or the number of a line."""
    match node:
        case ast.Name(id=name) if name in INSTANTS:
            return name
        case ast.Call(func=ast.Name(id="line"), args=[ast.Constant(value=int() as line)]):
            return line
    raise BindingError(f"`@ {ast.unparse(node)}` is no instant: use {', '.join(sorted(INSTANTS))}, or `@ line 5`.")


def paths(node: ast.expr, recordings: Set[str]) -> Iterator[ast.expr]:
    """Yield the variables, attributes and elements that are read at the end of a cell.

    >>> [ast.unparse(path) for path in paths(parse("m.grad - 0.01 * fit[0].m + sum(x)"), {"fit"})]
    ['m.grad', 'x']
    """
    match node:
        case ast.BinOp(op=ast.MatMult()):
            return
        case ast.Call(func=ast.Name(id=name)) if name in NUMERIC:
            for argument in node.args:
                yield from paths(argument, recordings)
            return
        case ast.Call():
            return
        case ast.Name() | ast.Attribute() | ast.Subscript():
            root = root_of(node)
            if isinstance(root, ast.Name) and root.id != "error" and (root.id not in recordings or of_end(node, recordings)):
                yield node
            return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from paths(child, recordings)


class DifferenceQuotient(Struct, frozen=True):
    """A number that a replay computes for an element of a parameter: the slope of the loss, or a difference quotient.

    ``h`` is 0 for the slope, and ``None`` for the central difference of a gradient check, which is computed in float64. With
    another ``h``, the program itself computes both losses. ``side`` is ``central``, ``forward`` or ``backward``.
    """

    parameter: str
    h: float | None = None
    side: str = "central"


def differences(node: ast.expr) -> Iterator[DifferenceQuotient]:
    """Yield the slopes and differences of a binding.

    >>> list(differences(parse("difference(x[0], h=0.1) - m.grad")))
    [DifferenceQuotient(parameter='x[0]', h=0.1, side='central')]
    """
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in ("slope", "difference"):
            yield difference(each)


def difference(call: ast.Call) -> DifferenceQuotient:
    """Return the description of the number that a call of ``slope`` or ``difference`` requests."""
    assert isinstance(call.func, ast.Name)
    options = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
    h, side = options.get("h"), options.get("side", "central")
    known = len(call.args) == 1 and len(options) == len(call.keywords) and options.keys() <= {"h", "side"}
    if not known or side not in SIDES or not (h is None or (isinstance(h, int | float) and h > 0)):
        raise BindingError(f"`{ast.unparse(call)}` cannot be read: write `difference(m, h=0.001, side='forward')`.")
    parameter = ast.unparse(call.args[0])
    if call.func.id == "slope":
        return DifferenceQuotient(parameter, 0.0)
    return DifferenceQuotient(parameter, None if h is None else float(h), str(side))


def root_of(node: ast.expr) -> ast.expr:
    """Return the variable at the start of a path: the name `m` of `m.grad[0]`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node


def of_tensor(path: str) -> tuple[str, str | None]:
    """Return the path of a tensor, and the property of the tensor that is read: its ``shape``, or whether it is a leaf.

    >>> of_tensor("m.grad.shape"), of_tensor("m.grad")
    (('m.grad', 'shape'), ('m.grad', None))
    """
    tensor, _, attribute = path.rpartition(".")
    return (tensor, attribute) if tensor and attribute in OF_TENSOR else (path, None)


def of_end(node: ast.expr, recordings: Set[str]) -> tuple[str, str] | None:
    """Return the recording and the path of ``fit.m.grad``: a variable at the end of a recording; ``None`` for other paths.

    >>> of_end(parse("fit.m.grad"), {"fit"}), of_end(parse("fit[0].m"), {"fit"})
    (('fit', 'm.grad'), None)
    """
    parts = ast.unparse(node).split(".", 1)
    return (parts[0], parts[1]) if len(parts) == 2 and parts[0] in recordings and parts[1] != "error" else None
