"""Whatever program is written, its recording is the truth, and the program does not notice."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tapedeck import wire
from tapedeck.recording import Recording

from .graph_truth import Gradients, failures, paired, untied
from .independent_observer import Watched, watching
from .random_programs import programs
from .run_twice import all_bits, alone, recorded

QUICK = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
THOROUGH = settings(max_examples=2_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(programs())
def test_a_program_is_recorded_as_it_runs_alone(program: str) -> None:
    check(program)


@pytest.mark.ops
@THOROUGH
@given(programs())
def test_two_thousand_programs_are_recorded_as_they_run_alone(program: str) -> None:
    check(program)


def check(program: str) -> None:
    """Hold all that is recorded of a program against runs of it without us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = alone(program)
        with watching() as passes, torch.autograd.detect_anomaly(check_nan=False):  # which notes where each node was made
            alone(program)
        got, events, recording = recorded(program, values=1000)
    assert not failures(events)
    assert _said(str(got.error)) == _said(str(expected.error))
    assert _said(got.stdout) == _said(expected.stdout)
    assert all_bits(got.variables) == all_bits(expected.variables)
    told = [event for event in map(recording.log.pass_, range(recording.log.counts()[1])) if event.kind != "implicit"]
    assert [event.kind for event in told] == [seen.kind for seen in passes]
    for event, seen in zip(told, passes, strict=True):
        _check_pass(recording, event, seen)


def _said(text: str) -> str:
    """A text without the one word that the recorder is known to change.

    A view that was written to makes its node anew when it is asked for it, and the recorder asks at once, to know its line.
    Where such a tensor fails a backward by its version, torch then names the new node: "output 0 of AsStrided", not "of Tanh".
    """
    return re.sub(r"which is output \d+ of \w+", "which is an output", text)


def _check_pass(recording: Recording, event: wire.PassEvent, seen: Watched) -> None:
    numbers = recording.numbers(event.index)
    nodes = numbers.graph.nodes
    places = paired(numbers.graph, seen.roots)
    assert not untied(numbers.graph)
    for node, place in places.items():
        if nodes[place].kind == "op":
            assert nodes[place].line == _line(node), (nodes[place], _line(node))
    order = [nodes[place].op for place in wire.int32(event.order, "order")]
    if seen.failed:
        assert order == seen.order[: len(order)]
        return
    assert order == seen.order
    gradients = Gradients(numbers)
    used = ((nodes[place].op, output, gradients.bits(row)) for (place, output), row in gradients.used.items() if row >= 0)
    assert Counter(used) == seen.used
    gradients.check_sums()


def _line(node: Any) -> int:
    """The program's line that made a node, as anomaly mode noted it."""
    lines = re.findall(r'File "<alone>", line (\d+)', "".join(node.metadata["traceback_"]))
    return int(lines[-1])
