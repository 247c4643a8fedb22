"""List the rules of operations that compute each element from the elements at the same index."""

from __future__ import annotations

from typing import Final

from .rule import LocalRule

_UNARY: Final = {
    "AbsBackward0": ("abs(self)", "grad * sign(self)"),
    "NegBackward0": ("-self", "-grad"),
    "ExpBackward0": ("exp(self)", "grad * result"),
    "Exp2Backward0": ("exp2(self)", "grad * result * log(2)"),
    "Expm1Backward0": ("expm1(self)", "grad * (result + 1)"),
    "LogBackward0": ("log(self)", "grad / self"),
    "Log2Backward0": ("log2(self)", "grad / (self * log(2))"),
    "Log10Backward0": ("log10(self)", "grad / (self * log(10))"),
    "Log1PBackward0": ("log1p(self)", "grad / (self + 1)"),
    "SqrtBackward0": ("sqrt(self)", "grad / (2 * result)"),
    "RsqrtBackward0": ("rsqrt(self)", "-grad * result ** 3 / 2"),
    "ReciprocalBackward0": ("reciprocal(self)", "-grad * result ** 2"),
    "SinBackward0": ("sin(self)", "grad * cos(self)"),
    "CosBackward0": ("cos(self)", "-grad * sin(self)"),
    "TanBackward0": ("tan(self)", "grad * (1 + result ** 2)"),
    "AsinBackward0": ("asin(self)", "grad / sqrt(1 - self ** 2)"),
    "AcosBackward0": ("acos(self)", "-grad / sqrt(1 - self ** 2)"),
    "AtanBackward0": ("atan(self)", "grad / (1 + self ** 2)"),
    "SinhBackward0": ("sinh(self)", "grad * cosh(self)"),
    "CoshBackward0": ("cosh(self)", "grad * sinh(self)"),
    "TanhBackward0": ("tanh(self)", "grad * (1 - result ** 2)"),
    "AsinhBackward0": ("asinh(self)", "grad / sqrt(self ** 2 + 1)"),
    "AcoshBackward0": ("acosh(self)", "grad / sqrt(self ** 2 - 1)"),
    "AtanhBackward0": ("atanh(self)", "grad / (1 - self ** 2)"),
    "SigmoidBackward0": ("sigmoid(self)", "grad * result * (1 - result)"),
    "LogSigmoidBackward0": ("logsigmoid(self)", "grad * (1 - sigmoid(self))"),
    "ReluBackward0": ("relu(self)", "grad * (result > 0)"),
    "SiluBackward0": ("silu(self)", "grad * sigmoid(self) * (1 + self * (1 - sigmoid(self)))"),
    "MishBackward0": (
        "mish(self)",
        "grad * (tanh(log(1 + exp(self))) + self * sigmoid(self) * (1 - tanh(log(1 + exp(self))) ** 2))",
    ),
    "HardsigmoidBackward0": ("hardsigmoid(self)", "grad * where(abs(self) < 3, 1 / 6, 0)"),
    "HardswishBackward0": (
        "hardswish(self)",
        "grad * where(self <= -3, 0, where(self >= 3, 1, self / 3 + 1 / 2))",
    ),
    "ErfBackward0": ("erf(self)", "grad * 2 / sqrt(pi) * exp(-self ** 2)"),
    "ErfcBackward0": ("erfc(self)", "-grad * 2 / sqrt(pi) * exp(-self ** 2)"),
    "ErfinvBackward0": ("erfinv(self)", "grad * sqrt(pi) / 2 * exp(result ** 2)"),
    "SincBackward0": (
        "sinc(self)",
        "grad * where(self == 0, 0, (pi * self * cos(pi * self) - sin(pi * self)) / (pi * self ** 2))",
    ),
    "SignBackward0": ("sign(self)", "grad * 0"),
    "SgnBackward0": ("sgn(self)", "grad * 0"),
    "FloorBackward0": ("floor(self)", "grad * 0"),
    "CeilBackward0": ("ceil(self)", "grad * 0"),
    "RoundBackward0": ("round(self)", "grad * 0"),
    "TruncBackward0": ("trunc(self)", "grad * 0"),
    "FracBackward0": ("frac(self)", "grad"),
    "Deg2RadBackward0": ("deg2rad(self)", "grad * pi / 180"),
    "Rad2DegBackward0": ("rad2deg(self)", "grad * 180 / pi"),
    "NanToNumBackward0": ("nan_to_num(self)", "grad * isfinite(self)"),
    "LogitBackward0": ("logit(self)", "grad / (self * (1 - self))"),
}
"""The calls and the gradients of functions of one tensor, by the class of their nodes."""

_RATIO: Final = {"other": ("ratio(sent, grad)",)}
"""The number by which a node multiplies `grad`, if the program's text does not show it. `sent` is the recorded product."""
_NORMAL: Final = "(1 + erf(self / sqrt(2))) / 2 + self * exp(-self ** 2 / 2) / sqrt(2 * pi)"

RULES: Final = (
    *(LocalRule(op, value, {"self": gradient}) for op, (value, gradient) in _UNARY.items()),
    LocalRule("GeluBackward0", "gelu(self)", {"self": f"grad * ({_NORMAL})"}),
    LocalRule("SoftplusBackward0", "softplus(self, beta)", {"self": "grad * sigmoid(beta * self)"}, {"beta": (1,)}),
    LocalRule(
        "LeakyReluBackward0", "leaky_relu(self, negative_slope)",
        {"self": "grad * where(self > 0, 1, negative_slope)"}, {"negative_slope": (0.01, 0.2, 0.1)},
    ),
    LocalRule(
        "LeakyReluBackward1", "leaky_relu_(self.clone(), negative_slope)",
        {"self": "grad * where(result > 0, 1, negative_slope)"}, {"negative_slope": (0.01, 0.2, 0.1)},
    ),
    LocalRule(
        "EluBackward0", "elu(self, alpha)",
        {"self": "grad * scale * where(self > 0, 1, alpha * exp(self))"},
        {"alpha": (1, 1.6732632423543772), "scale": (1, 1.0507009873554805)},
    ),
    LocalRule("CeluBackward0", "celu(self, alpha)", {"self": "grad * where(self > 0, 1, exp(self / alpha))"}, {"alpha": (1,)}),
    LocalRule(
        "HardtanhBackward0", "hardtanh(self, min_val, max_val)", {"self": "grad * (self > min_val) * (self < max_val)"},
        {"min_val": (-1, 0), "max_val": (1, 6)},
    ),
    LocalRule("SoftshrinkBackward0", "softshrink(self, lambd)", {"self": "grad * (abs(self) > lambd)"}, {"lambd": (0.5,)}),
    LocalRule("HardshrinkBackward0", "hardshrink(self, lambd)", {"self": "grad * (abs(self) > lambd)"}, {"lambd": (0.5,)}),
    LocalRule("ThresholdBackward0", "threshold(self, limit, 0)", {"self": "grad * (self > limit)"}, {"limit": (0,)}),
    LocalRule(
        "ClampBackward1", "clamp(self, min, max)", {"self": "grad * (self >= min) * (self <= max)"},
        {"min": (-float("inf"), 0, -1, 1e-8), "max": (float("inf"), 1)},
    ),
    LocalRule(
        "ClampBackward0", "clamp(self, min, max)",
        {"self": "grad * (self >= min) * (self <= max)", "min": "grad * (self < min) * (min < max)",
         "max": "grad * where(self > max, 1, max < min)"},
        {"min": (-float("inf"),), "max": (float("inf"),)},
    ),
    LocalRule(
        "PreluKernelBackward0", "_prelu_kernel(self, weight)",
        {"self": "grad * where(self > 0, 1, weight)", "weight": "grad * where(self > 0, 0, self)"},
    ),
    LocalRule("ClampMinBackward0", "clamp_min(self, min)", {"self": "grad * (self >= min)"}, {"min": (0, 1e-8, 1e-7, 1e-6)}),
    LocalRule("ClampMaxBackward0", "clamp_max(self, max)", {"self": "grad * (self <= max)"}, {"max": (1, 0)}),
    LocalRule("AddBackward0", "self + other", {"self": "grad", "other": "grad * alpha"}, {"alpha": (1,)}, ("self", "other")),
    LocalRule("SubBackward0", "self - other", {"self": "grad", "other": "-grad * alpha"}, {"alpha": (1,)}, ("self", "other")),
    LocalRule(
        "RsubBackward0", "rsub(self, other)", {"self": "-grad * alpha", "other": "grad"}, {"alpha": (1,)}, ("self", "other")
    ),
    LocalRule("AddBackward1", "self + 0.3", {"self": "grad"}),
    LocalRule("SubBackward1", "self - 0.3", {"self": "grad"}),
    LocalRule("MulBackward1", "self * other", {"self": "grad * other"}, _RATIO, ("self",)),
    LocalRule("DivBackward1", "self / other", {"self": "grad / other"}, {"other": ("ratio(grad, sent)",)}, ("self",)),
    LocalRule("RsubBackward1", "other - self", {"self": "-grad * alpha"}, {"alpha": (1,)}),
    LocalRule("MulBackward0", "self * other", {"self": "grad * other", "other": "grad * self"}, {}, ("self",)),
    LocalRule(
        "DivBackward0", "self / other", {"self": "grad / other", "other": "-grad * self / other ** 2"}, {}, ("self",),
    ),
    LocalRule(
        "PowBackward0", "self ** exponent", {"self": "grad * exponent * self ** (exponent - 1)"},
        {"exponent": (2, 3, 0.5, 4, -1, -2, 1)},
    ),
    LocalRule(
        "PowBackward1", "self ** exponent",
        {"self": "grad * exponent * self ** (exponent - 1)", "exponent": "grad * result * log(self)"},
    ),
    LocalRule("PowBackward2", "self ** exponent", {"exponent": "grad * result * log(self)"}, {"self": (2, 10)}),
    LocalRule(
        "Atan2Backward0", "atan2(self, other)",
        {"self": "grad * other / (self ** 2 + other ** 2)", "other": "-grad * self / (self ** 2 + other ** 2)"},
    ),
    LocalRule("HypotBackward0", "hypot(self, other)", {"self": "grad * self / result", "other": "grad * other / result"}),
    LocalRule(
        "MaximumBackward0", "maximum(self, other)",
        {
            "self": "grad * where(self == other, 1 / 2, self > other)",
            "other": "grad * where(self == other, 1 / 2, other > self)",
        },
    ),
    LocalRule(
        "MinimumBackward0", "minimum(self, other)",
        {
            "self": "grad * where(self == other, 1 / 2, self < other)",
            "other": "grad * where(self == other, 1 / 2, other < self)",
        },
    ),
    LocalRule("FmaxBackward0", "fmax(self, other)", {"self": "grad * (self >= other)", "other": "grad * (self < other)"}),
    LocalRule("FminBackward0", "fmin(self, other)", {"self": "grad * (self <= other)", "other": "grad * (self > other)"}),
    LocalRule("FmodBackward0", "fmod(self, 0.3)", {"self": "grad"}),
    LocalRule("FmodBackward1", "fmod(self, other)", {"self": "grad", "other": "-grad * trunc(self / other)"}),
    LocalRule("RemainderBackward0", "remainder(self, 0.3)", {"self": "grad"}),
    LocalRule("RemainderBackward1", "remainder(self, other)", {"self": "grad", "other": "-grad * floor(self / other)"}),
    LocalRule("CopysignBackward0", "copysign(self, other)", {"self": "grad * sign(self) * sign(other)", "other": "grad * 0"}),
    LocalRule(
        "LogaddexpBackward0", "logaddexp(self, other)",
        {"self": "grad / (1 + exp(other - self))", "other": "grad / (1 + exp(self - other))"},
    ),
    LocalRule(
        "Logaddexp2Backward0", "logaddexp2(self, other)",
        {"self": "grad / (1 + 2 ** (other - self))", "other": "grad / (1 + 2 ** (self - other))"},
    ),
    LocalRule("XlogyBackward0", "xlogy(self, other)", {"self": "grad * log(other)", "other": "grad * self / other"}),
    LocalRule(
        "LerpBackward0", "lerp(self, end, weight)", {"self": "grad * (1 - weight)", "end": "grad * weight"},
        {"weight": (0.5, 0.1)}, ("self", "end"),
    ),
    LocalRule(
        "LerpBackward1", "lerp(self, end, weight)",
        {"self": "grad * (1 - weight)", "end": "grad * weight", "weight": "grad * (end - self)"}, {}, ("self", "end"),
    ),
    LocalRule(
        "AddcmulBackward0", "addcmul(self, tensor1, tensor2)",
        {"self": "grad", "tensor1": "grad * tensor2 * value", "tensor2": "grad * tensor1 * value"}, {"value": (1,)},
        ("self", "tensor1"),
    ),
    LocalRule(
        "AddcdivBackward0", "addcdiv(self, tensor1, tensor2)",
        {"self": "grad", "tensor1": "grad * value / tensor2", "tensor2": "-grad * value * tensor1 / tensor2 ** 2"},
        {"value": (1,)}, ("self", "tensor1"),
    ),
    LocalRule(
        "WhereBackward0", "where(condition, self, other)",
        {"self": "where(condition, grad, 0)", "other": "where(condition, 0, grad)"}, {}, ("self", "other"),
    ),
    LocalRule("MaskedFillBackward0", "masked_fill(self, mask, 0.0)", {"self": "where(mask, 0, grad)"}, {}, ("self",)),
    LocalRule("CloneBackward0", "clone(self)", {"self": "grad"}, {}, ("self",), True),
    LocalRule("ToCopyBackward0", "to(self, float32)", {"self": "grad"}, {}, ("self",), True),
    LocalRule("AliasBackward0", "alias(self)", {"self": "grad"}, {}, ("self",), True),
)  # fmt: skip
