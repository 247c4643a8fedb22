"""List the operators that the sweep excludes, each with the reason."""

from __future__ import annotations

REFUSED = {
    "abs complex128 in place": "PyTorch does not support in-place abs for complex tensors",
    "acosh float64 in place": "PyTorch has no derivative of the in-place variant",
    "acosh complex128 in place": "PyTorch has no derivative of the in-place variant",
    "asinh float64 in place": "PyTorch has no derivative of the in-place variant",
    "asinh complex128 in place": "PyTorch has no derivative of the in-place variant",
    "atanh float64 in place": "PyTorch has no derivative of the in-place variant",
    "atanh complex128 in place": "PyTorch has no derivative of the in-place variant",
    "as_strided_partial_views float64 in place": "reads memory outside the view, which a clone of the view does not have",
    "as_strided_partial_views complex128 in place": "reads memory outside the view, which a clone of the view does not have",
}
"""Calls that PyTorch refuses.

Recorded and unrecorded, they must raise the same exception. A listed call that works fails the test.
"""

UNREPEATABLE = {
    "linalg_lstsq": "the results of its driver gelsy differ in the last bit between calls",
    "linalg_lstsq_grad_oriented": "the results of its driver gelsy differ in the last bit between calls",
}
"""Operators whose results vary between calls even without Tapedeck. Recorded results must be equal up to rounding."""
