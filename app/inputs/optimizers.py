"""Check an optimizer and its options against the installed PyTorch, and write them as the arguments of a call."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any, Final

from ..errors import InvalidInput
from ..wire.catalogue import OptimizerCatalogue, OptimizerOption
from .text import short

WORDS: Final = {"line_search_fn": ("strong_wolfe",), "adjust_lr_fn": ("original", "match_rms_adamw")}
"""Accepted texts of options, which signatures don't list. An option that is not here accepts any text."""
LONGEST_TEXT: Final = 100
"""Largest number of characters in a text option, or of numbers in a list."""


def arguments(name: Any, options: Mapping[str, Any], where: str, catalogue: OptimizerCatalogue | None) -> str:
    """Return an optimizer's options as the arguments of a call.

    ``catalogue`` lists the optimizers of the PyTorch that runs the program. Without a catalogue, any Python identifier is
    accepted as a name or as an option. If PyTorch lacks the optimizer or the option, the run fails with PyTorch's own message.

    Raises :class:`InvalidInput`.

    >>> options = {"lr": OptimizerOption("number", 0.001), "betas": OptimizerOption("numbers", (0.9, 0.999))}
    >>> arguments("Adam", {"lr": 0.1, "betas": [0.9, 0.99]}, "optimizer", {"Adam": options})
    'lr=0.1, betas=(0.9, 0.99)'
    """
    if not isinstance(name, str):
        names = f": use one of {', '.join(catalogue)}." if catalogue else ', as in {"name": "SGD", "lr": 0.01}.'
        raise InvalidInput(f"The optimizer has no name{names}", where=f"{where}.name")
    if catalogue is None:
        return _unchecked(name, options, where)
    if name not in catalogue:
        raise InvalidInput(f"Unknown optimizer {short(name)!r}: use one of {', '.join(catalogue)}.", where=f"{where}.name")
    known = catalogue[name]
    for option in options:
        if option not in known:
            raise InvalidInput(
                f"{name} has no option {short(option)!r}: it has {', '.join(known)}.", where=f"{where}.{short(option)}"
            )
    return ", ".join(f"{option}={_checked(known[option], value, option, where)}" for option, value in options.items())


def _checked(described: OptimizerOption, value: Any, option: str, where: str) -> str:
    """Return a value as Python. Raises :class:`InvalidInput` if the option cannot have it."""
    at = f"{where}.{option}"
    default = described.default
    if value is None and default is None and described.kind in ("integer", "number"):
        return "None"
    match described.kind:
        case "flag":
            if isinstance(value, bool):
                return repr(value)
            raise InvalidInput(f"{option} must be true or false.", where=at)
        case "number":
            if _is_number(value):
                return repr(value)
            raise InvalidInput(f"{option} must be a number.", where=at)
        case "integer":
            if _is_number(value) and value == int(value) and abs(value) < 2**31:
                return repr(int(value))
            raise InvalidInput(f"{option} must be a whole number.", where=at)
        case "numbers":
            assert isinstance(default, tuple)
            if isinstance(value, list) and len(value) == len(default) and all(map(_may_be, default, value)):
                return _tuple(value)
            raise InvalidInput(f"{option} must be a list of {len(default)} numbers, such as {list(default)}.", where=at)
        case "text":
            words = WORDS.get(option)
            if (value is None and default is None) or (value in words if words else _is_short_text(value)):
                return repr(value)
            texts = " or ".join(f'"{word}"' for word in words) if words else "a text"
            raise InvalidInput(f"{option} must be {f'null or {texts}' if default is None else texts}.", where=at)


def _unchecked(name: str, options: Mapping[str, Any], where: str) -> str:
    """Return options of unknown kinds as Python. Raises :class:`InvalidInput` for a value that is not a literal."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidInput(f"Unknown optimizer {short(name)!r}: use the name of a class in torch.optim.", where=f"{where}.name")
    written = []
    for option, value in options.items():
        at = f"{where}.{short(option)}"
        if not option.isidentifier() or keyword.iskeyword(option):
            raise InvalidInput(f"{short(name)} has no option {short(option)!r}.", where=at)
        if isinstance(value, list) and len(value) <= LONGEST_TEXT and all(each is None or _is_number(each) for each in value):
            written.append(f"{option}={_tuple(value)}")
        elif value is None or isinstance(value, bool) or _is_number(value) or _is_short_text(value):
            written.append(f"{option}={value!r}")
        else:
            raise InvalidInput(f"{option} must be a number, true or false, null, a short text, or a list of numbers.", where=at)
    return ", ".join(written)


def _tuple(values: list[Any]) -> str:
    return f"({', '.join(map(repr, values))}{',' if len(values) == 1 else ''})"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_short_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _may_be(default: float | None, value: Any) -> bool:
    return _is_number(value) or (value is None and default is None)
