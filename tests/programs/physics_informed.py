import torch
from torch import nn

torch.manual_seed(123)


class FCN(nn.Module):
    def __init__(self, hidden, layers):
        super().__init__()
        self.start = nn.Sequential(nn.Linear(1, hidden), nn.Tanh())
        self.middle = nn.Sequential(*[nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh()) for _ in range(layers - 1)])
        self.end = nn.Linear(hidden, 1)

    def forward(self, t):
        return self.end(self.middle(self.start(t)))


# a damped oscillator: u'' + 4 u' + 400 u = 0, u(0) = 1, u'(0) = 0
pinn = FCN(8, 2)
t_boundary = torch.tensor(0.0).view(-1, 1).requires_grad_(True)
t_physics = torch.linspace(0, 1, 10).view(-1, 1).requires_grad_(True)
optimiser = torch.optim.Adam(pinn.parameters(), lr=1e-3)
for i in range(3):
    optimiser.zero_grad()
    u = pinn(t_boundary)
    loss1 = (torch.squeeze(u) - 1) ** 2
    dudt = torch.autograd.grad(u, t_boundary, torch.ones_like(u), create_graph=True)[0]
    loss2 = (torch.squeeze(dudt) - 0) ** 2
    u = pinn(t_physics)
    dudt = torch.autograd.grad(u, t_physics, torch.ones_like(u), create_graph=True)[0]
    d2udt2 = torch.autograd.grad(dudt, t_physics, torch.ones_like(dudt), create_graph=True)[0]
    loss3 = torch.mean((d2udt2 + 4 * dudt + 400 * u) ** 2)
    loss = loss1 + 1e-1 * loss2 + 1e-4 * loss3
    loss.backward()
    optimiser.step()
print(f"{loss.item():.5f}")
