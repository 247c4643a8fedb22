"""Answer why a number of a recording is what it is: the terms it is made of, each with the address of its own explanation."""

from __future__ import annotations

from .answer import Why
from .names import shown
from .read import why

__all__ = ["Why", "shown", "why"]
