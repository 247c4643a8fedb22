"""Tell how things failed: the line that raised, the node that raised, and who changed what that node had saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..forward.writes import WriteLog
from ..source.exceptions import encodable, exception_text
from ..source.instrument import ProgramSource
from ..source.tracebacks import Location, raised_at, traceback_entries
from ..tensors.handles import storage_pointer
from .graph import grad_node
from .passes import OpenPass
from .template import Template

TOLD = 100
"""Failures that are told of one run, and exceptions that the program caught; a loop may fail for ever."""
SAID = 1_000
"""Characters of what an exception says that a signal carries."""


class Failures:
    """Tells of passes that failed and of exceptions that the program caught: what a finding is made of."""

    def __init__(self, source: ProgramSource, emitter: Emitter, writes: WriteLog) -> None:
        self._source = source
        self._emitter = emitter
        self._writes = writes
        self._passes = 0
        self._caught: set[tuple[type[BaseException], Location | None]] = set()

    def caught(self, error: BaseException, line: int) -> None:
        """The program has caught an exception, in the handler on this line; each kind is told once for each place."""
        place = raised_at(error, self._source.filename)
        key = (type(error), place)
        if key in self._caught or len(self._caught) >= TOLD:
            return
        self._caught.add(key)
        self._emitter.emit(wire.Caught(line=self._line(place), handler=line, **_facts(error)))

    def failed(self, begun: OpenPass, error: BaseException) -> int:
        """A pass has ended with an exception: tell it; returns the node that raised, -1 where that is not known."""
        node = failing(begun, error)
        if self._passes >= TOLD or begun.facts.kind == "implicit":  # that one is ours, and told by itself
            return node
        self._passes += 1
        facts = begun.facts
        call = begun.walk.calls[node] if node >= 0 else None
        modified = "modified by an inplace operation" in exception_text(error)
        slot, changed = self._changed(begun, node) if modified else (None, None)
        raised = self._line(raised_at(error, self._source.filename))
        self._emitter.emit(
            wire.PassFailed(
                line=facts.here.line,
                step=begun.step,
                pass_=facts.index,
                graph=begun.template.index,
                node=node,
                raised=raised if raised != facts.here.line else -1,
                earlier=call.graph if call is not None else -1,
                saved=slot,
                changed=self._line(changed),
                **_facts(error),
            )
        )
        return node

    def _changed(self, begun: OpenPass, node: int) -> tuple[str | None, Location | None]:
        """The saved tensor of a node that was written to after it was saved, and where that was done first."""
        walk = begun.walk
        number = walk.numbers[node] if node >= 0 else -1
        if number < 0:
            return None, None
        for slot, tensor in _modified(walk.nodes[node]):
            written, place = self._writes.written_after(number, storage_pointer(tensor))
            if written:
                return slot, place
        return None, None

    def _line(self, place: Location | None) -> int:
        return self._source.locate(*place)[0] if place is not None else -1


def _facts(error: BaseException) -> dict[str, str]:
    return {"error": encodable(type(error).__name__)[: wire.NAME_LENGTH], "message": exception_text(error)[:SAID]}


def _modified(node: Any) -> Iterator[tuple[str, Tensor]]:
    """The saved tensors of a node, as they are now, in the slots that torch refuses to read."""
    for name in dir(type(node)):
        if not name.startswith("_raw_saved_"):
            continue
        slot = name.removeprefix("_raw_saved_")
        try:
            saved = getattr(node, name)
            if getattr(saved, "unpack_hook", None) is not None:
                continue  # the program's own code, which torch asks instead of looking at versions
            getattr(node, f"_saved_{slot}")
            continue
        except AttributeError:  # a custom function has but one list of them
            pass
        except RuntimeError as refused:
            if "modified" not in str(refused):
                continue
        for each in saved if isinstance(saved, tuple | list) else (saved,):
            if each.unpack_hook is None and isinstance(each.data, Tensor):
                yield slot, each.data


def failing(begun: OpenPass, error: BaseException) -> int:
    """The node that raised: of those that were ready and had not run, the one that the engine takes first.

    That is a leaf, else what was made last. What a pass was not asked for never runs, and where ``autograd.grad`` takes
    its result out, only the tensor's own hooks run.
    """
    walk, order = begun.walk, begun.capture.order
    if "returned nan values" in exception_text(error):  # anomaly mode looks at what a node has returned
        return order[-1] if order else -1
    done = set(order)
    waits = [0] * len(walk.nodes)
    sources, _, targets, _ = begun.template.edges
    for source, target in zip(sources, targets, strict=True):
        waits[target] += source not in done
    asked = {
        walk.indexes[node]: given
        for node, given in zip(map(_node, begun.inputs), begun.inputs, strict=True)
        if node in walk.indexes
    }
    runs = _ancestors(begun.template, asked) if begun.inputs else set(range(len(walk.nodes)))
    if begun.facts.accumulates:
        runs |= asked.keys()
    else:
        runs |= {place for place, given in asked.items() if _hook_failed(given, error)}
    ready = [place for place in sorted(runs) if place not in done and not waits[place]]
    leaves = {place for place, _ in walk.leaves}
    return max(ready, key=lambda place: (place in leaves, walk.numbers[place]), default=-1)


def _ancestors(template: Template, places: Iterable[int]) -> set[int]:
    """The nodes whose gradient flows on to some of these."""
    above: dict[int, list[int]] = {}
    sources, _, targets, _ = template.edges
    for source, target in zip(sources, targets, strict=True):
        above.setdefault(target, []).append(source)
    found: set[int] = set()
    waiting = list(places)
    while waiting:
        for source in above.get(waiting.pop(), ()):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _node(given: Any) -> Any:
    return grad_node(given) if isinstance(given, Tensor) else given.node


def _hook_failed(given: Any, error: BaseException) -> bool:
    """Whether an exception came from one of a tensor's own hooks."""
    hooks = (given._backward_hooks or {}) if isinstance(given, Tensor) else {}
    codes = {getattr(hook, "__code__", None) for hook in hooks.values()}
    if any(trace.tb_frame.f_code in codes for trace in traceback_entries(error.__traceback__)):
        return True
    return bool(hooks) and "hook" in exception_text(error)
