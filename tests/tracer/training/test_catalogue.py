"""The catalogue of optimizers has every optimizer of the installed PyTorch, with each option of its signature."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from tapedeck.executor import OwnProcess
from tapedeck.tracer.training.catalogue import IMPLEMENTATION, catalogue, options

from ...torch_optimizers import TORCH_2_13

CATALOGUE = catalogue()


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_option_has_the_default_of_its_signature(name: str) -> None:
    parameters = inspect.signature(getattr(torch.optim, name)).parameters
    defaults = {option: each.default for option, each in parameters.items() if option not in {"params", *IMPLEMENTATION}}
    described = {option: each.default for option, each in CATALOGUE[name].items()}
    assert list(described) == list(defaults)
    assert described == defaults
    for option, default in described.items():
        assert isinstance(default, bool) == isinstance(defaults[option], bool)


def test_no_optimizer_is_missing() -> None:
    classes = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    optimizers = {name for name, kind in classes.items() if issubclass(kind, torch.optim.Optimizer)}
    assert set(CATALOGUE) == optimizers - {"Optimizer"}


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="the table lists the optimizers of PyTorch 2.13")
def test_the_catalogue_of_torch_2_13_is_the_one_that_tests_use() -> None:
    assert CATALOGUE == TORCH_2_13
    assert [list(options) for options in CATALOGUE.values()] == [list(options) for options in TORCH_2_13.values()]
    assert list(CATALOGUE) == list(TORCH_2_13)


def test_an_option_that_has_no_json_form_is_left_out() -> None:
    class Optimizer:
        def __init__(
            self, params: Any, lr: float | torch.Tensor = 1, act: Any = print, mode: str = "x", n: int = 2, **rest: Any
        ) -> None: ...

    kinds = {name: (option.kind, option.default) for name, option in options(Optimizer)}
    assert kinds == {"lr": ("number", 1.0), "mode": ("text", "x"), "n": ("integer", 2)}


def test_an_option_whose_annotation_cannot_be_resolved_has_the_kind_of_its_default() -> None:
    class Optimizer:
        def __init__(self, params: Any, lr: Missing = 0.1, amsgrad: Missing = False) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert {name: option.kind for name, option in options(Optimizer)} == {"lr": "number", "amsgrad": "flag"}


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_plain_process_lists_the_same_optimizers() -> None:
    own = OwnProcess()
    assert own.optimizers is None
    await own.start()
    await own.settled()
    assert own.optimizers == CATALOGUE
    await own.close()
