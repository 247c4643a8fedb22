import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def spirals(n, noise=0.1):
    theta = torch.rand(n) * 2 * math.pi
    sign = torch.randint(0, 2, (n,))
    r = theta + math.pi * sign
    points = torch.stack([r * theta.cos(), r * theta.sin()], dim=1) / 6
    return points + noise * torch.randn(n, 2), sign


data, labels = spirals(48)
loader = DataLoader(TensorDataset(data, labels), batch_size=16, shuffle=True)
model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
for epoch in range(2):
    total = correct = 0
    for points, sign in loader:
        logits = model(points)
        loss = F.cross_entropy(logits, sign)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += len(sign)
        correct += (logits.argmax(1) == sign).sum().item()
    print(f"epoch {epoch}: accuracy {correct / total:.2f}")
