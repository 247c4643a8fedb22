import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


class Log(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops.append(str(func.overloadpacket).removeprefix("aten."))
        return func(*args, **(kwargs or {}))


class Count(TorchFunctionMode):
    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        Count.calls += 1
        return func(*args, **(kwargs or {}))


net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
with Log() as log:
    for step in range(2):
        loss = net(torch.ones(2, 3)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net[0].bias.data.mul_(0.5)
taking = ("clone", "detach", "new_empty_strided", "copy_")  # how a gradient gets into .grad depends on who holds it
print([op for op in log.ops if op not in taking])
with FlopCounterMode(display=False) as flops:
    net(torch.ones(2, 3)).sum().backward()
print(flops.get_total_flops())
with Count():
    y = (net(torch.ones(1, 3)) * 2).sum()
    y.backward()
print(Count.calls)
