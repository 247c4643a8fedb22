import torch
from torch import nn


class Dynamics(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, t, y):
        return self.net(y ** 3)


def euler(f, y0, ts):
    ys = [y0]
    for t0, t1 in zip(ts[:-1], ts[1:]):
        ys.append(ys[-1] + (t1 - t0) * f(t0, ys[-1]))
    return torch.stack(ys)


ts = torch.linspace(0, 1, 6)
true_A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
with torch.no_grad():
    target = euler(lambda t, y: (y ** 3) @ true_A, torch.tensor([[2.0, 0.0]]), ts)
f = Dynamics()
optimizer = torch.optim.RMSprop(f.parameters(), lr=1e-3)
for itr in range(1, 3):
    optimizer.zero_grad()
    pred_y = euler(f, target[0], ts)
    loss = torch.mean(torch.abs(pred_y - target))
    loss.backward()
    optimizer.step()
    print("Iter {:04d} | Total Loss {:.6f}".format(itr, loss.item()))
