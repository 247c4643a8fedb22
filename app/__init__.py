"""Tapedeck records PyTorch's autograd tape and plays it back."""

__version__ = "0.1.0"
