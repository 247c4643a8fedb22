"""List the optimizers of the installed PyTorch and their options, from the signatures of their constructors.

``python -m tapedeck.tracer.training.catalogue`` prints the catalogue as JSON.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any, Final, Union, get_args, get_origin

import msgspec
import torch

from ...wire.catalogue import ITEMS, OPTIMIZERS, OPTIONS, OptimizerCatalogue, OptimizerOption, OptionKind

IMPLEMENTATION: Final = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Options that choose how a step is computed. They don't change its result."""


def catalogue() -> OptimizerCatalogue:
    """Return the optimizers of ``torch.optim``, sorted by name, each with its options in the order of its signature."""
    classes = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    names = sorted(name for name, kind in classes.items() if issubclass(kind, torch.optim.Optimizer))
    return {name: dict(options(classes[name])) for name in names if name != "Optimizer"} if len(names) <= OPTIMIZERS else {}


def options(optimizer: type) -> Iterator[tuple[str, OptimizerOption]]:
    """Yield the name and the description of each option that can be given as JSON."""
    try:
        signature = inspect.signature(optimizer, eval_str=True)
    except NameError:  # the annotation names a type that exists only for type checkers
        signature = inspect.signature(optimizer)
    parameters = list(signature.parameters.values())[1:]  # the first parameter is `params`
    for parameter in parameters[:OPTIONS]:
        if parameter.name not in IMPLEMENTATION and (option := _option(parameter)) is not None:
            yield parameter.name, option


def _option(parameter: inspect.Parameter) -> OptimizerOption | None:
    """Return the description of an option, or ``None`` for a kind of value that has no JSON form."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        return None
    default = None if parameter.default is parameter.empty else parameter.default
    if isinstance(default, tuple):
        items = tuple(None if item is None else float(item) for item in default)
        return OptimizerOption("numbers", items) if len(items) <= ITEMS else None
    unknown = parameter.annotation is parameter.empty or isinstance(parameter.annotation, str)
    kinds = {type(default)} if unknown else _members(parameter.annotation)
    kind: OptionKind
    for kind, member in (("flag", bool), ("number", float), ("integer", int), ("text", str)):
        if member in kinds:
            return OptimizerOption(kind, float(default) if kind == "number" and default is not None else default)
    return None


def _members(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows: the members of a union, or the annotation itself."""
    return set(get_args(annotation)) if get_origin(annotation) in (Union, types.UnionType) else {annotation}


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(catalogue()).decode())
