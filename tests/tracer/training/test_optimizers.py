"""The recorded values of an optimizer's step are enough to repeat the step by the published formula."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from tapedeck import model
from torch import Tensor

from ..run_twice import record
from . import optimizer_formulas as formulas
from .optimizer_formulas import Formula

OPTIMIZERS: dict[str, tuple[Formula, str]] = {
    "SGD": (formulas.sgd, "SGD([w], lr=0.05)"),
    "SGD, momentum": (formulas.sgd, "SGD([w], lr=0.05, momentum=0.9)"),
    "SGD, dampening": (formulas.sgd, "SGD([w], lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.1)"),
    "SGD, nesterov": (formulas.sgd, "SGD([w], lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01)"),
    "SGD, maximize": (formulas.sgd, "SGD([w], lr=0.001, momentum=0.5, maximize=True)"),
    "Adam": (formulas.adam, "Adam([w], lr=0.1, weight_decay=0.1)"),
    "Adam, amsgrad": (formulas.adam, "Adam([w], lr=0.1, amsgrad=True, betas=(0.6, 0.7))"),
    "AdamW": (formulas.adam, "AdamW([w], lr=0.1, weight_decay=0.1)"),
    "Adamax": (formulas.adamax, "Adamax([w], lr=0.1, weight_decay=0.1)"),
    "NAdam": (formulas.nadam, "NAdam([w], lr=0.1, weight_decay=0.1)"),
    "RAdam": (formulas.radam, "RAdam([w], lr=0.1, betas=(0.9, 0.99), weight_decay=0.1)"),
    "Adagrad": (formulas.adagrad, "Adagrad([w], lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5)"),
    "Adadelta": (formulas.adadelta, "Adadelta([w], lr=1.0, weight_decay=0.1)"),
    "RMSprop": (formulas.rmsprop, "RMSprop([w], lr=0.01, weight_decay=0.1)"),
    "RMSprop, centered, momentum": (formulas.rmsprop, "RMSprop([w], lr=0.01, centered=True, momentum=0.9)"),
    "Rprop": (formulas.rprop, "Rprop([w], lr=0.2)"),
    "ASGD": (formulas.asgd, "ASGD([w], lr=0.05, lambd=0.01, t0=2, weight_decay=0.1)"),
    "Adafactor": (formulas.adafactor, "Adafactor([w], lr=0.1, weight_decay=0.1)"),
    "SparseAdam": (formulas.sparse_adam, "SparseAdam([w], lr=0.1)"),
    "Muon": (formulas.muon, "Muon([w], lr=0.1)"),
}

PROGRAM = """\
import torch
w = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]], requires_grad=True)
target = torch.tensor([[0.1, 0.2], [0.3, -0.4], [0.5, 0.6]])
optimizer = torch.optim.OPTIMIZER
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
for step in range(8):
    optimizer.zero_grad()
    loss = LOSS
    loss.backward()
    optimizer.step()
    schedule.step()
"""
LOSS = "((w - target) ** 2).sum() + (w ** 4).mean()"
SPARSE = "(torch.nn.functional.embedding(torch.tensor([0, 2 - step % 2]), w, sparse=True) ** 2).sum()"


def steps(name: str) -> list[model.Step]:
    """Return the steps of a program that trains with an optimizer."""
    program = PROGRAM.replace("OPTIMIZER", OPTIMIZERS[name][1]).replace("LOSS", SPARSE if name == "SparseAdam" else LOSS)
    recording = record(program)[1]
    found = [recording.step(index) for index in range(recording.log.counts()[2])]
    assert len(found) == 8
    return found


def read(tensor: model.TensorSummary | None) -> Tensor:
    assert tensor is not None
    return torch.tensor(tensor.values, dtype=torch.float64)


def state_of(step: model.Step) -> dict[str, Tensor]:
    return {name: read(tensor) for name, tensor in step.parameters[0].state.items()}


def check(formula: Formula, before: model.Step | None, step: model.Step) -> None:
    """Repeat a step from its recorded values, and compare the result with the values recorded after it."""
    (row,) = step.parameters
    assert step.optimizer is not None
    state = state_of(before) if before is not None else None
    expected, value = formula(read(row.value), read(row.grad_used), state or None, step.optimizer)
    found = state_of(step)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=3e-6, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")
    torch.testing.assert_close(read(row.value_after), value, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(read(row.update), read(row.value_after) - read(row.value), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_published_formula_gives_the_recorded_value(name: str) -> None:
    before: model.Step | None = None
    for step in steps(name):
        check(OPTIMIZERS[name][0], before, step)
        before = step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_wrong_recorded_value_is_detected(name: str) -> None:
    formula = OPTIMIZERS[name][0]
    found = steps(name)
    before, step = found[3], found[4]
    (row,) = step.parameters
    for field in ("value", "grad_used", "value_after", "update"):
        broken = msgspec.structs.replace(row, **{field: wrong(getattr(row, field))})
        with pytest.raises(AssertionError):
            check(formula, before, msgspec.structs.replace(step, parameters=[broken]))
    for name_of in row.state:
        broken = msgspec.structs.replace(row, state=row.state | {name_of: wrong(row.state[name_of])})
        with pytest.raises(AssertionError):
            check(formula, before, msgspec.structs.replace(step, parameters=[broken]))
    assert step.optimizer is not None
    if name != "Rprop":  # Rprop uses its learning rate only in the first step
        wrongly = msgspec.structs.replace(step, optimizer=step.optimizer | {"lr": step.optimizer["lr"] * 1.001})
        with pytest.raises(AssertionError):
            check(formula, before, wrongly)


def wrong(tensor: model.TensorSummary | None) -> model.TensorSummary:
    """Return a copy of the tensor with one element changed by a factor of 1.0001."""
    values: Any = read(tensor)
    flat = values.reshape(-1)
    index = int(flat.abs().argmax())
    flat[index] *= 1.0001
    assert tensor is not None
    return msgspec.structs.replace(tensor, values=values.tolist())


def test_lbfgs_moves_by_its_step_size_along_its_direction() -> None:
    program = PROGRAM.replace("OPTIMIZER", "LBFGS([w], lr=0.3, max_iter=1)").replace("    loss.backward()\n", "")
    program = program.replace("    optimizer.zero_grad()\n    loss = LOSS\n", "").replace(
        "    optimizer.step()\n", "    optimizer.step(closure)\n"
    )
    closure = f"def closure():\n    optimizer.zero_grad()\n    loss = {LOSS}\n    loss.backward()\n    return loss\n"
    recording = record(program.replace("for step", f"{closure}for step"))[1]
    assert recording.log.counts()[2] == 8
    for step in map(recording.step, range(8)):
        (row,) = step.parameters
        state = state_of(step)
        assert state["n_iter"] == step.index + 1
        along = state["t"] * state["d"].reshape(3, 2)
        torch.testing.assert_close(read(row.value_after), read(row.value) + along, rtol=2e-6, atol=1e-6)
        torch.testing.assert_close(state["prev_flat_grad"].reshape(3, 2), read(row.grad_used))
