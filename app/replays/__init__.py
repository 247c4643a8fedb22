"""Run a recorded program again, up to a step, to compute numbers that were not recorded.

A replay computes the loss at other values of a parameter, the local derivatives of a node, the distribution of its elements, or
which rows of the data reach which of its rows. It can also check gradients, evaluate an expression, or record a summarized step
whole. A replay first proves that it repeats the recording: its numbers up to the end of its step are compared with the recorded
ones (see :mod:`proof`).
"""

from __future__ import annotations

from .manager import LiveReplay, Replays
from .request import ReplayRequest, read
from .result import Replay

__all__ = ["LiveReplay", "Replay", "ReplayRequest", "Replays", "read"]
