"""Restore the state of the random generators that programs share."""

from __future__ import annotations

import _random
import contextlib
import ctypes
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch

_RANDOM: Any = np.random
"""NumPy's module, whose type stubs lack some names."""
_MERSENNE_BYTES: Final = 624 * 4 + 4
"""Size of the memory of a Mersenne Twister in NumPy: 624 words and the position of the next one."""


@contextlib.contextmanager
def restored_random_state() -> Iterator[None]:
    """Restore the default generators of Python, NumPy and PyTorch on the CPU afterwards."""
    python, numpy, generator = _python.read(), _numpy.read(), torch.default_generator.get_state()
    try:
        yield
    finally:
        _python.restore(python)
        _numpy.restore(numpy)
        torch.default_generator.set_state(generator)


class _SlowState:
    """The state of a generator, which takes longer to read or to set than most expressions take to evaluate.

    The state is therefore read again only if the ``memory`` of the generator has changed since the last time, and restored only
    if the memory has changed since :meth:`read`. The memory is ``None`` for a generator of an unknown kind.
    """

    def __init__(self, memory: Callable[[], bytes | None], get: Callable[[], Any], put: Callable[[Any], Any]) -> None:
        self._memory = memory
        self._get = get
        self._put = put
        self._known: tuple[bytes | None, Any] = None, None

    def read(self) -> tuple[bytes | None, Any]:
        """Return the memory and the state."""
        memory = self._memory()
        if memory is None or self._known[0] != memory:
            self._known = memory, self._get()
        return self._known

    def restore(self, read: tuple[bytes | None, Any]) -> None:
        """Set the state that :meth:`read` has returned, unless nothing has changed."""
        memory, state = read
        if memory is None or self._memory() != memory:
            self._put(state)


def _python_memory() -> bytes:
    generator: Any = random.random.__self__  # type: ignore[attr-defined]
    return _contents(generator, _random.Random) + repr(generator.gauss_next).encode()


def _numpy_memory() -> bytes | None:
    """Return the memory of NumPy's generator, and of the object that may keep a normal number for the next call."""
    generator, state = _RANDOM.get_bit_generator(), _RANDOM.mtrand._rand
    if type(generator) is not np.random.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, _MERSENNE_BYTES) + _contents(state, type(state))


def _contents(instance: object, kind: type) -> bytes:
    """Return the memory of an object that belongs to its base class ``kind``, which is written in C, without its header."""
    header = object.__basicsize__
    return ctypes.string_at(id(instance) + header, kind.__basicsize__ - header)


_python = _SlowState(_python_memory, random.getstate, random.setstate)
_numpy = _SlowState(_numpy_memory, lambda: np.random.get_state(legacy=False), lambda state: np.random.set_state(state))
