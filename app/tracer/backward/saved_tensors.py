"""Read the tensors that nodes have saved, without calling the hooks that a program may have put on them.

Under ``saved_tensors_hooks`` (``save_on_cpu``, a checkpoint that is not reentrant) a saved tensor is whatever the program's
own code unpacks: to read one would run that code once more than the program does. Such a tensor is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Slot = tuple[str, str, int]
"""Where a saved tensor is: the attributes that have it raw and read, and the place in them where they are lists (else -1)."""

_ATTRIBUTES: dict[type, Sequence[tuple[str, str]]] = {}
_SLOTS: dict[type, Sequence[Slot]] = {}
"""Of the kinds of nodes that save no lists of tensors: these are the same for each."""
_AUTOGRAD: Any = torch._C._autograd
_RAW = "_raw_saved_"
SCRATCH = {"MkldnnRnnLayerBackward0": ("_raw_saved_result3",)}
"""Saved tensors that are a kernel's working memory: what is left in it is no number of the program's."""


class SavedTensors:
    """Reads saved tensors. ``with`` it, hooks are noticed: until one is put on, no saved tensor has to be asked for its own."""

    def __init__(self) -> None:
        self.hooked = False
        """Whether any saved tensor may have hooks."""
        self.unread = False
        """Whether a tensor was not read because of its hooks."""

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

    def slots(self, node: Any) -> Sequence[Slot]:
        """The places of a node's saved tensors."""
        kind = type(node)
        known = _SLOTS.get(kind)
        if known is not None:
            return known
        slots: list[Slot] = []
        single = True
        for raw, name in _attributes(kind):
            try:
                saved = getattr(node, raw)
            except (RuntimeError, AttributeError):
                saved, single = None, False  # another node may still have it, or a list
            if isinstance(saved, tuple | list):
                single = False
                slots += [(raw, name, place) for place in range(len(saved))]
            else:
                slots.append((raw, name, -1))
        if single:
            _SLOTS[kind] = slots
        return slots

    def read(self, node: Any, slot: Slot) -> Tensor | None:
        """A saved tensor, as long as the node has it: not after a backward that freed it, nor once it was overwritten."""
        raw, name, place = slot
        try:
            if self.hooked:
                saved = getattr(node, raw)
                saved = saved[place] if place >= 0 else saved
                if getattr(saved, "unpack_hook", saved) is not None:
                    self.unread = True
                    return None
            found = getattr(node, name)
            found = found[place] if place >= 0 else found
        except (RuntimeError, AttributeError, IndexError):
            return None
        return found if isinstance(found, Tensor) else None


def _attributes(kind: type) -> Sequence[tuple[str, str]]:
    """The attributes that have the saved tensors of a kind of node, raw and read."""
    known = _ATTRIBUTES.get(kind)
    if known is None:
        scratch = SCRATCH.get(kind.__name__, ())
        found = [name for name in dir(kind) if name.startswith(_RAW) and name not in scratch]
        # a custom function has a list of them under a public name
        known = _ATTRIBUTES[kind] = [(raw, raw[4:] if hasattr(kind, raw[4:]) else raw[5:]) for raw in found]
    return known


def slot_name(slot: Slot) -> str:
    """What a saved tensor is called, as ``self`` or ``tensors[1]``."""
    raw, _, place = slot
    name = raw.removeprefix(_RAW)
    return name if place < 0 else f"{name}[{place}]"
