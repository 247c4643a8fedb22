"""List the rules of operations that move, copy or choose elements."""

from __future__ import annotations

from typing import Final

from .rule import GRADIENTS, MOST_OUTPUTS, LocalRule

_LIKE: Final = "reshaped(grad, self)"
_COPY: Final = "spread(grad, self)"

RULES: Final = (
    *(
        LocalRule(op, value, {"self": gradient}, {}, ("self",), True)
        for op, value, gradient in (
            ("ViewBackward0", "view(self, shape)", _LIKE),
            ("ReshapeAliasBackward0", "reshape(self, shape)", _LIKE),
            ("UnsafeViewBackward0", "_unsafe_view(self, shape)", _LIKE),
            ("UnsqueezeBackward0", "unsqueeze(self, dim)", _LIKE),
            ("SqueezeBackward0", "squeeze(self)", _LIKE),
            ("SqueezeBackward1", "squeeze(self, dim)", _LIKE),
            ("SqueezeBackward2", "squeeze(self, dims)", _LIKE),
            ("ExpandBackward0", "expand(self, shape)", "grad"),
            ("RepeatBackward0", "repeat(self, repeats)", "repeated(grad, self)"),
            ("TBackward0", "t(self)", "transposed(grad)"),
            ("TBackward1", "t_(self.clone())", "transposed(grad)"),
            ("TransposeBackward0", "transpose(self, dim0, dim1)", "swapped(grad, dim0, dim1)"),
            ("TransposeBackward1", "transpose_(self.clone(), dim0, dim1)", "swapped(grad, dim0, dim1)"),
            ("UnsqueezeBackward1", "unsqueeze_(self.clone(), dim)", _LIKE),
            ("SqueezeBackward3", "squeeze_(self.clone())", _LIKE),
            ("SqueezeBackward4", "squeeze_(self.clone(), dim)", _LIKE),
            ("PermuteBackward0", "permute(self, dims)", "unpermuted(grad, dims)"),
            ("SelectBackward0", "select(self, dim, index)", "inserted(grad, self, dim, index)"),
            ("SliceBackward0", "slice(self, dim, start, end, step)", "inserted(grad, self, dim, start, step)"),
            ("IndexSelectBackward0", "index_select(self, dim, index)", "rows_added(grad, self, dim, index)"),
            ("GatherBackward0", "gather(self, dim, index)", "scattered(grad, self, dim, index)"),
            ("FlipBackward0", "flip(self, dims)", "flipped(grad, dims)"),
            ("RollBackward0", "roll(self, shifts, dim)", "rolled(grad, -shifts, dim)"),
            ("TrilBackward0", "tril(self, diagonal)", "triangle(grad, False, diagonal)"),
            ("TriuBackward0", "triu(self, diagonal)", "triangle(grad, True, diagonal)"),
        )
    ),
    LocalRule(
        "EmbeddingBackward0", "embedding(indices, weight)", {"weight": "rows_added(grad, weight, 0, indices)"}, {},
        ("weight",), True,
    ),
)  # fmt: skip

MOST_JOINED: Final = 64
"""Largest number of tensors for which :func:`joining` makes a rule."""


def joining(op: str, count: int) -> LocalRule | None:
    """Return the rule of a node that joins ``count`` tensors; ``None`` for other nodes, and for very many tensors."""
    if op not in ("CatBackward0", "StackBackward0") or not 0 < count <= MOST_JOINED:
        return None
    names = [f"tensor{at}" for at in range(count)]
    listed = ", ".join(names)
    code = "layer_of(grad, {at}, dim)" if op == "StackBackward0" else f"part_of(grad, {{at}}, dim, {listed})"
    call = "stack" if op == "StackBackward0" else "cat"
    gradients = {name: code.format(at=at) for at, name in enumerate(names)}
    # a constant among the tensors is no operand of the graph, so only the others are known
    return LocalRule(op, f"{call}({listed}, dim)", gradients, dict.fromkeys(names, (None,)), tuple(names), True)


SPLITTING: Final = {
    "SplitBackward0": "joined", "SplitWithSizesBackward0": "joined", "UnsafeSplitBackward0": "joined",
    "UnsafeSplitWithSizesBackward0": "joined", "UnbindBackward0": "stacked",
}  # fmt: skip
"""The operations that split a tensor, each with the function that puts the gradients of its parts together."""


def splitting(op: str, count: int) -> LocalRule | None:
    """Return the rule of a node that splits a tensor into ``count`` parts; ``None`` for other nodes, or very many parts."""
    if op not in SPLITTING or not 0 < count <= MOST_OUTPUTS:
        return None
    call = "unbind(self, dim)" if op == "UnbindBackward0" else "split(self, size, dim)"
    gradients = ", ".join(GRADIENTS[:count])
    return LocalRule(op, call, {"self": f"{SPLITTING[op]}(self, dim, {gradients})"}, {}, ("self",), True)
