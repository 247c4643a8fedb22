import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3), "norm": nn.BatchNorm2d(2), "act": nn.ReLU(inplace=True)})
        self.heads = nn.ModuleList([nn.Linear(8, 2), nn.Linear(8, 3)])
        self.scales = nn.ParameterDict({"a": nn.Parameter(torch.ones(1)), "b": nn.Parameter(torch.full((1,), 0.5))})
        self.offsets = nn.ParameterList([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))])
        self.drop = nn.Dropout(0.5)
        self.register_buffer("running", torch.zeros(8))
        self.register_buffer("temporary", torch.ones(1), persistent=False)

    def forward(self, x):
        for layer in self.body.values():
            x = layer(x)
        x = self.drop(nn.functional.max_pool2d(x, 2).flatten(1))
        if self.training:
            self.running.mul_(0.9).add_(0.1 * x.detach().mean(0))
        x = x - self.running
        out = [head(x) * scale + offset for head, scale, offset in zip(self.heads, self.scales.values(), self.offsets)]
        return out[0], out[1]


net = Net()
x, y = torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 0, 1])
optimizer = torch.optim.NAdam(net.parameters(), lr=0.01)
for epoch in range(2):
    net.train()
    a, b = net(x)
    loss = nn.functional.cross_entropy(a, y) + b.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    net.eval()
    with torch.no_grad():
        accuracy = (net(x)[0].argmax(1) == y).float().mean()
    print(epoch, round(loss.item(), 4), accuracy.item())
net.eval()
net(x)[0].sum().backward()  # in eval, with gradients
