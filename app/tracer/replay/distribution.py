"""Compute how the elements of a tensor are distributed: a histogram, the largest elements, and the first that is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ... import wire
from ..tensors.handles import elements_of
from ..tensors.snapshot import is_readable

PART = 1 << 20
"""Number of elements that are converted to float64 at once."""


def distribution(tensor: Tensor | None) -> wire.DistributionRow | None:
    """Return the distribution of a tensor's elements; ``None`` if there are none or they cannot be read."""
    if tensor is None or not is_readable(tensor) or not tensor.numel():
        return None
    elements = elements_of(tensor.detach())
    flat = (elements.abs() if elements.is_complex() else elements).reshape(-1)
    low, high, bad = _range(flat)
    return wire.DistributionRow(list(tensor.shape), low, high, _histogram(flat, low, high), _largest(flat), bad)


def _parts(flat: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield parts of the elements in float64, each with the index of its first element."""
    for start in range(0, len(flat), PART):
        yield start, flat[start : start + PART].double()


def _finite(part: Tensor) -> Tensor:
    """Return the finite elements. Most parts have no others; their minimum and maximum show it faster than a mask."""
    low, high = part.aminmax()
    return part if math.isfinite(low) and math.isfinite(high) else part[part.isfinite()]


def _range(flat: Tensor) -> tuple[float, float, tuple[int, float] | None]:
    """Return the smallest and the largest finite element, NaN if there is none, and the first element that is not finite."""
    low, high, bad = math.inf, -math.inf, None
    for start, part in _parts(flat):
        finite = _finite(part)
        if bad is None and len(finite) < len(part):
            at = int((~part.isfinite()).nonzero()[0])
            bad = (start + at, part[at].item())
        if len(finite):
            ends = finite.aminmax()
            low, high = min(low, ends.min.item()), max(high, ends.max.item())
    return (low, high, bad) if low <= high else (math.nan, math.nan, bad)


def _histogram(flat: Tensor, low: float, high: float) -> list[int]:
    """Return the number of finite elements in each bin from ``low`` to ``high``."""
    if math.isnan(low):
        return []
    if low == high:
        return [sum(len(_finite(part)) for _, part in _parts(flat))]
    scale = 2.0**-8 if high - low > 1e300 else 1.0  # torch.histc multiplies the width by the number of bins, and may overflow
    counts = torch.zeros(wire.BINS, dtype=torch.float64)
    for _, part in _parts(flat):
        finite = _finite(part)
        if len(finite):
            counts += torch.histc(finite if scale == 1 else finite * scale, wire.BINS, low * scale, high * scale)
    return [int(count) for count in counts.tolist()]


def _largest(flat: Tensor) -> list[tuple[int, float]]:
    """Return the finite elements of largest magnitude with their indices; of equal magnitudes, the first ones."""
    found: list[tuple[int, float]] = []
    for start, part in _parts(flat):
        sizes = part.abs()
        if not math.isfinite(sizes.max()):
            sizes = torch.where(part.isfinite(), sizes, -1.0)
        if len(found) == wire.LARGEST and sizes.max() <= abs(found[-1][1]):
            continue
        least = sizes.topk(min(wire.LARGEST, len(sizes))).values[-1]
        for chosen in ((sizes > least).nonzero(), (sizes == least).nonzero()[: wire.LARGEST]):
            found += [(start + at, part[at].item()) for at in chosen.flatten().tolist() if sizes[at] >= 0]
        found = sorted(found, key=lambda each: (-abs(each[1]), each[0]))[: wire.LARGEST]
    return found
