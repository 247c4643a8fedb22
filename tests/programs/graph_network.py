import torch
from torch import nn


class GCNLayer(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.lin = nn.Linear(d_in, d_out)

    def forward(self, x, edge_index):
        src, dst = edge_index
        messages = self.lin(x)[src]
        out = torch.zeros(x.size(0), messages.size(1)).index_add(0, dst, messages)
        degree = torch.zeros(x.size(0)).scatter_add(0, dst, torch.ones(len(dst))).clamp(min=1)
        return out / degree.unsqueeze(1)


x = torch.randn(5, 3)
edge_index = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 0, 2, 4]])
labels = torch.tensor([0, 1, 0, 1, 1])
train_mask = torch.tensor([True, True, False, True, False])
layers = nn.ModuleDict({"first": GCNLayer(3, 4), "second": GCNLayer(4, 2)})
optimizer = torch.optim.Adam(layers.parameters(), lr=0.01, weight_decay=5e-4)
for epoch in range(3):
    optimizer.zero_grad()
    h = layers["first"](x, edge_index).relu()
    out = layers["second"](h, edge_index)
    pooled = torch.zeros(2, 2).scatter_reduce(0, labels.unsqueeze(1).expand(-1, 2), out, reduce="amax", include_self=False)
    loss = nn.functional.cross_entropy(out[train_mask], labels[train_mask]) + 0.01 * pooled.sum()
    loss.backward()
    optimizer.step()
print(out.argmax(dim=1).tolist())
