"""Tell of tensors whose shapes do not go together: which sizes met, and what would fit."""

from __future__ import annotations

import re

from ... import model
from ..failure import Failure

BROADCAST = r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)"
PRODUCT = r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)"


def no_broadcast(failure: Failure) -> model.Finding:
    """Two tensors are to be combined number by number, and one has more of them."""
    found = re.search(BROADCAST, failure.trouble.message)
    first, second, dimension = found.groups() if found else ("?",) * 3
    message = f"Two tensors do not go together: along dimension {dimension} the first has {first} numbers, the second {second}."
    why = (
        "Counted from the last dimension, sizes must be equal, or one of them 1, which is then repeated. Give both as many "
        "numbers, or insert a dimension of size 1 by unsqueeze() where each is to meet each."
    )
    return failure.finding("shape-mismatch", message, why, line=failure.at)


def no_product(failure: Failure) -> model.Finding:
    """Two matrices are to be multiplied, and the rows of one are not as long as the columns of the other."""
    found = re.search(PRODUCT, failure.trouble.message)
    rows, inner, outer, columns = found.groups() if found else ("?",) * 4
    message = f"A matrix of {rows} × {inner} cannot be multiplied by one of {outer} × {columns}: {inner} is not {outer}."
    why = (
        f"The product needs as many columns in the first as rows in the second. A layer for these inputs has {inner} features; "
        "if rows and columns are the wrong way round, transpose one by .T."
    )
    return failure.finding("shape-mismatch", message, why, line=failure.at)
