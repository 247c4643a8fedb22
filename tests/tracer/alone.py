"""Run programs twice: recorded, and as Python alone would."""

from __future__ import annotations

import builtins
import contextlib
import io
import random
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tapedeck import wire
from tapedeck.model import Limits
from tapedeck.recording import MemoryLog, Recording
from tapedeck.tracer.main import execute

PROGRAMS = sorted((Path(__file__).parent.parent / "programs").glob("*.py"))

KEEP = "\nimport builtins as _b; _b._kept_by_test = dict(globals())\n"
"""Ends a program so that its variables can be looked at."""


def record(program: str, **options: Any) -> tuple[list[wire.AnyEvent], Recording]:
    """Record a program in this process, everything it tells checked as the server would check it."""
    reader = wire.Reader(Limits())
    events: list[wire.AnyEvent] = []
    cells = options.pop("cells", None) or [(1, max(len(program.splitlines()), 1))]
    execute(wire.Job(program, cells, **options), lambda data: events.extend(reader.feed(data)))
    return events, Recording(MemoryLog(events), program)


@dataclass
class Outcome:
    """What a program left: its variables, what it printed, and the exception that ended it."""

    variables: dict[str, Any]
    stdout: str
    error: tuple[str, str] | None


def alone(program: str, seed: int = 0) -> Outcome:
    """Run a program without any of us, seeded alike."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    module = types.ModuleType("__main__")
    printed = io.StringIO()
    error = None
    main = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(program, "<alone>", "exec"), module.__dict__)
    except Exception as raised:
        error = (type(raised).__name__, str(raised))
    finally:
        sys.modules["__main__"] = main
    return Outcome(module.__dict__, printed.getvalue(), error)


def recorded(program: str) -> tuple[Outcome, list[wire.AnyEvent], Recording]:
    """Record a program and keep its variables too."""
    builtins._kept_by_test = {}  # type: ignore[attr-defined]
    events, recording = record(program + KEEP)
    end = events[-1]
    assert isinstance(end, wire.End)
    error = (end.failure.type, end.failure.message) if end.failure else None
    return Outcome(builtins._kept_by_test, recording.stdout(), error), events, recording  # type: ignore[attr-defined]


def tensors(variables: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors, and the parameters of the modules, that variables hold, with their gradients."""
    found: dict[str, torch.Tensor] = {}
    for name, value in variables.items():
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, torch.nn.Module):
            found |= {f"{name}.{path}": parameter for path, parameter in value.named_parameters()}
    gradients = {f"{name}.grad": value.grad for name, value in found.items() if value.is_leaf and value.grad is not None}
    return {name: value.detach() for name, value in (found | gradients).items()}
