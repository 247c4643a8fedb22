import torch
from torch import nn
from torch.func import functional_call, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap

w = torch.tensor([1.0, -2.0, 0.5])
xs = torch.randn(4, 3)


def loss(w, x):
    return (w * x).tanh().sum()


print(grad(loss)(w, xs[0]), grad_and_value(loss)(w, xs[0]))
print(vmap(grad(loss), in_dims=(None, 0))(w, xs).shape)
print(grad(lambda w: grad(loss)(w, xs[0]).sum())(w))
value, pullback = vjp(lambda w: w.sin(), w)
print(pullback(torch.ones(3)), jvp(torch.sin, (w,), (torch.ones(3),)))
print(jacrev(torch.cos)(w), jacfwd(torch.cos)(w), hessian(lambda w: (w ** 3).sum())(w))

model = nn.Linear(3, 1)
params = dict(model.named_parameters())


def of_params(params, x):
    return functional_call(model, params, (x,)).pow(2).mean()


per_sample = vmap(grad(of_params), in_dims=(None, 0))(params, xs)
print({name: g.shape for name, g in per_sample.items()})
outside = functional_call(model, {"weight": model.weight * 2, "bias": model.bias}, (xs,)).sum()
outside.backward()
models = [nn.Linear(3, 1) for _ in range(2)]
stacked, buffers = stack_module_state(models)
out = vmap(lambda p, b, x: functional_call(models[0], (p, b), (x,)), in_dims=(0, 0, None))(stacked, buffers, xs)
out.pow(2).mean().backward()
print(out.shape, stacked["weight"].grad.shape, model.weight.grad)
