"""Fill the table of a pass as the table of an earlier pass of the same graph was filled.

In a loop, a table repeats: each place has a tensor of the same shape and dtype, and the same places share a tensor. A plan
verifies both for all tensors together, and then knows what every row contains. Otherwise the table is filled row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, gt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import views
from .kinds import PLAIN_TYPES, is_freed
from .snapshot import Snapshot, TensorTraits, has_named_type, traits_of
from .views import is_outdated

_kind_of: Callable[[Any], tuple[Any, ...]] = attrgetter("shape", "dtype", "layout", "is_cpu", "is_nested", "requires_grad")
_node_of: Callable[[Any], Any] = attrgetter("grad_fn")
_traits_of_snapshot: Callable[[Any], TensorTraits] = attrgetter("traits")
_storage = Tensor.untyped_storage
_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_batched = torch._C._functorch.is_legacy_batchedtensor
_NONE = id(None)


class RowContents(NamedTuple):
    """What a table records about its rows: their contents, the rows to summarize when it is packed and at once, and sizes."""

    contents: list[int]
    deferred: list[int]
    large: list[int]
    deferred_bytes: int
    size: int


class TablePlan:
    """The rows of a table: where each tensor is among the given ``places``, and what the rows contain.

    ``rows`` is the row of each place, -1 for a place without a tensor. ``traits`` are those of the rows.
    """

    def __init__(self, ids: Sequence[int], rows: Sequence[int], tensors: Sequence[Any], traits: Sequence[TensorTraits]) -> None:
        first: dict[int, int] = {}
        self.rows = list(rows)
        self._same = [first.setdefault(each, place) for place, each in enumerate(ids)]
        """For each place, the first place with the same tensor."""
        self._empty = first.pop(_NONE, -1)
        self.distinct = list(first.values())
        """The first place of each tensor."""
        self.rows_of_distinct = [self.rows[place] for place in self.distinct]
        row_places = {
            row: place for row, place in zip(reversed(self.rows), range(len(ids) - 1, -1, -1), strict=True) if row >= 0
        }
        self.sources = [row_places[row] for row in range(len(tensors))]
        """For each row, the first place with its tensor or snapshot."""
        self.traits = list(traits)
        self._kinds = list(map(type, tensors))
        self._snapshots = [row for row, kind in enumerate(self._kinds) if kind is Snapshot]
        self._plain = [row for row, kind in enumerate(self._kinds) if kind is not Snapshot]
        plain = [tensors[row] for row in self._plain]
        self._held = [tensors[row].value is not None for row in self._snapshots]
        self._traits_of_snapshots = [self.traits[row] for row in self._snapshots]
        self._tensors = list(map(_kind_of, plain))
        self._makers = list(map(type, map(_node_of, plain)))
        self._bytes = [each.nbytes for each in plain]
        self.contents: RowContents | None = None
        """What a table recorded about its rows, once one has been filled by this plan."""

    @classmethod
    def of(cls, ids: Sequence[int], rows: Sequence[int], tensors: Sequence[Any]) -> TablePlan | None:
        """Return the plan of a table that was filled; ``None`` if another table could look the same and differ."""
        traits = []
        for tensor in tensors:
            if type(tensor) is Snapshot:
                traits.append(tensor.traits)
                continue
            if type(tensor) not in PLAIN_TYPES or _wrapped(tensor) or _batched(tensor) or is_outdated(tensor):
                return None
            traits.append(traits_of(tensor))
            if not traits[-1].readable or traits[-1].sparse or not has_named_type(tensor):
                return None
        return cls(ids, rows, tensors, traits)

    def matches(self, ids: Sequence[int], places: Sequence[Any]) -> list[Any] | None:
        """Return the tensors of the rows if the ``places`` repeat those of the plan, else ``None``.

        ``ids`` are the ids of the places.
        """
        if len(ids) != len(self._same) or [ids[place] for place in self._same] != ids:
            return None
        if self._empty >= 0 and places[self._empty] is not None:
            return None
        if len({_NONE, *[ids[place] for place in self.distinct]}) != len(self.distinct) + 1:
            return None
        tensors = [places[place] for place in self.sources]
        return tensors if self._alike(tensors) else None

    def _alike(self, tensors: Sequence[Any]) -> bool:
        """Return whether the tensors of the rows have the traits of the plan."""
        if list(map(type, tensors)) != self._kinds:
            return False
        snapshots = [tensors[row] for row in self._snapshots]
        if list(map(_traits_of_snapshot, snapshots)) != self._traits_of_snapshots:
            return False
        if [each.value is not None for each in snapshots] != self._held:
            return False
        try:
            return self._alike_now([tensors[row] for row in self._plain])
        except RuntimeError:  # see `grad_fn_of`; nested tensors have no shape
            return False

    def _alike_now(self, plain: Sequence[Tensor]) -> bool:
        if any(map(_wrapped, plain)) or any(map(_batched, plain)):
            return False
        known = views.known
        if any(is_outdated(tensor) for tensor in plain if id(tensor) in known):
            return False  # before its node is read, which would make the node again
        if list(map(_kind_of, plain)) != self._tensors or list(map(type, map(_node_of, plain))) != self._makers:
            return False
        sizes = [_storage(tensor).nbytes() for tensor in plain]
        return not any(map(gt, self._bytes, sizes)) or not any(map(is_freed, plain))
