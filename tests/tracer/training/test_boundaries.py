"""Step boundaries are decided from plain facts: passes, updates, cleared gradients and loop iterations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest
from tapedeck.tracer.training.boundaries import Action, PassPosition, StepBoundaries

OUTER, INNER = 0, 1
"""A loop and a nested loop, both of which contain passes."""


class Run:
    """Applies events to boundaries as the recorder does, and lists the steps by their passes.

    ``optimized`` are the parameters of optimizers. Each event advances the number of the next node by 1.
    """

    def __init__(self, optimized: Sequence[int] = ()) -> None:
        self.boundaries = StepBoundaries({OUTER, INNER}, lambda parameters: not set(optimized).isdisjoint(parameters))
        self.steps: list[list[int]] = []
        self.loops: list[tuple[int | None, int]] = []
        """The loop of each step, and its iteration."""
        self.mains: list[int] = []
        self.progress: list[tuple[int, int] | None] = []
        self.cleared: list[Action] = []
        """The decision about each cleared gradient."""
        self.passes: list[int] = []
        self.begun = 0
        self.number = 0

    def apply(self, events: Iterable[Event]) -> Run:
        for event in events:
            self.number += 1
            event(self)
        self.end_step()
        return self

    def end_step(self, before: int | None = None) -> None:
        end = self.boundaries.end(before)
        if end is not None:
            self.steps.append(self.passes)
            self.loops.append((end.loop, end.iteration))
            self.mains.append(end.main)
            self.progress.append(end.progress)
            self.passes = []
            self.boundaries.start_step()


Event = Callable[[Run], object]


def backward(*parameters: int, loops: Sequence[int] = (OUTER,), accumulates: bool = True, nested: bool = False) -> Event:
    def event(run: Run) -> None:
        position = PassPosition(run.begun, parameters, loops, accumulates, nested)
        if run.boundaries.separates(position, concurrent=nested):
            run.end_step(run.number)
        run.boundaries.begin_pass(position)
        run.passes.append(run.begun)
        run.begun += 1
        run.boundaries.end_pass()

    return event


def update(loops: Sequence[int] = (OUTER,)) -> Event:
    return lambda run: run.boundaries.update(loops)


def clear(parameter: int, loops: Sequence[int] = (OUTER,)) -> Event:
    def event(run: Run) -> None:
        decision = run.boundaries.clear(parameter, loops)
        run.cleared.append(decision.action)
        if decision.action is Action.END:
            run.end_step(decision.before)
        elif decision.action is Action.UPDATE:
            run.boundaries.update(loops)

    return event


def enter(loop: int, length: int | None = None) -> Event:
    return lambda run: run.boundaries.enter_loop(loop, length, run.number)


def iterate(loop: int) -> Event:
    def event(run: Run) -> None:
        if run.boundaries.next_iteration(loop, run.number).action is Action.END:
            run.end_step()

    return event


def closure(*events: Event) -> list[Event]:
    """Return the events of ``optimizer.step(closure)``, whose update comes last."""
    return [lambda run: run.boundaries.suspend(), *events, lambda run: run.boundaries.resume(), update()]


def loop(*body: Event, count: int = 2, index: int = OUTER) -> list[Event]:
    return [enter(index, count), *(event for _ in range(count) for event in (iterate(index), *body))]


EACH_ITERATION = [(OUTER, 0), (OUTER, 1)]
NO_LOOP = (None, 0)
INSIDE = (INNER, OUTER)
CASES: dict[str, tuple[list[Event], list[list[int]], list[tuple[int | None, int]]]] = {
    "one pass without a loop": ([backward(0, loops=())], [[0]], [NO_LOOP]),
    "a pass and an update in a loop": (loop(backward(0), update()), [[0], [1]], EACH_ITERATION),
    "a GAN: two models, two updates": (
        loop(backward(0), update(), backward(1), update()),
        [[0], [1], [2], [3]],
        [(OUTER, 0), (OUTER, 0), (OUTER, 1), (OUTER, 1)],
    ),
    "gradient accumulation in an inner loop": (
        loop(*loop(backward(0, loops=INSIDE), index=INNER), update()),
        [[0, 1], [2, 3]],
        EACH_ITERATION,
    ),
    "gradient accumulation in one loop, updated after it": (
        [*loop(backward(0)), update(loops=())],
        [[0, 1]],
        [NO_LOOP],
    ),
    "a functional update after autograd.grad": (
        loop(backward(0, accumulates=False), update()),
        [[0], [1]],
        EACH_ITERATION,
    ),
    "two losses of one leaf in one iteration": (
        loop(backward(0), backward(0), update()),
        [[0, 1], [2, 3]],
        EACH_ITERATION,
    ),
    "two losses of different leaves in one iteration": (
        loop(backward(0), backward(1), update()),
        [[0, 1], [2, 3]],
        EACH_ITERATION,
    ),
    "two passes of different leaves without a loop": (
        [backward(0, loops=()), backward(1, loops=())],
        [[0], [1]],
        [NO_LOOP, NO_LOOP],
    ),
    "two passes of one leaf without a loop": ([backward(0, loops=()), backward(0, 1, loops=())], [[0, 1]], [NO_LOOP]),
    "two passes in different iterations without an update": (
        [enter(OUTER), iterate(OUTER), backward(0), iterate(OUTER), backward(1)],
        [[0], [1]],
        EACH_ITERATION,
    ),
    "optimizer.step(closure) that computes the gradient twice": (
        loop(*closure(clear(0), backward(0), clear(0), backward(0))),
        [[0, 1], [2, 3]],
        EACH_ITERATION,
    ),
    "the gradient is cleared before the pass": (loop(clear(0), backward(0), update()), [[0], [1]], EACH_ITERATION),
    "the gradient is cleared before the update": (loop(backward(0), clear(0), update()), [[0], [1]], EACH_ITERATION),
    "the gradient is cleared in the next iteration, without an update": (
        loop(clear(0), backward(0)),
        [[0], [1]],
        EACH_ITERATION,
    ),
    "the gradient is cleared in a loop that begins after the step": (
        [backward(0, loops=()), *loop(clear(0), backward(0), update())],
        [[0], [1], [2]],
        [NO_LOOP, *EACH_ITERATION],
    ),
    "the gradient is cleared in a loop that begins after the update": (
        [backward(0, loops=()), update(loops=()), enter(OUTER), clear(0), iterate(OUTER), backward(0)],
        [[0], [1]],
        [NO_LOOP, (OUTER, 0)],
    ),
    "a nested pass": (
        loop(backward(0), backward(1, nested=True), update()),
        [[0, 1], [2, 3]],
        EACH_ITERATION,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_passes_are_divided_into_steps(case: str) -> None:
    events, steps, loops = CASES[case]
    run = Run().apply(events)
    assert run.steps == steps
    assert run.loops == loops


def test_passes_of_different_leaves_share_a_step_if_optimizers_hold_both() -> None:
    events = [backward(0, loops=()), backward(1, loops=()), update(loops=())]
    assert Run(optimized=[0, 1]).apply(events).steps == [[0, 1]]
    assert Run(optimized=[0]).apply(events).steps == [[0], [1]]


@pytest.mark.parametrize(
    ("events", "actions"),
    [
        ([clear(0)], [Action.IGNORE]),
        ([backward(1), clear(0)], [Action.IGNORE]),
        ([backward(0, accumulates=False), clear(0)], [Action.IGNORE]),
        ([backward(0), clear(0)], [Action.UPDATE]),
        ([enter(OUTER), iterate(OUTER), backward(0), iterate(OUTER), clear(0)], [Action.END]),
        ([enter(OUTER), iterate(OUTER), backward(0), update(), clear(0)], [Action.UPDATE]),
        (closure(clear(0), backward(0), clear(0)), [Action.IGNORE, Action.FORGET]),
    ],
)
def test_clearing_a_gradient_is_an_update_or_ends_the_step(events: list[Event], actions: list[Action]) -> None:
    assert Run().apply(events).cleared == actions


def test_the_main_pass_is_the_last_that_accumulates_and_is_not_nested() -> None:
    events = [backward(0), backward(0), backward(0, accumulates=False), backward(0, nested=True)]
    assert Run().apply(events).mains == [1]
    assert Run().apply([backward(0, accumulates=False), backward(0, accumulates=False)]).mains == [0]


def test_progress_counts_through_nested_loops_of_known_length() -> None:
    inner = loop(backward(0, loops=INSIDE), update(loops=INSIDE), count=3, index=INNER)
    assert Run().apply(loop(*inner)).progress == [(done, 6) for done in range(1, 7)]
    unknown = [enter(OUTER), iterate(OUTER), *inner]
    assert Run().apply(unknown).progress == [None] * 3
    assert Run().apply([backward(0, loops=())]).progress == [None]


def test_lines_after_the_next_step_s_first_node_are_cut_off_unless_an_update_or_a_border_precedes_it() -> None:
    def cut(*events: Event) -> int | None:
        run = Run()
        for event in events:
            event(run)
        end = run.boundaries.end(before=7)
        assert end is not None
        assert end.before == 7
        return end.cut

    assert cut(backward(0)) == 7
    assert cut(backward(0), update()) is None
    assert cut(enter(OUTER), iterate(OUTER), backward(0), iterate(OUTER)) is None


def test_a_border_is_set_once_and_a_pass_removes_it() -> None:
    boundaries = Run().boundaries
    boundaries.enter_loop(OUTER, None, 0)
    boundaries.next_iteration(OUTER, 0)
    boundaries.begin_pass(PassPosition(0, [0], (OUTER,)))
    assert boundaries.next_iteration(OUTER, 5).action is Action.BORDER
    assert boundaries.next_iteration(OUTER, 9).action is Action.IGNORE
    assert boundaries.clear(0, (OUTER,)).before == 5
    boundaries.end_pass()
    assert boundaries.next_iteration(OUTER, 11).action is Action.BORDER
