"""Keep the passes that are running, and emit a nested pass after the pass around it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from torch import Tensor

from ... import wire
from ..emitter import Build, Emitter
from ..source.statements import LineContext
from ..tensors.memory import Write
from ..tensors.table import TableBuilder
from .passes import OpenPass

MOST = 20
"""Largest number of lines that are reported because they write to a gradient."""


class OpenPasses:
    """The passes that are running."""

    def __init__(self, emitter: Emitter, new_table: Callable[[], TableBuilder], here: Callable[[], LineContext]) -> None:
        self._emitter = emitter
        self._new_table = new_table
        self._here = here
        self._reported: set[int] = set()
        """The lines that were reported because they write to a gradient."""
        self._open: list[OpenPass] = []
        self.running = False
        """True if any pass is running."""
        self._finished: list[tuple[int, TableBuilder, Build]] = []
        """The passes that have ended while others run."""

    def outer(self) -> OpenPass | None:
        """Return the innermost running pass of this thread."""
        if not self._open:
            return None
        here = threading.get_ident()
        return next((begun for begun in reversed(self._open) if begun.thread == here), None)

    def add(self, begun: OpenPass) -> None:
        """Add a pass. The hooks of the pass around it record nothing until it is removed."""
        if outer := self.outer():
            outer.capture.resting = True
        self._open.append(begun)
        self.running = True

    def remove(self, begun: OpenPass) -> None:
        """Remove a pass that has ended."""
        self._open = [other for other in self._open if other is not begun]
        self.running = bool(self._open)
        if outer := self.outer():
            outer.capture.resting = False

    def emit(self, index: int, table: TableBuilder, build: Build) -> None:
        """Emit a pass that has ended, once no other pass is running. An outer pass is emitted before the passes inside it."""
        if not (self._open or self._finished):
            self._emitter.emit_with(table, build)
            return
        self._finished.append((index, table, build))
        if not self._open:
            for _, read, done in sorted(self._finished, key=lambda done: done[0]):
                self._emitter.emit_with(read, done)
            self._finished.clear()

    def protect(self, write: Write) -> None:
        """Copy those tensors of running and waiting passes that ``write`` is about to change."""
        if not self._open:
            return
        for _, table, _ in self._finished:
            table.protect(write)
        table = self._new_table()
        for begun in self._open:
            begun.protect(write, table)
            begun.gradient_writes.protect(write, elements=table.has_values)

    def written(self, write: Write) -> None:
        """Report a write to a gradient that the engine has given to a hook or to a custom ``backward``."""
        begun = self.outer()
        if begun is not None and not begun.transformed:
            line = self._here().line
            if line not in self._reported and len(self._reported) < MOST:
                begun.gradient_writes.written(write, partial(self._report, begun, line))

    def shared(self, tensor: Tensor) -> None:
        """Report a gradient that the engine has given to a hook or to a custom ``backward``, once NumPy has written to it."""
        begun = self.outer()
        if begun is not None and not begun.transformed:
            line = self._here().line
            if line not in self._reported and len(self._reported) < MOST:
                begun.gradient_writes.shared(tensor, partial(self._report, begun, line))

    def _report(self, begun: OpenPass, line: int, node: int, in_formula: bool, shared: int) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._emitter.emit(
                wire.GradientModified(
                    line=line,
                    step=begun.step,
                    pass_=begun.facts.index,
                    graph=begun.template.index,
                    node=node,
                    in_formula=in_formula,
                    shared=shared,
                )
            )
