"""Answer what a program is run again for: the loss at other values of a parameter, a check by differences, local factors."""

from __future__ import annotations

import builtins
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import wire
from ..backward.passes import OpenPass
from ..emitter import Emitter
from ..forward.mode import ForwardMode
from ..source.marker import HOOK
from ..tensors.table import TableBuilder
from .evaluate import CannotReplay
from .gradcheck import GradientCheck
from .point import RecordedPoint
from .tape import Tape

MOST_FACTORS = 65_536
"""Numbers in the local derivatives of one node."""
MOST_GRAPHS = 200
"""Graphs whose first passes are checked where every graph is: some programs make a new one in each step."""
MOST_CALLS = 1_024
"""Elements that the outputs of a node whose derivatives are told may have: each takes a call."""
_AUTOGRAD: Any = torch.autograd


class ReplayFinished(BaseException):
    """What was asked for has been told: the program need not go on."""


class ReplayedStep:
    """The step that a replay was asked about. The program is stopped after it."""

    def __init__(self, order: wire.ReplayOrder, emitter: Emitter) -> None:
        self._order = order
        self._emitter = emitter
        self.answered = False
        """True once the replay has been answered or refused."""

    def step_ending(self, index: int) -> None:
        """Refuse the replay if its step is about to be emitted and no pass has answered it."""
        if index == self._order.step and not self._order.every and not self.answered:
            which = "node did not run in this pass" if self._order.what == "factors" else "pass was broken off"
            self._emitter.emit(wire.Refused(self._order.index, f"The {which}."))

    def step_ended(self, index: int) -> None:
        """Raise :class:`ReplayFinished` after the step that was asked about."""
        if index == self._order.step and not self._order.every:
            self._emitter.flush()
            raise ReplayFinished


class ReplayAnswerer:
    """Told of each pass and each step, it answers when the one comes that it was asked about.

    What it computes leaves the program as it was: leaves have stand-ins, and generators get their states back.
    """

    def __init__(
        self,
        order: wire.ReplayOrder,
        *,
        emitter: Emitter,
        tape: Tape,
        mode: ForwardMode,
        engine: Callable[..., Any],
        step: ReplayedStep,
    ) -> None:
        self._order = order
        self._emitter = emitter
        self._tape = tape
        self._mode = mode
        self._engine = engine
        self._step = step
        self._graphs: set[int] = set()
        self._found: dict[int, dict[int, Tensor]] = {}
        """The leaves of passes under way that will be asked about, as those found them: a hook may update one meanwhile."""

    def before_pass(self, begun: OpenPass) -> Sequence[Any]:
        """A pass is about to run; returns the handles of hooks to take off afterwards."""
        order, graph = self._order, begun.template.index
        new = graph not in self._graphs and len(self._graphs) < MOST_GRAPHS
        self._graphs.add(graph)
        if order.what != "factors" and (new if order.every else begun.facts.index == order.index):
            self._found[begun.facts.index] = {id(leaf): leaf.detach().clone() for leaf in begun.facts.leaves.values()}
        if order.what != "factors" or begun.facts.index != order.index:
            return ()
        if order.node >= len(begun.walk.nodes):
            return ()
        node = begun.walk.nodes[order.node]

        def arrived(gradients: Sequence[Tensor | None]) -> None:
            with torch._C.DisableTorchFunction():
                self._answer(begun, lambda: self._factors(begun, node, gradients))

        return (node.register_prehook(arrived),)

    def after_pass(self, begun: OpenPass, result: Any) -> None:
        """A pass has run."""
        found = self._found.pop(begun.facts.index, None)
        if found is not None:
            self._answer(begun, lambda: self._evaluated(begun, result, found))

    def _answer(self, begun: OpenPass, work: Callable[[], None]) -> None:
        self._step.answered = True
        try:
            with self._unseen():
                work()
        except CannotReplay as reason:
            self._refuse(begun, f"It cannot be evaluated again: {reason}.")
        except Exception as error:
            self._refuse(begun, f"It cannot be evaluated again: {type(error).__name__}: {error}"[:2_000])

    def _refuse(self, begun: OpenPass, reason: str) -> None:
        self._emitter.emit(wire.Refused(begun.facts.index, reason.encode("utf-8", "replace").decode()))

    @contextlib.contextmanager
    def _unseen(self) -> Iterator[None]:
        """Let the recorder see nothing of what is computed meanwhile, and the program draw the same numbers after it."""
        gate = _AUTOGRAD._engine_run_backward
        states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
        resting, self._tape.paused = self._tape.paused, True
        self._mode.paused += 1
        note = getattr(builtins, HOOK, None)  # there is none once the program has ended
        _AUTOGRAD._engine_run_backward = self._engine
        setattr(builtins, HOOK, lambda place, value: value)  # a function of the program's own is made of marked statements
        try:
            with torch.enable_grad():
                yield
        finally:
            _AUTOGRAD._engine_run_backward = gate
            setattr(builtins, HOOK, note)
            self._mode.paused -= 1
            self._tape.paused = resting
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.default_generator.set_state(states[2])

    # ------------------------------------------------------------------ the loss at other points

    def _evaluated(self, begun: OpenPass, result: Any, found: dict[int, Tensor]) -> None:
        point = RecordedPoint(begun, result, self._tape, found)
        with point.generators_kept():
            if self._order.what == "surface":
                point.prove()
                self._surface(begun, point)
            else:
                self._check(begun, point)

    def _surface(self, begun: OpenPass, point: RecordedPoint) -> None:
        targets = self._order.targets
        leaves = [begun.facts.leaves.get(target.parameter) for target in targets]
        places: list[tuple[Tensor, tuple[int, ...]]] = []
        for leaf, target in zip(leaves, targets, strict=True):
            if leaf is None or not 0 <= target.element < leaf.numel() or not leaf.is_floating_point():
                raise CannotReplay("the parameter takes no part in the pass, or has no such element")
            place = tuple(int(at) for at in np.unravel_index(target.element, tuple(leaf.shape))) if leaf.ndim else ()
            places.append((leaf, place))
        found = point.stand_ins()
        at = [found[id(leaf)][place].item() for leaf, place in places]
        slopes: list[float] = []
        for (_, place), target in zip(places, targets, strict=True):
            gradient = point.gradients.get(target.parameter)
            slopes.append(float("nan") if gradient is None else gradient[place].item())
        axes = [
            _axis(leaf, here, target, self._order.points) for (leaf, _), here, target in zip(places, at, targets, strict=True)
        ]
        losses: list[float] = []
        failed = bytearray()
        for values in _grid(axes):
            stand_ins = point.stand_ins()
            with torch.no_grad():
                for (leaf, place), value in zip(places, values, strict=True):
                    stand_ins[id(leaf)][place] = value
            try:
                losses.append(point.loss(stand_ins))
                failed.append(0)
            except CannotReplay:
                raise
            except Exception:  # a matrix that is singular there, say: the loss has no value at this point
                losses.append(float("nan"))
                failed.append(1)
        columns = [axis.double().numpy().astype("<f8").tobytes() for axis in axes]
        packed = np.array(losses, "<f8").tobytes()
        self._emitter.emit(wire.Surface(begun.facts.index, at, point.recorded, slopes, columns, packed, bytes(failed)))

    def _check(self, begun: OpenPass, point: RecordedPoint) -> None:
        differences = GradientCheck(point, self._order.elements, self._order.seconds)
        wanted = {target.parameter for target in self._order.targets}
        functions = [kind.removesuffix("Backward")[:300] for kind in point.own_functions()]
        for parameter, leaf in sorted(begun.facts.leaves.items()):
            if point.gradients.get(parameter) is not None and (parameter in wanted or not wanted):
                found = differences.of(parameter, leaf)
                self._emitter.emit(
                    found.told(begun.facts.index, parameter, differences.precision, differences.own, functions[:100])
                )

    # ------------------------------------------------------------------ factors

    def _factors(self, begun: OpenPass, node: Any, gradients: Sequence[Tensor | None]) -> None:
        call = node if callable(node) else node.apply
        ends = [_form(target, place) if target is not None else None for target, place in node.next_functions]

        def called(*given: Tensor | None) -> list[Tensor | None]:
            with torch.no_grad():
                out = call(*given)
            results = out if isinstance(out, tuple | list) else (out,)
            return [_fitted(result, end) for result, end in zip(results, ends, strict=False)]

        kept = [gradient.detach().clone() if gradient is not None else None for gradient in gradients]
        given = called(*kept)
        if any(tensor is not None and tensor.is_complex() for tensor in (*kept, *given)):
            raise CannotReplay("complex numbers have no one derivative for each of their elements")
        size = sum(gradient.numel() for gradient in kept if gradient is not None)
        results = sum(result.numel() for result in given if result is not None)
        if size > MOST_CALLS or size * results > MOST_FACTORS:
            raise CannotReplay(f"that would be {size * results:,} factors, and at most {MOST_FACTORS:,} are told")
        table = TableBuilder(MOST_FACTORS, "full")
        factors: list[wire.FactorRow] = []
        sums: dict[int, Tensor] = {}
        for output, gradient in enumerate(kept):
            if gradient is None:
                continue
            columns: dict[int, list[Tensor]] = {}
            for place in range(gradient.numel()):
                unit = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
                unit.view(-1)[place] = 1
                for slot, result in enumerate(called(*(unit if at == output else None for at in range(len(kept))))):
                    if result is not None:
                        columns.setdefault(slot, []).append(result.detach().clone())
            for slot, rows in columns.items():
                stacked = torch.stack(rows)
                total = torch.tensordot(gradient.reshape(-1).to(stacked.dtype), stacked, 1)
                sums[slot] = sums[slot] + total if slot in sums else total
                shape = (*gradient.shape, *stacked.shape[1:])
                factors.append(wire.FactorRow(slot, output, table.add(stacked.reshape(shape))))
        products = [
            wire.ProductRow(slot, table.add(result.detach().clone()), table.add(sums.get(slot)))
            for slot, result in enumerate(given)
            if result is not None
        ]
        index, place = begun.facts.index, self._order.node
        self._emitter.emit_with(table, lambda tensors: wire.Factors(index, place, factors, products, tensors))


def _form(node: Any, place: int) -> tuple[torch.Size, torch.dtype]:
    """The shape and dtype of what a node computed at one of its outputs."""
    variable = getattr(node, "variable", None)
    known = variable if variable is not None else node._input_metadata[place]
    return known.shape, known.dtype


def _fitted(result: Any, end: tuple[torch.Size, torch.dtype] | None) -> Tensor | None:
    """What a node gives, in the shape and dtype of what it is for: the engine sums over what was broadcast."""
    if not isinstance(result, Tensor) or end is None:
        return None
    shape, dtype = end
    return (result if result.shape == shape else result.sum_to_size(shape)).to(dtype)


def _axis(leaf: Tensor, here: float, target: wire.SweepTarget, points: int) -> Tensor:
    """The values that an element takes, each one that its dtype has."""
    width = max(abs(here), 1.0) if np.isfinite(here) else 1.0
    centre = here if np.isfinite(here) else 0.0
    low = centre - width if target.low is None else target.low
    high = centre + width if target.high is None else target.high
    return torch.linspace(low, high, points, dtype=torch.float64).to(leaf.dtype)


def _grid(axes: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    if len(axes) == 1:
        yield from ((value,) for value in axes[0])
    else:
        yield from ((first, second) for first in axes[0] for second in axes[1])
