import math

import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None, dropout=0.0):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, float("-inf"))
    weights = F.softmax(scores, dim=-1)
    weights = F.dropout(weights, dropout)
    return weights @ v, weights


x = torch.randn(2, 5, 8)
Wq, Wk, Wv = (torch.randn(8, 8, requires_grad=True) for _ in range(3))
mask = torch.tril(torch.ones(5, 5))
q, k, v = (x @ W for W in (Wq, Wk, Wv))
out, weights = attention(q, k, v, mask, dropout=0.1)
weights.retain_grad()
loss = out.square().mean()
loss.backward()
print(weights.grad.shape, Wq.grad.norm())
