"""Define the signals: facts that only the tracer can observe and from which a rule may make a finding.

Each kind of signal is a separate struct, so that every field has a type and a bound. The tag of the struct is its code on the
wire.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .bounds import DIMENSIONS, INT64
from .fields import Count, Event, Index, Name, Text

Shape = Annotated[list[Annotated[int, Meta(ge=0, le=INT64)]], Meta(max_length=DIMENSIONS)]


class Signal(Event, frozen=True, kw_only=True):
    """The fields that all signals share. ``line`` is the line of the program that caused the signal, -1 if there is none."""

    line: Index = -1


class Caught(Signal, tag="caught", frozen=True, kw_only=True):
    """The program caught an exception. ``line`` raised it; the ``except`` clause is on line ``handler``.

    ``error`` is the name of the exception's class.
    """

    error: Name
    message: Text
    handler: Index


class PassFailed(Signal, tag="pass-failed", frozen=True, kw_only=True):
    """A pass ended with an exception. The event of the pass follows this signal.

    ``error`` is the name of the exception's class. Node ``node`` of graph ``graph`` raised it, -1 if it is unknown. The
    fields below ``node`` are -1 or ``None`` where they do not apply.
    """

    error: Name
    message: Text
    step: Count
    pass_: Count
    graph: Count
    node: Index
    raised: Index
    """The line inside a hook or custom function that raised the exception."""
    earlier: Index
    """The graph of the last pass that had already run the node."""
    saved: Name | None
    """The name of the saved tensor that was modified in place after it was saved."""
    changed: Index
    """The line that modified the saved tensor."""


class LeafRebound(Signal, tag="leaf-rebound", frozen=True, kw_only=True):
    """A parameter's name now refers to a tensor that was computed from the parameter's gradient.

    The ``.grad`` of this tensor stays ``None``. ``grad_fn`` is the function that computed the tensor, ``None`` if gradients
    were off.
    """

    step: Count
    parameter: Count
    name: Name
    grad_fn: Name | None


class NonLeafGrad(Signal, tag="non-leaf-grad", frozen=True, kw_only=True):
    """The program read ``.grad`` of a non-leaf tensor that does not retain it. A pass over ``graph`` reached the tensor."""

    step: Count
    graph: Count
    name: Name | None


class RequiresGradLate(Signal, tag="requires-grad-late", frozen=True, kw_only=True):
    """A tensor was made to require a gradient after ``passes`` passes, and no later pass reached it."""

    step: Count
    name: Name
    passes: Count


class Broadcast(Signal, tag="broadcast", frozen=True, kw_only=True):
    """Two tensors were broadcast, and the result has the shape of neither."""

    step: Count
    shapes: tuple[Shape, Shape]


class UnusedParameter(Signal, tag="unused-parameter", frozen=True, kw_only=True):
    """After ``steps`` steps of an optimizer, no pass has reached one of its parameters. ``line`` created the parameter."""

    name: Name
    optimizer: Name
    steps: Count


class GradientModified(Signal, tag="gradient-modified", frozen=True, kw_only=True):
    """The program wrote in place to a gradient that the engine had given to a hook or to a custom ``backward``.

    ``node`` of ``graph`` was running. ``in_formula`` is true if its custom ``backward`` wrote, false if a hook did. ``shared``
    is another node that still had to receive the changed gradient, -1 if there was none.
    """

    step: Count
    pass_: Count
    graph: Count
    node: Count
    in_formula: bool
    shared: Index = -1


class KeptByReference(Signal, tag="kept-by-reference", frozen=True, kw_only=True):
    """After an update, ``line`` has read numbers of the parameter ``name`` that line ``kept`` kept without a copy.

    The line has combined them with the parameter, or with numbers that were kept at another time. With ``loads``, it has
    written them to the parameter. ``changed`` is false if these numbers were kept after the last update, although the same
    line had kept others before it.
    """

    step: Count
    kept: Index
    name: Name | None
    loads: bool = False
    changed: bool = True


class ImplicitPass(Signal, tag="implicit-pass", frozen=True, kw_only=True):
    """The program never called ``backward()``, so the tracer did. ``scalar`` is true if the root had one element."""

    scalar: bool


class ImplicitPassFailed(Signal, tag="implicit-pass-failed", frozen=True, kw_only=True):
    """The pass that the tracer started itself raised an exception."""

    message: Text


class GraphTooLarge(Signal, tag="graph-too-large", frozen=True, kw_only=True):
    """A pass ran without being recorded, because its graph has more than ``limit`` nodes."""

    limit: Count


class StdoutTruncated(Signal, tag="stdout-truncated", frozen=True, kw_only=True):
    """The program printed ``limit`` or more characters. Characters beyond the limit were dropped."""

    limit: Count


class RecorderFailed(Signal, tag="recorder-failed", frozen=True, kw_only=True):
    """The tracer itself raised an exception, so a part of the run is missing. Emitted once per run."""

    message: Text


class NumbersLeftOut(Signal, tag="numbers-left-out", frozen=True):
    """A pass or step had more values than one event may carry. Emitted once per run."""


class StepsSummarized(Signal, tag="steps-summarized", frozen=True, kw_only=True):
    """Steps are summarized from ``step`` on, except every ``every``-th one. Emitted once per run, before that step.

    ``slow`` is true if the program had run for long by then, and false if the recording had become large.
    """

    step: Count
    every: Count
    slow: bool = False


class StepsUnrecorded(Signal, tag="steps-unrecorded", frozen=True, kw_only=True):
    """The recording ends before ``step``, because it is as large as it may be. The program continues."""

    step: Count


class PlottingStandIn(Signal, tag="plotting-stand-in", frozen=True):
    """The program plotted without matplotlib; a stand-in ignored the calls."""


class SavedTensorsUnread(Signal, tag="saved-tensors-unread", frozen=True):
    """Saved tensors were skipped, because reading them would have called the program's own hooks. Emitted once per run."""


class Batched(Signal, tag="batched", frozen=True):
    """A pass ran under ``vmap``, where each tensor represents a batch and cannot be recorded. Emitted once per run."""


class ForwardModeUsed(Signal, tag="forward-mode", frozen=True):
    """The program used forward-mode differentiation, which is not recorded. Emitted once per run."""


class CompiledEagerly(Signal, tag="compiled-eagerly", frozen=True):
    """The program called ``torch.compile``. The function ran eagerly, so that it was recorded. Emitted once per run."""


class TracedUnrecorded(Signal, tag="traced-unrecorded", frozen=True):
    """The program was traced, as for an export, or computed with fake tensors. That part is not recorded.

    Emitted once per run.
    """


class SeveralThreads(Signal, tag="several-threads", frozen=True):
    """The recording ends, because ``line`` starts a pass or an update in a second thread. The program continues."""


AnySignal = (
    Caught
    | PassFailed
    | LeafRebound
    | KeptByReference
    | NonLeafGrad
    | RequiresGradLate
    | Broadcast
    | UnusedParameter
    | GradientModified
    | ImplicitPass
    | ImplicitPassFailed
    | GraphTooLarge
    | StdoutTruncated
    | RecorderFailed
    | NumbersLeftOut
    | StepsSummarized
    | StepsUnrecorded
    | PlottingStandIn
    | SavedTensorsUnread
    | Batched
    | ForwardModeUsed
    | CompiledEagerly
    | TracedUnrecorded
    | SeveralThreads
)
