import torch
from torch import nn

net = nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)


class Turn:
    def __await__(self):
        yield


async def batch():
    await Turn()
    return torch.randn(4, 2)


async def train(steps):
    for step in range(steps):
        x = await batch()
        loss = net(x).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


async def main():
    return [round(value, 4) async for value in train(2)]


def run(coroutine):
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value


print(run(main()))


def lazily(n):
    total = torch.zeros(())
    for i in range(n):
        total = total + (net.weight * i).sum()
        yield total


*_, last = lazily(3)
last.backward()
