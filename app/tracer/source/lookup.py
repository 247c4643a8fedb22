"""Look at what an attribute or an item holds, and what else does, without running any of the program's code."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import Module, Parameter

from .targets import Access, AssignmentTarget

_LONGEST = 300
"""Characters of a name."""
ITEMS = 1_000
"""Members of one container that are looked at."""
_MISSING: Any = object()
_classes: Any = vars(type)["__mro__"].__get__  # a metaclass of the program's may answer for itself
_namespace: Any = vars(type)["__dict__"].__get__
_READS = frozenset(vars(kind)["__getattribute__"] for kind in (object, type, ModuleType, SimpleNamespace))
_WRITES = frozenset(vars(kind)["__setattr__"] for kind in (object, type, Module, SimpleNamespace))
_LOOKS = vars(Module)["__getattr__"]
_PARTS = ("_parameters", "_buffers", "_modules")
_DICTS = frozenset({dict, OrderedDict, defaultdict})
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)
_PLAIN = frozenset({Tensor, Parameter, bool, int, float, complex, str, bytes, type(None)})
_CONTAINERS: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (list, list.__iter__),
    (tuple, tuple.__iter__),
    (dict, dict.values),
    (set, set.__iter__),
    (frozenset, frozenset.__iter__),
    (deque, deque.__iter__),
)
"""Kinds of containers, with what gives their members whatever a class of the program's makes of them."""
_PASSED_OVER = (Tensor, ModuleType, FunctionType, BuiltinFunctionType)


class TargetValue(NamedTuple):
    """What a target holds, with the indices and keys that its variables hold, and the object that it is part of."""

    target: AssignmentTarget
    holder: Any
    value: Any

    @property
    def name(self) -> str:
        """What a person would call the target."""
        return str(self.target)[:_LONGEST]


def look_up(target: AssignmentTarget, value: Any, variable: Callable[[str], Any]) -> TargetValue | None:
    """What a target holds that is about to be given a value; ``None`` where only the program's own code knows."""
    holder, held = None, variable(target.variable)
    accesses = target.accesses
    for place, (kind, key) in enumerate(accesses):
        holder = held
        if kind == "variable":
            key = variable(str(key))
            accesses = (*accesses[:place], Access("item", key), *accesses[place + 1 :])
        if kind != "attribute":
            held = _item(holder, key)
        elif place < len(accesses) - 1:
            held = _attribute(holder, str(key))
        else:
            held = _replaced(holder, str(key), value)
        if held is _MISSING:
            return None
    return TargetValue(AssignmentTarget(target.variable, accesses), holder, held)


def _item(holder: Any, key: Any) -> Any:
    if type(holder) is list:
        return holder[key] if type(key) is int and -len(holder) <= key < len(holder) else _MISSING
    return dict.get(holder, key, _MISSING) if type(holder) in _DICTS and type(key) in (int, str) else _MISSING


def _attribute(holder: Any, name: str) -> Any:
    """What an attribute is read as."""
    kind = type(holder)
    if _of_class(kind, "__getattribute__") not in _READS:
        return _MISSING
    looks = issubclass(kind, Module) and _of_class(kind, "__getattr__") is _LOOKS
    return _own(holder, kind, name, _PARTS if looks else ())


def _replaced(holder: Any, name: str, value: Any) -> Any:
    """What an attribute holds that is replaced if a value is assigned to it."""
    kind = type(holder)
    if _of_class(kind, "__setattr__") not in _WRITES:
        return _MISSING
    if not issubclass(kind, Module):
        return _own(holder, kind, name)
    # a module takes nothing but another parameter in a parameter's place
    return _own(holder, kind, name, ("_parameters", "_buffers") if isinstance(value, Parameter) else ("_buffers",))


def _own(holder: Any, kind: type, name: str, parts: tuple[str, ...] = ()) -> Any:
    """What an object itself holds under a name: in a slot, in its dict, or in dicts that are parts of that."""
    of_class = _of_class(kind, name)
    if type(of_class) is MemberDescriptorType:
        return _in_slot(of_class, holder)
    if of_class is not _MISSING and _of_class(type(of_class), "__set__") is not _MISSING:
        return _MISSING
    own = dict_of(holder)
    found = own.get(name, _MISSING)
    for part in parts:
        if found is _MISSING and type(inner := own.get(part)) is dict:
            found = inner.get(name, _MISSING)
    return found


def dict_of(holder: Any) -> Mapping[str, Any]:
    """The dict of an object; an empty one where it has none, or one that the program's own code makes."""
    kind = type(holder)
    descriptor = _of_class(kind, "__dict__")
    held = descriptor.__get__(holder, kind) if type(descriptor) in _DESCRIPTORS else None
    return held if type(held) is dict or type(held) is MappingProxyType else {}


def _of_class(kind: type, name: str) -> Any:
    """What the classes of an object hold under a name."""
    for each in _classes(kind):
        found = _namespace(each).get(name, _MISSING)
        if found is not _MISSING:
            return found
    return _MISSING


def is_reachable(value: Tensor, holder: Any, variables: Iterable[tuple[Any, bool]]) -> bool:
    """Whether a variable leads to a tensor by another way than through what ``holder`` holds.

    ``variables`` are values, each with whether the variable is but a passing name for it.
    """
    waiting: deque[tuple[Any, int]] = deque()
    for found, passing in variables:
        if found is value and not passing:
            return True
        waiting.append((found, 2))
    seen: set[int] = set()
    while waiting:
        container, depth = waiting.popleft()
        if type(container) in _PLAIN or id(container) in seen:
            continue
        seen.add(id(container))
        count = 0
        for item in _inside(container):
            if item is value:
                count += 1
            elif depth and type(item) not in _PLAIN:
                waiting.append((item, depth if issubclass(type(item), Module) else depth - 1))
        if count > (container is holder):
            return True
    return False


def _inside(container: Any) -> list[Any]:
    """What a container or an object holds."""
    kind = type(container)
    for each, members in _CONTAINERS:
        if issubclass(kind, each):
            return list(islice(members(container), ITEMS))
    if issubclass(kind, _PASSED_OVER) or (kind is type and _namespace(container).get("__module__") != "__main__"):
        return []
    own = dict_of(container)
    parts = _PARTS if issubclass(kind, Module) else ()
    found = [item for name, item in islice(own.items(), ITEMS) if name not in parts]
    for part in parts:
        found += own.get(part, {}).values()
    for each in _classes(kind):
        if "__slots__" in _namespace(each):
            slots = (slot for slot in _namespace(each).values() if type(slot) is MemberDescriptorType)
            found += [item for slot in slots if (item := _in_slot(slot, container)) is not _MISSING]
    return found


def _in_slot(slot: MemberDescriptorType, holder: Any) -> Any:
    try:
        return slot.__get__(holder, type(holder))
    except AttributeError:
        return _MISSING
