"""Name the things Tapedeck talks about, in the field's own words.

Every noun here is a frozen value, and its fields are the fields of the JSON that the API answers: encoding one with
:func:`msgspec.json.encode` gives the contract's object. Nothing here imports anything of ours.

A recording, from the outside in::

    Run ── Cell, Line, Parameter, ProgramError, Finding ── Fix ── Edit
     ├── Graph ── Node, Edge                  the structure, once for every pass that shares it
     └── Step ── Pass ── NodeNumbers          the numbers, one pass at a time
             ├── ParameterStep
             ├── OptimizerGroup
             └── Rebind
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

Status = Literal[
    "queued", "running", "done", "failed", "timed_out", "out_of_memory", "output_limit", "killed", "cancelled", "interrupted"
]
"""How far a run is, or how it ended. All but the first two are final."""

FINAL: frozenset[Status] = frozenset(
    {"done", "failed", "timed_out", "out_of_memory", "output_limit", "killed", "cancelled", "interrupted"}
)

Kind = Literal["program", "expression", "training", "notebook"]
Capture = Literal["full", "norms", "graph"]
PassKind = Literal["backward", "grad", "nested", "implicit"]
NodeKind = Literal["op", "leaf", "constant"]
Severity = Literal["error", "warning", "note", "good"]
ReplayKind = Literal["surface", "check", "factors"]
Phase = Literal["forward", "loss", "backward", "update"]

PHASES: tuple[Phase, ...] = ("forward", "loss", "backward", "update")


class TensorSummary(Struct, frozen=True):
    """One tensor at one instant.

    ``values`` is what ``tensor.tolist()`` gives (a number for a scalar, ``[re, im]`` for a complex number), with
    non-finite numbers as the strings ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; ``None`` above the kept size.
    ``norm`` is the L2 norm. Mean and norm of a tensor that is kept whole are computed in float64, those of a larger one as
    ``mean()`` and ``norm()`` give them in its own dtype, unless that overflows or loses everything. Of a complex tensor,
    ``min``, ``max`` and ``mean`` are those of the magnitudes. Statistics leave non-finite elements in (so a NaN shows), and
    are ``None`` for an empty tensor, a tensor without numbers (``capture: graph``), or one that cannot be read (meta). A
    sparse tensor is told with its zeros.
    """

    shape: list[int]
    dtype: str
    requires_grad: bool = False
    is_leaf: bool = True
    grad_fn: str | None = None
    values: Any = None
    min: float | str | None = None
    max: float | str | None = None
    mean: float | str | None = None
    norm: float | str | None = None
    zeros: int | None = None
    nan: int | None = None
    inf: int | None = None


class Node(Struct, frozen=True):
    """A ``grad_fn``, a leaf (its AccumulateGrad) or a constant of a graph.

    ``line`` is 1-based and ``columns`` 0-based, half open, in ``file`` (``None`` is the program itself).
    ``saved`` names the slots of its saved tensors, as in ``_saved_<name>``. ``backward_of`` is the node whose formula made
    this one, or at which it sums gradients up, where a pass with ``create_graph`` did; ``line`` is then that of the pass.
    """

    id: str
    kind: NodeKind
    op: str
    call: str | None
    name: str | None
    file: str | None
    line: int | None
    columns: tuple[int, int] | None
    module: str
    outputs: int
    saved: list[str]
    parameter: str | None
    backward_of: Formula | None = None


class Formula(Struct, frozen=True):
    """A node of an earlier graph, whose formula was carried out with ``create_graph``."""

    graph: str
    node: Node


class Edge(Struct, frozen=True):
    """The way a gradient flows: from ``source`` to the node at place ``slot`` of its ``next_functions``.

    ``input`` is the output of ``target`` that the gradient is for. ``gradient`` is false on an edge to a constant,
    where nothing flows; there ``slot`` is -1 when the place is not known.
    """

    id: str
    source: str
    slot: int
    target: str
    input: int
    gradient: bool


class Graph(Struct, frozen=True):
    """The structure of a backward graph: no shapes, no values."""

    id: str
    roots: list[str]
    nodes: list[Node]
    edges: list[Edge]


class Gradient(Struct, frozen=True):
    """The gradient at one output of a node: the sum of what arrived on its edges, and what was used after hooks."""

    arrived: TensorSummary | None
    used: TensorSummary | None


class NodeNumbers(Struct, frozen=True):
    """The numbers of a node in a pass: its forward value, and one gradient for each of its outputs."""

    value: TensorSummary | None
    grads: list[Gradient]


class Pass(Struct, frozen=True):
    """One call into autograd's engine. ``order`` is that in which the engine ran the nodes, ``failed`` the one that raised.

    ``nodes`` and ``edges`` are unset when the graph is too large for one answer: ask for ``frames``.
    """

    index: int
    step: int
    kind: PassKind
    parent: int | None
    graph: str
    line: int | None
    order: list[str]
    nodes: dict[str, NodeNumbers] | UnsetType = UNSET
    edges: dict[str, TensorSummary | None] | UnsetType = UNSET
    failed: str | None = None


class Saved(Struct, frozen=True):
    """A saved tensor of a node in a pass; ``tensor`` is ``None`` where torch did not need to save it."""

    name: str
    tensor: TensorSummary | None


class Flow(Struct, frozen=True):
    """One edge of an inspected node, seen from that node."""

    edge: str
    node: str
    title: str
    slot: int
    input: int
    gradient: TensorSummary | None


class NodeDetail(Struct, frozen=True):
    """All about one node in one pass, for the inspector."""

    node: Node
    numbers: NodeNumbers
    saved: list[Saved]
    incoming: list[Flow]
    outgoing: list[Flow]
    rank: int | None
    source: str | None


class ParameterStep(Struct, frozen=True):
    """A parameter over one step.

    ``contribution`` is what this step's passes added to its gradient, or took out by ``torch.autograd.grad`` if none
    added. ``grad_used`` is the gradient as the update found it, clipped or scaled; ``None`` where nothing was updated.
    ``update`` is ``value_after - value``, by torch; ``state`` what an optimizer keeps for it, after the update.
    """

    id: str
    name: str | None
    value: TensorSummary | None
    contribution: TensorSummary | None
    grad_before: TensorSummary | None
    grad_after: TensorSummary | None
    value_after: TensorSummary | None
    state: dict[str, TensorSummary | None]
    grad_used: TensorSummary | None = None
    update: TensorSummary | None = None


class OptimizerGroup(Struct, frozen=True):
    """Parameters that an optimizer updated with the same options: numbers, words and lists of numbers, as they were then."""

    optimizer: str
    parameters: list[str]
    options: dict[str, Any]


class Rebind(Struct, frozen=True, rename={"source": "from"}):
    """A name of a parameter moved to another tensor; so can an attribute or an item, ``self.w`` or ``params[0]``.

    ``graph`` is that of the new tensor, if it has one.
    """

    name: str
    line: int
    source: str
    to: TensorSummary | None
    graph: str | None
    uses_gradient: bool


class Iteration(Struct, frozen=True):
    """The loop a step stands in: the line of its ``for`` or ``while``, and how often it had gone round."""

    line: int
    index: int


class LineValue(Struct, frozen=True):
    """What a line's value was in a step: that of its last run, and the phase in which that was.

    What a line did between the passes of a step is told by the main pass: ``forward`` is before it, ``backward`` after it.
    """

    text: str
    tensor: TensorSummary | None
    phase: Phase = "forward"


class EarlierValue(Struct, frozen=True):
    """What the value of a line still was: that of the last step in which it had run."""

    step: int
    text: str
    tensor: TensorSummary | None


class Step(Struct, frozen=True):
    """What a person calls a training step: forward work, one or more passes, an update.

    ``values`` are those of the lines that ran in it, ``earlier`` those of the lines that did not, but had run before.
    ``loss`` is the root of the main pass; ``losses`` are those of other passes that accumulated, by name. ``optimizer`` has the
    name and the options of the first group that was updated, as they were then (``lr`` as scheduled); ``groups`` lists all
    where there are several.
    """

    index: int
    iteration: Iteration | None
    lines: dict[Phase, list[int]]
    values: dict[str, LineValue]
    main: int
    loss: TensorSummary | None
    loss_name: str | None
    passes: list[Pass]
    parameters: list[ParameterStep]
    rebinds: list[Rebind]
    optimizer: dict[str, Any] | None
    groups: list[OptimizerGroup] = field(default_factory=list)
    losses: dict[str, TensorSummary | None] = field(default_factory=dict)
    earlier: dict[str, EarlierValue] = field(default_factory=dict)


class Parameter(Struct, frozen=True):
    """A leaf that requires grad and took part in a pass, with the names that were bound to it over time."""

    id: str
    names: list[str]
    shape: list[int]
    dtype: str
    line: int | None


class Cell(Struct, frozen=True):
    """A cell of a notebook (a program is one cell): its lines, what it printed, and its output as a notebook shows it."""

    index: int
    start_line: int
    end_line: int
    output: str | None
    stdout: str = ""


class Line(Struct, frozen=True):
    """The last value of a line, and the step in which it ran: ``None`` where no step has ended since."""

    line: int
    file: str | None
    text: str
    tensor: TensorSummary | None
    graph: str | None
    step: int | None = None


class ProgramError(Struct, frozen=True):
    """The exception that ended a program. ``columns`` marks the caret, 0-based and half open."""

    type: str
    message: str
    file: str | None
    line: int | None
    traceback: str
    columns: tuple[int, int] | None = None


class Edit(Struct, frozen=True):
    """A replacement in the program's text, from ``start`` to ``end``: (1-based line, 0-based column)."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


class Fix(Struct, frozen=True):
    """Edits that mend what a finding is about."""

    title: str
    edits: list[Edit]


class Finding(Struct, frozen=True, rename={"pass_": "pass"}):
    """Something worth telling about a run. ``node`` is one of the graph of ``pass``, else of the step's main pass."""

    code: str
    severity: Severity
    file: str | None
    line: int | None
    step: int | None
    node: str | None
    message: str
    why: str
    fix: Fix | None = None
    pass_: int | None = None


class GraphSize(Struct, frozen=True):
    """A graph as a run lists it."""

    id: str
    nodes: int
    edges: int


class Run(Struct, frozen=True):
    """One execution, and all that was recorded."""

    id: str
    status: Status
    kind: Kind
    program: str
    seed: int
    capture: Capture
    created: str
    expires: str | None
    duration_ms: float | None
    torch: str | None
    cells: list[Cell] = field(default_factory=list)
    stdout: str = ""
    truncated: bool = False
    lines: list[Line] = field(default_factory=list)
    error: ProgramError | None = None
    graphs: list[GraphSize] = field(default_factory=list)
    passes: int = 0
    steps: int = 0
    parameters: list[Parameter] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)


class RunHeading(Struct, frozen=True):
    """A run as the list of its owner's runs shows it."""

    id: str
    status: Status
    kind: Kind
    title: str
    created: str
    duration_ms: float | None
    steps: int
    links: dict[str, str]


class Limits(Struct, frozen=True):
    """What one run may use. Bytes, seconds, counts; each has a clear answer of its own when it is passed."""

    source_bytes: int = 256 * 1024
    """Text of a program, or of all code cells of a notebook together."""
    body_bytes: int = 12 * 1024 * 1024
    """Body of a request (notebooks carry their pictures)."""
    wall_seconds: float = 10.0
    memory_bytes: int = 1536 * 1024 * 1024
    stdout_bytes: int = 256 * 1024
    """Printed text that is kept; more is cut, and the program goes on."""
    printed_bytes: int = 8 * 1024 * 1024
    """Printed text at which the program is stopped."""
    recording_bytes: int = 64 * 1024 * 1024
    """Packed events of a run; past it the run ends as ``output_limit``, keeping what came before."""
    message_bytes: int = 24 * 1024 * 1024
    """One event, after its frames are put together."""
    nodes: int = 250_000
    """Nodes of one graph."""
    events: int = 200_000
    kept_values: int = 4096
    """Highest number of elements that ``values`` may ask to keep whole."""
    training_steps: int = 10_000
    """Steps that a training may ask for."""
    answer_nodes: int = 2_000
    """Nodes above which a step leaves out ``nodes`` and ``edges``."""
    store_bytes: int = 2 * 1024 * 1024 * 1024
    """All recordings together; past it new runs are answered 507 unless ``store`` is false."""


class Options(Struct, frozen=True):
    """How to record a run."""

    seed: int = 0
    capture: Capture = "full"
    values: int = 64
    """Largest number of elements of a tensor that is kept whole."""


class Program(Struct, frozen=True):
    """What a run executes: Python text, and the lines of each of its cells (1-based, inclusive)."""

    text: str
    kind: Kind = "program"
    cells: Sequence[tuple[int, int]] = ()
    notes: Sequence[Mapping[str, Any]] = ()
    """What was changed on the way in: ``{"code": "skipped-magic", "line": 3, "text": "%matplotlib inline"}``."""
