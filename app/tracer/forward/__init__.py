"""Observe the forward computation: calls that make nodes, PyTorch's functions, and in-place writes."""
