"""Tapedeck records PyTorch's autograd tape and plays it back."""

__version__ = "0.1.0"
TESTED_TORCH = ("2.10", "2.14")
"""The oldest and the newest release of PyTorch that the tests run with."""
