import torch
from torch import nn


class TiedAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 5) / 5)
        self.b1, self.b2 = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(5))

    def forward(self, x):
        h = torch.sigmoid(nn.functional.linear(x, self.weight, self.b1))
        return nn.functional.linear(h, self.weight.t(), self.b2)


model = TiedAutoencoder()
step = nn.Linear(5, 5)
loop = nn.Sequential(step, nn.Tanh(), step, nn.Tanh(), step)  # one layer three times
optimizer = torch.optim.SGD([*model.parameters(), *loop.parameters()], lr=0.1)
x = torch.randn(6, 5)
for epoch in range(2):
    reconstruction = model(loop(x))
    loss = (reconstruction - x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(model.weight.grad.shape, step.weight.grad.norm())
