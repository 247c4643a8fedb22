"""Name what lies between an output and an input of a graph: custom functions with their lines, or operations."""

from __future__ import annotations

import inspect
import linecache
import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from ..replay.point import own_kinds

MOST_NAMES = 5
"""Number of functions or operations that a message names."""


def describe_path(output: Tensor, leaf: Tensor) -> str:
    """Return the text that names what computes the gradient: ``Tripled.backward, ops.py:12``, or the operations in between."""
    nodes = nodes_between(get_gradient_edge(output).node, leaf)
    if not nodes:
        return "No operation leads from the output to this input: look for a `detach`, `.data`, `.item()` or `torch.no_grad`"
    custom = [_backward_of(kind._forward_cls) for kind in own_kinds(nodes)]
    if custom:
        return _listed(custom, "; ")
    names = list(dict.fromkeys(node.name() for node in nodes if node.name() != "torch::autograd::AccumulateGrad"))
    return (
        f"No custom function is on the way, only {_listed(names, ', ')}: look for a hook, or a part that `detach`, `.data` "
        "or `torch.no_grad` cuts"
    )


def nodes_between(root: Any, leaf: Tensor) -> list[Any]:
    """Return the nodes on any path from ``root`` to the leaf's own node, in the order of discovery from the root."""
    found: dict[Any, None] = {root: None}
    used_by: dict[Any, list[Any]] = {}
    waiting = [root]
    for node in waiting:
        for following, _ in node.next_functions:
            if following is not None:
                used_by.setdefault(following, []).append(node)
                if following not in found:
                    found[following] = None
                    waiting.append(following)
    ends = [node for node in found if getattr(node, "variable", None) is leaf]
    leading = set(ends)
    for node in ends:
        for user in used_by.get(node, ()):
            if user not in leading:
                leading.add(user)
                ends.append(user)
    return [node for node in found if node in leading]


def _backward_of(function: Any) -> str:
    """Return the name and line of the method that computes a custom function's gradient."""
    overridden = function.vjp is not torch.autograd.Function.vjp
    method = inspect.unwrap(function.vjp if overridden else function.backward)
    code = method.__code__
    inside = os.path.relpath(code.co_filename)
    file = code.co_filename if inside.startswith(os.pardir) else inside
    return f"{function.__qualname__.rpartition('<locals>.')[2]}.{method.__name__}, {file}:{_line(code)}"


def _line(code: Any) -> int:
    """Return the line of ``def``. A code object begins at its first decorator."""
    first: int = code.co_firstlineno
    lines = linecache.getlines(code.co_filename)[first - 1 :]
    return first + next((index for index, line in enumerate(lines) if line.lstrip().startswith(("def ", "async def "))), 0)


def _listed(names: list[str], separator: str) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return separator.join(names[:MOST_NAMES]) + more
