import torch
from torch import nn
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.1)
opt = torch.optim.AdamW(layer.parameters(), lr=1e-3)
x = torch.randn(2, 4, 8)
for step in range(3):
    out = layer(x)
    loss = (out ** 2).mean()
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
    opt.step()
print(loss.item())
