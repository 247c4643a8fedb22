"""Programs with a training loop, into which a test writes the lines that matter."""

from __future__ import annotations

BEGIN = """\
import copy
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.randn(16, 4), torch.randn(16, 1)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
"""
LOSS = "    loss = ((net(x) - y) ** 2).mean()\n"
STEP = ("opt.zero_grad()", "loss.backward()", "opt.step()")
CLIP = "nn.utils.clip_grad_norm_"


def loop(*lines: str, begin: str = BEGIN, steps: int = 3) -> str:
    """Return a training whose loop computes the loss and then runs these lines."""
    return begin + f"for step in range({steps}):\n" + LOSS + "".join(f"    {line}\n" for line in lines)


def net(layers: str, *, begin: str = "", steps: int = 25, rate: float = 0.1, loss: str = "((net(x) - y) ** 2).mean()") -> str:
    """Return the training of a network with these layers. ``begin`` are lines between the network and its optimizer."""
    return (
        "import torch\nfrom torch import nn\ntorch.manual_seed(0)\nx = torch.randn(16, 4)\ny = x.sum(1, keepdim=True)\n"
        f"net = nn.Sequential({layers})\n{begin}optimizer = torch.optim.SGD(net.parameters(), lr={rate})\n"
        f"for step in range({steps}):\n    optimizer.zero_grad()\n    loss = {loss}\n    loss.backward()\n"
        "    optimizer.step()\n"
    )
