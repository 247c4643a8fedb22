"""Every node has the line that made it, and every leaf a line or a name."""

from __future__ import annotations

from typing import Any

import pytest
from tapedeck.tracer import emitter

from .run_twice import record


def nodes_of(program: str, number: int = 0, **options: Any) -> dict[str, Any]:
    """Return the nodes of a pass's graph by their operation; of several with one operation, the last."""
    return {node.op: node for node in record(program, **options)[1].numbers(number).graph.nodes}


WRITTEN = {
    "the view is written to": "with torch.no_grad():\n    v.zero_()\n",
    "the base is written to": "with torch.no_grad():\n    u.zero_()\n",
    "the view is written to twice": "with torch.no_grad():\n    v.zero_(); v.add_(1)\n",
}


@pytest.mark.parametrize("interval", [0.04, -1], ids=["sent later", "sent after each statement"])
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_the_node_of_a_view_that_was_written_to_has_the_line_that_uses_it_next(
    write: str, interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", interval)
    program = (
        "import torch\nw = torch.ones(3, 3, requires_grad=True)\nu = w * 2\nv = u[0]\n"
        + write
        + "z = v\nk = 3\ny = v * 2\ny.sum().backward()\n"
    )
    nodes = nodes_of(program)
    assert nodes["AsStridedBackward0"].line == 9
    assert nodes["AsStridedBackward0"].name is None
    assert nodes["SumBackward0"].line == 10
