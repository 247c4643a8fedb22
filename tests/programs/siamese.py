from dataclasses import dataclass, field
from typing import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


@dataclass
class Config:
    width: int = 6
    depth: int = 2
    lr: float = 0.05
    history: list[float] = field(default_factory=list)


class Pairs(Dataset):
    def __init__(self, n: int):
        self.a, self.b = torch.randn(n, 3), torch.randn(n, 3)
        self.same = torch.arange(n) % 2

    def __len__(self) -> int:
        return len(self.same)

    def __getitem__(self, i):
        return {"a": self.a[i], "b": self.b[i], "same": self.same[i]}


class Tower(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        sizes = [3] + [config.width] * config.depth
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(o, i) / i) for i, o in zip(sizes, sizes[1:])])

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = (x @ weight.t()).tanh()
        return x


def batches(loader: DataLoader, epochs: int) -> Iterator[dict]:
    for _ in range(epochs):
        yield from loader


config = Config()
tower = Tower(config)
optimizer = torch.optim.SGD(tower.parameters(), lr=config.lr)
loss_fn = nn.CosineEmbeddingLoss()
for batch in batches(DataLoader(Pairs(6), batch_size=3, num_workers=0), epochs=2):
    loss = loss_fn(tower(batch["a"]), tower(batch["b"]), 2 * batch["same"] - 1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    config.history.append(round(loss.item(), 4))
print(config)
