"""Know the optimizers of torch.optim and their options without torch, which the server does not load.

How a step is computed (``foreach``, ``fused``, ``capturable``, ``differentiable``) is no option here: the result is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..errors import InvalidInput

Default = bool | int | float | tuple[float | None, ...] | None

_DECAY: Final = {"weight_decay": 0.0}
_ADAM: Final[dict[str, Default]] = {"betas": (0.9, 0.999), "eps": 1e-8}

OPTIMIZERS: Final[dict[str, dict[str, Default]]] = {
    "ASGD": {"lr": 0.01, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, **_DECAY, "maximize": False},
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, **_DECAY, "maximize": False},
    "Adafactor": {"lr": 0.01, "beta2_decay": -0.8, "eps": (None, 0.001), "d": 1.0, **_DECAY, "maximize": False},
    "Adagrad": {"lr": 0.01, "lr_decay": 0.0, **_DECAY, "initial_accumulator_value": 0.0, "eps": 1e-10, "maximize": False},
    "Adam": {"lr": 0.001, **_ADAM, **_DECAY, "amsgrad": False, "maximize": False, "decoupled_weight_decay": False},
    "AdamW": {"lr": 0.001, **_ADAM, "weight_decay": 0.01, "amsgrad": False, "maximize": False},
    "Adamax": {"lr": 0.002, **_ADAM, **_DECAY, "maximize": False},
    "LBFGS": {
        "lr": 1.0, "max_iter": 20, "max_eval": None, "tolerance_grad": 1e-7, "tolerance_change": 1e-9, "history_size": 100,
        "line_search_fn": None,
    },
    "Muon": {
        "lr": 0.001, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True, "ns_coefficients": (3.4445, -4.775, 2.0315),
        "eps": 1e-7, "ns_steps": 5, "adjust_lr_fn": None,
    },
    "NAdam": {"lr": 0.002, **_ADAM, **_DECAY, "momentum_decay": 0.004, "decoupled_weight_decay": False, "maximize": False},
    "RAdam": {"lr": 0.001, **_ADAM, **_DECAY, "decoupled_weight_decay": False, "maximize": False},
    "RMSprop": {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, **_DECAY, "momentum": 0.0, "centered": False, "maximize": False},
    "Rprop": {"lr": 0.01, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0), "maximize": False},
    "SGD": {"lr": 0.001, "momentum": 0.0, "dampening": 0.0, **_DECAY, "nesterov": False, "maximize": False},
    "SparseAdam": {"lr": 0.001, **_ADAM, "maximize": False},
}  # fmt: skip
"""Each optimizer's options with their defaults; a test holds them to torch's own signatures."""

WORDS: Final = {"line_search_fn": ("strong_wolfe",), "adjust_lr_fn": ("original", "match_rms_adamw")}
"""Options that are a word or nothing."""


def arguments(name: Any, options: Mapping[str, Any], where: str) -> str:
    """Write an optimizer's options as the arguments of a call; raises :class:`InvalidInput`.

    >>> arguments("Adam", {"lr": 0.1, "betas": [0.9, 0.99], "amsgrad": True}, "optimizer")
    'lr=0.1, betas=(0.9, 0.99), amsgrad=True'
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        told = f"Unknown optimizer {name[:60]!r}" if isinstance(name, str) else "The optimizer has no name"
        raise InvalidInput(f"{told}: known are {', '.join(OPTIMIZERS)}.", where=f"{where}.name")
    known = OPTIMIZERS[name]
    for option in options:
        if option not in known:
            raise InvalidInput(
                f"{name} has no option {option[:60]!r}: it has {', '.join(known)}.", where=f"{where}.{option[:60]}"
            )
    return ", ".join(f"{option}={_written(known[option], options[option], option, where)}" for option in options)


def _written(default: Default, value: Any, option: str, where: str) -> str:
    at = f"{where}.{option}"
    match default:
        case bool():
            if isinstance(value, bool):
                return repr(value)
            raise InvalidInput(f"{option} is true or false.", where=at)
        case tuple():
            if isinstance(value, list) and len(value) == len(default) and all(map(_may_be, default, value)):
                return f"({', '.join(repr(each) for each in value)})"
            raise InvalidInput(f"{option} is a list of {len(default)} numbers, such as {list(default)}.", where=at)
        case None if option in WORDS:
            if value is None or value in WORDS[option]:
                return repr(value)
            words = " or ".join(f'"{word}"' for word in WORDS[option])
            raise InvalidInput(f"{option} is null or {words}.", where=at)
        case float():
            if _is_number(value):
                return repr(value)
            raise InvalidInput(f"{option} is a number.", where=at)
        case _:
            if (value is None and default is None) or (_is_number(value) and value == int(value) and abs(value) < 2**31):
                return repr(None if value is None else int(value))
            raise InvalidInput(f"{option} is a whole number.", where=at)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _may_be(default: float | None, value: Any) -> bool:
    return _is_number(value) or (value is None and default is None)
