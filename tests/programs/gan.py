import torch
from torch import nn
G = nn.Linear(2, 2); D = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
og = torch.optim.SGD(G.parameters(), 0.1); od = torch.optim.SGD(D.parameters(), 0.1)
bce = nn.BCEWithLogitsLoss()
for i in range(3):
    real = torch.randn(4, 2); fake = G(torch.randn(4, 2))
    d_loss = bce(D(real), torch.ones(4, 1)) + bce(D(fake.detach()), torch.zeros(4, 1))
    od.zero_grad(); d_loss.backward(); od.step()
    g_loss = bce(D(fake), torch.ones(4, 1))
    og.zero_grad(); g_loss.backward(); og.step()
