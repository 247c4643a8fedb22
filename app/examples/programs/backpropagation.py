# Backpropagation
# One training step for y = 2x by hand: where does −9.3333 come from, and what is m after its update?
# Tags: leaf, update by hand, chain rule
import torch

x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)  # our initial guess

y_pred = m * x
loss = ((y_pred - y) ** 2).mean()  # calculate MSE
loss

loss.backward()  # calculate gradient
m.grad

learning_rate = .01
m = m - learning_rate * m.grad
m
