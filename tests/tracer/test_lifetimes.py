"""Nothing of the recorder keeps the program's objects alive.

The recorder keeps tensors until it has read them, unless the program looks at the lifetimes of its objects. Programs that do so
are in ``tests/programs/lifetimes``. They print when a tensor, a module or an object that a graph holds is freed.
"""

from __future__ import annotations

import builtins
import weakref
from pathlib import Path
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.tracer.source import lines

from .run_twice import record, recorded, unrecorded

PROGRAMS = sorted((Path(__file__).parent.parent / "programs" / "lifetimes").glob("*.py"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Return the weak references to the objects with which a program calls ``see``."""
    references: list[weakref.ref[Any]] = []
    monkeypatch.setattr(builtins, "see", lambda each: references.append(weakref.ref(each)), raising=False)
    monkeypatch.setattr(builtins, "alive", lambda: sum(each() is not None for each in references), raising=False)
    return references


LEAVES = {
    "a new input in each step": "for i in range(6):\n    x = torch.ones(3, requires_grad=True)\n    see(x)\n"
    "    (x * w).sum().backward()\n    time.sleep(0)\n    print(alive())\n",
    "an attack": "w.requires_grad_(False)\nfor i in range(6):\n    x = torch.ones(3).requires_grad_()\n    see(x)\n"
    "    g = torch.autograd.grad((x * w).sum(), x)[0]\n    x = (x + g.sign()).detach()\n"
    "    time.sleep(0)\n    print(alive())\n",
    "a model in each step": "for i in range(6):\n    m = torch.nn.Linear(3, 1)\n    see(m.weight)\n"
    "    o = torch.optim.SGD(m.parameters(), 0.1)\n    m(w).sum().backward()\n    o.step()\n"
    "    time.sleep(0)\n    print(alive())\n",
}


@pytest.mark.parametrize("kind", LEAVES)
def test_a_leaf_is_freed_at_the_latest_after_the_next_step(kind: str, seen: list[weakref.ref[Any]]) -> None:
    # everything that waits is sent before the program sleeps
    events, recording = record(f"import time, torch\nw = torch.ones(3, requires_grad=True)\n{LEAVES[kind]}")
    assert len(seen) == 6
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert max(map(int, recording.stdout().split())) <= 2


def test_the_large_tensors_of_lines_that_the_program_has_freed_take_limited_memory(
    seen: list[weakref.ref[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LARGE_ELEMENTS", 1_000)
    monkeypatch.setattr(lines, "LARGE_BYTES", 3 * 4_000)
    made = "".join(f"x = torch.full((1000,), {index}.0)\nsee(x)\n" for index in range(12))
    program = f"import time, torch\n{made}time.sleep(0)\nprint(alive())\nx = None\nprint(alive())\n"
    events, recording = record(program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert recording.stdout() == "4\n3\n"
    shown = {line.line: line.text or "" for line in recording.lines()}
    assert [f" {index}.," in shown[2 + 2 * index] for index in range(12)] == [True] * 12, shown


def test_a_parameter_of_a_freed_leaf_keeps_its_name_and_its_numbers() -> None:
    program = (
        "import torch, time\nfor i in range(4):\n    x = torch.full((2,), i + 1.0, requires_grad=True)\n"
        "    (x * x).sum().backward()\n    time.sleep(0)\n"
    )
    events, recording = record(program)
    assert [event.name for event in events if isinstance(event, wire.ParameterEvent)] == ["x"] * 4
    for index in range(4):
        (parameter,) = recording.step(index).parameters
        assert parameter.contribution is not None
        assert parameter.contribution.values == [2.0 * (index + 1)] * 2


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.stem)
def test_objects_are_freed_at_the_same_time_as_without_the_recorder(file: Path) -> None:
    program = file.read_text()
    expected = unrecorded(program)
    got, events, _ = recorded(program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert (got.stdout, got.error) == (expected.stdout, None)
    assert expected.error is None


def test_a_program_that_looks_at_lifetimes_is_recorded_like_any_other() -> None:
    program = (
        "import torch\nw = torch.arange(3.0, requires_grad=True)\nlarge = torch.arange(2000.0).reshape(100, 20)\n"
        "net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))\n"
        "optimizer = torch.optim.SGD(net.parameters(), 0.1)\n"
        "for i in range(3):\n    optimizer.zero_grad()\n    loss = (net(w * 2) ** 2).mean()\n    loss.backward()\n"
        "    optimizer.step()\nshown = (w * w).sum()\nshown\nlarge\n"
    )
    recordings = [record(text) for text in (program, program.replace("import torch", "import torch, weakref", 1))]
    for events, _ in recordings:
        assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    (_, plain), (_, copied) = recordings
    assert [(line.line, line.text, line.graph) for line in copied.lines()] == [
        (line.line, line.text, line.graph) for line in plain.lines()
    ]
    for index in range(3):
        assert copied.step(index) == plain.step(index)
        assert copied.pass_(index) == plain.pass_(index)
    assert copied.graphs() == plain.graphs()
