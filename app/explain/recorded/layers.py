"""Read the gradients of a network's weights layer by layer, from the loss downwards."""

from __future__ import annotations

from math import prod, sqrt

from ...recording import PassNumbers

Layer = tuple[int, float]


def layers_of(numbers: PassNumbers, depths: list[int]) -> list[Layer]:
    """Return the index of each layer's weights and the root mean square of their gradient, the last layer first."""
    found: dict[int, Layer] = {}
    for index, node in enumerate(numbers.graph.nodes):
        gradient = numbers.used(index) if node.kind == "leaf" else None
        if gradient is None or len(gradient.shape) < 2 or not isinstance(gradient.norm, float) or gradient.nan or gradient.inf:
            continue
        found.setdefault(depths[index], (index, gradient.norm / sqrt(prod(gradient.shape))))
    return [found[each] for each in sorted(found)]


def depths(numbers: PassNumbers) -> list[int]:
    """Return the length of the longest path from the root to each node."""
    down: dict[int, list[int]] = {}
    pending = [0] * len(numbers.graph.nodes)
    for edge in numbers.graph.edges:
        source, target = numbers.node_index(edge.source), numbers.node_index(edge.target)
        down.setdefault(source, []).append(target)
        pending[target] += 1
    depth = [0] * len(pending)
    ready = [index for index, count in enumerate(pending) if not count]
    while ready:
        at = ready.pop()
        for each in down.get(at, ()):
            depth[each] = max(depth[each], depth[at] + 1)
            pending[each] -= 1
            if not pending[each]:
                ready.append(each)
    return depth


def line_of(numbers: PassNumbers, leaf: int) -> int | None:
    """Return the line of the nearest operation that uses a leaf."""
    nodes, waiting = numbers.graph.nodes, [leaf]
    for _ in range(4):
        above = [numbers.node_index(edge.source) for edge in numbers.graph.edges if numbers.node_index(edge.target) in waiting]
        for each in above:
            if nodes[each].line is not None:
                return nodes[each].line
        waiting = above
    return None
