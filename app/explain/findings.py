"""Find what is worth telling about a run. A finding never fires on correct code, and its fix runs clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import model, wire
from ..recording import Recording
from .rules.backward_failed import failed
from .rules.broadcast_both import broadcast_both
from .rules.data_update import data_update
from .rules.dead_relu import dead_relu
from .rules.diverging import diverging
from .rules.grad_accumulated import grad_accumulated
from .rules.leaf_kept import leaf_kept
from .rules.leaf_rebound import leaf_rebound
from .rules.nan_origin import nan_origin
from .rules.not_recorded import unseen
from .rules.requires_grad_late import requires_grad_late
from .rules.unused_parameter import unused_parameter
from .rules.vanishing import vanishing
from .syntax import Syntax

LEADS = frozenset({"leaf-rebound", "requires-grad-late"})
LED_TO = frozenset({"no-grad-path", "non-leaf-grad"})
"""What a leaf that was rebound, or became one too late, leads to."""


def find(recording: Recording, program: model.Program) -> list[model.Finding]:
    """All findings of a run, the gravest first, then by line."""
    syntax = Syntax(program.text)
    found: list[model.Finding] = []
    for rule in RULES:
        found += rule(recording, program, syntax)
    if any(finding.code in LEADS and finding.severity == "error" for finding in found):
        found = [finding for finding in found if finding.code not in LED_TO]  # one cause is told once
    if not any(finding.severity in ("error", "warning") for finding in found):
        found += leaf_kept(recording, program, syntax)  # else there is more to be said than what is right
    grave = ("error", "warning", "note", "good")
    return sorted(found, key=lambda finding: (grave.index(finding.severity), finding.line or 0))


def non_leaf_grad(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """``.grad`` is read of a tensor that a pass went through, and that keeps none since it is no leaf."""
    for signal in recording.signals(wire.NonLeafGrad):
        if signal.line < 1:
            continue
        name = signal.name
        what = name if name is not None else "the tensor"
        at = recording.last_pass(signal.graph, before=recording.log.counts()[1])
        nodes = recording.graph(recording.log.pass_(at).graph).nodes if at is not None else []
        node = next((node for node in nodes if node.name == name and node.kind == "op"), None)
        line = node.line if node is not None and what.isidentifier() else None
        made = syntax.assignment(what, line) if line is not None else None
        fix = None
        if made is not None and syntax.alone(made):
            start, end = syntax.span(made)
            text = f"\n{' ' * start[1]}{what}.retain_grad()"
            fix = model.Fix(f"Let {what} keep its gradient", [model.Edit(end, end, text)])
        yield model.Finding(
            code="non-leaf-grad",
            severity="warning",
            file=None,
            line=signal.line,
            step=recording.log.pass_(at).step if at is not None else None,
            node=node.id if node is not None else None,
            message=f"The .grad of {what} is None here: {what} is computed, and backward() leaves gradients in leaves only.",
            why="Its gradient was there on the way, and the graph shows it. retain_grad() before the backward keeps it.",
            fix=fix,
            pass_=at,
        )


def implicit_pass(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """The program never calls backward: we did."""
    for signal in recording.signals():
        if isinstance(signal, wire.ImplicitPass):
            step = recording.log.step(0) if recording.log.counts()[2] else None
            name = f"`{step.loss_name}`" if step is not None and step.loss_name else "the last tensor that has a grad_fn"
            start = "" if signal.scalar else ", starting from ones since it is no scalar"
            yield _note(
                "implicit-pass",
                None,
                f"Your code never calls backward(); Tapedeck ran it once on {name}{start}.",
                "So there are gradients to see. Your program's own results are as they were.",
            )
        elif isinstance(signal, wire.ImplicitPassFailed):
            yield _note(
                "implicit-pass-failed",
                None,
                "Your code never calls backward(), and Tapedeck's own call failed, so the graph has no numbers.",
                signal.message,
            )


def skipped(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """What was not run of a notebook, and what only seemed to be there."""
    for note in program.notes:
        yield _note(
            str(note["code"]),
            int(note["line"]),
            f"Line {note['line']} was skipped: {note['text']}",
            "Lines that begin with % or ! are commands of the notebook's own, not Python.",
        )
    for signal in recording.signals(wire.PlottingStandIn):
        yield _note(
            "plotting-stand-in",
            signal.line if signal.line > 0 else None,
            "matplotlib is not here: its calls did nothing, and no plot was drawn.",
            "The rest of the program ran as it is.",
        )


def too_large(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A graph above the limit ran unrecorded."""
    for signal in recording.signals(wire.GraphTooLarge):
        yield model.Finding(
            code="graph-too-large",
            severity="warning",
            file=None,
            line=signal.line if signal.line > 0 else None,
            step=None,
            node=None,
            message=f"The graph of this pass has more than {signal.limit:,} nodes: it ran, but was not recorded.",
            why="Everything before it was. Fewer steps before a backward(), or detach(), make a smaller graph.",
        )


def left_out(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A pass or a step had more numbers than one may have."""
    if recording.signals(wire.NumbersLeftOut):
        yield _note(
            "numbers-left-out",
            None,
            "A graph of this run is so large that numbers of some of its tensors are left out: elements, then statistics.",
            "Its nodes, edges and shapes are all there. A smaller graph, or capture: norms, leaves out less.",
        )


def unrecorded(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """The recorder failed at something: better said than silently left out."""
    for signal in recording.signals(wire.RecorderFailed):
        message = "A part of this run could not be recorded; the program itself ran as it would alone."
        yield _note("recorder-failed", None, message, signal.message)


def _note(code: str, line: int | None, message: str, why: str) -> model.Finding:
    return model.Finding(code, "note", None, line, None, None, message, why)


Rule = Callable[[Recording, model.Program, Syntax], Iterator[model.Finding]]
RULES: tuple[Rule, ...] = (
    leaf_rebound,
    grad_accumulated,
    broadcast_both,
    requires_grad_late,
    data_update,
    diverging,
    vanishing,
    dead_relu,
    unused_parameter,
    failed,
    nan_origin,
    non_leaf_grad,
    implicit_pass,
    skipped,
    too_large,
    left_out,
    unseen,
    unrecorded,
)
"""Every kind of finding, one function each."""
