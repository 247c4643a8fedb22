"""Evaluate an expression after statements of the program, without changing the program."""

from __future__ import annotations

import builtins
import contextlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..source.value_text import short_text, tensor_text
from ..source.watch_points import WATCH, WatchPoints
from .answers import ReplayFinished

BATCH: Final = 500
"""Number of values that are sent together."""
COMPARED: Final = 10_000
"""Number of elements up to which a watchpoint compares a tensor by its elements, and not only by its version."""
EXACT: Final = 2**53
"""The largest integer that is sent as a number; a larger one is sent as text."""
UNDEFINED: Final = (NameError, AttributeError, KeyError, IndexError)
"""The errors of an expression whose names do not exist yet. They are not sent if the order names no line."""


def watch_points(order: wire.ReplayOrder) -> WatchPoints | None:
    """Return the watch points at which an order needs its expression evaluated, or ``None`` if it has no expression."""
    return WatchPoints(order.line or None) if order.evaluates else None


class WatchedValue(NamedTuple):
    """A value of the expression after a statement on ``line``, as a number or a text."""

    line: int
    kind: int
    content: float | str


class WatchedValues:
    """Sends the values of a replay order to watch or to seek in batches, and stops the program after the order's step.

    An order to seek is complete at its first value that is not an error. The program is stopped at the end of that step.
    ``send_all`` sends what has to precede a batch, and the batch.
    """

    def __init__(self, order: wire.ReplayOrder, emitter: Emitter, send_all: Callable[[], None] | None = None) -> None:
        self._emitter = emitter
        self._send_all = self.send if send_all is None else send_all
        self._seeks = order.what == "seek"
        self.last = order.step
        """The step after which no further value is needed."""
        self.step = 0
        """The current step."""
        self._waiting: list[tuple[int, WatchedValue]] = []
        self._kept = 0
        self._omitted = 0
        self.complete = False
        """True once no further value is needed."""

    def add(self, value: WatchedValue) -> None:
        """Add a value to the batch, or only count it if :data:`~tapedeck.wire.WATCHED` values were added."""
        if self._kept >= wire.WATCHED:
            self._omitted += 1
            return
        self._kept += 1
        self._waiting.append((self.step, value))
        if self._seeks and value.kind != wire.IS_ERROR:
            self.complete = True
            self.last = self.step
        elif len(self._waiting) >= BATCH:
            self._send_all()

    def step_ending(self, index: int) -> None:
        """Send the values of the step."""
        self.send()

    def step_ended(self, index: int) -> None:
        """Raise :class:`ReplayFinished` after the last step."""
        self.step = index + 1
        if index >= self.last:
            self._emitter.flush()
            raise ReplayFinished

    def refuse(self, reason: str) -> None:
        """Send the reason why the expression cannot be evaluated at all."""
        self.complete = True
        self._emitter.emit(wire.ExpressionUnreadable(reason))
        self._emitter.flush()

    def send(self) -> None:
        """Send the values that were added since the last time."""
        if not (self._waiting or self._omitted):
            return
        steps = [step for step, _ in self._waiting]
        values = [value for _, value in self._waiting]
        texts = [value.content for value in values if isinstance(value.content, str)]
        numbers = [0.0 if isinstance(value.content, str) else value.content for value in values]
        self._emitter.emit(
            wire.ExpressionValues(
                steps=np.array(steps, "<i4").tobytes(),
                lines=np.array([value.line for value in values], "<i4").tobytes(),
                kinds=bytes(value.kind for value in values),
                numbers=np.array(numbers, "<f8").tobytes(),
                texts=texts,
                omitted=self._omitted,
            )
        )
        self._waiting, self._omitted = [], 0


class WatchedProgram(Protocol):
    """The running program whose variables an expression reads, as its recorder sees it."""

    def readable(self) -> bool:
        """Return whether the expression can be evaluated now."""

    def hidden(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which computations are not observed, and after which the random generators are restored."""

    def at(self, *, marked: bool) -> None:
        """Called before an evaluation. ``marked`` is true if a marked statement has run right before."""


class Watcher:
    """Evaluates the expression of an order each time the program reaches a watch point.

    Without a line, the expression is evaluated after every statement, and a value is sent if it differs from the one before.
    For a tensor, each write is a difference. An order to seek sends only true values and errors.
    """

    def __init__(self, order: wire.ReplayOrder, values: WatchedValues, program: WatchedProgram) -> None:
        self._values = values
        self._code = self._compile(order.expression)
        self._seeks = order.what == "seek"
        self._everywhere = order.line == 0
        self._program = program
        self._busy = False
        self._last: Any = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Evaluate the expression while the ``with`` block lasts."""
        setattr(builtins, WATCH, self._reached)
        try:
            yield
        finally:
            setattr(builtins, WATCH, _ignore)

    def _compile(self, expression: str) -> CodeType | None:
        try:
            return compile(expression.strip(), "<expression>", "eval", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            self._values.refuse(f"The expression is not valid Python: {reason}."[:1000])
            return None

    def _reached(self, line: int, marked: bool) -> None:
        """Evaluate the expression after a statement on ``line``, in the frame of the program that called the watch point."""
        if self._code is None or self._busy or self._values.complete or not self._program.readable():
            return
        self._program.at(marked=marked)
        frame = sys._getframe(1)
        self._busy = True
        try:
            with self._program.hidden(), torch.no_grad():
                value = self._evaluate(line, self._code, frame.f_globals, frame.f_locals)
        finally:
            self._busy = False
        if value is not None:
            self._values.add(value)

    def _evaluate(self, line: int, code: CodeType, global_names: dict[str, Any], local_names: Any) -> WatchedValue | None:
        """Return the value to send, or ``None`` if there is none."""
        try:
            value = eval(code, global_names, local_names)
            if self._seeks:
                return _described(line, value) if value else None
            identity = _identity(value) if self._everywhere else None
            if self._everywhere and identity == self._last:
                return None
            self._last = identity
            return _described(line, value)
        except Exception as error:
            if self._everywhere and isinstance(error, UNDEFINED):
                return None
            return WatchedValue(line, wire.IS_ERROR, _sendable(f"{type(error).__name__}: {error}"))


def _described(line: int, value: Any) -> WatchedValue:
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            return WatchedValue(line, wire.IS_TEXT, _sendable(tensor_text(value)))
        value = value.item()
    if isinstance(value, bool | np.bool_):
        return WatchedValue(line, wire.IS_TRUTH, float(value))
    if isinstance(value, float | np.floating) or (isinstance(value, int | np.integer) and abs(int(value)) <= EXACT):
        return WatchedValue(line, wire.IS_NUMBER, float(value))
    text = value if isinstance(value, str) else "None" if value is None else short_text(value)
    return WatchedValue(line, wire.IS_TEXT, _sendable(type(value).__name__ if text is None else text))


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[: wire.NAME_LENGTH]


def _identity(value: Any) -> Any:
    """Return a key that changes when the value is written to or its name is bound to another value."""
    if not isinstance(value, Tensor):
        return type(value), short_text(value)
    if value.layout is not torch.strided:
        return type(value), tensor_text(value)
    elements = b""
    if value.numel() <= COMPARED:
        elements = value.detach().resolve_conj().resolve_neg().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
    return value.data_ptr(), value._version, tuple(value.shape), elements


def _ignore(line: int, marked: bool) -> None:
    """Do nothing. This function replaces the watch after the recording has ended."""
