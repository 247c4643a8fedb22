"""Turn tensors into the packed rows that cross the wire.

Statistics are computed by torch, in float64 whatever the tensor's own dtype, so that they say something about the values
and not about rounding. Small tensors are stacked by size and done together, since a torch call costs more than the work.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import wire
from ..model import Capture

_CODES = {
    getattr(torch, name): code for code, name in enumerate(wire.DTYPES) if isinstance(getattr(torch, name, None), torch.dtype)
}
_OTHER = wire.DTYPES.index("other")
_COUNTED = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})
_SPARSE = frozenset({torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})
WHOLE = 1 << 20
"""Elements of a parameter that are copied whole before and after a step, so that the update itself can be told."""
STACKED = 1 << 16
"""Elements that are copied side by side to be counted together; more than that costs more than it saves."""
_WIDENED = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64} | {
    dtype: torch.float32 for dtype in _CODES if "float8" in str(dtype)
}


TABLE_BYTES = 14 << 20
"""What the numbers of a table may take; past it the elements of its largest tensors are left out, then its last statistics."""
_NOTHING = contextlib.nullcontext()


def apart() -> contextlib.AbstractContextManager[None]:
    """A context in which what we compute is not seen by a dispatch mode of the program's, if it has put one on."""
    return torch._C._DisableTorchDispatch() if torch._C._len_torch_dispatch_stack() else _NOTHING


class Snapshot:
    """A tensor as it is now, before something writes to it: a copy of its elements, and what was true of it.

    Above ``kept`` elements, its statistics take the place of the elements; ``grad_fn`` is a name.
    """

    __slots__ = ("data", "grad_fn", "is_leaf", "requires_grad", "seq", "statistics")

    def __init__(self, tensor: Tensor, kept: int) -> None:
        self.requires_grad = tensor.requires_grad
        self.is_leaf = is_leaf(tensor)
        node = origin(tensor)
        self.grad_fn = node.name() if node is not None else None
        self.seq = node._sequence_nr() if node is not None and hasattr(node, "_sequence_nr") else None
        self.statistics: tuple[bytes, bytes] | None = None
        with apart():
            self._copy(plain(tensor), kept)

    def _copy(self, tensor: Tensor, kept: int) -> None:
        # one of a batch outlives its transform, and then every call on it fails
        data = tensor if stands_in(tensor) else plain(dense(tensor.detach()))
        if not readable(data):
            self.data = data
        elif tensor.numel() <= max(kept, 1):
            self.data = plain(data.clone())
        else:  # the numbers are enough: the elements would not be kept anyway
            self.data = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
            with torch.no_grad():
                self.statistics = statistics(data.reshape(1, -1))[0]

    def seen_as(self, view: Tensor) -> Snapshot:
        """What a view that begins at the same element was: this very snapshot, or one of another shape."""
        if looks_alike(view, self.data):
            return self
        if self.statistics is not None or view.dtype != self.data.dtype or view.is_conj() or view.is_neg():
            return Snapshot(view, WHOLE)
        seen = Snapshot.__new__(Snapshot)
        seen.requires_grad, seen.is_leaf, seen.grad_fn, seen.seq = view.requires_grad, is_leaf(view), None, None
        seen.statistics = None
        try:
            seen.data = plain(self.data.as_strided(view.shape, view.stride()))
        except RuntimeError:  # it reaches beyond what was copied
            return Snapshot(view, WHOLE)
        return seen


def looks_alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors that begin at the same element are the same elements in the same order."""
    if one.is_nested or other.is_nested:  # these have no shape to compare
        return False
    if one.shape != other.shape or one.stride() != other.stride() or one.dtype != other.dtype:
        return False
    return one.is_conj() == other.is_conj() and one.is_neg() == other.is_neg()


class Difference:
    """What has to be added to one tensor to get another; computed when a table is read, many at once."""

    __slots__ = ("after", "before", "data")

    grad_fn = None
    is_leaf = True
    requires_grad = False
    statistics = None

    def __init__(self, after: Tensor, before: Tensor) -> None:
        self.after = after
        self.before = before
        self.data = after


class Table:
    """Tensors on their way to one event. A row is known by its place; -1 stands for no tensor.

    ``kept`` is the largest number of elements that is kept whole.
    """

    def __init__(self, kept: int, capture: Capture) -> None:
        self.kept = {"full": kept, "norms": 1, "graph": -1}[capture]
        self.numbers = capture != "graph"
        self.rows: list[Tensor | Snapshot | Difference] = []
        self.shortened = False
        """Whether there were more numbers than :data:`TABLE_BYTES` when it was packed."""
        self._seen: dict[int, int] = {}

    def add(self, tensor: Tensor | Snapshot | None) -> int:
        """Give a tensor a row. Its elements are read when the table is packed: nothing may write to it until then."""
        if tensor is None:
            return -1
        place = self._seen.get(id(tensor))
        if place is None:
            place = self._seen[id(tensor)] = len(self.rows)
            self.rows.append(tensor)
        return place

    def copy(self, tensor: Tensor | Snapshot | None) -> int:
        """Give a tensor a row with the elements that it has now."""
        if tensor is None:
            return -1
        self.rows.append(Snapshot(tensor, self.kept if self.numbers else 0) if isinstance(tensor, Tensor) else tensor)
        return len(self.rows) - 1

    def copy_for(self, tensor: Tensor) -> int:
        """Give a tensor a row with the elements that it has now, and let it be known by that row from here on."""
        snapshot = Snapshot(tensor, WHOLE if self.numbers else 0)
        self.rows.append(snapshot)
        place = self._seen[id(tensor)] = len(self.rows) - 1
        return place

    def difference(self, after: int, before: int) -> int:
        """Give a row to the difference of two snapshots; none where their elements are not all there."""
        one, other = self.rows[after], self.rows[before]
        if not (self.numbers and isinstance(one, Snapshot) and isinstance(other, Snapshot)):
            return -1
        if one.statistics is not None or other.statistics is not None or not readable(one.data) or not readable(other.data):
            return -1
        if one.data.shape != other.data.shape or one.data.dtype != other.data.dtype or one.data.dtype == torch.bool:
            return -1
        self.rows.append(Difference(one.data, other.data))
        return len(self.rows) - 1

    def pack(self) -> wire.Tensors:
        """Read all elements and make the columns."""
        return pack([self])[0]


def pack(tables: Sequence[Table]) -> list[wire.Tensors]:
    """Read the elements of many tables, all those of one dtype and size at once, and make the columns of each."""
    rows = [row for table in tables for row in table.rows]
    kept = max((table.kept for table in tables), default=0)
    numbers = any(table.numbers for table in tables)
    # a program may be inside a transform, or have tensors with a __torch_function__ of their own: neither is to see this
    with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableFuncTorch(), torch._C._DisableTorchDispatch():
        _subtract([row for row in rows if isinstance(row, Difference)])
        read = _Reading(rows, kept, numbers)
        packed = []
        start = 0
        for table in tables:
            table.shortened = read.shorten(start, start + len(table.rows), TABLE_BYTES)
            packed.append(read.columns(start, start + len(table.rows)))
            start += len(table.rows)
    return packed


def _subtract(differences: list[Difference]) -> None:
    """Compute differences, all those of one dtype and size at once."""
    alike: dict[tuple[torch.dtype, int], list[Difference]] = {}
    for difference in differences:
        alike.setdefault((difference.after.dtype, difference.after.numel()), []).append(difference)
    for (_, count), group in alike.items():
        most = max(1, STACKED // max(count, 1))
        for start in range(0, len(group), most):
            part = group[start : start + most]
            if len(part) == 1:
                part[0].data = part[0].after - part[0].before
                continue
            after = torch.stack([each.after.reshape(count) for each in part])
            before = torch.stack([each.before.reshape(count) for each in part])
            for each, data in zip(part, (after - before).unbind(), strict=True):
                each.data = data.reshape(each.after.shape)


_STATS_BYTES = 56
"""What the statistics of a row take."""


class _Reading:
    """What the tensors of many rows say of themselves, row by row."""

    def __init__(self, rows: list[Tensor | Snapshot | Difference], kept: int, numbers: bool) -> None:
        self._rows = rows
        self._data = [dense(row) if isinstance(row, Tensor) else row.data for row in rows]
        self._codes = [_CODES.get(data.dtype, _OTHER) for data in self._data]
        self._shapes = [sizes(data) for data in self._data]
        self._flags = [(wire.REQUIRES_GRAD if row.requires_grad else 0) | (wire.IS_LEAF if is_leaf(row) else 0) for row in rows]
        self._packed = [b""] * len(rows)
        self._stats: list[tuple[bytes, bytes] | None] = [None] * len(rows)
        self._read(kept, numbers)

    def columns(self, start: int, end: int) -> wire.Tensors:
        """The columns of a run of rows."""
        names: dict[str, int] = {}
        grad_fns = [self._grad_fn(row, names) for row in self._rows[start:end]]
        shapes = self._shapes[start:end]
        dims = [size for shape in shapes for size in shape]
        told = [stats for stats in self._stats[start:end] if stats is not None]
        return wire.Tensors(
            dtype=bytes(self._codes[start:end]),
            flags=bytes(self._flags[start:end]),
            grad_fn=struct.pack(f"<{end - start}H", *grad_fns),
            names=list(names),
            ndim=bytes([len(shape) for shape in shapes]),
            dims=struct.pack(f"<{len(dims)}q", *dims),
            stats=b"".join([numbers for numbers, _ in told]),
            counts=b"".join([counts for _, counts in told]),
            values=b"".join(self._packed[start:end]),
        )

    def shorten(self, start: int, end: int, most: int) -> bool:
        """Leave out numbers of a run of rows until they take no more bytes than ``most``; returns whether any had to be."""
        size = sum(map(len, self._packed[start:end])) + _STATS_BYTES * sum(map(bool, self._stats[start:end]))
        if size <= most:
            return False
        rows = range(start, end)
        for place in sorted((place for place in rows if self._stats[place]), key=lambda place: -len(self._packed[place])):
            if size <= most:
                break
            size -= len(self._packed[place])
            self._packed[place] = b""
            self._flags[place] &= ~wire.HAS_VALUES
        for place in reversed(rows):
            if size <= most:
                break
            if self._stats[place]:
                size -= _STATS_BYTES
                self._stats[place] = None
                self._flags[place] &= ~wire.HAS_STATS
        return True

    def _grad_fn(self, row: Tensor | Snapshot | Difference, names: dict[str, int]) -> int:
        made = origin(row)
        if made is None:
            return 0
        return names.setdefault(made if isinstance(made, str) else made.name(), len(names) + 1)

    def _read(self, kept: int, numbers: bool) -> None:
        stacks: dict[tuple[int, int], list[int]] = {}
        for place, (row, data) in enumerate(zip(self._rows, self._data, strict=True)):
            count = data.numel()
            if count == 0:
                self._flags[place] |= wire.HAS_VALUES if self._codes[place] != _OTHER else 0
            elif isinstance(row, Snapshot) and row.statistics is not None:
                self._tell(place, row.statistics if numbers else None)
            elif numbers and readable(data):
                stacks.setdefault((self._codes[place], count), []).append(place)
        for (code, count), places in stacks.items():
            # a kind of tensor that torch itself cannot read keeps its shape
            with contextlib.suppress(RuntimeError, NotImplementedError, TypeError):
                self._read_stack(code, count, places, kept)

    def _read_stack(self, code: int, count: int, places: list[int], kept: int) -> None:
        tensors = [self._data[place].detach() for place in places]
        if count > kept:
            most = max(1, STACKED // count)
            for start in range(0, len(tensors), most):
                part = [tensor.reshape(count) for tensor in tensors[start : start + most]]
                stack = torch.stack(part) if len(part) > 1 else part[0].unsqueeze(0)
                for place, found in zip(places[start : start + most], statistics(stack), strict=True):
                    self._tell(place, found)
            return
        shaped = [tensor if tensor.ndim == 1 else tensor.reshape(count) for tensor in tensors]
        stack = torch.stack(shaped) if len(shaped) > 1 else shaped[0].unsqueeze(0)
        if code != _OTHER:
            widened = _WIDENED.get(stack.dtype)
            plain = stack if widened is None else stack.to(widened)
            if plain.is_complex():
                plain = plain.resolve_conj()
            data = plain.resolve_neg().contiguous().numpy().tobytes()
            size = len(data) // len(places)
            for at, place in enumerate(places):
                self._packed[place] = data[at * size : (at + 1) * size]
                self._flags[place] |= wire.HAS_VALUES
        if count > 1 or code == _OTHER:
            for place, found in zip(places, statistics(stack), strict=True):
                self._tell(place, found)

    def _tell(self, place: int, found: tuple[bytes, bytes] | None) -> None:
        self._stats[place] = found
        if found is not None:
            self._flags[place] |= wire.HAS_STATS


def blank(count: int) -> wire.Tensors:
    """A table of tensors of which nothing is known."""
    none = bytes(count)
    return wire.Tensors(dtype=bytes([_OTHER]) * count, flags=none, grad_fn=2 * none, ndim=none)


def origin(tensor: Tensor | Snapshot | Difference) -> Any:
    """The node that made a tensor, or its name; ``None`` for none, and where torch refuses to say.

    It does of a view that was taken with gradients off, once its base has been written to with gradients on.
    """
    try:
        return tensor.grad_fn
    except RuntimeError:
        return None


def is_leaf(tensor: Tensor | Snapshot | Difference) -> bool:
    """Whether no node made a tensor; not where torch refuses to say."""
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


_PLAIN = (Tensor, torch.nn.Parameter)


def sizes(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a tensor; of a nested one, which has none that is made of numbers, that of its elements in a row."""
    return (tensor.numel(),) if tensor.is_nested else tuple(tensor.shape)


def dense(tensor: Tensor) -> Tensor:
    """A sparse tensor with its zeros, if that is not too large; any other as it is."""
    if tensor.layout in _SPARSE and tensor.numel() <= WHOLE and tensor.is_cpu:
        return tensor.detach().to_dense()
    return tensor


def stands_in(tensor: Tensor) -> bool:
    """Whether a tensor is what a transform shows of others: it has no elements of its own."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor) or torch._C._functorch.is_legacy_batchedtensor(tensor)


def inside_transform(given: Iterable[Any]) -> bool:
    """Whether the program is inside a transform of ``torch.func``, or some of these tensors were made in one."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return any(isinstance(tensor, Tensor) and stands_in(tensor) for tensor in given)


def plain(tensor: Tensor) -> Tensor:
    """The tensor behind what ``torch.func.grad`` shows of it: the same elements. One of a batch stays what it is."""
    while torch._C._functorch.is_gradtrackingtensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def readable(tensor: Tensor) -> bool:
    """Whether a tensor's elements can be read here and now: it has storage, and is no stand-in of a transform."""
    return (
        tensor.layout is torch.strided
        and tensor.is_cpu
        and not stands_in(tensor)
        and not tensor.is_quantized
        and not tensor.is_nested
        and (type(tensor) in _PLAIN or type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__)
    )


def statistics(stack: Tensor) -> list[tuple[bytes, bytes]]:
    """Of each row of ``stack`` (rows × elements), packed: min, max, mean, L2 norm; and the counts of zeros, NaN and Inf."""
    if stack.is_complex():
        stack = (stack.to(torch.complex64) if stack.dtype == torch.complex32 else stack).abs()
    elif stack.dtype not in _COUNTED:
        stack = stack.to(torch.float64)  # reductions are not made for every dtype
    count = stack.shape[1]
    ends = torch.aminmax(stack, dim=1)
    low, high = ends.min.to(torch.float64), ends.max.to(torch.float64)
    zeros = count - torch.count_nonzero(stack, dim=1)
    # summed in float64 whatever the dtype, without a copy of the elements in float64
    mean = torch.mean(stack, dim=1, dtype=torch.float64)
    norm = torch.linalg.vector_norm(stack, dim=1, dtype=torch.float64)
    numbers = torch.stack((low, high, mean, norm), dim=1)
    if bool(torch.isfinite(low + high).all()):  # a NaN or an Inf anywhere shows at one end at least
        none = torch.zeros_like(zeros)
        counts = torch.stack((zeros, none, none), dim=1)
    else:
        counts = torch.stack((zeros, torch.isnan(stack).sum(dim=1), torch.isinf(stack).sum(dim=1)), dim=1)
    told, counted = numbers.numpy().tobytes(), counts.numpy().tobytes()
    return [(told[at * 32 : at * 32 + 32], counted[at * 24 : at * 24 + 24]) for at in range(len(stack))]
