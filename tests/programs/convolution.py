import torch
import torch.nn.functional as F
from torch import nn
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 3 * 3, 3))
x, y = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])
opt = torch.optim.RMSprop(net.parameters(), lr=0.01)
for epoch in range(2):
    logits = net(x)
    loss = F.cross_entropy(logits, y)
    opt.zero_grad()
    loss.backward()
    opt.step()
print((logits.argmax(1) == y).float().mean())
