"""List the rules of backward formulas that are differentiated again, as with ``create_graph=True``."""

from __future__ import annotations

from typing import Final

from .rule import LocalRule

_SQUARED: Final = {"n": ("size(self)", 1)}

RULES: Final = (
    LocalRule(
        "TanhBackwardBackward0", "aten.tanh_backward(grad_output, output)",
        {"grad_output": "grad * (1 - output ** 2)", "output": "-grad * 2 * output * grad_output"},
    ),
    LocalRule(
        "SigmoidBackwardBackward0", "aten.sigmoid_backward(grad_output, output)",
        {"grad_output": "grad * output * (1 - output)", "output": "grad * grad_output * (1 - 2 * output)"},
    ),
    LocalRule(
        "ThresholdBackwardBackward0", "aten.threshold_backward(grad_output, self, 0)",
        {"grad_output": "grad * (self > 0)", "self": "grad * 0"},
    ),
    LocalRule(
        "SoftplusBackwardBackward0", "aten.softplus_backward(grad_output, self, beta, 20)",
        {
            "grad_output": "grad * sigmoid(beta * self)",
            "self": "grad * grad_output * beta * sigmoid(beta * self) * (1 - sigmoid(beta * self))",
        },
        {"beta": (1,)},
    ),
    LocalRule(
        "SoftmaxBackwardDataBackward0", "aten._softmax_backward_data(grad_output, output, dim, float64)",
        {
            "grad_output": "output * (grad - total(grad * output, dim))",
            "output": "grad * (grad_output - total(grad_output * output, dim)) - total(grad * output, dim) * grad_output",
        },
    ),
    LocalRule(
        "LogSoftmaxBackwardDataBackward0", "aten._log_softmax_backward_data(grad_output, output, dim, float64)",
        {
            "grad_output": "grad - total(grad * exp(output), dim)",
            "output": "-grad * total(grad_output, dim) * exp(output)",
        },
    ),
    LocalRule(
        "MseLossBackwardBackward0", "aten.mse_loss_backward(grad_output, self, target, 1)",
        {
            "grad_output": "grad * 2 * (self - target) / n",
            "self": "grad * grad_output * 2 / n",
            "target": "-grad * grad_output * 2 / n",
        },
        _SQUARED,
    ),
    LocalRule(
        "SelectBackwardBackward0", "aten.select_backward(grad_output, sizes, dim, index)",
        {"grad_output": "layer_of(grad, index, dim)"}, {}, ("grad_output",),
    ),
    LocalRule(
        "SliceBackwardBackward0", "aten.slice_backward(grad_output, sizes, dim, start, end, step)",
        {"grad_output": "slice_of(grad, grad_output, dim, start, step)"}, {}, ("grad_output",),
    ),
)  # fmt: skip
