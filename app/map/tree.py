"""The tree of a graph's groups. A group is made when it is first requested."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from .. import wire
from .columns import Ints, Longs, StructureColumns, op_name
from .derivatives import Sources
from .edges import SortedEdges
from .entries import FRAME, OP, REPEAT, STATEMENT, Divider, Entries
from .frames import DERIVATIVE, FrameTree, frame_tree
from .kinds import kinds_of_turns
from .order import ForwardOrder, forward_order
from .parts import MOST_CHILDREN, crossing_edges, cut

GroupKind = Literal["graph", "module", "loop", "turn", "repeat", "derivative", "statement", "part", "op"]

_SEGMENT: Final = re.compile(r"(n|m:|x:|f:|l:|p:|d:)?([^~/]{1,1000})(?:~([0-9]{1,9}))?")


@dataclass(slots=True, eq=False)
class Group:
    """An interval of the forward order, from position ``start`` to ``end`` (exclusive).

    ``name`` is its name within the group around it. ``path`` is the path of the innermost module around its operations.
    ``line`` is the line of a loop, a statement or an operation. ``turns`` are the first positions of the turns of a loop or
    repetition.
    """

    id: str
    kind: GroupKind
    name: str
    start: int
    end: int
    parent: Group | None
    depth: int
    """The number of frames around the operations, including those of the group itself."""
    path: str = ""
    line: int | None = None
    turns: Ints | None = None
    children: list[Group] | None = None
    made_turns: dict[int, Group] = field(default_factory=dict)
    kinds: list[int] | None = None
    """The kind of each turn, computed when it is first needed."""
    entries: Entries | None = None
    """The entries of the interval. They are made when the group is opened, if they are not known before."""

    @property
    def size(self) -> int:
        """The number of operations."""
        return self.end - self.start

    def turn_at(self, position: int) -> int:
        """Return the index of the turn at a position of a loop or repetition."""
        assert self.turns is not None
        found = np.searchsorted(self.turns, self.turns.dtype.type(position), "right")  # another type would copy the array
        return max(int(found) - 1, 0)

    @property
    def scope(self) -> Group:
        """The group whose id is the beginning of the children's ids. For a part, it is the nearest group that is not a part.

        An edit elsewhere in the program moves the borders of parts, so the ids of their children do not name the part.
        """
        group = self
        while group.kind == "part" and group.parent is not None:
            group = group.parent
        return group


class GroupTree:
    """The groups of a graph. ``root`` contains all operations. ``sources`` are the graphs whose derivatives it computes."""

    def __init__(self, graph: StructureColumns, sources: Sources | None = None) -> None:
        self.graph = graph
        self.order: ForwardOrder = forward_order(graph)
        self.frames: FrameTree = frame_tree(graph, self.order, sources or {})
        self._divider = Divider(graph, self.order, self.frames)
        self.root = Group("", "graph", "", 0, len(self.order), None, 0)

    @cached_property
    def edges(self) -> SortedEdges:
        """The edges of the graph, sorted for sums over the boxes of views."""
        return SortedEdges(self.graph, self.order)

    @cached_property
    def _crossing(self) -> Longs:
        return crossing_edges(self.graph, self.order)

    # ------------------------------------------------------------------ inside a group

    def children(self, group: Group) -> list[Group]:
        """Return the groups inside a group, in forward order. For a loop or repetition, these are its turns."""
        if group.children is None:
            if group.kind == "op":
                group.children = []
            elif group.turns is not None:
                group.children = [self.turn(group, index) for index in range(len(group.turns))]
            else:
                group.children = self._children_of(group)
        return group.children

    def turn(self, group: Group, index: int) -> Group:
        """Return a turn of a loop or repetition. Raises :class:`IndexError` if there is none with this index."""
        made = group.made_turns.get(index)
        if made is not None:
            return made
        assert group.turns is not None
        if not 0 <= index < len(group.turns):
            raise IndexError(index)
        start = int(group.turns[index])
        end = int(group.turns[index + 1]) if index + 1 < len(group.turns) else group.end
        name = f"turn {index}"
        turn = Group(f"{group.id}/{index}", "turn", name, start, end, group, group.depth, path=group.path, line=group.line)
        if group.entries is None:
            turn.depth = group.depth + 1
            only = self._only_module(start, end, turn.depth)
            if only is not None:
                turn = self._module(only, start, end, turn, self._frame_stem(only))
                turn.parent = group
        else:
            period = len(group.entries) // len(group.turns)
            inside = group.entries[index * period : (index + 1) * period]
            if period == 1:
                turn = self._group_of(inside, 0, group, 0)
            else:
                turn.entries = self._divider.statements(inside)
        group.made_turns[index] = turn
        return turn

    def kinds(self, group: Group) -> list[int]:
        """Return the kind of each turn of a loop or repetition: turns of one structure have the same number, from 0 on."""
        assert group.turns is not None
        if group.kinds is None:
            group.kinds = kinds_of_turns(self.graph, self.order, self.edges, self._divider.keys, group.turns, group.end)
        return group.kinds

    def _only_module(self, start: int, end: int, depth: int) -> int | None:
        """Return the frame below ``depth`` frames that has all operations of an interval, if it is a call of a module."""
        below = self.frames.outermost_below(depth + 1, start, end)
        only = int(below[0])
        same = only >= 0 and not bool((below != only).any())
        return only if same and self.frames.kind[only] == wire.MODULE else None

    def _children_of(self, group: Group) -> list[Group]:
        entries = self._entries(group)
        if len(entries) <= MOST_CHILDREN:
            numbers = self._numbers(group, entries)
            return [self._group_of(entries, index, group, numbers[index]) for index in range(len(entries))]
        borders = [*cut(entries.start, self._crossing), len(entries)]
        parts = []
        for first, after in pairwise(borders):
            inside = entries[first:after]
            if len(inside) == 1:
                parts.append(self._group_of(inside, 0, group, self._numbers(group, inside)[0]))
                continue
            start, end = int(inside.start[0]), int(inside.end[-1])
            part = Group(self._inside(group, f"p:{start}-{end}"), "part", "", start, end, group, group.depth, path=group.path)
            part.name = self._part_name(part)
            part.entries = inside
            parts.append(part)
        return parts

    def _entries(self, group: Group) -> Entries:
        if group.entries is None:
            group.entries = self._divider.divide(group.start, group.end, group.depth)
        return group.entries

    def _numbers(self, group: Group, entries: Entries) -> list[int]:
        """Return for each entry how many entries before it in the group's scope would have the same id."""
        everything = self._entries(group.scope)
        if len(everything) == len(entries):
            everything = entries
        seen: dict[str, int] = {}
        numbers: dict[int, int] = {}
        wanted = set(entries.start.tolist())
        for index in np.flatnonzero(everything.kind != OP).tolist():
            stem = self._stem(everything, index)
            count = seen.get(stem, 0)
            seen[stem] = count + 1
            if int(everything.start[index]) in wanted:
                numbers[int(everything.start[index])] = count
        return [numbers.get(start, 0) for start in entries.start.tolist()]

    # ------------------------------------------------------------------ ids and names

    def _stem(self, entries: Entries, index: int) -> str:
        """Return the last part of an entry's id, without its number."""
        kind, ref = int(entries.kind[index]), int(entries.ref[index])
        if kind == FRAME:
            return self._frame_stem(ref)
        if kind == STATEMENT:
            return f"l:{ref}"
        if kind == REPEAT:
            of = entries.repetitions[ref].of
            if int(of.kind[0]) == FRAME and self.frames.kind[of.ref[0]] == wire.MODULE:
                return f"f:{self.frames.name[int(of.ref[0])]}"
            line = self._line(of, 0)
            return f"f:{line}" if line is not None else "f:0"
        return f"n{int(self.order.nodes[entries.start[index]])}"

    def _frame_stem(self, frame: int) -> str:
        if self.frames.kind[frame] == DERIVATIVE:
            return f"d:{self.frames.name[frame] or 0}"
        if self.frames.kind[frame] != wire.MODULE:
            return f"x:{int(self.frames.line[frame])}"
        number = self.frames.occurrence(frame)
        return f"m:{self.frames.name[frame]}" + (f"~{number + 1}" if number else "")

    def _group_of(self, entries: Entries, index: int, parent: Group, number: int) -> Group:
        kind, ref = int(entries.kind[index]), int(entries.ref[index])
        start, end = int(entries.start[index]), int(entries.end[index])
        stem = self._stem(entries, index)
        line = self._line(entries, index)
        if kind == OP:
            return Group(stem, "op", self._op_name(start), start, end, parent, parent.depth, path=parent.path, line=line)
        if kind == FRAME and self.frames.kind[ref] == wire.MODULE:
            return self._module(ref, start, end, parent, stem + (f"+{number}" if number else ""))
        name = stem + (f"~{number + 1}" if number else "")
        group = Group(
            self._inside(parent, name), "statement", f"line {line}", start, end, parent, parent.depth, parent.path, line
        )
        if kind == FRAME and self.frames.kind[ref] == DERIVATIVE:
            group.kind = "derivative"
            group.depth += 1
            group.path = self.frames.name[ref]
            group.name = self._derivative_name(ref, parent)
        elif kind == FRAME:
            group.kind = "loop"
            group.depth += 1
            group.turns = self._divider.turns(start, end, group.depth)
            group.name = self._loop_name(group)
        elif kind == REPEAT:
            repetition = entries.repetitions[ref]
            group.kind = "repeat"
            group.turns = repetition.starts
            group.entries = repetition.of
            group.name = self._repeat_name(group, repetition.of, repetition.period)
        return group

    def _module(self, frame: int, start: int, end: int, parent: Group, id_: str) -> Group:
        """Return the group of a call of a module. A module that only calls another one forms a single group with it."""
        depth, inner = parent.depth + 1, frame
        while (only := self._only_module(start, end, depth)) is not None:
            depth, inner = depth + 1, only
        path = self.frames.name[inner]
        name = relative(path, parent.path)
        if self.frames.is_called_again(frame):
            name += f", call {self.frames.occurrence(inner) + 1}"
        return Group(id_, "module", name, start, end, parent, depth, path=path)

    @staticmethod
    def _inside(group: Group, name: str) -> str:
        scope = group.scope.id
        return f"{scope}/{name}" if scope else name

    def _line(self, entries: Entries, index: int) -> int | None:
        kind, ref = int(entries.kind[index]), int(entries.ref[index])
        if kind == FRAME and self.frames.kind[ref] == wire.LOOP:
            return int(self.frames.line[ref])
        if kind == FRAME:
            return None
        start, end = int(entries.start[index]), int(entries.end[index])
        lines = self._divider.line[start:end]
        known = lines[lines > 0]
        return int(known.min()) if len(known) else None

    def _op_name(self, position: int) -> str:
        node = int(self.order.nodes[position])
        name = self.graph.text("name", node)
        call = self.graph.text("call", node)
        if name is not None:
            return name
        if call is not None and not self._divider.made_several(position):
            return call.rpartition(".")[2]
        return op_name(self.graph, node)

    def _derivative_name(self, frame: int, parent: Group) -> str:
        """Return the name of a derivative: the path of its module, relative to the module of the derivative around it."""
        path, line = self.frames.name[frame], int(self.frames.line[frame])
        if parent.kind == "derivative":
            return relative(path, parent.path)
        return f"gradient of {path}" if path else f"gradient on line {line}" if line > 0 else "gradient"

    def _loop_name(self, group: Group) -> str:
        """Return the line of a loop, or the modules of its first and last turn if both turns are calls of modules."""
        assert group.turns is not None
        first, last = (self.turn(group, index) for index in (0, len(group.turns) - 1))
        if first.kind == last.kind == "module":
            return first.name if first.name == last.name else _range(first.name, last.name)
        return f"line {group.line}"

    def _repeat_name(self, group: Group, of: Entries, period: int) -> str:
        first, last = int(of.ref[0]), int(of.ref[-period])
        if int(of.kind[0]) == FRAME and self.frames.kind[first] in (wire.MODULE, DERIVATIVE):
            names = [relative(self.frames.name[frame], group.path) for frame in (first, last)]
            return names[0] if names[0] == names[1] else _range(*names)
        return f"line {group.line}" if group.line is not None else self._op_name(group.start)

    def _part_name(self, part: Group) -> str:
        lines = self._divider.line[part.start : part.end]
        known = lines[lines > 0]
        if not len(known):
            return f"operations {part.start} – {part.end - 1}"
        first, last = int(known[0]), int(known[-1])
        return f"line {first}" if first == last else f"lines {min(first, last)} – {max(first, last)}"

    # ------------------------------------------------------------------ finding groups

    def way_to(self, position: int) -> list[Group]:
        """Return the groups around an operation, from the root to the operation itself."""
        way = [self.root]
        while way[-1].kind != "op":
            group = way[-1]
            if group.turns is not None:
                way.append(self.turn(group, group.turn_at(position)))
            else:
                way.append(next(child for child in self.children(group) if child.start <= position < child.end))
        return way

    def find(self, id_: str) -> Group | None:
        """Return the group with an id, or ``None``."""
        found: Group | None = self.root
        for segment in id_.split("/")[:MAX_SEGMENTS] if id_ else ():
            if found is None:
                return None
            found = self._find_inside(found, segment)
        return found

    def _find_inside(self, group: Group, segment: str) -> Group | None:
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            return None
        prefix, text, number = match[1], match[2], int(match[3] or 1) - 1
        if number < 0:
            return None
        if prefix is None:
            index = index_in(text)
            return self.turn(group, index) if group.turns is not None and 0 <= index < len(group.turns) else None
        if prefix == "n":
            node = index_in(text)
            position = int(self.order.position[node]) if 0 <= node < self.graph.count else -1
            return self.way_to(position)[-1] if position >= 0 else None
        if prefix == "m:":
            return self._find_module(text, number)
        start = self._start_of(group, prefix + text, number)
        wanted = self._inside(group, segment)
        return None if start is None else next((each for each in self.way_to(start) if each.id == wanted), None)

    def _find_module(self, text: str, number: int) -> Group | None:
        path, _, run = text.partition("+")
        frame = self.frames.with_name(path, number)
        if frame is None:
            return None
        depth = int(self.frames.depth[frame])
        positions = np.flatnonzero(self.frames.outermost_below(depth, 0, len(self.order)) == frame)
        if run:
            begins = positions[np.flatnonzero(np.diff(positions, prepend=-2) != 1)]
            index = index_in(run) if index_in(run) >= 0 else len(begins)
            positions = begins[index : index + 1]
        if not len(positions):
            return None
        around = [group for group in self.way_to(int(positions[0])) if group.kind == "module"]
        return next((group for group in around if group.depth >= depth), None)

    def _start_of(self, group: Group, stem: str, number: int) -> int | None:
        """Return the first position of an entry of a group, given its stem and its number; ``None`` if there is none."""
        if stem.startswith("p:"):
            position = index_in(stem[2:].partition("-")[0])
            return position if group.start <= position < group.end else None
        entries = self._entries(group) if group.turns is None else None
        for index in np.flatnonzero(entries.kind != OP).tolist() if entries is not None else ():
            assert entries is not None
            if self._stem(entries, index) == stem:
                if number == 0:
                    return int(entries.start[index])
                number -= 1
        return None


MAX_SEGMENTS: Final = 256
"""Largest number of segments of an id that are read. The rest is ignored."""


def index_in(text: str) -> int:
    """Return the number that a part of an id consists of, or -1 for any other text.

    >>> index_in("57"), index_in("-1"), index_in("")
    (57, -1, -1)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _range(first: str, last: str) -> str:
    """Return the name of a row of modules.

    >>> _range("layers.0", "layers.11"), _range("conv", "head")
    ('layers.0 – 11', 'conv – head')
    """
    stem, dot, _ = first.rpartition(".")
    return f"{first} – {last.removeprefix(stem + dot)}"


def relative(path: str, around: str) -> str:
    """Return a module's path within another module.

    >>> relative("model.layers.0.attn", "model.layers.0"), relative("model", "")
    ('attn', 'model')
    """
    return path.removeprefix(f"{around}.") if around else path
