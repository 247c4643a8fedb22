"""Divide an interval of the forward order into entries: single operations, frames, repetitions and statements."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from .. import wire
from .columns import Ints, Longs, StructureColumns
from .edges import starts_of_runs
from .frames import FrameTree
from .order import ForwardOrder
from .repeats import Repeat, find_repeats

OP, FRAME, REPEAT, STATEMENT = 0, 1, 2, 3
"""Codes of :attr:`Entries.kind`."""

_ROUNDS: Final = 6
"""Number of rounds in which repetitions are searched. Each round treats the repetitions found before as single entries."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """A stretch of entries that repeats. ``of`` has the entries of all turns, and each turn has ``period`` entries."""

    of: Entries
    period: int

    @property
    def turns(self) -> int:
        return len(self.of) // self.period

    @property
    def starts(self) -> Ints:
        """The first position of each turn."""
        return self.of.start[:: self.period]


@dataclass(frozen=True, slots=True)
class Entries:
    """Neighbouring intervals of the forward order, by columns. ``end`` is exclusive.

    ``ref`` is the frame of an entry, or the index of its repetition, or the line of a statement; -1 for an operation. Entries
    with equal ``key`` have the same structure.
    """

    start: Ints
    end: Ints
    kind: Ints
    ref: Ints
    key: Longs
    repetitions: list[Repetition] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, part: Any) -> Entries:
        return replace(
            self, start=self.start[part], end=self.end[part], kind=self.kind[part], ref=self.ref[part], key=self.key[part]
        )


class Divider:
    """Divides intervals of one graph's forward order."""

    def __init__(self, graph: StructureColumns, order: ForwardOrder, frames: FrameTree) -> None:
        self._frames = frames
        nodes = order.nodes
        self.line: Ints = graph.line[nodes]
        site = [graph.texts("op")[nodes], self.line, graph.texts("start_column")[nodes], graph.texts("end_column")[nodes]]
        self.keys: Longs = _distinct(_distinct(*site[:2]), _distinct(*site[2:]))
        """For each operation, a number that is equal for equal operations of one expression."""
        self._call: Ints = graph.texts("call")[nodes]
        self._start_column: Ints = graph.texts("start_column")[nodes]
        bases: dict[str, int] = {}
        self._base = [bases.setdefault(_without_digits(name.rpartition(".")[2]), len(bases)) for name in frames.name]

    def divide(self, start: int, end: int, depth: int) -> Entries:
        """Return the entries of an interval in a frame that is ``depth`` frames deep."""
        entries = self._frames_of(start, end, depth)
        calls = self._calls_in_a_row(entries)
        if calls:
            entries = _folded(entries, calls)
        for _ in range(_ROUNDS):
            repeats = find_repeats(entries.key) if len(entries) > 2 else []
            if not repeats:
                break
            entries = _folded(entries, repeats)
        return self.statements(entries)

    def made_several(self, position: int) -> bool:
        """Return whether the call that made an operation also made the operation before or after it."""
        neighbours = [each for each in (position - 1, position + 1) if 0 <= each < len(self.line)]
        columns = (self._call, self.line, self._start_column)
        return any(all(column[each] == column[position] for column in columns) for each in neighbours)

    def turns(self, start: int, end: int, depth: int) -> Ints:
        """Return the first position of each turn of a loop. Operations between two turns belong to the earlier turn."""
        turn = self._frames.outermost_below(depth + 1, start, end)
        inside = np.flatnonzero(turn >= 0)
        begins = inside[np.flatnonzero(np.diff(turn[inside], prepend=-1))]
        starts = (begins + start).astype(np.int32)
        starts[:1] = start
        return starts

    def statements(self, entries: Entries) -> Entries:
        """Join neighbouring operations of one line, unless all entries are on that line."""
        line = self.line[entries.start]
        single = (entries.kind == OP) & (line >= 0)
        joins = single[1:] & single[:-1] & (line[1:] == line[:-1])
        if not joins.any() or joins.all():
            return entries
        first = np.flatnonzero(~np.concatenate(([False], joins)))
        last = np.concatenate((first[1:], [len(entries)])) - 1
        joined = last > first
        return Entries(
            entries.start[first],
            entries.end[last],
            np.where(joined, STATEMENT, entries.kind[first]).astype(np.int32),
            np.where(joined, line[first], entries.ref[first]).astype(np.int32),
            entries.key[first],
            entries.repetitions,
        )

    def _calls_in_a_row(self, entries: Entries) -> list[Repeat]:
        """Return the stretches of at least two calls of one module, such as ``critic(real), critic(fake)``."""
        names = {name: index for index, name in enumerate(self._frames.name)}
        module = np.full(len(entries), -1, np.int64)
        for index in np.flatnonzero(entries.kind == FRAME).tolist():
            if self._frames.kind[frame := int(entries.ref[index])] == wire.MODULE:
                module[index] = names[self._frames.name[frame]]
        starts = starts_of_runs(module)
        lengths = np.diff(starts, append=len(module))
        found = zip(starts.tolist(), lengths.tolist(), strict=True)
        return [Repeat(start, 1, length) for start, length in found if length > 1 and module[start] >= 0]

    def _frames_of(self, start: int, end: int, depth: int) -> Entries:
        frame = self._frames.outermost_below(depth + 1, start, end)
        first = np.flatnonzero((frame < 0) | (np.diff(frame, prepend=-2) != 0)).astype(np.int32)
        last = np.concatenate((first[1:], [end - start])).astype(np.int32)
        ref = frame[first]
        key = self.keys[start:end][first]
        for index in np.flatnonzero(ref >= 0).tolist():
            content = self.keys[start + first[index] : start + last[index]]
            key[index] = _hash(content, self._base[ref[index]])
        kind = np.where(ref >= 0, FRAME, OP).astype(np.int32)
        return Entries(first + start, last + start, kind, ref, key)


def _folded(entries: Entries, repeats: list[Repeat]) -> Entries:
    """Return the entries with each repetition as one entry."""
    kept = np.ones(len(entries), bool)
    end, kind, ref, key = entries.end.copy(), entries.kind.copy(), entries.ref.copy(), entries.key.copy()
    repetitions = list(entries.repetitions)
    for start, period, turns in repeats:
        stop = start + period * turns
        kept[start + 1 : stop] = False
        end[start] = entries.end[stop - 1]
        kind[start] = REPEAT
        ref[start] = len(repetitions)
        key[start] = _hash(entries.key[start:stop], period)
        repetitions.append(Repetition(entries[start:stop], period))
    return Entries(entries.start[kept], end[kept], kind[kept], ref[kept], key[kept], repetitions)


def _distinct(first: Longs | Ints, second: Longs | Ints) -> Longs:
    """Return a number for each pair of entries, from 0 on, that is equal for equal pairs."""
    pairs = first.astype(np.int64) << 32 | (second.astype(np.int64) & 0xFFFFFFFF)
    numbers: Longs = np.unique(pairs, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return numbers


def _hash(keys: Longs, salt: int = 0) -> int:
    """Return a 64-bit hash of keys in order. It is the same in every process, unlike Python's ``hash``."""
    digest = blake2b(np.ascontiguousarray(keys).tobytes(), digest_size=8, salt=salt.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little", signed=True)


def _without_digits(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdigit())
