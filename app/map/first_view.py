"""Choose the view to begin with."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from .extent import columns_of
from .tree import Group, GroupTree
from .view import WHOLE_TURNS, View

FIRST_ROWS: Final = 18
"""Number of boxes up to which the first view opens groups. A screen shows about as many rows."""
FIRST_COLUMNS: Final = 3.0
"""Width up to which the first view opens groups, as a multiple of the width of a box. A pane shows about as much."""

_DEPTH_COST: Final = {"module": 0.0, "loop": 0.3, "repeat": 0.3, "derivative": 0.3, "part": 0.4, "turn": 0.6, "statement": 1.2}


def first_view(tree: GroupTree, *, shown: int | None = None) -> View:
    """Return the view to begin with: it opens as many groups as fit into :data:`FIRST_ROWS` and :data:`FIRST_COLUMNS`.

    Modules and large groups are opened first. If ``shown`` is given, the groups around the node with this index are opened
    before all others.
    """
    root = tree.root
    opened = [tree.way_to(int(tree.order.position[shown]))[-1]] if shown is not None else []
    view = View(tree, opened)
    rows, columns = len(view.boxes), max(FIRST_COLUMNS, columns_of(tree, view))
    waiting: list[tuple[float, int, int, Group]] = []

    def consider(around: Group, depth: int) -> None:
        if around.turns is not None and len(around.turns) > WHOLE_TURNS:
            return
        for child in tree.children(around):
            if child.kind == "op":
                continue
            cost = depth + _DEPTH_COST[child.kind]
            cost -= child.size > 0.7 * max(around.size, 1)
            cost += 2 * (child.size < 6)
            heappush(waiting, (cost, -child.size, child.start, child))

    consider(root, 0)
    depths = {root: 0}
    while waiting:
        _, _, _, group = heappop(waiting)
        depths[group] = depths[group.parent or root] + 1
        if group.turns is not None and len(group.turns) > WHOLE_TURNS:
            continue  # stays closed: its box has a bar for each turn
        inside = tree.children(group)
        if group.kind in ("module", "derivative") and group.size <= 4 and all(child.kind == "op" for child in inside):
            continue
        more = 0 if view.is_open(group) else len(inside) - 1
        if rows + more > FIRST_ROWS:
            continue
        larger = View(tree, [*opened, group])
        if more > 0 and columns_of(tree, larger) > columns:
            continue
        view, rows = larger, rows + more
        opened.append(group)
        consider(group, depths[group])
    return view
