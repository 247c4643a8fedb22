"""Read the settings from the environment, once, into a frozen value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, get_type_hints

import platformdirs
from msgspec import Struct, convert, field
from msgspec import ValidationError as MsgspecError

from .model import Limits

PREFIX = "TAPEDECK_"


class Settings(Struct, frozen=True):
    """How this instance runs; each field can be set by ``TAPEDECK_<FIELD>`` in the environment.

    ``limits`` are set by ``TAPEDECK_LIMIT_<FIELD>``.
    """

    data: str = field(default_factory=lambda: platformdirs.user_data_dir("tapedeck"))
    """Folder of the store; the address ``:memory:`` keeps nothing beyond the process."""
    secret: str = ""
    """Signs the owner's cookie. Empty: one is made and kept in the data folder."""
    root_path: str = ""
    """The path under which a proxy serves us."""
    dot: str = ""
    """Path of a Graphviz ``dot`` to use instead of the one from the wheel."""
    children: int = 0
    """Idle confined children kept ready; 0 means two for each core."""
    concurrent: int = 0
    """Runs that execute at once; 0 means one for each core."""
    queue: int = 64
    """Runs that may wait for a place before new ones are answered 503."""
    keep_days: float = 30.0
    """Days until a finished run is deleted; 0 keeps it for ever."""
    unconfined: bool = False
    """Run programs without a sandbox: for one's own code, on a loopback address only."""
    limits: Limits = Limits()


class SettingsError(ValueError):
    """A variable of the environment has a value that cannot be used."""


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    >>> read({"TAPEDECK_CHILDREN": "3", "TAPEDECK_LIMIT_WALL_SECONDS": "5"}).limits.wall_seconds
    5.0

    Raises :class:`SettingsError`, naming the variable.
    """
    limits = _fields(Limits, f"{PREFIX}LIMIT_", environment)
    fields = _fields(Settings, PREFIX, environment, skip={"limits"})
    return Settings(**fields, limits=Limits(**limits))


def _fields(kind: type[Struct], prefix: str, environment: Mapping[str, str], skip: set[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, annotation in zip(kind.__struct_fields__, _types(kind), strict=True):
        text = environment.get(prefix + name.upper())
        if text is None or (skip and name in skip):
            continue
        try:
            found[name] = convert(text, annotation, strict=False)
        except MsgspecError as error:
            raise SettingsError(f"{prefix}{name.upper()}={text!r}: {error}") from error
    return found


def _types(kind: type[Struct]) -> list[type]:
    hints = get_type_hints(kind)
    return [hints[name] for name in kind.__struct_fields__]
