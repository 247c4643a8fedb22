"""List the rules of operations that choose elements by an index or a mask, or that return several results."""

from __future__ import annotations

from typing import Final

from .rule import LocalRule

_AT_INDICES: Final = "scattered(grad, self, dim, indices)"
_DEVIATION: Final = "(self - average(self, dim))"
_COUNT: Final = "(size(self, dim) - correction)"
_INDICES: Final = {"indices0": (None,), "indices1": (None,), "indices2": (None,)}
"""The indices of the first dimensions: a dimension that is taken whole has ``None``."""
_CORRECTION: Final = {"correction": (1, 0)}

RULES: Final = (
    *(
        LocalRule(op, value, {"self": _AT_INDICES}, {}, ("self",))
        for op, value in (
            ("TopkBackward0", "topk(self, 2, dim)[0]"),
            ("SortBackward0", "sort(self, dim)[0]"),
            ("SortBackward1", "sort(self, dim=dim, stable=True)[0]"),
            ("KthvalueBackward0", "kthvalue(self, 2, dim)[0]"),
            ("ModeBackward0", "mode(self, dim)[0]"),
            ("NanmedianBackward1", "nanmedian(self, dim)[0]"),
            ("CummaxBackward0", "cummax(self, dim)[0]"),
            ("CumminBackward0", "cummin(self, dim)[0]"),
        )
    ),
    LocalRule("MedianBackward0", "median(self)", {"self": "grad * (self == result) / total(self == result)"}),
    LocalRule("NanmedianBackward0", "nanmedian(self)", {"self": "grad * (self == result) / total(self == result)"}),
    LocalRule("CumprodBackward0", "cumprod(self, dim)", {"self": "reversed_sums(grad * result, dim) / self"}),
    LocalRule(
        "VarMeanBackward0", "var_mean(self, dim)",
        {"self": f"spread(grad, self, dim) * 2 * {_DEVIATION} / {_COUNT} + spread(grad1, self, dim) / size(self, dim)"},
        _CORRECTION,
    ),
    LocalRule(
        "StdMeanBackward0", "std_mean(self, dim)",
        {"self": f"spread(grad, self, dim) * {_DEVIATION} / (spread(result, self, dim) * {_COUNT}) "
         "+ spread(grad1, self, dim) / size(self, dim)"},
        _CORRECTION,
    ),
    LocalRule("LinalgSlogdetBackward0", "_linalg_slogdet(A)[1]", {"A": "grad1 * transposed(inverse(A))"}),
    LocalRule(
        "IndexAddBackward0", "index_add(self, dim, index, source)",
        {"self": "grad", "source": "alpha * rows_of(grad, dim, index)"}, {"alpha": (1, -1)}, ("self", "source"),
    ),
    LocalRule(
        "IndexCopyBackward0", "index_copy(self, dim, index, source)",
        {"self": "without_rows(grad, dim, index)", "source": "rows_of(grad, dim, index)"}, {}, ("self", "source"),
    ),
    LocalRule("IndexFillBackward0", "index_fill(self, dim, index, 2.0)", {"self": "without_rows(grad, dim, index)"}),
    LocalRule(
        "ScatterBackward0", "scatter(self, dim, index, src)",
        {"self": "without_places(grad, dim, index)", "src": "gathered(grad, dim, index)"}, {}, ("self", "src"),
    ),
    LocalRule("ScatterBackward1", "scatter(self, dim, index, 2.0)", {"self": "without_places(grad, dim, index)"}),
    LocalRule(
        "ScatterAddBackward0", "scatter_add(self, dim, index, src)",
        {"self": "grad", "src": "gathered(grad, dim, index)"}, {}, ("self", "src"),
    ),
    LocalRule("MaskedSelectBackward0", "masked_select(self, mask)", {"self": "placed(grad, self, mask)"}, {}, ("self",), True),
    LocalRule(
        "MaskedScatterBackward0", "masked_scatter(self, mask, source)",
        {"self": "where(mask, 0, grad)", "source": "collected(grad, source, mask)"}, {}, ("self", "source"),
    ),
    LocalRule(
        "MaskedFillBackward1", "masked_fill(self, mask, value)",
        {"self": "where(mask, 0, grad)", "value": "where(mask, grad, 0)"}, {}, ("self", "value"),
    ),
    LocalRule("TakeBackward0", "take(self, index)", {"self": "added_at(grad, self, index)"}, {}, ("self",), True),
    LocalRule(
        "DiagonalBackward0", "diagonal(self, offset)", {"self": "added_at(grad, self, diagonal_places(self, offset))"},
        {"offset": (0, 1, -1)}, ("self",), True,
    ),
    LocalRule(
        "UnfoldBackward0", "Tensor.unfold(self, dim, length, step)",
        {"self": "added_at(grad, self, window_places(self, dim, length, step))"}, {"length": (2, 3, 4)}, ("self",), True,
    ),
    LocalRule(
        "ReflectionPad1DBackward0", "reflection_pad1d(self, padding)",
        {"self": "added_at(grad, self, padding_places(self, grad, 'reflect'))"}, {}, ("self",), True,
    ),
    LocalRule(
        "ReplicationPad2DBackward0", "replication_pad2d(self, padding)",
        {"self": "added_at(grad, self, padding_places(self, grad, 'edge'))"}, {}, ("self",), True,
    ),
    LocalRule(
        "UpsampleNearest2DBackward0", "upsample_nearest2d(self, enlarged, None)",
        {"self": "added_at(grad, self, repeated_places(self, grad))"}, {}, ("self",), True,
    ),
    LocalRule(
        "PixelShuffleBackward0", "pixel_shuffle(self, factor)",
        {"self": "added_at(grad, self, shuffled_places(self, factor))"}, {"factor": (2, 3, 4)}, ("self",), True,
    ),
    LocalRule(
        "IndexBackward0", "self[indices0]",
        {"self": "added_at(grad, self, index_places(self, indices0, indices1, indices2))"}, _INDICES, ("self",), True,
    ),
    LocalRule(
        "IndexPutBackward0", "index_put(self, [indices0], values)",
        {
            "self": "grad - replaced * (grad - without_index(grad, indices0, indices1, indices2))",
            "values": "indexed(grad, indices0, indices1, indices2)",
        },
        {"replaced": (1, 0), **_INDICES},
    ),
    LocalRule(
        "ConstantPadNdBackward0", "constant_pad_nd(self, padding)", {"self": "cropped(grad, self, padding)"}, {}, ("self",)
    ),
    LocalRule(
        "GluBackward0", "glu(self, dim)",
        {"self": "joined(self, dim, grad * sigmoid(half(self, 1, dim)), grad * half(self, 0, dim) "
         "* sigmoid(half(self, 1, dim)) * (1 - sigmoid(half(self, 1, dim))))"},
    ),
)  # fmt: skip
