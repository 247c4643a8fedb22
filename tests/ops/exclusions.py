"""List what is left out of the sweep over torch's operators, each by name and with the reason."""

from __future__ import annotations

REFUSED = {
    "abs complex128 in place": "torch: in-place abs is not supported for complex tensors",
    "acosh float64 in place": "torch has no derivative of it in place",
    "acosh complex128 in place": "torch has no derivative of it in place",
    "asinh float64 in place": "torch has no derivative of it in place",
    "asinh complex128 in place": "torch has no derivative of it in place",
    "atanh float64 in place": "torch has no derivative of it in place",
    "atanh complex128 in place": "torch has no derivative of it in place",
    "as_strided_partial_views float64 in place": "reads memory around a view; the clone that is written to has none",
    "as_strided_partial_views complex128 in place": "reads memory around a view; the clone that is written to has none",
}
"""Calls that torch refuses: the same exception has to come of them recorded and alone. A name without a refusal fails."""

UNREPEATABLE = {
    "linalg_lstsq": "its driver gelsy has another last bit from one call to the next",
    "linalg_lstsq_grad_oriented": "its driver gelsy has another last bit from one call to the next",
}
"""Operators of which torch alone gives several results: what is recorded has to be as near as those are to each other."""
