"""Read the old form of signals, in which one struct stored every signal with its details in a dictionary."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from .. import wire

_KINDS: Final[dict[str, type[wire.Signal]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(wire.AnySignal)}
_RENAMED: Final = {"error": "type", "pass_": "pass"}
"""Old keys of the fields that were renamed."""


class OldSignal(wire.Event, tag="signal", frozen=True):
    """The old form of a signal: its code, the fields common to most signals, and a dictionary of the other fields."""

    code: str
    file: str | None = None
    line: int = -1
    step: int = -1
    node: int = -1
    parameter: int = -1
    detail: dict[str, Any] = msgspec.field(default_factory=dict)


def upgrade(old: OldSignal) -> wire.AnySignal | None:
    """Return an old signal in its current form, or ``None`` if its code or one of its details is invalid.

    >>> upgrade(OldSignal("leaf-rebound", None, 9, 0, -1, 1, {"name": "m", "grad_fn": "SubBackward0"}))
    LeafRebound(line=9, step=0, parameter=1, name='m', grad_fn='SubBackward0')
    >>> upgrade(OldSignal("broadcast", None, 7, 0, detail={"shapes": "4,1 4"}))
    Broadcast(line=7, step=0, shapes=([4, 1], [4]))
    >>> upgrade(OldSignal("broadcast", None, 7, 0, detail={"shapes": "four"}))
    """
    kind = _KINDS.get(old.code)
    if kind is None:
        return None
    try:
        values = {"line": old.line, "step": old.step, "node": old.node, "parameter": old.parameter, **old.detail}
        if kind is wire.Broadcast:
            values["shapes"] = [[int(size) for size in shape.split(",") if size] for shape in values["shapes"].split(" ")]
        fields = [values[_RENAMED.get(name, name)] for name in kind.__struct_fields__]
        signal: wire.AnySignal = msgspec.convert([old.code, *fields], kind)  # type: ignore[assignment]
        return signal
    except (KeyError, ValueError, AttributeError, msgspec.ValidationError):
        return None
