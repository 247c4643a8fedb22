"""Find updates that find no gradients, because the passes of the run only return them."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ... import wire
from ...recording import Recording, Tensors
from ..program.optimizers import optimizers
from ..program.syntax import Syntax
from ..program.updates import written_by
from .steps import is_zero


def step_in_vain(recording: Recording, syntax: Syntax, steps: Sequence[wire.StepEvent]) -> ast.Call | None:
    """Return the first ``step()`` of an optimizer in a loop, if no pass and no statement fills a ``.grad``.

    No parameter changes in these steps, so the program does not update them in another way.
    """
    passes = [recording.log.pass_(step.main) for step in steps if step.main >= 0]
    if not passes or any(each.kind == "backward" for each in passes) or any(_changes(step) for step in steps):
        return None
    calls = (call for optimizer in optimizers(syntax) for call in optimizer.calls(syntax, "step"))
    stepping = next((call for call in calls if not call.args and syntax.in_loop(call)), None)
    if stepping is None or any(_fills_gradient(each) for each in syntax.statements(ast.stmt)):
        return None
    return stepping


def _changes(step: wire.StepEvent) -> bool:
    """Return whether any parameter changes in a step."""
    tensors = Tensors(step.tensors)
    return not all(row.update < 0 or is_zero(tensors.summary(row.update)) for row in step.parameters)


def _fills_gradient(statement: ast.stmt) -> bool:
    """Return whether a statement may fill a ``.grad``."""
    written = statement.targets[0] if isinstance(statement, ast.Assign) else written_by(statement)
    return written is not None and any(isinstance(each, ast.Attribute) and each.attr == "grad" for each in ast.walk(written))
