"""Register the graphs of a run: each structure is emitted once, and passes that share it refer to its index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from torch import Tensor

from ..emitter import Emitter
from ..forward.call_frames import CallFrames
from ..forward.calls import Calls
from ..source.instrument import ProgramSource
from ..source.names import Names
from ..tensors.handles import sequence_nr
from ..training.parameters import Parameters
from .components import components
from .graph import TooManyNodes, Walk, freeable_nodes
from .graph_event import describe
from .saved_tensors import SavedTensors
from .template import UNKNOWN, Template

OWN_NODES: Final = 10_000
"""Number of nodes up to which each line's value has its own graph. With more nodes, the values share a graph."""
MOST_WALKED: Final = 4
"""Largest number of nodes that are visited for the values of lines, as a multiple of the limit for one graph."""


class Graphs:
    """The graphs that have been emitted. ``limit`` is the largest number of nodes of a graph that is recorded."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        calls: Calls,
        frames: CallFrames,
        names: Names,
        source: ProgramSource,
        parameters: Parameters,
        scopes: Callable[[], Sequence[Mapping[str, Any]]],
        saved: SavedTensors,
        limit: int,
    ) -> None:
        self._emitter = emitter
        self._calls = calls
        self._frames = frames
        self._names = names
        self._source = source
        self._parameters = parameters
        self._scopes = scopes
        self._saved = saved
        freeable = freeable_nodes()
        self.limit = min(limit, freeable)
        self._most_walked = min(MOST_WALKED * limit, freeable)
        self._templates: dict[tuple[Any, ...], Template] = {}

    def graph_of(self, tensor: Tensor) -> int:
        """Return the index of the graph whose root is a tensor's node, emitting it on first use; -1 if it is too large."""
        try:
            return self._with_roots([tensor.grad_fn]).index
        except TooManyNodes:
            return -1

    def graphs_of(self, tensors: Sequence[Tensor]) -> list[int]:
        """Return for each tensor the index of a graph with its node, emitting new graphs; -1 if the graph is too large.

        Each tensor is the root of a graph of its own while these graphs have at most :data:`OWN_NODES` nodes together.
        Beyond that, the tensors of a connected graph share it, so that a program of many lines is recorded in linear time.
        """
        nodes = [tensor.grad_fn for tensor in tensors]
        walks = self._small_walks(min(OWN_NODES, self.limit), nodes)
        if walks is not None:
            return [self._of_walk(walk).index for walk in walks]
        graphs: dict[Any, int] = {}
        try:
            for component in components(nodes, self._most_walked):
                try:
                    shared = self._with_roots(component.roots).index
                    graphs |= dict.fromkeys(component.members, shared)
                except TooManyNodes:
                    graphs |= self._smallest(component.members)
        except TooManyNodes:
            graphs |= self._smallest(nodes)
        return [graphs.get(node, -1) for node in nodes]

    def _small_walks(self, limit: int, roots: Sequence[Any]) -> list[Walk] | None:
        """Return the walk from each root; ``None`` if the graphs have more than ``limit`` nodes together."""
        walks = []
        left = limit
        try:
            for root in roots:
                walks.append(Walk([root], self._calls, max(left, 1)))
                left -= len(walks[-1].nodes)
        except TooManyNodes:
            return None
        return walks if left >= 0 else None

    def _smallest(self, roots: Sequence[Any]) -> dict[Any, int]:
        """Return the index of each root's own graph.

        A graph that is too large is left out. The walks begin at the oldest root and end once they have visited too many nodes.
        """
        found: dict[Any, int] = {}
        left = self._most_walked
        for root in sorted(roots, key=sequence_nr):
            try:
                template = self._with_roots([root])
                found[root] = template.index
                left -= len(template.outputs)
            except TooManyNodes:
                left -= self.limit
            if left <= 0:
                break
        return found

    def _with_roots(self, roots: Sequence[Any]) -> Template:
        """Return the template of the graph with these roots. Raises :class:`TooManyNodes` if it is too large."""
        return self._of_walk(Walk(roots, self._calls, self.limit))

    def _of_walk(self, walk: Walk) -> Template:
        """Return the template of a graph that no pass has reached. A leaf that is not a parameter has index -1."""
        parameters = self._parameters
        return self.template(walk, [parameters.index(leaf) if leaf in parameters else -1 for _, leaf in walk.leaves])

    def template(self, walk: Walk, parameters: Sequence[int]) -> Template:
        """Return the template of a graph's structure, emitting it on first use. ``parameters`` has an index for each leaf."""
        signature = walk.signature(parameters)
        template = self._templates.get(signature)
        if template is None:
            template = Template(len(self._templates), walk, self._saved, parameters, self._source)
            if not self._names_are_known(template, walk):
                self._names.refresh(self._scopes())
            self._emitter.emit(describe(walk, template, self._source, self._names, self._frames))
            self._templates[signature] = template  # last, once the graph has been emitted
        return template

    def _names_are_known(self, template: Template, walk: Walk) -> bool:
        constants = (template.constant(walk, index) for index in range(len(template.constants)))
        return all(self._names.binding(constant)[0] is not None for constant in constants if isinstance(constant, Tensor))

    def refresh_names(self) -> None:
        """Search the program's variables for names again, because a pass has reached a leaf that is not a parameter yet."""
        self._names.refresh(self._scopes())

    def read_saved(self, walk: Walk, template: Template) -> tuple[list[Any], list[int]]:
        """Return the saved tensors of all nodes in order, and the indices of those that were read from a node.

        The other tensors are taken from the calls that made the nodes.
        """
        saved: list[Any] = []
        read_from_nodes: list[int] = []
        hooked = self._saved.hooked
        nodes, calls = walk.nodes, walk.calls
        for (node, slot), origin in zip(template.saved, template.origins, strict=True):
            call = calls[node]
            if origin == UNKNOWN or hooked or call is None:
                read_from_nodes.append(len(saved))
                saved.append(self._saved.read(nodes[node], slot))
            else:
                saved.append(call.argument(origin))
        if not hooked:
            template.find_origins(walk, saved)
        return saved, read_from_nodes
