# Gradients on, gradients off
# The same product twice: under torch.no_grad() it has no grad_fn, and nothing is saved for a backward pass.
# Tags: no_grad, grad_fn
import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 5
y

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
with torch.no_grad():
    y = x * 5
y
