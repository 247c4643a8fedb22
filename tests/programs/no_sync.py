import contextlib

import torch
from torch import nn


class Wrapped(nn.Module):
    """Stands in for a data-parallel wrapper."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.sync = True

    @contextlib.contextmanager
    def no_sync(self):
        self.sync, old = False, self.sync
        try:
            yield
        finally:
            self.sync = old

    def forward(self, x):
        return self.module(x)


model = Wrapped(nn.Linear(3, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
accumulate = 3
batches = torch.randn(7, 4, 3).unbind()
for i, batch in enumerate(batches, start=1):
    last = i % accumulate == 0 or i == len(batches)
    with contextlib.nullcontext() if last else model.no_sync():
        loss = model(batch).pow(2).mean() / accumulate
        loss.backward()
    if last:
        optimizer.step()
        optimizer.zero_grad()
        print(i, model.sync)
