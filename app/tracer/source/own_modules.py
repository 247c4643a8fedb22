"""Locate lines in the modules that are the user's own: those next to the script, or in a folder of ``PYTHONPATH``.

The calls that such a module makes belong to the line of the program that called the module. Their *origin* is the line of the
module. The calls of a library have no origin.
"""

from __future__ import annotations

import linecache
import os
import threading
from collections.abc import Callable, Sequence
from types import CodeType, FrameType

import torch

from ... import wire
from .. import FOLDER
from .tracebacks import Location

_LIBRARIES = tuple(os.path.join(os.path.dirname(each), "") for each in (FOLDER, torch.__file__, os.__file__))
"""Folders with code that is not the user's own, even inside a folder from which the user's modules are imported."""
_PACKAGES = frozenset({"site-packages", "dist-packages"})


def own_folders(job: wire.Job) -> list[str]:
    """Return the folders from which a program imports modules of the user's own; none for a confined program."""
    if job.confined:
        return []
    first = os.getcwd() if job.path is None or job.module is not None else os.path.dirname(os.path.realpath(job.path))
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return list(dict.fromkeys([first, *(os.path.abspath(folder) for folder in others if folder)]))


class OwnModules:
    """The files of the user's own modules. An instance is true if there may be any such files.

    ``emit`` is called with each file when it first makes a call into PyTorch, and ``read`` with its text.
    """

    def __init__(
        self,
        folders: Sequence[str] = (),
        emit: Callable[[wire.ModuleFileEvent], None] = lambda event: None,
        read: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folders = [os.path.join(folder, "") for folder in folders]
        self._emit = emit
        self._read = read
        self._indexes: dict[str, int] = {}
        """The index of each file from which code has run, by the file's name; -1 for code that is not the user's own."""
        self._origins: dict[tuple[int, int], tuple[CodeType, wire.OriginRow | None]] = {}
        """The origin of each location, by the id of its code object, which is kept alive."""
        self._count = 0
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._folders)

    def has(self, code: CodeType) -> bool:
        """Return whether a code object is part of a module of the user's own."""
        index = self._indexes.get(code.co_filename)
        return (self._register(code.co_filename) if index is None else index) >= 0

    def origin(self, location: Location | None) -> wire.OriginRow | None:
        """Return the file and line of a location; ``None`` for a location outside the user's own modules."""
        if location is None:
            return None
        code, offset = location
        found = self._origins.get((id(code), offset))
        if found is None:
            found = self._origins[id(code), offset] = code, self._find(code, offset)
        return found[1]

    def _find(self, code: CodeType, offset: int) -> wire.OriginRow | None:
        if not self.has(code):
            return None
        positions = list(code.co_positions())
        line = positions[offset // 2][0] if offset // 2 < len(positions) else None
        return wire.OriginRow(self._indexes[code.co_filename], line) if line else None

    def location(self, frame: FrameType | None, filename: str) -> Location | None:
        """Return the innermost location in the user's own modules that the program, in ``filename``, has called."""
        while self._folders and frame is not None and frame.f_code.co_filename != filename:
            if self.has(frame.f_code):
                return frame.f_code, frame.f_lasti
            frame = frame.f_back
        return None

    def _register(self, file: str) -> int:
        with self._lock:
            if file in self._indexes:
                return self._indexes[file]
            path = self._path(file) if self._count < wire.MODULE_FILES else None
            index = -1
            if path is not None:
                index = self._count
                self._count += 1
                self._emit(wire.ModuleFileEvent(index, path))
                self._read("".join(linecache.getlines(file)))
            self._indexes[file] = index
            return index

    def _path(self, file: str) -> str | None:
        """Return the path of a file relative to the folder that it is imported from; ``None`` if it is not the user's own."""
        if file.startswith("<") or file.startswith(_LIBRARIES):
            return None
        folder = next((folder for folder in self._folders if file.startswith(folder)), None)
        if folder is None:
            return None
        path = file[len(folder) :].replace(os.sep, "/")
        parts = path.split("/")
        if not (_PACKAGES.isdisjoint(parts) and {"", ".."}.isdisjoint(parts) and path.isprintable()):
            return None
        return path if len(path) <= wire.NAME_LENGTH else None
