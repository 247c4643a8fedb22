"""Tests of the gradient check: it reports no gradient of a correct program as wrong."""

from __future__ import annotations

import pytest
from tapedeck import wire

from .test_answers import verdicts

BEGIN = """\
import torch
from torch import nn
from torch.nn import functional as F
torch.manual_seed(3)
w = torch.randn(3, 4, requires_grad=True)
ties = torch.tensor([[0., 1., -1., 2.], [2., 0., 0., 1.], [1., 1., -2., 0.]], requires_grad=True)
x = torch.randn(6, 4)
"""
PROGRAMS = {
    "relu at 0": "(F.relu(ties) - F.relu(-ties) + F.relu6(ties) + F.hardshrink(ties)).sum()",
    "shared maxima": "ties.max() + ties.amax(0).sum() + torch.maximum(ties, ties.flip(1)).sum() + F.max_pool1d(ties, 2).sum()",
    "shared maxima clamped": "F.cross_entropy(torch.minimum(ties.clamp(-0.5, 0.5), F.relu(ties)), torch.tensor([0, 1, 3]))",
    "sorted": "(ties.sort(1)[0] * w.detach()).sum() + ties.cummax(1)[0].mean() + w.topk(2)[0].sum() + w.median()",
    "sorted against a mean": "torch.minimum((ties.round() * 0.1 + ties).sort(1)[0], ties).softmax(1)[0].sum() + ties.mean()",
    "rounded": "(ties.floor() * w + ties.frac() + ties.sign() + w.round()).sum()",
    "views": "w.t()[1:, ::2].reshape(-1).unfold(0, 2, 1).square().sum() + torch.as_strided(w, (2, 3), (1, 2), 1).exp().sum()",
    "indices": "w[torch.tensor([0, 2, 2])].square().sum() + w.gather(1, torch.zeros(3, 2).long()).sum() + w[w > 0].exp().sum()",
    "sums at indices": "torch.zeros(3, 4).index_put((torch.tensor([0, 1, 1]),), w, accumulate=True).square().sum()",
    "sparse": "torch.sparse.mm(torch.eye(3).to_sparse(), w).square().sum() + torch.sparse.sum(w.to_sparse() * 3)",
    "complex": "torch.fft.fft(w).abs().square().sum() + torch.view_as_complex(w.view(3, 2, 2)).exp().imag.sum()",
    "dtypes": "(w.double() * w).sum() + (w.half() * 2).float().mean() + w.to(torch.bfloat16).exp().float().sum()",
    "batch norm": "nn.BatchNorm1d(4)(w).pow(3).sum()",
    "a gradient that cancels": "nn.BatchNorm1d(4)(w).mean()",
    "a gradient that cancels in float64": "F.layer_norm(w.double(), (4,)).mean()",
    "dropout": "(F.dropout(w, 0.5) + F.alpha_dropout(w, 0.3) + F.rrelu(w, training=True)).square().sum()",
    "attention": "F.scaled_dot_product_attention(w[None], w[None], w[None].sin(), is_causal=True).square().sum()",
    "a recurrent network": "nn.LSTM(4, 3, 2, bidirectional=True)(w[None])[0].square().sum()",
    "convolutions": "nn.Sequential(nn.Conv1d(3, 2, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.MaxPool1d(2))(w[None]).sum()",
    "matrices": "torch.linalg.cholesky(w @ w.T + torch.eye(3)).sum() + torch.linalg.svdvals(w).sum() + (w @ w.T).logdet()",
    "norms": "w.norm(1) + ties.norm() + ties.norm(float('inf')) + torch.cdist(w, x).sum() + (w * 0).norm()",
    "a norm that is constant": "(F.normalize(w, dim=1).cumsum(0) - F.normalize(w, dim=1).cumsum(0).mean(0)).sum()",
}
UNDER_AUTOCAST = {
    "a weight twice": "((x @ w.T) @ w).square().mean()",
    "a norm": "nn.BatchNorm1d(3)(nn.Linear(4, 3)(x)).tanh().square().mean()",
    "a term that is not finite": "ties.to(torch.bfloat16).float().mean() + ties.square().sqrt().mean()",
    "kinks": "F.relu(nn.Linear(4, 8)(x)).amax(1).square().mean()",
    "shared maxima clamped": "F.cross_entropy(torch.minimum(ties.clamp(-0.5, 0.5), F.relu(ties)), torch.tensor([0, 1, 3]))",
    "a gradient that cancels": "(x @ w.T - (x @ w.T).mean(0)).mean()",
    "a network": "nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 1))(x).mean()",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_correct_gradient_is_not_called_wrong(name: str) -> None:
    found = verdicts(f"{BEGIN}loss = {PROGRAMS[name]}\nloss.backward()\n")
    assert found
    assert set().union(*found.values()) <= {wire.RIGHT, wire.KINK}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", UNDER_AUTOCAST)
def test_a_correct_gradient_under_autocast_is_not_called_wrong(name: str, dtype: str) -> None:
    found = verdicts(
        f"{BEGIN}with torch.autocast('cpu', dtype=torch.{dtype}):\n    loss = {UNDER_AUTOCAST[name]}\n(100 * loss).backward()\n"
    )
    assert found
    assert set().union(*found.values()) <= {wire.RIGHT, wire.KINK, *([wire.UNKNOWN] if "finite" in name else [])}


@pytest.mark.parametrize(
    "computed",
    [
        "with torch.autocast('cpu'):\n    a = x @ w.T\nwith torch.autocast('cpu'):\n    b = x @ w.T @ w\n",
        "with torch.autocast('cpu', cache_enabled=False):\n    a = b = x @ w.T @ w\n",
        "with torch.autocast('cpu'):\n    b = x @ w.T\n    with torch.autocast('cpu', enabled=False):\n        a = x @ w.T\n",
    ],
)
def test_a_cast_that_autocast_caches_is_cached_in_a_replay_too(computed: str) -> None:
    found = verdicts(f"{BEGIN}{computed}(a.square().mean() + b.square().mean()).backward()\n")
    assert found == {"w": {wire.RIGHT}}


def test_a_backward_that_is_wrong_everywhere_is_not_called_a_kink() -> None:
    program = """\
class Clipped(torch.autograd.Function):
    forward = staticmethod(lambda ctx, x: x.clamp(-0.5, 0.5))
    backward = staticmethod(lambda ctx, grad: grad)
Clipped.apply(2 * w).sum().backward()
"""
    assert wire.WRONG in verdicts(BEGIN + program)["w"]
