"""The tracer's entry points: warm the process up, and run a job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from .. import wire
from ..wire.catalogue import OptimizerCatalogue
from .environment import finalization
from .program import RunningProgram, run


def execute(
    job: wire.Job,
    write: Callable[[bytes], None],
    at_exit: Callable[[Callable[[], None]], object] | None = None,
    *,
    finalizes: bool = False,
) -> int:
    """Run a job, send its framed events through ``write``, and return the program's exit status.

    A program's failure is an event, never an exception. ``at_exit`` registers a function as ``atexit.register`` does. With it,
    the end event is sent when the process ends, after the program's threads and exit functions. ``finalizes`` is true if Python
    then finalizes the interpreter, which a process that ends with ``os._exit`` skips.
    """
    if at_exit is None:
        return run(job, write)
    program = RunningProgram(job, write)
    at_exit(partial(program.finish, process_ends=True, finalizes=finalizes))
    return program.run()


def preload() -> None:
    """Import and use the modules that programs need, so that they are warm in a forked child.

    This runs no backward: an engine that has run in the parent breaks deep reentrant checkpoints in its children.
    """
    import torch._dynamo
    import torch.nn.functional as functional
    import torch.utils.checkpoint

    from .forward.functions import build_name_table

    torch.set_num_threads(1)
    build_name_table()  # once here, not again in each child
    torch.manual_seed(0)
    np.random.default_rng(0)
    with torch.no_grad():
        a, b = torch.randn(4, 4), torch.randn(4, 4)
        for value in (a + b, a - b, a * b, a / (b + 9), a @ b, a**2, a.mean(), a.sum(), a.T, a.relu(), a.softmax(0)):
            repr(value)
        functional.mse_loss(a, b), functional.cross_entropy(a, torch.tensor([0, 1, 2, 3]))
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())(a)
        torch.aminmax(torch.stack([a, b]).double().reshape(2, 16), dim=1)
        for optimizer in (torch.optim.SGD, torch.optim.Adam):
            leaf = torch.nn.Parameter(torch.ones(2))
            leaf.grad = torch.ones(2)
            optimizer([leaf], lr=0.1).step()
    if hasattr(sys, "_clear_type_cache"):  # writing over an entry also writes to the page of its old name
        sys._clear_type_cache()
    for _ in range(2):  # the second time, the entries of the cache that the first one has made stay
        prepare_recorder()
        prepare_passes()
    torch.manual_seed(0)
    finalization.leave_out_present()


def prepare_recorder() -> None:
    """Record a program without a pass. This fills the recorder's caches: decoders, and the changed code of functions."""
    _record_and_discard("import torch\nw = torch.ones(2)\nloss = ((w * 2 - 1) ** 2).mean()\nloss")


def prepare_passes() -> None:
    """Record programs whose passes run no engine. This fills the recorder's caches for typical nodes and tables."""
    autograd: Any = torch.autograd
    engine = autograd._engine_run_backward
    autograd._engine_run_backward = _reach_nothing
    try:
        _record_and_discard(
            "import torch\nx, y = torch.ones(3), torch.ones(3)\nw = torch.ones(1, requires_grad=True)\nfor step in range(2):\n"
            "    y_pred = w * x\n    loss = ((y_pred - y) ** 2).mean()\n    loss.backward()\n"
            "    with torch.no_grad():\n        w -= 0.1 * torch.ones(1)\n    print(w)\nloss"
        )
        _record_and_discard(
            "import torch\nfrom torch import nn\nnet = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))\n"
            "optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\nfor step in range(2):\n    optimizer.zero_grad()\n"
            "    loss = nn.functional.mse_loss(net(torch.ones(3, 2)), torch.ones(3, 1))\n    loss.backward()\n"
            "    optimizer.step()"
        )
    finally:
        autograd._engine_run_backward = engine


def _reach_nothing(tensors: Any, *arguments: Any, **options: Any) -> tuple[None, ...]:
    """Return what the engine returns if the pass reaches none of the inputs."""
    return (None,) * len(tensors)


def optimizers() -> OptimizerCatalogue:
    """Return the optimizers of the installed PyTorch and their options."""
    from .training.catalogue import catalogue

    return catalogue()


def warm() -> None:
    """Record a small program in a child that waits for its job: the first recording takes three times as long as the second."""
    _record_and_discard(
        "import torch\nw = torch.ones(2, requires_grad=True)\n"
        "loss = ((w * 2 - 1) ** 2).mean()\nloss.backward()\nw = w - w.grad\nw"
    )


def _record_and_discard(program: str) -> None:
    job = wire.Job(program, [(1, program.count("\n") + 1)])
    run(wire.decode_job(wire.encode_job(job)), lambda frames: None)  # the first decoding takes longest too
