"""Observe a program's passes independently of the recorder: by a depth-first walk, and prehooks that copy gradients."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Bits = tuple[str, tuple[int, ...], bytes] | None
"""The dtype, shape and bytes of a tensor; ``None`` if its elements cannot be read."""


@dataclass
class Watched:
    """One call into the engine: its graph, the order in which the nodes ran, and the gradients that each node was given."""

    kind: str
    ops: Counter[str]
    edges: Counter[tuple[str, int, str, int]]
    order: list[str] = field(default_factory=list)
    used: Counter[tuple[str, int, Bits]] = field(default_factory=Counter)
    saved: Counter[tuple[str, str, Bits]] = field(default_factory=Counter)
    """The saved tensors of each node at the beginning, except those with hooks of the program."""
    leaves: Counter[Bits] = field(default_factory=Counter)
    """The leaves at the beginning."""
    gradients: Counter[Bits] = field(default_factory=Counter)
    """The ``.grad`` of each leaf at the end."""
    failed: bool = False
    roots: list[Any] = field(default_factory=list)
    """The nodes at which the pass began."""


@contextlib.contextmanager
def watching() -> Iterator[list[Watched]]:
    """Collect the passes that run inside the ``with`` block."""
    gate: Any = torch.autograd
    original = gate._engine_run_backward
    found: list[Watched] = []
    depth = 0

    def run(outputs: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal depth
        roots = [node for node in map(_node, outputs) if node is not None]
        nodes, edges = _walk(roots)
        if not nodes:
            return original(outputs, *args, **kwargs)
        kind = "nested" if depth else "backward" if kwargs.get("accumulate_grad", True) else "grad"
        seen = Watched(kind, Counter(map(name, nodes)), edges, roots=roots)
        found.append(seen)
        variables = [node.variable for node in nodes if hasattr(node, "variable")]
        seen.leaves.update(bits(leaf) for leaf in variables)
        seen.saved.update((name(node), slot, bits(tensor)) for node in nodes for slot, tensor in _saved(node))
        ran: set[Any] = set()
        handles = [node.register_prehook(_prehook(node, seen, ran)) for node in nodes]
        depth += 1
        try:
            result = original(outputs, *args, **kwargs)
        except BaseException:
            seen.failed = True
            raise
        finally:
            depth -= 1
            for handle in handles:
                handle.remove()
        if kind == "grad" or not kwargs.get("accumulate_grad", True):
            taken = {}  # the nodes of inputs do not run; an input that is given twice counts once
            for given, gradient in zip(args[3], result, strict=True):
                if gradient is not None:
                    leaf = (node for node in nodes if getattr(node, "variable", None) is given)
                    made_by = given.grad_fn if isinstance(given, Tensor) else given.node
                    taken[made_by or next(leaf), given.output_nr] = gradient
            for (node, output), gradient in taken.items():
                if node not in ran:
                    seen.used[name(node), output, bits(gradient)] += 1
        seen.gradients.update(bits(leaf.grad) for leaf in variables if leaf.grad is not None)
        return result

    gate._engine_run_backward = run
    try:
        yield found
    finally:
        gate._engine_run_backward = original


def name(node: Any) -> str:
    """Return the op of a node, without the namespace that some have."""
    found: str = node.name()
    return found.removeprefix("torch::autograd::")


def bits(tensor: Tensor) -> Bits:
    """Return the bits of a tensor. A sparse tensor is converted to a dense one."""
    while torch._C._functorch.is_gradtrackingtensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor) or torch._C._functorch.is_legacy_batchedtensor(tensor)
    if wrapped or tensor.is_nested or not tensor.is_cpu:
        return None
    with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableFuncTorch(), torch._C._DisableTorchDispatch():
        plain = tensor.detach() if tensor.requires_grad else tensor
        plain = plain if tensor.layout is torch.strided else plain.to_dense()
        plain = plain.resolve_conj().resolve_neg()
        plain = plain.clone() if plain._is_zerotensor() else plain  # a zero tensor has no memory until it is copied
        dtype = str(plain.dtype).removeprefix("torch.")
        plain = plain.to(_WIDENED.get(plain.dtype, plain.dtype))
        return dtype, tuple(plain.shape), plain.contiguous().numpy().tobytes()


_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}
"""For each dtype that NumPy lacks, a dtype that represents it exactly."""


def _prehook(node: Any, seen: Watched, ran: set[Any]) -> Any:
    op = name(node)

    def fired(gradients: Any) -> None:
        ran.add(node)
        seen.order.append(op)
        seen.used.update((op, at, bits(gradient)) for at, gradient in enumerate(gradients) if gradient is not None)

    return fired


def _saved(node: Any) -> Iterator[tuple[str, Tensor]]:
    for attribute in dir(node):
        if attribute.startswith("_raw_saved_"):
            slot = attribute.removeprefix("_raw_saved_")
            try:
                raw = getattr(node, attribute)
                many = raw if isinstance(raw, tuple) else (raw,)
                if any(each.unpack_hook is not None for each in many):
                    continue
                found = node.saved_tensors if slot == "tensors" else getattr(node, f"_saved_{slot}")
            except RuntimeError:  # freed, or overwritten
                continue
            for index, tensor in enumerate(found if isinstance(found, tuple) else (found,)):
                if isinstance(tensor, Tensor):
                    yield f"{slot}[{index}]" if isinstance(found, tuple) else slot, tensor


def _node(output: Any) -> Any:
    if not isinstance(output, Tensor):
        return output.node
    if not output.requires_grad:
        return None
    with torch.enable_grad():
        return output.grad_fn if output.grad_fn is not None else output.view_as(output).grad_fn.next_functions[0][0]  # type: ignore[union-attr]


def _walk(roots: list[Any]) -> tuple[list[Any], Counter[tuple[str, int, str, int]]]:
    seen = {root for root in roots if root is not None}
    waiting = list(seen)
    edges: Counter[tuple[str, int, str, int]] = Counter()
    while waiting:
        node = waiting.pop()
        for slot, (target, output) in enumerate(node.next_functions):
            if target is not None:
                edges[name(node), slot, name(target), output] += 1
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
    return list(seen), edges
