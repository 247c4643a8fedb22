# An attention head
# Queries, keys and values come from one sequence; a causal mask lets each position attend only to earlier ones.
# Tags: attention, mask, softmax
import torch
from torch import nn

tokens, width = 4, 6
x = torch.randn(tokens, width)
query, key, value = (nn.Linear(width, width, bias=False) for _ in range(3))

scores = query(x) @ key(x).T / width ** 0.5
later = torch.ones(tokens, tokens).triu(1).bool()
weights = scores.masked_fill(later, float("-inf")).softmax(-1)
weights

out = weights @ value(x)
loss = out.square().mean()
loss.backward()

query.weight.grad.norm(), key.weight.grad.norm(), value.weight.grad.norm()
