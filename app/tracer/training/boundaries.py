"""Decide where a step ends and which loop iteration it belongs to. The decisions need neither torch nor the emitter.

A step has one or more passes, then an update. An update writes to a leaf of the step, binds the leaf's name to another
tensor, or clears the leaf's gradient. After an update the step ends at the next pass, or at the next iteration of its loop.

Without an update, a pass starts a new step if it shares no leaf with the earlier passes. There are two exceptions: the pass
runs in the same iteration of a loop as the last pass, or optimizers have leaves of this pass and of the earlier ones. In both
cases, the update is still to come.

Between a step's last pass and its update, a loop may begin another iteration. Only the event that follows shows whether
that iteration still belongs to the step, so the position is kept as a *border* until then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum

from msgspec import Struct


class PassPosition(Struct, frozen=True):
    """The facts that decide which step a pass belongs to. ``loops`` are the loops around the call, innermost first."""

    index: int
    parameters: Collection[int]
    loops: Sequence[int] = ()
    accumulates: bool = True
    nested: bool = False


class Action(Enum):
    """The action that an event requires."""

    IGNORE = "ignore"
    UPDATE = "update"
    """The event is part of the step's update."""
    BORDER = "border"
    """The lines that have run so far belong to the step."""
    END = "end"
    """The step ends."""
    FORGET = "forget"
    """The parameter's gradient is computed again within the step."""


class Decision(Struct, frozen=True):
    """An action. If the step ended before this event, ``before`` is the sequence number of the next step's first node."""

    action: Action
    before: int | None = None


class StepEnd(Struct, frozen=True):
    """The facts about a step that ends.

    ``main`` is the index of its main pass. ``loop`` is the loop whose iterations are steps, and ``iteration`` counts them
    from 0. ``progress`` is the number of iterations done and their total, ``None`` if the total is unknown. ``cut`` is the
    number of a node: lines that ran after the node was made belong to the next step. ``before`` is the number of the first node
    of the next step.
    """

    main: int
    loop: int | None
    iteration: int
    progress: tuple[int, int] | None
    cut: int | None
    before: int | None


IGNORE = Decision(Action.IGNORE)
"""The decision to do nothing."""
_UPDATE = Decision(Action.UPDATE)
_BORDER = Decision(Action.BORDER)
_END = Decision(Action.END)
_FORGET = Decision(Action.FORGET)


class StepBoundaries:
    """Stores the facts about the current step, and decides where the step ends.

    ``loops_with_passes`` are the loops whose source contains a call of a pass; more may be added later. ``have_optimizer``
    returns whether an optimizer has one of the given parameters. Numbers are the sequence numbers that autograd gives to nodes.
    """

    def __init__(self, loops_with_passes: Collection[int], have_optimizer: Callable[[Iterable[int]], bool]) -> None:
        self._loops_with_passes = loops_with_passes
        self._have_optimizer = have_optimizer
        self._iterations: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._entered: dict[int, int] = {}
        """For each loop, the number of the next node when the loop was entered."""
        self._suspended = 0
        self.start_step()

    def start_step(self) -> None:
        """Forget the step that has ended."""
        self._passes: list[tuple[PassPosition, tuple[int, ...]]] = []
        self._loops_of_passes: set[int] = set()
        self._parameters: set[int] = set()
        self._updating = False
        self._update_loops: frozenset[int] = frozenset()
        self._border: int | None = None
        self._next_begins: int | None = None
        """The number of the next node when ``optimizer.step(closure)`` began after an update; ``None`` at all other times."""

    @property
    def suspended(self) -> bool:
        """True inside an optimizer's ``step()``, where no step of the training ends. See the exception in :meth:`suspend`."""
        return self._suspended > 0

    def suspend(self, number: int | None = None) -> None:
        """End no step until each call of this method is undone by :meth:`resume`.

        There is one exception. If an optimizer is about to call a closure, ``number`` is the number of the next node. If the
        step has been updated already, it ends when the closure first clears a gradient or starts a pass.
        """
        if not self._suspended:
            self._next_begins = number if self._updating else None
        self._suspended += 1

    def resume(self) -> None:
        """Undo one call of :meth:`suspend`."""
        self._suspended -= 1
        if not self._suspended:
            self._next_begins = None

    # ------------------------------------------------------------------ passes

    def separates(self, position: PassPosition, *, concurrent: bool = False) -> bool:
        """Return whether the step ends before this pass begins. ``concurrent`` is true if other passes are running."""
        if not self._passes or concurrent:
            return False
        if self._suspended:
            return self._next_begins is not None
        return self._updating or not self._continues(position)

    def _continues(self, position: PassPosition) -> bool:
        if not self._parameters.isdisjoint(position.parameters):
            return True
        last, iterations = self._passes[-1]
        same_loop = last.loops and position.loops and position.loops[0] == last.loops[0]
        if same_loop and self._iteration(position.loops[0]) == iterations[0]:
            return True
        return self._have_optimizer(self._parameters) and self._have_optimizer(position.parameters)

    def _iteration(self, loop: int) -> int:
        return max(self._iterations.get(loop, 0), 0)

    def begin_pass(self, position: PassPosition) -> None:
        """Add a pass to the step."""
        self._passes.append((position, tuple(self._iteration(loop) for loop in position.loops)))
        self._loops_of_passes.update(position.loops)
        self._parameters.update(position.parameters)

    def end_pass(self) -> None:
        """Record that a pass has ended: the loop iteration that it ran in belongs to the step."""
        self._border = None

    def has_contribution(self, parameter: int) -> bool:
        """Return whether a pass of the step accumulates into a parameter."""
        return any(position.accumulates and parameter in position.parameters for position, _ in self._passes)

    # ------------------------------------------------------------------ updates

    def update(self, loops: Iterable[int]) -> bool:
        """Record an update inside these loops. Return whether it is the first update of the step."""
        if self._updating:
            return False
        self._updating = True
        self._update_loops = frozenset(loops)
        return True

    def clear(self, parameter: int, loops: Sequence[int]) -> Decision:
        """Decide about a gradient that was cleared inside these loops. Ignore it if no pass of the step accumulated into it."""
        if not self.has_contribution(parameter):
            return IGNORE
        if self._suspended:
            return _FORGET if self._next_begins is None else Decision(Action.END, self._next_begins)
        begun = self._begun_since(loops)
        return _UPDATE if begun is None else Decision(Action.END, begun)

    def _begun_since(self, loops: Sequence[int]) -> int | None:
        """Return the number of the next step's first node if the next step has already begun, else ``None``.

        The next step begins with another iteration, or with another loop that contains passes.
        """
        if self._border is not None and not self._updating:
            return self._border
        around = self._update_loops.union(*(position.loops for position, _ in self._passes))
        others = [loop for loop in loops if loop in self._loops_with_passes and loop not in around]
        return self._entered.get(others[-1]) if others else None

    # ------------------------------------------------------------------ loops

    def enter_loop(self, loop: int, length: int | None, number: int) -> Decision:
        """Record that a loop begins, with its number of iterations if known. The next node gets ``number``."""
        self._iterations[loop] = -1
        self._entered[loop] = number
        self._lengths[loop] = -1 if length is None else length
        if loop in self._loops_with_passes and self._passes and not self._updating and not self._suspended:
            return self._draw_border(number)
        return IGNORE

    def passes_over(self, loop: int) -> bool:
        """Record that an iteration begins and return ``True``. If a pass of the step is in its loop, only return ``False``."""
        if loop in self._loops_of_passes:
            return False
        self._iterations[loop] = self._iterations.get(loop, -1) + 1
        return True

    def next_iteration(self, loop: int, number: int) -> Decision:
        """Record that an iteration of a loop begins. A step inside that loop ends if it has been updated."""
        if self.passes_over(loop):
            return IGNORE
        self._iterations[loop] = self._iterations.get(loop, -1) + 1
        if self._suspended or not self._is_inside(loop):
            return IGNORE
        return _END if self._updating else self._draw_border(number)

    def _draw_border(self, number: int) -> Decision:
        """Mark a possible end of the step, unless there is one already."""
        if self._border is not None:
            return IGNORE
        self._border = number
        return _BORDER

    def _is_inside(self, loop: int) -> bool:
        """Return whether the step's loop is ``loop`` or a loop inside it."""
        main, iterations = self._main()
        inner, loops = self._loop_of(main, iterations)[0], main.loops
        return inner is not None and loop in loops and loops.index(loop) >= loops.index(inner)

    # ------------------------------------------------------------------ the end of a step

    def end(self, before: int | None = None) -> StepEnd | None:
        """Return the facts about the step, which ends now; ``None`` if it has no pass. :meth:`start_step` starts the next step.

        ``before`` is the number of the next step's first node. If no update or border has separated the two steps, the lines
        that ran after that node was made belong to the next step.
        """
        if not self._passes:
            return None
        main, iterations = self._main()
        loop, iteration = self._loop_of(main, iterations)
        progress = self._progress(main, iterations, loop) if loop is not None else None
        cut = before if not self._updating and self._border is None else None
        return StepEnd(main.index, loop, iteration, progress, cut, before)

    def _main(self) -> tuple[PassPosition, tuple[int, ...]]:
        """Return the last pass that accumulates and is not nested, or the first pass if there is none."""
        passes = self._passes
        return next((each for each in reversed(passes) if each[0].accumulates and not each[0].nested), passes[0])

    def _loop_of(self, main: PassPosition, iterations: tuple[int, ...]) -> tuple[int | None, int]:
        """Return the loop whose iterations are steps, and the current iteration.

        It is the innermost loop around both the main pass and the update. For a step without an update it is the innermost
        loop whose iteration is the same for all passes.
        """
        for loop, iteration in zip(main.loops, iterations, strict=True):
            if self._updating:
                found = loop in self._update_loops
            else:
                found = all((loop, iteration) in zip(position.loops, others, strict=True) for position, others in self._passes)
            if found:
                return loop, iteration
        return None, 0

    def _progress(self, main: PassPosition, iterations: tuple[int, ...], innermost: int) -> tuple[int, int] | None:
        """Return the number of iterations done and their total, over all iterations of the loops around ``innermost``."""
        done, total = 0, 1
        for loop, iteration in reversed(list(zip(main.loops, iterations, strict=True))):
            length = self._lengths.get(loop, -1)
            if length < 0:
                return None
            done, total = done * length + iteration, total * length
            if loop == innermost:
                break
        return done + 1, max(total, done + 1)
