"""The recording of any random program is correct, and recording does not change the program."""

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
from .run_twice import all_bits, recorded, unrecorded

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
def test_a_random_program_is_recorded_as_it_runs_unrecorded(program: str) -> None:
    check(program)


@pytest.mark.ops
@THOROUGH
@given(programs())
def test_two_thousand_random_programs_are_recorded_as_they_run_unrecorded(program: str) -> None:
    check(program)


def check(program: str) -> None:
    """Compare the recording of a program with runs of it without the recorder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = unrecorded(program)
        with watching() as passes, torch.autograd.detect_anomaly(check_nan=False):  # records where each node was made
            unrecorded(program)
        got, events, recording = recorded(program, values=1000)
    assert not failures(events)
    assert _without_node_names(str(got.error)) == _without_node_names(str(expected.error))
    assert _without_node_names(got.stdout) == _without_node_names(expected.stdout)
    assert all_bits(got.variables) == all_bits(expected.variables)
    passes_sent = [event for event in map(recording.log.pass_, range(recording.log.counts()[1])) if event.kind != "implicit"]
    assert [event.kind for event in passes_sent] == [seen.kind for seen in passes]
    for event, seen in zip(passes_sent, passes, strict=True):
        _check_pass(recording, event, seen)


def _without_node_names(text: str) -> str:
    """Return an error message without the names of nodes, the only part of a message that the recorder may change.

    After a write to a view, torch creates a new node for it when ``grad_fn`` is first read. The recorder reads ``grad_fn`` at
    once, to find the line. If the tensor fails a backward, torch then names the new node: "output 0 of AsStrided" instead of
    "output 0 of Tanh".
    """
    return re.sub(r"which is output \d+ of \w+", "which is an output", text)


def _check_pass(recording: Recording, event: wire.PassEvent, seen: Watched) -> None:
    numbers = recording.numbers(event.index)
    nodes = numbers.graph.nodes
    indexes = paired(numbers.graph, seen.roots)
    assert not untied(numbers.graph)
    for node, index in indexes.items():
        if nodes[index].kind == "op":
            assert nodes[index].line == _line(node), (nodes[index], _line(node))
    order = [nodes[index].op for index in wire.int32(event.order, "order")]
    if seen.failed:
        assert order == seen.order[: len(order)]
        return
    assert order == seen.order
    gradients = Gradients(numbers)
    used = ((nodes[index].op, output, gradients.bits(row)) for (index, output), row in gradients.used.items() if row >= 0)
    assert Counter(used) == seen.used
    gradients.check_sums()


def _line(node: Any) -> int:
    """Return the program's line that made a node, as anomaly mode recorded it."""
    lines = re.findall(r'File "<alone>", line (\d+)', "".join(node.metadata["traceback_"]))
    return int(lines[-1])
