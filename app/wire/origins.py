"""Check that lines of the user's own modules lie in files that were named."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ProtocolError
from .bounds import INT32, MODULE_FILES
from .columns import check_range, int32
from .events import GraphEvent, ModuleFileEvent, OriginRow


class Origins:
    """The files that the events of a recording have named.

    A ``confined`` program has no modules of its own, so its events must not name a file. Otherwise a stranger's program could
    name a file that only the server can read.
    """

    def __init__(self, confined: bool) -> None:
        self._confined = confined
        self._files = 0

    def name(self, event: ModuleFileEvent) -> None:
        """Check that a file has the next index, and a path that cannot lead out of the folder to which it is relative."""
        if self._confined:
            raise ProtocolError("a confined program names a file")
        if event.index != self._files or self._files >= MODULE_FILES:
            raise ProtocolError("a file's index is out of order")
        parts = event.path.split("/")
        if "" in parts or ".." in parts or not event.path.isprintable():
            raise ProtocolError("a file's path is not relative")
        self._files += 1

    def check(self, *origins: OriginRow | None) -> None:
        """Check that each origin is in a file that was named."""
        for origin in origins:
            if origin is not None and origin.file >= self._files:
                raise ProtocolError("a line refers to a file that was not named")

    def check_graph(self, graph: GraphEvent) -> None:
        """Check the origins of the nodes of a graph."""
        if graph.origin_file or graph.origin_line:
            nodes = len(graph.kind)
            check_range(int32(graph.origin_file, "origin_file", nodes), -1, self._files, "origin_file")
            check_range(int32(graph.origin_line, "origin_line", nodes), -1, INT32, "origin_line")


def check_no_file(files: Iterable[str | None]) -> None:
    """Check that these fields are ``None``. An older tracer named files in them; now :class:`ModuleFileEvent` does."""
    if any(file is not None for file in files):
        raise ProtocolError("an event names a file")
