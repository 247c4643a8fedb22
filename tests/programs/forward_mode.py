import torch
import torch.autograd.forward_ad as fwAD
from torch.func import jvp

primal = torch.tensor([1.0, 2.0], requires_grad=True)
tangent = torch.tensor([1.0, 0.0])
with fwAD.dual_level():
    dual = fwAD.make_dual(primal, tangent)
    out = (dual ** 2 * 3).sin()
    value, rate = fwAD.unpack_dual(out)
    print(value, rate)
value.sum().backward()  # and backwards through the same calls
print(primal.grad)
print(jvp(lambda x: x.exp(), (primal.detach(),), (tangent,)))


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx, t):
        return 2 * t * ctx.saved_tensors[0]


with fwAD.dual_level():
    print(fwAD.unpack_dual(Square.apply(fwAD.make_dual(primal, tangent))).tangent)
