"""Read the tensors that nodes have saved, without calling the hooks that a program may have put on them.

Under ``saved_tensors_hooks`` (``save_on_cpu``, or a non-reentrant checkpoint) the program's own code unpacks a saved tensor.
Reading such a tensor would run this code an additional time, so the tensor is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Slot = tuple[str, str, int]
"""The names of a node's raw and readable attribute for a saved tensor, and its index if they are lists (else -1)."""

_ATTRIBUTES: dict[type, Sequence[tuple[str, str]]] = {}
_SLOTS: dict[type, Sequence[Slot]] = {}
"""The slots by node type, only for types that save no list of tensors. All nodes of such a type have the same slots."""
_AUTOGRAD: Any = torch._C._autograd
_RAW = "_raw_saved_"
SCRATCH = {"MkldnnRnnLayerBackward0": ("_raw_saved_result3",)}
"""Saved tensors that are a kernel's working memory, whose content is arbitrary."""


class SavedTensors:
    """Reads saved tensors. Its ``with`` block detects whether the program adds hooks to saved tensors.

    Until the program adds a hook, tensors are not checked for hooks.
    """

    def __init__(self) -> None:
        self.hooked = False
        """True once any saved tensor may have hooks."""
        self.unread = False
        """True once a tensor was not read because of its hooks."""

    def __enter__(self) -> SavedTensors:
        self._push = _AUTOGRAD._push_saved_tensors_default_hooks
        self._register = _AUTOGRAD.SavedTensor.register_hooks

        def push(*hooks: Any) -> Any:
            self.hooked = True
            return self._push(*hooks)

        def register(saved: Any, *hooks: Any) -> Any:
            self.hooked = True
            return self._register(saved, *hooks)

        _AUTOGRAD._push_saved_tensors_default_hooks = push
        _AUTOGRAD.SavedTensor.register_hooks = register
        return self

    def __exit__(self, *_: object) -> None:
        _AUTOGRAD._push_saved_tensors_default_hooks = self._push
        _AUTOGRAD.SavedTensor.register_hooks = self._register

    def slots_of(self, nodes: Sequence[Any], kinds: Sequence[type]) -> list[Sequence[Slot]]:
        """Return for each node the slots of its saved tensors. ``kinds`` are the types of the nodes."""
        found = list(map(_SLOTS.get, kinds))
        return [self._slots(node) if slots is None else slots for node, slots in zip(nodes, found, strict=True)]

    def _slots(self, node: Any) -> Sequence[Slot]:
        kind = type(node)
        cached = _SLOTS.get(kind)
        if cached is not None:
            return cached
        slots: list[Slot] = []
        cacheable = True
        for raw, name in _attributes(kind):
            try:
                saved = getattr(node, raw)
            except (RuntimeError, AttributeError):
                saved, cacheable = None, False  # another node of this type may have a tensor or a list here
            if isinstance(saved, tuple | list):
                cacheable = False
                slots += [(raw, name, index) for index in range(len(saved))]
            else:
                slots.append((raw, name, -1))
        if cacheable:
            _SLOTS[kind] = slots
        return slots

    def read(self, node: Any, slot: Slot) -> Tensor | None:
        """Return a saved tensor; ``None`` if it has hooks, was freed by a backward, or was changed by an in-place write."""
        raw, name, index = slot
        try:
            if self.hooked:
                saved = getattr(node, raw)
                saved = saved[index] if index >= 0 else saved
                if getattr(saved, "unpack_hook", saved) is not None:
                    self.unread = True
                    return None
            found = getattr(node, name)
            found = found[index] if index >= 0 else found
        except (RuntimeError, AttributeError, IndexError):
            return None
        return found if isinstance(found, Tensor) else None


def _attributes(kind: type) -> Sequence[tuple[str, str]]:
    """Return the names of the raw and the readable attribute for each saved tensor of a node type."""
    cached = _ATTRIBUTES.get(kind)
    if cached is None:
        scratch = SCRATCH.get(kind.__name__, ())
        found = [name for name in dir(kind) if name.startswith(_RAW) and name not in scratch]
        # a custom function has a list of saved tensors under a public name
        cached = _ATTRIBUTES[kind] = [(raw, raw[4:] if hasattr(kind, raw[4:]) else raw[5:]) for raw in found]
    return cached


def slot_name(slot: Slot) -> str:
    """Return the name of a saved tensor, such as ``self`` or ``tensors[1]``."""
    raw, _, index = slot
    name = raw.removeprefix(_RAW)
    return name if index < 0 else f"{name}[{index}]"
