"""Say what is right about a training that is written by hand: the leaf stays the leaf, and its gradient is cleared."""

from __future__ import annotations

from collections.abc import Iterator

from ... import model
from ...recording import Recording, Tensors
from ..syntax import Syntax
from ..updates import by_gradient, updates
from ..wording import listed

STEPS = 1_000
"""Steps that are looked at."""
FEW = 3
"""Steps that it takes to see a training."""


def leaf_kept(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Every parameter is written to in place by its gradient in every step, and has no old gradient in any."""
    count = recording.log.counts()[2]
    if not FEW <= count <= STEPS:
        return
    first = recording.log.step(0)
    names = [row.name for row in first.parameters if row.name is not None]
    written = {syntax.text(each.target): each for each in updates(syntax, first.update) if by_gradient(syntax, each.statement)}
    if not names or not set(names) <= set(written) or any(each.through_data for each in written.values()):
        return
    held = {row.parameter for row in first.parameters}
    for index in range(count):
        step = recording.log.step(index)
        rows = step.parameters
        if step.optimizer is not None or step.rebinds or {row.parameter for row in rows} != held or len(step.passes) != 1:
            return
        tensors = Tensors(step.tensors)
        if any(row.grad_used < 0 or row.contribution < 0 for row in rows):
            return
        if any(row.grad_before >= 0 and tensors.norm(row.grad_before) != 0 for row in rows):
            return
    one = len(names) == 1
    yield model.Finding(
        code="leaf-kept",
        severity="good",
        file=None,
        line=min(each.statement.lineno for name, each in written.items() if name in names),
        step=0,
        node=recording.leaf(first.main, f"p{first.parameters[0].parameter}"),
        message=f"{listed(names)} {'stays a leaf' if one else 'stay leaves'} through all {count} updates, and "
        f"{'its gradient is' if one else 'their gradients are'} cleared after each.",
        why="An update in place, where nothing is recorded, leaves the tensor that backward() knows. Optimizers do the same.",
        pass_=first.main,
    )
