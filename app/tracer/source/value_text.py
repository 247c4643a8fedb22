"""Describe values as text without running the program's code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..tensors.snapshot import Snapshot
from ..tensors.transforms import without_dispatch_modes

MAX_TEXT = 2_000
"""The number of characters of a line's value that are kept; ten times as many of a cell's output."""


def short_text(value: Any) -> str | None:
    """Return a short text for a value, ``""`` for a function, or ``None`` for ``None``.

    Objects are described by their class, since calling their ``repr`` would run the program's code.

    >>> short_text(0.5), short_text([1, 2]), short_text(None), short_text(object()), short_text(print)
    ('0.5', '[1, 2]', None, 'object', '')
    >>> short_text((torch.ones(2), torch.ones(3))), short_text([torch.ones(2), 0.5]), short_text({"a": torch.ones(2)})
    ('2 tensors', 'tensor, float', 'a: tensor')
    """
    if value is None:
        return None
    if type(value) is not float and not is_plain(value):
        if type(value) in _CONTAINERS or (type(value).__module__ == "torch.return_types" and tuple in type(value).__mro__):
            return _contents(value)
        return "" if callable(value) and not isinstance(value, torch.nn.Module) else type(value).__name__
    text = repr(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})
MAX_DESCRIBED = 3
"""The number of items of a container up to which each is described."""
MAX_INSPECTED = 100
"""The number of items up to which a container is inspected."""


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


_PLAIN = frozenset({bool, float, complex, str, bytes, range, torch.Size, torch.dtype, torch.device})


def is_plain(value: Any, depth: int = 2) -> bool:
    """Return whether a value is a plain Python or NumPy value, whose ``repr`` is safe and shows its content."""
    kind = type(value)
    if kind is int:
        return bool(value.bit_length() < 10_000)
    if kind in _PLAIN:
        return True
    if kind in (list, tuple, set, frozenset):
        return depth > 0 and len(value) <= MAX_INSPECTED and all(is_plain(item, depth - 1) for item in value)
    if kind is dict:
        return (
            depth > 0
            and len(value) <= MAX_INSPECTED
            and all(is_plain(item, depth - 1) for pair in value.items() for item in pair)
        )
    return kind.__module__ == "numpy"


def tensor_text(tensor: Tensor) -> str:
    """Return a tensor as a notebook prints it."""
    with torch._C.DisableTorchFunction(), without_dispatch_modes():
        try:
            return repr(tensor)[: 10 * MAX_TEXT]
        except Exception:  # the repr of a subclass or a wrapper may fail here, which must not fail the program
            return f"{type(tensor).__name__} of shape {list(tensor.shape)}"


def snapshot_text(snapshot: Snapshot) -> str:
    """Return a tensor as a notebook would have printed it before it was overwritten."""
    traits, tensor = snapshot.traits, snapshot.tensor
    if tensor is None:
        return f"tensor of shape {list(traits.shape)}, overwritten since"
    text = tensor_text(tensor)
    suffix = f", grad_fn=<{traits.grad_fn}>" if traits.grad_fn else ", requires_grad=True" if traits.requires_grad else ""
    return f"{text[:-1]}{suffix})" if suffix else text
