"""Report the origin of the first NaN or ∞ that reached a loss, a gradient or a parameter.

## Why it matters

One NaN spreads to everything that is computed from it, so the first line that shows a NaN is rarely its cause. This finding
traces the NaN back to its origin: the data, an operation, the gradient of an operation, a hook, or an update.

## Example

```python
import torch

x = torch.tensor([0.0, 1.0, 4.0], requires_grad=True)
y = torch.where(x > 0, torch.sqrt(x), torch.zeros(3))
y.sum().backward()
```

`torch.where` only selects values: the gradient still runs through both branches. Replace the harmful input before the
operation:

```python
import torch

x = torch.tensor([0.0, 1.0, 4.0], requires_grad=True)
safe = torch.where(x > 0, x, torch.ones(3))
y = torch.where(x > 0, torch.sqrt(safe), torch.zeros(3))
y.sum().backward()
```

## What it does not report

- An ∞ that does no harm, such as the −∞ of an attention mask.
- A NaN that `torch.where` leaves out of both the result and the gradient.

If the program skips the step because of the ∞, as `GradScaler` does, the finding is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Final

from ... import model, wire
from ...recording import Recording, title
from ..program.syntax import Syntax
from ..recorded.nonfinite import Operand, Origin, kind, origin, unharmed
from ..wording import short

CODE: Final = "nan-origin"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
_VALUES: Final = (
    (r"Log(?:1p|2|10)?Backward", "The logarithm is −∞ at 0 and NaN below 0."),
    (r"SqrtBackward", "The square root of a negative number is NaN."),
    (r"RsqrtBackward|ReciprocalBackward|DivBackward", "Dividing by 0, or ∞ by ∞, gives no finite number."),
    (r"Exp\d?Backward|Expm1Backward|CoshBackward|SinhBackward", "The exponential is too large for the dtype."),
    (r"PowBackward", "The power is too large for the dtype, or it is a root of a negative number."),
    (r"AcosBackward|AsinBackward|AtanhBackward|ErfinvBackward", "This function is infinite or undefined outside of −1 to 1."),
    (r"(?:Std|Var)\w*Backward", "The spread of a single number is 0/0."),
    (r"MeanBackward", "The mean of an empty tensor is 0/0, and a sum can be too large for the dtype."),
    (r"(?:Log)?SoftmaxBackward", "If every score of a row is −∞, its softmax is 0/0."),
    (r"MulBackward", "0 × ∞ is NaN, and a product can be too large for the dtype."),
    (r"SubBackward|AddBackward", "∞ − ∞ is NaN, and a sum can be too large for the dtype."),
    (r"(?:B?mm|Bmm|Mm|Addmm|Mv|Dot|Sum|Prod)Backward", "The result is too large for the dtype."),
)  # fmt: skip
"""Why the value of an operation is NaN or ∞, by a pattern for its op."""
_SLOPES: Final = (
    (r"SqrtBackward", "The slope of the square root is 1/(2·√x): infinite at 0, NaN below 0."),
    (r"RsqrtBackward", "The slope of 1/√x is infinite at 0, NaN below 0."),
    (r"ReciprocalBackward", "The slope of 1/x is infinite at 0."),
    (r"Log(?:2|10)?Backward", "The slope of the logarithm is 1/x: infinite at 0."),
    (r"PowBackward", "The slope of a power below 1 is infinite at 0, NaN below 0."),
    (r"DivBackward", "The slope of a quotient divides by the divisor: it is infinite at 0."),
    (r"(?:Norm|VectorNorm|Std)\w*Backward", "The slope of a root is infinite at 0."),
    (r"AcosBackward|AsinBackward", "The slope is infinite at −1 and 1."),
    (r"Atan2Backward", "At (0, 0) there is no slope."),
)
"""Why the gradient of an operation is NaN or ∞ although its value is finite, by a pattern for its op."""
_ZERO: Final = " A gradient of 0 becomes NaN there: 0 × ∞, 0 × NaN and 0/0 are NaN."
_POLES: Final = r"(?:Log(?:2|10)?|Sqrt|Rsqrt|Reciprocal|Pow)Backward"
"""Operations whose value or slope is infinite at 0."""
_WHERE_TRAP: Final = (
    " `torch.where` only selects values: the gradient still runs through both branches, and 0 × ∞ is NaN. "
    "Replace the harmful input before the operation, not the result after it."
)
_LITERAL: Final = re.compile(r"\b(?:inf|nan)\b", re.IGNORECASE)
"""∞ or NaN as it is written in a program: ``float("inf")``, ``math.nan``."""
_SUMS: Final = r"(?:Sub|Add|Sum|Mean)Backward"
_SMALL: Final = 100.0
"""Magnitude below which numbers do not overflow when they are added: a few hundred of them, even in half precision."""
_RUN_AWAY: Final = 1_000.0
"""Factor between a loss and its first value above which the loss counts as diverging."""
_LONGEST: Final = 60
"""Largest number of characters of an expression that is quoted in a sentence."""


def find(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for the first NaN or ∞ that does harm, as a note if the program skipped the step."""
    found = origin(recording)
    if found is None:
        yield from _unrecorded(recording)
        return
    step = recording.log.step(found.step)
    if found.index < 0:
        yield _in_update(recording, found, step)
        return
    event = recording.log.pass_(found.pass_)
    node = recording.graph(event.graph).nodes[found.index]
    when = f" in step {found.step}" if recording.log.counts()[2] > 1 else ""
    source = f"`{_source(syntax, node)}`"
    match found.where:
        case "given":
            message = f"{source} contains {found.what}{when}, before anything is computed with it."
            why = "Every result computed from it is NaN or ∞ too. Check the data first."
        case "value":
            message = f"{source} is where {found.what} first appears{when}."
            named = _LITERAL.search(source) and not any(kind(each.value) for each in found.inputs)
            because = "The code itself contains ∞ or NaN." if named else _reason(_VALUES, node)
            if not named and (node.call or "").endswith("kl_div"):
                because = "Without `log_target=True`, `kl_div` takes the logarithm of its targets: NaN below 0."
            elif not named and _cannot_overflow(node, found):
                because = "An operand that is not part of the graph is not finite."
            why = f"{_divisor(node, found) or f'{because}{_operand(node, found)}'} {_consequence(found)}"
            why += _run_away(recording, found)
        case "hook":
            message = f"A hook on `{title(node)}` turns a finite gradient into {found.what}{when}."
            why = "The pass continues with the gradient that the hook returned."
        case "start":
            message = f"The pass starts from a gradient that is {found.what}{when}."
            why = "The program itself provides this gradient."
        case "sum":
            message = f"The gradients that meet at `{title(node)}` add up to {found.what}{when}."
            why = "Each of them is finite, but their sum is too large for the dtype."
        case _:
            message = f"The gradient becomes {found.what} at {source}{when}. The gradient that arrives there is finite."
            why = f"{_reason(_SLOPES, node)}{_operand(node, found)}{_WHERE_TRAP if found.behind_where else ''}"
    over = bool(step.update) or _continues(recording, found.step)
    safe = event.kind == "implicit" or (over and unharmed(recording, found.step))
    if not safe and found.where in ("gradient", "hook", "sum"):
        why += _next_loss(recording, found)
    yield model.Finding(
        code=CODE,
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
        code=CODE,
        severity="error",
        file=None,
        line=line,
        step=found.step,
        node=None,
        message=f"The update in step {found.step} makes `{name}` {found.what}, although its value and gradient were finite.",
        why="The learning rate is too large, or the optimizer divides by 0.",
    )


def _unrecorded(recording: Recording) -> Iterator[model.Finding]:
    """Yield a note if a line shows NaN but no numbers were recorded."""
    if not recording.log.counts()[1] or recording.log.pass_(0).tensors.stats or recording.log.pass_(0).tensors.values:
        return
    for row in recording.lines():
        if row.tensor is not None and re.search(r"\bnan\b", row.text):
            yield model.Finding(
                code=CODE,
                severity="note",
                file=None,
                line=row.line,
                step=None,
                node=None,
                message=f"Line {row.line} shows NaN, but its origin is unknown.",
                why="This run recorded no numbers. Run it again with `capture` set to `full` or `norms` to find the origin.",
            )
            return


def _source(syntax: Syntax, node: model.Node) -> str:
    """Return the code of a node, or its title if the code is not on one line or is too long."""
    if node.kind != "op" or node.line is None or node.columns is None or not 1 <= node.line <= len(syntax.lines):
        return title(node)
    text = syntax.lines[node.line - 1][slice(*node.columns)]
    return text if 0 < len(text) <= _LONGEST else title(node)


def _reason(table: tuple[tuple[str, str], ...], node: model.Node) -> str:
    return next((sentence for pattern, sentence in table if re.match(pattern, node.op)), "")


def _cannot_overflow(node: model.Node, found: Origin) -> bool:
    """Return whether an operation is a sum of finite operands in the graph that are too small to exceed the dtype."""
    if not found.inputs or not re.match(_SUMS, node.op) or any(kind(each.value) for each in found.inputs):
        return False
    ends = [end for each in found.inputs for end in (each.value.min, each.value.max)]
    return all(isinstance(end, float) and abs(end) < _SMALL for end in ends)


def _consequence(found: Origin) -> str:
    """Return sentences about the effect of a value that is not finite."""
    if not found.left_out:
        return "Everything computed from it is affected."
    harm = _WHERE_TRAP if found.behind_where else _ZERO
    return f"Later lines leave it out of the loss, but its gradient is still computed.{harm}"


def _divisor(node: model.Node, found: Origin) -> str:
    """Return a sentence about the operands of a division by 0, empty for other operations."""
    if not re.match("DivBackward", node.op) or len(found.inputs) != 2:
        return ""
    numerator, divisor = found.inputs
    if not divisor.value.zeros or divisor.value.nan:
        return ""
    low, high = numerator.value.min, numerator.value.max
    if not isinstance(low, float) or not isinstance(high, float):
        return ""
    of = short(low) if low == high else f"{short(low)} to {short(high)}"
    name = f" `{divisor.name}`" if _is_name(divisor.name) else ""
    return f"The divisor{name} is 0{_share(divisor.value)} (numerator {of})."


def _operand(node: model.Node, found: Origin) -> str:
    """Return a sentence about the operand that made the result NaN or ∞, with its value. The text is empty if none is known."""
    if re.match("DivBackward", node.op) and (sentence := _divisor(node, found)):
        return f" {sentence}"
    spoilt = next((each for each in found.inputs if each.value.nan or each.value.inf), None)
    if spoilt is not None and found.where == "gradient":
        return f" {_subject(spoilt)} contains {kind(spoilt.value)}."
    if len(found.inputs) == 1:
        operand = found.inputs[0]
        if operand.value.zeros and prod(operand.value.shape) > operand.value.zeros and _at_zero(node, found):
            return f" {_subject(operand)} is 0{_share(operand.value)}."
    return _reach(found)


def _at_zero(node: model.Node, found: Origin) -> bool:
    """Return whether an operation has a pole at 0 that explains the origin. A negative operand explains a NaN better."""
    low = found.inputs[0].value.min
    below = isinstance(low, float) and low < 0
    return re.match(_POLES, node.op) is not None and not (found.what == "NaN" and below)


def _subject(operand: Operand) -> str:
    return f"`{operand.name}`" if _is_name(operand.name) else "Its input"


def _is_name(name: str | None) -> bool:
    """Return whether a text is the name of a variable, attribute or item, rather than an expression."""
    return name is not None and re.fullmatch(r"[\w.\[\]'\"]+", name) is not None


def _share(summary: model.TensorSummary) -> str:
    """Return a phrase with the number of zeros of a tensor, empty if all elements are 0."""
    count = prod(summary.shape)
    return f" in {summary.zeros:,} of {count:,} elements" if summary.zeros != count else ""


def _reach(found: Origin) -> str:
    """Return a sentence about the range of the values that an operation was computed from, empty if it is unknown."""
    known = [each.value for each in found.inputs if isinstance(each.value.min, float) and isinstance(each.value.max, float)]
    if not known:
        return ""
    low, high = min(each.min for each in known), max(each.max for each in known)  # type: ignore[type-var]
    subject = _subject(found.inputs[0]) if len(found.inputs) == 1 else "Its input"
    if low == high:
        return f" {subject} is {short(low)}."  # type: ignore[arg-type]
    return f" {subject} ranges from {short(low)} to {short(high)}."  # type: ignore[arg-type]


def _run_away(recording: Recording, found: Origin) -> str:
    """Return a sentence if the loss had already grown far beyond its first value, else an empty text."""
    if found.step < 1:
        return ""
    first, last = recording.step(0).loss, recording.step(found.step - 1).loss
    if first is None or last is None or not isinstance(first.norm, float) or not isinstance(last.norm, float):
        return ""
    if last.norm <= _RUN_AWAY * max(first.norm, 1e-30):
        return ""
    return (
        f" The loss grew from {first.norm:.3g} in step 0 to {last.norm:.3g} in step {found.step - 1}: "
        "use a smaller learning rate."
    )


def _next_loss(recording: Recording, found: Origin) -> str:
    """Return a sentence if the loss of the next step is NaN or ∞ because of a gradient, else an empty text."""
    following = found.step + 1
    what = kind(recording.step(following).loss) if following < recording.log.counts()[2] else None
    return f" The update spreads it to the parameters, so the loss is {what} in step {following}." if what else ""


def _continues(recording: Recording, step: int) -> bool:
    """Return whether the loop continued with another step. The program then skipped the update of this step."""
    if step + 1 >= recording.log.counts()[2]:
        return False
    this, following = recording.log.step(step).iteration, recording.log.step(step + 1).iteration
    return this is not None and following is not None and this[0] == following[0]
