"""Explain why a number does not exist: why a `.grad` is `None`, and why a tensor is not a leaf."""

from __future__ import annotations

import ast
from typing import Any, Final

from .. import model, wire
from ..errors import InvalidInput
from ..explain.program.syntax import Syntax
from ..explain.program.unreached import cut
from .answer import Why
from .names import with_element
from .scene import Scene

MOST_STEPS: Final = 50
"""Largest number of steps, from the end, that are searched for a line that binds a name to a new tensor."""

_CONVERSION: Final = "ToCopyBackward0"
"""The operation of `double()`, `to()` and `cuda()`."""


def explain_absent(scenes: Scene, name: str, part: str, step: int | None) -> Why:
    """Return why a number of a tensor of the program does not exist. Raises :class:`InvalidInput` for an unknown name."""
    if part in ("grad", "grad_used"):
        return _no_gradient(scenes, name, step)
    if part == "update":
        sentence = f"`{name}` was not updated in this step."
        return _absent(scenes, name, part, step, sentence, None)
    found = scenes.parameter(name)
    if found is not None:
        return _absent(scenes, name, part, step, f"`{name}` took no part in step {step}.", found.line)
    raise InvalidInput(f"There is no tensor {name[:60]!r}: {_known(scenes)}.", where="query.of")


def why_no_leaf(scenes: Scene, name: str, step: int | None) -> Why:
    """Return why a tensor is a leaf or not. Raises :class:`InvalidInput` for an unknown name."""
    rebound = [each for each in scenes.recording.signals(wire.LeafRebound) if each.name == name]
    if rebound:
        made = f"`{rebound[-1].grad_fn}` computed it" if rebound[-1].grad_fn else "it was computed with gradients off"
        sentence = (
            f"Line {rebound[-1].line} binds `{name}` to a new tensor: {made}, so it is not the leaf that the program made. "
            "Change the leaf in place under `torch.no_grad()` instead, or use an optimizer."
        )
        return _absent(scenes, name, "is_leaf", step, sentence, rebound[-1].line)
    if (bound := bound_to_result(scenes, name)) is not None:
        return _absent(scenes, name, "is_leaf", step, *bound)
    found = scenes.parameter(name)
    result = computed(scenes, name)
    if found is not None and result is not None and rebinds(scenes.syntax, name, result[1], found.line):
        sentence = f"Line {result[1]} binds `{name}` to a new tensor, which `{result[0]}` computed from the leaf."
        return _absent(scenes, name, "is_leaf", step, sentence, result[1])
    if found is not None:
        made_on = f" on line {found.line}" if found.line is not None else ""
        sentence = f"`{name}` is a leaf: the program made it{made_on}, and no operation computed it."
        return _absent(scenes, name, "is_leaf", step, sentence, found.line, kind="input")
    if result is not None:
        op, made_at = result
        sentence = f"`{name}` is a computed result: `{op}` made it on line {made_at}."
        return _absent(scenes, name, "is_leaf", step, sentence, made_at)
    tensor, line = _made(scenes, name)
    if tensor is None and "." in name and _written(scenes.syntax, name):
        return _absent(scenes, name, "is_leaf", step, f"No pass reached `{name}`, so it was not recorded.", None)
    if tensor is None:
        raise InvalidInput(f"There is no tensor {name[:60]!r}: {_known(scenes)}.", where="query.of")
    sentence = (
        f"`{name}` is a leaf, but it does not require a gradient." if not tensor.requires_grad else f"`{name}` is a leaf."
    )
    return _absent(scenes, name, "is_leaf", step, sentence, line, kind="input")


def _no_gradient(scenes: Scene, name: str, step: int | None) -> Why:
    """Return why the `.grad` of a tensor is `None`."""
    if (bound := bound_to_result(scenes, name)) is not None:
        sentence = f"{bound[0]} `backward()` fills `.grad` only for leaves."
        return _absent(scenes, name, "grad", step, sentence, bound[1])
    result = computed(scenes, name)
    found = scenes.parameter(name)
    if result is not None and found is None:
        op, line = result
        remedy = (
            "Convert the tensor first, then call `requires_grad_()`: that makes the converted tensor the leaf."
            if op == _CONVERSION
            else f"Call `{name}.retain_grad()` before the pass to keep its gradient."
        )
        made = f"`{name}` is a computed result: `{op}` made it on line {line}."
        sentence = f"{made} `backward()` fills `.grad` only for leaves. {remedy}"
        return _absent(scenes, name, "grad", step, sentence, line)
    passes, steps = scenes.recording.log.counts()[1:3]
    if not passes:
        call = next((each.lineno for each in scenes.syntax.statements(ast.Call) if is_backward(each)), None)
        sentence = (
            f"No pass has run yet: `backward()` is on line {call}."
            if call is not None
            else "The program never calls `backward()`."
        )
        return _absent(scenes, name, "grad", step, sentence, call)
    if found is not None:
        cleared = _cleared(scenes, found, steps - 1 if step is None else step)
        if cleared is not None:
            return _absent(scenes, name, "grad", step, *cleared)
    return _never_reached(scenes, name, found, step)


def bound_to_result(scenes: Scene, name: str) -> tuple[str, int] | None:
    """Return a sentence about the last line that bound the name of a parameter to a computed tensor, and the line."""
    steps = scenes.recording.log.counts()[2]
    for index in range(steps - 1, max(-1, steps - 1 - MOST_STEPS), -1):
        for rebind in scenes.recording.rebinds(index):
            if rebind.name != name or rebind.to is None or (rebind.to.is_leaf and rebind.to.requires_grad):
                continue
            made = f"which `{rebind.to.grad_fn}` computed" if rebind.to.grad_fn else "which was computed without gradients"
            return f"Line {rebind.line} binds `{name}` to a new tensor, {made}.", rebind.line
    return None


def rebinds(syntax: Syntax, name: str, line: int, first: int | None) -> bool:
    """Return whether a line of the program itself, outside functions, binds a name that ``first`` bound before."""
    values = [value for value in syntax.assigned(name) if syntax.function_of(value) is None]
    return first is not None and line > first and any(value.lineno <= line <= (value.end_lineno or 0) for value in values)


def _cleared(scenes: Scene, found: model.Parameter, step: int) -> tuple[str, int | None] | None:
    """Return the sentence and the line for a gradient that existed in a step and was cleared, or returned to the program."""
    recording = scenes.recording
    if not 0 <= step < recording.log.counts()[2]:
        return None
    row = next((each for each in recording.step_parameters(step, 0) if each.id == found.id), None)
    if row is None or row.contribution is None:
        return None
    event = recording.log.step(step)
    kinds = {recording.log.pass_(index).kind for index in event.passes}
    name = (found.names[-1] if found.names else None) or found.id
    if kinds == {"grad"}:
        line = recording.log.pass_(event.main).line if event.main >= 0 else None
        return (
            f"`torch.autograd.grad` on line {line} returned the gradient to the program and did not store it in `.grad`.",
            line,
        )
    line = next((each for each in clearing(scenes.syntax, name) if each in event.update or each in event.forward), None)
    where = f"line {line}" if line is not None else "the program"
    return f"A pass filled `{name}.grad` in step {step}, and {where} cleared it.", line


def clearing(syntax: Syntax, name: str) -> list[int]:
    """Return the lines that may set the gradient of a tensor to ``None``."""
    calls = [
        each.lineno
        for each in syntax.statements(ast.Call)
        if isinstance(each.func, ast.Attribute) and each.func.attr == "zero_grad" and not _keeps(each)
    ]
    sets = [
        each.lineno
        for each in syntax.statements(ast.Assign)
        if isinstance(each.value, ast.Constant) and each.value.value is None
        for target in each.targets
        if isinstance(target, ast.Attribute) and target.attr == "grad" and _may_be(syntax, target.value, name)
    ]
    return sorted({*calls, *sets})


def _keeps(call: ast.Call) -> bool:
    """Return whether a call of `zero_grad` sets gradients to zeros instead of ``None``."""
    given = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "set_to_none")]
    return any(isinstance(each, ast.Constant) and each.value is False for each in given)


def _may_be(syntax: Syntax, node: ast.expr, name: str) -> bool:
    """Return whether an expression may be a parameter: it has its name, or it is the variable of a loop."""
    text = syntax.text(node)
    return text == name or any(
        text in {each.id for each in ast.walk(loop.target) if isinstance(each, ast.Name)} for loop in syntax.statements(ast.For)
    )


def _never_reached(scenes: Scene, name: str, found: model.Parameter | None, step: int | None) -> Why:
    """Return the answer for a tensor that no pass reached: a line cut it off, or nothing computed from it is in the loss."""
    tensor, line = _made(scenes, name)
    if found is None and tensor is not None and not tensor.requires_grad:
        sentence = (
            f"`{name}` does not require a gradient. Create it with `requires_grad=True`, or call `{name}.requires_grad_()` "
            "before the first operation that uses it."
        )
        return _absent(scenes, name, "grad", step, sentence, line)
    if found is None and tensor is None and not _written(scenes.syntax, name):
        raise InvalidInput(f"There is no tensor {name[:60]!r}: {_known(scenes)}.", where="query.of")
    reached = [each for parameter in scenes.parameters.values() for each in parameter.names if each != name]
    cause = cut(scenes.syntax, [name], reached) or cut(scenes.syntax, [name], reached, anywhere=True)
    if cause is not None:
        return _absent(scenes, name, "grad", step, f"No pass reached `{name}`. {cause.why}", cause.line)
    when = f" in step {step}" if found is not None and step is not None else ""
    sentence = f"No pass reached `{name}`{when}: nothing that was computed from it is part of the loss."
    return _absent(scenes, name, "grad", step, sentence, found.line if found is not None else line)


def _absent(
    scenes: Scene, name: str, part: str, step: int | None, sentence: str, line: int | None, *, kind: Any = "absent"
) -> Why:
    line = line if line is not None and line > 0 else None
    return Why(
        of=f"{name}.{part}", name=with_element(f"{name}.{part}", 0, []), kind=kind, value=None, element=None, step=step,
        pass_=None, sentence=sentence, program_line=line, source=scenes.recording.source(line),
    )  # fmt: skip


def computed(scenes: Scene, name: str) -> tuple[str, int] | None:
    """Return the operation and the line that computed a tensor with a name."""
    graphs = len(scenes.recording.log.graph_sizes())
    for index in range(graphs - 1, max(-1, graphs - 4), -1):
        for node in scenes.recording.graph(index).nodes:
            if node.kind == "op" and node.name == name and node.line is not None:
                return node.op, node.line
    return None


def _made(scenes: Scene, name: str) -> tuple[model.TensorSummary | None, int | None]:
    """Return the last value of a line that assigns to a name, and the line."""
    lines = _assigned(scenes.syntax, name)
    rows = [row for row in scenes.recording.lines() if row.file is None and row.line in lines and row.tensor is not None]
    return (rows[-1].tensor, rows[-1].line) if rows else (None, lines[-1] if lines else None)


def _assigned(syntax: Syntax, name: str) -> list[int]:
    """Return the lines that assign to a name or an attribute."""
    return [
        statement.lineno
        for statement in syntax.statements(ast.Assign)
        for target in statement.targets
        for each in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
        if syntax.text(each) == name
    ]


def _written(syntax: Syntax, name: str) -> bool:
    """Return whether the program assigns to a name or, for a part of a module, has each of its attributes in its text."""
    if _assigned(syntax, name):
        return True
    root, *parts = name.split(".")
    known = {each.attr for each in syntax.statements(ast.Attribute)} | {"weight", "bias"}
    return bool(parts) and bool(syntax.assigned(root)) and all(part.isdigit() or part in known for part in parts)


def is_backward(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("backward", "grad")


def _known(scenes: Scene) -> str:
    names = [each for parameter in scenes.parameters.values() for each in parameter.names[:1]]
    return f"this run has {', '.join(names[:20])}" if names else "this run has no parameters"
