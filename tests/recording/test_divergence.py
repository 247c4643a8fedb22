"""The first difference of two runs is where PyTorch itself computes different numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck.recording import Recording
from tapedeck.recording.divergence import Divergence, first_divergence

from ..tracer.run_twice import record

NET = """\
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.randn(16, 8), torch.randn(16, 4)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(4):
    loss = ((model(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def recorded(program: str) -> Recording:
    return record(program)[1]


def diverged(change: tuple[str, str], tolerance: float | None = None) -> Divergence:
    assert change[0] in NET
    return first_divergence(recorded(NET), recorded(NET.replace(*change)), tolerance)


def test_equal_programs_are_equal() -> None:
    found = diverged(("range(4):", "range(4):  # the same"))
    assert (found.where, found.compared, found.complete) == (None, 4, True)
    assert found.sentence == "All 4 steps are equal."


@pytest.mark.parametrize(
    ("change", "where", "step", "name", "line"),
    [
        (("lr=0.1", "lr=0.2"), "parameter", 0, "after the update", None),
        (
            ("nn.Tanh()", "nn.Sigmoid()"),
            "structure",
            0,
            "TanhBackward0 in the first run is SigmoidBackward0 in the second (line 8)",
            8,
        ),
        (("    loss.backward()", "    loss.backward(torch.tensor(2. if step == 2 else 1.))"), "gradient", 2, "loss", 8),
        (("mean()\n", "mean() + (step == 3)\n"), "structure", 0, "MeanBackward0 in the first run is AddBackward0", 8),
        (("range(4)", "range(3)"), "structure", 3, "the first run has 4 steps, the second 3", None),
        (("(model(x) - y)", "(model(x) - y * (1 + 1e-6 * (step == 1)))"), "value", 1, "the value of y", 4),
        (("manual_seed(0)", "manual_seed(1)"), "value", 0, "the norm of the value of x (line 4) is ", 4),
        (("nn.Linear(16, 4)", "nn.Linear(16, 4, bias=False)"), "structure", 0, "", 8),
    ],
)
def test_the_first_difference(change: tuple[str, str], where: str, step: int, name: str, line: int | None) -> None:
    found = diverged(change)
    assert (found.where, found.step, found.compared) == (where, step, step), found.sentence
    assert name in found.sentence
    assert found.line == line


def test_the_numbers_are_those_of_pytorch() -> None:
    found = diverged(("lr=0.1", "lr=0.3"))
    unrecorded = []
    for program in (NET, NET.replace("lr=0.1", "lr=0.3")):
        names: dict[str, Any] = {}
        exec(program.replace("range(4)", "range(1)"), names)
        unrecorded.append(dict(names["model"].named_parameters()))
    assert found.name is not None
    name = found.name.removeprefix("model.").removesuffix(" after the update")
    one, two = (each[name].detach().reshape(-1).double() for each in unrecorded)
    apart = (one - two).abs()
    at = int(apart.argmax())
    assert (found.first, found.second) == (one[at].item(), two[at].item())
    assert found.difference == (apart.max() / torch.cat((one, two)).abs().max()).item()
    assert found.tolerance == 0


def test_a_tolerance_is_relative_and_one_for_other_dtypes_is_derived() -> None:
    tiny = ("(model(x) - y)", "(model(x) - y * (1 + 1e-6))")
    assert diverged(tiny).where == "value"
    assert diverged(tiny, 1e-4).where is None
    half = (
        "y = torch.randn(16, 8), torch.randn(16, 4)\n",
        "y = torch.randn(16, 8).bfloat16(), torch.randn(16, 4).bfloat16()\n",
    )
    model = NET.replace(*half).replace("nn.Linear(16, 4))", "nn.Linear(16, 4)).bfloat16()")
    assert first_divergence(recorded(NET), recorded(model)).where is None
    assert first_divergence(recorded(NET), recorded(model), 0.0).where == "value"
    wrong = model.replace("(model(x) - y)", "(model(x) + y)")
    assert first_divergence(recorded(NET), recorded(wrong)).step == 0


def test_nan_and_infinity_are_equal_to_themselves() -> None:
    program = "import torch\nw = torch.tensor([0., 1.], requires_grad=True)\n(w / 0).sum().backward()\n"
    assert first_divergence(recorded(program), recorded(program)).where is None
    other = program.replace("/ 0", "/ -0.0")
    assert first_divergence(recorded(program), recorded(other)).where == "value"


def test_a_comparison_out_of_time_says_how_far_it_came() -> None:
    found = first_divergence(recorded(NET), recorded(NET), seconds=-1)
    assert (found.where, found.compared, found.complete) == (None, 1, False)
    assert found.sentence == "The first 1 steps are equal. There was no time to compare the other 3."


def test_runs_without_steps() -> None:
    found = first_divergence(recorded("x = 1"), recorded("x = 2"))
    assert (found.where, found.sentence) == (None, "Neither run has a step to compare.")


def test_the_sentence_names_the_number_and_where_it_is() -> None:
    found = diverged(("torch.randn(16, 4)\n", "torch.randn(16, 4) * 2\n"))
    assert found.sentence.startswith("The runs first differ in step 0: the value of y (line 4) is ")
