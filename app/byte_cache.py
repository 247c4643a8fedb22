"""Cache values up to a total size in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """A cache that drops the least recently used values when their sizes exceed ``limit`` bytes. Several threads may use it.

    A value larger than ``limit`` is cached alone if its size is at most ``largest``.

    >>> cache = ByteCache[str, bytes](10)
    >>> for key in "abc": cache.put(key, key.encode(), 4)
    >>> cache.get("a"), cache.get("b"), cache.bytes
    (None, b'b', 8)
    >>> cache.put("d", b"d", 11)
    >>> cache.get("d"), cache.get("c")
    (None, b'c')
    >>> cache = ByteCache[str, bytes](10, largest=20)
    >>> cache.put("e", b"e", 4)
    >>> cache.put("f", b"f", 15)
    >>> cache.get("e"), cache.get("f")
    (None, b'f')
    """

    def __init__(self, limit: int, *, largest: int | None = None) -> None:
        self._limit = limit
        self._largest = limit if largest is None else largest
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def bytes(self) -> int:
        """The size of all values."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """Return a value, and mark it as most recently used; ``None`` if it is not cached."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Add or replace a value of ``size`` bytes. A value that is too large is not cached."""
        with self._lock:
            self._drop(key)
            if size > self._largest:
                return
            self._values[key] = (value, size)
            self._bytes += size
            while self._bytes > self._limit and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def drop(self, belongs: Callable[[K], bool]) -> None:
        """Drop each value whose key fulfils ``belongs``, for example all values of a deleted run."""
        with self._lock:
            for key in [key for key in self._values if belongs(key)]:
                self._drop(key)

    def _drop(self, key: K) -> None:
        if (found := self._values.pop(key, None)) is not None:
            self._bytes -= found[1]
