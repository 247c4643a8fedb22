"""Say where a program's own `.grad` is `None` although a pass computed the gradient."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .. import model
from ..explain.program.syntax import Syntax
from .absent import bound_to_result, clearing, computed, is_backward, rebinds
from .scene import Scene


def none_elsewhere(scenes: Scene, name: str, found: model.Parameter, step: int, pass_: int) -> str | None:
    """Return a sentence about the place where `.grad` of a leaf is `None`; ``None`` if there is none.

    The sentence belongs to the explanation of the gradient that ``pass_`` in ``step`` computed.
    """
    log = scenes.recording.log
    event = log.pass_(pass_)
    if event.kind == "implicit":
        return _not_run(scenes.syntax, name)
    if (bound := bound_to_result(scenes, name)) is not None:
        return f"{bound[0]} Its `.grad` is `None`: this is the gradient of the leaf that had the name before."
    made = computed(scenes, name)
    if made is not None and name in found.names and rebinds(scenes.syntax, name, made[1], found.line):
        return (
            f"Line {made[1]} binds `{name}` to a new tensor, which `{made[0]}` computed. Its `.grad` is `None`: this is the "
            "gradient of the leaf that had the name before."
        )
    if (line := _cleared_after(scenes, name, found, step)) is not None:
        return f"Line {line} clears it afterwards: then `{name}.grad` is `None`."
    if (early := next(_reads(scenes.syntax, name, event.line), None)) is not None and step == 0:
        return f"Line {early} reads `{name}.grad` before line {event.line} fills it: there it is `None`."
    return None


def _not_run(syntax: Syntax, name: str) -> str:
    """Return the sentence about a pass that Tapedeck ran itself, because the program did not."""
    own = f"the program's own `{name}.grad` is `None`. Tapedeck ran this pass itself."
    call = next((each for each in syntax.statements(ast.Call) if is_backward(each)), None)
    if call is None:
        return f"The program never calls `backward()`, so {own}"
    function = syntax.function_of(call)
    if function is not None and not syntax.calls(function.name) and not _is_called(syntax, function.name):
        return f"`backward()` is in `{function.name}`, which the program never calls, so {own}"
    parent = syntax.parent(call)
    while parent is not None and not isinstance(parent, ast.If | ast.FunctionDef):
        parent = syntax.parent(parent)
    under = f": it is under `if {syntax.text(parent.test)}`" if isinstance(parent, ast.If) else ""
    return f"`backward()` on line {call.lineno} did not run{under}, so {own}"


def _is_called(syntax: Syntax, function: str) -> bool:
    return any(isinstance(each.func, ast.Name) and each.func.id == function for each in syntax.statements(ast.Call))


def _cleared_after(scenes: Scene, name: str, found: model.Parameter, step: int) -> int | None:
    """Return the line that sets `.grad` to `None` after the pass, as the next step or the end of the program shows."""
    log = scenes.recording.log
    if step + 1 < log.counts()[2]:
        after = next((row for row in scenes.recording.step_parameters(step + 1, 0) if row.id == found.id), None)
        if after is None or after.grad_before is not None:
            return None
    lines = clearing(scenes.syntax, name)
    return next((line for line in lines if line in log.step(step).update), None)


def _reads(syntax: Syntax, name: str, line: int) -> Iterator[int]:
    """Yield the lines before a pass that read a gradient, unless they are repeated."""
    for each in syntax.statements(ast.Attribute):
        is_read = each.attr == "grad" and isinstance(each.ctx, ast.Load) and syntax.text(each) == f"{name}.grad"
        if is_read and each.lineno < line and syntax.repetition(each) is None:
            yield each.lineno
