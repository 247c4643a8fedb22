"""The walk from a leaf's gradient reaches the inputs, and the terms of each hop add up to the number."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..tracer.run_twice import PROGRAMS, record
from .walk import rounding, sums_exactly, walk

GALLERY = sorted((Path(__file__).parent.parent.parent / "app" / "examples" / "programs").glob("*.py"))
SAMPLE = ("chain-rule", "fit-with-sgd", "two-parameters")
"""Programs of the gallery that the fast tests walk."""
NARROW = ("float16", "bfloat16", "autocast")


def check(path: Path) -> int:
    """Walk from every leaf of a program with a recorded gradient. Return the number of leaves whose walk reached inputs."""
    text = path.read_text()
    _, recording = record(text, values=4096)
    bound = 1e-2 if any(word in text for word in NARROW) else 5e-4
    reached = 0
    steps = recording.log.counts()[2]
    for parameter in recording.parameters()[:6]:
        rows = [row for row in recording.step_parameters(steps - 1, 0) if row.id == parameter.id] if steps else []
        if not rows or rows[0].grad_after is None:
            continue
        kinds = set()
        for answer in walk(recording, f"why?of={parameter.id}.grad&step={steps - 1}"):
            kinds.add(answer.kind)
            assert sums_exactly(answer), (path.name, answer.of)
            assert "update" in answer.of or rounding(answer) <= bound, (path.name, answer.of, answer.sentence)
        reached += "input" in kinds
    return reached


@pytest.mark.parametrize("path", [path for path in GALLERY if path.stem in SAMPLE], ids=lambda path: path.stem)
def test_the_walk_from_a_leaf_reaches_the_inputs(path: Path) -> None:
    assert check(path)


def test_the_walk_through_a_transposed_convolution_reaches_the_inputs() -> None:
    program = """\
import torch
x = torch.rand(1, 2, 3, 3)
layer = torch.nn.ConvTranspose2d(2, 2, 2, stride=2)
layer(x).sum().backward()
"""
    _, recording = record(program, values=4096)
    for parameter in recording.parameters():
        answers = list(walk(recording, f"why?of={parameter.id}.grad&step=0"))
        assert all(map(sums_exactly, answers))
        assert len(answers[0].terms) == {"weight": 9, "bias": 36}[str(parameter.names[0]).split(".")[-1]]
    assert any(answer.kind == "input" and answer.of.startswith("n") for answer in walk(recording, "why?of=p0.grad&step=0"))


@pytest.mark.ops
@pytest.mark.parametrize("path", [*GALLERY, *PROGRAMS], ids=lambda path: path.stem)
def test_the_walks_of_every_program_add_up(path: Path) -> None:
    check(path)
