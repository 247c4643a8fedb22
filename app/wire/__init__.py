"""Turn events into bytes and back: the trust boundary between a program's process and ours.

What records a program is inside its process, so whatever arrives is a stranger's data. Decoding checks the length before
it buffers, the schema, every text's length, every count and every index, and raises :class:`ProtocolError` at the first
thing amiss. Numbers cross as packed little-endian arrays, never as a value per object.

A **message** is a msgpack list of events. It travels as one or more **frames**: a 4-byte little-endian header, whose top
bit says that more of the message follows and whose other bits are the length, then at most :data:`FRAME_BYTES` bytes.
"""

from __future__ import annotations

from .check import elements, int32
from .events import (
    CONSTANT,
    DEFINED,
    DTYPES,
    HAS_STATS,
    HAS_VALUES,
    IS_LEAF,
    KINK,
    LEAF,
    OP,
    PACKED,
    REQUIRES_GRAD,
    RIGHT,
    UNKNOWN,
    WRONG,
    Answer,
    AnyEvent,
    Cell,
    Checked,
    End,
    Event,
    FactorRow,
    Factors,
    Failure,
    Graph,
    GroupRow,
    Job,
    LineRow,
    Lines,
    Output,
    Parameter,
    ParameterRow,
    Pass,
    ProductRow,
    Progress,
    RebindRow,
    Refused,
    Replay,
    Signal,
    Started,
    Step,
    Surface,
    Target,
    Tensors,
)  # fmt: skip
from .frames import FRAME_BYTES, Overflow, Reader, decode_job, encode_job, frames, pack, unpack

__all__ = [
    "CONSTANT", "DEFINED", "DTYPES", "FRAME_BYTES", "HAS_STATS", "HAS_VALUES", "IS_LEAF", "KINK", "LEAF", "OP", "PACKED",
    "REQUIRES_GRAD", "RIGHT", "UNKNOWN", "WRONG", "Answer", "AnyEvent", "Cell", "Checked", "End", "Event", "FactorRow",
    "Factors", "Failure", "Graph", "GroupRow", "Job", "LineRow", "Lines", "Output", "Overflow", "Parameter", "ParameterRow",
    "Pass", "ProductRow", "Progress", "Reader", "RebindRow", "Refused", "Replay", "Signal", "Started", "Step", "Surface",
    "Target", "Tensors", "decode_job", "elements", "encode_job", "frames", "int32", "pack", "unpack",
]  # fmt: skip
