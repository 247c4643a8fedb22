"""Read recordings: the nouns of the model, made from packed events when they are asked for."""

from __future__ import annotations

from .alike import Alike, parted
from .default_graph import default_graph
from .log import Log, MemoryLog, merge_lines
from .numbers import PassNumbers
from .recording import Recording, phase, shown
from .series import Series
from .stack import Stack, layout
from .structure import read_graph, title
from .tensors import Tensors, number, plain

__all__ = [
    "Alike", "Log", "MemoryLog", "PassNumbers", "Recording", "Series", "Stack", "Tensors", "default_graph", "layout",
    "merge_lines", "number", "parted", "phase", "plain", "read_graph", "shown", "title",
]  # fmt: skip
