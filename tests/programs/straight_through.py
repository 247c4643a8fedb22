import torch
from torch import nn


class Binarize(torch.autograd.Function):
    """The sign forwards, the identity (clipped) backwards."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * (x.abs() <= 1)


class BinaryLinear(nn.Linear):
    def forward(self, input):
        return nn.functional.linear(input, Binarize.apply(self.weight), self.bias)


net = nn.Sequential(BinaryLinear(4, 6), nn.Hardtanh(), BinaryLinear(6, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.randn(8, 4), torch.randn(8, 1)
for step in range(2):
    hidden = net[1](net[0](x))
    quantized = hidden + (hidden.round() - hidden).detach()  # straight through, without a Function
    loss = (net[2](quantized) - y).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for p in net.parameters():
        p.data.clamp_(-1, 1)
print(loss)
