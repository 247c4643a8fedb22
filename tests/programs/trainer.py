from __future__ import annotations

import itertools
from collections import defaultdict
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.utils.data import DataLoader, random_split, TensorDataset


class Metrics(defaultdict):
    def __init__(self):
        super().__init__(list)

    def log(self, **values):
        for key, value in values.items():
            self[key].append(float(value))


class Trainer:
    def __init__(self, model: nn.Module, loss_fn, *, make=partial(torch.optim.AdamW, lr=1e-2)):
        self.model, self.loss_fn = model, loss_fn
        self.optimizer = make(model.parameters())
        self.metrics = Metrics()

    @contextmanager
    def evaluating(self):
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()

    def training_step(self, batch):
        x, y = batch
        return self.loss_fn(self.model(x), y)

    def fit(self, train, valid, epochs):
        for epoch in range(epochs):
            for batch in train:
                self.optimizer.zero_grad()
                loss = self.training_step(batch)
                loss.backward()
                self.optimizer.step()
                self.metrics.log(loss=loss)
            with self.evaluating():
                self.metrics.log(valid=sum(self.training_step(b) for b in valid) / len(valid))
        return self


dataset = TensorDataset(torch.randn(12, 2), torch.randn(12, 1))
train, valid = random_split(dataset, [8, 4], generator=torch.Generator().manual_seed(1))
trainer = Trainer(nn.Sequential(nn.Linear(2, 4), nn.SiLU(), nn.Linear(4, 1)), nn.HuberLoss())
trainer.fit(DataLoader(train, 4, shuffle=True), DataLoader(valid, 4), epochs=2)
print({key: [round(v, 4) for v in values] for key, values in trainer.metrics.items()})
print(list(itertools.accumulate(p.numel() for p in trainer.model.parameters())))
