import torch
from torch import nn
from torch.optim import Optimizer


class Lion(Optimizer):
    def __init__(self, params, lr=1e-2, betas=(0.9, 0.99)):
        super().__init__(params, dict(lr=lr, betas=betas))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["exp_avg"] = torch.zeros_like(p)
                beta1, beta2 = group["betas"]
                update = state["exp_avg"].mul(beta1).add(p.grad, alpha=1 - beta1).sign_()
                p.add_(update, alpha=-group["lr"])
                state["exp_avg"].mul_(beta2).add_(p.grad, alpha=1 - beta2)
        return loss


class Lookahead:
    """Wraps another optimizer; not a subclass of any."""

    def __init__(self, base, k=2, alpha=0.5):
        self.base, self.k, self.alpha, self.count = base, k, alpha, 0
        self.slow = [p.detach().clone() for g in base.param_groups for p in g["params"]]

    def zero_grad(self):
        self.base.zero_grad()

    def step(self):
        self.base.step()
        self.count += 1
        if self.count % self.k == 0:
            fast = [p for g in self.base.param_groups for p in g["params"]]
            for slow, p in zip(self.slow, fast):
                slow.lerp_(p.data, self.alpha)
                p.data.copy_(slow)


class NoisySGD(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(0.01 * torch.randn_like(p))


net = nn.Linear(2, 1)
x, y = torch.randn(8, 2), torch.randn(8, 1)
for make in (Lion, lambda params: Lookahead(torch.optim.SGD(params, lr=0.1)), lambda params: NoisySGD(params, lr=0.1)):
    optimizer = make(net.parameters())
    for step in range(2):
        loss = nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
closing = Lion(net.parameters())
print(closing.step(lambda: nn.functional.mse_loss(net(x), y)))
w = torch.tensor(1.0, requires_grad=True)
inner = torch.optim.SGD([w], lr=0.1, differentiable=True)
