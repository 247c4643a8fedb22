"""Rules of the operations of autograd as readable expressions, evaluated with NumPy and written as LaTeX.

``tests/formulas/`` compares each rule with PyTorch's own gradient.
"""

from __future__ import annotations

from typing import Final

from . import combining, elementwise, moving, networks
from .moving import joining, splitting
from .rule import GRADIENTS, LocalRule

RULES: Final = {rule.op: rule for rules in (elementwise.RULES, combining.RULES, moving.RULES, networks.RULES) for rule in rules}
"""The rules, by the class of a node."""

__all__ = ["GRADIENTS", "RULES", "LocalRule", "joining", "splitting"]
