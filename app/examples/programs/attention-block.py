# A transformer block
# Attention and an MLP, each added to the stream it reads: the additions pass every gradient on unchanged.
# Tags: attention, residual, layer norm
import torch
from torch import nn

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        up, down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.mlp = nn.Sequential(up, nn.GELU(), down)

    def forward(self, x):
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


block = Block(width=8, heads=2)
x = torch.randn(1, 5, 8, requires_grad=True)
loss = block(x).square().mean()
loss.backward()

x.grad.norm()
