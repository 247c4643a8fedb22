"""Yardsticks for the cost of recording: plain execution, observation that does nothing, and a minimal recorder.

No recorder that observes calls by a mode and gradients by hooks can cost less than ``watched``. ``least`` records each
node's value and the gradients on its edges, and reads many passes at a time, like Tapedeck's recorder. Unlike it, ``least``
records no line values, names, steps, updates, saved tensors or statistics. It assumes that nothing writes to the tensors
it keeps, and it sends nothing.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PROGRAM = "<program>"
_AUTOGRAD: Any = torch.autograd
_ENGINE: Callable[..., Any] = _AUTOGRAD._engine_run_backward
_ACCUMULATE: Any = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]
_sequence_nr = torch._C._autograd._get_sequence_nr
MIN_BATCH = 500
"""Smallest number of tensors that are read together."""
MAX_ELEMENTS = 64
"""Largest number of elements of a tensor that is recorded whole. Of a larger tensor only the norm is recorded."""


def plain(program: str) -> dict[str, Any]:
    """Run a program as Python does, and return its namespace."""
    torch.manual_seed(0)
    namespace: dict[str, Any] = {}
    exec(compile(program, PROGRAM, "exec"), namespace)
    return namespace


class PassThrough(TorchFunctionMode):
    """A mode that calls every function unchanged."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **kwargs) if kwargs else func(*args)


def watched(program: str) -> None:
    """Run a program under a mode that does nothing, with a hook that does nothing on every node of each backward pass."""

    def run_backward(outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        nodes = [output.grad_fn for output in outputs]
        seen = set(nodes)
        for node in nodes:  # the loop appends to the list
            for following, _ in node.next_functions:
                if following is not None and following not in seen:
                    seen.add(following)
                    nodes.append(following)
        handles = [node.register_hook(nothing) for node in nodes]
        result = _ENGINE(outputs, *args, **kwargs)
        for handle in handles:
            handle.remove()
        return result

    def nothing(on_edges: Any, at_outputs: Any) -> None: ...

    with _replaced_engine(run_backward), PassThrough():
        plain(program)


def least(program: str) -> int:
    """Record a program with the minimal recorder, and return the number of packed bytes."""
    calls = CallMode()
    passes = PassRecorder(calls)
    with _replaced_engine(passes.run), calls:
        plain(program)
    with torch._C.DisableTorchFunction(), torch.no_grad():
        passes.pack()
    return passes.size


@contextmanager
def _replaced_engine(run: Callable[..., Any]) -> Iterator[None]:
    """Replace autograd's engine by ``run`` inside the block."""
    _AUTOGRAD._engine_run_backward = run
    try:
        yield
    finally:
        _AUTOGRAD._engine_run_backward = _ENGINE


class CallMode(TorchFunctionMode):
    """Records for each node the call that created it: its code, its position, and what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[Any, int, Any]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = _sequence_nr()
        out = func(*args, **kwargs) if kwargs else func(*args)
        last = _sequence_nr()
        if last != first and func is not Tensor.backward:
            frame: Any = sys._getframe(1)
            while frame.f_code.co_filename != PROGRAM:
                frame = frame.f_back
            for number in range(first, last):
                self.made.setdefault(number, (frame.f_code, frame.f_lasti, out))
        return out


class PassRecorder:
    """Walks the graph of each pass, hooks its nodes, and packs what they computed."""

    def __init__(self, calls: CallMode) -> None:
        self._calls = calls
        self._structures: dict[tuple[Any, ...], int] = {}
        self._waiting: list[Tensor] = []
        self.size = 0
        """Number of packed bytes."""

    def run(self, outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Run a pass in place of the engine, and record it."""
        order: list[int] = []
        with torch._C.DisableTorchFunction(), torch.no_grad():
            nodes, rows = self._walk(outputs)
            edges: list[Sequence[Tensor | None]] = [()] * len(nodes)

            def hook(index: int) -> Callable[[Any, Any], None]:
                def fired(on_edges: Any, at_outputs: Any) -> None:
                    order.append(index)
                    edges[index] = on_edges

                return fired

            handles = [node.register_hook(hook(index)) for index, node in enumerate(nodes)]
        result = _ENGINE(outputs, *args, **kwargs)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            for handle in handles:
                handle.remove()
            for gradients in edges:
                rows.extend(gradients)
            self._waiting += [row for row in rows if row is not None]
            self._calls.made.clear()
            if len(self._waiting) >= MIN_BATCH:
                self.pack()
        return result

    def _walk(self, outputs: Sequence[Any]) -> tuple[list[Any], list[Tensor | None]]:
        nodes = [output.grad_fn for output in outputs]
        indices = {node: index for index, node in enumerate(nodes)}
        structure: list[Any] = []
        rows: list[Tensor | None] = []
        for node in nodes:  # the loop appends to the list
            structure.append(type(node))
            for following, output in node.next_functions:
                if following is not None and following not in indices:
                    indices[following] = len(nodes)
                    nodes.append(following)
                structure += (indices.get(following), output)
            if type(node) is _ACCUMULATE:
                leaf = node.variable
                rows.append(leaf.detach().clone() if leaf.numel() <= MAX_ELEMENTS else None)
            elif made := self._calls.made.get(node._sequence_nr()):
                structure += made[:2]
                rows.append(made[2] if isinstance(made[2], Tensor) else None)
        self._structures.setdefault(tuple(structure), len(self._structures))
        return nodes, rows

    def pack(self) -> None:
        """Pack the tensors that are waiting."""
        tensors = [tensor.detach() for tensor in self._waiting]
        numbers = [tensor.item() for tensor in tensors if tensor.numel() == 1]
        small = [tensor.reshape(-1) for tensor in tensors if 1 < tensor.numel() <= MAX_ELEMENTS]
        large = [tensor for tensor in tensors if tensor.numel() > MAX_ELEMENTS]
        packed = [struct.pack(f"<{len(numbers)}d", *numbers)]
        if small:
            packed.append(torch.cat(small).numpy().tobytes())
        if large:
            packed.append(torch.stack(torch._foreach_norm(large)).numpy().tobytes())
        self.size += sum(map(len, packed))
        self._waiting.clear()
