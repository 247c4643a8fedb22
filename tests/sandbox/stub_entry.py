"""A stub of the tracer that runs a program, and emits only its output and its end."""

from __future__ import annotations

import builtins
import time
import traceback
from collections.abc import Callable
from typing import Any

from tapedeck import wire
from tapedeck.wire.catalogue import OptimizerCatalogue, OptimizerOption


def preload() -> None:
    import numpy  # noqa: F401
    import torch
    import torch._dynamo

    with torch.no_grad():
        weight = torch.nn.Linear(3, 3)
        weight(torch.ones(2, 3))
        for parameter in weight.parameters():
            parameter.grad = torch.zeros_like(parameter)
        torch.optim.Adam(weight.parameters()).step()


def optimizers() -> OptimizerCatalogue:
    return {"SGD": {"lr": OptimizerOption("number", 0.001)}}


def warm() -> None:
    import torch

    x = torch.ones(3, requires_grad=True)
    (x * x).sum().backward()


def execute(job: wire.Job, write: Callable[[bytes], None], at_exit: object = None) -> int:
    def emit(*events: wire.Event) -> None:
        write(wire.frames(wire.pack(events)))

    def show(*values: Any, **_: Any) -> None:
        emit(wire.OutputEvent(" ".join(map(str, values)) + "\n"))

    began = time.perf_counter()
    builtins.print = show
    emit(wire.StartedEvent("2", "3"))
    failure = None
    try:
        exec(compile(job.program, "<program>", "exec"), {"__name__": "__main__", "WRITE": write})
    except BaseException as error:
        failure = wire.ProgramFailure(type(error).__name__, str(error)[:1000], None, -1, traceback.format_exc()[-2000:])
    emit(wire.EndEvent("failed" if failure else "done", failure, (time.perf_counter() - began) * 1000))
    return 0
