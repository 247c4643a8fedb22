"""Define the events that the tracer emits, and the job that it receives."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from ..model import Capture, PassKind, ReplayKind, Stream
from .bounds import (
    AXES,
    BINS,
    DEPENDENCES,
    DIMENSIONS,
    FACTORS,
    FUNCTIONS,
    GROUPS,
    HISTOGRAMS,
    INT64,
    LARGEST,
    LEAVES,
    LINES,
    LOSSES,
    NAMES,
    OPTION_ITEMS,
    OPTIONS,
    ORIGINS,
    PASSES,
    REBINDS,
    STRINGS,
    WATCHED,
)
from .fields import Count, Event, EventPart, Index, LongText, Name, Packed, Size, Text
from .signals import AnySignal

STOP_SIGNAL: Final = int(getattr(signal, "SIGRTMAX", signal.SIGUSR2))
"""The signal that asks a process for a :class:`StoppedAt`, shortly before it is killed."""
DTYPES: Final = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128", "complex32", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
    "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "other",
)  # fmt: skip
"""Names of dtypes. The index of a name is its code on the wire."""

PACKED: Final = {
    "float32": "<f4", "float64": "<f8", "float16": "<f2", "bfloat16": "<f4", "int64": "<i8", "int32": "<i4", "int16": "<i2",
    "int8": "<i1", "uint8": "<u1", "bool": "?", "complex64": "<c8", "complex128": "<c16", "complex32": "<c8", "uint16": "<u2",
    "uint32": "<u4", "uint64": "<u8", "float8_e4m3fn": "<f4", "float8_e5m2": "<f4", "float8_e4m3fnuz": "<f4",
    "float8_e5m2fnuz": "<f4", "float8_e8m0fnu": "<f4",
}  # fmt: skip
"""The NumPy dtype in which values of a dtype are packed. Narrow floats that NumPy lacks are widened, which is exact."""

REQUIRES_GRAD, IS_LEAF, HAS_VALUES, HAS_STATS = 1, 2, 4, 8
"""Bits of :attr:`TensorTable.flags`."""

OP, LEAF, CONSTANT = 0, 1, 2
"""Codes of :attr:`GraphEvent.kind`."""

MODULE, LOOP, TURN = 0, 1, 2
"""Codes of :attr:`GraphEvent.frame_kind`."""

RIGHT, KINK, WRONG, UNKNOWN, DEFINED = 0, 1, 2, 3, 4
"""Codes of :attr:`Checked.verdict`."""


class TensorTable(EventPart, frozen=True):
    """Summaries of tensors, stored by columns, one row per tensor. Events refer to rows by index; -1 means no tensor.

    - ``dtype`` (uint8): codes of :data:`DTYPES`.
    - ``flags`` (uint8): bits such as :data:`REQUIRES_GRAD`.
    - ``grad_fn`` (uint16): index into ``names`` plus one, 0 for none.
    - ``ndim`` (uint8) and ``dims`` (int64): the shapes, concatenated.
    - ``stats`` (float64: min, max, mean, L2 norm) and ``counts`` (int64: zeros, NaN, Inf): for rows flagged ``HAS_STATS``.
    - ``values``: the elements of rows flagged ``HAS_VALUES``, packed as in :data:`PACKED`, concatenated.

    The statistics of a row with one value and no stats are computed from the value.
    """

    dtype: Packed = b""
    flags: Packed = b""
    grad_fn: Packed = b""
    names: Annotated[Sequence[Name], Meta(max_length=NAMES)] = ()
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
    """Text that cell ``cell`` printed to one of its standard streams."""

    text: LongText
    cell: Count = 0
    stream: Stream = "stdout"


class ProgressEvent(Event, tag="progress", frozen=True):
    """Progress of a loop: ``done`` iterations of ``of``, which is -1 if the total is unknown."""

    done: Count
    of: Index = -1


class CellEvent(Event, tag="cell", frozen=True):
    """A cell has finished. ``output`` is the text that a notebook shows below the cell."""

    index: Count
    output: Text | None


class ModuleFileEvent(Event, tag="module-file", frozen=True):
    """A file of a module that is the user's own. ``path`` is relative to the folder from which the module is imported."""

    index: Count
    path: Name


class OriginRow(EventPart, frozen=True):
    """A line of a module that is the user's own: the index of a :class:`ModuleFileEvent`, and a line of that file."""

    file: Count
    line: Count


class LineRow(EventPart, frozen=True):
    """The value of a line. ``text`` is its repr, or ``None`` if the server writes the tensor in ``row`` as text.

    In a step, ``at`` is the moment at which the line ran: the number of passes of the step that had ended, plus one if the
    update had begun, or -1 if unknown. In a :class:`LinesEvent`, ``at`` is the index of the step, or -1 if it has not ended.
    """

    line: Count
    file: Name | None
    text: Text | None
    row: Index = -1
    graph: Index = -1
    at: Index = -1


class LinesEvent(Event, tag="lines", frozen=True):
    """The last values of lines. A newer event replaces the rows of the same lines in older ones."""

    rows: Annotated[list[LineRow], Meta(max_length=LINES)]
    tensors: TensorTable


class GraphEvent(Event, tag="graph", frozen=True):
    """A graph whose structure is new. Columns are int32; ``kind``, ``gradient`` and ``frame_kind`` are uint8.

    Texts are indices into ``strings``, or -1. ``source``, ``target`` and ``roots`` are indices of nodes. ``saved_count`` has
    one entry per node; ``saved`` has the names of all saved tensors, concatenated. ``line``, ``start_column``, ``end_column``
    and ``parameter`` are -1 where they do not apply. If a pass with ``create_graph`` made a node, the node is part of the
    derivative of node ``formula_node`` of graph ``formula_graph``.

    ``made`` numbers the nodes in the order in which they were made; it is -1 for leaves and constants, and empty in older
    recordings. ``frame`` is the innermost frame in which a node was made, or -1. Frames are the calls of modules, the loops
    and their turns: ``frame_parent``, ``frame_name`` (the path of a module), ``frame_line`` (of a loop) and ``frame_turn`` are
    -1 where they do not apply. A parent precedes its frames.

    ``origin_file`` and ``origin_line`` are the :class:`OriginRow` of a node that a module of the user's own made, else -1.
    ``line`` is then the line of the program that called the module. Both columns are empty if no node has an origin.
    """

    index: Count
    strings: Annotated[list[Name], Meta(max_length=STRINGS)]
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
    origin_file: Packed = b""
    origin_line: Packed = b""
    made: Packed = b""
    frame: Packed = b""
    frame_parent: Packed = b""
    frame_kind: Packed = b""
    frame_name: Packed = b""
    frame_line: Packed = b""
    frame_turn: Packed = b""


class PassEvent(Event, tag="pass", frozen=True):
    """One call into autograd's engine. ``order`` (int32) are the indices of the nodes in the order in which they ran.

    The other columns are int32 rows of ``tensors``, in the order of the graph: ``value`` has one entry per node, ``arrived``
    and ``used`` one per output of each node, ``edge`` one per edge, ``saved`` one per saved tensor. ``failed`` is the index
    of the node that raised an exception, or -1. ``origin`` is set if a module of the user's own called the engine.
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
    origin: OriginRow | None = None
    summary: bool = False
    """True if its tensors were left out, as in a summarized step. All rows are then -1."""


class ParameterEvent(Event, tag="parameter", frozen=True):
    """A leaf that took part in a pass for the first time. ``origin`` is set if a module of the user's own made it."""

    index: Count
    name: Name | None
    shape: Annotated[list[Count], Meta(max_length=DIMENSIONS)]
    dtype: Name
    line: Index
    origin: OriginRow | None = None


class ParameterRow(EventPart, frozen=True):
    """One parameter in one step. All fields but the first two are rows of the step's tensors.

    ``grad_used`` is the gradient that the update read, ``update`` the difference that it added to the value.
    """

    parameter: Count
    name: Name | None
    value: Index
    contribution: Index
    grad_before: Index
    grad_after: Index
    value_after: Index
    state: Annotated[dict[Name, Index], Meta(max_length=OPTIONS)] = field(default_factory=dict)
    grad_used: Index = -1
    update: Index = -1


_Integer = Annotated[int, Meta(ge=-INT64 - 1, le=INT64)]
_Numbers = Annotated[list[float | None], Meta(max_length=OPTION_ITEMS)]
Options = Annotated[dict[Name, Name | _Integer | float | bool | _Numbers | None], Meta(max_length=OPTIONS)]


class GroupRow(EventPart, frozen=True):
    """A group of parameters that an optimizer updated with the same options."""

    optimizer: Name
    parameters: Annotated[list[Count], Meta(max_length=LEAVES)]
    options: Options


class RebindRow(EventPart, frozen=True):
    """A name, attribute or item that referred to a parameter and now refers to another tensor.

    ``uses_gradient`` is true if the new tensor was computed from the parameter's ``.grad``. ``leaf`` is true if the new
    tensor is itself a leaf that requires grad at the end of the step. ``graph`` is the graph of the new tensor.
    """

    name: Name
    line: Index
    parameter: Count
    row: Index
    graph: Index
    uses_gradient: bool
    leaf: bool


class StatementPosition(EventPart, frozen=True):
    """The moment at which a step ended, by the program's marked statements, which pass their values to the recorder.

    ``ran`` is the number of these that had run. ``last`` is the index of the last one in the text of the program. If ``inside``
    is true, the step ended while that statement passed its value, as at the start of an iteration; otherwise it ended before
    the next one.
    """

    ran: Count
    last: Count
    inside: bool


class StepEvent(Event, tag="step", frozen=True):
    """A step that has ended. ``forward``, ``loss``, ``backward`` and ``update`` are the lines of its phases.

    ``optimizer`` has the name of the optimizer and the options of its first parameter group. ``groups`` is empty unless there
    are several groups. ``losses`` are the rows of the roots of passes other than the main one, by name. ``update_origins`` are
    the lines of the user's own modules that are part of the update.
    """

    index: Count
    iteration: tuple[Index, Index] | None
    forward: Annotated[list[Count], Meta(max_length=LINES)]
    loss: Annotated[list[Count], Meta(max_length=LINES)]
    backward: Annotated[list[Count], Meta(max_length=LINES)]
    update: Annotated[list[Count], Meta(max_length=LINES)]
    values: Annotated[list[LineRow], Meta(max_length=LINES)]
    main: Index
    passes: Annotated[list[Count], Meta(max_length=PASSES)]
    loss_row: Index
    loss_name: Name | None
    parameters: Annotated[list[ParameterRow], Meta(max_length=LEAVES)]
    rebinds: Annotated[list[RebindRow], Meta(max_length=REBINDS)]
    optimizer: Options | None
    tensors: TensorTable
    groups: Annotated[list[GroupRow], Meta(max_length=GROUPS)] = field(default_factory=list)
    losses: Annotated[dict[Name, Index], Meta(max_length=LOSSES)] = field(default_factory=dict)
    update_origins: Annotated[list[OriginRow], Meta(max_length=ORIGINS)] = field(default_factory=list)
    summary: bool = False
    """True if the step is summarized: it has its losses, the statistics of its parameters, gradients and updates, and the
    values of lines that are single numbers or short texts. A replay computes the rest."""
    ended: StatementPosition | None = None
    """``None`` in older recordings, and if statements also ran in a thread or a trace that is not recorded."""


class ProgramFailure(EventPart, frozen=True):
    """The exception that ended a program. ``origin`` is set if a module of the user's own raised it."""

    type: Name
    message: Text
    file: Name | None
    line: Index
    traceback: Text
    columns: tuple[Index, Index] | None = None
    origin: OriginRow | None = None


class StoppedAt(Event, tag="stopped-at", frozen=True):
    """The line that ran when the process received :data:`STOP_SIGNAL`. It is never stored: the end of the run has the line."""

    line: Index


class EndEvent(Event, tag="end", frozen=True):
    """The last event of a run. ``status`` is a :data:`~tapedeck.model.Status`; from a child, only ``done`` or ``failed``."""

    status: Name
    failure: ProgramFailure | None
    duration_ms: float


class Surface(Event, tag="surface", frozen=True):
    """The loss of a pass as a function of one or two elements of its parameters, in the order of the request.

    ``at``, ``loss`` and ``slope`` describe the recorded point, evaluated again. ``axes`` are float64 columns of the elements'
    values. ``losses`` is float64, with the last axis varying fastest. ``failed`` is uint8: 1 where evaluating raised.
    """

    index: Count
    at: Annotated[list[float], Meta(min_length=1, max_length=AXES)]
    loss: float
    slope: Annotated[list[float], Meta(min_length=1, max_length=AXES)]
    axes: Annotated[list[Packed], Meta(min_length=1, max_length=AXES)]
    losses: Packed
    failed: Packed


class Checked(Event, tag="checked", frozen=True):
    """The gradient of a leaf in a pass, compared with slopes computed by finite differences of the loss.

    Each column has one entry per checked element. ``elements`` (int64) are indices into the flattened leaf; a complex leaf
    has twice as many, for real and imaginary parts. ``recorded``, ``central``, ``left``, ``right`` and ``tolerance`` are
    float64, ``verdict`` is uint8. ``precision`` is the dtype in which the differences were computed.
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
    functions: Annotated[list[Name], Meta(max_length=FUNCTIONS)] = field(default_factory=list)
    """The program's own autograd functions in the graph of the pass."""
    own: Name = ""
    """The dtype in which the gradients were computed: the least precise one in the pass."""
    definitions: Annotated[list[Name], Meta(max_length=FUNCTIONS)] = field(default_factory=list)
    """The definitions in PyTorch that explain why the gradient of a ``DEFINED`` element is not the slope."""


class FactorRow(EventPart, frozen=True):
    """The derivative of one output of a node with respect to the input at ``slot``. Shape: output shape, then input shape."""

    slot: Count
    output: Count
    row: Index


class ProductRow(EventPart, frozen=True):
    """Two rows to compare: the recorded gradient on an edge, and the arrived gradient times the factors."""

    slot: Count
    given: Index
    summed: Index


class Factors(Event, tag="factors", frozen=True):
    """The local derivatives of a node in a pass, computed by calling the node with unit vectors."""

    index: Count
    node: Count
    factors: Annotated[list[FactorRow], Meta(max_length=FACTORS)]
    products: Annotated[list[ProductRow], Meta(max_length=FACTORS)]
    tensors: TensorTable


class DistributionRow(EventPart, frozen=True):
    """How the elements of a tensor are distributed. For complex elements, their magnitudes count.

    ``counts`` are the numbers of finite elements in bins of equal width from ``low`` to ``high``, the smallest and the largest
    finite element. There is one bin if ``low`` equals ``high``, and none if no element is finite. ``largest`` are the finite
    elements of largest magnitude, each with its index in the flattened tensor. ``bad`` is the first element that is not finite.
    """

    shape: Annotated[list[Size], Meta(max_length=DIMENSIONS)]
    low: float
    high: float
    counts: Annotated[list[Size], Meta(max_length=BINS)]
    largest: Annotated[list[tuple[Size, float]], Meta(max_length=LARGEST)]
    bad: tuple[Size, float] | None


class Distributions(Event, tag="distributions", frozen=True):
    """The distribution of a node's value in a pass, and of the gradient at each of its outputs; ``None`` if unknown."""

    index: Count
    node: Count
    value: DistributionRow | None
    gradients: Annotated[list[DistributionRow | None], Meta(max_length=HISTOGRAMS)]


class DependenceRow(EventPart, frozen=True):
    """Which rows of a node's value change if one row of a constant tensor is replaced.

    ``constant`` is the index of the constant's node, -1 if it has none. ``name`` and ``shape`` are those of the data, which
    may be a tensor of which the calls read a view. Its rows lie along ``dimension``. ``rows`` (int32) are the replaced rows.
    ``reached`` (uint8) has, for each of them, a 1 or 0 for each row of the value. ``mixed`` is the index of the first node
    whose value does not keep the rows apart, -1 if there is none or it is unknown. ``before`` is true if already the view that
    the calls read does not.
    """

    constant: Index
    shape: Annotated[list[Size], Meta(max_length=DIMENSIONS)]
    dimension: Count
    rows: Packed
    reached: Packed
    mixed: Index = -1
    before: bool = False
    name: Name | None = None


class Dependence(Event, tag="dependence", frozen=True):
    """On which rows of the data the rows of a node's value depend. The value has ``length`` rows along ``dimension``."""

    index: Count
    node: Count
    dimension: Count
    length: Count
    data: Annotated[list[DependenceRow], Meta(max_length=DEPENDENCES)]


IS_NUMBER, IS_TRUTH, IS_TEXT, IS_ERROR = range(4)
"""Kinds of a watched value."""


class ExpressionValues(Event, tag="expression_values", frozen=True):
    """Values of the expression that a replay watches, in the order in which they were evaluated.

    Each column has one entry per value: the step (int32), the line of the statement that had just run (int32), the kind
    (uint8), and the number (float64), which is 1 or 0 for ``IS_TRUTH``. ``IS_TEXT`` and ``IS_ERROR`` have the next of ``texts``
    instead. ``omitted`` counts later values that are left out because there are too many.
    """

    steps: Packed
    lines: Packed
    kinds: Packed
    numbers: Packed
    texts: Annotated[list[Name], Meta(max_length=WATCHED)]
    omitted: Count = 0


class CountedSteps(Event, tag="counted_steps", frozen=True):
    """Steps of a replay that counts statements, from step ``first`` on.

    ``passes`` (int32) has the number of passes of the run that had begun when each step ended. ``roots`` (float64) are the
    roots of the passes that began since the event before; NaN for a root that is not a single real number.
    """

    first: Count
    passes: Packed
    roots: Packed


class CountedLeaves(Event, tag="counted_leaves", frozen=True):
    """The leaves that pass ``index`` has reached, in the order of the nodes of its graph.

    A replay that counts statements emits this event. The columns (int32) are rows of ``tensors``: the values before the pass
    and the gradients after it, or only the values ``after`` the last step.
    """

    index: Count
    values: Packed
    gradients: Packed
    after: Packed
    tensors: TensorTable


class CountLost(Event, tag="count_lost", frozen=True):
    """A replay cannot know the steps by counting statements. It has to record the program instead."""


class ExpressionUnreadable(Event, tag="expression_unreadable", frozen=True):
    """The expression that a replay is to watch is not valid Python. ``reason`` is a sentence."""

    reason: Text


class Refused(Event, tag="refused", frozen=True):
    """A replay that is impossible for a pass. ``reason`` is a sentence."""

    index: Count
    reason: Text


Answer = (
    Surface
    | Checked
    | Factors
    | Distributions
    | Dependence
    | ExpressionValues
    | ExpressionUnreadable
    | CountedSteps
    | CountedLeaves
    | CountLost
    | Refused
)
"""Events that only a job with a replay may emit."""

AnyEvent = (
    StartedEvent
    | OutputEvent
    | ProgressEvent
    | CellEvent
    | ModuleFileEvent
    | LinesEvent
    | GraphEvent
    | PassEvent
    | ParameterEvent
    | StepEvent
    | AnySignal
    | StoppedAt
    | EndEvent
    | Answer
)


class SweepTarget(Struct, frozen=True):
    """An element to vary, by its index in the flattened parameter, and the range of its values.

    ``low`` and ``high`` are ``None`` if the range is chosen around the recorded value.
    """

    parameter: int
    element: int = 0
    low: float | None = None
    high: float | None = None


class CountedOrder(Struct, frozen=True):
    """How a replay knows the steps without the recorder: it counts the program's marked statements.

    ``ran`` (int32), ``last`` (int32) and ``inside`` (uint8) have the :class:`StatementPosition` at which each step ended.
    ``passes`` are the passes whose leaves are sent to be compared.
    """

    ran: bytes
    last: bytes
    inside: bytes
    passes: list[int]


class ReplayOrder(Struct, frozen=True):
    """The order for a replay: compute ``what`` for pass ``index`` of step ``step``, then stop the program.

    If ``every`` is true, compute it for the first pass of each graph instead, and do not stop the program. To ``watch`` or
    ``seek``, evaluate ``expression`` up to the end of ``step`` after each statement on ``line``, or after every statement if
    ``line`` is 0.
    """

    what: ReplayKind
    step: int = 0
    index: int = 0
    targets: list[SweepTarget] = []
    points: int = 101
    elements: int = 16
    """Maximum number of elements to check in each leaf."""
    node: int = 0
    every: bool = False
    seconds: float = 0.0
    """Time in seconds after which a check reports its partial result; 0 for no limit."""
    line: int = 0
    expression: str = ""
    counted: CountedOrder | None = None
    """Set if an order to watch or to seek runs the program without the recorder."""
    kept: int = 0
    """Largest number of elements that ``step`` keeps of a tensor, in an order for ``elements``."""
    dimension: int = 0
    """The dimension of the rows, in an order for a ``dependence``."""

    @property
    def evaluates(self) -> bool:
        """True if the replay evaluates an expression after statements."""
        return self.what in ("watch", "seek")

    @property
    def records_again(self) -> bool:
        """True if the replay computes nothing, but records the numbers of the step again."""
        return self.what in ("step", "elements")


class DetailBudget(Struct, frozen=True):
    """The size of a recording beyond which its steps are summarized, and the size that ends the recording.

    Steps are summarized beyond ``bytes`` or ``events``, and in a program with many steps also after ``seconds`` from its start.
    The server stops the program beyond ``most_bytes`` or ``most_events``; the tracer ends the recording shortly before. Bytes
    and events are counted when they are sent. Each limit is 0 for none.
    """

    bytes: int = 0
    events: int = 0
    seconds: float = 0.0
    most_bytes: int = 0
    most_events: int = 0


class Job(Struct, frozen=True):
    """The input of a child: the program, the lines of its cells (1-based, inclusive) and how to record it."""

    program: str
    cells: list[tuple[int, int]]
    seed: int | None = 0
    """The seed of the program; ``None`` leaves the random state alone."""
    capture: Capture = "full"
    values: int = 64
    nodes: int = 250_000
    """Maximum number of nodes in one graph."""
    stdout_bytes: int = 256 * 1024
    """Maximum number of printed characters to send. The tracer drops the rest."""
    notebook: bool = False
    path: str | None = None
    """The path of a script that runs in a user's own process. It sets ``__file__`` and the folder for imports."""
    arguments: list[str] = []
    replay: ReplayOrder | None = None
    module: str | None = None
    """The full name of the module at ``path``, if the program runs as with ``python -m``."""
    confined: bool = True
    """False if the program runs with the permissions, files and packages of the person who started it."""
    own_streams: bool = False
    """True if the program's output also goes to the standard streams of its process, as without Tapedeck."""
    script: str | None = None
    """``sys.argv[0]`` of a program that is not confined; ``None`` for its path."""
    files: bool = False
    """True if descriptors 1 and 2 are files in memory, which nobody but the tracer reads."""
    budget: DetailBudget = DetailBudget()
    summarized_from: int = -1
    """The first summarized step of the recording that a replay repeats, or -1. It replaces the budget."""
