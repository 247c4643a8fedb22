"""Report failures: the line and the node that raised, and the line that changed a saved tensor of the node."""

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

MAX_REPORTED = 100
"""Largest number of failed passes, and of caught exceptions, that are reported in one run. A loop may fail forever."""
MAX_MESSAGE = 1_000
"""Largest number of characters of an exception's message in a signal."""


class Failures:
    """Emits signals for passes that failed and for exceptions that the program caught."""

    def __init__(self, source: ProgramSource, emitter: Emitter, writes: WriteLog) -> None:
        self._source = source
        self._emitter = emitter
        self._writes = writes
        self._passes = 0
        self._caught: set[tuple[type[BaseException], Location | None]] = set()

    def caught(self, error: BaseException, line: int) -> None:
        """Report an exception that the program caught in the handler on ``line``, once for each type and location."""
        location = raised_at(error, self._source.filename)
        key = (type(error), location)
        if key in self._caught or len(self._caught) >= MAX_REPORTED:
            return
        self._caught.add(key)
        self._emitter.emit(wire.Caught(line=self._line(location), handler=line, **_facts(error)))

    def failed(self, begun: OpenPass, error: BaseException) -> int:
        """Report a pass that has raised; return the node that raised, -1 if unknown."""
        node = failing(begun, error)
        if self._passes >= MAX_REPORTED or begun.facts.kind == "implicit":  # an implicit pass has a signal of its own
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
        """Return the slot of a saved tensor that was written to after it was saved, and the location of the first write."""
        walk = begun.walk
        number = walk.numbers[node] if node >= 0 else -1
        if number < 0:
            return None, None
        for slot, tensor in _modified(walk.nodes[node]):
            written, location = self._writes.written_after(number, storage_pointer(tensor))
            if written:
                return slot, location
        return None, None

    def _line(self, location: Location | None) -> int:
        return self._source.locate(*location)[0] if location is not None else -1


def _facts(error: BaseException) -> dict[str, str]:
    return {"error": encodable(type(error).__name__)[: wire.NAME_LENGTH], "message": exception_text(error)[:MAX_MESSAGE]}


def _modified(node: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the slot names and current values of a node's saved tensors, except those that torch still returns.

    Tensors with hooks are skipped. For the node of a custom function, all other saved tensors are yielded.
    """
    for name in dir(type(node)):
        if not name.startswith("_raw_saved_"):
            continue
        slot = name.removeprefix("_raw_saved_")
        try:
            saved = getattr(node, name)
            if getattr(saved, "unpack_hook", None) is not None:
                continue  # the program's own code unpacks the tensor, and torch checks no version
            getattr(node, f"_saved_{slot}")
            continue
        except AttributeError:  # a custom function has one list of saved tensors
            pass
        except RuntimeError as refused:
            if "modified" not in str(refused):
                continue
        for each in saved if isinstance(saved, tuple | list) else (saved,):
            if each.unpack_hook is None and isinstance(each.data, Tensor):
                yield slot, each.data


def failing(begun: OpenPass, error: BaseException) -> int:
    """Return the node that raised: the next one that the engine would have run; -1 if unknown.

    Among the nodes that are ready, the engine runs leaves first, then the node that was made last. If the pass has ``inputs``,
    nodes that none of the inputs needs never run. At an input of ``autograd.grad``, only the tensor's own hooks run.
    """
    walk, order = begun.walk, begun.capture.order
    if "returned nan values" in exception_text(error):  # anomaly mode checks the results of a node after its hooks
        return order[-1] if order else -1
    done = set(order)
    waits = [0] * len(walk.nodes)
    sources, _, targets, _ = begun.template.edges
    for source, target in zip(sources, targets, strict=True):
        waits[target] += source not in done
    requested = {
        walk.indexes[node]: given
        for node, given in zip(map(_node, begun.inputs), begun.inputs, strict=True)
        if node in walk.indexes
    }
    runs = _ancestors(begun.template, requested) if begun.inputs else set(range(len(walk.nodes)))
    if begun.facts.accumulates:
        runs |= requested.keys()
    else:
        runs |= {node for node, given in requested.items() if _hook_failed(given, error)}
    ready = [node for node in sorted(runs) if node not in done and not waits[node]]
    leaves = {node for node, _ in walk.leaves}
    return max(ready, key=lambda node: (node in leaves, walk.numbers[node]), default=-1)


def _ancestors(template: Template, nodes: Iterable[int]) -> set[int]:
    """Return the nodes whose gradients flow on to any of ``nodes``."""
    above: dict[int, list[int]] = {}
    sources, _, targets, _ = template.edges
    for source, target in zip(sources, targets, strict=True):
        above.setdefault(target, []).append(source)
    found: set[int] = set()
    waiting = list(nodes)
    while waiting:
        for source in above.get(waiting.pop(), ()):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _node(given: Any) -> Any:
    return grad_node(given) if isinstance(given, Tensor) else given.node


def _hook_failed(given: Any, error: BaseException) -> bool:
    """Return whether an exception came from one of a tensor's own hooks."""
    hooks = (given._backward_hooks or {}) if isinstance(given, Tensor) else {}
    codes = {getattr(hook, "__code__", None) for hook in hooks.values()}
    if any(trace.tb_frame.f_code in codes for trace in traceback_entries(error.__traceback__)):
        return True
    return bool(hooks) and "hook" in exception_text(error)
