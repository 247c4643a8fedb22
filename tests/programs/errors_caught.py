import torch

x = torch.tensor([1.0, 2.0], requires_grad=True)


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        raise ValueError("no way back")


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return x + y

    @staticmethod
    def backward(ctx, g):
        return g


def attempt(name, action):
    try:
        action()
    except Exception as error:
        print(name, type(error).__name__, str(error).splitlines()[0][:60])


attempt("function", lambda: Broken.apply(x * 2).sum().backward())
attempt("count", lambda: Wrong.apply(x, x * 2).sum().backward())
attempt("not scalar", lambda: (x * 2).backward())
attempt("no graph", lambda: torch.ones(2).sum().backward())
attempt("shape", lambda: (x * 2).backward(torch.ones(3)))
hooked = x * 3
hooked.register_hook(lambda g: 1 / 0)
attempt("hook", lambda: hooked.sum().backward())
strange = x * 3
strange.register_hook(lambda g: "garbage")
attempt("garbage", lambda: strange.sum().backward())
y = x.exp()
y.mul_(2)
attempt("version", lambda: y.sum().backward())
attempt("leaf", lambda: x.add_(1))
z = x.sin().sum()
z.backward()
attempt("twice", z.backward)
attempt("shapes", lambda: x @ torch.ones(3))
attempt("integers", lambda: torch.tensor([1, 2], requires_grad=True))
print(x.grad)
