"""Turn tensors into the packed rows that cross the wire.

Statistics are computed by torch, in float64 whatever the tensor's own dtype, so that they say something about the values
and not about rounding. Small tensors are stacked by size and done together, since a torch call costs more than the work.
"""

from __future__ import annotations

import struct
from typing import Any

import torch
from torch import Tensor

from .. import wire
from ..model import Capture

_CODES = {
    getattr(torch, name): code for code, name in enumerate(wire.DTYPES) if isinstance(getattr(torch, name, None), torch.dtype)
}
_OTHER = wire.DTYPES.index("other")
_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64} | {
    dtype: torch.float32 for dtype in _CODES if "float8" in str(dtype)
}
_STATISTICS = struct.Struct("<4d")
_COUNTS = struct.Struct("<3q")
_NOTHING = (0.0, 0.0, 0.0, 0.0, 0, 0, 0)


class Snapshot:
    """A tensor as it was before something wrote to it: a copy of its elements, and what was true of it."""

    __slots__ = ("data", "grad_fn", "is_leaf", "requires_grad", "seq", "statistics")

    def __init__(self, tensor: Tensor, kept: int) -> None:
        self.requires_grad = tensor.requires_grad
        self.is_leaf = tensor.is_leaf
        node = tensor.grad_fn
        self.grad_fn = node.name() if node is not None else None
        self.seq = node._sequence_nr() if node is not None and hasattr(node, "_sequence_nr") else None
        with torch.no_grad():
            if tensor.numel() <= max(kept, 1):
                self.data = tensor.detach().clone()
                self.statistics: tuple[Any, ...] | None = None
            else:  # the numbers are enough: the elements would not be kept anyway
                self.data = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
                self.statistics = statistics(tensor.detach().reshape(1, -1))[0]


class _Row:
    """What is known of one tensor until its table is packed."""

    __slots__ = ("code", "count", "flags", "grad_fn", "packed", "shape", "statistics", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor
        self.shape = tuple(tensor.shape)
        self.code = _CODES.get(tensor.dtype, _OTHER)
        self.count = tensor.numel()
        self.flags = (wire.REQUIRES_GRAD if tensor.requires_grad else 0) | (wire.IS_LEAF if tensor.is_leaf else 0)
        node = tensor.grad_fn
        self.grad_fn = node.name() if node is not None else None
        self.packed = b""
        self.statistics: tuple[Any, ...] | None = None


class Table:
    """Tensors on their way to one event. A row is known by its place; -1 stands for no tensor.

    ``kept`` is the largest number of elements that is kept whole.
    """

    def __init__(self, kept: int, capture: Capture) -> None:
        self._kept = {"full": kept, "norms": 1, "graph": -1}[capture]
        self._numbers = capture != "graph"
        self._rows: list[_Row] = []
        self._seen: dict[int, int] = {}
        self._held: list[Tensor] = []  # what is known by its id has to stay alive

    def add(self, tensor: Tensor | Snapshot | None) -> int:
        """Give a tensor a row; its elements are read when the table is packed, so nothing may write to it until then."""
        if tensor is None:
            return -1
        known = self._seen.get(id(tensor))
        if known is not None:
            return known
        if isinstance(tensor, Snapshot):
            return self._add_snapshot(tensor)
        place = self._seen[id(tensor)] = self._append(tensor)
        self._held.append(tensor)
        return place

    def copy(self, tensor: Tensor | Snapshot | None) -> int:
        """Give a tensor a row with the elements that it has now."""
        if not isinstance(tensor, Tensor):
            return self.add(tensor)
        place = self._append(tensor)
        row = self._rows[place]
        if row.tensor is None:
            return place
        if row.count <= self._kept:
            row.tensor = tensor.detach().clone()
        else:
            row.statistics = statistics(tensor.detach().reshape(1, -1))[0]
            row.tensor = None
        return place

    def pack(self) -> wire.Tensors:
        """Read all elements and make the columns."""
        with torch.no_grad():
            self._read()
        names: dict[str, int] = {}
        grad_fns: list[int] = []
        stats: list[bytes] = []
        counts: list[bytes] = []
        for row in self._rows:
            grad_fns.append(0 if row.grad_fn is None else names.setdefault(row.grad_fn, len(names) + 1))
            if row.statistics is not None:
                row.flags |= wire.HAS_STATS
                stats.append(_STATISTICS.pack(*row.statistics[:4]))
                counts.append(_COUNTS.pack(*row.statistics[4:]))
        rows = self._rows
        return wire.Tensors(
            dtype=bytes([row.code for row in rows]),
            flags=bytes([row.flags for row in rows]),
            grad_fn=struct.pack(f"<{len(rows)}H", *grad_fns),
            names=list(names),
            ndim=bytes([len(row.shape) for row in rows]),
            dims=b"".join([struct.pack(f"<{len(row.shape)}q", *row.shape) for row in rows]),
            stats=b"".join(stats),
            counts=b"".join(counts),
            values=b"".join([row.packed for row in rows]),
        )

    def _append(self, tensor: Tensor) -> int:
        row = _Row(tensor)
        if not self._numbers or row.count == 0 or not readable(tensor):
            row.tensor = None
        if row.count == 0 and row.code != _OTHER:
            row.flags |= wire.HAS_VALUES
        self._rows.append(row)
        return len(self._rows) - 1

    def _add_snapshot(self, snapshot: Snapshot) -> int:
        place = self._seen[id(snapshot)] = self._append(snapshot.data)
        row = self._rows[place]
        row.flags = (wire.REQUIRES_GRAD if snapshot.requires_grad else 0) | (wire.IS_LEAF if snapshot.is_leaf else 0)
        row.grad_fn = snapshot.grad_fn
        if self._numbers:
            row.statistics = snapshot.statistics
        self._held.append(snapshot.data)
        return place

    def _read(self) -> None:
        """Stack what is of one dtype and size, and read each stack at once."""
        stacks: dict[tuple[int, int], list[_Row]] = {}
        for row in self._rows:
            if row.tensor is not None:
                stacks.setdefault((row.code, row.count), []).append(row)
        for (code, count), rows in stacks.items():
            try:
                self._read_stack(code, count, rows)
            except (RuntimeError, NotImplementedError, TypeError):  # a kind of tensor that torch itself cannot read
                for row in rows:
                    row.statistics = None
            for row in rows:
                row.tensor = None

    def _read_stack(self, code: int, count: int, rows: list[_Row]) -> None:
        tensors = [row.tensor.detach() for row in rows if row.tensor is not None]
        if count > self._kept:
            for row, tensor in zip(rows, tensors, strict=True):
                row.statistics = statistics(tensor.reshape(1, -1))[0]
            return
        stack = torch.stack([tensor.reshape(count) for tensor in tensors]) if len(tensors) > 1 else tensors[0].reshape(1, count)
        if code != _OTHER:
            widened = _WIDENED.get(stack.dtype)
            plain = (stack if widened is None else stack.to(widened)).resolve_conj().resolve_neg()
            data = plain.contiguous().numpy().tobytes()
            size = len(data) // len(rows)
            for place, row in enumerate(rows):
                row.packed = data[place * size : (place + 1) * size]
                row.flags |= wire.HAS_VALUES
        if count > 1 or code == _OTHER:
            for row, found in zip(rows, statistics(stack), strict=True):
                row.statistics = found


def readable(tensor: Tensor) -> bool:
    """Whether a tensor's elements can be read here and now: it has storage, and is no stand-in of a transform."""
    return (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and not tensor.is_quantized
        and (type(tensor) is Tensor or type(tensor) is torch.nn.Parameter or not hasattr(type(tensor), "__torch_dispatch__")
             or type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__)
    )  # fmt: skip


def statistics(stack: Tensor) -> list[tuple[Any, ...]]:
    """Of each row of ``stack`` (rows × elements): min, max, mean, L2 norm, and the counts of zeros, NaN and Inf."""
    if stack.shape[1] == 0:
        return [_NOTHING] * stack.shape[0]
    if stack.is_complex():
        stack = (stack.to(torch.complex64) if stack.dtype == torch.complex32 else stack).abs()
    wide = stack.to(torch.float64)
    low, high = torch.aminmax(wide, dim=1)
    zeros = wide.shape[1] - torch.count_nonzero(wide, dim=1)
    columns = [low, high, wide.mean(dim=1), torch.linalg.vector_norm(wide, dim=1)]
    numbers = torch.stack(columns, dim=1).tolist()
    counted = zeros.tolist()
    if bool(torch.isfinite(low).all()) and bool(torch.isfinite(high).all()):
        return [(*row, zero, 0, 0) for row, zero in zip(numbers, counted, strict=True)]
    nan, inf = torch.isnan(wide).sum(dim=1).tolist(), torch.isinf(wide).sum(dim=1).tolist()
    return [(*row, *counts) for row, *counts in zip(numbers, counted, nan, inf, strict=True)]
