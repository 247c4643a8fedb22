"""Report a column and a row that are combined in a loss, so that each element of the column meets every element of the row.

## Why it matters

A network with one output returns a column of shape `(N, 1)`, but targets often have shape `(N,)`. Broadcasting turns their
difference into an `(N, N)` matrix without an error. The loss then covers all pairs instead of the matching ones. It still
falls, but the predictions only approach the mean of the targets.

## Example

```python
import torch

x = torch.linspace(-1, 1, 10).unsqueeze(1)
y = 2 * x.squeeze() + 1
model = torch.nn.Linear(1, 1)
prediction = model(x)
loss = ((prediction - y) ** 2).mean()
loss.backward()
```

Give both tensors the same shape:

```python
import torch

x = torch.linspace(-1, 1, 10).unsqueeze(1)
y = 2 * x.squeeze() + 1
model = torch.nn.Linear(1, 1)
prediction = model(x).squeeze(-1)
loss = ((prediction - y) ** 2).mean()
loss.backward()
```

## What it does not report

- Columns that the program makes on purpose, with `x[:, None]`, `unsqueeze()` or `keepdim=True`, next to the operation.
- Intended pairs, such as kernels, rankings and distance matrices.
- Results that are combined with another tensor of their size, and results that are not reduced to a single number.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ... import model, wire
from ...recording import PassNumbers, Recording
from ..program.syntax import Syntax

CODE: Final = "broadcast-both"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("warning",)
PASSES: Final = 1_000
"""Largest number of passes that are searched. Each graph is searched once."""
LINES: Final = 20
"""Largest number of lines of the program that are examined."""
NODES: Final = 20_000
"""Largest number of nodes of a graph that is searched."""
MEETINGS: Final = 20
"""Largest number of nodes of one line that are examined."""
NEAR: Final = 1_000
"""Largest number of nodes below a column that are searched for the operation that made it."""
_MEETS: Final = ("SubBackward0", "MulBackward0")
_MEETS_TARGET: Final = (*_MEETS, "DivBackward0", "AddBackward0")
"""Operations that combine an output of the network with targets or weights that have no gradient."""
_LOSSES: Final = ("MseLoss", "SmoothL1Loss", "HuberLoss", "L1Loss")
_ELEMENTWISE: Final = ("Pow", "Abs", "Neg", "Mul", "Div", "Add", "Sub", "Square", "Minimum", *_LOSSES)
"""Element-wise operations of a loss. ``exp`` and ``clamp`` belong to kernels and rankings, where pairs are intended."""
_OF_TARGETS: Final = (
    *_ELEMENTWISE, "Rsub", "Where", "Log", "Sqrt", "Clamp", "Relu", "Maximum", "Sigmoid", "Tanh", "Softplus", "Lerp",
)  # fmt: skip
"""Further operations of a loss that compares outputs of the network with targets. No pairs are intended there."""
_LAYERS: Final = ("Addmm", "Mm", "UnsafeView", "MkldnnLinear", "LinearBackward")
_REDUCING: Final = ("Mean", "Sum", *_LOSSES)
"""Operations that reduce a tensor to a single number."""
_SHAPING: Final = (
    "Unsqueeze", "View", "Reshape", "UnsafeView", "Index", "Slice", "Select", "Squeeze", "Expand", "Repeat", "Cat", "Stack",
    "Transpose", "Permute", "TBackward", "AsStrided", "Sum", "Mean", "Amax", "Amin", "Max", "Min", "Norm", "LinalgVectorNorm",
    "Logsumexp", "Prod", "Std", "Var", "Median", "Diagonal",
)  # fmt: skip
"""Operations that make a column on purpose."""
_COLUMNS: Final = frozenset({"unsqueeze", "view", "reshape", "expand", "unflatten", "atleast_2d"})

Shape = list[int]


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield a finding for each line that combines a column and a row, if all its results go into one number."""
    met = {signal.line: signal.shapes for signal in recording.signals(wire.Broadcast)}
    reported: set[int] = set()
    examined: Counter[int] = Counter()
    seen: set[int] = set()
    for index in range(min(recording.log.counts()[1], PASSES)):
        graph = recording.log.pass_(index).graph
        if graph < 0 or graph in seen:
            continue
        seen.add(graph)
        if len(recording.graph(graph).nodes) <= NODES:
            meetings = _Meetings(recording.numbers(index), met)
            for meeting in meetings.harmful():
                line = meeting.line
                if line in reported or examined[line] >= MEETINGS or (line not in examined and len(examined) >= LINES):
                    continue
                examined[line] += 1
                pair = _Pair.of(syntax, meeting)
                if not pair.is_intended(syntax, meetings.origin(meeting.operand)):
                    reported.add(meeting.line)
                    yield pair.finding(syntax, index, recording.log.pass_(index).step)


@dataclass(frozen=True)
class _Meeting:
    """A node that combines a column and a row.

    ``column`` says which operand is the column, 0 or 1, and ``count`` is its length. ``operand`` is the index of the column's
    node, ``None`` inside a loss function. ``squared`` is true inside a loss function, and if the result is squared or
    multiplied. ``targets`` is true if a layer computed the column, and the row has no gradient.
    ``meets_again`` is true if the result is then combined with another column, with which a row would broadcast too.
    """

    index: int
    node: model.Node
    count: int
    column: int
    operand: int | None
    squared: bool
    targets: bool = False
    meets_again: bool = False

    @property
    def line(self) -> int:
        """The line of the operation."""
        return self.node.line or 0


class _Meetings:
    """Searches a pass for columns that meet rows. ``met`` maps lines to shapes that meet inside a loss function."""

    def __init__(self, numbers: PassNumbers, met: Mapping[int, tuple[Shape, Shape]]) -> None:
        self._numbers = numbers
        self._nodes = numbers.graph.nodes
        self._met = met
        self._up: dict[int, list[int]] = {}
        self._down: dict[int, list[int]] = {}
        for edge in sorted(numbers.graph.edges, key=lambda edge: edge.slot):
            source, target = numbers.node_index(edge.source), numbers.node_index(edge.target)
            self._down.setdefault(source, []).append(target)
            self._up.setdefault(target, []).append(source)

    def harmful(self) -> Iterator[_Meeting]:
        """Yield the meetings of a pass if all their results go, element by element, into a single number."""
        found = [each for index in range(len(self._nodes)) if (each := self._meeting(index)) is not None]
        if not found:
            return
        passing = _OF_TARGETS if all(each.targets for each in found) else _ELEMENTWISE
        reached: set[int] = {each.index for each in found}
        waiting = list(reached)
        reduced = False
        while waiting:
            at = waiting.pop()
            for source in self._up.get(at, ()):
                op = self._nodes[source].op
                shape, size = self._shape(source), self._shape(at)
                if shape == [] and op.startswith(_REDUCING):
                    reduced = True
                elif op.startswith(passing) and (shape is None or size is None or shape == size):
                    if source not in reached:
                        reached.add(source)
                        waiting.append(source)
                elif shape is None and op.startswith(_REDUCING):
                    reduced = True
                else:
                    return
        if reduced and all(self._only(index, reached) for index in reached):
            met = {operand for each in found for operand in self._down.get(each.index, ())}
            others = {operand for index in reached for operand in self._down.get(index, ())} - reached - met
            columns = [shape[-2] for each in others if (shape := self._shape(each)) is not None and shape[-1:] == [1] != shape]
            yield from (replace(each, meets_again=each.count in columns) for each in found)

    def _only(self, index: int, reached: set[int]) -> bool:
        """Return whether no operand outside of ``reached`` has the result's shape. Such an operand shows intent.

        The operands of a loss function and conditions are not examined.
        """
        shape = self._shape(index)
        if self._nodes[index].op.startswith(_LOSSES):
            return True
        others = (each for each in self._down.get(index, ()) if each not in reached)
        return all(self._shape(each) != shape or self._is_condition(each) for each in others)

    def _is_condition(self, index: int) -> bool:
        value = self._numbers.value(index)
        return value is not None and "bool" in value.dtype

    def _shape(self, index: int) -> Shape | None:
        value = self._numbers.value(index)
        return value.shape if value is not None else None

    def _meeting(self, index: int) -> _Meeting | None:
        node, shape, operands = self._nodes[index], self._shape(index), self._down.get(index, [])
        if node.line is None or shape is None or len(shape) < 2:
            return None
        if node.op == "ExpandBackward0" and node.call is not None and node.call.endswith("broadcast_tensors"):
            shapes = self._met.get(node.line)
            if shapes is None or len(operands) != 1 or (column := _column(*shapes)) is None:
                return None
            return _Meeting(index, node, shapes[column][-2], column, None, True)
        if node.op not in _MEETS_TARGET or len(operands) != 2:
            return None
        first, second = self._shape(operands[0]), self._shape(operands[1])
        if first is None or second is None or (column := _column(first, second)) is None:
            return None
        targets = self._nodes[operands[1 - column]].kind == "constant" and self._of_layer(operands[column])
        if node.op not in _MEETS and not targets:
            return None
        squared = any(self._nodes[source].op.startswith(("Pow", "Mul")) for source in self._up.get(index, ()))
        return _Meeting(index, node, shape[-1], column, operands[column], squared, targets)

    def _of_layer(self, index: int) -> bool:
        """Return whether a layer with one output computed a column, or the column is an element-wise function of its output."""
        for _ in range(NEAR):
            node, shape = self._nodes[index], self._shape(index)
            if node.op.startswith(_LAYERS):
                return True
            same = [each for each in self._down.get(index, ()) if self._shape(each) == shape]
            same = [each for each in same if self._nodes[each].kind == "op"]
            if node.kind != "op" or node.op.startswith(_SHAPING) or len(same) != 1:
                return False
            index = same[0]
        return False

    def origin(self, index: int | None) -> str | None:
        """Return the op that made a column on purpose, found below the column among the nodes of the same shape.

        Without such an op, return the kind of the column's node, such as "leaf". Return ``None`` if more than ``NEAR`` nodes
        would have to be searched, and "op" if ``index`` is ``None``.
        """
        if index is None:
            return "op"
        shape, seen = self._shape(index), {index}
        waiting = [index]
        while waiting:
            if len(seen) > NEAR:
                return None
            at = waiting.pop()
            node, below = self._nodes[at], self._down.get(at, ())
            if node.kind == "constant":
                continue
            if node.op.startswith(_SHAPING):
                return node.op
            same = [each for each in below if self._shape(each) == shape and each not in seen]
            seen.update(same)
            waiting += same
        return self._nodes[index].kind


def _column(first: Shape, second: Shape) -> int | None:
    """Return the index (0 or 1) of the shape that is a column, if the other shape is a row of the same length; else ``None``.

    >>> _column([4, 1], [4]), _column([4], [4, 1]), _column([4, 1], [1, 4]), _column([1, 1], [1])
    (0, 1, None, None)
    """
    for index, (column, row) in enumerate(((first, second), (second, first))):
        if row and column == [*row, 1] and row[-1] > 1 and (len(row) == 1 or row[-1] == row[-2]):
            return index
    return None


@dataclass(frozen=True)
class _Pair:
    """A meeting and its two operands in the program's text, if they were found there."""

    meeting: _Meeting
    operands: tuple[ast.expr, ast.expr] | None

    @classmethod
    def of(cls, syntax: Syntax, meeting: _Meeting) -> _Pair:
        """Find the operands of a meeting in the program's text."""
        for node in syntax.at(meeting.node.line, meeting.node.columns):
            match node:
                case ast.BinOp(left=left, right=right):
                    return cls(meeting, (left, right))
                case ast.Call(func=ast.Attribute(value=value, attr="sub" | "mul"), args=[other]):
                    return cls(meeting, (value, other))
                case ast.Call(args=[left, right, *_]):
                    return cls(meeting, (left, right))
        return cls(meeting, None)

    def is_intended(self, syntax: Syntax, origin: str | None) -> bool:
        """Return whether the column was made on purpose: in the expression, where its name is assigned, or in the graph.

        ``origin`` is the result of :meth:`_Meetings.origin`. If it is ``None``, the column counts as intended.
        """
        if origin is None or origin.startswith(_SHAPING):
            return True
        if self.operands is None:
            return False
        column = self.operands[self.meeting.column]
        if any(makes_column(each) for operand in self.operands for each in ast.walk(operand)):
            return True
        if self.meeting.squared or not isinstance(column, ast.Name):
            return False
        return any(makes_column(each) for value in syntax.assigned(column.id) for each in ast.walk(value))

    def finding(self, syntax: Syntax, index: int, step: int) -> model.Finding:
        """Return the finding. If the column occurs only once in its statement, a fix turns it into a row."""
        meeting, fix = self.meeting, None
        count = meeting.count
        column, row = "One tensor", "the other"
        if self.operands is not None:
            operand, other = self.operands[meeting.column], self.operands[1 - meeting.column]
            column, row = f"`{syntax.text(operand)}`", f"`{syntax.text(other)}`"
            text = f"{syntax.operand(operand)}.squeeze(-1)"
            statement = syntax.statement_of(operand)
            alike = [
                node
                for node in ast.walk(statement or operand)
                if isinstance(node, ast.expr) and ast.dump(node) == ast.dump(operand)
            ]
            if len(alike) == 1 and not meeting.meets_again:  # otherwise the statement uses the column several times
                fix = model.Fix("Give both tensors the same shape", [model.Edit(*syntax.span(operand), text)])
        drift = " The loss still falls, but the predictions only approach the mean of the targets." if meeting.squared else ""
        remedy = "" if fix is not None else " Give both tensors the same shape."
        return model.Finding(
            code=CODE,
            severity="warning",
            file=None,
            line=meeting.node.line,
            step=step,
            node=meeting.node.id,
            message=f"{column} is a column of {count} numbers and {row} a row of {count}: "
            f"combined, they make {count} × {count} numbers, not {count}.",
            why="Broadcasting combines every number of the column with every number of the row, so the loss covers all pairs "
            f"instead of the matching ones.{drift}{remedy}",
            fix=fix,
            pass_=index,
        )


def makes_column(node: ast.AST) -> bool:
    """Return whether code makes a column: ``x[:, None]``, ``x.unsqueeze(1)``, ``keepdim=True``."""
    match node:
        case ast.Subscript(slice=subscript):
            parts = subscript.elts if isinstance(subscript, ast.Tuple) else [subscript]
            return any(isinstance(part, ast.Constant) and part.value is None for part in parts)
        case ast.Call(func=ast.Attribute(attr=name)) if name in _COLUMNS:
            return True
        case ast.keyword(arg="keepdim" | "keepdims"):
            return True
        case ast.Attribute(attr="newaxis"):
            return True
    return False
