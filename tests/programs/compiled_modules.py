import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x):
        if x.sum() > 0:
            return self.lin(x).sigmoid() * x
        return x


model = torch.compile(Gate(), backend="eager")
in_place = nn.Linear(3, 1)
in_place.compile(backend="eager")
optimizer = torch.optim.Adam([*model.parameters(), *in_place.parameters()], lr=0.01)


@torch.compile(backend="eager", fullgraph=False)
def loss_of(x):
    return in_place(model(x)).square().mean()


for step in range(2):
    optimizer.zero_grad()
    loss = loss_of(torch.ones(2, 3) * (step + 1))
    loss.backward()
    optimizer.step()
print(f"{loss.item():.5f}", torch.compiler.is_compiling())
