"""Recognize a table that repeats an earlier one, by one comparison of all its tensors in PyTorch's own code.

In a loop, the tensors of a pass or a step mostly have the types, shapes and dtypes of the tensors one iteration before. To
compare all of them takes a twentieth of the time that reading the traits of each takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, lt
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from . import views
from .kinds import PLAIN_TYPES, is_freed
from .snapshot import Snapshot, TensorTraits, has_named_type
from .transforms import is_unobserved
from .views import is_outdated

_C: Any = torch._C
TensorGuards: Any = getattr(_C._dynamo.guards, "TensorGuards", None)
"""PyTorch's comparison of tensors with earlier ones. If a release lacks it, the traits of every tensor are read."""
_MOST_MISSES: Final = 3
"""Number of tables in a row that differ from the known one, after which a new one is learned."""
MOST_LEARNED: Final = 5
"""Number of tables after which no further one is learned, because the program does something else each time."""
_requires_grad = attrgetter("requires_grad")
_storage = Tensor.untyped_storage


class RowContents(NamedTuple):
    """What a table has found out about its rows. ``deferred`` and ``large`` are indices of rows; sizes are in bytes."""

    traits: list[TensorTraits]
    contents: list[int]
    deferred: list[int]
    large: list[int]
    deferred_bytes: int
    size: int


class RepeatedRows:
    """The rows of tables that often repeat, such as those of all passes through one graph."""

    def __init__(self) -> None:
        self._misses = _MOST_MISSES - 2  # the second table is learned: most graphs have only one pass
        self.learned = 0
        self._known: _KnownRows | None = None

    def contents(self, rows: Sequence[Any], kept: object) -> RowContents | None:
        """Return the contents of these rows if they repeat the known ones, else ``None``.

        ``kept`` is an object that stands for what tables keep of tensors. Nothing may dispatch the calls of this method.
        """
        known = self._known
        if known is not None and known.kept is kept and known.matches(rows):
            self._misses = 0
            return known.contents
        self._misses += 1
        return None

    def learn(self, rows: Sequence[Any], kept: object, contents: RowContents) -> None:
        """Learn the rows of a table that was not known, if the next tables may repeat it."""
        if self._misses >= _MOST_MISSES and self.learned < MOST_LEARNED and TensorGuards is not None and is_unobserved():
            self._misses = 0
            self.learned += 1
            self._known = _KnownRows(rows, kept, contents) if all(map(_can_repeat, rows, contents.traits)) else None


class _KnownRows:
    """The rows of one table, without the tensors."""

    def __init__(self, rows: Sequence[Any], kept: object, contents: RowContents) -> None:
        self.kept = kept
        self.contents = contents
        self._types = list(map(type, rows))
        self._plain = [index for index, kind in enumerate(self._types) if kind is not Snapshot]
        self._copied = [index for index, kind in enumerate(self._types) if kind is Snapshot]
        plain = [rows[index] for index in self._plain]
        self._guards = TensorGuards(*plain, dynamic_dims_sizes=None, dynamic_dims_strides=None)
        self._graded = list(map(_requires_grad, plain))
        self._made = [place for place, graded in enumerate(self._graded) if graded]
        self._makers = [type(plain[place].grad_fn) for place in self._made]
        self._bytes = [tensor.nbytes for tensor in plain]
        self._snapshots = [(rows[index].traits, rows[index].value is None) for index in self._copied]

    def matches(self, rows: Sequence[Any]) -> bool:
        """Return whether rows have the same traits and contents. Rows that do not repeat exactly may be refused too."""
        if list(map(type, rows)) != self._types or not is_unobserved():
            return False
        plain = [rows[index] for index in self._plain]
        # type, dtype, device, shape, strides, and the dispatch keys, which tell layouts and wrappers apart
        if not self._guards.check(*plain) or list(map(_requires_grad, plain)) != self._graded:
            return False
        if [((row := rows[index]).traits, row.value is None) for index in self._copied] != self._snapshots:
            return False
        known = views.known
        if any(is_outdated(tensor) for tensor in plain if id(tensor) in known):
            return False  # reading its node would make the node again
        try:
            makers = [type(plain[place].grad_fn) for place in self._made]
        except RuntimeError:  # see `grad_fn_of`
            return False
        if makers != self._makers:
            return False
        available = [_storage(tensor).nbytes() for tensor in plain]
        return not any(map(lt, available, self._bytes)) or not any(map(is_freed, plain))


def _can_repeat(row: Any, traits: TensorTraits) -> bool:
    """Return whether the traits of a row follow from what is compared."""
    if type(row) is Snapshot:
        return True
    return type(row) in PLAIN_TYPES and traits.readable and not traits.sparse and not is_outdated(row) and has_named_type(row)
