"""Define the gradients of operations that slide a window over a tensor, such as a convolution, on NumPy arrays.

Tensors have the shape (batch, channels, size, …). A stride, padding or dilation is one number, or one for each size. `grad` may
have a dimension in front of these, for several gradients at once. The result then has this dimension too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Sizes = int | tuple[int, ...]


def kernel_gradient(
    grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, transposed: bool = False
) -> Array:
    """Return the gradient of a convolution with respect to its kernel: the products of ``grad`` with the windows of the input.

    In a ``transposed`` convolution, the windows are those of ``grad``, one for each element of the input. Raises
    :class:`ValueError` for options with which the result does not have the shape of ``grad``.
    """
    lead = grad.ndim - x.ndim
    if transposed:
        return _transposed_kernel_gradient(grad, x, weight, stride, padding, dilation)
    groups = x.shape[1] // weight.shape[1]
    found = np.zeros((*grad.shape[:lead], *weight.shape))
    padded = _padded(x, padding)
    axes = (0, *range(2, x.ndim))
    for at, window in _windows(padded, weight.shape[2:], grad.shape[lead + 2 :], stride, dilation):
        for group, (sent, seen) in enumerate(zip(np.split(grad, groups, lead + 1), np.split(window, groups, 1), strict=True)):
            rows = slice(group * sent.shape[lead + 1], (group + 1) * sent.shape[lead + 1])
            found[_last(rows, slice(None), *at)] = np.tensordot(sent, seen, ([lead + each for each in axes], axes))
    return found


def _transposed_kernel_gradient(grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    lead, groups = grad.ndim - x.ndim, _groups_of_transposed(grad, x, weight)
    found = np.zeros((*grad.shape[:lead], *weight.shape))
    axes = (0, *range(2, x.ndim))
    for at, window in _windows(_padded(grad, padding, lead), weight.shape[2:], x.shape[2:], stride, dilation):
        for group, (sent, seen) in enumerate(zip(np.split(window, groups, lead + 1), np.split(x, groups, 1), strict=True)):
            rows = slice(group * seen.shape[1], (group + 1) * seen.shape[1])
            products = np.tensordot(sent, seen, ([lead + each for each in axes], axes))
            found[_last(rows, slice(None), *at)] = np.moveaxis(products, -1, lead)
    return found


def input_gradient(
    grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, transposed: bool = False
) -> Array:
    """Return the gradient of a convolution with respect to its input: in each window, its element of ``grad`` times the kernel.

    For a ``transposed`` convolution, this is the convolution of ``grad`` with the kernel. Raises :class:`ValueError` for
    options with which the result does not have the shape of ``grad``.
    """
    lead = grad.ndim - x.ndim
    if transposed:
        return _convolved(grad, x, weight, stride, padding, dilation)
    groups = x.shape[1] // weight.shape[1]
    whole = _zeros(grad, x, padding)
    for at, window in _windows(whole, weight.shape[2:], grad.shape[lead + 2 :], stride, dilation):
        for sent, kernel, part in zip(
            np.split(grad, groups, lead + 1), np.split(weight, groups, 0), np.split(window, groups, lead + 1), strict=True
        ):
            part += np.moveaxis(np.tensordot(sent, kernel[_last(*at)], ((lead + 1,), (0,))), -1, lead + 1)
    return _inner(whole, x, padding)


def _convolved(grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    lead, groups = grad.ndim - x.ndim, _groups_of_transposed(grad, x, weight)
    found = np.zeros((*grad.shape[:lead], *x.shape))
    for at, window in _windows(_padded(grad, padding, lead), weight.shape[2:], x.shape[2:], stride, dilation):
        for seen, kernel, part in zip(
            np.split(window, groups, lead + 1), np.split(weight, groups, 0), np.split(found, groups, lead + 1), strict=True
        ):
            part += np.moveaxis(np.tensordot(seen, kernel[_last(*at)], ((lead + 1,), (1,))), -1, lead + 1)
    return found


def _groups_of_transposed(grad: Array, x: Array, weight: Array) -> int:
    """Return the number of groups of a transposed convolution, whose kernel has the channels of the input first."""
    channels: int = grad.shape[grad.ndim - x.ndim + 1]
    groups, rest = divmod(channels, weight.shape[1])
    if rest or not groups or weight.shape[0] != x.shape[1] or x.shape[1] % groups:
        raise ValueError(f"A kernel of shape {weight.shape} does not transpose {x.shape[1]} channels to {channels}.")
    return int(groups)


def summed_over_all_but_channels(grad: Array, like: Array) -> Array:
    """Return the sum over the batch and the sizes: one number for each channel."""
    return np.asarray(grad.sum(axis=_all_but_channels(grad, like)))


def by_channel(x: Array, like: Array) -> Array:
    """Return one number for each channel, in a shape that broadcasts over a tensor."""
    return np.reshape(x, (1, -1, *(1,) * (np.ndim(like) - 2)))


def channel_average(x: Array, like: Array) -> Array:
    """Return the mean over the batch and the sizes, for each channel, in a shape that broadcasts over the tensor."""
    return np.asarray(x.mean(axis=_all_but_channels(x, like), keepdims=True))


def _all_but_channels(grad: Array, like: Array) -> tuple[int, ...]:
    lead = grad.ndim - np.ndim(like)
    return (lead, *range(lead + 2, grad.ndim))


def at_largest(grad: Array, x: Array, indices: Array) -> Array:
    """Return zeros in the shape of a pooled tensor with each gradient added at the index of its window's largest element."""
    lead = grad.shape[: grad.ndim - x.ndim]
    planes = int(np.prod(x.shape[:-2]))
    whole = np.zeros((int(np.prod(lead)), planes, int(np.prod(x.shape[-2:]))))
    places = np.asarray(indices, np.int64).reshape(1, planes, -1)
    rows = np.arange(len(whole))[:, None, None], np.arange(planes)[None, :, None]
    np.add.at(whole, (*rows, places), grad.reshape(len(whole), planes, -1))
    return whole.reshape(*lead, *x.shape)


def spread_over_windows(grad: Array, x: Array, kernel_size: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """Return the gradient of a mean over windows with respect to its input: each element gets an equal part."""
    kernel = _each(kernel_size, x.ndim - 2)
    whole = _zeros(grad, x, padding)
    for _, window in _windows(whole, kernel, grad.shape[grad.ndim - len(kernel) :], stride, 1):
        window += grad / np.prod(kernel)
    return _inner(whole, x, padding)


def _windows(
    x: Array, kernel: tuple[int, ...], result: tuple[int, ...], stride: Sizes, dilation: Sizes
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield each position in a kernel with a view of the elements that it meets, in the shape of the result."""
    steps, gaps = _each(stride, len(kernel)), _each(dilation, len(kernel))
    sizes = x.shape[x.ndim - len(kernel) :]
    fits = [(size - gap * (length - 1) - 1) // step + 1
            for size, length, step, gap in zip(sizes, kernel, steps, gaps, strict=True)]  # fmt: skip
    if tuple(fits) != tuple(result):
        raise ValueError(f"A window with these options gives {fits}, not {result}.")
    for at in product(*map(range, kernel)):
        places = (
            slice(place * gap, place * gap + step * size, step)
            for place, gap, step, size in zip(at, gaps, steps, result, strict=True)
        )
        yield at, x[_last(*places)]


def _last(*places: int | slice) -> Any:
    """Return an index into the last dimensions."""
    return (..., *places)


def _padded(x: Array, padding: Sizes, lead: int = 0) -> Array:
    sizes = _each(padding, x.ndim - lead - 2)
    return np.pad(x, [*((0, 0),) * (lead + 2), *((each, each) for each in sizes)])


def _zeros(grad: Array, x: Array, padding: Sizes) -> Array:
    """Return zeros in the shape of a padded tensor, once for each gradient."""
    sizes = (size + 2 * pad for size, pad in zip(x.shape[2:], _each(padding, x.ndim - 2), strict=True))
    return np.zeros((*grad.shape[: grad.ndim - x.ndim], *x.shape[:2], *sizes))


def _inner(whole: Array, x: Array, padding: Sizes) -> Array:
    """Return a padded tensor without its padding."""
    inner = (slice(pad, pad + size) for pad, size in zip(_each(padding, x.ndim - 2), x.shape[2:], strict=True))
    return np.asarray(whole[_last(*inner)])


def _each(sizes: Sizes, count: int) -> tuple[int, ...]:
    return sizes if isinstance(sizes, tuple) and len(sizes) == count else (int(np.ravel(sizes)[0]),) * count
