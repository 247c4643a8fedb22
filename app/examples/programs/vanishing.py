# A deep chain of sigmoids
# Each sigmoid multiplies the gradient by at most ¼: after ten of them, almost nothing reaches w.
# Tags: vanishing gradient, sigmoid
import torch

w = torch.tensor(0.5, requires_grad=True)
h = w
for layer in range(10):
    h = torch.sigmoid(h)
loss = (h - 1) ** 2
loss.backward()

w.grad
