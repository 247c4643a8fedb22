"""Estimate how wide the picture of a view is, before it is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from .columns import Ints
from .leaves import shown_leaves
from .tree import Group, GroupTree
from .view import View

LEAF: Final = 0.65
STUB: Final = 0.4
"""Widths of a leaf, and of a stub that refers to it, as multiples of the width of a box."""


class _Item(NamedTuple):
    """A box, or the leaf below a box, with its width, and the open groups around it, the outermost first."""

    level: int
    width: float
    around: Sequence[Group]


def columns_of(tree: GroupTree, view: View) -> float:
    """Return an estimate of the width of a view's picture, as a multiple of the width of a box.

    Each box is one level below the lowest box that sends a gradient to it, and a leaf is one level below its box. An open group
    needs the width of its widest level on all its levels, because boxes beside it stay outside of its frame.
    """
    boxes = view.boxes
    levels = _levels(tree, view)
    around = [view.around(box) for box in boxes]
    items = [_Item(level, 1.0, groups) for level, groups in zip(levels, around, strict=True)]
    below: dict[int, float] = {}
    for leaf in shown_leaves(tree, boxes):
        below.setdefault(leaf.boxes[0], LEAF)
        for box in leaf.boxes[1:] if leaf.stubs else ():
            below.setdefault(box, STUB)
    items += [_Item(levels[box] + 1, width, around[box]) for box, width in below.items()]
    return _widest(items, 0)


def _levels(tree: GroupTree, view: View) -> list[int]:
    """Return for each box the length of the longest path to it, in edges between boxes."""
    count = len(view.boxes)
    box: Ints = np.zeros(len(tree.order), np.int32)
    for index, each in enumerate(view.boxes):
        box[each.start : each.end] = index
    pairs = box[tree.edges.source].astype(np.int64) * count + box[tree.edges.target]
    levels = [0] * count
    for pair in np.flatnonzero(np.bincount(pairs, minlength=count * count)).tolist()[::-1]:
        source, target = divmod(pair, count)  # sources come in descending order, so the level of this source is known
        if source != target:
            levels[target] = max(levels[target], levels[source] + 1)
    return levels


def _widest(items: Sequence[_Item], depth: int) -> float:
    """Return the width of the widest level of some items. Items in one open group of this depth are a single block."""
    blocks: dict[Group | int, list[_Item]] = {}
    for index, item in enumerate(items):
        blocks.setdefault(item.around[depth] if len(item.around) > depth else index, []).append(item)
    widths: dict[int, float] = {}
    for key, inside in blocks.items():
        width = inside[0].width if isinstance(key, int) else _widest(inside, depth + 1)
        levels = [item.level for item in inside]
        for level in range(min(levels), max(levels) + 1):
            widths[level] = widths.get(level, 0.0) + width
    return max(widths.values(), default=0.0)
