"""Leave the recorder's own tensors out of the objects that ``gc.get_objects`` lists.

To find leaks, programs list all tensors that are alive. The recorder keeps copies of values that wait to be sent, and tensors
that the program has already freed.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

_PACKAGE = f"{__name__.partition('.')[0]}."
_CONTAINERS = (list, tuple, dict, set, deque)
_HERE = 2
"""How many references to an object exist only while :func:`_kept_by` counts them: its variable and an argument."""


@contextmanager
def hide_own_tensors() -> Iterator[None]:
    """Hide the tensors that only the recorder keeps from ``gc.get_objects``, inside the ``with`` block.

    Limits: lists, dictionaries and functions of the recorder are listed, as are those of every imported package. A gradient
    that the program has never read is listed too, because the recorder has read it.
    """
    original = gc.get_objects

    def get_objects(generation: int | None = None) -> list[Any]:
        return _of_the_program(original(generation))

    gc.get_objects = get_objects
    try:
        yield
    finally:
        if gc.get_objects is get_objects:  # otherwise the program has replaced the function
            gc.get_objects = original


def _of_the_program(objects: list[Any]) -> list[Any]:
    """Return the objects without the recorder's, and without tensors to which only the recorder refers."""
    tensors = [each for each in objects if issubclass(type(each), Tensor)]
    if not tensors:
        return objects
    temporary = {id(objects), id(tensors)}
    referrers = gc.get_referrers(*tensors)
    containers = [each for each in referrers if type(each) in _CONTAINERS and id(each) not in temporary]
    temporary |= {id(referrers), id(containers)}
    own = _kept_by(containers, gc.get_referrers(*containers) if containers else (), temporary)
    hidden = _kept_by(tensors, referrers, temporary | own)
    return [each for each in objects if id(each) not in hidden and not _is_ours(each)]


def _kept_by(candidates: Sequence[Any], referrers: Sequence[Any], own: set[int]) -> set[int]:
    """Return the ids of the candidates to which only objects of the recorder and objects with ids in ``own`` refer."""
    ids = set(map(id, candidates))
    counts: Counter[int] = Counter()
    for referrer in referrers:
        if id(referrer) in own or _is_ours(referrer):
            counts.update(found for found in map(id, gc.get_referents(referrer)) if found in ids)
    return {id(each) for each in candidates if sys.getrefcount(each) == counts[id(each)] + _HERE}


def _is_ours(value: Any) -> bool:
    return str(type(value).__module__).startswith(_PACKAGE)
