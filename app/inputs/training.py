"""Turn parameters, data, a loss and an optimizer into a training loop like one that a person would write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .. import model
from ..errors import InvalidInput
from ..wire.catalogue import OptimizerCatalogue
from . import expression, optimizers
from .literals import ELEMENTS, literals
from .text import SOURCE_BYTES, short

FIELDS: Final = ("parameters", "data", "loss", "optimizer", "steps")
RESERVED: Final = ("range",)
"""Names that the loop uses, which a tensor cannot have."""
EXAMPLE: Final = (
    '{"parameters": {"m": 1}, "data": {"x": [1, 2], "y": [2, 4]}, "loss": "((m * x - y) ** 2).mean()", '
    '"optimizer": {"name": "SGD", "lr": 0.01}, "steps": 50}'
)

LOOP: Final = """\
for {step} in range({steps}):
    {optimizer}.zero_grad()
    {loss} = {expression}
    {loss}.backward()
    {optimizer}.step()
"""
EVALUATING: Final = """\
def {closure}():
    {optimizer}.zero_grad()
    {loss} = {expression}
    {loss}.backward()
    return {loss}

for {step} in range({steps}):
    {optimizer}.step({closure})
"""
"""The loop of an optimizer that computes the loss several times per step."""


def convert(
    training: Any, most: int, catalogue: OptimizerCatalogue | None = None, most_bytes: int = SOURCE_BYTES
) -> model.Program:
    """Return the program of a training. It has at most ``most`` steps, and its loss has at most ``most_bytes``.

    ``catalogue`` lists the optimizers that the program can use, if they are known.
    Raises :class:`InvalidInput` and :class:`TooLarge`, which point at the field that is wrong.

    >>> print(convert({"parameters": {"m": 1}, "data": {"x": [1, 2]}, "loss": "((m * x) ** 2).mean()",
    ...                "optimizer": {"name": "SGD", "lr": 0.01}, "steps": 5}, most=10).text)
    import torch
    <BLANKLINE>
    x = torch.tensor([1.0, 2.0])
    m = torch.tensor(1.0, requires_grad=True)
    <BLANKLINE>
    optimizer = torch.optim.SGD([m], lr=0.01)
    for step in range(5):
        optimizer.zero_grad()
        loss = ((m * x) ** 2).mean()
        loss.backward()
        optimizer.step()
    <BLANKLINE>
    """
    if not isinstance(training, Mapping):
        raise InvalidInput(f"The training is not an object: send an object such as {EXAMPLE}.", where="training")
    for field in training:
        if field not in FIELDS:
            raise InvalidInput(
                f"Unknown field {short(field)!r}: a training has {', '.join(FIELDS)}.", where=f"training.{short(field)}"
            )
    if missing := [field for field in FIELDS if field not in training and field != "data"]:
        raise InvalidInput(
            f"The training has no {missing[0]}: send an object such as {EXAMPLE}.", where=f"training.{missing[0]}"
        )
    parameters, data = _tensors(training, "parameters"), _tensors(training, "data")
    if not parameters:
        raise InvalidInput(
            'There is nothing to learn: give a parameter with its initial value, such as {"m": 1}.', where="training.parameters"
        )
    if both := sorted(set(parameters) & set(data)):
        raise InvalidInput(
            f"{short(both[0])} is both a parameter and data: give them different names.",
            where=f"training.data.{short(both[0])}",
        )
    steps = _steps(training["steps"], most)
    loss = expression.text(training["loss"], "training.loss", most_bytes)
    used = expression.names(loss, "training.loss")
    name, options = _optimizer(training["optimizer"])
    arguments = optimizers.arguments(name, options, "training.optimizer", catalogue)
    learned = literals(parameters, "training.parameters", learned=True)
    given = literals(data, "training.data", learned=False)
    if sum(tensor.elements for tensor in (*learned, *given)) > ELEMENTS:
        raise InvalidInput(
            f"Parameters and data have more than {ELEMENTS:,} numbers: write the training as a program.", where="training.data"
        )
    own = {word: expression.unused(word, {*parameters, *data}) for word in ("step", "optimizer", "loss", "closure")}
    call = ", ".join(filter(None, [f"[{', '.join(parameters)}]", arguments]))
    made = f"{own['optimizer']} = torch.optim.{name}({call})\n"
    loop = (EVALUATING if name == "LBFGS" else LOOP).format(**own, steps=steps, expression=loss)
    parts = [
        expression.imports(used, (*parameters, *data)) + "\n",
        "".join(f"{tensor.text}\n" for tensor in (*given, *learned)),
        made + ("\n" if name == "LBFGS" else "") + loop,
    ]
    return model.Program(text="\n".join(parts), kind="training")


def _tensors(training: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    where = f"training.{field}"
    tensors = training.get(field, {})
    if not isinstance(tensors, Mapping):
        raise InvalidInput(f'`{field}` must be an object of names and values, such as {{"x": [1, 2, 3]}}.', where=where)
    if wrong := [name for name in tensors if name in RESERVED]:
        raise InvalidInput(
            f"{wrong[0]!r} cannot be the name of a tensor: the training loop uses it.", where=f"{where}.{wrong[0]}"
        )
    return tensors


def _steps(steps: Any, most: int) -> int:
    if isinstance(steps, int) and not isinstance(steps, bool) and 1 <= steps <= most:
        return steps
    raise InvalidInput(
        f"steps must be a whole number from 1 to {most:,}: write a longer training as a program.",
        where="training.steps",
    )


def _optimizer(optimizer: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the name and the options of an optimizer, which can be given by its name alone."""
    if isinstance(optimizer, str):
        return optimizer, {}
    if not isinstance(optimizer, Mapping):
        raise InvalidInput(
            'The optimizer must be a name, or an object with its name and options, such as {"name": "SGD", "lr": 0.01}.',
            where="training.optimizer",
        )
    return optimizer.get("name"), {option: value for option, value in optimizer.items() if option != "name"}
