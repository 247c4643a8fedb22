"""Read recordings: the nouns of the model, made from packed events when they are asked for."""

from __future__ import annotations

from .log import Log, MemoryLog, merge_lines
from .numbers import PassNumbers
from .recording import Recording, shown
from .series import Series
from .structure import read_graph, title
from .tensors import Tensors, number, plain

__all__ = [
    "Log", "MemoryLog", "PassNumbers", "Recording", "Series", "Tensors", "merge_lines", "number", "plain", "read_graph",
    "shown", "title",
]  # fmt: skip
