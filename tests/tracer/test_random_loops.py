"""The recording of a random training loop does not depend on when the recorder reads its numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from tapedeck import wire
from tapedeck.tracer import emitter

from .random_loops import loops
from .run_twice import record

_QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
QUICK = settings(max_examples=40, derandomize=True, deadline=None, print_blob=True, suppress_health_check=_QUIET, database=None)
THOROUGH = settings(max_examples=2_000, deadline=None, print_blob=True, suppress_health_check=_QUIET)

Events = Callable[[str, int], list[wire.AnyEvent]]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    """Return a function that records a program, and reads pending tensors once there are more than a number of them."""

    def recorded(program: str, rows: int) -> list[wire.AnyEvent]:
        monkeypatch.setattr(emitter, "WAITING_ROWS", rows)
        return record(program, values=64)[0]

    monkeypatch.setattr(emitter, "INTERVAL", 1e9)
    monkeypatch.setattr(emitter, "MESSAGE_EVENTS", 1 << 30)
    return recorded


@pytest.mark.slow
@QUICK
@given(program=loops())
def test_a_random_loop_is_recorded_the_same_if_tensors_are_read_late(program: str, events: Events) -> None:
    check(program, events)


@pytest.mark.ops
@THOROUGH
@given(program=loops())
def test_two_thousand_random_loops_are_recorded_the_same_if_tensors_are_read_late(program: str, events: Events) -> None:
    check(program, events)


def check(program: str, events: Events) -> None:
    """Compare the events of a program whose tensors are read as soon as possible with those of one where they wait."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        at_once, later = events(program, 0), events(program, 1 << 30)
    assert not any(isinstance(event, wire.RecorderFailed) for event in at_once + later)
    assert [_packed(event) for event in later] == [_packed(event) for event in at_once]


def _packed(event: wire.AnyEvent) -> bytes:
    """Return an event as bytes, without the time that the program took."""
    if isinstance(event, wire.EndEvent):
        event = msgspec.structs.replace(event, duration_ms=0.0)
    return msgspec.msgpack.encode(event)
