"""Say why a number was not recorded, and whether a replay can record it."""

from __future__ import annotations

import math
from typing import Any

from .. import model
from ..recording import MOST_ELEMENTS, Recording


def unrecorded(recording: Recording, tensor: model.TensorSummary, step: int) -> dict[str, Any]:
    """Return the fields of an answer about a tensor of a step that was recorded without its elements, or that is complex."""
    count = math.prod(tensor.shape)
    if "complex" in tensor.dtype:
        return {"sentence": "The numbers of this tensor are complex: explanations are made of real numbers."}
    if count > MOST_ELEMENTS:
        sentence = f"The tensor has {count:,} elements, and a replay records at most {MOST_ELEMENTS:,} of a tensor."
        return {"sentence": f"{sentence} Only its statistics are known."}
    if recording.enlarged(step):
        sentence = "A replay has recorded this step again, but without this tensor"
        return {"sentence": f"{sentence}: the largest ones exceed the size limit of a pass."}
    if tensor.norm is None:
        return {"sentence": "The elements of this tensor cannot be read."}
    sentence = f"The tensor has {count:,} elements, and this run recorded only their statistics. A replay records the elements."
    return {"sentence": sentence, "replay": elements_of(step)}


def elements_of(step: int) -> dict[str, Any]:
    """Return the body of a replay that records the elements of a step's larger tensors."""
    return {"what": "elements", "step": step}
