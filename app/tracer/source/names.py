"""Name tensors and modules by the program's variables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from ... import wire
from ..tensors.references import WeakTensor, weak
from .lookup import ITEMS, dict_of
from .statements import LineContext

_OF_MODULES = frozenset(vars(torch.nn.Module()))
"""The attributes that ``torch.nn.Module`` itself defines, including its containers of submodules and parameters."""
_SWEEP = 1_000
"""Number of names that triggers removing the names of dead tensors."""


class _Binding(Struct, frozen=True, gc=False):
    """The name that an assignment bound to a tensor, and the line of the assignment."""

    tensor: WeakTensor
    name: str
    line: int


class Names:
    """The names of tensors and modules: from assignments, or else by searching the program's variables."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._bound: dict[int, _Binding] = {}
        self._transient: dict[int, _Binding] = {}
        self._found: dict[int, tuple[WeakTensor, str]] = {}
        self._lines: dict[str, int] = {}
        self._detached: list[WeakTensor] = []
        self._made: dict[int, tuple[WeakTensor, LineContext]] = {}
        self._of_modules: dict[int, _Binding] = {}
        """The parameters and buffers of modules that were bound to a name, each with its path and line at that time."""
        self._modules: dict[str, WeakTensor] = {}
        """The module that each name was last bound to."""
        self._classes: dict[str, WeakTensor] = {}
        """For each name after a class, the module's first parameter or buffer, or the module itself if it has neither."""
        self._numbers: dict[str, int] = {}
        """For each class, the number in the name that was given last."""
        self._sweep_at = _SWEEP

    def bind(self, name: str, value: Tensor, line: int, *, transient: bool = False) -> None:
        """Record that an assignment bound a name to a tensor; ``transient`` is true for a loop variable."""
        key = id(value)
        names = self._transient if transient else self._bound
        entry = names.get(key)
        if entry is None or entry.tensor() is not value:
            names[key] = _Binding(weak(value), name, line)
            if len(names) > self._sweep_at:
                self._sweep()
        elif entry.name != name and not self._still(entry.name, value):
            names[key] = replace(entry, name=name)
        self._lines[name] = line

    def bind_module(self, name: str, module: torch.nn.Module, line: int) -> None:
        """Record that an assignment bound a name to a module. Its parts keep their paths while no variable leads to them."""
        self._lines[name] = line
        self._move_on(name, module)
        for path, part in parts(name, module):
            if isinstance(part, Tensor):
                entry = self._of_modules.get(id(part))
                if entry is None or entry.tensor.get() is not part:
                    self._of_modules[id(part)] = _Binding(weak(part), path, line)
        if len(self._of_modules) > self._sweep_at:
            self._sweep()

    def _move_on(self, name: str, module: torch.nn.Module) -> None:
        """Use another name for the old module of ``name``, if it has one, because ``name`` is about to name a new module."""
        reference = self._modules.get(name)
        before = reference.get() if reference is not None else None
        self._modules[name] = weak(module)
        if before is None or before is module:
            return
        other = next((each for each, bound in self._modules.items() if bound.get() is before), None)
        for path, part in parts(other, before) if other is not None else ():
            entry = self._of_modules.get(id(part))
            if entry is not None and entry.tensor.get() is part and entry.name.startswith(f"{name}."):
                self._of_modules[id(part)] = replace(entry, name=path)

    def made(self, leaf: Tensor, here: LineContext) -> None:
        """Record the line that made a leaf, which may never get a name."""
        known = self._made.get(id(leaf))
        if known is None or known[0].get() is not leaf:
            self._made[id(leaf)] = weak(leaf), here
            if len(self._made) > self._sweep_at:
                self._sweep()

    def _sweep(self) -> None:
        """Remove dead tensors. Weak references have no callbacks, because a loop binds a new tensor in each iteration."""
        self._bound = {key: entry for key, entry in self._bound.items() if entry.tensor.get() is not None}
        self._transient = {key: entry for key, entry in self._transient.items() if entry.tensor.get() is not None}
        self._of_modules = {key: entry for key, entry in self._of_modules.items() if entry.tensor.get() is not None}
        self._made = {key: entry for key, entry in self._made.items() if entry[0].get() is not None}
        self._sweep_at = 2 * max(len(self._bound), len(self._transient), len(self._made), len(self._of_modules), _SWEEP)

    def binding(self, value: Tensor) -> tuple[str | None, int]:
        """Return the name of a tensor, and the line of the assignment that first bound the tensor.

        Without such an assignment, search the variables, and return the line that bound the variable. If no variable leads to
        the tensor, return its earlier name, or ``None`` and the line that made the tensor (-1 if unknown). A wrapper that a
        transform made has the name of the tensor that it wraps.
        """
        while torch._C._functorch.is_functorch_wrapped_tensor(value):
            value = torch._C._functorch.get_unwrapped(value)
        entry = self._bound.get(id(value))
        if entry is not None and entry.tensor.get() is value:
            return entry.name, entry.line
        name = self._name(value)
        if name is not None:
            entry = self._of_modules.get(id(value))
            if entry is not None and entry.name == name and entry.tensor.get() is value:
                return name, entry.line  # the line of that module: another module may have the name now
            return name, self._lines.get(name.split(".")[0].split("[")[0], self._line_made(value))
        for names in (self._of_modules, self._transient):
            entry = names.get(id(value))
            if entry is not None and entry.tensor.get() is value:
                return entry.name, entry.line
        return None, self._line_made(value)

    def _line_made(self, value: Tensor) -> int:
        made = self._made_at(value)
        return made.line if made is not None else -1

    def origin(self, value: Tensor) -> wire.OriginRow | None:
        """Return the line in a module of the user's own that made a leaf."""
        made = self._made_at(value)
        return made.origin if made is not None else None

    def _made_at(self, value: Tensor) -> LineContext | None:
        made = self._made.get(id(value))
        return made[1] if made is not None and made[0].get() is value else None

    def detach(self, value: Tensor) -> None:
        """Record that a tensor is the result of ``detach``."""
        self._detached = [reference for reference in self._detached[-ITEMS:] if reference.get() is not None]
        self._detached.append(weak(value))

    def is_detached(self, value: Tensor) -> bool:
        """Return whether a tensor is the result of ``detach``."""
        return any(reference.get() is value for reference in self._detached)

    def module(self, module: torch.nn.Module) -> str:
        """Return the path of a module, such as ``model.layers.0``, or ``""`` if no variable leads to it."""
        return self._name(module) or ""

    def name_after_class(self, module: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
        """Name a module to which no variable leads after its class, such as ``Model()``.

        Return the module and the modules inside it with their paths, without those to which a variable leads. The name is
        used again once the parameters of the module are gone, so that a module that each step makes anew keeps its name.
        """
        name = self._free_name(f"{type(module).__name__}()")
        found = list(parts(name, module))
        tensors = [(path, part) for path, part in found if isinstance(part, Tensor)]
        self._classes[name] = weak(tensors[0][1] if tensors else module)
        for path, part in tensors:
            entry = self._of_modules.get(id(part))
            if entry is None or entry.tensor.get() is not part:
                self._of_modules[id(part)] = _Binding(weak(part), path, self._line_made(part))
        if len(self._of_modules) > self._sweep_at:
            self._sweep()
        modules = [(path, part) for path, part in found if isinstance(part, torch.nn.Module)]
        return [(path, part) for path, part in modules if self._name(part) is None]

    def _free_name(self, kind: str) -> str:
        """Return ``kind``, or ``kind`` with a number if that name is taken."""
        number = 1
        while (taken := self._classes.get(name := f"{kind}_{number}" if number > 1 else kind)) and taken.get() is not None:
            number = max(number, self._numbers[kind]) + 1
        self._numbers[kind] = number
        return name

    def refresh(self, scopes: Iterable[Mapping[str, Any]] = ()) -> None:
        """Search the variables again; ``scopes`` are local ones, innermost first.

        The program's global variables take precedence, since each function may use another name for the same tensor.
        """
        self._found.clear()
        for scope in (self._namespace, *scopes):
            for name, value in list(scope.items()):
                if not name.startswith("__"):
                    for path, found in _members(name, value):
                        if id(found) not in self._found:
                            self._found[id(found)] = (weak(found), path)

    def _name(self, value: Any) -> str | None:
        entry = self._found.get(id(value))
        return entry[1] if entry is not None and entry[0].get() is value else None

    def _still(self, name: str, value: Tensor) -> bool:
        return self._namespace.get(name) is value


def _members(name: str, value: Any, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """Yield the tensors and modules that a variable leads to, with their paths, through at most ``depth`` containers."""
    kind = type(value)  # ``__class__`` may be overridden by the program's code
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
    """Yield a module with its submodules, parameters and buffers, without calling the program's own listing methods."""
    modules: dict[int, tuple[str, torch.nn.Module]] = {}
    waiting = [(name, module)]
    while waiting:
        path, inner = waiting.pop()
        if id(inner) not in modules:
            modules[id(inner)] = (path, inner)
            children = [(f"{path}.{key}", child) for key, child in _parts_of(inner, "_modules") if child is not None]
            waiting += reversed(children)
    yield from modules.values()
    for path, inner in modules.values():
        yield from ((f"{path}.{key}", parameter) for key, parameter in _parts_of(inner, "_parameters") if parameter is not None)
    for path, inner in modules.values():
        yield from ((f"{path}.{key}", buffer) for key, buffer in _parts_of(inner, "_buffers") if buffer is not None)


def _parts_of(module: torch.nn.Module, kind: str) -> Iterable[tuple[str, Any]]:
    """Return the submodules, parameters or buffers of a module; empty while its ``__init__`` has not run."""
    scripted = isinstance(module, torch.jit.ScriptModule)  # a scripted module stores its parts elsewhere
    items: dict[str, Any] = getattr(module, kind) if scripted else vars(module).get(kind, {})
    return items.items()


def _items(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the items of a list, a dict or an object of the program, without running the program's code."""
    kind = type(value)
    if kind is list or kind is tuple:
        for index, item in enumerate(value[:ITEMS]):
            yield f"{name}[{index}]", item
    elif kind is dict:
        for key, item in islice(value.items(), ITEMS):
            if type(key) is str or type(key) is int:
                yield f"{name}[{key!r}]", item
    elif type.__getattribute__(kind, "__module__") == "__main__":
        for key, item in islice(dict_of(value).items(), ITEMS):
            if key not in _OF_MODULES:
                yield f"{name}.{key}", item
