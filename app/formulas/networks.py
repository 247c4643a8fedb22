"""List the rules of the operations of convolutional networks."""

from __future__ import annotations

from typing import Final

from .rule import LocalRule

_SLIDING: Final = {"stride": (1, 2, 3, 4), "padding": (0, 1, 2, 3), "dilation": (1, 2), "is_transposed": (False, True)}
_OPTIONS: Final = "stride, padding, dilation"
_CENTRED: Final = "(input - by_channel(result1, input)) * by_channel(result2, input)"
"""The normalized input, which a batch normalization multiplies by its weight. `result1` and `result2` are the mean and the
inverse of the standard deviation of each channel."""

_BY_GROUP: Final = "(input - by_group(result1, input)) * by_group(result2, input)"
"""The normalized input of a group normalization. `result1` and `result2` have a number for each example and group."""
_ROOT: Final = "by_channel((running_var + eps) ** 0.5, input)"
_ATTENTION: Final = "attention(query, key, logsumexp, scale, attn_mask, is_causal)"
"""The weights by which an attention averages its values."""

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
    LocalRule(
        "NativeGroupNormBackward0", "native_group_norm(input, weight, bias, 2, 4, 6, 2, 1e-5)[0]",
        {
            "input": "by_group(result2, input) * (grad * by_channel(weight, input) "
            "- group_average(grad * by_channel(weight, input), result1) "
            f"- {_BY_GROUP} * group_average(grad * by_channel(weight, input) * {_BY_GROUP}, result1))",
            "weight": f"summed_over_all_but_channels(grad * {_BY_GROUP})",
            "bias": "summed_over_all_but_channels(grad)",
        },
    ),
    LocalRule(
        "ScaledDotProductFlashAttentionForCpuBackward0", "_scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]",
        {
            "query": f"({_ATTENTION} * (grad @ transposed(value) - total(grad * output, -1))) @ key * scale",
            "key": f"transposed({_ATTENTION} * (grad @ transposed(value) - total(grad * output, -1))) @ query * scale",
            "value": f"transposed({_ATTENTION}) @ grad",
        },
        {"scale": ("size(query, -1) ** -0.5", 1), "attn_mask": (0,), "is_causal": (False, True)},
    ),
    LocalRule(
        "LinalgSolveExBackward0", "_linalg_solve_ex(A, B)[0]",
        {"A": "-transposed(inverse(A)) @ grad @ transposed(result)", "B": "transposed(inverse(A)) @ grad"},
    ),
)  # fmt: skip

IN_EVALUATION: Final = LocalRule(
    "NativeBatchNormBackward0",
    "native_batch_norm(input, weight, bias, running_mean, running_var, False, 0.1, 1e-5)[0]",
    {
        "input": f"grad * by_channel(weight, input) / {_ROOT}",
        "weight": f"summed_over_all_but_channels(grad * (input - by_channel(running_mean, input)) / {_ROOT})",
        "bias": "summed_over_all_but_channels(grad)",
    },
    {"eps": (1e-5, 1e-3, 1e-6, 1e-4, 0.01), "weight": (1,)},
)
"""The rule of a batch normalization that uses its running mean and variance, as in ``eval()``."""
