"""Tests of the division of programs into steps, and of the parameters and rebound names that a step contains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tapedeck import model, wire
from tapedeck.recording import Recording

from ..run_twice import record

PROGRAMS = Path(__file__).parent.parent.parent / "programs"

SEED = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True) # our initial guess
y_pred = m * x
loss = ((y_pred - y) ** 2).mean() # calculate MSE
loss
loss.backward() # calculate gradient
m.grad
learning_rate = .01
m = m - learning_rate * m.grad
m
"""

FIT = """\
import torch

x = torch.tensor([1., 2., 3.])
y = torch.tensor([2., 4., 6.])
m = torch.tensor(1., requires_grad=True)
lr = 0.05

for step in range(20):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= lr * m.grad
    m.grad = None
"""


def steps(name: str) -> list[model.Step]:
    return all_steps(record((PROGRAMS / f"{name}.py").read_text())[1])


def all_steps(recording: Recording) -> list[model.Step]:
    return [recording.step(index) for index in range(recording.log.counts()[2])]


def test_a_step_by_hand_has_four_phases() -> None:
    (step,) = all_steps(record(SEED)[1])
    assert step.lines == {"forward": [5], "loss": [6], "backward": [8], "update": [11]}
    assert step.loss_name == "loss"
    assert step.loss is not None
    assert round(step.loss.values, 4) == 4.6667
    assert step.iteration is None


def test_a_step_contains_a_name_that_was_rebound_to_a_computed_tensor() -> None:
    (step,) = all_steps(record(SEED)[1])
    (row,) = step.rebinds
    assert (row.name, row.line, row.source, row.uses_gradient) == ("m", 11, "p0", True)
    assert row.to is not None
    assert (round(row.to.values, 4), row.to.grad_fn, row.to.is_leaf) == (1.0933, "SubBackward0", False)
    (parameter,) = step.parameters
    assert parameter.value_after is not None
    assert parameter.value_after.values == 1.0  # the update did not change the old leaf


def test_each_line_value_has_the_phase_in_which_the_line_ran() -> None:
    recording = record(SEED)[1]
    (step,) = all_steps(recording)
    phases = {int(line): value.phase for line, value in step.values.items()}
    assert [phases[line] for line in (2, 5, 7)] == ["forward"] * 3
    assert phases[6] == "loss"
    assert [phases[line] for line in (9, 10)] == ["backward"] * 2  # these lines ran after the pass
    assert [phases[line] for line in (11, 12)] == ["update"] * 2
    assert {line.step for line in recording.lines()} == {0}


def test_lines_that_run_after_the_last_step_belong_to_no_step() -> None:
    recording = record(FIT.replace("m -=", "m = m -"))[1]
    assert recording.log.counts()[2] == 1
    steps = {line.line: line.step for line in recording.lines()}
    assert (steps[3], steps[8], steps[9], steps[10], steps[13]) == (0, None, None, None, 0)
    assert recording.step(0).values["8"].text == "step = 0"


def test_a_step_shows_the_earlier_value_of_a_line_that_did_not_run_in_it() -> None:
    program = (
        "import torch\nd = torch.tensor(1., requires_grad=True)\ng = torch.tensor(1., requires_grad=True)\n"
        "for epoch in range(3):\n    a = (d * epoch) ** 2\n    a.backward()\n    d.grad = None\n"
        "    b = g * a.detach()\n    b.backward()\n    g.grad = None\n"
    )
    found = all_steps(record(program)[1])
    assert len(found) == 6
    assert [step.earlier["5"].text for step in found[1::2]] == ["0.0", "1.0", "4.0"]
    assert [step.earlier["4"].text for step in found[1::2]] == ["epoch = 0", "epoch = 1", "epoch = 2"]
    assert [step.earlier["8"].step for step in found[2::2]] == [1, 3]
    assert "5" not in found[2].earlier


def test_a_manual_update_ends_the_step_with_the_loop() -> None:
    found = all_steps(record(FIT)[1])
    assert [step.iteration for step in found] == [model.Iteration(8, index) for index in range(20)]
    assert found[0].lines == {"forward": [9], "loss": [10], "backward": [11], "update": [12, 13, 14]}
    m = torch.tensor(1.0)
    for step in found:
        (parameter,) = step.parameters
        assert parameter.value is not None
        assert parameter.value.values == m.item()
        assert parameter.contribution is not None
        with torch.no_grad():
            m -= 0.05 * torch.tensor(parameter.contribution.values)
        assert parameter.value_after is not None
        assert parameter.value_after.values == m.item()
        assert parameter.grad_before is None


def test_a_step_has_its_own_line_values() -> None:
    found = all_steps(record(FIT)[1])
    assert found[3].values["8"].text == "step = 3"
    shown = found[3].values["10"].tensor
    assert shown is not None
    assert found[3].loss is not None
    assert shown.values == found[3].loss.values
    assert found[3].values["13"].tensor is not None
    assert found[3].values["13"].tensor.values == found[3].parameters[0].value_after.values  # type: ignore[union-attr]


def test_micro_batches_are_passes_of_one_step() -> None:
    found = steps("micro_batches")
    assert [len(step.passes) for step in found] == [4, 4]
    assert found[0].optimizer is not None
    assert found[0].optimizer["name"] == "SGD"
    assert found[0].optimizer["lr"] == 0.1
    assert "momentum_buffer" in found[0].parameters[0].state


def test_a_gan_has_two_steps_per_iteration() -> None:
    found = steps("gan")
    assert [step.iteration.index for step in found if step.iteration] == [0, 0, 1, 1, 2, 2]
    assert [step.loss_name for step in found] == ["d_loss", "g_loss"] * 3


def test_the_many_passes_of_lbfgs_are_one_step() -> None:
    found = steps("lbfgs")
    assert len(found) == 3
    assert all(len(step.passes) > 1 for step in found)
    assert [step.lines["update"] for step in found] == [[10]] * 3


def test_inner_passes_belong_to_the_step_of_the_outer_pass() -> None:
    found = steps("metalearning")
    assert [[taken.kind for taken in step.passes] for step in found] == [["grad", "grad", "backward"]] * 3
    assert [step.loss_name for step in found] == ["meta"] * 3
    assert [step.iteration.line for step in found if step.iteration] == [5] * 3


def test_a_reentrant_checkpoint_is_a_nested_pass() -> None:
    (step,) = steps("checkpoints")
    assert [(taken.kind, taken.parent) for taken in step.passes] == [("backward", None), ("nested", 0), ("backward", None)]


def test_an_update_through_data_ends_a_step() -> None:
    assert [step.lines["update"] for step in steps("data_updates")] == [[6, 7]] * 3


def test_the_recorded_optimizer_state_is_the_state_after_its_step() -> None:
    found = steps("momentum")
    buffer = torch.zeros(2)
    for step in found:
        (row,) = step.parameters
        assert row.contribution is not None
        buffer = torch.tensor(row.contribution.values) + 0.9 * buffer
        recorded = row.state["momentum_buffer"]
        assert recorded is not None
        torch.testing.assert_close(torch.tensor(recorded.values), buffer)
    assert [step.optimizer["lr"] for step in found if step.optimizer] == [0.1, 0.05, 0.025]


TWO_LOSSES = """\
import torch
a = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(2.0, requires_grad=True)
actor, critic = torch.optim.SGD([a], lr=0.1), torch.optim.SGD([b], lr=0.1)
{loop}
    actor.zero_grad()
    critic.zero_grad()
    la = (a - 3) ** 2
    lb = (b - 5) ** 2
    la.backward()
    lb.backward()
    actor.step()
    critic.step()
"""


@pytest.mark.parametrize("loop", ["for i in range(2):", "if True:"])
def test_two_passes_before_their_updates_are_one_step_even_without_a_common_leaf(loop: str) -> None:
    _, recording = record(TWO_LOSSES.format(loop=loop))
    first = recording.step(0)
    assert len(all_steps(recording)) == (2 if "for" in loop else 1)
    assert first.lines == {"forward": [8], "loss": [9], "backward": [10, 11], "update": [12, 13]}
    assert [(row.name, row.update and row.update.values) for row in first.parameters] == [
        ("a", pytest.approx(0.4)),
        ("b", pytest.approx(0.6)),
    ]
    assert first.loss_name == "lb"
    assert {name: loss and loss.values for name, loss in first.losses.items()} == {"la": 4.0}
    series = recording.series(["loss:*"])
    assert [series.values[f"loss:{name}"][0] for name in ("la", "lb")] == [4.0, 9.0]


def test_passes_whose_leaves_share_an_optimizer_are_one_step() -> None:
    program = (
        "import torch\n"
        "a = torch.tensor(1.0, requires_grad=True)\n"
        "b = torch.tensor(2.0, requires_grad=True)\n"
        "optimizer = torch.optim.SGD([a, b], lr=0.1)\n"
        "((a - 3) ** 2).backward()\n"
        "((b - 5) ** 2).backward()\n"
        "optimizer.step()\n"
    )
    (step,) = all_steps(record(program)[1])
    assert [row.update and row.update.values for row in step.parameters] == [pytest.approx(0.4), pytest.approx(0.6)]


WITHOUT_UPDATES = """\
import torch
w = torch.tensor(1.0, requires_grad=True)
for i in range(3):
    loss = (w - i) ** 2
    w.grad = None
    loss.backward()
"""


def test_steps_without_an_update_have_one_iteration_each() -> None:
    found = all_steps(record(WITHOUT_UPDATES)[1])
    assert [(step.values["3"].text, step.loss and step.loss.values) for step in found] == [
        ("i = 0", 1.0),
        ("i = 1", 0.0),
        ("i = 2", 1.0),
    ]
    assert [step.values["4"].text for step in found] == ["1.0", "0.0", "1.0"]
    assert [step.lines["update"] for step in found] == [[]] * 3


def test_the_first_iteration_of_a_loop_after_a_pass_begins_a_step() -> None:
    program = (
        "import torch\n"
        "w = torch.tensor(1.0, requires_grad=True)\n"
        "v = torch.tensor(1.0, requires_grad=True)\n"
        "(w * 2).backward()\n"
        "for i in range(2):\n"
        "    (v * i).backward()\n"
        "    v.grad = None\n"
    )
    found = all_steps(record(program)[1])
    assert [step.values.get("5", model.LineValue("", None)).text for step in found] == ["", "i = 0", "i = 1"]


def test_clearing_gradients_in_a_second_loop_belongs_to_its_first_step() -> None:
    program = (
        "import torch\n"
        "w = torch.tensor(1.0, requires_grad=True)\n"
        "for i in range(2):\n"
        "    (w ** 2).backward()\n"
        "    with torch.no_grad():\n"
        "        w -= 0.1 * w.grad\n"
        "for i in range(2):\n"
        "    loss = (w * i) ** 2\n"
        "    w.grad = None\n"
        "    loss.backward()\n"
        "    with torch.no_grad():\n"
        "        w -= 0.1 * w.grad\n"
    )
    found = all_steps(record(program)[1])
    assert [step.lines["update"] for step in found] == [[5, 6], [5, 6], [11, 12], [11, 12]]
    assert [step.values.get("7", model.LineValue("", None)).text for step in found] == ["", "", "i = 0", "i = 1"]
    assert "6" in found[1].values


def test_grad_before_is_read_when_the_accumulating_pass_begins() -> None:
    program = (
        "import torch\n"
        "w = torch.tensor(1.0, requires_grad=True)\n"
        "for i in range(2):\n"
        "    (inner,) = torch.autograd.grad(w * w, w, create_graph=True)\n"
        "    w.grad = None\n"
        "    (inner * inner).backward()\n"
        "    with torch.no_grad():\n"
        "        w -= 0.01 * w.grad\n"
    )
    _, second = all_steps(record(program)[1])
    (row,) = second.parameters
    assert row.grad_before is None
    assert row.contribution == row.grad_after


def test_a_step_of_autograd_grad_calls_has_the_gradient_of_its_main_pass() -> None:
    program = (
        "import torch\n"
        "x = torch.tensor(2.5, requires_grad=True)\n"
        "x.grad = torch.tensor(7.0)\n"
        "y = x ** 4\n"
        "(first,) = torch.autograd.grad(y, x, create_graph=True)\n"
        "(second,) = torch.autograd.grad(first, x)\n"
    )
    (step,) = all_steps(record(program)[1])
    (row,) = step.parameters
    recorded = [tensor and tensor.values for tensor in (row.contribution, row.grad_before, row.grad_after)]
    assert recorded == [62.5, 7.0, 7.0]


def test_progress_counts_the_iterations_of_all_enclosing_loops() -> None:
    body = "(w * 2).backward()\n        w.grad = None\n"
    start = "import torch\nw = torch.tensor(1.0, requires_grad=True)\n"
    known, _ = record(f"{start}for i in range(2):\n    for j in range(3):\n        {body}")
    progress = [(event.done, event.of) for event in known if isinstance(event, wire.ProgressEvent)]
    assert progress == [(done, 6) for done in range(1, 7)]
    unknown, _ = record(f"{start}i = 0\nwhile i < 2:\n    i += 1\n    for j in range(3):\n        {body}")
    assert [(event.done, event.of) for event in unknown if isinstance(event, wire.ProgressEvent)] == [
        (n, -1) for n in range(1, 7)
    ]


def test_a_pass_that_shares_no_leaf_begins_another_step() -> None:
    found = steps("sparse_and_complex")
    assert [step.lines["backward"] for step in found] == [[4], [7]]


def test_a_functional_update_is_a_rebind_to_a_leaf() -> None:
    found = steps("functional_update")
    assert len(found) == 3
    for step in found:
        (row,) = step.rebinds
        assert row.to is not None
        assert row.to.is_leaf
        assert row.to.requires_grad


FUNCTIONAL = {
    "from autograd.grad": """
w = torch.tensor(1.0, requires_grad=True)
for i in range(3):
    (gradient,) = torch.autograd.grad((w - 3) ** 2, w)
    w = (w - 0.1 * gradient).detach().requires_grad_()
""",
    "from .grad, and a leaf again later": """
w = torch.tensor(1.0, requires_grad=True)
for i in range(3):
    ((w - 3) ** 2).backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad
    w.requires_grad_()
""",
    "of a list": """
held = [torch.tensor(1.0, requires_grad=True)]
for i in range(3):
    gradients = torch.autograd.grad((held[0] - 3) ** 2, held)
    held = [(p - 0.1 * g).detach().requires_grad_() for p, g in zip(held, gradients)]
""",
    "of a dict": """
held = {"w": torch.tensor(1.0, requires_grad=True)}
for i in range(3):
    gradients = torch.autograd.grad((held["w"] - 3) ** 2, list(held.values()))
    held = {name: (p - 0.1 * g).detach().requires_grad_() for (name, p), g in zip(held.items(), gradients)}
""",
    "without a loop": """
w = torch.tensor(1.0, requires_grad=True)
(gradient,) = torch.autograd.grad((w - 3) ** 2, w)
w = (w - 0.1 * gradient).detach().requires_grad_()
(gradient,) = torch.autograd.grad((w - 3) ** 2, w)
w = (w - 0.1 * gradient).detach().requires_grad_()
(gradient,) = torch.autograd.grad((w - 3) ** 2, w)
w = (w - 0.1 * gradient).detach().requires_grad_()
""",
}


@pytest.mark.parametrize("body", FUNCTIONAL.values(), ids=FUNCTIONAL)
def test_a_parameter_continues_as_the_new_leaf_of_a_functional_update(body: str) -> None:
    _, recording = record(f"import torch{body}")
    found = all_steps(recording)
    values = [1.0, pytest.approx(1.4), pytest.approx(1.72), pytest.approx(1.976)]
    rows = [step.parameters[0] for step in found]
    assert [row.id for row in rows] == ["p0"] * 3
    assert [row.value and row.value.values for row in rows] == values[:3]
    assert [row.value_after and row.value_after.values for row in rows] == values[1:]
    assert [row.update and row.update.values for row in rows] == [pytest.approx(step) for step in (0.4, 0.32, 0.256)]
    assert all(step.lines["update"] and step.rebinds[0].to and step.rebinds[0].to.is_leaf for step in found)
    assert recording.log.counts()[0] == (1 if "for" in body else 3)


def test_a_differentiated_inner_update_does_not_end_the_step() -> None:
    program = (
        "import torch\n"
        "u = torch.tensor(5.0, requires_grad=True)\n"
        "def inner(u):\n"
        "    (gradient,) = torch.autograd.grad((u - 1) ** 2, u, create_graph=True)\n"
        "    u = u - 0.1 * gradient\n"
        "    return (u - 2) ** 2\n"
        "for i in range(2):\n"
        "    inner(u).backward()\n"
        "    with torch.no_grad():\n"
        "        u -= 0.1 * u.grad\n"
        "    u.grad = None\n"
    )
    found = all_steps(record(program)[1])
    assert [(len(step.passes), step.rebinds) for step in found] == [(2, []), (2, [])]


def test_a_contribution_is_separate_from_the_accumulated_gradient() -> None:
    program = "import torch\nw = torch.tensor(2.0, requires_grad=True)\n(w * 3).backward()\n(w * 3).backward()\n"
    (step,) = all_steps(record(program)[1])
    (row,) = step.parameters
    assert [part.values if part else None for part in (row.grad_before, row.contribution, row.grad_after)] == [None, 6.0, 6.0]


def test_a_gradient_that_a_hook_changes_differs_between_arrival_and_use() -> None:
    _, recording = record((PROGRAMS / "hooks.py").read_text())
    numbers = recording.numbers(0)
    (index,) = [at for at, node in enumerate(numbers.graph.nodes) if node.name == "y"]
    arrived, used = numbers.arrived(index), numbers.used(index)
    assert arrived is not None
    assert used is not None
    assert arrived.values == [2 * 3.0 + 1, 2 * 6.0 + 1]
    assert used.values == [10 * value for value in arrived.values]


def test_zeroing_a_gradient_in_place_does_not_change_the_recorded_one() -> None:
    program = (
        "import torch\nw = torch.tensor([1.0, 2.0], requires_grad=True)\nfor i in range(3):\n    loss = (w * w + w).sum()\n"
        "    loss.backward()\n    with torch.no_grad():\n        w -= 0.1 * w.grad\n    w.grad.zero_()\n"
    )
    found = all_steps(record(program)[1])
    assert len(found) == 3
    for step in found:
        (row,) = step.parameters
        assert row.value is not None
        assert row.contribution is not None
        torch.testing.assert_close(torch.tensor(row.contribution.values), 2 * torch.tensor(row.value.values) + 1)


def test_a_later_pass_does_not_change_the_recorded_gradient_of_an_earlier_one() -> None:
    program = "import torch\nw = torch.tensor(2.0, requires_grad=True)\n(w * 3 + w).backward()\n(w * w).backward()\n"
    _, recording = record(program)
    for index, expected in enumerate([4.0, 4.0]):
        numbers = recording.numbers(index)
        used = numbers.used([node.kind for node in numbers.graph.nodes].index("leaf"))
        assert used is not None
        assert used.values == expected


def test_a_saved_view_of_a_leaf_keeps_its_own_shape() -> None:
    program = (
        "import torch\nw = torch.arange(6.).reshape(2, 3).requires_grad_()\nx = torch.ones(1, 3, requires_grad=True)\n"
        "(x @ w.t()).sum().backward()\nwith torch.no_grad():\n    w -= 1\n"
    )
    for kept in (64, 2):
        _, recording = record(program, values=kept)
        numbers = recording.numbers(0)
        (index,) = [at for at, node in enumerate(numbers.graph.nodes) if node.op == "MmBackward0"]
        saved = {name: numbers.saved(index, at) for at, name in enumerate(numbers.graph.nodes[index].saved)}
        view = saved["mat2"]
        assert view is not None
        assert view.shape == [3, 2]
        assert view.max == 5.0
        assert view.values == ([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] if kept == 64 else None)


CLOSURES = {
    "forward first": "loss = loss_of(model(x), y); optimizer.zero_grad(); loss.backward()",
    "cleared first": "optimizer.zero_grad(); loss = loss_of(model(x), y); loss.backward()",
    "cleared by the model": "loss = loss_of(model(x), y); model.zero_grad(); loss.backward()",
}


@pytest.mark.parametrize("body", CLOSURES.values(), ids=CLOSURES)
@pytest.mark.parametrize(("optimizer", "passes"), [("SGD", {1}), ("LBFGS", set(range(2, 26)))])
def test_each_call_of_a_closure_by_a_library_is_a_step(body: str, optimizer: str, passes: set[int]) -> None:
    library = (
        "def fit(model, optimizer, batches, loss_of):\n    for x, y in batches:\n        def closure():\n"
        f"            {body}\n            return loss\n        optimizer.step(closure)\n"
    )
    program = (
        f"import torch\nspace = {{}}\nexec(compile({library!r}, '/library/trainer.py', 'exec'), space)\n"
        "model = torch.nn.Linear(3, 1)\n"
        f"optimizer = torch.optim.{optimizer}(model.parameters(), lr=0.1)\n"
        "batches = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(5)]\n"
        "space['fit'](model, optimizer, batches, torch.nn.functional.mse_loss)\n"
    )
    _, recording = record(program)
    found = all_steps(recording)
    assert len(found) == 5
    assert all(len(step.passes) in passes for step in found)
    for step in found:
        assert step.optimizer is not None
        for row in step.parameters:
            assert row.grad_used is not None
            assert row.value_after is not None
            assert row.value is not None
            assert row.value_after.values != row.value.values
