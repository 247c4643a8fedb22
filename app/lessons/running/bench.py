"""Run the programs of lessons: in the sandbox, within the limits of every run, and in turn with all other runs."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ... import model
from ...errors import StoreFull
from ...inputs.request import Request
from ...replays import Replay, Replays
from ...runs.manager import Runs
from ...runs.run import LiveRun, RecordedRun
from ...runs.turns import Client
from ..cells.probes import probed
from ..document import Scope
from ..values import language
from ..values.language import BindingError, DifferenceQuotient
from ..values.observed import Observed

VALUES: Final = 1_024
"""Largest number of elements of a tensor that a binding can read."""
SLOPE_H: Final = 0.001
ELEMENTS: Final = 256
CHECKED_STEPS: Final = 4
"""Number of steps at the end of a run whose gradients are checked."""
OWNER: Final = "lessons"
"""Owner of the runs of lessons. Few of them are stored; no caller can list them."""


class Reads(msgspec.Struct):
    """The values of one recording that bindings read: paths at the end of cells, and numbers that replays compute."""

    paths: dict[int, set[str]] = msgspec.field(default_factory=dict)
    differences: set[DifferenceQuotient] = msgspec.field(default_factory=set)


def reads(bindings: Iterable[tuple[ast.expr, Scope | None]], cells: Mapping[str, int]) -> dict[str, Reads]:
    """Return the values that parsed bindings read from each recording. ``cells`` has the number of cells of each recording."""
    found = {name: Reads() for name in cells}
    for node, scope in bindings:
        for path in language.paths(node, cells.keys()):
            if (end := language.of_end(path, cells.keys())) is not None:
                found[end[0]].paths.setdefault(cells[end[0]] - 1, set()).add(language.of_tensor(end[1])[0])
            elif scope is not None and scope.recording in found:
                found[scope.recording].paths.setdefault(scope.cell, set()).add(language.of_tensor(ast.unparse(path))[0])
        if scope is not None and scope.recording in found:
            found[scope.recording].differences.update(language.differences(node))
    return found


class Bench:
    """Runs programs and replays for lessons. Create and use an instance on one event loop."""

    def __init__(self, runs: Runs, replays: Replays, limits: model.Limits) -> None:
        self._runs = runs
        self._replays = replays
        self._limits = limits

    async def observe(
        self,
        cells: Sequence[str],
        wanted: Reads,
        *,
        seed: int = 0,
        client: Client | None = None,
        stored: bool = False,
        address: str | None = None,
    ) -> Observed:
        """Run cells with probes, and return the recording.

        A ``stored`` run can be shown until it expires. No list contains it, and a full store does not keep it. ``address`` is
        a digest of the address from which the run was started.

        Raises :class:`Busy`, :class:`TooMany` or :class:`SandboxError` if the program cannot be run now.
        """
        program = probed(cells, wanted.paths)
        options = model.Options(seed=seed, values=min(VALUES, self._limits.kept_values))
        request = Request(program.program, options, store=stored)
        try:
            recorded = await self._runs.submit(request, OWNER, client=client, address=address)
        except StoreFull:
            recorded = await self._runs.submit(msgspec.structs.replace(request, store=False), OWNER, client=client)
        assert isinstance(recorded, LiveRun)  # the request has no idempotency key
        try:
            await recorded.until_ended()
        except asyncio.CancelledError:  # the caller has left
            self._runs.abandon(recorded)
            raise
        differences = {
            each: found for each in wanted.differences if (found := await self._difference(recorded, each, client)) is not None
        }
        return Observed(recorded, program, differences)

    async def verdict(self, observed: Observed, client: Client | None = None) -> str | None:
        """Return the worst verdict of a gradient check of the last steps: ``right``, ``wrong``, …; ``None`` without a pass."""
        recorded = observed.recorded
        verdicts = []
        for step in range(max(0, recorded.counts[2] - CHECKED_STEPS), recorded.counts[2]):
            if recorded.recording.log.step(step).main >= 0:
                replay = await self._replay(recorded, {"what": "check", "step": step}, client)
                verdicts += [leaf.verdict for leaf in replay.leaves or []]
        return next((each for each in ("wrong", "unknown", "kink", "defined", "right") if each in verdicts), None)

    async def _difference(self, recorded: RecordedRun, wanted: DifferenceQuotient, client: Client | None) -> float | None:
        """Return a slope or a difference quotient in the last step, or ``None`` if it cannot be computed."""
        step = recorded.counts[2] - 1
        if step < 0:
            return None
        if wanted.h is None:
            return await self._central(recorded, step, wanted.parameter, client)
        value = _element(recorded, step, wanted.parameter)
        h = wanted.h or SLOPE_H
        if value is None:
            return None
        body = {
            "what": "surface", "step": step, "parameters": [wanted.parameter], "points": 3, "ranges": [[value - h, value + h]],
        }  # fmt: skip
        replay = await self._replay(recorded, body, client)
        if not replay.loss or not replay.at:
            return None
        left, here, right = (float(loss) for loss in replay.loss)
        if not wanted.h:
            return float(replay.at["grad"])
        return {"central": (right - left) / (2 * h), "forward": (right - here) / h, "backward": (here - left) / h}[wanted.side]

    async def _central(self, recorded: RecordedRun, step: int, parameter: str, client: Client | None) -> float | None:
        name, _, index = parameter.partition("[")
        replay = await self._replay(
            recorded, {"what": "check", "step": step, "parameters": [name], "elements": ELEMENTS}, client
        )
        element = [int(each) for each in re.findall(r"\d+", index)]
        for leaf in replay.leaves or []:
            for checked in leaf.elements:
                if checked.element == element or not index:
                    return float(checked.computed)
        return None

    async def _replay(self, recorded: RecordedRun, body: Mapping[str, Any], client: Client | None) -> Replay:
        live = await self._replays.submit(recorded, msgspec.json.encode(body), OWNER, client)
        try:
            await live.until_ended()
        except asyncio.CancelledError:  # the caller has left
            self._replays.leave(live, OWNER)
            raise
        return live.current()


def _element(recorded: RecordedRun, step: int, parameter: str) -> float | None:
    """Return the value of a parameter, or of an element such as ``x[0]``, in a step."""
    name = parameter.partition("[")[0]
    row = next((each for each in recorded.step(step).parameters if each.name == name), None)
    value = row.value.values if row is not None and row.value is not None else None
    for index in re.findall(r"\d+", parameter.removeprefix(name)):
        if not isinstance(value, list) or int(index) >= len(value):
            raise BindingError(f"`{parameter}` is no element of `{name}`.")
        value = value[int(index)]
    return float(value) if isinstance(value, int | float) else None
