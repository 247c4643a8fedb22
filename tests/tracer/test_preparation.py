"""A zygote prepares the recorder, so that its children find what the recorder compiles once, and runs no pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck.tracer import main
from tapedeck.tracer.backward import saved_tensors
from tapedeck.tracer.source import weaving


def test_no_code_is_compiled_after_the_preparation() -> None:
    weaving._woven_code.cache_clear()
    main.prepare_recorder()
    compiled = weaving._woven_code.cache_info().misses
    main.warm()
    assert compiled == weaving._woven_code.cache_info().misses > 0


def test_the_preparation_runs_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[Any] = []

    def run_backward(*arguments: Any, **options: Any) -> tuple[()]:
        passes.append(arguments)
        return ()

    monkeypatch.setattr(torch.autograd, "_engine_run_backward", run_backward)
    main.prepare_recorder()
    main.prepare_passes()
    assert passes == []
    assert torch.autograd._engine_run_backward is run_backward


def test_the_preparation_knows_the_saved_tensors_of_typical_nodes() -> None:
    saved_tensors._SLOTS.clear()
    main.prepare_passes()
    w = torch.ones(2, requires_grad=True)
    assert {type((w * w).grad_fn), type((w**2).grad_fn), type(w.relu().grad_fn)} <= saved_tensors._SLOTS.keys()
