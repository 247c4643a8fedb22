"""Find the passes that start from a loss multiplied by a ``GradScaler``."""

from __future__ import annotations

import ast
from typing import NamedTuple

from ...recording import Recording
from ..program.syntax import Syntax, called
from .passes import different_graphs


class ScaledPass(NamedTuple):
    """A call ``scaler.scale(loss).backward()`` that multiplied its loss. ``scaler`` is the text of the scaler."""

    call: ast.Call
    scaler: str


def scaled_passes(recording: Recording, syntax: Syntax) -> list[ScaledPass]:
    """Return the calls that run a pass from a scaled loss. A disabled scaler returns its loss unchanged."""
    calls = [call for call in syntax.statements(ast.Call) if called(call) == "backward"]
    passes = [ScaledPass(call, scaler) for call in calls if (scaler := _scaler(syntax, call)) is not None]
    if not passes:
        return []
    lines = {
        recording.log.pass_(graph.pass_).line for graph in different_graphs(recording) if graph.roots[0].op == "MulBackward0"
    }
    return [each for each in passes if each.call.lineno in lines]


def _scaler(syntax: Syntax, call: ast.Call) -> str | None:
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Attribute(attr="scale", value=scaler)))):
            return syntax.text(scaler)
    return None
