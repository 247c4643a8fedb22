"""Look up attributes and items without running any of the program's code."""

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
"""Maximum number of characters of a name."""
ITEMS = 1_000
"""Maximum number of members of a container that are inspected."""
_MISSING: Any = object()
_classes: Any = vars(type)["__mro__"].__get__  # a metaclass of the program may override __mro__
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
"""Container types, each with a function that iterates over its members even if a subclass overrides ``__iter__``."""
_PASSED_OVER = (Tensor, ModuleType, FunctionType, BuiltinFunctionType)


class TargetValue(NamedTuple):
    """The value of an assignment target, with its indices and keys resolved, and the object that contains it."""

    target: AssignmentTarget
    holder: Any
    value: Any

    @property
    def name(self) -> str:
        """The target in Python syntax, such as ``params[0]``."""
        return str(self.target)[:_LONGEST]


def look_up(target: AssignmentTarget, value: Any, variable: Callable[[str], Any]) -> TargetValue | None:
    """Return the current value of a target, to which ``value`` is about to be assigned.

    Returns ``None`` if the current value cannot be read without running the program's code.
    """
    holder, current = None, variable(target.variable)
    accesses = target.accesses
    for index, (kind, key) in enumerate(accesses):
        holder = current
        if kind == "variable":
            key = variable(str(key))
            accesses = (*accesses[:index], Access("item", key), *accesses[index + 1 :])
        if kind != "attribute":
            current = _item(holder, key)
        elif index < len(accesses) - 1:
            current = _attribute(holder, str(key))
        else:
            current = _replaced(holder, str(key), value)
        if current is _MISSING:
            return None
    return TargetValue(AssignmentTarget(target.variable, accesses), holder, current)


def _item(holder: Any, key: Any) -> Any:
    if type(holder) is list:
        return holder[key] if type(key) is int and -len(holder) <= key < len(holder) else _MISSING
    return dict.get(holder, key, _MISSING) if type(holder) in _DICTS and type(key) in (int, str) else _MISSING


def _attribute(holder: Any, name: str) -> Any:
    """Return the value of an attribute as the program would read it."""
    kind = type(holder)
    if _of_class(kind, "__getattribute__") not in _READS:
        return _MISSING
    looks = issubclass(kind, Module) and _of_class(kind, "__getattr__") is _LOOKS
    return _own(holder, kind, name, _PARTS if looks else ())


def _replaced(holder: Any, name: str, value: Any) -> Any:
    """Return the value of an attribute that assigning ``value`` would replace."""
    kind = type(holder)
    if _of_class(kind, "__setattr__") not in _WRITES:
        return _MISSING
    if not issubclass(kind, Module):
        return _own(holder, kind, name)
    # a module's parameter can only be replaced by another parameter
    return _own(holder, kind, name, ("_parameters", "_buffers") if isinstance(value, Parameter) else ("_buffers",))


def _own(holder: Any, kind: type, name: str, parts: tuple[str, ...] = ()) -> Any:
    """Return the value that an object stores under a name: in a slot, in its dict, or in a dict named by ``parts``."""
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
    """Return the dict of an object; empty if it has none, or if the program's own code creates it."""
    kind = type(holder)
    descriptor = _of_class(kind, "__dict__")
    own = descriptor.__get__(holder, kind) if type(descriptor) in _DESCRIPTORS else None
    return own if type(own) is dict or type(own) is MappingProxyType else {}


def _of_class(kind: type, name: str) -> Any:
    """Return the value that an object's classes define under a name."""
    for each in _classes(kind):
        found = _namespace(each).get(name, _MISSING)
        if found is not _MISSING:
            return found
    return _MISSING


def is_reachable(value: Tensor, holder: Any, variables: Iterable[tuple[Any, bool]]) -> bool:
    """Return whether a tensor is reachable from a variable. One reference in ``holder``, the one to be replaced, is ignored.

    ``variables`` are pairs: the value of a variable, and true if the name of the variable is transient.
    """
    waiting: deque[tuple[Any, int]] = deque()
    for found, transient in variables:
        if found is value and not transient:
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
    """Return the members of a container or an object."""
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
