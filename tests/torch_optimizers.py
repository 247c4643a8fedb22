"""List the optimizers of PyTorch 2.13 with their options, as a zygote reports them, for tests that start none."""

from __future__ import annotations

from typing import Any, Final

from tapedeck.wire.catalogue import OptimizerCatalogue, OptimizerOption, OptionKind

_DECAY: Final[dict[str, Any]] = {"weight_decay": 0.0}
_ADAM: Final[dict[str, Any]] = {"betas": (0.9, 0.999), "eps": 1e-8}
_TEXTS: Final = ("line_search_fn", "adjust_lr_fn")

DEFAULTS: Final[dict[str, dict[str, Any]]] = {
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
"""Each optimizer's options with their defaults. The options that only choose an implementation are left out."""


def _kind(option: str, default: Any) -> OptionKind:
    if option in _TEXTS:
        return "text"
    match default:
        case bool():
            return "flag"
        case tuple():
            return "numbers"
        case float():
            return "number"
        case _:
            return "integer"


TORCH_2_13: Final[OptimizerCatalogue] = {
    name: {option: OptimizerOption(_kind(option, default), default) for option, default in options.items()}
    for name, options in DEFAULTS.items()
}
