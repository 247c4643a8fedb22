"""Choose what a map shows: the groups that are open, and the boxes of those that stay closed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .tree import Group, GroupTree

MOST_BOXES: Final = 150
"""Number of boxes above which groups are closed again, in the order in which they were opened."""
WHOLE_TURNS: Final = 12
"""Number of turns up to which an open loop or repetition shows all of them."""
MOST_IDS: Final = 400
"""Largest number of ids of an address that are read."""


@dataclass(frozen=True, slots=True)
class ShownBox:
    """A closed group, or the turns ``first`` to ``last`` of an open loop or repetition."""

    group: Group
    first: int = -1
    last: int = -1
    start: int = 0
    end: int = 0

    @property
    def id(self) -> str:
        return self.group.id if self.first < 0 else f"{self.group.id}/{self.first}-{self.last}"

    @property
    def openable(self) -> bool:
        return self.first >= 0 or self.group.kind != "op"


class View:
    """A set of open groups, their boxes in forward order, and the address of the view.

    ``unknown`` has the ids of an address that no group has. ``closed`` has the ids of groups that were closed for lack of room.
    """

    def __init__(
        self, tree: GroupTree, opened: Sequence[Group], unknown: Sequence[str] = (), closed: Sequence[str] = ()
    ) -> None:
        self._tree = tree
        self.opened = list(opened)
        self.unknown = list(unknown)
        self.closed = list(closed)
        self._shown: dict[Group, set[int]] = {}
        self._open: set[Group] = {tree.root}
        for group in opened:
            self._open_with_ancestors(group)
        self.boxes = list(self._boxes_in(tree.root))
        self._implied = {around for group in self.opened for around in _around(group)}

    @property
    def address(self) -> str:
        """The ids of the open groups, without the groups around them, which are open too."""
        return _joined(set(self.opened) - self._implied)

    def address_with(self, box: ShownBox) -> str:
        """Return the address of this view with a box opened. If the box stands for several turns, the middle one is opened."""
        group = box.group if box.first < 0 else self._tree.turn(box.group, (box.first + box.last) // 2)
        deepest = {group} if group not in self._implied else set()
        return _joined((set(self.opened) - self._implied).difference(_around(group)) | deepest)

    def address_without(self, group: Group) -> str:
        """Return the address of this view with an open group closed."""
        kept = [each for each in self.opened if group is not each and group not in _around(each)]
        around = [group.parent] if group.parent is not None else []
        return _address([*kept, *around])

    def is_open(self, group: Group) -> bool:
        return group in self._open

    def around(self, box: ShownBox) -> list[Group]:
        """Return the open groups around a box, the outermost first, without the root."""
        groups = [] if box.first < 0 else [box.group]
        groups += _around(box.group)
        return [group for group in reversed(groups) if group.parent is not None]

    def _open_with_ancestors(self, group: Group) -> None:
        for inner in (group, *_around(group)):
            if inner.kind != "op":
                self._open.add(inner)
            around = inner.parent
            if around is not None and around.turns is not None:
                self._shown.setdefault(around, set()).add(around.turn_at(inner.start))

    def _boxes_in(self, group: Group) -> Iterable[ShownBox]:
        for child in self._children(group):
            if child.first < 0 and child.group in self._open:
                yield from self._boxes_in(child.group)
            else:
                yield child

    def _children(self, group: Group) -> Iterable[ShownBox]:
        turns = group.turns
        if turns is None or len(turns) <= WHOLE_TURNS:
            for child in self._tree.children(group):
                yield ShownBox(child, start=child.start, end=child.end)
            return
        count = len(turns)
        shown = sorted(self._shown.get(group) or (0, count - 1))
        following = 0
        for index in (*shown, count):
            if index - following == 1:
                yield self._turn(group, following)
            elif index > following:
                end = int(turns[index]) if index < count else group.end
                yield ShownBox(group, following, index - 1, int(turns[following]), end)
            if index < count:
                yield self._turn(group, index)
            following = index + 1

    def _turn(self, group: Group, index: int) -> ShownBox:
        turn = self._tree.turn(group, index)
        return ShownBox(turn, start=turn.start, end=turn.end)


def read_view(tree: GroupTree, address: str) -> View:
    """Return the view at an address: ids of groups, separated by commas. The groups around them are open too.

    An unknown id is left out and listed in :attr:`View.unknown`, so that an address still opens after the program has changed.
    """
    opened: list[Group] = []
    unknown: list[str] = []
    for id_ in [each for each in address.split(",") if each][:MOST_IDS]:
        group = tree.find(id_)
        if group is None:
            unknown.append(id_[:200])
        elif group not in opened:
            opened.append(group)
    return _limited(tree, opened, unknown)


def reveal(tree: GroupTree, view: View, node: int) -> View:
    """Return a view that also shows an operation, by the index of its node. For any other node, show its last user.

    Raises :class:`KeyError` if the graph has no such node.
    """
    if not 0 <= node < tree.graph.count:
        raise KeyError(node)
    position = int(tree.order.position[node])
    if position < 0:
        graph = tree.graph
        users = tree.order.position[graph.source[(graph.target == node) | (graph.recorded_target == node)]]
        if not (users >= 0).any():
            raise KeyError(node)
        position = int(users.max())
    way = tree.way_to(position)
    return _limited(tree, [*(group for group in view.opened if group is not way[-1]), way[-1]], view.unknown)


def _limited(tree: GroupTree, opened: list[Group], unknown: Sequence[str]) -> View:
    """Return a view of at most :data:`MOST_BOXES` boxes, if closing groups suffices.

    Groups are closed in the order in which they were opened. The group opened last and the groups around it stay open.
    """
    view = View(tree, opened, unknown)
    if len(view.boxes) <= MOST_BOXES or len(opened) < 2:
        return view

    def fits(closed: int) -> bool:
        return len(View(tree, opened[closed:]).boxes) <= MOST_BOXES

    closed = bisect_left(range(1, len(opened) - 1), True, key=fits) + 1
    return View(tree, opened[closed:], unknown, [group.id for group in opened[:closed]])


def _address(opened: Sequence[Group]) -> str:
    implied = {around for group in opened for around in _around(group)}
    return _joined(set(opened) - implied)


def _joined(groups: Iterable[Group]) -> str:
    return ",".join(sorted(group.id for group in groups if group.parent is not None))


def _around(group: Group) -> list[Group]:
    around = []
    parent = group.parent
    while parent is not None:
        around.append(parent)
        parent = parent.parent
    return around
