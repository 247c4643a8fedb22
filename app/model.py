"""Define the values that the API sends: runs, steps, passes, graphs and tensors.

Each class is a frozen value with the fields of the JSON: :func:`msgspec.json.encode` turns it into the object that the API
sends. Docstrings of classes become descriptions in ``/openapi.json``. This module imports nothing from Tapedeck.

A recording, from the outside in::

    Run ── Cell, Line, Parameter, ProgramError, Finding ── Fix ── Edit
     ├── Graph ── Node, Edge                  the structure, shared by all passes over the same graph
     └── Step ── Pass ── NodeNumbers          the numbers of one pass
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
"""State of a run. ``queued`` and ``running`` are temporary; all others are final."""

FINAL: frozenset[Status] = frozenset(
    {"done", "failed", "timed_out", "out_of_memory", "output_limit", "killed", "cancelled", "interrupted"}
)

Kind = Literal["program", "expression", "training", "notebook"]
Capture = Literal["full", "norms", "graph"]
PassKind = Literal["backward", "grad", "nested", "implicit"]
NodeKind = Literal["op", "leaf", "constant"]
Severity = Literal["error", "warning", "note", "good"]
ReplayKind = Literal["surface", "check", "factors", "distribution", "dependence", "watch", "seek", "step", "elements"]
Phase = Literal["forward", "loss", "backward", "update"]
Stream = Literal["stdout", "stderr"]

PHASES: tuple[Phase, ...] = ("forward", "loss", "backward", "update")


class TensorSummary(Struct, frozen=True):
    """A tensor at one instant.

    ``values`` has the elements as ``tensor.tolist()`` returns them: nested lists of ``shape``, or a number for a scalar.
    A complex number is ``[re, im]``. Non-finite numbers are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
    ``values`` is ``null`` for a tensor with more elements than the option ``values`` of the run.

    ``min``, ``max``, ``mean`` and ``norm`` (the L2 norm) include non-finite elements, so a NaN is visible in them. For a
    complex tensor, ``min``, ``max`` and ``mean`` are computed from the magnitudes. The mean and the norm of a tensor with
    ``values`` are computed in float64. For a larger float32 tensor, sums may be partly computed in float32: its norm is then
    accurate to about six digits, and its mean to about 1e-7 of the mean magnitude. ``zeros``, ``nan`` and ``inf`` count
    elements.

    All statistics are ``null`` for an empty tensor, for a tensor on the meta device, and with ``capture: graph``. A sparse
    tensor is summarized as the dense tensor that it represents.
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


class FileLine(Struct, frozen=True):
    """A line of a module that is the user's own, such as a file next to the script.

    ``file`` is relative to the folder from which the module is imported, such as ``models/net.py``. ``line`` is 1-based.
    """

    file: str
    line: int


class Node(Struct, frozen=True):
    """A node of a graph: a ``grad_fn`` (``op``), a leaf with its ``AccumulateGrad`` (``leaf``), or a ``constant``.

    ``op`` is the name of its class in autograd, ``call`` the call that created it, and ``name`` the variable that its result
    was assigned to. ``module`` is the path of the ``nn.Module`` whose ``forward`` made the call, such as ``net.0``. ``line``
    is 1-based; ``columns`` is a 0-based, half-open range. Both are positions in ``file``, or in the program if ``file`` is
    ``null``. ``outputs`` is the number of tensors that the operation returned. ``saved`` names its saved tensors, as in the
    attributes ``_saved_<name>``. ``parameter`` is the id of the leaf's parameter.

    ``backward_of`` is set for a node that a pass with ``create_graph`` created. It is the node whose backward formula created
    this node, or whose gradients this node sums. ``line`` is then the line of the pass.

    ``origin`` is set for a node that was made in a module of the user's own, which the program called on ``line``.
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
    origin: FileLine | None = None


class Formula(Struct, frozen=True):
    """A node of an earlier graph whose backward formula was computed with ``create_graph``."""

    graph: str
    node: Node


class Edge(Struct, frozen=True):
    """A path of a gradient, from the node ``source`` to ``source.next_functions[slot]``, which is the node ``target``.

    ``input`` is the index of the output of ``target`` to which the gradient belongs. ``gradient`` is false on an edge to a
    constant, which receives no gradient; ``slot`` is -1 there if it is unknown.
    """

    id: str
    source: str
    slot: int
    target: str
    input: int
    gradient: bool


class Graph(Struct, frozen=True):
    """The structure of a backward graph, without shapes and values.

    ``roots`` are the ids of the nodes where a pass starts. ``omitted`` is set for a graph that is too large for one response:
    the numbers of ``nodes``, ``edges`` and ``roots`` after the first ones. Read the rest from ``graphs/{graph}/nodes`` and
    ``graphs/{graph}/edges``.
    """

    id: str
    roots: list[str]
    nodes: list[Node]
    edges: list[Edge]
    omitted: dict[str, int] | UnsetType = UNSET


class MapNorm(Struct, frozen=True):
    """The L2 norm of the gradients of several tensors together, ``null`` if none was recorded.

    ``exact`` is false if a tensor receives several gradients and this norm counts only some of them. Gradients of one tensor
    add up as vectors, but the norm of a partial sum is not recorded. The norm is then the root of the sum of their squares.
    """

    value: float | str | None
    exact: bool = True


class MapSeries(Struct, frozen=True):
    """The norms of the gradient of a tensor that a loop carries from turn to turn, the first turn first.

    If a loop carries no tensor, ``name`` is `gradient`: the norms are those of the gradients that arrive at each turn from
    outside.

    ``norms`` has at most 800 entries. In a longer loop, each entry is the largest norm of several turns. ``per_turn`` is the
    factor by which the norm changes from one turn to the turn before it, as the gradient flows; it is fitted to the logarithms
    of the norms, and ``null`` if fewer than two are above 0 or if no tensor is carried. ``zero`` is the last turn whose norm is
    0, for example because it is too small for the dtype.
    """

    name: str
    norms: list[float | str | None]
    least: float | str | None
    greatest: float | str | None
    per_turn: float | None
    zero: int | None = None


class MapInput(Struct, frozen=True):
    """A leaf or constant that the operations of a box use: the id of its node, and how many edges lead to it from the box.

    ``shared`` is true if other boxes of the map use it too.
    """

    node: str
    kind: NodeKind
    name: str
    edges: int
    shared: bool


class MapBox(Struct, frozen=True):
    """A closed group of a map, or a single node of the graph.

    ``kind`` is ``module``, ``loop``, ``turn``, ``repeat`` (a structure that repeats), ``derivative`` (of a module, computed
    by a pass with ``create_graph``), ``statement``, ``part`` (neighbours without anything else in common) or ``op``. A box of
    kind ``turns`` represents several turns of an open loop. ``nodes`` is the number of operations inside, ``turns`` the number
    of turns of a loop or repetition. ``node`` is the id of a single node.

    ``arrives`` is the gradient that arrives at the group from outside, ``passed_on`` the gradient that it sends to others, and
    ``parameters`` the gradient of the leaves that it uses. ``view`` is the address of the map with this group opened, ``null``
    if there is nothing to open. ``ran`` has the positions of its first and its last operation in the order in which the engine
    ran the nodes of the pass, ``null`` if the engine ran none of its operations.

    ``kinds`` is the number of different structures among the turns of a loop or repetition. ``own_inputs`` is the number of
    leaves and constants that only this box uses, ``shared_inputs`` the number of those that other boxes use too. A box of few
    nodes lists the first of these leaves and constants in ``inputs``. ``transposes`` are the nodes that only transpose a
    parameter for the operation of a box. A map draws such a node as part of the edge to the parameter.
    """

    id: str
    kind: str
    name: str
    line: int | None
    nodes: int
    turns: int | None
    node: str | None
    frame: str | None
    view: str | None
    arrives: MapNorm
    passed_on: MapNorm
    parameters: MapNorm
    series: list[MapSeries] = []
    ran: tuple[int, int] | None = None
    kinds: int | None = None
    inputs: list[MapInput] = []
    own_inputs: int = 0
    shared_inputs: int = 0
    transposes: list[str] = []


class MapFrame(Struct, frozen=True):
    """An open group of a map. ``parent`` is the id of the open group around it, ``view`` the map with this group closed."""

    id: str
    kind: str
    name: str
    parent: str | None
    view: str


MapEdgeKind = Literal["gradient", "formula", "constant"]


class MapEdge(Struct, frozen=True):
    """The edges from one box of a map to another: the number of edges, the number of tensors that they lead to, and the norm
    of the gradients.

    ``gradient`` is false if none of these edges carries a gradient: ``kind`` is then ``constant``. ``kind`` is ``formula`` if
    one of them leads out of a derivative that a pass with ``create_graph`` computed.
    """

    source: str
    target: str
    count: int
    tensors: int
    norm: MapNorm
    gradient: bool
    kind: MapEdgeKind = "gradient"


class MapLeaf(Struct, frozen=True):
    """A leaf that several boxes of a map use.

    ``boxes`` are the boxes that use it, from the loss downwards, and ``arrives`` is its gradient. Pictures show the leaf at the
    last of these boxes. If ``stubs`` is true, they show a reference to it at each of the others. At a box with several shared
    leaves, pictures show one and count the others.
    """

    node: str
    parameter: str | None
    name: str
    arrives: MapNorm
    boxes: list[str]
    stubs: bool


class GraphMap(Struct, frozen=True):
    """A graph of any size as a map of at most about 150 boxes, from the loss downwards.

    ``view`` is the address of what is open: ids of groups, separated by commas. ``unknown`` are ids in the requested view that
    the graph does not have. ``closed`` are groups that were closed again because there was no room. ``pass`` is the index of
    the pass whose gradients are summed, ``null`` without a pass. ``leaves`` has at most 40 leaves: those that the most boxes
    use.
    """

    graph: str
    pass_: int | None = field(name="pass")
    view: str
    nodes: int
    edges_in_graph: int
    boxes: list[MapBox]
    frames: list[MapFrame]
    edges: list[MapEdge]
    unknown: list[str]
    closed: list[str]
    leaves: list[MapLeaf] = []


class MapNumbers(Struct, frozen=True):
    """The numbers of a map in several passes over its graph, by columns.

    ``view`` is the address of the map. ``boxes``, ``links`` and ``leaves`` are those of the map at this address, in its order:
    ids of boxes, pairs of indices of the boxes at the ends of an edge, and ids of nodes. ``arrives[i][j]`` is the norm of box
    ``j`` in pass ``passes[i]`` of step ``steps[i]``. ``passed_on``, ``parameters`` and ``ran`` have the box's values of the
    same names, and ``series`` has its first series. ``edges[i][j]`` is the norm on link ``j``, and ``arrives_at_leaves[i][j]``
    the norm at leaf ``j``. Pass ``next`` as ``start`` to get the rest.
    """

    graph: str
    view: str
    boxes: list[str]
    links: list[tuple[int, int]]
    leaves: list[str]
    passes: list[int]
    steps: list[int]
    arrives: list[list[float | str | None]]
    passed_on: list[list[float | str | None]]
    parameters: list[list[float | str | None]]
    series: list[list[MapSeries | None]]
    ran: list[list[tuple[int, int] | None]]
    edges: list[list[float | str | None]]
    arrives_at_leaves: list[list[float | str | None]]
    next: int | None


SearchField = Literal["id", "parameter", "name", "op", "call", "module", "line", "gradient", "value"]


class SearchMatch(Struct, frozen=True):
    """The field of a node that matches one term of a query, and its ``text``: ``null`` for a line, an id or a number."""

    field: SearchField
    text: str | None


class SearchHit(Struct, frozen=True):
    """A node that a query describes. ``matches`` has one entry for each term of the query.

    ``way`` has the ids of the groups around the node in the map, the outermost first. ``reveal`` is the operation to pass as
    ``reveal`` to the map: the node, or the last user of a leaf or constant. ``norm`` is the L2 norm of the gradient that
    arrived at the node, ``null`` without a pass.
    """

    node: str
    kind: NodeKind
    name: str | None
    op: str
    line: int | None
    parameter: str | None
    matches: list[SearchMatch]
    way: list[str]
    reveal: str | None
    norm: float | str | None


class GraphSearch(Struct, frozen=True):
    """The nodes of a graph that a query describes, in the order of the map: from the loss downwards.

    ``count`` is the number of these nodes. ``hits`` has the first ones, up to the limit of the request. ``pass`` is the index
    of the pass that conditions refer to, ``null`` without a pass.
    """

    graph: str
    pass_: int | None = field(name="pass")
    q: str
    count: int
    hits: list[SearchHit]


Band = Literal["vanishing", "even", "exploding"]


class ModuleParameter(Struct, frozen=True):
    """A parameter of a module in one pass: L2 norms of its gradient, its value and its update, ``null`` if not recorded.

    ``node`` is its leaf in the graph. ``gradient`` is the gradient that arrived in the pass. ``ratio`` is ``update / value``,
    ``null`` if the value is 0 or the pass belongs to no step that updated the parameter.
    """

    id: str
    node: str
    name: str
    shape: list[int]
    gradient: float | str | None
    value: float | str | None
    update: float | str | None
    ratio: float | str | None


class ModuleRow(Struct, frozen=True):
    """A module of a model in one pass, with all parameters inside it.

    ``parent`` is the index of the row of the module around it. ``group`` is its first call in the map. ``parameters`` is the
    number of elements of all its parameters, ``tensors`` the number of parameters, and ``nodes`` the number of its operations
    in all ``calls``. ``gradient``, ``value`` and ``update`` are the L2 norms over all its parameters, and ``ratio`` is
    ``update / value``. ``spread`` has the least and the greatest gradient norm of a parameter. ``arrives`` is the norm of the
    gradient at its outputs.

    ``relative`` is ``gradient`` divided by the ``gradient`` of the reference row. ``band`` is ``vanishing`` if ``relative`` is
    at most 0.001, and ``exploding`` if it is at least 1,000 or not finite. ``own`` are its parameters that are in no inner
    module, ``[]`` for a module that is not open. ``inner`` is true if there are modules or parameters inside. ``node`` is its
    last operation, which a backward pass reaches first.
    """

    path: str
    name: str
    group: str
    parent: int | None
    calls: int
    nodes: int
    parameters: int
    tensors: int
    gradient: float | str | None
    value: float | str | None
    update: float | str | None
    ratio: float | str | None
    spread: list[float | str | None] | None
    arrives: float | str | None
    relative: float | str | None
    band: Band | None
    own: list[ModuleParameter]
    inner: bool = False
    node: str | None = None


class GradientTrend(Struct, frozen=True):
    """How the gradient changes along modules of the same name, such as `h.11` to `h.0`.

    ``rows`` are the indices of their rows, the module nearest to the loss first. ``factor`` is the change from one module to
    the next, as the gradient flows. It is fitted to the logarithms of the norms, and ``null`` if fewer than two are above 0.
    ``unit`` is ``block`` for modules that contain modules, else ``layer``. ``headline`` is a text such as "÷ 9.8 per block".
    """

    headline: str
    sentence: str
    factor: float | None
    unit: str
    band: Band
    rows: list[int]


class ModelRows(Struct, frozen=True):
    """The modules with parameters that took part in a pass, from the loss downwards; each is followed by those inside it.

    ``reference`` is the index of the row that the others are compared with: the repeated module nearest to the loss whose
    gradient is finite and above 0. If no module is repeated, it is the nearest such module that has parameters of its own.
    ``reference`` is ``null`` if there is no such module. ``outside`` are leaves whose names do not begin with the path of a
    module, such as inputs. ``step`` is ``null`` if the step has not ended. ``omitted`` is the number of rows that did not fit
    into the answer.
    """

    graph: str
    pass_: int = field(name="pass")
    step: int | None
    rows: list[ModuleRow]
    outside: list[ModuleParameter]
    reference: int | None
    trend: GradientTrend | None
    omitted: int


class Gradient(Struct, frozen=True):
    """The gradient at one output of a node: ``arrived`` is the sum over its edges, ``used`` the gradient after the hooks."""

    arrived: TensorSummary | None
    used: TensorSummary | None


class NodeNumbers(Struct, frozen=True):
    """The numbers of a node in a pass: its forward value, and the gradient at each of its outputs."""

    value: TensorSummary | None
    grads: list[Gradient]


class Pass(Struct, frozen=True):
    """One call into autograd's engine, by ``backward()`` or ``torch.autograd.grad()``.

    ``parent`` is the index of the pass inside which a nested pass ran. ``order`` lists the ids of the nodes in the order in
    which the engine ran them. ``failed`` is the node that raised an error. ``nodes`` has the numbers of each node by its id,
    ``edges`` the gradient on each edge by its id. Both are missing if they are too large for one response: read
    ``passes/{index}/nodes`` and ``passes/{index}/edges``, or request ``frames``. ``origin`` is set if the pass was started in
    a module of the user's own, which the program called on ``line``.

    ``omitted`` is set if ``order`` has only the first nodes: the number of those that follow.
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
    origin: FileLine | None = None
    omitted: dict[str, int] | UnsetType = UNSET


class Saved(Struct, frozen=True):
    """A saved tensor of a node in a pass. ``tensor`` is ``null`` if PyTorch did not save it."""

    name: str
    tensor: TensorSummary | None


class Flow(Struct, frozen=True):
    """An edge of a node. ``node`` and ``title`` are the id and the title of the node at its other end.

    ``factor`` is the local derivative by which the gradient was multiplied, as the program writes it, such as ``× x``. It is
    ``null`` where the program's text does not show it with certainty.
    """

    edge: str
    node: str
    title: str
    slot: int
    input: int
    gradient: TensorSummary | None
    factor: str | None = None


class NodeDetail(Struct, frozen=True):
    """A node in one pass, with its saved tensors and edges.

    ``rank`` is the index of the node in the order in which the engine ran the nodes. ``source`` is the text of its line.
    """

    node: Node
    numbers: NodeNumbers
    saved: list[Saved]
    incoming: list[Flow]
    outgoing: list[Flow]
    rank: int | None
    source: str | None


class ParameterStep(Struct, frozen=True):
    """A parameter in one step.

    ``value`` is its value in the forward phase, ``value_after`` the value after the update, and ``update`` is ``value_after -
    value``, computed by PyTorch. ``grad_before`` is its ``.grad`` before the first pass of the step, and ``grad_after`` its
    ``.grad`` after the last pass. ``contribution`` is the gradient that the passes of the step added. If no pass added any, it
    is the gradient that ``torch.autograd.grad`` returned. ``grad_used`` is the gradient that the update used, after clipping or
    scaling; ``null`` if the parameter was not updated. ``state`` is the optimizer's state for it after the update.
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
    """Parameters that an optimizer updated with the same options. ``options`` has their values at the time of the update."""

    optimizer: str
    parameters: list[str]
    options: dict[str, Any]


class Rebind(Struct, frozen=True, rename={"source": "from"}):
    """An assignment that bound the name of a parameter to another tensor.

    ``name`` can be a variable, an attribute such as ``self.w``, or an item such as ``params[0]``. ``from`` is the id of the
    parameter, ``to`` the new tensor, and ``graph`` the id of its graph, if it has one. ``uses_gradient`` is true if the new
    tensor was computed from the parameter's gradient.
    """

    name: str
    line: int
    source: str
    to: TensorSummary | None
    graph: str | None
    uses_gradient: bool


class Iteration(Struct, frozen=True):
    """An iteration of a loop: the line of its ``for`` or ``while`` statement, and the 0-based index of the iteration."""

    line: int
    index: int


class LineValue(Struct, frozen=True):
    """The value of a line from the last time that it ran in a step, and the phase in which it ran then.

    For a line that ran between several passes, ``phase`` is ``forward`` before the main pass and ``backward`` after it.
    """

    text: str
    tensor: TensorSummary | None
    phase: Phase = "forward"


class EarlierValue(Struct, frozen=True):
    """The value of a line that did not run in a step, from the last earlier step in which it ran."""

    step: int
    text: str
    tensor: TensorSummary | None


class Step(Struct, frozen=True):
    """A training step: a forward computation, one or more passes, and an update.

    ``lines`` lists the numbers of the lines that ran in each phase. ``values`` has the values of the lines that ran in the
    step, ``earlier`` the values of lines that ran only in earlier steps; both are keyed by line number. ``main`` is the index
    of the main pass. ``loss`` is the root of the main pass, and ``loss_name`` its variable. ``losses`` has the roots of other
    passes that accumulated gradients, by name. ``optimizer`` has the name and the options of the first parameter group that was
    updated. The options have their values at the time of the update, so ``lr`` is the scheduled one. ``groups`` lists all
    groups if there are several. ``update_origins`` are the lines of the user's own modules that are part of the update.

    ``omitted`` is set for a step that is too large for one response: the numbers of ``passes``, ``parameters`` and ``values``
    after the first ones. Read the rest from ``passes/{index}`` and ``steps/{index}/parameters``.

    ``summary`` is true for a step of a long training that is summarized: its losses are recorded, and the statistics of its
    parameters, gradients and updates. Its passes have no numbers, except some with NaN or Inf. A replay of the kind ``step``
    computes the missing numbers; the step is then whole.
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
    update_origins: list[FileLine] = field(default_factory=list)
    omitted: dict[str, int] | UnsetType = UNSET
    summary: bool = False


class Parameter(Struct, frozen=True):
    """A leaf that requires grad and took part in a pass. ``names`` are the names that were bound to it over time.

    ``origin`` is set if a module of the user's own made it.
    """

    id: str
    names: list[str]
    shape: list[int]
    dtype: str
    line: int | None
    origin: FileLine | None = None


class Cell(Struct, frozen=True):
    """A cell of a notebook. A program is one cell. ``start_line`` and ``end_line`` are 1-based and inclusive.

    ``stdout`` and ``stderr`` are the texts that the cell printed to these streams, ``output`` the value of its last expression
    as a notebook shows it. ``markdown`` are the texts of the Markdown cells above it, and ``markdown_below`` those at the end
    of the notebook, below its last cell. ``name`` and ``number`` are the cell's name and number in the notebook,
    such as 3 for ``In [3]``.
    """

    index: int
    start_line: int
    end_line: int
    output: str | None
    stdout: str = ""
    stderr: str = ""
    markdown: list[str] = []
    markdown_below: list[str] = []
    name: str = ""
    number: int | None = None


class Printed(Struct, frozen=True):
    """A stretch of text that a program printed to one stream, ``stdout`` or ``stderr``. ``cell`` is the index of its cell."""

    stream: Stream
    text: str
    cell: int = 0


class Line(Struct, frozen=True):
    """The last value of a line. ``step`` is the step in which the line ran last, or ``null`` if no step has ended since.

    ``graph`` is the id of the value's graph, if it has one.
    """

    line: int
    file: str | None
    text: str
    tensor: TensorSummary | None
    graph: str | None
    step: int | None = None


class ProgramError(Struct, frozen=True):
    """The exception that ended a program, or the reason why the program was stopped.

    ``type`` is the name of the exception's class, or the status of the run. ``line`` is 1-based; ``columns`` is the 0-based,
    half-open range of the failing expression. ``origin`` is set if a module of the user's own raised the exception.
    """

    type: str
    message: str
    file: str | None
    line: int | None
    traceback: str
    columns: tuple[int, int] | None = None
    origin: FileLine | None = None


class Edit(Struct, frozen=True):
    """A replacement in the program's text. ``start`` and ``end`` are each ``[line, column]``: 1-based line, 0-based column."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


class Fix(Struct, frozen=True):
    """Edits of the program that resolve a finding."""

    title: str
    edits: list[Edit]


class Finding(Struct, frozen=True, rename={"pass_": "pass"}):
    """A diagnosis of a run: ``message`` describes what happened, ``why`` explains the cause and the remedy.

    ``node`` is the id of a node in the graph of ``pass``, or of the step's main pass if ``pass`` is ``null``. ``help`` is the
    path of the page that documents ``code``. Text in backticks is code. ``origin`` is the origin of ``node``, if it has one.
    """

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
    help: str = ""
    origin: FileLine | None = None


class GraphSize(Struct, frozen=True):
    """The id and the size of a graph."""

    id: str
    nodes: int
    edges: int


class QueuePosition(Struct, frozen=True):
    """The position of a run or replay in the queue: 1 is next. ``seconds`` is an estimate of the time until it starts."""

    position: int
    seconds: float


class Instant(Struct, frozen=True):
    """A step, a phase of it, and a node to select in the graph of the step's main pass, if one is of special interest."""

    step: int
    phase: Phase
    node: str | None = None


class Run(Struct, frozen=True):
    """One execution of a program, and its recording except for its steps and graphs.

    ``created`` and ``expires`` are times in ISO 8601 (UTC); ``expires`` is ``null`` for a run that is kept forever.
    ``seed`` is ``null`` if the program kept its own random state, as under ``tapedeck run``. ``torch`` is the version of
    PyTorch. ``passes`` and ``steps`` are counts. ``outcome`` describes ``status`` and ``error`` in a few words, such as
    ``RuntimeError on line 12`` or ``Stopped at the time limit``.

    ``stdout`` and ``stderr`` are the texts that the program printed to these streams. ``output`` has both in the order in
    which they were printed: consecutive stretches differ in stream or cell. After the first 10,000 stretches, the rest of
    each stream follows in one stretch per cell. ``truncated`` is true if the text was cut at the limit ``stdout_bytes``, which
    both streams share.

    ``queue`` is present while the run waits for its turn. ``title`` is the owner's choice, else taken from
    the program.

    ``findings_omitted`` are the codes of the rules that did not finish, for example because the time for findings was over.
    Further findings with these codes may be missing.

    ``omitted`` is set for a run that is too large for one response: the numbers of ``lines``, ``parameters`` and ``graphs``
    after the first ones. ``links`` then has the addresses of the whole lists.

    ``unfinished`` is true if an error or a limit ended the program after its last complete step, and something was recorded
    since. Read it as ``steps/{steps}``: a step with passes and values of lines, but without parameters and an update.

    ``opens_at`` is the instant at which a page opens the run: at its first finding that is an error, with the node of the
    finding, else where an exception ended the program, else at the first step. It is ``null`` without steps, and the first step
    while the program runs.
    """

    id: str
    status: Status
    kind: Kind
    program: str
    seed: int | None
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
    stderr: str = ""
    output: list[Printed] = field(default_factory=list)
    outcome: str = ""
    queue: QueuePosition | UnsetType = UNSET
    findings_omitted: list[str] = field(default_factory=list)
    omitted: dict[str, int] | UnsetType = UNSET
    title: str = ""
    unfinished: bool = False
    opens_at: Instant | None = None


class RunHeading(Struct, frozen=True):
    """A run as an entry in the list of its owner's runs. ``steps`` is their count.

    When the store is full, an owner's runs that are not ``pinned`` are deleted before the pinned ones.
    """

    id: str
    status: Status
    kind: Kind
    title: str
    created: str
    duration_ms: float | None
    steps: int
    links: dict[str, str]
    pinned: bool = False


class Limits(Struct, frozen=True):
    """The limits of one run, in bytes, seconds or counts."""

    source_bytes: int = 256 * 1024
    """Size of a program, or of all code cells of a notebook together."""
    body_bytes: int = 12 * 1024 * 1024
    """Size of a request's body. It is larger than ``source_bytes`` because notebooks contain their pictures."""
    wall_seconds: float = 10.0
    """Wall-clock time after which the program is stopped."""
    memory_bytes: int = 1536 * 1024 * 1024
    """Address space that the program may add to that of the loaded interpreter."""
    stdout_bytes: int = 256 * 1024
    """Size of the printed text that is kept. More text is cut; the program continues."""
    recording_bytes: int = 64 * 1024 * 1024
    """Size of the recorded events. From a quarter of it on, most steps are summarized. A run that still exceeds it ends as
    ``output_limit`` and keeps the events recorded so far."""
    message_bytes: int = 24 * 1024 * 1024
    """Size of one message from the program's process."""
    nodes: int = 250_000
    """Number of nodes of one graph."""
    events: int = 300_000
    """Number of recorded events."""
    kept_values: int = 4096
    """Largest value of the option ``values``."""
    training_steps: int = 10_000
    """Largest number of steps of a training."""
    answer_nodes: int = 2_000
    """Number of nodes above which a pass is sent without ``nodes`` and ``edges``."""
    store_bytes: int = 2 * 1024 * 1024 * 1024
    """Size of all recordings together. When it is reached, the oldest runs of the owners who use the most are deleted."""


class Options(Struct, frozen=True):
    """Options of a recording. ``seed`` seeds random, numpy and torch; with ``None``, nothing is seeded."""

    seed: int | None = 0
    capture: Capture = "full"
    values: int = 64
    """Largest number of elements of a tensor that is recorded with all its elements."""


def program_lines(text: str) -> list[str]:
    r"""Return the lines of a program without their ends, split as Python splits them.

    ``str.splitlines`` also splits at other characters, such as a form feed between two functions, or U+2028 in a string. The
    lines after such a character would not have Python's numbers.

    >>> program_lines("a = 1\r\n\fb = 2\n"), program_lines("s = '\u2028'"), program_lines("")
    (['a = 1', '\x0cb = 2'], ["s = '\u2028'"], [])
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


class Program(Struct, frozen=True):
    """A program to run: Python text, and the first and last line of each of its cells (1-based, inclusive)."""

    text: str
    kind: Kind = "program"
    cells: Sequence[tuple[int, int]] = ()
    notes: Sequence[Mapping[str, Any]] = ()
    """Notes about a notebook. A change of its code: ``{"code": "skipped-magic", "line": 3, "text": "%matplotlib inline"}``.
    Markdown, with the line of the code cell below it: ``{"code": "markdown", "line": 1, "text": "# Title"}``. The name and
    the number of a cell: ``{"code": "cell", "line": 1, "text": "data", "number": 3}``."""
