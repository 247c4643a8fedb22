import torch
from torch.autograd import gradcheck, gradgradcheck

x = torch.randn(3, dtype=torch.double, requires_grad=True)
print(gradcheck(lambda x: x.sin() * x, (x,)), gradgradcheck(lambda x: (x ** 3).sum(), (x,)))
with torch.autograd.detect_anomaly(check_nan=False):
    loss = (x.abs() + 1).log().sum()
    loss.backward()
with torch.autograd.set_detect_anomaly(True):
    try:
        (x.detach().requires_grad_() * 0).sqrt().mul(0).sum().backward()
    except RuntimeError as error:
        print(str(error)[:60])
with torch.autograd.graph.allow_mutation_on_saved_tensors():
    a = x * 1
    b = a.exp()
    a.zero_()
    b.mul_(2)
    b.sum().backward()
print(x.grad)
with torch.autograd.profiler.profile() as profile:
    (x * 2).sum().backward()
node = (x * 3).sum().grad_fn
print(node.name(), [n.name() for n, _ in node.next_functions], len(profile.function_events) > 0)
