"""Compare the gradients of a function with finite differences, and name those that differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ... import wire
from ..replay.gradcheck import GradientCheck, spaced
from ..replay.point import Point
from ..replay.precision import largest, unit
from ..replay.random_state import restored_random_state
from ..replay.slopes import real
from ..tensors.handles import elements_of
from .function import CalledFunction, NamedTensor, OutputElement
from .path import describe_path

MOST_LINES = 10
"""Number of wrong gradients that a message lists."""


def assert_gradients(fn: Callable[..., Any], inputs: Any, *, elements: int = 16) -> None:
    """Raise :class:`AssertionError` if a gradient of ``fn`` is not the slope of its output.

    ``inputs`` are a tensor, a tuple or list of arguments, or a dict of keyword arguments, nested as ``fn`` takes them. Inputs
    that require no gradient are constants. At most ``elements`` elements of each output and of each input are checked, evenly
    spaced. Real and complex tensors of every floating-point dtype are accepted.

    The slopes are central differences, in float64 if ``fn`` can compute in it. The tolerance is 10⁻⁵ of the gradient for
    float64, 10⁻³ for float32, 3 % for float16 and 5 % for bfloat16, plus an estimate of the rounding. At a kink, such as
    ``relu`` at 0, any gradient between the slopes on its two sides is accepted. So are gradients that PyTorch defines to differ
    from the slope. Elements where ``fn`` has no slope, for example because its value is infinite, are left out.

    ``fn`` is called many times with copies of ``inputs``. Inputs, their ``.grad`` and the random state are left as they were.
    A part that ``fn`` detaches on purpose has a slope, but no gradient: compute it outside of ``fn`` and pass it as an input.

    The message names the output, the input, their elements, both numbers, and the lines of the custom ``backward`` between
    them. Raises :class:`ValueError` if no input requires a gradient, or if a sparse input does.

    >>> import torch
    >>> class Tripled(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return 3 * x
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         return 3.03 * gradient
    >>> assert_gradients(Tripled.apply, torch.tensor(2.0, requires_grad=True))
    Traceback (most recent call last):
    ...
    AssertionError: 1 of 1 gradients is not the slope.
    output 0, by input `x`: backward gives 3.03, the slope is 3 (difference 1 %). Tripled.backward, ...
    >>> assert_gradients(torch.mul, (torch.ones(2, requires_grad=True), 5.0))
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    with restored_random_state(), torch.enable_grad():
        function = CalledFunction(fn, inputs)
        if not function.inputs:
            raise ValueError("No input requires a gradient. Call `requires_grad_()` on the inputs to check.")
        if any(each.tensor.layout is not torch.strided for each in function.inputs):
            raise ValueError("An input that requires a gradient is sparse. Pass a dense tensor, and make it sparse in `fn`.")
        results = list(_results(function, elements))
    lines = [result.describe() for result in results if result.is_wrong()]
    count = len(results)
    if lines:
        listed = "\n".join(lines[:MOST_LINES])
        more = f"\nand {len(lines) - MOST_LINES} more" if len(lines) > MOST_LINES else ""
        verb = "is not the slope" if len(lines) == 1 else "are not the slopes"
        raise AssertionError(f"{len(lines)} of {count} gradients {verb}.\n{listed}{more}")
    if all(result.verdict == wire.UNKNOWN for result in results) and results:
        raise AssertionError("No gradient could be checked: `fn` has no finite slope at these inputs. Choose other inputs.")


class _Result(NamedTuple):
    """A gradient of one element of an output by one element of an input, and the slopes there."""

    output: str
    output_element: str
    input: str
    input_element: str
    gradient: float
    central: float
    left: float
    right: float
    verdict: int
    path: str

    def is_wrong(self) -> bool:
        """Return whether the gradient is wrong, or is not finite although the slope is finite."""
        if self.verdict != wire.UNKNOWN or math.isfinite(self.gradient):
            return self.verdict == wire.WRONG
        slopes = (self.left, self.right)
        return all(map(math.isfinite, slopes)) and math.isclose(*slopes, rel_tol=1e-3, abs_tol=1e-6)

    def describe(self) -> str:
        """Return the line of the message that describes this result."""
        difference = abs(self.gradient - self.central) / abs(self.central) if self.central else math.nan
        percent = f" (difference {100 * difference:.2g} %)" if 1e-4 <= difference < 10 else ""
        return (
            f"output {self.output}{self.output_element}, by input {self.input}{self.input_element}: "
            f"backward gives {self.gradient:.6g}, the slope is {self.central:.6g}{percent}. {self.path}"
        )


def _results(function: CalledFunction, most: int) -> Iterator[_Result]:
    """Yield the result for each checked element of each output by each checked element of each input.

    Raises :class:`AssertionError` if the function is not deterministic, or none of its outputs has a gradient.
    """
    leaves = function.copies()
    outputs = function.outputs({id(each.tensor): leaf for each, leaf in zip(function.inputs, leaves, strict=True)})
    _assert_repeatable(outputs, function.outputs({}))
    if not any(each.tensor.requires_grad for each in outputs):
        raise AssertionError(
            "No output has a gradient: look in `fn` for a `detach`, `.data`, `.item()` or `torch.no_grad` that cuts the graph."
        )
    inputs = [each.tensor for each in function.inputs]
    for index, (name, output) in enumerate(outputs):
        if not output.requires_grad:
            continue
        paths = [describe_path(output, leaf) for leaf in leaves]
        for element in spaced(real(output).numel(), most):
            section = OutputElement(function, index, element)
            root = section.of(outputs)
            gradients = torch.autograd.grad(root, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
            by_input = dict(enumerate(gradients))
            point = Point(
                section,
                [root],
                inputs,
                parameters=dict(enumerate(inputs)),
                gradients=by_input,
                given=[torch.ones_like(root)],
                leaf_values={},
            )
            check = GradientCheck(point, most, 0)
            for number, leaf in enumerate(inputs):
                found = check.of(number, leaf)
                numbers = zip(found.recorded, found.central, found.left, found.right, strict=True)
                for position, verdict, each in zip(found.elements, found.verdict, numbers, strict=True):
                    yield _Result(
                        name,
                        _element(output, element),
                        function.inputs[number].name,
                        _element(leaf, position),
                        *each,
                        verdict,
                        paths[number],
                    )


def _assert_repeatable(outputs: Sequence[NamedTensor], again: Sequence[NamedTensor]) -> None:
    """Raise :class:`AssertionError` unless two calls gave the same outputs, up to rounding."""
    remedy = "with the same inputs and the same random state. Pass to `fn` what changes, or seed it there."
    if [(name, tensor.shape, tensor.dtype) for name, tensor in outputs] != [
        (name, tensor.shape, tensor.dtype) for name, tensor in again
    ]:
        raise AssertionError(f"`fn` is not deterministic: its outputs had different shapes or dtypes in two calls, {remedy}")
    for (name, one), (_, other) in zip(outputs, again, strict=True):
        one, other = elements_of(one.detach()), elements_of(other.detach())
        rounding = 64 * unit(one.dtype)
        differs = ~torch.isclose(one, other, rtol=rounding, atol=rounding * largest(one), equal_nan=True)
        if differs.any():
            values = f"{one[differs][0].item():.6g}, then {other[differs][0].item():.6g}"
            raise AssertionError(f"`fn` is not deterministic: output {name} was {values}, {remedy}")


def _element(tensor: Tensor, position: int) -> str:
    """Return the element as a message names it: ``, element [1, 2]``, and for a complex tensor ``, real part`` after it."""
    part = ""
    if tensor.is_complex():
        position, imaginary = divmod(position, 2)
        part = ", imaginary part" if imaginary else ", real part"
    index = [int(each) for each in np.unravel_index(position, tuple(tensor.shape))] if tensor.ndim else None
    return f"{'' if index is None else f', element {index}'}{part}"
