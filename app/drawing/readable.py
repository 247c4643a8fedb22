"""Decide whether a graph with a card for each node can be read, or a map is easier to read."""

from __future__ import annotations

from typing import Final

from .graph_layout import GraphLayout
from .plan import LayoutPlan

FEW: Final = 18
"""Number of boxes up to which a graph is drawn whole in any case: a map would show nearly as many."""
WIDEST: Final = 1_025.0
"""Width of a picture, in pixels, above which a pane of 820 pixels shows it at less than 80 %."""
HIGHEST: Final = 2_000.0
"""Largest height of a picture that can be read, in pixels: about three panes."""
_MOST: Final = 60
"""Number of boxes above which even a picture of the largest readable size has no room for them."""


def may_be_readable(planned: LayoutPlan) -> bool:
    """Return whether it makes sense to lay out a plan: its boxes have room in a picture that can be read."""
    return len(planned.boxes) <= _MOST


def is_readable(laid: GraphLayout) -> bool:
    """Return whether a layout can be read in a pane: it has few boxes, or is neither too wide nor too high."""
    return len(laid.boxes) <= FEW or (laid.width <= WIDEST and laid.height <= HIGHEST)
