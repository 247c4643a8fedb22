"""Give each module that runs a name: its path in the program, such as ``model.layers.0``."""

from __future__ import annotations

import weakref

import torch

from ..emitter import Emitter
from ..source.names import Names
from ..source.scopes import Scopes
from .mode import ForwardMode


class ModulePaths:
    """The paths of modules, each looked up when the module runs for the first time."""

    def __init__(self, names: Names, scopes: Scopes, mode: ForwardMode, emitter: Emitter) -> None:
        self._names = names
        self._scopes = scopes
        self._mode = mode
        self._emitter = emitter
        self._paths: dict[int, tuple[weakref.ref[torch.nn.Module], str]] = {}

    def path(self, module: torch.nn.Module) -> str:
        """Return the path of a module that is about to run, or a name after its class if no variable leads to the module."""
        cached = self._paths.get(id(module))
        path = cached[1] if cached is not None and cached[0]() is module else None
        if path is None:
            try:
                path = self._names.module(module)
                # not while tracing, since torch.jit.trace would record the tensors that the search reads
                if not path and not self._mode.modules and torch._C._get_tracing_state() is None:
                    self._names.refresh(self._scopes.local())
                    path = self._names.module(module)
                    if not path:
                        for inner_path, inner in self._names.name_after_class(module):
                            self._paths[id(inner)] = (weakref.ref(inner), inner_path)
                        path = self._paths[id(module)][1]
            except Exception as error:
                self._emitter.failed(error)
                return ""
            self._paths[id(module)] = (weakref.ref(module), path)
        return path
