"""The products of an explanation equal the recorded gradients, for the calls of PyTorch's operator database with a rule."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from tapedeck.why.local import LocalDerivatives

from ..tracer.run_twice import record
from .operator_samples import OPERATORS, Sampled, sampled

STRIDE, FIRST = 60, 7
"""Every 60th operator is tested by default; ``make test-ops`` tests all."""
MOST = 12
"""Largest number of elements of a gradient that are compared."""
ALWAYS = {"quantile", "native_group_norm"}
"""Operators that are tested by default too: `quantile` combines elements, and the other one is also called without any."""


def products(call: Sampled) -> Counter[bool]:
    """Compare the products of a recorded call. Return how many edges of nodes with a rule were explained, and how many not."""
    call.install()
    recording = record(call.program, values=1024)[1]
    counts: Counter[bool] = Counter()
    passes = [recording.log.pass_(index) for index in range(recording.log.counts()[1])]
    for event in passes:
        if event.graph < 0:
            continue
        numbers = recording.numbers(event.index)
        for node in range(len(numbers.graph.nodes)):
            local = LocalDerivatives(numbers, node, call.program.splitlines())
            for operand, (at, edge) in local.edges.items():
                sent = numbers.array("edge", at)
                if sent is None or not local.grads or not edge.gradient or not sent.size:
                    continue
                own = numbers.form("edge", at)
                unit = 1e-9 if own is not None and own.dtype == "float64" else 1e-2  # of a conversion to a narrower dtype
                least = 1e-4 * sum(
                    np.abs(each).sum() for each in local.grads.values()
                )  # of derivatives that cancel, such as those of a saturated softmax
                for element in range(0, sent.size, 1 + sent.size // MOST):
                    column = local.column(operand, element)
                    counts[column is not None] += 1
                    if column is None:
                        break
                    terms = [factor * float(local.grads[output].reshape(-1)[place]) for output, place, factor in column]
                    product, theirs = sum(terms), float(sent.reshape(-1)[element])
                    size = sum(map(abs, terms)) + np.abs(sent).max() + least
                    close = abs(product - theirs) <= unit * size + 1e-300
                    same = close or product == theirs or not np.isfinite(product) or not np.isfinite(theirs)
                    assert same, (call.name, numbers.graph.nodes[node].op, operand, element, product, theirs)
    return counts


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.ops] if at % STRIDE != FIRST and name not in ALWAYS else [])
        for at, name in enumerate(OPERATORS)
    ],
)
def test_the_products_of_an_operator_equal_its_recorded_gradients(name: str) -> None:
    torch.set_grad_enabled(True)
    for call in sampled(OPERATORS[name]):
        products(call)
