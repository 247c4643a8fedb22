# Fit a line with torch.optim.SGD
# Two parameters and momentum: the slope m and the intercept b of y = 2x + 1.
# Tags: training, optimizer, momentum
import torch

x = torch.linspace(-1, 1, 8)
y = 2 * x + 1
m = torch.tensor(0.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
optimizer = torch.optim.SGD([m, b], lr=0.2, momentum=0.5)

for step in range(30):
    y_pred = m * x + b
    loss = ((y_pred - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

m, b
