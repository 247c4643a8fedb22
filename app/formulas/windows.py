"""Define the gradients of operations that slide a window over a tensor, such as a convolution, on NumPy arrays.

Tensors have the shape (batch, channels, size, …). A stride, padding or dilation is one number, or one for each size.
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
    if transposed:
        return _transposed_kernel_gradient(grad, x, weight, stride, padding, dilation)
    groups = x.shape[1] // weight.shape[1]
    found = np.zeros(weight.shape)
    padded = _padded(x, padding)
    axes = (0, *range(2, x.ndim))
    for at, window in _windows(padded, weight.shape[2:], grad.shape[2:], stride, dilation):
        for group, (sent, seen) in enumerate(zip(np.split(grad, groups, 1), np.split(window, groups, 1), strict=True)):
            rows = slice(group * sent.shape[1], (group + 1) * sent.shape[1])
            found[_last(rows, slice(None), *at)] = np.tensordot(sent, seen, (axes, axes))
    return found


def _transposed_kernel_gradient(grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    groups = _groups_of_transposed(grad, x, weight)
    found = np.zeros(weight.shape)
    axes = (0, *range(2, x.ndim))
    for at, window in _windows(_padded(grad, padding), weight.shape[2:], x.shape[2:], stride, dilation):
        for group, (sent, seen) in enumerate(zip(np.split(window, groups, 1), np.split(x, groups, 1), strict=True)):
            rows = slice(group * seen.shape[1], (group + 1) * seen.shape[1])
            products = np.tensordot(sent, seen, (axes, axes))
            found[_last(rows, slice(None), *at)] = np.moveaxis(products, -1, 0)
    return found


def input_gradient(
    grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, transposed: bool = False
) -> Array:
    """Return the gradient of a convolution with respect to its input.

    Each element of ``grad`` times the kernel is added to the element's window. For a ``transposed`` convolution, this is the
    convolution of ``grad`` with the kernel. Raises :class:`ValueError` for options with which the result does not have the
    shape of ``grad``.
    """
    if transposed:
        return _convolved(grad, x, weight, stride, padding, dilation)
    groups = x.shape[1] // weight.shape[1]
    whole = _zeros(x, padding)
    for at, window in _windows(whole, weight.shape[2:], grad.shape[2:], stride, dilation):
        for sent, kernel, part in zip(
            np.split(grad, groups, 1), np.split(weight, groups, 0), np.split(window, groups, 1), strict=True
        ):
            part += np.moveaxis(np.tensordot(sent, kernel[_last(*at)], ((1,), (0,))), -1, 1)
    return _inner(whole, x, padding)


def _convolved(grad: Array, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    groups = _groups_of_transposed(grad, x, weight)
    found = np.zeros(x.shape)
    for at, window in _windows(_padded(grad, padding), weight.shape[2:], x.shape[2:], stride, dilation):
        for seen, kernel, part in zip(
            np.split(window, groups, 1), np.split(weight, groups, 0), np.split(found, groups, 1), strict=True
        ):
            part += np.moveaxis(np.tensordot(seen, kernel[_last(*at)], ((1,), (1,))), -1, 1)
    return found


def _groups_of_transposed(grad: Array, x: Array, weight: Array) -> int:
    """Return the number of groups of a transposed convolution, whose kernel has the channels of the input first."""
    channels: int = grad.shape[1]
    groups, rest = divmod(channels, weight.shape[1])
    if rest or not groups or weight.shape[0] != x.shape[1] or x.shape[1] % groups:
        raise ValueError(f"A kernel of shape {weight.shape} does not transpose {x.shape[1]} channels to {channels}.")
    return int(groups)


def summed_over_all_but_channels(grad: Array) -> Array:
    """Return the sum over the batch and the sizes: one number for each channel."""
    return np.asarray(grad.sum(axis=_all_but_channels(grad)))


def by_channel(x: Array, like: Array) -> Array:
    """Return one number for each channel, in a shape that broadcasts over a tensor."""
    return np.reshape(x, (1, -1, *(1,) * (np.ndim(like) - 2)))


def channel_average(x: Array) -> Array:
    """Return the mean over the batch and the sizes, for each channel, in a shape that broadcasts over ``x``."""
    return np.asarray(x.mean(axis=_all_but_channels(x), keepdims=True))


def _all_but_channels(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def at_largest(grad: Array, x: Array, indices: Array) -> Array:
    """Return zeros in the shape of a pooling's input, with each gradient added at the index of its window's largest element."""
    planes = int(np.prod(x.shape[:-2]))
    whole = np.zeros((planes, int(np.prod(x.shape[-2:]))))
    places = np.asarray(indices, np.int64).reshape(planes, -1)
    np.add.at(whole, (np.arange(planes)[:, None], places), grad.reshape(planes, -1))
    return whole.reshape(x.shape)


def spread_over_windows(grad: Array, x: Array, kernel_size: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """Return the gradient of a mean over windows with respect to its input: each element gets an equal part."""
    kernel = _each(kernel_size, x.ndim - 2)
    whole = _zeros(x, padding)
    for _, window in _windows(whole, kernel, grad.shape[2:], stride, 1):
        window += grad / np.prod(kernel)
    return _inner(whole, x, padding)


def average_of_windows(x: Array, like: Array, kernel_size: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """Return the mean over each window of a tensor, in the shape of ``like``. Zeros around the tensor count."""
    kernel = _each(kernel_size, x.ndim - 2)
    found = np.zeros(like.shape)
    for _, window in _windows(_padded(x, padding), kernel, like.shape[2:], stride, 1):
        found += window / np.prod(kernel)
    return found


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


def _padded(x: Array, padding: Sizes) -> Array:
    return np.pad(x, [*((0, 0),) * 2, *((each, each) for each in _each(padding, x.ndim - 2))])


def _zeros(x: Array, padding: Sizes) -> Array:
    """Return zeros in the shape of a padded tensor."""
    sizes = (size + 2 * pad for size, pad in zip(x.shape[2:], _each(padding, x.ndim - 2), strict=True))
    return np.zeros((*x.shape[:2], *sizes))


def _inner(whole: Array, x: Array, padding: Sizes) -> Array:
    """Return a padded tensor without its padding."""
    inner = (slice(pad, pad + size) for pad, size in zip(_each(padding, x.ndim - 2), x.shape[2:], strict=True))
    return np.asarray(whole[_last(*inner)])


def _each(sizes: Sizes, count: int) -> tuple[int, ...]:
    return sizes if isinstance(sizes, tuple) and len(sizes) == count else (int(np.ravel(sizes)[0]),) * count
