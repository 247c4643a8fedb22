"""Run programs twice: recorded, and unrecorded by Python alone."""

from __future__ import annotations

import builtins
import contextlib
import io
import linecache
import random
import re
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tapedeck import wire
from tapedeck.model import Limits
from tapedeck.recording import MemoryLog, Recording
from tapedeck.tracer.main import execute

from .independent_observer import Bits, Watched, bits, watching

PROGRAMS = sorted((Path(__file__).parent.parent / "programs").glob("*.py"))

KEEP = "import builtins; builtins._kept_by_test = globals(); "
"""A prefix of a program's first line that keeps its variables for the test, however the program ends."""


def record(program: str, **options: Any) -> tuple[list[wire.AnyEvent], Recording]:
    """Record a program in this process, and validate its events as the server does."""
    reader = wire.Reader(Limits(), program=program, confined=options.get("confined", True))
    events: list[wire.AnyEvent] = []
    cells = options.pop("cells", None) or [(1, max(len(program.splitlines()), 1))]
    execute(wire.Job(program, cells, **options), lambda data: events.extend(reader.feed(data)))
    return events, Recording(MemoryLog(events), program)


def replay(program: str, **order: Any) -> list[wire.AnyEvent]:
    """Replay a program in this process, and return all events, validated as the server does it."""
    reader = wire.Reader(Limits(), replay=True)
    events: list[wire.AnyEvent] = []
    job = wire.Job(program, [(1, max(len(program.splitlines()), 1))], replay=wire.ReplayOrder(**order))
    execute(job, lambda data: events.extend(reader.feed(data)))
    return events


@dataclass
class Outcome:
    """The result of a program: its variables, its output, and the exception that ended it."""

    variables: dict[str, Any]
    stdout: str
    error: tuple[str, str] | None
    stderr: str = ""


def unrecorded(program: str, seed: int = 0) -> Outcome:
    """Run a program without the recorder, with the same seeds."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    module = types.ModuleType("__main__")
    printed, errors = io.StringIO(), io.StringIO()
    error = None
    main = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        linecache.cache["<alone>"] = (len(program), None, program.splitlines(keepends=True), "<alone>")
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            exec(compile(program, "<alone>", "exec"), module.__dict__)
    except (Exception, KeyboardInterrupt) as raised:
        error = (type(raised).__name__, str(raised))
    finally:
        sys.modules["__main__"] = main
    return Outcome(module.__dict__, printed.getvalue(), error, errors.getvalue())


def watched(program: str) -> list[Watched]:
    """Run a program without the recorder, and return its passes as the independent observer sees them."""
    with watching() as passes:
        outcome = unrecorded(program)
    assert outcome.error == unrecorded(program).error  # the observer did not fail
    return passes


def recorded(program: str, **options: Any) -> tuple[Outcome, list[wire.AnyEvent], Recording]:
    """Record a program and keep its variables. Its first line must allow a statement before it."""
    builtins._kept_by_test = {}  # type: ignore[attr-defined]
    first = re.match("from __future__.*\n", program)
    kept = f"{first[0].rstrip()}; {KEEP}\n{program[first.end() :]}" if first else KEEP + program
    events, recording = record(kept, **options)
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    error = (end.failure.type, end.failure.message) if end.failure else None
    outcome = Outcome(builtins._kept_by_test, recording.stdout(), error, recording.stderr())  # type: ignore[attr-defined]
    return outcome, events, recording


KEPT = 100_000
"""The number of elements up to which the tests of the corpus record tensors with all elements, to compare each of them."""


@cache
def recorded_program(program: Path) -> tuple[Outcome, list[wire.AnyEvent], Recording]:
    """Record a program of the corpus, once for all tests that read the recording."""
    return recorded(program.read_text(), values=KEPT)


def tensors(variables: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors in variables, modules, lists and dicts, with their gradients."""
    found: dict[str, torch.Tensor] = {}
    for name, value in variables.items():
        if not name.startswith("_") and name != "builtins":
            found |= dict(_members(name, value))
    kept = {name: value.grad for name, value in found.items() if _keeps_gradient(value)}
    gradients = {f"{name}.grad": grad for name, grad in kept.items() if grad is not None}
    return {name: value.detach() for name, value in (found | gradients).items()}


def all_bits(variables: dict[str, Any]) -> dict[str, Bits]:
    """Return the bits of every tensor in variables. Sparse and nested tensors are converted to dense ones."""
    return {name: bits(_dense(value)) for name, value in tensors(variables).items()}


def _members(name: str, value: Any, depth: int = 3) -> Iterable[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, torch.nn.Module):
        yield from ((f"{name}.{path}", part) for path, part in (*value.named_parameters(), *value.named_buffers()))
    elif isinstance(value, list | tuple) and depth:
        for index, item in enumerate(value):
            yield from _members(f"{name}[{index}]", item, depth - 1)
    elif isinstance(value, dict) and depth:
        for key, item in value.items():
            yield from _members(f"{name}[{key!r}]", item, depth - 1)
    elif isinstance(value, torch.optim.Optimizer):
        yield from _members(f"{name}.state", list(value.state.values()))


def _keeps_gradient(tensor: torch.Tensor) -> bool:
    try:
        return tensor.is_leaf or tensor.retains_grad
    except RuntimeError:  # torch raises for a view whose base was modified illegally
        return False


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_nested:
        return torch.cat([part.flatten() for part in tensor.unbind()])
    return tensor if tensor.layout is torch.strided else tensor.to_dense()
