"""Keep the passes that are running, and emit each pass after the one that it is nested in."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..emitter import Build, Emitter
from ..tensors.memory import Write
from ..tensors.table import TableBuilder
from .passes import OpenPass


class OpenPasses:
    """The passes that are running. True if there are any."""

    def __init__(self, emitter: Emitter, new_table: Callable[[], TableBuilder]) -> None:
        self._emitter = emitter
        self._new_table = new_table
        self._open: list[OpenPass] = []
        self._finished: list[tuple[int, TableBuilder, Build]] = []
        """The passes that have ended while others run."""

    def __bool__(self) -> bool:
        return bool(self._open)

    def outer(self) -> OpenPass | None:
        """Return the innermost running pass of this thread."""
        here = threading.get_ident()
        return next((begun for begun in reversed(self._open) if begun.thread == here), None)

    def add(self, begun: OpenPass) -> None:
        """Add a pass. The hooks of the pass around it rest until it is removed."""
        if outer := self.outer():
            outer.capture.resting = True
        self._open.append(begun)

    def remove(self, begun: OpenPass) -> None:
        """Remove a pass that has ended."""
        self._open = [other for other in self._open if other is not begun]
        if outer := self.outer():
            outer.capture.resting = False

    def emit(self, index: int, table: TableBuilder, build: Build) -> None:
        """Emit a pass that has ended, once no other is running: an outer pass comes before those inside it."""
        self._finished.append((index, table, build))
        if not self._open:
            for _, read, done in sorted(self._finished, key=lambda done: done[0]):
                self._emitter.emit_with(read, done)
            self._finished.clear()

    def protect(self, write: Write) -> None:
        """Copy the tensors of running and waiting passes that are about to be written to."""
        if not self._open:
            return
        for _, table, _ in self._finished:
            table.protect(write)
        table = self._new_table()
        for begun in self._open:
            begun.protect(write, table)
