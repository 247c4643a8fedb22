# A residual block
# Two convolutions with batch norm beside an identity: at the addition the gradient splits, and one half skips every layer.
# Tags: convolution, residual, batch norm
import torch
from torch import nn

torch.manual_seed(0)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        out = self.norm1(self.conv1(x)).relu()
        out = self.norm2(self.conv2(out))
        return (out + x).relu()


images = torch.randn(8, 3, 6, 6, requires_grad=True)
features = Residual(3)(images).mean(dim=(2, 3))
loss = nn.functional.cross_entropy(features, torch.arange(8) % 3)
loss.backward()

images.grad.norm()
