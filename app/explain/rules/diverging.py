"""Tell of a loss that grows without bound, although each update goes against the gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import model, wire
from ...recording import Recording, Tensors
from ..syntax import Syntax
from ..wording import short

STEPS = 1_000
"""Steps that are looked at: a loss that diverges does so early."""
ROUNDS = 6
"""Steps one after another in which a loss must have grown."""
EACH = 1.2
"""By how much at least in each of them."""
ALL = 1e4
"""By how much in all of them, and against the least that the loss has been."""
AWAY = 10
"""By how much a parameter must have grown meanwhile."""
ON = 1.05
"""By how much it must grow in each of the last steps."""


def diverging(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """The loss grows by a factor in each of many steps, to many times what it was: the steps are too long."""
    series = recording.series(["loss:*"], count=STEPS)
    for key, numbers in series.values.items():
        known = series.present[key]
        losses, index = numbers[known], series.index[known]
        grown = _grown(losses)
        if grown is None:
            continue
        start, stop = grown
        steps = [recording.log.step(int(each)) for each in index[start : stop + 1]]
        if not _runs_away(recording, int(index[start]), int(index[stop])) or not all(
            _goes_down(step) for step in steps[:ROUNDS]
        ):
            continue
        name = key.removeprefix("loss:")
        each = float(losses[stop] / losses[start]) ** (1 / (stop - start))
        options = steps[0].optimizer or {}
        rate = options.get("lr")
        longer = f"lr = {rate:g} is too large here" if isinstance(rate, int | float) else "the step is too long"
        yield model.Finding(
            code="diverging",
            severity="warning",
            file=None,
            line=next(iter(steps[0].update), None),
            step=int(index[start]),
            node=None,
            message=f"`{name}` grows without bound: from {short(float(losses[start]))} in step {index[start]} to "
            f"{short(float(losses[stop]))} in step {index[stop]}.",
            why="Each update goes against the gradient, but so far beyond the minimum that the loss behind it is "
            f"{short(each)} times as high: {longer}.",
        )


def _grown(losses: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, int] | None:
    """Where the growth of a loss to its end begins and ends, if there is one; what is not finite may follow it."""
    finite = np.isfinite(losses)
    stop = (len(losses) if finite.all() else int(np.argmin(finite))) - 1
    start = stop
    while start > 0 and losses[start - 1] > 0 and losses[start] >= EACH * losses[start - 1]:
        start -= 1
    if stop - start < ROUNDS or losses[stop] < ALL * losses[start] or losses[stop] < ALL * losses[: start + 1].max():
        return None
    return start, stop


def _runs_away(recording: Recording, start: int, stop: int) -> bool:
    """Whether a parameter grows on and on as well: a loss that is weighed more and more grows alone."""
    series = recording.series(["p*"], start, stop + 1 - start)
    first, last = 0, len(series.index) - 1
    values = (np.abs(numbers) for numbers in series.values.values())
    return any(
        each[last] > AWAY * each[first + 2]
        and bool((each[last - ROUNDS + 2 : last + 1] > ON * each[last - ROUNDS + 1 : last]).all())
        for each in values
    )


def _goes_down(step: wire.StepEvent) -> bool:
    """Whether a step's updates go against the gradients, as far as these are known."""
    tensors = Tensors(step.tensors)
    along, there = 0.0, False
    for row in step.parameters:
        update, gradient = tensors.array(row.update), tensors.array(row.grad_used)
        if update is not None and gradient is not None and update.shape == gradient.shape and update.dtype.kind == "f":
            there = True
            with np.errstate(all="ignore"):
                along += float(np.sum(update.astype(np.float64) * gradient.astype(np.float64)))
    return there and along < 0
