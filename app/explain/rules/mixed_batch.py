"""Report a `view` or `reshape` that was meant to swap dimensions, and mixes the samples of a batch instead.

## Why it matters

`view` and `reshape` keep the order of the elements and only divide them into rows of other lengths. They do not move a
dimension: `h.view(8, 5, 2)` of a tensor of shape (5, 8, 2) makes new rows, each of which has parts of several samples. The
shapes fit, no error is raised, and the loss compares predictions with the targets of other samples.

## Example

```python
import torch
from torch import nn

torch.manual_seed(0)
sequence, targets = torch.randn(5, 8, 4), torch.randn(8, 5, 2)
net = nn.Linear(4, 2)
loss = ((net(sequence).view(8, 5, 2) - targets) ** 2).mean()
loss.backward()
```

Swap the dimensions:

```python
import torch
from torch import nn

torch.manual_seed(0)
sequence, targets = torch.randn(5, 8, 4), torch.randn(8, 5, 2)
net = nn.Linear(4, 2)
loss = ((net(sequence).transpose(0, 1) - targets) ** 2).mean()
loss.backward()
```

## What it does not report

- A `view` that only joins neighbouring dimensions, splits one, or adds dimensions of length 1.
- Shapes with more than four dimensions, and shapes that no order of the dimensions gives.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, permutations, product
from math import prod
from operator import mul
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax, called
from ..recorded.passes import GraphOfPass, different_graphs

CODE: Final = "mixed-batch"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
DIMENSIONS: Final = 4
"""Largest number of dimensions, except those of length 1, of a shape that is examined."""
_RESHAPES: Final = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward")
_CALLS: Final = ("view", "reshape")
_SIZES: Final = re.compile(r"(?:torch\.Size\()?[\[(]([0-9]+(?:, [0-9]+)*)[\])]\)?")
"""The text of a shape."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that reshapes a tensor to a shape that moving a dimension would also give."""
    reported: set[int | None] = set()
    for graph in different_graphs(recording):
        for index, node in enumerate(graph.nodes):
            function = (node.call or "").rpartition(".")[2]
            if not node.op.startswith(_RESHAPES) or function not in _CALLS or node.line in reported or node.line is None:
                continue
            shapes = _shapes(graph, index)
            if shapes is not None and mixes(*shapes):
                reported.add(node.line)
                yield _finding(node.line, function, *shapes, graph, node)
    texts = {row.line: row.text for row in recording.lines() if row.file is None}
    lines = {row.line: row.tensor.shape for row in recording.lines() if row.tensor is not None and row.file is None}
    for call in syntax.statements(ast.Call) if recording.log.counts()[1] else ():
        shape, given = _of_input(syntax, call, lines)
        if shape is None:
            shape, given = _of_sizes(syntax, call, texts)
        if shape is not None and given is not None and call.lineno not in reported and mixes(shape, given):
            reported.add(call.lineno)
            yield _finding(call.lineno, called(call) or "view", shape, given)


def _of_input(syntax: Syntax, call: ast.Call, lines: dict[int, list[int]]) -> tuple[list[int] | None, list[int] | None]:
    """Return the shape of a variable that a call reshapes, and the shape that the call gives it; ``None`` if unknown.

    ``lines`` maps lines to the shapes of their last values.
    """
    match call:
        case ast.Call(func=ast.Attribute(attr="view" | "reshape", value=value), args=args) if len(args) > 1:
            shape = _moved_shape(syntax, value, lines)
            return _completed(shape, [_integer(each) for each in args]) if shape is not None else (None, None)
    return None, None


def _completed(shape: list[int], given: Sequence[int | None]) -> tuple[list[int] | None, list[int] | None]:
    """Return a shape, and the shape that a reshape gives it, in which a -1 is replaced by the rest."""
    known = [each for each in given if each is not None]
    if len(known) != len(given) or known.count(-1) > 1:
        return None, None
    rest = prod(each for each in known if each != -1)
    known = [prod(shape) // rest if each == -1 and rest > 0 else each for each in known]
    return (shape, known) if prod(shape) == prod(known) else (None, None)


def _of_sizes(syntax: Syntax, call: ast.Call, texts: dict[int, str]) -> tuple[list[int] | None, list[int] | None]:
    """Return the same for a call with the names that a line such as ``b, t, f = x.shape`` gave to the sizes of the variable.

    ``texts`` maps lines to the texts of their values.
    """
    match call:
        case ast.Call(func=ast.Attribute(attr="view" | "reshape", value=ast.Name(id=name)), args=args) if len(args) > 1:
            unpacked = next((each for each in syntax.statements(ast.Assign) if _unpacks(syntax, each, call, name)), None)
            shape = _SIZES.fullmatch(texts.get(unpacked.lineno, "")) if unpacked is not None else None
            if unpacked is None or shape is None:
                return None, None
            sizes = [int(each) for each in shape[1].split(", ")]
            target = unpacked.targets[0]
            names = [syntax.text(each) for each in target.elts] if isinstance(target, ast.Tuple) else []
            named = dict(zip(names, sizes, strict=False))
            given = [named.get(each.id) if isinstance(each, ast.Name) else _integer(each) for each in args]
            return _completed(sizes, given)
    return None, None


def _unpacks(syntax: Syntax, statement: ast.Assign, call: ast.Call, name: str) -> bool:
    """Return whether a statement above a call unpacks the sizes of this variable, which nothing replaces before the call."""
    match statement:
        case ast.Assign(
            targets=[ast.Tuple()],
            value=ast.Attribute(attr="shape", value=ast.Name(id=of))
            | ast.Call(func=ast.Attribute(attr="size", value=ast.Name(id=of))),
        ) if of == name and statement.lineno < call.lineno:
            between = range(statement.lineno, call.lineno)
            replaced = any(value.lineno in between for value in syntax.assigned(name))
            return not replaced and syntax.function_of(statement) is syntax.function_of(call)
    return False


def _moved_shape(syntax: Syntax, value: ast.expr, lines: dict[int, list[int]]) -> list[int] | None:
    """Return the shape of a variable, after calls of ``permute`` and ``transpose`` with literals; ``None`` if unknown."""
    match value:
        case ast.Name(id=name):
            made = syntax.assigned(name)
            return lines.get(made[0].lineno) if len(made) == 1 else None
        case ast.Call(func=ast.Attribute(attr="contiguous", value=inner), args=[]):
            return _moved_shape(syntax, inner, lines)
        case ast.Call(func=ast.Attribute(attr="permute" | "transpose" as function, value=inner), args=args):
            shape = _moved_shape(syntax, inner, lines)
            at = [number for each in args if (number := _integer(each)) is not None]
            if shape is None or len(at) != len(args) or any(not -len(shape) <= each < len(shape) for each in at):
                return None
            if function == "permute":
                return [shape[each] for each in at] if len({each % len(shape) for each in at}) == len(shape) else None
            if len(at) != 2:
                return None
            shape = list(shape)
            shape[at[0]], shape[at[1]] = shape[at[1]], shape[at[0]]
            return shape
    return None


def _integer(node: ast.expr) -> int | None:
    """Return the value of a literal integer, negative ones included."""
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return -value
    return None


def mixes(before: Sequence[int], after: Sequence[int]) -> bool:
    """Return whether a reshape gives a shape that moving a dimension would also give.

    Dimensions of length 1 are ignored. The result must have the dimensions of the input in another order, possibly with
    neighbours joined, or vice versa. A reshape that only joins or only splits neighbours does not count.

    >>> mixes([5, 8, 2], [8, 5, 2]), mixes([2, 16, 6], [16, 12]), mixes([4, 5, 6], [4, 2, 5, 3])
    (True, True, True)
    >>> mixes([4, 8, 8, 3], [4, 3, 8, 8])
    True
    >>> mixes([16, 5, 4], [80, 4]), mixes([4, 6], [4, 2, 3]), mixes([4, 4], [2, 8]), mixes([1, 8], [8, 1])
    (False, False, False, False)
    """
    before, after = [each for each in before if each != 1], [each for each in after if each != 1]
    if max(len(before), len(after)) > DIMENSIONS or _aligned(before, after):
        return False
    return tuple(after) in _moved(before) or tuple(before) in _moved(after)


def _aligned(before: Sequence[int], after: Sequence[int]) -> bool:
    """Return whether a reshape only joins neighbouring dimensions, or only splits them."""
    one, other = set(accumulate(before, mul)), set(accumulate(after, mul))
    return one <= other or other <= one


def _moved(shape: Sequence[int]) -> set[tuple[int, ...]]:
    """Return the shapes that a tensor of this shape has after its dimensions were moved and neighbours joined."""
    found: set[tuple[int, ...]] = set()
    for order in set(permutations(shape)):
        for joins in product((False, True), repeat=len(order) - 1):
            joined = [order[0]]
            for size, join in zip(order[1:], joins, strict=True):
                joined = [*joined[:-1], joined[-1] * size] if join else [*joined, size]
            found.add(tuple(joined))
    return found


def _shapes(graph: GraphOfPass, index: int) -> tuple[list[int], list[int]] | None:
    """Return the shapes of the input and of the result of a node."""
    inputs = graph.inputs(index)
    before, after = graph.numbers.value(inputs[0]) if inputs else None, graph.numbers.value(index)
    return (before.shape, after.shape) if before is not None and after is not None else None


def _finding(
    line: int,
    function: str,
    before: list[int],
    after: list[int],
    graph: GraphOfPass | None = None,
    node: model.Node | None = None,
) -> model.Finding:
    return model.Finding(
        code=CODE,
        severity="warning",
        file=None,
        line=line,
        step=graph.step if graph is not None else None,
        node=node.id if node is not None else None,
        message=f"`{function}` turns the shape {_text(before)} into {_text(after)}, but does not move the dimensions: it mixes "
        "the samples.",
        why=f"`{function}` keeps the order of the numbers and divides them into rows of other lengths. Move the dimension with "
        "`transpose` or `permute`, and join or split only neighbouring dimensions.",
        pass_=graph.pass_ if graph is not None else None,
    )


def _text(shape: list[int]) -> str:
    return f"({', '.join(map(str, shape))})"
