"""Describe values as text without running the program's code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..tensors.kinds import PLAIN_TYPES, is_opaque
from ..tensors.snapshot import Snapshot, TensorTraits
from ..tensors.transforms import outside_transforms, without_dispatch_modes
from .tensor_elements import plain_tensor_repr

MAX_TEXT = 2_000
"""Largest number of characters of a value's text. A tensor's text and a cell's output may have ten times as many."""


BRIEF_ELEMENTS = 100
"""The number of elements above which a NumPy array is printed by its corners while the program runs."""
WHOLE_ELEMENTS = 1_000
"""The number of elements up to which a NumPy array is printed whole at the end, as NumPy does by default."""
_EDGE = 3
"""The number of items that NumPy prints at each end of an axis of a large array."""
MAX_DESCRIBED = 3
"""Largest number of items of a container that are described one by one."""
MAX_INSPECTED = 100
"""Largest number of items of a container that is inspected. Together with nested items, there may be twice as many."""
_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})
_IMMUTABLE = frozenset({bool, float, complex, range, torch.Size, torch.dtype, torch.device})
_TEXTS = frozenset({str, bytes})
_NESTED = _CONTAINERS | _TEXTS
_FIXED = frozenset({bool, float, complex})
NUMBERS = frozenset({bool, int, float})
SHORT = 1 << 10_000
"""The smallest integer whose digits are not printed."""


class PlainValue:
    """A copy of a container or a NumPy array, which is printed only when its text is needed."""

    __slots__ = ("_brief", "_value", "_whole")

    def __init__(self, value: Any) -> None:
        self._value = _copied(value)
        self._brief: str | None = None
        self._whole: str | None = None

    def brief(self) -> str:
        """Return the text that is sent while the program runs. A large array is printed by its corners."""
        if self._brief is None:
            self._brief = _printed(self._value, BRIEF_ELEMENTS)
        return self._brief

    def whole(self) -> str:
        """Return the text as a notebook prints the value, in at most :data:`MAX_TEXT` characters."""
        if self._whole is None:
            self._whole = _printed(self._value, WHOLE_ELEMENTS)
        return self._whole


class OverwrittenTensor:
    """A copy of the elements that a tensor's text shows, taken before a write. The text is made only at the end."""

    __slots__ = ("_items", "_snapshot", "_summarized", "_title")

    def __init__(self, tensor: Tensor, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._title = "Parameter containing:\n" if type(tensor) is torch.nn.Parameter else ""
        self._summarized = tensor.numel() > _options.threshold
        if isinstance(snapshot.value, Tensor) and not self._summarized:
            self._items = snapshot.value
            return
        with torch.no_grad(), outside_transforms():
            self._items = _tensor_corners(tensor.detach()) if self._summarized else tensor.detach().clone()

    def brief(self) -> None:
        """Return no text, because the elements or their statistics are sent."""

    def whole(self) -> str:
        """Return the tensor as a notebook would have printed it."""
        threshold = _options.threshold
        if self._summarized:
            _options.threshold = 0
        try:
            return (self._title + _with_suffix(tensor_text(self._items), self._snapshot.traits))[: 10 * MAX_TEXT]
        finally:
            _options.threshold = threshold


_options: Any = torch._tensor_str.PRINT_OPTS


def _tensor_corners(tensor: Tensor) -> Tensor:
    """Copy the elements that the text of a large tensor shows, and one more along each long axis, so that dots are printed."""
    edge = _options.edgeitems
    for axis, size in sorted(enumerate(tensor.shape), key=lambda each: -each[1]):
        if size > 2 * edge:
            tensor = torch.cat([tensor.narrow(axis, 0, edge + 1), tensor.narrow(axis, size - edge, edge)], axis)
    return tensor.clone()


def overwritten_text(tensor: Tensor, snapshot: Snapshot) -> Text:
    """Return the text of a tensor that is about to be overwritten."""
    if snapshot.traits.readable and not snapshot.traits.sparse and type(tensor) in PLAIN_TYPES:
        return OverwrittenTensor(tensor, snapshot)
    return tensor_text(tensor)


Text = str | tuple[Any] | PlainValue | OverwrittenTensor
"""A text, or an object from which it is made when needed. A value that cannot change is kept as a tuple of one item."""


def brief_text(text: Text | None) -> str | None:
    """Return the text that is sent while the program runs."""
    if isinstance(text, tuple):
        return _atom_text(text[0], type(text[0]))
    return text if text is None or isinstance(text, str) else text.brief()


def whole_text(text: Text | None) -> str | None:
    """Return the text that is sent when the program has ended."""
    return text.whole() if isinstance(text, PlainValue | OverwrittenTensor) else brief_text(text)


def text_of(value: Any) -> tuple[Text | None, bool]:
    """Return a text for a value, and whether it shows the value's content.

    Return ``None`` for the text of ``None``, of a function and of a type. Objects are described by their class, since calling
    their ``repr`` would run the program's code. Values that take long to print are printed later: see :class:`PlainValue`.
    """
    kind = type(value)
    if value is None:
        return None, False
    if kind is float or _is_atom(value, kind):
        return (value,), True
    if (kind in _CONTAINERS and _is_plain(value)) or (_is_array(kind) and not value.dtype.hasobject):
        return PlainValue(value), True
    if _is_array(kind):
        return f"{kind.__name__} of shape {list(value.shape)}", False
    if kind in _CONTAINERS or (kind.__module__ == "torch.return_types" and tuple in kind.__mro__):
        return _contents(value), False
    return (None if callable(value) and not isinstance(value, torch.nn.Module) else kind.__name__), False


def short_text(value: Any) -> str | None:
    """Return the text of :func:`text_of`, printed.

    >>> short_text(0.5), short_text([1, 2]), short_text(None), short_text(object()), short_text(print)
    ('0.5', '[1, 2]', None, 'object', None)
    >>> short_text((torch.ones(2), torch.ones(3))), short_text([torch.ones(2), 0.5]), short_text({"a": torch.ones(2)})
    ('2 tensors', 'tensor, float', 'a: tensor')
    >>> short_text([[1, 2], [3]]), short_text([[0] * 50] * 50), short_text([np.ones(2), np.ones(2)]), short_text(np.arange(3))
    ('[[1, 2], [3]]', '50 × list', '2 × ndarray', 'array([0, 1, 2])')
    """
    return whole_text(text_of(value)[0])


def _contents(value: Any) -> str:
    """Describe the contents of a container without looking into its items."""
    kind = type(value)
    if kind in _CONTAINERS and len(value) > MAX_INSPECTED:
        return f"{kind.__name__} of {len(value)}"
    items = list(dict.values(value)) if kind is dict else list(tuple.__iter__(value) if kind not in _CONTAINERS else value)
    kinds = ["tensor" if Tensor in type(item).__mro__ else type(item).__name__ for item in items]
    if kind is dict:
        if len(items) <= MAX_DESCRIBED and all(type(key) is str for key in value):
            return ", ".join(f"{key}: {item}" for key, item in zip(value, kinds, strict=True))
        return f"dict of {len(items)}"
    if len(set(kinds)) == 1:
        one = kinds[0]
        return f"1 {one}" if len(kinds) == 1 else f"{len(kinds)} tensors" if one == "tensor" else f"{len(kinds)} × {one}"
    return ", ".join(kinds) if len(kinds) <= MAX_DESCRIBED else f"{kind.__name__} of {len(kinds)}"


def _is_atom(value: Any, kind: type) -> bool:
    """Return whether a value has no items, and has a safe ``repr`` that is short or can be shortened."""
    if kind is int:
        return bool(-SHORT < value < SHORT)
    if kind in _IMMUTABLE or kind in _TEXTS:
        return True
    if kind.__module__ != "numpy" or not issubclass(kind, np.generic | np.dtype):
        return False
    return not (issubclass(kind, np.void) and value.dtype.hasobject)


def _is_array(kind: type) -> bool:
    return kind.__module__ == "numpy" and issubclass(kind, np.ndarray)


def _is_plain(value: Any) -> bool:
    """Return whether a container has few items, and each is an atom or a container of atoms. Nested items count too."""
    left = 2 * MAX_INSPECTED
    waiting = [(value, True)]
    for container, outer in waiting:  # the list grows during the loop
        size = len(container)
        left -= size
        if size > MAX_INSPECTED or left < 0:
            return False
        items: Sequence[Any] = (*container, *container.values()) if type(container) is dict else tuple(container)
        if _FIXED.issuperset(map(type, items)):
            continue
        for item in items:
            kind = type(item)
            if kind is float or _is_atom(item, kind):
                continue
            if not outer or kind not in _CONTAINERS:
                return False
            waiting.append((item, False))
    return True


def _atom_text(value: Any, kind: type) -> str:
    return _cut(repr(value[:MAX_TEXT]) if kind in _TEXTS else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _copied(value: Any) -> Any:
    """Copy a plain container and the containers in it, or the part of an array that is printed."""
    kind = type(value)
    if kind in _TEXTS:
        return value[: MAX_TEXT + 1]
    if _is_array(kind):
        return _Corners(value) if value.size > WHOLE_ELEMENTS else value.copy()
    if kind not in _CONTAINERS:
        return value
    if kind is dict:
        return {_copied(key): _copied(item) for key, item in value.items()}
    flat = _NESTED.isdisjoint(map(type, value))
    return kind(value if flat else map(_copied, value))


class _Corners:
    """A copy of the items of a large array that NumPy prints: some at each end of every axis."""

    def __init__(self, array: Any) -> None:
        self._kind = type(array).__name__
        self._shape = array.shape
        ends = [(*range(_EDGE + 1), *range(size - _EDGE, size)) if size > 2 * _EDGE else range(size) for size in array.shape]
        # each long axis keeps one more item than NumPy prints, so that NumPy prints dots
        few = math.prod(map(len, ends)) <= WHOLE_ELEMENTS
        self._items = np.asarray(array)[np.ix_(*ends)] if few else None

    def __repr__(self) -> str:
        if self._items is None:
            return f"{self._kind} of shape {list(self._shape)}"
        with np.printoptions(threshold=0, edgeitems=_EDGE):
            text = repr(self._items).replace("array(", f"{self._kind.removeprefix('nd')}(", 1)
        return text.replace(f"shape={self._items.shape}", f"shape={self._shape}")  # NumPy adds the shape from 2.2 on


def _printed(value: Any, most: int) -> str:
    """Return the ``repr`` of a copied value; an array of more than ``most`` elements is printed by its corners."""
    if not _is_array(type(value)):
        return _cut(repr(value))
    with np.printoptions(threshold=most, edgeitems=_EDGE):
        return _cut(repr(value))


def tensor_text(tensor: Tensor) -> str:
    """Return a tensor as a notebook prints it."""
    with torch._C.DisableTorchFunction(), without_dispatch_modes():
        try:
            return (plain_tensor_repr(tensor) or _repr_of(tensor))[: 10 * MAX_TEXT]
        except Exception:  # the repr of a subclass or a wrapper may fail here, but must not fail the program
            return f"{type(tensor).__name__} of shape {list(tensor.shape)}"


_tensor_repr: Any = Tensor.__repr__


def _repr_of(tensor: Tensor) -> str:
    """Return the ``repr`` of a tensor. A ``__repr__`` of the program is not called, because it might print something."""
    shown: Any = type(tensor).__repr__
    if shown is Tensor.__repr__ or shown.__module__.partition(".")[0] in ("torch", __name__.partition(".")[0]):
        return repr(tensor)
    if is_opaque(tensor):
        raise TypeError("the program implements the operations of this tensor")
    text: str = _tensor_repr(tensor)
    return text


def snapshot_text(snapshot: Snapshot) -> str:
    """Return a tensor as a notebook would have printed it before it was overwritten."""
    traits, tensor = snapshot.traits, snapshot.tensor
    if tensor is None:
        return f"tensor of shape {list(traits.shape)}, overwritten since"
    text = tensor_text(tensor)
    return _with_suffix(text, traits)


def _with_suffix(text: str, traits: TensorTraits) -> str:
    suffix = f", grad_fn=<{traits.grad_fn}>" if traits.grad_fn else ", requires_grad=True" if traits.requires_grad else ""
    return f"{text[:-1]}{suffix})" if suffix else text
