"""Name tensors and modules as the person who wrote the program would."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from .lookup import ITEMS, dict_of

_OF_MODULES = frozenset(vars(torch.nn.Module()))
"""What a module keeps for torch, its parts among that."""
_SWEEP = 1_000
"""Names of tensors that are remembered before those of tensors that are gone are let go."""


class Names:
    """Who is called what: from assignments as they happen, else by looking for the object in the program's variables."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._bound: dict[int, tuple[weakref.ref[Tensor], str, int]] = {}
        self._passing: dict[int, tuple[weakref.ref[Tensor], str, int]] = {}
        self._found: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._lines: dict[str, int] = {}
        self._detached: list[weakref.ref[Tensor]] = []
        self._sweep_at = _SWEEP

    def bind(self, name: str, value: Tensor, line: int, *, passing: bool = False) -> None:
        """Note that an assignment bound a name to a tensor. ``passing``: that of a loop, which is one after another's."""
        key = id(value)
        names = self._passing if passing else self._bound
        known = names.get(key)
        if known is None or known[0]() is not value:
            names[key] = (weakref.ref(value), name, line)
            if len(names) > self._sweep_at:
                self._sweep()
        elif known[1] != name and not self._still(known[1], value):
            names[key] = (known[0], name, known[2])
        self._lines[name] = line

    def _sweep(self) -> None:
        """Forget tensors that are gone. No reference has a callback for that: a loop binds a new one each time."""
        self._bound = {key: known for key, known in self._bound.items() if known[0]() is not None}
        self._passing = {key: known for key, known in self._passing.items() if known[0]() is not None}
        self._sweep_at = 2 * max(len(self._bound), len(self._passing), _SWEEP)

    def binding(self, value: Tensor) -> tuple[str | None, int]:
        """Name and line of the assignment that first bound this very tensor, else the name that is found, and -1.

        A stand-in that a transform made of a tensor is called as that tensor is.
        """
        while torch._C._functorch.is_functorch_wrapped_tensor(value):
            value = torch._C._functorch.get_unwrapped(value)
        known = self._bound.get(id(value))
        if known is not None and known[0]() is value:
            return known[1], known[2]
        name = self._name(value)
        if name is not None:
            return name, self._lines.get(name.split(".")[0].split("[")[0], -1)
        known = self._passing.get(id(value))
        return (known[1], known[2]) if known is not None and known[0]() is value else (None, -1)

    def detach(self, value: Tensor) -> None:
        """Note that a tensor was cut off from its graph."""
        self._detached = [known for known in self._detached[-ITEMS:] if known() is not None]
        self._detached.append(weakref.ref(value))

    def is_detached(self, value: Tensor) -> bool:
        """Whether a tensor was cut off from its graph by ``detach``."""
        return any(known() is value for known in self._detached)

    def module(self, module: torch.nn.Module) -> str:
        """The path of a module, as ``model.layers.0``; ``""`` when no variable leads to it."""
        return self._name(module) or ""

    def refresh(self, scopes: Iterable[Mapping[str, Any]] = ()) -> None:
        """Look through the variables again: something new has come up. ``scopes`` are local ones, innermost first.

        What a variable of the program's own leads to is called by that one: another function calls it by another name.
        """
        self._found.clear()
        for scope in (self._namespace, *scopes):
            for name, value in list(scope.items()):
                if not name.startswith("__"):
                    for path, found in _members(name, value):
                        if id(found) not in self._found:
                            self._found[id(found)] = (weakref.ref(found), path)

    def _name(self, value: Any) -> str | None:
        known = self._found.get(id(value))
        return known[1] if known is not None and known[0]() is value else None

    def _still(self, name: str, value: Tensor) -> bool:
        return self._namespace.get(name) is value


def _members(name: str, value: Any, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """The tensors and modules that a variable leads to, with the way there, through at most so many containers."""
    kind = type(value)  # an object may have code of its own that tells another __class__
    if issubclass(kind, Tensor):
        yield name, value
    elif issubclass(kind, torch.nn.Module):
        found = list(parts(name, value))
        yield from found
        for path, part in found if depth else ():
            if isinstance(part, torch.nn.Module):
                for way, item in _items(path, part):
                    yield from _members(way, item, depth - 1)
    elif depth:
        for path, item in _items(name, value):
            yield from _members(path, item, depth - 1)


def parts(name: str, module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """A module and those in it, their parameters and buffers; the program's own ways of listing them are not asked."""
    modules: dict[int, tuple[str, torch.nn.Module]] = {}
    waiting = [(name, module)]
    while waiting:
        path, inner = waiting.pop()
        if id(inner) not in modules:
            modules[id(inner)] = (path, inner)
            children = [(f"{path}.{key}", child) for key, child in _held(inner, "_modules") if child is not None]
            waiting += reversed(children)
    yield from modules.values()
    for path, inner in modules.values():
        yield from ((f"{path}.{key}", parameter) for key, parameter in _held(inner, "_parameters") if parameter is not None)
    for path, inner in modules.values():
        yield from ((f"{path}.{key}", buffer) for key, buffer in _held(inner, "_buffers") if buffer is not None)


def _held(module: torch.nn.Module, kind: str) -> Iterable[tuple[str, Any]]:
    """What a module holds of a kind; nothing while it is only being made."""
    scripted = isinstance(module, torch.jit.ScriptModule)  # which has them elsewhere
    held: dict[str, Any] = getattr(module, kind) if scripted else vars(module).get(kind, {})
    return held.items()


def _items(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What a list, a dict or an object of the program's own holds. No code of the program is run to look."""
    kind = type(value)
    if kind is list or kind is tuple:
        for place, item in enumerate(value[:ITEMS]):
            yield f"{name}[{place}]", item
    elif kind is dict:
        for key, item in islice(value.items(), ITEMS):
            if type(key) is str or type(key) is int:
                yield f"{name}[{key!r}]", item
    elif type.__getattribute__(kind, "__module__") == "__main__":
        for key, item in islice(dict_of(value).items(), ITEMS):
            if key not in _OF_MODULES:
                yield f"{name}.{key}", item
