import torch
from torch import nn
from torch.autograd.graph import Node, register_multi_grad_hook

seen = []
x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
a = x * 2
b = x.sin()
c = a * b
handle = a.register_hook(lambda g: g.clamp(-1, 1))
a.register_hook(lambda g: seen.append(("a", g.tolist())))
c.grad_fn.register_prehook(lambda grads: (grads[0] * 0.5,))
c.grad_fn.register_hook(lambda grad_inputs, grad_outputs: tuple(g * 2 for g in grad_inputs))
b.retain_grad()
register_multi_grad_hook((a, b, c), lambda grads: seen.append([g is not None for g in grads]))
register_multi_grad_hook((a, b), lambda g: seen.append(("any", g.shape)), mode="any")
x.register_hook(lambda g: g + 1)
x.register_post_accumulate_grad_hook(lambda p: seen.append(("accumulated", p.grad.tolist())))
c.sum().backward(retain_graph=True)
print(x.grad, b.grad)
handle.remove()
c.sum().backward()
print(x.grad, len(seen), seen[0])
assert isinstance(c.grad_fn, Node)

net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
net[0].register_full_backward_pre_hook(lambda module, grads: (grads[0] * 10,))
net[1].register_full_backward_hook(lambda module, gi, go: seen.append(("relu", gi[0].shape, go[0].shape)))
net[2].register_forward_hook(lambda module, args, out: out * 2)
net[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
net[2].weight.register_hook(lambda g: torch.zeros_like(g))
net(x[None]).sum().backward()
print(net[0].weight.grad, net[2].weight.grad, seen[-1])
