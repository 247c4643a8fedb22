"""Tell where the first NaN or Inf began: the line, the node, the step, and what makes that operation do so."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ... import model, wire
from ...recording import Recording, title
from ..nonfinite import Origin, origin, unharmed
from ..syntax import Syntax

_VALUES = (
    (r"Log(?:1p|2|10)?Backward", "The logarithm is -Inf at 0 and NaN below."),
    (r"SqrtBackward", "The square root of a number below 0 is NaN."),
    (r"RsqrtBackward|ReciprocalBackward|DivBackward", "That is a division by 0, or Inf by Inf."),
    (r"Exp\d?Backward|Expm1Backward|CoshBackward|SinhBackward", "The exponential is beyond what the dtype holds."),
    (r"PowBackward", "The power is beyond what the dtype holds, or that of a number below 0."),
    (r"AcosBackward|AsinBackward|AtanhBackward|ErfinvBackward", "Outside of -1 to 1 it has no value, or an infinite one."),
    (r"(?:Std|Var)\w*Backward", "The spread of a single number is 0 by 0."),
    (r"MeanBackward", "The mean of nothing is 0 by 0, and a sum can be beyond what the dtype holds."),
    (r"(?:Log)?SoftmaxBackward", "The softmax of a row that is -Inf throughout is 0 by 0."),
    (r"MulBackward", "0 times Inf is NaN, and a product can be beyond what the dtype holds."),
    (r"SubBackward|AddBackward", "Inf minus Inf is NaN, and a sum can be beyond what the dtype holds."),
    (r"(?:B?mm|Bmm|Mm|Addmm|Mv|Dot|Sum|Prod)Backward", "The sum is beyond what the dtype holds."),
)  # fmt: skip
"""Why an operation gives NaN or Inf."""
_SLOPES = (
    (r"SqrtBackward", "The slope of the square root is 1/(2·√x): infinite at 0, NaN below it."),
    (r"RsqrtBackward", "The slope of 1/√x is infinite at 0, NaN below it."),
    (r"ReciprocalBackward", "The slope of 1/x is infinite at 0."),
    (r"Log(?:2|10)?Backward", "The slope of the logarithm is 1/x: infinite at 0."),
    (r"PowBackward", "The slope of a power below 1 is infinite at 0, NaN below it."),
    (r"DivBackward", "The slope of a quotient has the divisor below: infinite at 0."),
    (r"(?:Norm|VectorNorm|Std)\w*Backward", "The slope of a root is infinite at 0."),
    (r"AcosBackward|AsinBackward", "The slope is infinite at -1 and 1."),
    (r"Atan2Backward", "At (0, 0) there is no slope."),
)
"""Why the gradient of an operation is not finite where the operation is."""
_TRAP = (
    " where() only picks values: the gradient runs through both of its branches, and 0 times Inf is NaN. "
    "Put a harmless number in before the operation, not after it."
)
_WRITTEN = re.compile(r"\b(?:inf|nan)\b", re.IGNORECASE)
"""Inf or NaN, where a program names it: ``float("inf")``, ``math.nan``."""
_GROWN = 1_000.0
"""A loss that many times what it was at first has run away."""


def nan_origin(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """The first NaN or Inf that reaches a root or a gradient: an error, unless the program saw to it that no harm was done."""
    found = origin(recording)
    if found is None:
        yield from _unknown(recording)
        return
    step = recording.log.step(found.step)
    if found.place < 0:
        yield _in_update(recording, found, step)
        return
    event = recording.log.pass_(found.pass_)
    nodes = recording.graph(event.graph).nodes
    node = nodes[found.place]
    where = f" in step {found.step}" if recording.log.counts()[2] > 1 else ""
    made = f"`{_written(syntax, node)}`"
    why = ""
    if found.where == "given":
        message = f"{made} holds {found.what}{where}, before anything is computed with it."
        why = "Every result that it goes into is NaN or Inf too."
    elif found.where == "value":
        message = f"{made} makes {found.what} out of finite tensors{where}, and is the first to do so."
        because = "A number in it is not finite itself." if _WRITTEN.search(made) else _because(_VALUES, node)
        why = f"{because}{_reach(found)} From there it gets into all that is computed with it."
        why += _run_away(recording, found)
    elif found.where == "hook":
        message = f"A hook on {title(node)} makes {found.what} of a finite gradient{where}."
        why = "What goes on from there is what the hook returned."
    elif found.where == "start":
        message = f"The pass starts from a gradient that is {found.what}{where}."
        why = "It was handed over so."
    elif found.where == "sum":
        message = f"The gradients that meet at {title(node)} add up to {found.what}{where}."
        why = "Each of them is finite; their sum is beyond what the dtype holds."
    else:
        message = f"The gradient turns {found.what} at {made}{where}: what comes in there is finite, what goes on is not."
        why = f"{_because(_SLOPES, node)}{_reach(found)}{_TRAP if found.behind_where else ''}"
    over = bool(step.update) or _goes_on(recording, found.step)
    safe = event.kind == "implicit" or (over and unharmed(recording, found.step))
    yield model.Finding(
        code="nan-origin",
        severity="note" if safe else "error",
        file=None,
        line=node.line or (event.line if event.line > 0 else None),
        step=found.step,
        node=node.id,
        message=message,
        why=f"{why} The parameters stayed finite.".strip() if safe and over else why.strip(),
        pass_=found.pass_,
    )


def _in_update(recording: Recording, found: Origin, step: wire.StepEvent) -> model.Finding:
    names = {row.parameter: row.name for row in step.parameters}
    name = names.get(found.parameter) or f"p{found.parameter}"
    line = next((line for line in reversed(step.update) if line > 0), None)
    return model.Finding(
        code="nan-origin",
        severity="error",
        file=None,
        line=line,
        step=found.step,
        node=None,
        message=f"The update in step {found.step} makes {found.what} of {name}; its gradient and its value were finite.",
        why="A learning rate that is too large, or an optimizer that divides by 0, does that.",
    )


def _unknown(recording: Recording) -> Iterator[model.Finding]:
    """A line shows NaN, and the recording has no numbers to tell where it began."""
    if not recording.log.counts()[1] or recording.log.pass_(0).tensors.stats or recording.log.pass_(0).tensors.values:
        return
    for row in recording.lines():
        if row.tensor is not None and re.search(r"\bnan\b", row.text):
            yield model.Finding(
                code="nan-origin",
                severity="note",
                file=None,
                line=row.line,
                step=None,
                node=None,
                message=f"Line {row.line} shows NaN; where it began is not known.",
                why="No numbers were recorded. Record with capture full or norms to learn where it began.",
            )
            return


def _written(syntax: Syntax, node: model.Node) -> str:
    """A node as the person wrote it, else its title."""
    if node.kind != "op" or node.line is None or node.columns is None or not 1 <= node.line <= len(syntax.lines):
        return title(node)
    text = syntax.lines[node.line - 1][slice(*node.columns)]
    return text if 0 < len(text) <= 60 else title(node)


def _because(table: tuple[tuple[str, str], ...], node: model.Node) -> str:
    return next((sentence for pattern, sentence in table if re.match(pattern, node.op)), "")


def _reach(found: Origin) -> str:
    """How far the values reach that the operation was given."""
    known = [each for each in found.inputs if isinstance(each.min, float) and isinstance(each.max, float)]
    if not known:
        return ""
    low, high = min(each.min for each in known), max(each.max for each in known)  # type: ignore[type-var]
    return f" Its input is {low:.4g}." if low == high else f" Its input goes from {low:.4g} to {high:.4g}."


def _run_away(recording: Recording, found: Origin) -> str:
    """Whether the loss had grown beyond measure before."""
    if found.step < 1:
        return ""
    first, last = recording.step(0).loss, recording.step(found.step - 1).loss
    if first is None or last is None or not isinstance(first.norm, float) or not isinstance(last.norm, float):
        return ""
    if last.norm <= _GROWN * max(first.norm, 1e-30):
        return ""
    return (
        f" The loss had grown from {first.norm:.3g} in step 0 to {last.norm:.3g} in the step before: the steps are too large."
    )


def _goes_on(recording: Recording, step: int) -> bool:
    """Whether the loop that a step stands in has made another step, so that this one went without an update."""
    if step + 1 >= recording.log.counts()[2]:
        return False
    this, following = recording.log.step(step).iteration, recording.log.step(step + 1).iteration
    return this is not None and following is not None and this[0] == following[0]
