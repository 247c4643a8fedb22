"""Define what can be told of a run: events, and the job that a process is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from ..model import Capture, PassKind, ReplayKind
from .fields import Count, Event, Index, LongText, Name, Packed, Text
from .signals import AnySignal

DTYPES: Final = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128", "complex32", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
    "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "other",
)  # fmt: skip
"""The place of a dtype in this table is its code on the wire."""

PACKED: Final = {
    "float32": "<f4", "float64": "<f8", "float16": "<f2", "bfloat16": "<f4", "int64": "<i8", "int32": "<i4", "int16": "<i2",
    "int8": "<i1", "uint8": "<u1", "bool": "?", "complex64": "<c8", "complex128": "<c16", "complex32": "<c8", "uint16": "<u2",
    "uint32": "<u4", "uint64": "<u8", "float8_e4m3fn": "<f4", "float8_e5m2": "<f4", "float8_e4m3fnuz": "<f4",
    "float8_e5m2fnuz": "<f4", "float8_e8m0fnu": "<f4",
}  # fmt: skip
"""How values of a dtype are packed: narrow floats that numpy lacks are widened, which is exact."""

REQUIRES_GRAD, IS_LEAF, HAS_VALUES, HAS_STATS = 1, 2, 4, 8
"""Bits of :attr:`TensorTable.flags`."""

OP, LEAF, CONSTANT = 0, 1, 2
"""Codes of :attr:`GraphEvent.kind`."""

RIGHT, KINK, WRONG, UNKNOWN, DEFINED = 0, 1, 2, 3, 4
"""Codes of :attr:`Checked.verdict`."""

LINES: Final = 200_000
"""Lines that a program may have: more than its text has room for."""
LEAVES: Final = 250_000
"""Leaves that a graph may have: no more than nodes."""


class TensorTable(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Summaries of tensors, a row each, by columns. Other events point at rows; -1 is no tensor.

    ``dtype`` uint8, ``flags`` uint8, ``grad_fn`` uint16 (place in ``names`` plus one, 0 for none), ``ndim`` uint8,
    ``dims`` int64 (all shapes end to end); ``stats`` float64 (min, max, mean, L2 norm) and ``counts`` int64 (zeros,
    NaN, Inf) for the rows flagged ``HAS_STATS``; ``values`` the elements, packed as in :data:`PACKED`, of the rows
    flagged ``HAS_VALUES``. A row with one value and no stats has its value as every statistic.
    """

    dtype: Packed = b""
    flags: Packed = b""
    grad_fn: Packed = b""
    names: Annotated[Sequence[Name], Meta(max_length=20_000)] = ()
    ndim: Packed = b""
    dims: Packed = b""
    stats: Packed = b""
    counts: Packed = b""
    values: Packed = b""


class StartedEvent(Event, tag="started", frozen=True):
    """The program is about to run."""

    torch: Name
    python: Name


class OutputEvent(Event, tag="output", frozen=True):
    """Text that the program printed; ``cell`` printed it."""

    text: LongText
    cell: Count = 0


class ProgressEvent(Event, tag="progress", frozen=True):
    """How far a loop of steps is; ``of`` is -1 where it is not known."""

    done: Count
    of: Index = -1


class CellEvent(Event, tag="cell", frozen=True):
    """A cell has run to its end; ``output`` is what a notebook shows under it."""

    index: Count
    output: Text | None


class LineRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The value of a line. ``text`` is its repr; ``None`` leaves it to be written from the tensor.

    ``at`` is, among the values of a step, when the line ran in it: how many of the step's passes had ended, and one more
    once its update had begun (-1: not known). Among the last values it is the step, -1 where that has not ended.
    """

    line: Count
    file: Name | None
    text: Text | None
    row: Index = -1
    graph: Index = -1
    at: Index = -1


class LinesEvent(Event, tag="lines", frozen=True):
    """The last values of lines, newer ones replacing older."""

    rows: Annotated[list[LineRow], Meta(max_length=LINES)]
    tensors: TensorTable


class GraphEvent(Event, tag="graph", frozen=True):
    """A structure not seen before. Columns are int32, ``kind`` and ``gradient`` uint8; texts are places in ``strings`` or -1.

    ``saved_count`` has an entry for each node and ``saved`` all names of slots end to end. ``source``, ``target`` and
    ``roots`` are places of nodes. ``line``, ``parameter`` and the columns are -1 where there is none. A node that a pass
    made with ``create_graph`` comes from the formula of the node ``formula_node`` of the graph ``formula_graph``.
    """

    index: Count
    strings: Annotated[list[Name], Meta(max_length=500_000)]
    kind: Packed
    op: Packed
    call: Packed
    name: Packed
    file: Packed
    module: Packed
    line: Packed
    start_column: Packed
    end_column: Packed
    outputs: Packed
    parameter: Packed
    saved_count: Packed
    saved: Packed
    roots: Packed
    source: Packed
    slot: Packed
    target: Packed
    input: Packed
    gradient: Packed
    formula_graph: Packed = b""
    formula_node: Packed = b""


class PassEvent(Event, tag="pass", frozen=True):
    """One call into the engine: ``order`` int32 places of nodes; the rest int32 rows of ``tensors``.

    ``value`` has an entry for each node, ``arrived`` and ``used`` one for each output of each node, ``edge`` one for
    each edge, ``saved`` one for each saved slot, all in the order of the graph. ``failed`` is the node that raised.
    """

    index: Count
    step: Count
    kind: PassKind
    parent: Index
    graph: Index
    line: Index
    order: Packed
    value: Packed
    arrived: Packed
    used: Packed
    edge: Packed
    saved: Packed
    tensors: TensorTable
    failed: Index = -1


class ParameterEvent(Event, tag="parameter", frozen=True):
    """A leaf took part in a pass for the first time, or has a new name."""

    index: Count
    name: Name | None
    shape: Annotated[list[Count], Meta(max_length=1_000)]
    dtype: Name
    line: Index


class ParameterRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A parameter over a step, as rows of the step's tensors.

    ``grad_used`` is the gradient as the update found it, ``update`` what was added to the value.
    """

    parameter: Count
    name: Name | None
    value: Index
    contribution: Index
    grad_before: Index
    grad_after: Index
    value_after: Index
    state: Annotated[dict[Name, Index], Meta(max_length=64)] = {}
    grad_used: Index = -1
    update: Index = -1


Options = Annotated[dict[Name, str | int | float | bool | list[float | None] | None], Meta(max_length=64)]


class GroupRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A group of parameters that an optimizer updated with the same options."""

    optimizer: Name
    parameters: Annotated[list[Count], Meta(max_length=LEAVES)]
    options: Options


class RebindRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A name, an attribute or an item that held a parameter moved to another tensor.

    ``uses_gradient``: that was computed from the parameter's ``.grad``. ``leaf``: it is a leaf itself that requires grad, at
    the end of the step. ``graph`` is the new tensor's.
    """

    name: Name
    line: Index
    parameter: Count
    row: Index
    graph: Index
    uses_gradient: bool
    leaf: bool


class StepEvent(Event, tag="step", frozen=True):
    """A step has ended. ``update`` and its like are lines; ``optimizer`` has the name and the options of numbers.

    ``groups`` are told where there is more than one; ``optimizer`` is the first. ``losses`` are the rows of what other passes
    than the main one accumulated from, by name.
    """

    index: Count
    iteration: tuple[Index, Index] | None
    forward: Annotated[list[Count], Meta(max_length=LINES)]
    loss: Annotated[list[Count], Meta(max_length=LINES)]
    backward: Annotated[list[Count], Meta(max_length=LINES)]
    update: Annotated[list[Count], Meta(max_length=LINES)]
    values: Annotated[list[LineRow], Meta(max_length=LINES)]
    main: Index
    passes: Annotated[list[Count], Meta(max_length=100_000)]
    loss_row: Index
    loss_name: Name | None
    parameters: Annotated[list[ParameterRow], Meta(max_length=LEAVES)]
    rebinds: Annotated[list[RebindRow], Meta(max_length=10_000)]
    optimizer: Options | None
    tensors: TensorTable
    groups: Annotated[list[GroupRow], Meta(max_length=10_000)] = field(default_factory=list)
    losses: Annotated[dict[Name, Index], Meta(max_length=1_000)] = field(default_factory=dict)


class ProgramFailure(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The exception that ended a program."""

    type: Name
    message: Text
    file: Name | None
    line: Index
    traceback: Text
    columns: tuple[Index, Index] | None = None


class EndEvent(Event, tag="end", frozen=True):
    """Nothing follows. ``status`` is a :data:`~tapedeck.model.Status`; a program itself can only say ``done`` or ``failed``."""

    status: Name
    failure: ProgramFailure | None
    duration_ms: float


class Surface(Event, tag="surface", frozen=True):
    """The loss of a pass over values of one or two of its parameters' elements, in the order in which they were asked for.

    ``at``, ``loss`` and ``slope`` are of the point that was recorded, evaluated again. ``axes`` are float64 columns of the
    values, ``losses`` float64 with the last axis running fastest, ``failed`` uint8: 1 where evaluating raised.
    """

    index: Count
    at: Annotated[list[float], Meta(min_length=1, max_length=2)]
    loss: float
    slope: Annotated[list[float], Meta(min_length=1, max_length=2)]
    axes: Annotated[list[Packed], Meta(min_length=1, max_length=2)]
    losses: Packed
    failed: Packed


class Checked(Event, tag="checked", frozen=True):
    """The gradient of a leaf in a pass beside the slope that differences of the loss give.

    The columns have an entry for each element that was looked at: ``elements`` int64 places in the flattened leaf (of a
    complex one, twice as many: real and imaginary parts); ``recorded``, ``central``, ``left``, ``right`` and ``tolerance``
    float64; ``verdict`` uint8. ``precision`` is the dtype that the differences were computed in.
    """

    index: Count
    parameter: Count
    precision: Name
    elements: Packed
    recorded: Packed
    central: Packed
    left: Packed
    right: Packed
    tolerance: Packed
    verdict: Packed
    functions: Annotated[list[Name], Meta(max_length=100)] = field(default_factory=list)
    """Classes of the program's own that the pass goes through."""
    own: Name = ""
    """The dtype that the gradients were computed in: the coarsest that the pass went through."""
    definitions: Annotated[list[Name], Meta(max_length=100)] = field(default_factory=list)
    """What torch defines, so that the gradient of an element that is ``DEFINED`` is not the slope."""


class FactorRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The derivative of one output of a node by what one of its edges leads to: shape of the output, then of the input."""

    slot: Count
    output: Count
    row: Index


class ProductRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the node gives on an edge for the gradient that arrived, and the sum of that gradient times the factors."""

    slot: Count
    given: Index
    summed: Index


class Factors(Event, tag="factors", frozen=True):
    """The local derivatives of a node in a pass, got by calling it with unit vectors."""

    index: Count
    node: Count
    factors: Annotated[list[FactorRow], Meta(max_length=10_000)]
    products: Annotated[list[ProductRow], Meta(max_length=10_000)]
    tensors: TensorTable


class Refused(Event, tag="refused", frozen=True):
    """What a replay was asked for cannot be had of a pass, and why: a sentence."""

    index: Count
    reason: Text


Answer = Surface | Checked | Factors | Refused
"""What only a job with a replay tells."""

AnyEvent = (
    StartedEvent
    | OutputEvent
    | ProgressEvent
    | CellEvent
    | LinesEvent
    | GraphEvent
    | PassEvent
    | ParameterEvent
    | StepEvent
    | AnySignal
    | EndEvent
    | Answer
)


class SweepTarget(Struct, frozen=True):
    """An element of a parameter, by its place in the flattened tensor, and the values that it is to take.

    ``low`` and ``high`` are ``None`` where the values are to lie around its own.
    """

    parameter: int
    element: int = 0
    low: float | None = None
    high: float | None = None


class ReplayOrder(Struct, frozen=True):
    """What a program is run again for: ``what`` of the pass ``index``, in the step ``step``, after which it stops.

    ``every``: of the first pass of each graph instead, and the program goes on to its end.
    """

    what: ReplayKind
    step: int = 0
    index: int = 0
    targets: list[SweepTarget] = []
    points: int = 101
    elements: int = 16
    """Elements of each leaf that are checked, at most."""
    node: int = 0
    every: bool = False
    seconds: float = 0.0
    """After which a check tells what it has; 0 for never."""


class Job(Struct, frozen=True):
    """What a child is given to run: the text, the lines of its cells (1-based, inclusive) and how to record it."""

    program: str
    cells: list[tuple[int, int]]
    seed: int = 0
    capture: Capture = "full"
    values: int = 64
    nodes: int = 250_000
    """Nodes that one graph may have."""
    stdout_bytes: int = 256 * 1024
    """Printed text that is sent; the rest is dropped there."""
    printed_bytes: int = 8 * 1024 * 1024
    """Printed text at which the program is stopped; 0 for never."""
    notebook: bool = False
    path: str | None = None
    """Of a script that runs as a user's own: ``__file__`` and the folder that its imports are found in."""
    arguments: list[str] = []
    replay: ReplayOrder | None = None
