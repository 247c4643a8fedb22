"""Bindings have the values that torch computes, read from a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tapedeck.lessons.document import Scope
from tapedeck.lessons.running.bench import Bench, Reads, reads
from tapedeck.lessons.values import language
from tapedeck.lessons.values.bindings import Bindings
from tapedeck.lessons.values.language import BindingError

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:The .grad attribute")]  # as in a real run

FIT = [
    """import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
rate = 0.05""",
    """y_pred = m * x
loss = ((y_pred - y) ** 2).mean()
loss.backward()""",
    """with torch.no_grad():
    m -= rate * m.grad
m.grad = None""",
]
TRAIN = [
    FIT[0]
    + """
optimizer = torch.optim.Adam([m], lr=0.1)
for step in range(3):
    loss = ((m * x - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()"""
]
REBOUND = [
    FIT[0],
    """for step in range(3):
    loss = ((m * x - y) ** 2).mean()
    loss.backward()
    m = m - 0.01 * m.grad""",
]
RECORDINGS = {"fit": FIT, "train": TRAIN, "rebound": REBOUND}
RESIDUALS = torch.tensor([-1.0, -2.0, -3.0])
X = torch.tensor([1.0, 2.0, 3.0])

CASES: dict[str, tuple[str, int, Any]] = {
    "m": ("fit", 1, 1.0),
    "m.grad": ("fit", 1, (2 * RESIDUALS * X).mean()),
    "m.is_leaf and m.requires_grad": ("fit", 1, True),
    "y_pred.is_leaf": ("fit", 1, False),
    "y_pred.grad_fn": ("fit", 1, "MulBackward0"),
    "x.grad_fn": ("fit", 1, None),
    "x[2] - x[0]": ("fit", 0, 2.0),
    "x.shape": ("fit", 0, [3.0]),
    "rate * 2": ("fit", 0, 0.1),
    "node(loss).grad": ("fit", 1, 1.0),
    'node("(y_pred - y) ** 2").grad': ("fit", 1, [1 / 3] * 3),
    'node("(y_pred-y)**2").value': ("fit", 1, RESIDUALS**2),
    "node(y_pred).grad": ("fit", 1, 2 * RESIDUALS / 3),
    "edge(y_pred, m)": ("fit", 1, (2 * RESIDUALS * X).mean()),
    "sum(node(y_pred).grad * x)": ("fit", 1, (2 * RESIDUALS * X).mean()),
    "len(leaves(loss))": ("fit", 1, 1.0),
    "m @ update": ("fit", 2, 1.0 + 0.05 * 9.3333),
    "m.grad @ backward": ("fit", 2, -9.3333),
    "y_pred @ line 7": ("fit", 2, X),
    "fit.m": ("fit", 0, 1.0 + 0.05 * 9.3333),
    "abs(-3) ** 2": ("fit", 0, 9.0),
    "train[0].loss": ("train", 0, 4.6667),
    "train[-1].m @ update": ("train", 0, 1.2984),
    "train[1].m": ("train", 0, 1.1),
    "train[1].m.grad": ("train", 0, -8.4),
    'state(m, "exp_avg")': ("train", 0, 0.9 * (0.9 * -0.93333 + 0.1 * -8.4) + 0.1 * -7.4687),
    "train[0].node(loss).grad": ("train", 0, 1.0),
    "train[-1].loss < train[0].loss": ("train", 0, True),
    "error": ("rebound", 1, "TypeError"),
    "leaf(m).grad": ("rebound", 1, -9.3333 - 8.4622),
    "rebound.error is None": ("fit", 0, False),
    "m.is_leaf": ("rebound", 1, False),
    "slope(m)": ("fit", 1, -9.3333),
    "difference(m)": ("fit", 1, -9.3333),
    "difference(m, h=1, side='forward')": ("fit", 1, -4.6667),
}


@pytest.fixture
async def bindings(bench: Bench) -> Bindings:
    wanted = reads(
        [(language.parse(text), Scope(recording, cell)) for text, (recording, cell, _) in CASES.items()],
        {name: len(cells) for name, cells in RECORDINGS.items()},
    )
    return Bindings({name: await bench.observe(cells, wanted[name]) for name, cells in RECORDINGS.items()})


async def test_a_binding_has_the_value_that_torch_computes(bindings: Bindings) -> None:
    wrong = {}
    for text, (recording, cell, expected) in CASES.items():
        found = bindings.value(text, Scope(recording, cell))
        if isinstance(expected, bool | str) or expected is None:
            same = found is expected or found == expected
        else:
            wanted = np.asarray(expected, np.float64)
            same = np.shape(found) == wanted.shape and np.allclose(found, wanted, rtol=1e-4)
        if not same:
            wrong[text] = (found, expected)
    assert not wrong


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("__import__('os')", "no function"),
        ("m.__class__", "does not begin with"),
        ("[x for x in m]", "form that a binding cannot have"),
        ("lambda: 1", "form that a binding cannot have"),
        ("m @ later", "is no instant"),
        ("m[m]", "an index is a whole number"),
        ("1 +", "is not an expression"),
        ("1" * 500, "the limit is"),
    ],
)
def test_only_the_language_is_parsed(text: str, reason: str) -> None:
    with pytest.raises(BindingError, match=reason):
        language.parse(text)


async def test_what_cannot_be_read_says_what_there_is(bench: Bench) -> None:
    observed = await bench.observe(FIT, Reads({1: {"m", "nothing"}}))
    bindings = Bindings({"fit": observed})
    for text, reason in [
        ("nothing", "has no value at the end of cell 2"),
        ("node(z)", "There is no node `z`: there are loss, m,"),
        ("edge(m, loss)", "There is no edge"),
        ("fit[3].loss", "There is no step 3: the recording has 1"),
        ('state(m, "exp_avg")', "has no `exp_avg`"),
        ("node(loss).gradient", "has .grad, .value"),
        ("m + error", "is None, not a number"),
        ("node()", "arguments that do not fit"),
    ]:
        with pytest.raises(BindingError, match=reason):
            bindings.value(text, Scope("fit", 1))
