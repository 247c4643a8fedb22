# A network that solves an equation
# The loss contains the network's own derivative: u′ = −u with u(0) = 1 is learned without a single solution value.
# Tags: second derivatives, create_graph, physics
import torch
from torch import nn

torch.manual_seed(0)
u = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1))
optimizer = torch.optim.Adam(u.parameters(), lr=0.04)

for step in range(30):
    t = torch.linspace(0, 2, 16).unsqueeze(1).requires_grad_()
    value = u(t)
    slope, = torch.autograd.grad(value.sum(), t, create_graph=True)
    equation = ((slope + value) ** 2).mean()
    start = (u(torch.zeros(1, 1)) - 1).square().mean()
    loss = equation + start
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

u(torch.tensor([[1.0]])).item()  # towards exp(−1) = 0.37
