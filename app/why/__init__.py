"""Answer why a number of a recording is what it is.

An **explanation** lists the **terms** whose sum is the number. Each term has the address of its own explanation, or is an
input. The **local rules** of :mod:`..formulas` give the terms: for one class of nodes, the value of an operation and the
gradients that it sends, as expressions.
"""

from __future__ import annotations

from .answer import Why
from .names import shown
from .read import why

__all__ = ["Why", "shown", "why"]
