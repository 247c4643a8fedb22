"""A program may give anything a name of any length: the recording stays valid, and the name is cut."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tapedeck import wire

from .run_twice import record

LONG = "weight_" + "w" * 400

PROGRAMS = {
    "a leaf": "NAME = torch.ones(2, requires_grad=True)\n(NAME * 2).sum().backward()\n",
    "a loss": "w = torch.ones(2, requires_grad=True)\nNAME = (w * 2).sum()\nNAME.backward()\n",
    "another loss": (
        "w = torch.ones(2, requires_grad=True)\nNAME = (w * 2).sum()\nNAME.backward()\n"
        "other = (w * 3).sum()\nother.backward()\n"
    ),
    "a rebound leaf": (
        "NAME = torch.ones(2, requires_grad=True)\nfor step in range(3):\n    loss = (NAME * 2).sum()\n    loss.backward()\n"
        "    NAME = (NAME - 0.1 * NAME.grad).detach().requires_grad_()\n"
    ),
    "a rebound leaf that breaks": (
        "NAME = torch.ones(2, requires_grad=True)\n(NAME * 2).sum().backward()\nNAME = NAME - NAME.grad\n"
        "(NAME * 2).sum().backward()\nNAME.grad\n"
    ),
    "a module": (
        "class NAME(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.NAME = torch.nn.Linear(2, 1)\n    def forward(self, x):\n        return self.NAME(x)\n"
        "NAME_ = NAME()\nNAME_(torch.ones(1, 2)).sum().backward()\n"
    ),
    "a custom function": (
        "class NAME(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        return x * 2\n"
        "    @staticmethod\n    def backward(ctx, g):\n        return g * 2\n"
        "w = torch.ones(2, requires_grad=True)\ny = NAME.apply(w)\ny.sum().backward()\n"
    ),
    "an optimizer, its options and its state": (
        "class NAME(torch.optim.SGD):\n    def step(self, closure=None):\n        super().step()\n"
        "        for w in self.param_groups[0]['params']:\n            self.state[w]['NAME'] = torch.ones(2)\n"
        "w = torch.ones(2, requires_grad=True)\no = NAME([{'params': [w], 'NAME': 1}, {'params': []}], lr=0.1)\n"
        "for step in range(2):\n    o.zero_grad()\n    (w * 2).sum().backward()\n    o.step()\n"
    ),
    "an exception": "class NAME(Exception): ...\ntry:\n    raise NAME('no')\nexcept NAME:\n    pass\nraise NAME('no')\n",
    "an unused parameter": (
        "w = torch.ones(2, requires_grad=True)\nNAME = torch.ones(2, requires_grad=True)\n"
        "o = torch.optim.SGD([w, NAME], lr=0.1)\n"
        "for step in range(4):\n    o.zero_grad()\n    (w * 2).sum().backward()\n    o.step()\n"
    ),
    "a leaf made late": (
        "w = torch.ones(2, requires_grad=True)\nNAME = torch.ones(2)\n(w * NAME).sum().backward()\nNAME.requires_grad_()\n"
        "print(NAME.grad)\n"
    ),
    "a gradient of a result": (
        "w = torch.ones(2, requires_grad=True)\nNAME = w * 2\nNAME.sum().backward()\nprint(NAME.grad)\n"
    ),
}  # fmt: skip


def _kinds(events: list[wire.AnyEvent]) -> list[type]:
    """Return the types of events, except those that are emitted when some time has passed."""
    return [type(event) for event in events if not isinstance(event, wire.LinesEvent)]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_name_of_any_length_is_recorded(program: str) -> None:
    events, recording = record("import torch\n" + program.replace("NAME", LONG))
    short, expected = record("import torch\n" + program.replace("NAME", "name"))
    assert _kinds(events) == _kinds(short)
    assert recording.log.counts() == expected.log.counts()
    assert not any(isinstance(event, wire.RecorderFailed) for event in events)


def test_a_long_name_is_cut_and_still_finds_its_parameter() -> None:
    events, recording = record("import torch\n" + PROGRAMS["a rebound leaf"].replace("NAME", LONG))
    names = {event.name for event in events if isinstance(event, wire.ParameterEvent)}
    assert names == {LONG[:299] + "…"}
    assert len(recording.parameters()) == 1


@pytest.mark.parametrize("key", ["'\\ud800'", "'name'"])
@pytest.mark.parametrize("value", ["10**40", "-(10**4000)", "'\\udcff'"])
def test_options_that_no_message_can_carry_are_replaced(key: str, value: str) -> None:
    program = (
        "import torch\nw = torch.ones(2, requires_grad=True)\n"
        f"o = torch.optim.SGD([{{'params': [w], {key}: {value}}}, {{'params': []}}], lr=0.1)\n"
        "for step in range(2):\n    o.zero_grad()\n    (w * 2).sum().backward()\n    o.step()\n"
    )
    events, recording = record(program)
    assert recording.log.counts()[2] == 2
    assert not any(isinstance(event, wire.RecorderFailed) for event in events)


def _longest(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, msgspec.Struct):
        return max([_longest(getattr(value, name)) for name in value.__struct_fields__], default=0)
    if isinstance(value, dict):
        return max([_longest(each) for pair in value.items() for each in pair], default=0)
    return max(map(_longest, value), default=0) if isinstance(value, list | tuple) else 0


def test_an_event_whose_texts_fit_is_not_copied() -> None:
    events, _ = record("import torch\nw = torch.ones(2, requires_grad=True)\n(w * 2).sum().backward()\n")
    for event in events:
        assert wire.shortened(event) is event


def test_every_bounded_text_is_cut_at_any_depth() -> None:
    row = wire.ParameterRow(0, LONG, 0, 0, 0, 0, 0, state={LONG: 1})
    group = wire.GroupRow(LONG, [0], {LONG: 1})
    step = wire.StepEvent(
        0, None, [], [], [], [], [], -1, [], -1, LONG, [row], [wire.RebindRow(LONG, 1, 0, 0, 0, False, True)], {LONG: "x"},
        wire.TensorTable(names=[LONG]), [group], {LONG: 0},
    )  # fmt: skip
    cut = wire.shortened(step)
    assert _longest(step) == len(LONG)
    assert _longest(cut) == 300
    wire.unpack(wire.pack([cut]))
