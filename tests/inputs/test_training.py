"""A training becomes a loop that runs, or is rejected with a clear message."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tapedeck.errors import InvalidInput
from tapedeck.explain.findings import find
from tapedeck.inputs import request as requests
from tapedeck.model import Limits, Program
from tapedeck.tracer.training.catalogue import catalogue
from tapedeck.wire.catalogue import OptimizerCatalogue, OptimizerOption

from ..torch_optimizers import TORCH_2_13
from ..tracer.run_twice import record

LINE: dict[str, Any] = {
    "parameters": {"m": 1},
    "data": {"x": [1, 2, 3], "y": [2, 4, 6]},
    "loss": "((m * x - y) ** 2).mean()",
    "optimizer": {"name": "SGD", "lr": 0.01},
    "steps": 5,
}


def program(optimizers: OptimizerCatalogue | None = TORCH_2_13, **changed: Any) -> str:
    """Return the program that a training becomes with the optimizers of some PyTorch."""
    body = json.dumps({"training": LINE | changed}).encode()
    request = requests.read(body, "application/json", {}, Limits(), optimizers)
    assert request.program.kind == "training"
    return request.program.text


def run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(text, names)
    return names


def test_a_training_learns_the_same_numbers_as_a_loop_by_hand() -> None:
    m = torch.tensor(1.0, requires_grad=True)
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
    for _ in range(5):
        loss = ((m * x - y) ** 2).mean()
        loss.backward()
        assert m.grad is not None
        with torch.no_grad():
            m -= 0.01 * m.grad
        m.grad = None
    learned = run(program())
    assert learned["m"].equal(m)
    assert learned["loss"].equal(loss)


def test_each_step_of_a_training_is_recorded() -> None:
    _, recording = record(program())
    assert recording.log.counts()[1:] == (5, 5)
    step = recording.step(4)
    assert (step.loss_name, step.iteration and step.iteration.index) == ("loss", 4)
    assert step.optimizer is not None
    assert (step.optimizer["name"], step.optimizer["lr"]) == ("SGD", 0.01)
    assert [row.name for row in step.parameters] == ["m"]


@pytest.mark.parametrize("name", catalogue())
def test_every_optimizer_runs_by_its_name(name: str) -> None:
    loss = (
        "(torch.nn.functional.embedding(torch.tensor([0]), m, sparse=True) ** 2).sum()"
        if name == "SparseAdam"
        else "(m ** 2).sum()"
    )
    text = program(parameters={"m": [[1, 2], [3, 4]]}, loss=loss, optimizer=name, steps=2)
    learned = run(text)["m"]
    assert not learned.equal(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert record(text)[1].log.counts()[2] == 2


def test_options_are_written_with_the_given_values() -> None:
    options = {"name": "Adam", "lr": 0.1, "betas": [0.8, 0.9], "amsgrad": True}
    assert "torch.optim.Adam([m], lr=0.1, betas=(0.8, 0.9), amsgrad=True)" in program(optimizer=options)
    assert "torch.optim.Adafactor([m], eps=(None, 0.01))" in program(optimizer={"name": "Adafactor", "eps": [None, 0.01]})
    searching = {"name": "LBFGS", "line_search_fn": "strong_wolfe", "max_eval": None, "max_iter": 3}
    assert run(program(optimizer=searching))["m"].item() == pytest.approx(2.0)


def test_an_option_of_another_release_of_torch_is_accepted_only_with_that_release() -> None:
    options = {"name": "LBFGS", "maximize": True}
    with pytest.raises(InvalidInput, match="LBFGS has no option 'maximize': it has lr, max_iter"):
        program(optimizer=options)
    another = TORCH_2_13 | {"LBFGS": TORCH_2_13["LBFGS"] | {"maximize": OptimizerOption("flag", False)}}
    assert "torch.optim.LBFGS([m], maximize=True)" in program(another, optimizer=options)
    with pytest.raises(InvalidInput, match="maximize must be true or false"):
        program(another, optimizer=options | {"maximize": 1})


def test_an_optimizer_that_is_only_in_another_release_is_accepted_with_that_release() -> None:
    described = {"betas": OptimizerOption("numbers", (0.9,)), "mode": OptimizerOption("text", "fast")}
    options = {"name": "Newton", "betas": [0.5], "mode": "exact"}
    assert "torch.optim.Newton([m], betas=(0.5,), mode='exact')" in program({"Newton": described}, optimizer=options)
    with pytest.raises(InvalidInput, match="Unknown optimizer 'SGD': use one of Newton"):
        program({"Newton": described})
    with pytest.raises(InvalidInput, match="mode must be a text"):
        program({"Newton": described}, optimizer=options | {"mode": None})


def test_any_option_is_accepted_and_left_to_torch_where_the_optimizers_are_not_known() -> None:
    options = {"name": "Adam", "lr": 0.1, "betas": [0.8, 0.9], "amsgrad": True, "beta": None, "mode": "x"}
    call = "torch.optim.Adam([m], lr=0.1, betas=(0.8, 0.9), amsgrad=True, beta=None, mode='x')"
    text = program(None, optimizer=options)
    assert call in text
    end = record(text)[0][-1]
    assert "unexpected keyword argument 'beta'" in end.failure.message  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("optimizer", "where", "sentence"),
    [
        ({"lr": 1}, "training.optimizer.name", "The optimizer has no name, as in"),
        ({"name": "SGD)"}, "training.optimizer.name", "Unknown optimizer 'SGD)'"),
        ({"name": "SGD", "l r": 1}, "training.optimizer.l r", "SGD has no option 'l r'"),
        ({"name": "SGD", "lr": {}}, "training.optimizer.lr", "lr must be a number, true or false, null"),
        ({"name": "SGD", "lr": ["x"]}, "training.optimizer.lr", "or a list of numbers"),
    ],
)  # fmt: skip
def test_options_that_are_no_arguments_are_rejected_where_the_optimizers_are_not_known(
    optimizer: Any, where: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        program(None, optimizer=optimizer)
    assert raised.value.where == where
    assert sentence in str(raised.value)


def test_generated_names_avoid_the_names_of_tensors() -> None:
    text = program(parameters={"loss": 1, "optimizer": 2}, data={"step": 3}, loss="(loss * step - optimizer) ** 2")
    found = run(text)
    assert found["loss"].requires_grad
    assert found["loss_1"].requires_grad
    assert found["step"].item() == 3.0
    assert found["step_1"] == 4


def test_modules_that_the_loss_uses_are_imported() -> None:
    text = program(loss="F.mse_loss(m * x, y) + math.pi * nn.L1Loss()(m * x, y)")
    assert "import math" in text
    assert "import torch.nn.functional as F" in text
    assert run(text)["loss"].item() > 0


def test_a_loss_with_a_syntax_error_is_a_run_that_reports_the_line() -> None:
    end = record(program(loss="((m * x"))[0][-1]
    assert end.failure is not None  # type: ignore[union-attr]
    assert (end.failure.type, end.failure.line) == ("SyntaxError", 10)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changed", "code", "sentence"),
    [
        ({"loss": "(m * x - y) ** 2"}, "not-scalar", "`loss.sum()` or `loss.mean()`"),
        ({"data": {"x": [1, 2, 3], "y": [2, 4]}}, "shape-mismatch", "sizes must be equal, or one of them must be 1"),
        ({"loss": "(x.reshape(1, 3) @ y.reshape(1, 3) * m).sum()"}, "shape-mismatch", "transpose it with `.T`"),
        ({"loss": "(x * y).sum()"}, "no-grad-path", ""),
    ],
)
def test_an_error_that_only_torch_detects_becomes_a_finding(changed: dict[str, Any], code: str, sentence: str) -> None:
    text = program(**changed)
    (finding,) = find(record(text)[1], Program(text))
    assert (finding.code, finding.severity) == (code, "error")
    assert sentence in finding.why


def test_a_loss_that_becomes_nan_is_recorded_to_the_end() -> None:
    text = program(parameters={"m": 1}, loss="(10 - step) ** 0.5 * m", data={}, steps=14)
    losses = record(text.replace("(10 - step)", "torch.tensor(10.0 - step)"))[1].series(["loss"]).values["loss"]
    assert [value == value for value in losses] == [True] * 11 + [False] * 3


@pytest.mark.parametrize(
    ("changed", "where", "sentence"),
    [
        ({"steps": 0}, "training.steps", "a whole number from 1 to 10,000"),
        ({"steps": 10**9}, "training.steps", "a whole number from 1 to 10,000"),
        ({"steps": True}, "training.steps", "a whole number"),
        ({"steps": 2.5}, "training.steps", "a whole number"),
        ({"optimizer": "Sgd"}, "training.optimizer.name", "Unknown optimizer 'Sgd': use one of ASGD, Adadelta"),
        ({"optimizer": {"lr": 1}}, "training.optimizer.name", "The optimizer has no name: use one of"),
        ({"optimizer": 3}, "training.optimizer", "an object with its name and options"),
        ({"optimizer": {"name": "SGD", "beta": 1}}, "training.optimizer.beta", "SGD has no option 'beta': it has lr, momentum"),
        ({"optimizer": {"name": "SGD", "foreach": True}}, "training.optimizer.foreach", "no option 'foreach'"),
        ({"optimizer": {"name": "SGD", "lr": "high"}}, "training.optimizer.lr", "lr must be a number"),
        ({"optimizer": {"name": "SGD", "lr": True}}, "training.optimizer.lr", "lr must be a number"),
        ({"optimizer": {"name": "SGD", "nesterov": 1}}, "training.optimizer.nesterov", "true or false"),
        ({"optimizer": {"name": "Adam", "betas": [0.9]}}, "training.optimizer.betas", "a list of 2 numbers"),
        ({"optimizer": {"name": "LBFGS", "max_iter": 1.5}}, "training.optimizer.max_iter", "a whole number"),
        ({"optimizer": {"name": "LBFGS", "line_search_fn": "x"}}, "training.optimizer.line_search_fn", '"strong_wolfe"'),
        ({"parameters": {}}, "training.parameters", "nothing to learn"),
        ({"parameters": []}, "training.parameters", "an object of names and values"),
        ({"parameters": {"m": {"values": 1, "dtype": "int64"}}}, "training.parameters.m.requires_grad", "cannot require grad"),
        ({"parameters": {"m": {"values": 1, "requires_grad": False}}}, "training.parameters.m.requires_grad", "always"),
        ({"parameters": {"range": 1}}, "training.parameters.range", "the training loop uses it"),
        ({"data": {"m": 1}}, "training.data.m", "both a parameter and data"),
        ({"data": {"x": {"values": 1, "requires_grad": True}}}, "training.data.x.requires_grad", "to parameters"),
        ({"data": {"x": [[1, 2], [3]]}}, "training.data.x[1]", "ragged"),
        ({"data": {"x": [0] * 9_999, "y": [1]}}, "training.data", "more than 10,000 numbers"),
        ({"loss": ""}, "training.loss", "is empty"),
        ({"loss": 3}, "training.loss", "must be a string"),
        ({"loss": "m = 3"}, "training.loss", "a statement, not an expression"),
        ({"losses": "m"}, "training.losses", "Unknown field 'losses'"),
    ],
)  # fmt: skip
def test_an_invalid_training_is_rejected_and_its_field_named(changed: dict[str, Any], where: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        program(**changed)
    assert raised.value.where == where
    assert sentence in str(raised.value)


@pytest.mark.parametrize("field", ["parameters", "loss", "optimizer", "steps"])
def test_a_missing_field_is_named(field: str) -> None:
    body = json.dumps({"training": {name: value for name, value in LINE.items() if name != field}}).encode()
    with pytest.raises(InvalidInput, match=f"The training has no {field}"):
        requests.read(body, "application/json", {}, Limits())
