"""Restore the state of the random generators that programs share."""

from __future__ import annotations

import contextlib
import ctypes
import random
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch

_RANDOM: Any = np.random
"""NumPy's module, whose type stubs lack ``get_bit_generator``."""
_MERSENNE_BYTES: Final = 624 * 4 + 4
"""Size of the memory of a Mersenne Twister in NumPy: 624 words and the position of the next one."""


@contextlib.contextmanager
def restored_random_state() -> Iterator[None]:
    """Restore the default generators of Python, NumPy and PyTorch on the CPU afterwards."""
    states = random.getstate(), np.random.get_state(legacy=False), torch.default_generator.get_state()
    memory = _numpy_memory()
    try:
        yield
    finally:
        random.setstate(states[0])
        # setting NumPy's state takes longer than most expressions. The normal number that it may keep is not in its memory
        if memory is None or states[1]["has_gauss"] or _numpy_memory() != memory:
            np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


def _numpy_memory() -> bytes | None:
    """Return the memory of NumPy's generator, or ``None`` if the generator is of another kind than NumPy's default."""
    generator = _RANDOM.get_bit_generator()
    if type(generator) is not np.random.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, _MERSENNE_BYTES)
