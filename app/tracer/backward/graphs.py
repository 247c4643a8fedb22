"""Register the graphs of a run: each structure is emitted once, and passes that share it refer to its index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from ..emitter import Emitter
from ..forward.call_frames import CallFrames
from ..forward.calls import Calls
from ..source.instrument import ProgramSource
from ..source.names import Names
from ..training.parameters import Parameters
from .graph import TooManyNodes, Walk
from .graph_event import describe
from .saved_tensors import SavedTensors
from .template import UNKNOWN, Template


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
        scopes: Callable[[], list[dict[str, Any]]],
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
        self.limit = limit
        self._templates: dict[tuple[Any, ...], Template] = {}

    def graph_of(self, tensor: Tensor) -> int:
        """Return the index of the graph whose root is a tensor's node, emitting it on first use; -1 if it is too large."""
        try:
            walk = Walk([tensor.grad_fn], self._calls, self.limit)
        except TooManyNodes:
            return -1
        parameters = self._parameters
        indexes = [parameters.index(leaf) if leaf in parameters else -1 for _, leaf in walk.leaves]
        return self.template(walk, indexes).index if walk.nodes else -1

    def template(self, walk: Walk, parameters: Sequence[int]) -> Template:
        """Return the template of a graph's structure, emitting it on first use. ``parameters`` belong to its leaves."""
        signature = walk.signature(parameters)
        template = self._templates.get(signature)
        if template is None:
            template = Template(len(self._templates), walk, self._saved, parameters, self._source)
            if not self._names_are_known(template, walk):
                self._names.refresh(self._scopes())
            self._emitter.emit(describe(walk, template, self._source, self._names, self._frames))
            self._templates[signature] = template  # last: it has been emitted
        return template

    def _names_are_known(self, template: Template, walk: Walk) -> bool:
        constants = (template.constant(walk, index) for index in range(len(template.constants)))
        return all(self._names.binding(constant)[0] is not None for constant in constants if isinstance(constant, Tensor))

    def refresh_names(self, leaves: Iterable[Tensor]) -> None:
        """Look up the names of the program's variables if any of these leaves is not a parameter yet."""
        if any(leaf not in self._parameters for leaf in leaves):
            self._names.refresh(self._scopes())

    def read_saved(self, walk: Walk, template: Template) -> tuple[list[Any], list[int]]:
        """Return the saved tensors of all nodes in order, and the indexes of those that were read from a node.

        The other tensors are known from the call that made their node.
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
