"""Rules of the operations of autograd as readable expressions, evaluated with NumPy and written as LaTeX.

``tests/formulas/`` compares each rule with PyTorch's own gradient.
"""

from __future__ import annotations

from typing import Final

from . import choosing, combining, elementwise, moving, networks, second
from .moving import joining, splitting
from .networks import IN_EVALUATION
from .rule import GRADIENTS, LocalRule

_MODULES: Final = (
    elementwise.RULES, combining.RULES, moving.RULES, choosing.RULES, networks.RULES, second.RULES,
)  # fmt: skip
RULES: Final = {rule.op: rule for rules in _MODULES for rule in rules}
"""The rules, by the class of a node."""

__all__ = ["GRADIENTS", "IN_EVALUATION", "RULES", "LocalRule", "joining", "splitting"]
