"""Models whose maps are drawn in tests: each once for the shape of its graph."""

from __future__ import annotations

from typing import Final

START: Final = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\ntorch.manual_seed(0)\n"

TRANSFORMER: Final = """
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.out_proj = nn.Linear(8, 8)
    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = q @ k.transpose(-1, -2) / 8 ** 0.5
        return self.out_proj(scores.softmax(-1) @ v)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn = Attention()
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.layers = nn.ModuleList([Block() for _ in range(BLOCKS)])
        self.ln_f = nn.LayerNorm(8)
        self.lm_head = nn.Linear(8, 11, bias=False)
        self.lm_head.weight = self.wte.weight
    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(6))
        for block in self.layers:
            x = block(x)
        return self.lm_head(self.ln_f(x))

model = Model()
tokens = torch.randint(0, 11, (2, 6))
loss = F.cross_entropy(model(tokens).view(-1, 11), tokens.view(-1))
loss.backward()
"""
RESNET: Final = """
class Bottleneck(nn.Module):
    def __init__(self, inside, outside, down):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2)
        self.conv3 = nn.Conv2d(2, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside)) if down else None
    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()

class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2)
        inside = 2
        for index, count in enumerate((3, 4, 6, 3), 1):
            blocks = [Bottleneck(inside if n == 0 else 2 * index, 2 * index, n == 0) for n in range(count)]
            setattr(self, f"layer{index}", nn.Sequential(*blocks))
            inside = 2 * index
        self.fc = nn.Linear(8, 5)
    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))

model = ResNet()
loss = F.cross_entropy(model(torch.randn(2, 3, 4, 4)), torch.tensor([1, 2]))
loss.backward()
"""
LSTM: Final = """
cell, head = nn.LSTMCell(3, 4), nn.Linear(4, 1)
h = c = torch.zeros(2, 4)
x = torch.randn(100, 2, 3)
loss = 0
for t in range(100):
    h, c = cell(x[t], (h, c))
    loss = loss + (head(h) ** 2).mean()
loss.backward()
"""
UNET: Final = """
class Double(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.a, self.b = nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 3, padding=1)
    def forward(self, x):
        return self.b(self.a(x).relu()).relu()

class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([Double(1, 2), Double(2, 4), Double(4, 8)])
        self.middle = Double(8, 8)
        self.up = nn.ModuleList([Double(16, 4), Double(8, 2), Double(4, 2)])
        self.out = nn.Conv2d(2, 1, 1)
    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for block, skip in zip(self.up, reversed(skips)):
            x = block(torch.cat([F.interpolate(x, scale_factor=2), skip], 1))
        return self.out(x)

model = UNet()
loss = (model(torch.randn(1, 1, 8, 8)) ** 2).mean()
loss.backward()
"""
GAN: Final = """
G = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
D = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
real, fake = torch.randn(5, 2), G(torch.randn(5, 4))
mixed = (real * 0.3 + fake * 0.7)
slope, = torch.autograd.grad(D(mixed).sum(), mixed, create_graph=True)
penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
loss = D(fake).mean() - D(real).mean() + 10 * penalty
loss.backward()
"""
CHAIN: Final = """
class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.999))
    def forward(self, x):
        return (x * self.scale).tanh()

model = nn.Sequential(*[Layer() for _ in range(1_000)])
loss = model(torch.ones(2)).sum()
loss.backward()
"""
FAN_IN: Final = """
w = torch.ones(2, requires_grad=True)
total = torch.stack([(w * n).sum() for n in range(10_000)]).sum()
total.backward()
"""
ROOTS: Final = """
a = torch.randn(3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
roots = []
for n in range(40):
    roots.append((a * n).sin().sum())
for n in range(5):
    roots.append((b * n + a).cos().sum())
torch.autograd.backward(roots)
"""
SHARED: Final = """
w = torch.randn(4, 4, requires_grad=True)
x = torch.randn(4)
for a in range(6):
    x = (x @ w).tanh()
y = w.sum() + (w ** 2).mean() + w[0].exp().sum()
z = torch.stack([(w @ x).sum(), (w.T @ x).max(), w.norm(), w.abs().max()])
loss = y + z.sum() + x.sum()
loss.backward()
"""

MODELS: Final = {
    "transformer 6": START + TRANSFORMER.replace("BLOCKS", "6"),
    "transformer 48": START + TRANSFORMER.replace("BLOCKS", "48"),
    "resnet": START + RESNET,
    "lstm": START + LSTM,
    "unet": START + UNET,
    "gan": START + GAN,
    "chain": START + CHAIN,
    "fan-in": START + FAN_IN,
    "roots": START + ROOTS,
    "one weight": START + SHARED,
}
