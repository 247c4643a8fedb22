# A recurrent cell, unrolled
# The same weights are used at every time step: their gradient is the sum of one contribution per step.
# Tags: sequence, recurrent, sum of gradients
import torch

inputs = torch.tensor([1.0, -0.5, 0.25, 2.0])
w_in = torch.tensor(0.8, requires_grad=True)
w_back = torch.tensor(0.5, requires_grad=True)

h = torch.tensor(0.0)
for x in inputs:
    h = torch.tanh(w_in * x + w_back * h)

loss = (h - 0.5) ** 2
loss.backward()

w_in.grad, w_back.grad
