"""State how large each part of an event may be.

Every text, list, dictionary, integer and packed column of the schema has one of these bounds (``tests/wire/test_bounds.py``
walks all of them). :class:`~tapedeck.model.Limits` bounds whole messages and recordings, and :mod:`.check` the references
between events.
"""

from __future__ import annotations

from typing import Final

NAME_LENGTH: Final = 300
"""Characters of a name."""
TEXT_LENGTH: Final = 20_000
"""Characters of a value's text, a message or a traceback."""
OUTPUT_LENGTH: Final = 200_000
"""Characters of one piece of printed text."""

INT32: Final = 2**31 - 1
"""The largest index or count."""
INT64: Final = 2**63 - 1
"""The largest size of a dimension, and the largest integer among the options of an optimizer."""

COLUMN_BYTES: Final = 1 << 30
"""Bytes of a packed column. A confined process reaches ``message_bytes`` first."""
NAMES: Final = 20_000
"""Names of functions in one table."""
DIMENSIONS: Final = 1_000
"""Dimensions of a shape."""
STRINGS: Final = 500_000
"""Distinct texts of a graph."""
LINES: Final = 200_000
"""Lines in one event. A program has fewer."""
LEAVES: Final = 250_000
"""Leaves in one event. A graph has no more leaves than nodes."""
PASSES: Final = 100_000
"""Passes of one step."""
LOSSES: Final = 1_000
"""Losses of one step."""
REBINDS: Final = 10_000
"""Rebinds of one step."""
GROUPS: Final = 10_000
"""Parameter groups of one step."""
OPTIONS: Final = 64
"""Options of an optimizer, and tensors in its state for one parameter."""
OPTION_ITEMS: Final = 64
"""Numbers in one option of an optimizer."""
FUNCTIONS: Final = 100
"""Functions and definitions that a gradient check names."""
FACTORS: Final = 10_000
"""Factors, and products, of one node."""
BINS: Final = 24
"""Bins of a histogram."""
LARGEST: Final = 5
"""Elements of a tensor that are listed as its largest."""
HISTOGRAMS: Final = 16
"""Outputs of one node whose gradients get a histogram."""
ROWS: Final = 1_024
"""Rows of a tensor whose dependence on the data is computed."""
PROBES: Final = 32
"""Rows of the data that are replaced, one at a time, to see which rows of a tensor change."""
DEPENDENCES: Final = 8
"""Dimensions of constants on which the dependence of one tensor is computed."""
AXES: Final = 2
"""Axes of a surface."""
POINTS: Final = 10_000
"""Points of a surface."""
WATCHED: Final = 20_000
"""Values of a watched expression in one replay."""
MODULE_FILES: Final = 1_000
"""Files of the user's own modules in one recording."""
ORIGINS: Final = 1_000
"""Lines of the user's own modules in one step."""

MESSAGE_EVENTS: Final = 16_384
"""Events of one message. The tracer sends a few hundred."""
STRUCTURE_BYTES: Final = 4 << 20
"""Bytes of an event without its packed columns. Each such byte may take up to 25 bytes of memory once it is decoded."""
