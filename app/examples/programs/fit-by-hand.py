# Fit y = 2x by hand
# Twenty steps of gradient descent on one parameter: m rises from 1 to 2, and its gradient shrinks.
# Tags: training, update by hand, leaf
import torch

x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
lr = 0.05

for step in range(20):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= lr * m.grad
    m.grad = None

m
