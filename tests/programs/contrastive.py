import torch
import torch.nn.functional as F
from torch import nn

encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
optimizer = torch.optim.SGD(encoder.parameters(), lr=0.2)
log_temperature = nn.Parameter(torch.tensor(0.0))
optimizer.add_param_group({"params": [log_temperature], "lr": 0.05})


def augment(x):
    return x + 0.1 * torch.randn_like(x)


def nt_xent(a, b):
    z = F.normalize(torch.cat([a, b]), dim=1)
    sim = z @ z.T / log_temperature.exp()
    sim = sim.masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    n = len(a)
    return F.cross_entropy(sim, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


for step in range(3):
    batch = torch.randn(5, 6)
    loss = nt_xent(encoder(augment(batch)), encoder(augment(batch)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
encoder.eval()
with torch.no_grad():
    embedded = F.normalize(encoder(batch))
print(f"{loss:.4f}")
