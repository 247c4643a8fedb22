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
    "as_strided_partial_views float64 in place": "reads memory around a view, which the clone that it writes to lacks",
    "as_strided_partial_views complex128 in place": "reads memory around a view, which the clone that it writes to lacks",
}
"""Calls that PyTorch refuses.

Recorded and alone, they must raise the same exception. A listed call that works fails the test.
"""

UNREPEATABLE = {
    "linalg_lstsq": "its driver gelsy differs in the last bit from call to call",
    "linalg_lstsq_grad_oriented": "its driver gelsy differs in the last bit from call to call",
}
"""Operators with varying results in PyTorch alone. The recorded result must be as close as those are to each other."""
