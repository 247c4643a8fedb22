"""Determine how many iterations a loop will have, without consuming the iterable."""

from __future__ import annotations

import operator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter


def loop_length(iterable: Any) -> int | None:
    """Return the number of items of an iterable, or ``None`` if it is unknown.

    No code of the program is called, except the ``__len__`` of a dataset or sampler in a ``DataLoader``.

    >>> loop_length(range(3)), loop_length(enumerate([1, 2])), loop_length(zip(range(3), "ab")), loop_length(iter({1: 2}))
    (3, 2, 2, 1)
    >>> loop_length(x for x in range(3)) is None
    True
    """
    kind = type(iterable)
    if isinstance(iterable, Tensor):
        return len(iterable) if iterable.ndim else None
    if kind is DataLoader or isinstance(iterable, _BaseDataLoaderIter):
        try:
            return len(iterable)
        except TypeError:  # the dataset has no length
            return None
    if kind.__module__.partition(".")[0] == "tqdm":
        total = getattr(iterable, "total", None)
        return int(total) if isinstance(total, int | float) else None
    if kind in (enumerate, zip):
        iterators = [each for each in iterable.__reduce__()[1] if hasattr(each, "__next__")]
        lengths = [loop_length(each) for each in iterators]
        existing = [each for each in lengths if each is not None]
        return min(existing) if existing and len(existing) == len(lengths) else None
    if kind.__module__ == "builtins":
        hint = operator.length_hint(iterable, -1)
        return hint if hint >= 0 else None
    return None
