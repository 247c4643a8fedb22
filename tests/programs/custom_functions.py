import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class Polar(Function):
    """Two outputs, with setup_context."""

    @staticmethod
    def forward(x, y):
        return torch.hypot(x, y), torch.atan2(y, x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[0])

    @staticmethod
    def backward(ctx, grad_r, grad_a):
        x, y, r = ctx.saved_tensors
        return grad_r * x / r - grad_a * y / r ** 2, grad_r * y / r + grad_a * x / r ** 2


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


class ScaleInPlace(Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.mark_dirty(x)
        ctx.factor = factor
        return x.mul_(factor)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


class SortWithIndex(Function):
    @staticmethod
    def forward(ctx, x):
        values, index = x.sort()
        ctx.mark_non_differentiable(index)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(index)
        return values, index

    @staticmethod
    def backward(ctx, grad, _):
        (index,) = ctx.saved_tensors
        return torch.zeros_like(grad).index_put((index,), grad)


class Linear(Function):
    @staticmethod
    def forward(ctx, x, w, b=None):
        ctx.save_for_backward(x, w, b)
        return x @ w.t() if b is None else x @ w.t() + b

    @staticmethod
    def backward(ctx, grad):
        x, w, b = ctx.saved_tensors
        print(ctx.needs_input_grad)
        gx = grad @ w if ctx.needs_input_grad[0] else None
        gw = grad.t() @ x if ctx.needs_input_grad[1] else None
        gb = grad.sum(0) if b is not None and ctx.needs_input_grad[2] else None
        return gx, gw, gb


x = torch.tensor([3.0, 1.0], requires_grad=True)
y = torch.tensor([4.0, -1.0], requires_grad=True)
r, angle = Polar.apply(x, y)
first = (r * r + angle).sum()
first.backward()
print(x.grad, y.grad)
gx, = torch.autograd.grad(Polar.apply(x, y)[1].sum(), x, create_graph=True)
gx.sum().backward()  # double backward, through its backward
print(x.grad)
Exp.apply(x).sum().backward()
scaled = ScaleInPlace.apply(x * 1, 3.0)
values, index = SortWithIndex.apply(scaled)
(values * torch.tensor([1.0, 2.0])).sum().backward()
w, b = torch.randn(3, 2, requires_grad=True), torch.randn(3, requires_grad=True)
Linear.apply(torch.randn(5, 2), w, b).relu().sum().backward()
Linear.apply(x.detach()[None], w).sum().backward()
print(torch.autograd.gradcheck(Linear.apply, (torch.randn(2, 2, dtype=torch.double, requires_grad=True), w.detach().double())))
