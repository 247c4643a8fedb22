"""A graph is drawn whole if it can be read; otherwise its groups come first, and either picture can be asked for."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import Any, Final

import pytest
from tapedeck.drawing import picture
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.recording import Recording

from ..tracer.run_twice import record
from .map_programs import MODELS

SMALL: Final = "import torch\nm = torch.tensor(1.0, requires_grad=True)\nloss = ((m * 2 - 4) ** 2).mean()\nloss.backward()\n"
PROGRAMS: Final = {"small": SMALL, "U-Net": MODELS["unet"], "one weight": MODELS["one weight"]}
engine: Final = LayoutEngine(nested=120.0, seconds=120.0)


@cache
def recording_of(name: str) -> Recording:
    return record(PROGRAMS[name])[1]


def extent(name: str, **look: Any) -> str:
    """Return whether a picture shows groups or every node."""
    svg = asyncio.run(picture.render(recording_of(name), 0, "svg", engine=engine, **look)).decode()
    cards = len(re.findall(r'<g class="node[^"]*"', svg))
    if "data-view=" in svg:
        assert cards == 0
        return "groups"
    assert cards >= len(recording_of(name).graph(0).nodes)
    return "every node"


@pytest.mark.parametrize(("name", "expected"), [("small", "every node"), ("U-Net", "groups"), ("one weight", "groups")])
def test_groups_come_first_if_every_node_would_not_be_readable(name: str, expected: str) -> None:
    assert extent(name) == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_either_picture_can_be_asked_for(name: str) -> None:
    assert extent(name, layout="nodes") == "every node"
    assert {extent(name, layout=layout) for layout in ("groups", "graph", "rows")} == {"groups"}


def test_a_view_is_a_map_unless_every_node_is_asked_for() -> None:
    assert extent("small", view="") == extent("small", reveal="n0") == "groups"
    assert extent("small", view="", layout="nodes") == "every node"


def test_another_direction_is_drawn_whole_because_a_map_has_only_one() -> None:
    assert extent("U-Net", direction="LR") == "every node"


def test_a_graph_that_is_too_large_is_a_map_even_if_every_node_is_asked_for() -> None:
    large = record(
        "import torch\nx = torch.ones(2, requires_grad=True)\ny = x\nfor _ in range(200):\n    y = y * 2\ny.sum().backward()\n"
    )[1]
    svg = asyncio.run(picture.render(large, 0, "svg", engine=engine, layout="nodes")).decode()
    assert "data-view=" in svg
