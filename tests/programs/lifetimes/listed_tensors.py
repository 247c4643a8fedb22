import gc

import torch

SIZES = {211, 223, 227, 229, 233}  # of no tensor outside this program


def report(when):
    found = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    found = [each for each in found if any(type(size) is int and size in SIZES for size in each.shape)]
    print(when, sorted((type(each).__name__, tuple(each.shape)) for each in found))


class Cache:
    def __init__(self):
        self.kept = {}


def local(cache):
    inner = torch.ones(227)
    cache.kept["inner"] = (inner * 2).reshape(1, 227)
    inner += 1
    report("in a function")


gc.collect()
torch.manual_seed(0)
net = torch.nn.Linear(211, 223)
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
cache = Cache()
for step in range(3):
    x = torch.randn(229, 211)
    out = net(x)
    opt.zero_grad()
    out.sum().backward()
    opt.step()
    report(f"step {step}")
local(cache)
for i in range(3):
    temporary = torch.ones(233) * i
    temporary[0] = 5
del temporary, out, x
report("at the end")
del net, opt, cache
gc.collect()
report("then")
