import random
import numpy as np
import torch
from torch import nn
print(random.random(), np.random.rand(), torch.rand(1))
net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 1))
x = torch.randn(6, 3)
for step in range(2):
    loss = net(x).pow(2).mean()
    loss.backward()
print(net[0].weight.grad)
