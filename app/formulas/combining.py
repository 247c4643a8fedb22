"""List the rules of operations that combine elements: reductions, products of matrices, normalizations and losses."""

from __future__ import annotations

from typing import Final

from .rule import LocalRule

_MEAN: Final = {"n": ("size(self)", 1)}
"""The divisor of a loss: the number of elements for their mean, or 1 for their sum."""
_CENTRED: Final = "(input - result1) * result2"
"""The normalized input, which a normalization multiplies by its weight."""

RULES: Final = (
    LocalRule("SumBackward0", "sum(self)", {"self": "spread(grad, self)"}, {}, ("self",)),
    LocalRule("SumBackward1", "sum(self, dim)", {"self": "spread(grad, self, dim)"}, {}, ("self",)),
    LocalRule("MeanBackward0", "mean(self)", {"self": "spread(grad, self) / size(self)"}, {}, ("self",)),
    LocalRule("MeanBackward1", "mean(self, dim)", {"self": "spread(grad, self, dim) / size(self, dim)"}, {}, ("self",)),
    LocalRule("NansumBackward0", "nansum(self, dim)", {"self": "spread(grad, self, dim) * (self == self)"}, {}, ("self",)),
    LocalRule("ProdBackward0", "prod(self)", {"self": "spread(grad * result, self) / self"}),
    LocalRule("ProdBackward1", "prod(self, dim)", {"self": "spread(grad * result, self, dim) / self"}),
    LocalRule("MaxBackward1", "max(self)", {"self": "grad * (self == result) / total(self == result)"}),
    LocalRule("MinBackward1", "min(self)", {"self": "grad * (self == result) / total(self == result)"}),
    LocalRule(
        "AmaxBackward0", "amax(self, dim)",
        {"self": "spread(grad, self, dim) * (self == spread(result, self, dim)) "
         "/ total(self == spread(result, self, dim), dim)"},
    ),
    LocalRule(
        "AminBackward0", "amin(self, dim)",
        {"self": "spread(grad, self, dim) * (self == spread(result, self, dim)) "
         "/ total(self == spread(result, self, dim), dim)"},
    ),
    LocalRule("MaxBackward0", "max(self, dim)[0]", {"self": "scattered(grad, self, dim, indices)"}, {}, ("self",)),
    LocalRule("MinBackward0", "min(self, dim)[0]", {"self": "scattered(grad, self, dim, indices)"}, {}, ("self",)),
    LocalRule("MedianBackward1", "median(self, dim)[0]", {"self": "scattered(grad, self, dim, indices)"}, {}, ("self",)),
    LocalRule(
        "VarBackward0", "var(self, dim)",
        {"self": "spread(grad, self, dim) * 2 * (self - average(self, dim)) / (size(self, dim) - correction)"},
        {"correction": (1, 0)},
    ),
    LocalRule(
        "StdBackward0", "std(self, dim)",
        {"self": "spread(grad, self, dim) * (self - average(self, dim)) "
         "/ (spread(result, self, dim) * (size(self, dim) - correction))"},
        {"correction": (1, 0)},
    ),
    LocalRule(
        "LinalgVectorNormBackward0", "linalg_vector_norm(self, 2, dim)",
        {"self": "spread(grad, self, dim) * self / spread(result, self, dim)"},
    ),
    LocalRule("DistBackward0", "dist(self, other)",
         {"self": "grad * (self - other) / result", "other": "grad * (other - self) / result"}),
    LocalRule("LogsumexpBackward0", "logsumexp(self, dim)",
         {"self": "spread(grad, self, dim) * exp(self - spread(result, self, dim))"}),
    LocalRule("SoftmaxBackward0", "softmax(self, dim)", {"self": "result * (grad - total(grad * result, dim))"}),
    LocalRule("SafeSoftmaxBackward0", "_safe_softmax(self, dim)", {"self": "result * (grad - total(grad * result, dim))"}),
    LocalRule("LogSoftmaxBackward0", "log_softmax(self, dim)", {"self": "grad - exp(result) * total(grad, dim)"}),
    LocalRule("CumsumBackward0", "cumsum(self, dim)", {"self": "reversed_sums(grad, dim)"}, {}, ("self",)),
    LocalRule("LogcumsumexpBackward0", "logcumsumexp(self, dim)",
         {"self": "reversed_sums(grad * exp(-result), dim) * exp(self)"}),
    LocalRule("TraceBackward0", "trace(self)", {"self": "grad * identity(self)"}, {}, ("self",)),
    LocalRule("DotBackward0", "dot(self, tensor)", {"self": "grad * tensor", "tensor": "grad * self"}, {}, ("self",)),
    LocalRule("MvBackward0", "mv(self, vec)", {"self": "outer(grad, vec)", "vec": "transposed(self) @ grad"}, {}, ("self",)),
    LocalRule("MmBackward0", "mm(self, mat2)",
         {"self": "grad @ transposed(mat2)", "mat2": "transposed(self) @ grad"}, {}, ("self",)),
    LocalRule("BmmBackward0", "bmm(self, mat2)",
         {"self": "grad @ transposed(mat2)", "mat2": "transposed(self) @ grad"}, {}, ("self",)),
    LocalRule(
        "AddmmBackward0", "addmm(self, mat1, mat2)",
        {"self": "grad * beta", "mat1": "alpha * grad @ transposed(mat2)", "mat2": "alpha * transposed(mat1) @ grad"},
        {"beta": (1,), "alpha": (1,)}, ("self", "mat1"),
    ),
    LocalRule(
        "BaddbmmBackward0", "baddbmm(self, batch1, batch2)",
        {"self": "grad * beta", "batch1": "alpha * grad @ transposed(batch2)", "batch2": "alpha * transposed(batch1) @ grad"},
        {"beta": (1,), "alpha": (1,)}, ("self", "batch1"),
    ),
    LocalRule(
        "AddmvBackward0", "addmv(self, mat, vec)",
        {"self": "grad * beta", "mat": "alpha * outer(grad, vec)", "vec": "alpha * transposed(mat) @ grad"},
        {"beta": (1,), "alpha": (1,)}, ("self", "mat"),
    ),
    LocalRule(
        "AddrBackward0", "addr(self, vec1, vec2)",
        {"self": "grad * beta", "vec1": "alpha * grad @ vec2", "vec2": "alpha * transposed(grad) @ vec1"},
        {"beta": (1,), "alpha": (1,)}, ("self", "vec1"),
    ),
    LocalRule("LinalgCrossBackward0", "linalg_cross(self, other)",
         {"self": "cross(other, grad)", "other": "cross(grad, self)"}, {}, ("self",)),
    LocalRule("LinalgInvExBackward0", "linalg_inv_ex(A)[0]",
         {"A": "-transposed(result) @ grad @ transposed(result)"}),
    LocalRule("LinalgDetBackward0", "linalg_det(A)", {"A": "grad * result * transposed(inverse(A))"}),
    LocalRule("MseLossBackward0", "mse_loss(self, target)",
         {"self": "grad * 2 * (self - target) / n", "target": "grad * 2 * (target - self) / n"}, _MEAN),
    LocalRule(
        "SmoothL1LossBackward0", "smooth_l1_loss(self, target)",
        {"self": "grad * where(abs(self - target) < beta, (self - target) / beta, sign(self - target)) / n",
         "target": "grad * where(abs(self - target) < beta, (target - self) / beta, sign(target - self)) / n"},
        {"beta": (1,), **_MEAN},
    ),
    LocalRule(
        "HuberLossBackward0", "huber_loss(self, target)",
        {"self": "grad * where(abs(self - target) <= delta, self - target, delta * sign(self - target)) / n",
         "target": "grad * where(abs(self - target) <= delta, target - self, delta * sign(target - self)) / n"},
        {"delta": (1,), **_MEAN},
    ),
    LocalRule(
        "BinaryCrossEntropyBackward0", "binary_cross_entropy(self, target)",
        {"self": "grad * (self - target) / (self * (1 - self)) / n", "target": "grad * (log(1 - self) - log(self)) / n"},
        _MEAN,
    ),
    LocalRule(
        "BinaryCrossEntropyWithLogitsBackward0", "binary_cross_entropy_with_logits(self, target)",
        {"self": "grad * (sigmoid(self) - target) / n", "target": "-grad * self / n"}, _MEAN,
    ),
    LocalRule(
        "SoftMarginLossBackward0", "soft_margin_loss(self, target)",
        {"self": "-grad * target * sigmoid(-target * self) / n"}, _MEAN,
    ),
    LocalRule("NllLossBackward0", "nll_loss(self, target)",
         {"self": "-at_classes(grad, self, target) / n"}, {"n": ("size(target)", 1)}),
    LocalRule("NllLoss2DBackward0", "nll_loss2d(self, target)",
         {"self": "-at_classes(grad, self, target) / n"}, {"n": ("size(target)", 1)}),
    LocalRule(
        "NativeLayerNormBackward0", "native_layer_norm(input, normalized_shape, weight, bias, 1e-5)[0]",
        {
            "input": "result2 * (grad * weight - average(grad * weight, dim) "
            f"- {_CENTRED} * average(grad * weight * {_CENTRED}, dim))",
            "weight": f"grad * {_CENTRED}",
            "bias": "grad",
        },
    ),
)  # fmt: skip
"""The rules. `result1` and `result2` of a normalization are the mean and the inverse of the standard deviation."""
