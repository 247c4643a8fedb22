"""Prepare for writes to memory: every part of the recorder that still reads that memory copies it first."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..emitter import Emitter
from ..forward.calls import Calls
from ..forward.writes import WriteLog
from ..source.lines import LineValues
from ..tensors.handles import next_sequence_nr
from ..tensors.memory import Write, WriteListener
from .program_changes import ProgramChanges
from .steps import Steps


class BeforeWrite(Protocol):
    """Acts before the program, an optimizer or a pass writes to memory."""

    def before_write(self, write: Write) -> None:
        """Called with the memory that is about to be written to."""


class RunningPasses(WriteListener, Protocol):
    """The passes that run, as :class:`~..backward.open_passes.OpenPasses` keeps them."""

    running: bool
    """True if any pass is running."""

    def written(self, write: Write) -> None:
        """Called before a write while a pass runs. The write may change a gradient that other nodes still have to receive."""

    def shared(self, tensor: Tensor) -> None:
        """Called before NumPy shares a tensor's memory while a pass runs. NumPy may then write to a gradient of the pass."""


class WriteGuard:
    """Protects recorded tensors from writes."""

    def __init__(
        self,
        *,
        changes: ProgramChanges,
        writes: WriteLog,
        lines: LineValues,
        calls: Calls,
        steps: Steps,
        emitter: Emitter,
        passes: RunningPasses,
    ) -> None:
        self._changes = changes
        self._writes = writes
        self._lines = lines
        self._calls = calls
        self._steps = steps
        self._emitter = emitter
        self._passes = passes

    def before_write(self, write: Write) -> None:
        """Record a write that is about to happen, and copy the tensors that it will change."""
        self._changes.count += 1
        self._writes.record(write.storages)
        self._steps.parameters.forget_values(write.storages)
        self._steps.current.copy_borrowed(write)
        if self._passes.running:
            self._passes.written(write)
        self.protect(write)

    def before_share(self, tensor: Tensor, storage: int) -> None:
        """Copy the recorded tensors of a storage that NumPy is going to share, since any statement may write to it then."""
        self._changes.count += 1
        self.protect(Write((), (storage,)))
        if self._passes.running:
            self._passes.shared(tensor)

    def protect(self, write: Write) -> None:
        """Copy the recorded tensors whose memory is about to change."""
        self._lines.protect(write)
        self._calls.protect(write)
        self._steps.current.table.protect(write)
        self._emitter.protect(write)
        if self._passes.running:
            self._passes.protect(write)

    def release_graphs(self) -> None:
        """Drop every reference to a graph before a leaf is resized. A leaf's node keeps the old size while it is alive."""
        self._steps.current.release_graphs()
        self._lines.release_graphs()
        self._calls.release(next_sequence_nr())
        self._emitter.flush()
