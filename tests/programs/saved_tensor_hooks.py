import torch
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

packed, unpacked = [], []


def pack(tensor):
    packed.append(tuple(tensor.shape))
    return tensor.detach().clone(), len(packed)


def unpack(pair):
    tensor, count = pair
    unpacked.append(count)
    return tensor


w = torch.randn(3, requires_grad=True)
x = torch.randn(4, 3)
before = (x * w).sin()  # saved without hooks
with saved_tensors_hooks(pack, unpack):
    h = (x @ w).exp()
    y = h.tanh() * before.sum()
print(len(packed), len(unpacked))
y.sum().backward(retain_graph=True)
print(len(packed), sorted(unpacked))
y.mean().backward()
print(len(packed), sorted(unpacked))
with save_on_cpu():
    z = (w.exp() * w).sum()
z.backward()


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


unpacked.clear()
with saved_tensors_hooks(pack, unpack):
    c = Cube.apply(w).sum()
with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
    d = w * 2
print(c.grad_fn.next_functions[0][0].saved_tensors[0].shape, len(unpacked))
(c + d.sum()).backward()
print(len(unpacked), w.grad)
