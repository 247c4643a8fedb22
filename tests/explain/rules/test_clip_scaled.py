"""Clipping of gradients that a scaler has scaled is reported, clipping of other gradients is not."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, CLIP, loop

SCALED = ("opt.zero_grad()", "scaler.scale(loss).backward()", "{clip}", "scaler.step(opt)", "scaler.update()")
SCALER = f"{BEGIN}scaler = torch.amp.GradScaler('cpu')\n"


@pytest.mark.parametrize(
    "clip",
    [
        f"{CLIP}(net.parameters(), 1.0)",
        "nn.utils.clip_grad_value_(net.parameters(), 0.1)",
        f"if step > 0: {CLIP}(net.parameters(), 1.0)",
    ],
)
def test_clipping_of_scaled_gradients_is_reported(clip: str) -> None:
    text = loop(*(line.format(clip=clip) for line in SCALED), begin=SCALER)
    assert codes(text) == [("clip-scaled", line_of(text, "clip_"))]


UNSCALED = {
    "unscaled before": loop(
        *(line.format(clip=f"scaler.unscale_(opt); {CLIP}(net.parameters(), 1.0)") for line in SCALED), begin=SCALER
    ),
    "a disabled scaler": loop(
        *(line.format(clip=f"{CLIP}(net.parameters(), 1.0)") for line in SCALED),
        begin=SCALER.replace("'cpu'", "'cpu', enabled=False"),
    ),
    "another clipping, before the scaled pass": loop(
        "opt.zero_grad()", "loss.backward()", f"{CLIP}(net.parameters(), 1.0)", "opt.step()", begin=SCALER
    ),
}


@pytest.mark.parametrize("text", UNSCALED.values(), ids=UNSCALED.keys())
def test_clipping_of_gradients_that_are_not_scaled_is_not_reported(text: str) -> None:
    assert codes(text) == []
