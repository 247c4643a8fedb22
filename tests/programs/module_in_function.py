import torch, dataclasses, math
from torch import nn
@dataclasses.dataclass
class Cfg:
    d: int = 4
class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.fc1 = nn.Linear(2, cfg.d)
        self.fc2 = nn.Linear(cfg.d, 1)
    def forward(self, x):
        h = torch.tanh(self.fc1(x))
        return self.fc2(h)
def train(net, n):
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for i in range(n):
        loss = net(torch.randn(8, 2)).pow(2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    return loss
net = Net(Cfg())
final = train(net, 4)
with torch.inference_mode():
    p = net(torch.randn(2, 2))
total = sum(q.numel() for q in net.parameters())
f"{final:.3f} {total}"
