"""What recording is measured against: the program as Python runs it, watched by what does nothing, and recorded with the least.

No recorder that sees calls by a mode and gradients by hooks takes less than the second. The third holds what each node
computed and the gradients on its edges, and reads many passes at a time, as the recorder does. But it knows nothing of lines'
values, names, steps, updates, saved tensors or statistics, believes that nobody writes to what it holds, and tells no one.
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
_number = torch._C._autograd._get_sequence_nr
WAITING = 500
"""Tensors that are read together, at least."""
KEPT = 64
"""Elements up to which a tensor is kept whole; of larger ones the norm is."""


def plain(program: str) -> dict[str, Any]:
    """Run a program as Python does."""
    torch.manual_seed(0)
    namespace: dict[str, Any] = {}
    exec(compile(program, PROGRAM, "exec"), namespace)
    return namespace


class Passing(TorchFunctionMode):
    """Passes every call on."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **kwargs) if kwargs else func(*args)


def watched(program: str) -> None:
    """Run a program under a mode that does nothing, with a hook that does nothing on each node of each backward."""

    def run_backward(outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        nodes = [output.grad_fn for output in outputs]
        seen = set(nodes)
        for node in nodes:  # which grows as it is walked
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

    with _at_the_engine(run_backward), Passing():
        plain(program)


def least(program: str) -> int:
    """Record a program as little as can be; returns the number of bytes that were packed."""
    calls = Calls()
    passes = Passes(calls)
    with _at_the_engine(passes.run), calls:
        plain(program)
    with torch._C.DisableTorchFunction(), torch.no_grad():
        passes.pack()
    return passes.size


@contextmanager
def _at_the_engine(run: Callable[..., Any]) -> Iterator[None]:
    """Have passes run by something that stands in for the engine."""
    _AUTOGRAD._engine_run_backward = run
    try:
        yield
    finally:
        _AUTOGRAD._engine_run_backward = _ENGINE


class Calls(TorchFunctionMode):
    """Notes of each node the call that made it: where it stands, and what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[Any, int, Any]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = _number()
        out = func(*args, **kwargs) if kwargs else func(*args)
        last = _number()
        if last != first and func is not Tensor.backward:
            frame: Any = sys._getframe(1)
            while frame.f_code.co_filename != PROGRAM:
                frame = frame.f_back
            for number in range(first, last):
                self.made.setdefault(number, (frame.f_code, frame.f_lasti, out))
        return out


class Passes:
    """Walks the graph of each pass, hooks its nodes, and packs what they computed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._structures: dict[tuple[Any, ...], int] = {}
        self._waiting: list[Tensor] = []
        self.size = 0
        """Bytes that were packed."""

    def run(self, outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Stand in for the engine."""
        order: list[int] = []
        with torch._C.DisableTorchFunction(), torch.no_grad():
            nodes, rows = self._walk(outputs)
            edges: list[Sequence[Tensor | None]] = [()] * len(nodes)

            def hook(place: int) -> Callable[[Any, Any], None]:
                def fired(on_edges: Any, at_outputs: Any) -> None:
                    order.append(place)
                    edges[place] = on_edges

                return fired

            handles = [node.register_hook(hook(place)) for place, node in enumerate(nodes)]
        result = _ENGINE(outputs, *args, **kwargs)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            for handle in handles:
                handle.remove()
            for gradients in edges:
                rows.extend(gradients)
            self._waiting += [row for row in rows if row is not None]
            self._calls.made.clear()
            if len(self._waiting) >= WAITING:
                self.pack()
        return result

    def _walk(self, outputs: Sequence[Any]) -> tuple[list[Any], list[Tensor | None]]:
        nodes = [output.grad_fn for output in outputs]
        places = {node: place for place, node in enumerate(nodes)}
        structure: list[Any] = []
        rows: list[Tensor | None] = []
        for node in nodes:  # which grows as it is walked
            structure.append(type(node))
            for following, output in node.next_functions:
                if following is not None and following not in places:
                    places[following] = len(nodes)
                    nodes.append(following)
                structure += (places.get(following), output)
            if type(node) is _ACCUMULATE:
                leaf = node.variable
                rows.append(leaf.detach().clone() if leaf.numel() <= KEPT else None)
            elif made := self._calls.made.get(node._sequence_nr()):
                structure += made[:2]
                rows.append(made[2] if isinstance(made[2], Tensor) else None)
        self._structures.setdefault(tuple(structure), len(self._structures))
        return nodes, rows

    def pack(self) -> None:
        """Read all that waits."""
        tensors = [tensor.detach() for tensor in self._waiting]
        numbers = [tensor.item() for tensor in tensors if tensor.numel() == 1]
        small = [tensor.reshape(-1) for tensor in tensors if 1 < tensor.numel() <= KEPT]
        large = [tensor for tensor in tensors if tensor.numel() > KEPT]
        packed = [struct.pack(f"<{len(numbers)}d", *numbers)]
        if small:
            packed.append(torch.cat(small).numpy().tobytes())
        if large:
            packed.append(torch.stack(torch._foreach_norm(large)).numpy().tobytes())
        self.size += sum(map(len, packed))
        self._waiting.clear()
