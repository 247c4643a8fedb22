"""List the rules of the operations of convolutional networks."""

from __future__ import annotations

from typing import Final

from .rule import LocalRule

_SLIDING: Final = {"stride": (1, 2, 3, 4), "padding": (0, 1, 2, 3), "dilation": (1, 2), "is_transposed": (False, True)}
_OPTIONS: Final = "stride, padding, dilation"
_CENTRED: Final = "(input - by_channel(result1, input)) * by_channel(result2, input)"
"""The normalized input, which a batch normalization multiplies by its weight. `result1` and `result2` are the mean and the
inverse of the standard deviation of each channel."""

RULES: Final = (
    LocalRule(
        "ConvolutionBackward0", f"conv2d(input, weight, bias, {_OPTIONS})",
        {
            "input": f"input_gradient(grad, input, weight, {_OPTIONS}, is_transposed)",
            "weight": f"kernel_gradient(grad, input, weight, {_OPTIONS}, is_transposed)",
            "bias": "summed_over_all_but_channels(grad)",
        },
        _SLIDING,
    ),
    LocalRule(
        "NativeBatchNormBackward0", "native_batch_norm(input, weight, bias, None, None, True, 0.1, 1e-5)[0]",
        {
            "input": "by_channel(result2, input) * (grad * by_channel(weight, input) "
            "- channel_average(grad * by_channel(weight, input)) "
            f"- {_CENTRED} * channel_average(grad * by_channel(weight, input) * {_CENTRED}))",
            "weight": f"summed_over_all_but_channels(grad * {_CENTRED})",
            "bias": "summed_over_all_but_channels(grad)",
        },
    ),
    LocalRule(
        "MaxPool2DWithIndicesBackward0", "max_pool2d(self, 2)", {"self": "at_largest(grad, self, result1)"}, {}, ("self",)
    ),
    LocalRule(
        "AvgPool2DBackward0", "avg_pool2d(self, kernel_size, stride, padding)",
        {"self": "spread_over_windows(grad, self, kernel_size, stride, padding)"},
        {"kernel_size": (2, 3, 4), "stride": (2, 1, 3, 4), "padding": (0, 1)}, ("self",),
    ),
)  # fmt: skip
