import copy
import io
import pickle

import torch
from torch import nn

net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
x, y = torch.randn(5, 2), torch.randn(5, 1)


def train(model, optimizer, steps):
    for _ in range(steps):
        loss = (model(x) - y).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


print(train(net, optimizer, 2))
twin = copy.deepcopy(net)
checkpoint = io.BytesIO()
torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, checkpoint)
print(train(net, optimizer, 1))
checkpoint.seek(0)
saved = torch.load(checkpoint, weights_only=True)
net.load_state_dict(saved["model"])
optimizer.load_state_dict(saved["optimizer"])
print(train(net, optimizer, 1), all(torch.equal(a, b) for a, b in zip(twin.parameters(), saved["model"].values())))
best = {name: value.clone() for name, value in net.state_dict().items()}
again = pickle.loads(pickle.dumps(net))
print(train(again, torch.optim.SGD(again.parameters(), lr=0.1), 1))
assigned = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
assigned.load_state_dict(best, assign=True)
with torch.no_grad():
    net[0].weight.copy_(twin[0].weight)
net.to(torch.float64)
(net(x.double()).sum()).backward()
print(net[2].weight.grad)
