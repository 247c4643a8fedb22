"""Hold what is true of a tensor at one instant: the traits that it shares with others, and its elements or their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import wire
from . import statistics
from .statistics import is_dense
from .transforms import is_transform_wrapper, outside_transforms, unwrapped

_CODES = {
    getattr(torch, name): code for code, name in enumerate(wire.DTYPES) if isinstance(getattr(torch, name, None), torch.dtype)
}
OTHER_DTYPE = wire.DTYPES.index("other")
_WIDTHS = [np.dtype(wire.PACKED[name]).itemsize if name in wire.PACKED else 0 for name in wire.DTYPES]
PLAIN_TYPES = frozenset({Tensor, torch.nn.Parameter})
SPARSE_LAYOUTS = frozenset({torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc})
COPY_LIMIT = 1 << 20
"""Elements up to which a tensor is copied whole, or a sparse one told with its zeros."""
MAX_CACHED_TRAITS = 20_000
"""Sets of traits that are remembered; a program whose shapes never repeat starts over."""


class TensorTraits:
    """What tensors of one kind have in common: all that a row of a table says besides the elements.

    ``code`` is the place of the dtype in :data:`~tapedeck.wire.DTYPES`; ``grad_fn`` is a name; ``readable`` tells whether
    elements can be read here and now: there is storage, and it is no stand-in of a transform. ``width`` is the bytes that
    the elements take on the wire.
    """

    __slots__ = ("code", "count", "dtype", "flags", "grad_fn", "readable", "shape", "sparse", "width")

    def __init__(self, tensor: Tensor, grad_fn: str | None, *, readable: bool) -> None:
        self.dtype = tensor.dtype
        self.code = _CODES.get(tensor.dtype, OTHER_DTYPE)
        self.shape = shape_of(tensor)
        self.count = tensor.numel()
        self.flags = (wire.REQUIRES_GRAD if tensor.requires_grad else 0) | (wire.IS_LEAF if is_leaf(tensor) else 0)
        self.grad_fn = grad_fn
        self.readable = readable
        self.sparse = tensor.layout in SPARSE_LAYOUTS
        self.width = self.count * _WIDTHS[self.code]

    @property
    def requires_grad(self) -> bool:
        """Whether the tensor takes part in autograd."""
        return bool(self.flags & wire.REQUIRES_GRAD)


_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_batched = torch._C._functorch.is_legacy_batchedtensor
_cached_traits: dict[tuple[Any, ...], TensorTraits] = {}
_grad_fn_names: dict[type, str] = {}


def traits_of(tensor: Tensor) -> TensorTraits:
    """The traits of a tensor: the very same object for all that share them."""
    if type(tensor) not in PLAIN_TYPES or _wrapped(tensor) or _batched(tensor) or tensor.is_nested:
        return TensorTraits(tensor, _grad_fn_name(tensor), readable=is_readable(tensor))
    try:
        node = tensor.grad_fn
    except RuntimeError:  # see grad_fn_of()
        return TensorTraits(tensor, None, readable=is_readable(tensor))
    made: str | bool | None = tensor.requires_grad if node is None else _grad_fn_names.get(type(node)) or _grad_fn_name(tensor)
    key = (tensor.shape, tensor.dtype, made, tensor.layout, tensor.is_cpu)
    known = _cached_traits.get(key)
    if known is None:
        if len(_cached_traits) >= MAX_CACHED_TRAITS:
            _cached_traits.clear()
        name = None if node is None else _grad_fn_name(tensor)
        known = _cached_traits[key] = TensorTraits(tensor, name, readable=is_readable(tensor))
    return known


def _grad_fn_name(tensor: Tensor) -> str | None:
    """The name of the node that made a tensor."""
    node = grad_fn_of(tensor)
    if node is None:
        return None
    kind = type(node)
    known = _grad_fn_names.get(kind)
    if known is None:
        name: str = node.name()
        if kind.__name__ != name:  # nodes of several kinds share a type
            return name
        known = _grad_fn_names[kind] = name
    return known


def grad_fn_of(tensor: Tensor) -> Any:
    """The node that made a tensor; ``None`` for none, and where torch refuses to say.

    It does of a view that was taken with gradients off, once its base has been written to with gradients on.
    """
    try:
        return tensor.grad_fn
    except RuntimeError:
        return None


def is_leaf(tensor: Tensor) -> bool:
    """Whether no node made a tensor; not where torch refuses to say."""
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a tensor; of a nested one, which has none that is made of numbers, that of its elements in a row."""
    return (tensor.numel(),) if tensor.is_nested else tuple(tensor.shape)


def is_readable(tensor: Tensor) -> bool:
    """Whether a tensor's elements can be read here and now; of a sparse one, with its zeros."""
    return (
        (tensor.layout is torch.strided or (tensor.layout in SPARSE_LAYOUTS and tensor.numel() <= COPY_LIMIT))
        and tensor.is_cpu
        and not is_transform_wrapper(tensor)
        and not tensor.is_quantized
        and not tensor.is_nested
        and (type(tensor) in PLAIN_TYPES or type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__)
    )


class Snapshot:
    """A tensor as it is now, before something writes to it.

    ``value`` is its only element as a Python number, or a copy of up to ``kept`` elements; above that ``numbers`` are the
    statistics of the elements. Both are ``None`` for what has no elements, or none that can be read, and where ``kept`` is
    negative. ``seq`` is the number of the node that made it; ``dense`` whether its elements lay side by side, as in a copy.
    """

    __slots__ = ("dense", "numbers", "seq", "traits", "value")

    def __init__(self, tensor: Tensor, kept: int) -> None:
        tensor = unwrapped(tensor)
        traits = self.traits = traits_of(tensor)
        node = grad_fn_of(tensor) if traits.grad_fn is not None else None
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
            pass  # a kind of tensor that torch itself cannot read keeps its shape

    @classmethod
    def of(
        cls, traits: TensorTraits, value: Any, numbers: statistics.Statistics | None = None, *, dense: bool = True
    ) -> Snapshot:
        """A tensor of which this is known: elements, as a number where there is one, or statistics.

        Elements that are too many to be kept whole stand here until a table sums them up.
        """
        made = cls.__new__(cls)
        made.traits, made.seq, made.value, made.numbers, made.dense = traits, None, value, numbers, dense
        return made

    def viewed_as(self, view: Tensor) -> Snapshot:
        """What a view that begins at the same element was, as long as nothing has written there."""
        traits = traits_of(view)
        if traits.dtype != self.traits.dtype or view.is_conj() or view.is_neg():
            return Snapshot(view, COPY_LIMIT)
        whole = traits.count == self.traits.count and is_dense(view)
        if not isinstance(self.value, Tensor):
            return Snapshot.of(traits, self.value, self.numbers) if whole else Snapshot(view, COPY_LIMIT)
        if not self.dense:  # the copy has other strides
            return Snapshot(view, COPY_LIMIT)
        try:
            shown = self.value.as_strided(view.shape, view.stride())
        except RuntimeError:  # it reaches beyond what was copied
            return Snapshot(view, COPY_LIMIT)
        return Snapshot.of(traits, shown if traits.count > 1 else shown.item(), self.numbers if whole else None)

    @property
    def tensor(self) -> Tensor | None:
        """The elements as a tensor of their own, where they were kept."""
        if self.value is None or isinstance(self.value, Tensor):
            return self.value
        return torch.tensor(self.value, dtype=self.traits.dtype).reshape(self.traits.shape)
