"""Find what is worth telling about a run. A finding never fires on correct code, and its fix runs clean."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from .. import model, wire
from ..recording import Recording
from .failures import failed
from .nan_origin import nan_origin
from .syntax import Syntax
from .unseen import unseen

STEPS = 1_000
"""Steps that are looked at: what goes wrong in training goes wrong early, and then in every step."""

LED_TO = frozenset({"no-grad-path", "non-leaf-grad"})
"""What a leaf that was rebound leads to."""
_LOST = re.compile(r"does not require grad|unsupported operand type.*NoneType|NoneType.* has no attribute|Optional\[Number\]")
"""What torch and Python say once a name has lost its leaf."""


def find(recording: Recording, program: model.Program) -> list[model.Finding]:
    """All findings of a run, the gravest first, then by line."""
    syntax = Syntax(program.text)
    found: list[model.Finding] = []
    for rule in RULES:
        found += rule(recording, program, syntax)
    if any(finding.code == "leaf-rebound" and finding.severity == "error" for finding in found):
        found = [finding for finding in found if finding.code not in LED_TO]  # one cause is told once
    grave = ("error", "warning", "note", "good")
    return sorted(found, key=lambda finding: (grave.index(finding.severity), finding.line or 0))


def leaf_rebound(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """``m = m - lr * m.grad``: the name moves from a leaf to a tensor computed from the leaf's own gradient."""
    told: set[tuple[str, int]] = set()
    for index in range(min(recording.log.counts()[2], STEPS)):
        for row in recording.rebinds(index):
            if not row.uses_gradient or (row.name, row.line) in told:
                continue
            if row.to is not None and row.to.is_leaf and row.to.requires_grad:
                continue  # a new leaf in the old one's place: a functional update
            told.add((row.name, row.line))
            yield _rebound(recording, program, syntax, index, row)


def _rebound(recording: Recording, program: model.Program, syntax: Syntax, step: int, row: model.Rebind) -> model.Finding:
    broke = _breaks(recording, row.line)
    name, made = row.name, row.to.grad_fn if row.to is not None else None
    if made is not None:
        is_now = f"It was computed, by {made}, so it is no leaf: backward() leaves its .grad None."
    else:
        is_now = "It was computed where gradients are off: it has requires_grad=False, and backward() has nothing to reach."
    return model.Finding(
        code="leaf-rebound",
        severity="error" if broke is not None else "warning",
        file=None,
        line=row.line,
        step=step,
        node=_node(recording, step, row.source),
        message=f"{name} is rebound: from line {row.line} on it names a new tensor, and no longer the leaf.",
        why=f"{is_now} " + (f"Line {broke} stops on that." if broke is not None else "A further step could not learn from it."),
        fix=_in_place(syntax, name, row.line),
    )


def _breaks(recording: Recording, line: int) -> int | None:
    """The line that a run ended on because a name had lost its leaf."""
    for event in recording.log.others():
        if isinstance(event, wire.End) and event.failure is not None and _LOST.search(event.failure.message):
            return event.failure.line if event.failure.line > 0 else line
    return None


def _node(recording: Recording, step: int, parameter: str) -> str | None:
    """The node of a parameter in the main pass of a step."""
    main = recording.log.step(step).main
    event = recording.log.pass_(main) if main >= 0 else None
    if event is None or event.graph < 0:
        return None
    return next((node.id for node in recording.graph(event.graph).nodes if node.parameter == parameter), None)


def _in_place(syntax: Syntax, name: str, line: int) -> model.Fix | None:
    """Write to the leaf instead: in place, and with gradients off, since torch refuses it otherwise."""
    statement = syntax.assignment(name, line)
    torch = syntax.torch_name()
    if statement is None or (torch is None and not syntax.in_no_grad(statement)) or not syntax.alone(statement):
        return None
    value = statement.value
    operators = {ast.Sub: "-=", ast.Add: "+="}
    operator = operators.get(type(value.op)) if isinstance(value, ast.BinOp) else None
    if operator and isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name) and value.left.id == name:
        update = f"{name} {operator} {syntax.text(value.right)}"
    else:
        update = f"{name}.copy_({syntax.text(value)})"
    start, end = syntax.span(statement)
    indent = " " * start[1]
    text = update if syntax.in_no_grad(statement) else f"with {torch}.no_grad():\n{indent}    {update}"
    title = f"Update {name} in place"
    if syntax.in_loop(statement) and not syntax.clears_gradient(name):
        # a leaf that stays keeps its .grad, to which the next backward would add
        text += f"\n{indent}{name}.grad = None"
        title += " and reset its gradient"
    return model.Fix(title, [model.Edit(start, end, text)])


def non_leaf_grad(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """``.grad`` is read of a tensor that a pass went through, and that keeps none since it is no leaf."""
    for signal in recording.signals():
        if signal.code != "non-leaf-grad" or signal.line < 1:
            continue
        name, graph = signal.detail.get("name"), signal.detail.get("graph")
        what = name if isinstance(name, str) else "the tensor"
        at = recording.last_pass(graph, before=recording.log.counts()[1]) if type(graph) is int else None
        nodes = recording.graph(recording.log.pass_(at).graph).nodes if at is not None else []
        node = next((node for node in nodes if node.name == name and node.kind == "op"), None)
        made = syntax.assignment(what, node.line) if node is not None and node.line is not None else None
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
        if signal.code == "implicit-pass":
            step = recording.log.step(0) if recording.log.counts()[2] else None
            name = f"`{step.loss_name}`" if step is not None and step.loss_name else "the last tensor that has a grad_fn"
            start = "" if signal.detail.get("scalar") else ", starting from ones since it is no scalar"
            yield _note(
                "implicit-pass",
                None,
                f"Your code never calls backward(); Tapedeck ran it once on {name}{start}.",
                "So there are gradients to see. Your program's own results are as they were.",
            )
        elif signal.code == "implicit-pass-failed":
            yield _note(
                "implicit-pass-failed",
                None,
                "Your code never calls backward(), and Tapedeck's own call failed, so the graph has no numbers.",
                str(signal.detail.get("message", "")),
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
    for signal in recording.signals():
        if signal.code == "plotting-stand-in":
            yield _note(
                "plotting-stand-in",
                signal.line if signal.line > 0 else None,
                "matplotlib is not here: its calls did nothing, and no plot was drawn.",
                "The rest of the program ran as it is.",
            )


def too_large(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A graph above the limit ran unrecorded."""
    for signal in recording.signals():
        if signal.code == "graph-too-large":
            line = signal.line if signal.line > 0 else None
            limit = signal.detail.get("limit")
            yield model.Finding(
                code="graph-too-large",
                severity="warning",
                file=None,
                line=line,
                step=None,
                node=None,
                message=f"The graph of this pass has more than {limit:,} nodes: it ran, but was not recorded.",
                why="Everything before it was. Fewer steps before a backward(), or detach(), make a smaller graph.",
            )


def left_out(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """A pass or a step had more numbers than one may have."""
    if any(signal.code == "numbers-left-out" for signal in recording.signals()):
        yield _note(
            "numbers-left-out",
            None,
            "A graph of this run is so large that numbers of some of its tensors are left out: elements, then statistics.",
            "Its nodes, edges and shapes are all there. A smaller graph, or capture: norms, leaves out less.",
        )


def unrecorded(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """The recorder failed at something: better said than silently left out."""
    for signal in recording.signals():
        if signal.code == "recorder-failed":
            message = "A part of this run could not be recorded; the program itself ran as it would alone."
            yield _note("recorder-failed", None, message, str(signal.detail.get("message", "")))


def _note(code: str, line: int | None, message: str, why: str) -> model.Finding:
    return model.Finding(code, "note", None, line, None, None, message, why)


Rule = Callable[[Recording, model.Program, Syntax], Iterator[model.Finding]]
RULES: tuple[Rule, ...] = (
    leaf_rebound,
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
