import warnings

warnings.simplefilter("ignore")
import torch


@torch.jit.script
def gelu(x):
    return x * 0.5 * (1.0 + torch.erf(x / 1.41421))


x = torch.tensor([1.0, -2.0], requires_grad=True)
for step in range(3):
    y = gelu(x * 2).sum()
    y.backward()
traced = torch.jit.trace(torch.nn.Linear(2, 1), torch.ones(1, 2))
traced(x[None]).sum().backward()
print(x.grad)
