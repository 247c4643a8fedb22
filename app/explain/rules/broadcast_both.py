"""Tell of two tensors that meet in a loss in all pairs, since one is a column and the other is not."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ... import model, wire
from ...recording import PassNumbers, Recording
from ..syntax import Syntax

PASSES = 1_000
"""Passes that are looked at: one of each graph among them."""
LINES = 20
"""Lines that are looked at."""
NODES = 20_000
"""Nodes of a graph above which it is not looked through."""
_MEETS = ("SubBackward0", "MulBackward0")
_LOSSES = ("MseLoss", "SmoothL1Loss", "HuberLoss", "L1Loss")
_EACH = ("Pow", "Abs", "Neg", "Mul", "Div", "Add", "Sub", "Square", *_LOSSES)
"""What is computed number by number in an error. An ``exp`` or a ``clamp`` is of a kernel or of a ranking: pairs are meant."""
_WHOLE = ("Mean", "Sum", *_LOSSES)
"""What makes one number of all."""
_SHAPING = (
    "Unsqueeze", "View", "Reshape", "UnsafeView", "Index", "Slice", "Select", "Squeeze", "Expand", "Repeat", "Cat", "Stack",
    "Transpose", "Permute", "TBackward", "AsStrided", "Sum", "Mean", "Amax", "Amin", "Max", "Min", "Norm", "LinalgVectorNorm",
    "Logsumexp", "Prod", "Std", "Var", "Median", "Diagonal",
)  # fmt: skip
"""What makes a column on purpose."""
_COLUMNS = frozenset({"unsqueeze", "view", "reshape", "expand", "unflatten", "atleast_2d"})

Shape = list[int]


def broadcast_both(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A column of N numbers and N numbers are subtracted or multiplied, and the N × N results go into a loss."""
    met = {signal.line: signal.shapes for signal in recording.signals(wire.Broadcast)}
    told: set[int] = set()
    looked: set[int] = set()
    seen: set[int] = set()
    for index in range(min(recording.log.counts()[1], PASSES)):
        graph = recording.log.pass_(index).graph
        if graph < 0 or graph in seen:
            continue
        seen.add(graph)
        if len(recording.graph(graph).nodes) <= NODES:
            for meeting in _Meetings(recording.numbers(index), met).harmful():
                if meeting.line in told or len(looked | {meeting.line}) > LINES:
                    continue
                looked.add(meeting.line)
                pair = _Pair.of(syntax, meeting)
                if not pair.meant(syntax):
                    told.add(meeting.line)
                    yield pair.finding(syntax, index, recording.log.pass_(index).step)


@dataclass(frozen=True)
class _Meeting:
    """A node at which a column and a row meet. ``column`` is 0 or 1: which of the two it is; ``made`` what made it."""

    place: int
    node: model.Node
    count: int
    column: int
    made: str
    squared: bool

    @property
    def line(self) -> int:
        """The line on which they meet."""
        return self.node.line or 0


class _Meetings:
    """Looks for columns that meet rows in the numbers of a pass. ``met`` are the lines and shapes of those inside a loss."""

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
        """Those whose results all go, number by number, into a single one."""
        found = [each for place in range(len(self._nodes)) if (each := self._meeting(place)) is not None]
        if not found:
            return
        reached: set[int] = {each.place for each in found}
        waiting = list(reached)
        whole = False
        while waiting:
            at = waiting.pop()
            for source in self._up.get(at, ()):
                op = self._nodes[source].op
                shape, size = self._shape(source), self._shape(at)
                if shape == [] and op.startswith(_WHOLE):
                    whole = True
                elif op.startswith(_EACH) and (shape is None or size is None or shape == size):
                    if source not in reached:
                        reached.add(source)
                        waiting.append(source)
                elif shape is None and op.startswith(_WHOLE):
                    whole = True
                else:
                    return
        if whole and all(self._only(place, reached) for place in reached):
            yield from found

    def _only(self, place: int, reached: set[int]) -> bool:
        """Whether no other tensor of the size of the result goes in at a node: then pairs are what was asked for."""
        shape = self._shape(place)
        inside = self._nodes[place].op.startswith(_LOSSES)
        return inside or all(self._shape(each) != shape for each in self._down.get(place, ()) if each not in reached)

    def _shape(self, place: int) -> Shape | None:
        value = self._numbers.value(place)
        return value.shape if value is not None else None

    def _meeting(self, place: int) -> _Meeting | None:
        node, shape, given = self._nodes[place], self._shape(place), self._down.get(place, [])
        if node.line is None or shape is None or len(shape) < 2:
            return None
        if node.op == "ExpandBackward0" and node.call is not None and node.call.endswith("broadcast_tensors"):
            shapes = self._met.get(node.line)
            if shapes is None or len(given) != 1 or (column := _column(*shapes)) is None:
                return None
            return _Meeting(place, node, shapes[column][-2], column, "op", True)  # torch itself warns of it
        if node.op not in _MEETS or len(given) != 2:
            return None
        first, second = self._shape(given[0]), self._shape(given[1])
        if first is None or second is None or (column := _column(first, second)) is None:
            return None
        squared = any(self._nodes[source].op.startswith(("Pow", "Mul")) for source in self._up.get(place, ()))
        return _Meeting(place, node, shape[-1], column, self._made(given[column]), squared)

    def _made(self, place: int) -> str:
        """What gave a tensor its shape: the first node below it that something of another shape goes into."""
        shape, seen = self._shape(place), {place}
        waiting = [place]
        while waiting:
            at = waiting.pop()
            node, below = self._nodes[at], self._down.get(at, ())
            if node.kind == "constant":
                continue
            if node.op.startswith(_SHAPING):
                return node.op
            same = [each for each in below if self._shape(each) == shape and each not in seen]
            seen.update(same)
            waiting += same
        return self._nodes[place].kind


def _column(first: Shape, second: Shape) -> int | None:
    """Which of two shapes is that of a column whose numbers are as many as the other's.

    >>> _column([4, 1], [4]), _column([4], [4, 1]), _column([4, 1], [1, 4]), _column([1, 1], [1])
    (0, 1, None, None)
    """
    for place, (column, row) in enumerate(((first, second), (second, first))):
        if row and column == [*row, 1] and row[-1] > 1 and (len(row) == 1 or row[-1] == row[-2]):
            return place
    return None


@dataclass(frozen=True)
class _Pair:
    """A meeting as it is written: the two expressions, where they are found."""

    meeting: _Meeting
    operands: tuple[ast.expr, ast.expr] | None

    @classmethod
    def of(cls, syntax: Syntax, meeting: _Meeting) -> _Pair:
        """Find the operands of a meeting in the text."""
        for node in syntax.at(meeting.node.line, meeting.node.columns):
            match node:
                case ast.BinOp(left=left, right=right):
                    return cls(meeting, (left, right))
                case ast.Call(func=ast.Attribute(value=value, attr="sub" | "mul"), args=[other]):
                    return cls(meeting, (value, other))
                case ast.Call(args=[left, right, *_]):
                    return cls(meeting, (left, right))
        return cls(meeting, None)

    def meant(self, syntax: Syntax) -> bool:
        """Whether the column was made on purpose: there, above it where it is named, or by the graph below it."""
        if self.meeting.made.startswith(_SHAPING):
            return True
        if self.operands is None:
            return False
        column = self.operands[self.meeting.column]
        if any(_makes_column(each) for operand in self.operands for each in ast.walk(operand)):
            return True
        if self.meeting.squared or not isinstance(column, ast.Name):
            return False
        return any(_makes_column(each) for value in syntax.assigned(column.id) for each in ast.walk(value))

    def finding(self, syntax: Syntax, index: int, step: int) -> model.Finding:
        """What is told of it, and the fix."""
        meeting, fix = self.meeting, None
        count = meeting.count
        names = [f"`{syntax.text(each)}`" for each in self.operands] if self.operands is not None else ["one", "the other"]
        column, row = names[meeting.column], names[1 - meeting.column]
        if self.operands is not None:
            operand = self.operands[meeting.column]
            text = f"{syntax.operand(operand)}.squeeze(-1)"
            fix = model.Fix("Make both the same shape", [model.Edit(*syntax.span(operand), text)])
        return model.Finding(
            code="broadcast-both",
            severity="warning",
            file=None,
            line=meeting.node.line,
            step=step,
            node=meeting.node.id,
            message=f"{column} is a column of {count}, {row} has {count} numbers: this makes {count} × {count}, not {count}.",
            why="Each number of the one meets every number of the other, so the loss is over all pairs and not over those "
            f"that belong together.{' It falls all the same, towards the mean of the targets.' if meeting.squared else ''}",
            fix=fix,
            pass_=index,
        )


def _makes_column(node: ast.AST) -> bool:
    """Whether a piece of the program makes a column: ``x[:, None]``, ``x.unsqueeze(1)``, ``keepdim=True``."""
    match node:
        case ast.Subscript(slice=place):
            parts = place.elts if isinstance(place, ast.Tuple) else [place]
            return any(isinstance(part, ast.Constant) and part.value is None for part in parts)
        case ast.Call(func=ast.Attribute(attr=name)) if name in _COLUMNS:
            return True
        case ast.keyword(arg="keepdim" | "keepdims"):
            return True
        case ast.Attribute(attr="newaxis"):
            return True
    return False
