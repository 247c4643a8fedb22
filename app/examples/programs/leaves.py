# Leaves and retain_grad
# Which of five tensors are leaves, and whose .grad is filled? h keeps its gradient only because retain_grad() asks for it.
# Tags: leaf, retain_grad, detach
import torch

x = torch.tensor([3.0, 4.0])
a = torch.tensor([1.0, 2.0], requires_grad=True)
h = a * 3
d = h.detach()
w = torch.ones(2, requires_grad=True) * 0.1  # the ones are the leaf, not w
x.is_leaf, a.is_leaf, h.is_leaf, d.is_leaf, w.is_leaf

h.retain_grad()
loss = (h ** 2).sum()
loss.backward()

a.grad, h.grad
