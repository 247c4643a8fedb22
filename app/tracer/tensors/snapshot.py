"""Copy a tensor at one instant: its traits, and its elements or their statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import wire
from . import statistics, views
from .kinds import PLAIN_TYPES, is_freed, is_opaque, is_uninitialized
from .statistics import is_dense
from .transforms import is_transform_wrapper, is_unobserved, outside_transforms, unwrapped
from .views import is_outdated

_CODES = {
    getattr(torch, name): code for code, name in enumerate(wire.DTYPES) if isinstance(getattr(torch, name, None), torch.dtype)
}
OTHER_DTYPE = wire.DTYPES.index("other")
_WIDTHS = [np.dtype(wire.PACKED[name]).itemsize if name in wire.PACKED else 0 for name in wire.DTYPES]
SPARSE_LAYOUTS = frozenset({torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})
REMADE = "AsStridedBackward0"
"""The name of the node that a view gets if it was written to since its node was made."""
COPY_LIMIT = 1 << 20
"""Largest number of elements of a tensor that is copied whole, or of a sparse tensor that is sent as a dense one."""
SMALL = 1024
"""Tensors of at most this many elements are copied whole, or kept until they are packed and then summarized together."""
MAX_CACHED_TRAITS = 20_000
"""Number of cached traits at which the cache is cleared."""


class TensorTraits:
    """Everything a table row contains except the elements; tensors of one kind share it.

    ``code`` is the index of the dtype in :data:`~tapedeck.wire.DTYPES`, and ``grad_fn`` a node's name. ``readable`` is true if
    the elements can be read: :func:`is_readable` is true, and there is storage for all of them. ``width`` is the number of
    bytes that the elements take on the wire.
    """

    __slots__ = ("code", "count", "dtype", "flags", "grad_fn", "readable", "shape", "sparse", "width")

    def __init__(self, tensor: Tensor, grad_fn: str | None, *, readable: bool) -> None:
        self.dtype = tensor.dtype
        self.code = _CODES.get(tensor.dtype, OTHER_DTYPE)
        self.shape = shape_of(tensor)
        self.count = math.prod(self.shape)
        self.flags = (wire.REQUIRES_GRAD if tensor.requires_grad else 0) | (wire.IS_LEAF if is_leaf(tensor) else 0)
        self.grad_fn = grad_fn
        self.readable = readable
        self.sparse = tensor.layout in SPARSE_LAYOUTS
        self.width = self.count * _WIDTHS[self.code]

    @property
    def requires_grad(self) -> bool:
        """True if the tensor takes part in autograd."""
        return bool(self.flags & wire.REQUIRES_GRAD)


_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_batched = torch._C._functorch.is_legacy_batchedtensor
_STRIDED, _storage = torch.strided, Tensor.untyped_storage
_cached_traits: dict[tuple[Any, ...], TensorTraits] = {}
"""The traits by shape, dtype and maker. If a tensor is sparse or not on the CPU, its layout and place are in the key too."""
_grad_fn_names: dict[type, str] = {}


def traits_of(tensor: Tensor) -> TensorTraits:
    """Return the traits of a tensor: the same object for all tensors that share them."""
    if type(tensor) not in PLAIN_TYPES or _wrapped(tensor) or _batched(tensor) or tensor.is_nested:
        return TensorTraits(tensor, _grad_fn_name(tensor), readable=is_readable(tensor))
    usual = tensor.is_cpu and tensor.layout is _STRIDED
    if usual and _storage(tensor).nbytes() < tensor.nbytes and is_freed(tensor):
        return TensorTraits(tensor, _grad_fn_name(tensor), readable=False)
    if id(tensor) in views.known and is_outdated(tensor):
        return TensorTraits(tensor, REMADE, readable=is_readable(tensor))
    try:
        node = tensor.grad_fn
    except RuntimeError:  # see `grad_fn_of`
        return TensorTraits(tensor, None, readable=is_readable(tensor))
    made: str | bool | None = tensor.requires_grad if node is None else _grad_fn_names.get(type(node)) or _grad_fn_name(tensor)
    key: Any = (tensor.shape, tensor.dtype, made)
    if not usual:
        key = (*key, tensor.layout, tensor.is_cpu)
    traits = _cached_traits.get(key)
    if traits is None:
        if len(_cached_traits) >= MAX_CACHED_TRAITS:
            _cached_traits.clear()
        name = None if node is None else _grad_fn_name(tensor)
        traits = _cached_traits[key] = TensorTraits(tensor, name, readable=is_readable(tensor))
    return traits


def _grad_fn_name(tensor: Tensor) -> str | None:
    """Return the name of a tensor's ``grad_fn``, if any."""
    node = grad_fn_of(tensor)
    if node is None:
        return None
    kind = type(node)
    cached = _grad_fn_names.get(kind)
    if cached is None:
        name: str = node.name().removeprefix("torch::autograd::")
        if kind.__name__ != name:  # several node types share one Python type
            return name
        cached = _grad_fn_names[kind] = name
    return cached


def grad_fn_of(tensor: Tensor) -> Any:
    """Return a tensor's ``grad_fn``, or ``None`` if it has none or PyTorch raises.

    PyTorch raises for a view that was created with gradients disabled, once its base was written to with gradients enabled.
    """
    try:
        return tensor.grad_fn
    except RuntimeError:
        return None


def is_leaf(tensor: Tensor) -> bool:
    """Return whether a tensor is a leaf; ``False`` where PyTorch raises (see :func:`grad_fn_of`)."""
    if id(tensor) in views.known and is_outdated(tensor):  # reading `is_leaf` would make its node again
        return False
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of a tensor; for a nested tensor, the shape of its elements in a row; ``(0,)`` without a shape."""
    if is_uninitialized(tensor):
        return (0,)
    return (tensor.numel(),) if tensor.is_nested else tuple(tensor.shape)


def is_readable(tensor: Tensor) -> bool:
    """Return whether a tensor's elements can be read here and now."""
    return not is_opaque(tensor) and (
        (tensor.layout is torch.strided or (tensor.layout in SPARSE_LAYOUTS and tensor.numel() <= COPY_LIMIT))
        and tensor.is_cpu
        and not is_transform_wrapper(tensor)
        and not tensor.is_quantized
        and not tensor.is_nested
    )


def small_copy(tensor: Tensor) -> Tensor | None:
    """Return a copy of a small, plain tensor that takes no part in autograd, or ``None`` for any other tensor.

    Such a copy has the traits of the tensor, so it needs no :class:`Snapshot`, which takes three times as long.
    """
    if type(tensor) is not Tensor or tensor.requires_grad or tensor.numel() > SMALL or not is_unobserved():
        return None
    if tensor.layout is not torch.strided or not tensor.is_cpu or tensor.is_nested or tensor.is_quantized or is_freed(tensor):
        return None
    return tensor.clone()


class Snapshot:
    """A copy of a tensor, taken before something writes to it.

    ``value`` is the only element as a Python number, or a copy of up to ``kept`` elements. For more elements, ``numbers`` are
    their statistics. Both are ``None`` if there are no elements, if they cannot be read, or if ``kept`` is negative. ``seq`` is
    the sequence number of the node that computed the tensor. ``dense`` is true if the elements filled a block of memory, like
    the elements of the copy.
    """

    __slots__ = ("dense", "numbers", "seq", "traits", "value")

    def __init__(self, tensor: Tensor, kept: int) -> None:
        tensor = unwrapped(tensor)
        traits = self.traits = traits_of(tensor)
        node = grad_fn_of(tensor) if traits.grad_fn is not None and not is_outdated(tensor) else None
        self.seq: int | None = node._sequence_nr() if node is not None and hasattr(node, "_sequence_nr") else None
        self.dense = True
        self.value: Any = None
        self.numbers: statistics.Statistics | None = None
        if traits.readable and traits.count and kept >= 0:
            with outside_transforms():
                self._read(tensor, max(kept, 1))

    def _read(self, tensor: Tensor, kept: int) -> None:
        try:
            traits = self.traits
            if traits.count == 1 and not traits.sparse and traits.code != OTHER_DTYPE:
                self.value = tensor.item()
                return
            tensor = tensor.detach()
            if traits.sparse:
                tensor = tensor.to_dense()
            if traits.count == 1 and traits.code != OTHER_DTYPE:
                self.value = tensor.item()
            elif traits.count <= kept:
                self.value = tensor.clone()
                self.dense = is_dense(tensor)
            else:
                with torch.no_grad():
                    self.numbers = statistics.of_one(tensor)
        except (RuntimeError, NotImplementedError, TypeError):
            pass  # a tensor that PyTorch itself cannot read is recorded by its shape

    @classmethod
    def of(
        cls, traits: TensorTraits, value: Any, numbers: statistics.Statistics | None = None, *, dense: bool = True
    ) -> Snapshot:
        """Create a snapshot from known elements (a number for a single one) or statistics.

        A tensor with too many elements to keep may be passed as ``value``; a table summarizes it later.
        """
        made = cls.__new__(cls)
        made.traits, made.seq, made.value, made.numbers, made.dense = traits, None, value, numbers, dense
        return made

    def viewed_as(self, view: Tensor) -> Snapshot:
        """Return the snapshot of a view that starts at the same element; nothing may have been written since."""
        traits = traits_of(view)
        if traits.dtype != self.traits.dtype or view.is_conj() or view.is_neg():
            return Snapshot(view, COPY_LIMIT)
        whole = traits.count == self.traits.count and is_dense(view)
        if not isinstance(self.value, Tensor):
            return Snapshot.of(traits, self.value, self.numbers) if whole else Snapshot(view, COPY_LIMIT)
        if not self.dense:  # the copy has different strides
            return Snapshot(view, COPY_LIMIT)
        try:
            shown = self.value.as_strided(view.shape, view.stride())
        except RuntimeError:  # the view extends beyond the copied elements
            return Snapshot(view, COPY_LIMIT)
        return Snapshot.of(traits, shown if traits.count > 1 else shown.item(), self.numbers if whole else None)

    @property
    def tensor(self) -> Tensor | None:
        """The elements as a tensor, if they were kept."""
        if self.value is None or isinstance(self.value, Tensor):
            return self.value
        return torch.tensor(self.value, dtype=self.traits.dtype).reshape(self.traits.shape)
