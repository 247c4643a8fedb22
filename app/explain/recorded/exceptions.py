"""Collect the exceptions that autograd raised in a run, each once, with the pass and the node that failed."""

from __future__ import annotations

from dataclasses import dataclass

from ... import model, wire
from ...recording import Recording

MESSAGE_LIMIT = 1_000
"""Largest number of characters of a message in a signal. Messages are compared up to this length."""


@dataclass(frozen=True)
class AutogradException:
    """An exception that autograd raised.

    ``line`` is the line that called into autograd, ``raised`` the line inside a hook or a custom function that raised.
    ``ended`` is True if the exception ended the run. ``pass_`` and ``node`` are the pass and the node that failed, if any.
    If a tensor saved by ``node`` was overwritten, ``saved`` is its name, such as ``result``, and ``changed`` the line that
    overwrote it. ``earlier`` is the pass that had already run ``node``.
    """

    type: str
    message: str
    line: int | None
    ended: bool
    pass_: int | None = None
    step: int | None = None
    node: model.Node | None = None
    raised: int | None = None
    saved: str | None = None
    changed: int | None = None
    earlier: int | None = None


def autograd_exceptions(recording: Recording) -> list[AutogradException]:
    """Return the exceptions of a run. The one that ended the run is last. It may have been raised outside of autograd."""
    failed = _innermost(recording, recording.signals(wire.PassFailed))
    end = _end(recording)
    ended_by = next((signal for signal in reversed(failed) if end is not None and _same(signal, end)), None)
    found = [_of_pass(recording, signal, ended=signal is ended_by) for signal in failed]
    keys = {(exception.type, exception.message[:MESSAGE_LIMIT], exception.raised or exception.line) for exception in found}
    for signal in recording.signals(wire.Caught):
        key = (signal.error, signal.message, _line(signal.line))
        again = end is not None and key == (end.type, end.message[:MESSAGE_LIMIT], _line(end.line))
        if key not in keys and not again:
            keys.add(key)
            found.append(AutogradException(*key, ended=False))
    if end is not None and ended_by is None:
        found.append(AutogradException(end.type, end.message, _line(end.line), ended=True))
    return sorted(found, key=lambda exception: exception.ended)


def _end(recording: Recording) -> wire.ProgramFailure | None:
    for event in recording.log.others():
        if isinstance(event, wire.EndEvent) and event.status == "failed":
            return event.failure
    return None


def _same(signal: wire.PassFailed, end: wire.ProgramFailure) -> bool:
    return (
        signal.error == end.type
        and signal.message == end.message[:MESSAGE_LIMIT]
        and (signal.raised if signal.raised > 0 else signal.line) == end.line
    )


def _innermost(recording: Recording, signals: list[wire.PassFailed]) -> list[wire.PassFailed]:
    """Return the signals of the innermost failed passes. Each pass around them fails with the same exception."""
    around: set[tuple[int, str]] = set()
    found = []
    for signal in signals:
        index, message = signal.pass_, signal.message
        if (index, message) in around:
            continue
        found.append(signal)
        while (event := _pass(recording, index)) is not None and 0 <= event.parent < index:
            index = event.parent
            if (index, message) in around:
                break  # the set already has the passes around this one
            around.add((index, message))
    return found


def _of_pass(recording: Recording, signal: wire.PassFailed, *, ended: bool) -> AutogradException:
    event = _pass(recording, signal.pass_)
    node: model.Node | None = None
    if event is not None and event.graph >= 0:
        nodes = recording.graph(event.graph).nodes
        node = nodes[event.failed] if 0 <= event.failed < len(nodes) else None
    return AutogradException(
        type=signal.error,
        message=signal.message,
        line=_line(signal.line),
        ended=ended,
        pass_=event.index if event is not None else None,
        step=event.step if event is not None and 0 <= event.step < recording.log.counts()[2] else None,
        node=node,
        raised=_line(signal.raised),
        saved=signal.saved,
        changed=_line(signal.changed),
        earlier=recording.last_pass(signal.earlier, before=signal.pass_),
    )


def _pass(recording: Recording, index: int) -> wire.PassEvent | None:
    return recording.log.pass_(index) if 0 <= index < recording.log.counts()[1] else None


def _line(line: int) -> int | None:
    return line if line > 0 else None
