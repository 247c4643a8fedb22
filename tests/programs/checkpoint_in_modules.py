import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


class Block(nn.Module):
    def __init__(self, d, reentrant):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)
        self.drop = nn.Dropout(0.25)
        self.reentrant = reentrant

    def _forward(self, x):
        return x + self.drop(self.fc2(torch.nn.functional.gelu(self.fc1(x))))

    def forward(self, x):
        return checkpoint(self._forward, x, use_reentrant=self.reentrant)


net = nn.Sequential(Block(4, True), Block(4, False), Block(4, True))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x = torch.randn(3, 4, requires_grad=True)
for step in range(2):
    loss = net(x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
out = checkpoint_sequential(net, 2, x, use_reentrant=False)


def outer(x):
    return checkpoint(inner, x.sin(), use_reentrant=True).cos()


def inner(x):
    return x.exp() * x


nested = checkpoint(outer, x, use_reentrant=True)
(out.sum() + nested.sum()).backward()
print(x.grad)
