"""Deep and large graphs are recorded completely. If a graph is above the limit, the rest of its program is recorded."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tapedeck import wire
from tapedeck.model import Limits

from ..graph_truth import Gradients, failures, paired, untied
from ..run_twice import all_bits, record, recorded, unrecorded

STACK = 256 << 20
"""The stack size of a sandboxed process, in bytes."""
NODES = Limits().nodes

CHAIN = """\
import torch
x = torch.ones(1, requires_grad=True)
y = x
for i in range({count}):
    y = y * 1.0001
y.backward()
print(x.grad.item())
"""
NETWORK = """\
import torch
layers = [torch.nn.Linear(4, 4) for _ in range({count})]
model = torch.nn.Sequential(*[module for layer in layers for module in (layer, torch.nn.Tanh())])
loss = model(torch.randn(2, 4)).pow(2).mean()
loss.backward()
print(loss.item())
"""
FREED = """\
import torch
from functools import reduce
x = torch.ones(1, requires_grad=True)
y = reduce(torch.mul, [torch.tensor(1.000001)] * {count}, x)
{then}
z = (x * 3).sum()
x.grad = None
z.backward()
print(x.grad.item())
"""


@cache
def measured(program: str, limit: int = NODES) -> dict[str, Any]:
    """Record a program in a separate process and return its measurements."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("record_measured.py")), str(limit)],
        input=program,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.getrlimit(resource.RLIMIT_STACK)[1])),
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    measurements: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert measurements["status"] == "done"
    assert "RecorderFailed" not in measurements["signals"]
    return measurements


@pytest.mark.slow
def test_a_chain_of_100_000_nodes_is_recorded_completely() -> None:
    measurements = measured(CHAIN.format(count=100_000))
    assert measurements["graphs"] == [100_001]
    assert measurements["passes"] == [100_001]
    assert measurements["signals"] == []
    assert measurements["stdout"] == unrecorded(CHAIN.format(count=100_000)).stdout


@pytest.mark.slow
def test_a_network_of_80_000_nodes_is_recorded_completely() -> None:
    measurements = measured(NETWORK.format(count=16_000))
    assert measurements["graphs"] == [80_003]  # including the batch, a constant
    assert measurements["passes"] == [80_002]
    assert measurements["stdout"] == unrecorded(NETWORK.format(count=16_000)).stdout


@pytest.mark.ops
def test_memory_and_bytes_sent_are_linear_in_the_size_of_the_graph() -> None:
    counts = (25_000, 50_000, 100_000)
    found = [measured(CHAIN.format(count=count)) for count in counts]
    for what, most in (("peak", 12_000), ("bytes", 200)):
        first, second, third = (each[what] for each in found)
        earlier, later = (second - first) / 25_000, (third - second) / 50_000
        # the peak of a small graph may be below the peak of importing torch
        assert later < max(1.5 * earlier, most / 2), (what, earlier, later)
        assert later < most, (what, later)


@pytest.mark.ops
@pytest.mark.parametrize("then", ["del y", "y.backward(retain_graph=True)\ny = None"])
def test_a_graph_above_the_limit_is_freed_as_in_an_unrecorded_run(then: str) -> None:
    program = FREED.format(count=300_000, then=then)
    measurements = measured(program)
    assert measurements["stdout"] == "3.0\n"
    assert measurements["graphs"] == [3]
    assert ("GraphTooLarge" in measurements["signals"]) == ("backward" in then)


@pytest.mark.ops
def test_a_graph_of_51_000_leaves_is_recorded() -> None:
    program = (
        "import torch\nleaves = [torch.ones(2, requires_grad=True) for _ in range(51_000)]\n"
        "torch.stack(leaves).sum().backward()\nprint(sum(leaf.grad.sum().item() for leaf in leaves))\n"
    )
    measurements = measured(program)
    assert measurements["graphs"] == [51_002]
    assert measurements["stdout"] == "102000.0\n"


def test_passes_before_and_after_a_graph_above_the_limit_are_recorded() -> None:
    program = """\
import torch
w = torch.ones(3, requires_grad=True)
def train(count):
    y = w
    for i in range(count):
        y = y * 1.01
    y.sum().backward()
    with torch.no_grad():
        w.sub_(0.01 * w.grad)
        w.grad = None
for count in (3, 5, 200, 4):
    train(count)
print(w)
"""
    got, events, recording = recorded(program, nodes=100)
    expected = unrecorded(program)
    assert not failures(events)
    assert got.stdout == expected.stdout
    assert all_bits(got.variables) == all_bits(expected.variables)
    assert [len(recording.graph(index).nodes) for index in range(recording.log.counts()[0])] == [5, 7, 6]
    assert [type(event) for event in events if isinstance(event, wire.Signal)] == [wire.GraphTooLarge]
    (signal,) = [event for event in events if isinstance(event, wire.Signal)]
    assert signal.line == 7


@pytest.mark.parametrize("last", ["y", "z = y", "y.backward()"])
def test_a_shown_graph_above_the_limit_has_a_value_and_no_implicit_pass(last: str) -> None:
    program = f"import torch\nx = torch.ones(1, requires_grad=True)\ny = x\nfor i in range(50):\n    y = y * 2\n{last}\n"
    events, recording = record(program, nodes=20)
    assert not failures(events)
    assert [type(event) for event in events if isinstance(event, wire.Signal)] == [wire.GraphTooLarge]
    assert recording.log.counts()[1] == 0
    shown = {line.line: line.text for line in recording.lines()}
    assert shown[5] == str(torch.tensor([2.0**50], requires_grad=True) * 1)


def test_a_graph_with_exactly_as_many_nodes_as_the_limit_is_recorded() -> None:
    program = CHAIN.format(count=19)
    for limit, graphs in ((20, 1), (19, 0)):
        _, recording = record(program, nodes=limit)
        assert recording.log.counts()[0] == graphs


def test_a_table_that_is_too_large_omits_the_largest_elements_then_statistics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tapedeck.tracer.tensors import table

    program = (
        "import torch\nx = torch.ones(2, 8, requires_grad=True)\ny = (x * 3).tanh() @ torch.ones(8, 1)\ny.sum().backward()\n"
    )
    _, whole = record(program)
    monkeypatch.setattr(table, "TABLE_BYTES", 600)
    got, events, recording = recorded(program)
    assert torch.equal(got.variables["x"].grad, unrecorded(program).variables["x"].grad)
    assert recording.graph(0) == whole.graph(0)
    assert not untied(recording.graph(0))
    assert [type(event) for event in events if isinstance(event, wire.Signal)] == [wire.NumbersLeftOut]
    full, short = (each.numbers(0) for each in (whole, recording))
    kept = 0
    for index in range(len(full.graph.edges)):
        one, other = full.edge(index), short.edge(index)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert other.shape == one.shape
            assert other.values in (None, one.values)
            assert other.norm in (None, one.norm)
            kept += other.norm is not None
    assert kept
    for event in events:
        if isinstance(event, wire.PassEvent | wire.StepEvent):
            assert len(event.tensors.values) + len(event.tensors.stats) + len(event.tensors.counts) <= 600


def test_large_events_are_sent_in_separate_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapedeck.tracer import emitter

    monkeypatch.setattr(emitter, "MESSAGE_BYTES", 64)
    got, events, recording = recorded(CHAIN.format(count=30))
    assert isinstance(events[-1], wire.EndEvent)
    assert paired(recording.graph(0), [got.variables["y"].grad_fn])
    assert Gradients(recording.numbers(0)).check_sums() == 30


@pytest.mark.parametrize("what", ["attach", "Template", "describe", "Walk"])
def test_a_pass_runs_unrecorded_if_memory_runs_out_and_the_next_is_recorded(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tapedeck.tracer.backward import engine, graphs, passes

    program = (
        "import torch\nw = torch.ones(2, requires_grad=True)\nfor i in range(3):\n"
        "    loss = (w * w).sum()\n    loss.backward()\n"
        "    print(w.grad)\n    with torch.no_grad():\n        w -= w.grad\n        w.grad = None\n"
    )
    owner = {"attach": passes.GradientCapture, "Walk": engine}.get(what, graphs)
    original, calls = getattr(owner, what), 0

    def full(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise MemoryError
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, what, full)
    got, events, recording = recorded(program)
    assert got.error is None
    assert got.stdout == unrecorded(program).stdout
    assert failures(events) == ["MemoryError: "]
    passes_sent = [recording.log.pass_(index) for index in range(recording.log.counts()[1])]
    assert [event.graph for event in passes_sent][-2:] == [0, 0]
    assert len(passes_sent) == (3 if what == "attach" else 2)


@pytest.mark.parametrize("dimensions", [65, 255])
def test_a_tensor_of_many_dimensions_is_recorded(dimensions: int) -> None:
    shape = f"[1] * {dimensions}"
    program = f"import torch\nx = torch.ones({shape}, requires_grad=True)\nx.view(-1).sum().backward()\nprint(x.grad.ndim)\n"
    got, events, recording = recorded(program)
    assert not failures(events)
    assert got.stdout == f"{dimensions}\n"
    gradient = recording.step(0).parameters[0].grad_after
    assert gradient is not None
    assert gradient.shape == [1] * dimensions


def test_a_graph_that_could_not_be_freed_on_a_small_stack_is_not_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 20, resource.RLIM_INFINITY))
    events, _ = record(CHAIN.format(count=6_000) + "(x * 2).backward()\nprint(x.grad)\n")
    assert [event.limit for event in events if isinstance(event, wire.GraphTooLarge)] == [4_096]
    assert [event.graph for event in events if isinstance(event, wire.PassEvent)] == [0]
