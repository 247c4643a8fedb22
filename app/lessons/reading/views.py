"""Read the view that a paragraph requests: ``{view="fit step=0 phase=backward focus=loss,'m * x'"}``."""

from __future__ import annotations

import re
from typing import Any, Final, get_args

from ... import model
from ..document import Pane, StageView

_PART: Final = re.compile(r"""\s*(?:([a-z]+)=)?((?:'[^']*'|"[^"]*"|[^\s'"])+)""")
_ITEM: Final = re.compile(r"""'([^']*)'|"([^"]*)"|([^,'"]+)""")
_KEYS: Final = ("step", "phase", "line", "ran", "focus", "select", "pane", "with")


def read(text: str, line: int) -> StageView:
    """Return a view. Raises :class:`ValueError` with a message for a person.

    >>> view = read("fit step=0 phase=backward focus=loss,'m * x'", 1)
    >>> view.recording, view.step, view.phase, view.focus
    ('fit', 0, 'backward', ['loss', 'm * x'])
    >>> read("fit phase=backward ran=2", 1).ran
    2
    """
    recording, found = "", dict[str, Any]()
    at = 0
    while at < len(text.rstrip()):
        part = _PART.match(text, at)
        if part is None:
            raise ValueError(f"The view cannot be read at {text[at:][:30]!r}: write `fit step=0 phase=backward focus=loss`.")
        at = part.end()
        key, value = part[1], part[2]
        if key is None:
            if recording:
                raise ValueError(
                    f"The view names two recordings, {recording!r} and {value!r}: lay the second over it with `with=`."
                )
            recording = value
        elif key not in _KEYS:
            raise ValueError(f"A view has no `{key}`: it has {', '.join(_KEYS)}.")
        else:
            found[key] = value
    if not recording:
        raise ValueError("A view begins with the name of a recording: `fit phase=backward`.")
    return StageView(
        recording=recording,
        step=_whole(found, "step"),
        phase=_one_of(found, "phase", model.PHASES),
        playhead=_whole(found, "line"),
        focus=_items(found.get("focus", "")),
        select=next(iter(_items(found.get("select", ""))), None),
        panes=[_one_of({"pane": each}, "pane", get_args(Pane)) for each in _items(found.get("pane", ""))],
        laid_over=found.get("with"),
        line=line,
        ran=_whole(found, "ran"),
    )


def _items(text: str) -> list[str]:
    return [one or two or bare for one, two, bare in _ITEM.findall(text)]


def _whole(found: dict[str, Any], key: str) -> int | None:
    if key not in found:
        return None
    try:
        return int(found[key])
    except ValueError:
        raise ValueError(f"`{key}={found[key]}` of the view is not a whole number.") from None


def _one_of(found: dict[str, Any], key: str, known: tuple[str, ...]) -> Any:
    if key in found and found[key] not in known:
        raise ValueError(f"`{key}={found[key]}` of the view is not known: use {', '.join(known)}.")
    return found.get(key)
