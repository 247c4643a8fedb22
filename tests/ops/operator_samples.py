"""Make small programs of sample calls from PyTorch's own operator database."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput

MODULE = "sampled_by_test"
"""The module from which a program imports its call."""
FUNCTION = f"""\
from {MODULE} import arguments, function, keywords, marks, number, total
target = arguments[0]
marks.append(number())
out = function(target, *arguments[1:], **keywords)
marks.append(number())
loss = total(out)
loss.backward()
"""
IN_PLACE = f"""\
from {MODULE} import arguments, function, keywords, marks, number, total
target = arguments[0].clone()
marks.append(number())
out = function(target, *arguments[1:], **keywords)
marks.append(number())
loss = total(out)
loss.backward()
"""
PREPARATION, CALL, TOTAL = 2, 4, 6
"""Line numbers in both programs."""
LEAST, MOST = 2, 8
"""The minimum and maximum number of samples of an operator, dtype and variant; samples are spread evenly."""

OPERATORS: dict[str, OpInfo] = {
    op.formatted_name: op for op in op_db if op.supports_autograd and torch.float64 in op.supported_dtypes("cpu")
}


@dataclasses.dataclass(frozen=True)
class Sampled:
    """A function with sample arguments, and a program that calls it."""

    name: str
    program: str
    function: Any
    sample: SampleInput

    def install(self, hook: Any = None) -> list[Tensor]:
        """Provide new operands for the next run, and return those that require a gradient.

        ``hook`` is called with the loss before the program receives it.
        """
        copies: dict[int, Any] = {}
        arguments, keywords = _copy([self.sample.input, *self.sample.args], copies), _copy(self.sample.kwargs, copies)

        def total(out: Any) -> Tensor:
            loss = _total(self.sample.output_process_fn_grad(out))
            if hook is not None:
                hook(loss)
            return loss

        module: Any = types.ModuleType(MODULE)
        module.arguments, module.keywords, module.function, module.total = arguments, keywords, self.function, total
        module.number, module.marks = torch._C._autograd._get_sequence_nr, []
        sys.modules[MODULE] = module
        return list(leaves((arguments, keywords)))


def sampled(op: OpInfo) -> Iterator[Sampled]:
    """Yield the sample calls of an operator, as a function and in place, with real and complex numbers."""
    for dtype in (torch.float64, torch.complex128):
        if dtype not in op.supported_backward_dtypes("cpu"):
            continue
        samples: list[SampleInput] = []
        for seed in range(LEAST):  # some operators have only one sample: draw it again with another seed
            if len(samples) < LEAST:
                torch.manual_seed(seed)
                drawn = op.sample_inputs("cpu", dtype, requires_grad=True)
                samples += [sample for sample in drawn if next(leaves(_all(sample)), None) is not None]
        for sample in _spread(samples):
            yield Sampled(_name(op, dtype), FUNCTION, op.op, sample)
        if op.inplace_variant is not None:
            alike = [sample for sample in samples if isinstance(sample.input, Tensor) and not sample.broadcasts_input]
            for sample in _spread(alike):
                yield Sampled(_name(op, dtype) + " in place", IN_PLACE, op.inplace_variant, sample)


def _name(op: OpInfo, dtype: torch.dtype) -> str:
    return f"{op.formatted_name} {str(dtype).removeprefix('torch.')}"


def _all(sample: SampleInput) -> Any:
    return sample.input, sample.args, sample.kwargs


def _spread(samples: Sequence[SampleInput]) -> list[SampleInput]:
    if len(samples) <= MOST:
        return list(samples)
    return [samples[round(at * (len(samples) - 1) / (MOST - 1))] for at in range(MOST)]


def leaves(value: Any) -> Iterator[Tensor]:
    """Yield the tensors that require a gradient, at any depth of lists and dicts."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)


def _copy(value: Any, copies: dict[int, Any]) -> Any:
    """Copy all tensors as leaves; an object that occurs twice is copied once."""
    if isinstance(value, Tensor):
        if id(value) not in copies:
            copies[id(value)] = _copy_with_storage(value.detach()).requires_grad_(value.requires_grad)
        return copies[id(value)]
    if isinstance(value, list | tuple):
        items = [_copy(item, copies) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: _copy(item, copies) for key, item in value.items()}
    return value


def _copy_with_storage(tensor: Tensor) -> Tensor:
    """Copy a tensor with its whole storage, so that strides and surrounding memory are equal."""
    if tensor.layout is not torch.strided:
        return tensor.clone()
    storage = tensor.untyped_storage().clone()
    return torch.empty(0, dtype=tensor.dtype).set_(storage, tensor.storage_offset(), tensor.shape, tensor.stride())


def _total(out: Any) -> Tensor:
    """Return a real number that depends on every element of every output, each with a different weight."""
    parts: list[Tensor] = []
    for at, tensor in enumerate(leaves(out)):
        dense = tensor if tensor.layout is torch.strided else tensor.to_dense()
        flat = dense.reshape(-1).to(torch.complex128 if dense.is_complex() else torch.float64)
        weights = torch.cos(torch.arange(flat.numel(), dtype=torch.float64) + at)
        weighed = (flat * weights).sum()
        parts += [weighed.real, weighed.imag] if weighed.is_complex() else [weighed]
    return torch.stack(parts).sum()
