"""Read recordings: convert packed events to the values of :mod:`tapedeck.model` when they are first needed."""

from __future__ import annotations

from .default_graph import GraphChoice, default_graph
from .factors import edge_factor
from .line_history import LineHistory
from .log import Log, MemoryLog
from .overview import MAX_LINE_EVENTS, NonfiniteIndices, Overview
from .pass_numbers import PassNumbers
from .recording import Recording, line_text, omitted, phase, shown_lines
from .room import first, size
from .series import StepSeries, read_each, usual_keys
from .step_groups import StepGroup, split_options
from .structure import read_graph, title
from .table_stack import TableStack, table_layout
from .tensors import Tensors, json_number, json_values
from .unfinished import is_unfinished, unfinished_step
from .whole_steps import MOST_ELEMENTS, WholeStep, WholeStepCache, WholeSteps

__all__ = [
    "MAX_LINE_EVENTS", "MOST_ELEMENTS", "GraphChoice", "LineHistory", "Log", "MemoryLog", "NonfiniteIndices", "Overview",
    "PassNumbers", "Recording", "StepGroup", "StepSeries", "TableStack", "Tensors", "WholeStep", "WholeStepCache",
    "WholeSteps", "default_graph", "edge_factor", "first", "is_unfinished", "json_number", "json_values", "line_text",
    "omitted", "phase", "read_each", "read_graph", "shown_lines", "size", "split_options", "table_layout", "title",
    "unfinished_step", "usual_keys",
]  # fmt: skip
