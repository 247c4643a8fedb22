"""Programs with updates without an effect, with parameters kept, shared or frozen by mistake, and similar correct programs."""

from __future__ import annotations

from .training_loops import BEGIN, STEP, loop


def steps(*lines: str, begin: str = BEGIN, count: int = 3) -> str:
    """Return a program whose loop has these lines."""
    return begin + f"for step in range({count}):\n" + "".join(f"    {line}\n" for line in lines)


def micro_batches(*lines: str) -> str:
    return steps("loss = ((net(x[step:step + 4]) - y[step:step + 4]) ** 2).mean() / 4", *lines, count=8)


TWO = f"{BEGIN}other = nn.Linear(4, 4)\nrest = torch.optim.Adam(other.parameters())\n"
BOTH = "loss = ((net(other(x)) - y) ** 2).mean()"
RATE = "plan = torch.optim.lr_scheduler.{plan}\n"
NEW_NET = "opt = torch.optim.SGD(net.parameters(), lr=0.01)\n"
TARGET = "with torch.no_grad(): goal = target(x)"
PAIR = "opt = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.05)\n"
SHARED = f"{BEGIN}a, b = nn.Linear(4, 4), nn.Linear(4, 4)\n{{tie}}\n{PAIR}"
KEPT = f"{BEGIN}{{kept}}\n" + loop(*STEP, begin="") + "{{use}}\n"
LOSS = "loss = ((net(x) - y) ** 2).mean()"
LEAVES = f"{BEGIN}w, v = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)\n"
FROZEN = f"{BEGIN}net[0].requires_grad_(False)\nopt = torch.optim.SGD({{given}}, lr=0.01)\n"
NO_SCALE = f"{BEGIN}scaler = torch.amp.GradScaler('cpu', enabled=False)\n"
SCALER = f"{BEGIN}scaler = torch.amp.GradScaler('cpu', init_scale=8.)\n"
COS = "torch.optim.lr_scheduler.CosineAnnealingLR(opt, 10)"
EMA = f"{BEGIN}average = copy.deepcopy(net)\n"
OWN_LAYER = (
    f"{BEGIN}class Layer(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.w = nn.Parameter(torch.ones(4, 1))\n        self.data = []\n"
    "    def forward(self, x):\n        return x @ self.w\n"
    "    def limit(self):\n        {limit}\nnet = Layer()\nopt = torch.optim.SGD(net.parameters(), lr=0.05)\n"
)

REPORTED = {
    "change-lost": {
        "a copy of the data": loop(*STEP, "for p in net.parameters():", "    p.data.clamp(-0.1, 0.1)  # here"),
        "a copy of a layer's weight": loop(*STEP, "with torch.no_grad():", "    net[0].weight.mul(0.9)  # here"),
        "a function that copies": loop(
            *STEP, "for name, p in net.named_parameters():", "    torch.clip(p.data, -1, 1)  # here"
        ),
        "a method of a layer": loop(*STEP, "net.limit()", begin=OWN_LAYER.format(limit="self.w.data.clamp(-0.1, 0.1)  # here")),
        "a running average": loop(
            *STEP, "for e, p in zip(average.parameters(), net.parameters()):", "    e = 0.9 * e + 0.1 * p  # here", begin=EMA
        ),
        "a running average by names": (
            f"{EMA}def track(teacher, student, rate=0.1):\n"
            "    for (_, e), (_, p) in zip(teacher.named_parameters(), student.named_parameters()):\n"
            "        e = e.detach() * (1 - rate) + rate * p.detach()  # here\n" + loop(*STEP, "track(average, net)", begin="")
        ),
        "noise": loop(
            *STEP,
            "for i, p in enumerate(params):",
            "    p = p + 0.01 * torch.randn_like(p)  # here",
            begin=f"{BEGIN}params = list(net.parameters())\n",
        ),
        "an update by hand": loop(
            "net.zero_grad()", "loss.backward()", "for p in net.parameters():", "    p = p - 0.05 * p.grad  # here"
        ),
        "a method that copies": loop(*STEP, "for p in net.state_dict().values():", "    p = p.clamp(-1, 1)  # here"),
    },
    "gradient-unused": {
        "gradients that autograd.grad returns": steps(
            LOSS, "grads = torch.autograd.grad(loss, list(net.parameters()))", "opt.step()  # here"
        ),
        "gradients that are changed and not written": steps(
            LOSS,
            "opt.zero_grad()",
            "grads = torch.autograd.grad(loss, net.parameters())",
            "grads = [g / (g.norm() + 1) for g in grads]",
            "opt.step()  # here",
        ),
        "gradients of a function": steps(
            "grads = torch.func.grad(mean_loss)(dict(net.named_parameters()))",
            "opt.step()  # here",
            begin=f"{BEGIN}def mean_loss(p): return (torch.func.functional_call(net, p, (x,)) - y).pow(2).mean()\n",
        ),
        "a step before the pass": steps("opt.zero_grad()", LOSS, "opt.step()  # here", "loss.backward()"),
        "a step first": steps("net.zero_grad()", "opt.step()  # here", LOSS, "loss.backward()"),
        "a step before the pass of a function": BEGIN
        + "def train():\n    for i in range(3):\n"
        + "".join(f"        {line}\n" for line in ("opt.zero_grad()", LOSS, "opt.step()  # here", "loss.backward()"))
        + "train()\n",
        "a step of a scaler before the pass": steps(
            "opt.zero_grad()",
            LOSS,
            "scaler.step(opt)  # here",
            "scaler.scale(loss).backward()",
            "scaler.update()",
            begin=NO_SCALE,
        ),
        "a step of a scaler first": steps(
            "net.zero_grad()", "scaler.step(opt)  # here", "scaler.update()", LOSS, "loss.backward()", begin=NO_SCALE
        ),
        "a step of a scaler in a function": f"{NO_SCALE}def train():\n    for i in range(3):\n"
        + "".join(f"        {line}\n" for line in ("opt.zero_grad()", LOSS, "scaler.step(opt)  # here", "loss.backward()"))
        + "train()\n",
        "one of two is cleared": steps(
            "rest.zero_grad()", BOTH, "loss.backward()", "opt.zero_grad()  # here", "opt.step()", "rest.step()", begin=TWO
        ),
        "one of two is never stepped": steps(
            "opt.zero_grad()", "rest.zero_grad()", BOTH, "loss.backward()  # here", "opt.step()", begin=TWO
        ),
        "a function that gets the optimizer": (
            f"{BEGIN}def train(net, opt):\n    for i in range(3):\n        opt.zero_grad()\n"
            "        ((net(x) - y) ** 2).mean().backward()  # here\ntrain(net, torch.optim.SGD(net.parameters(), lr=0.1))\n"
        ),
        "a function that gets a named optimizer": (
            f"{BEGIN}def train(net, opt):\n    for i in range(3):\n        opt.zero_grad()\n"
            "        ((net(x) - y) ** 2).mean().backward()  # here\ntrain(net, opt)\n"
        ),
        "cleared in a loop over the optimizers": steps(
            "for each in (opt, rest): each.zero_grad()", BOTH, "loss.backward()  # here", "opt.step()", begin=TWO
        ),
        "cleared in a comprehension": steps(
            "[each.zero_grad() for each in [opt, rest]]", BOTH, "loss.backward()  # here", "opt.step()", begin=TWO
        ),
        "a lone parameter": steps(
            "for each in (opt, rest): each.zero_grad()",
            "loss = ((s * net(x) - y) ** 2).mean()",
            "loss.backward()  # here",
            "opt.step()",
            begin=f"{BEGIN}s = torch.ones(1, requires_grad=True)\nrest = torch.optim.SGD([s], lr=0.1)\n",
        ),
        "the method is not called": steps("opt.zero_grad()", "((net(x) - y) ** 2).mean().backward()", "opt.step  # here"),
        "set to None": loop("loss.backward()", "for p in net.parameters():", "    p.grad = None  # here", "opt.step()"),
    },
    "cleared-too-early": {
        "micro-batches whose gradients are measured": micro_batches(
            "opt.zero_grad()  # here",
            "loss.backward()",
            "total = 0.0",
            "for p in net.parameters(): total += p.grad.norm().item()",
            "if step % 4 == 3: opt.step()",
        ),
        "another loss, after the first zero_grad": steps(
            "net.zero_grad()",
            "(net(x) - y).abs().mean().backward()",
            "net.zero_grad()  # here",
            "loss = ((net(x) - y) ** 2).mean()",
            "loss.backward()",
            "opt.step()",
        ),
        "another loss, with the optimizer's zero_grad": steps(
            "opt.zero_grad()",
            "first = (net(x[:8]) - y[:8]).abs().mean()",
            "first.backward()",
            "opt.zero_grad()  # here",
            "second = ((net(x[8:]) - y[8:]) ** 2).mean()",
            "second.backward()",
            "opt.step()",
        ),
        "another loss, cleared in two ways": steps(
            "opt.zero_grad()",
            "net(x).abs().mean().backward()",
            "net.zero_grad(set_to_none=False)  # here",
            "((net(x) - y) ** 2).mean().backward()",
            "opt.step()",
        ),
        "an auxiliary loss": steps(
            "out = net(x)",
            "(out ** 2).mean().backward(retain_graph=True)",
            "opt.zero_grad()  # here",
            "loss = ((out - y) ** 2).mean()",
            "loss.backward()",
            "opt.step()",
            count=4,
        ),
        "a penalty through the network": steps(
            "sum(p.abs().sum() for p in net.parameters()).backward()",
            "net.zero_grad()  # here",
            LOSS,
            "loss.backward()",
            "opt.step()",
        ),
        "two halves of a batch": steps(
            "((net(x[:8]) - y[:8]) ** 2).mean().backward()",
            "opt.zero_grad()  # here",
            "((net(x[8:]) - y[8:]) ** 2).mean().backward()",
            "opt.step()",
        ),
        "at the begin": micro_batches("opt.zero_grad()  # here", "loss.backward()", "if step % 2 == 1: opt.step()"),
        "at the end": micro_batches("loss.backward()", "if step % 2 == 1: opt.step()", "opt.zero_grad()  # here"),
        "through the network": micro_batches("net.zero_grad()  # here", "loss.backward()", "if step % 4 == 3: opt.step()"),
    },
    "step-too-small": {
        "a rate of 0": steps(LOSS, *STEP, begin=BEGIN.replace("lr=0.05)", "lr=0.0)  # here")),
        "a rate of 0 in Adam": steps(
            LOSS,
            *STEP,
            begin=f"{BEGIN}opt = torch.optim.Adam(net.parameters(), lr=0)\n".replace("lr=0.05)", "lr=0.05)  # here"),
        ),
        "a rate of 0 in a function": BEGIN.replace("lr=0.05)", "lr=0.)  # here")
        + "def train():\n    for i in range(3):\n"
        + "".join(f"        {line}\n" for line in (LOSS, *STEP))
        + "train()\n",
        "no rate": loop(*STEP, steps=6, begin=BEGIN.replace("0.05)", "0.0)  # here")),
        "below the precision": loop(*STEP, steps=6, begin=BEGIN.replace("0.05)", "1e-12)  # here")),
        "a rate instead of a factor": loop(
            *STEP,
            "plan.step()",
            steps=6,
            begin=BEGIN.replace("0.05", "1e-4") + RATE.format(plan="LambdaLR(opt, lambda e: 1e-7 * 0.9 ** e)  # here"),
        ),
        "a scheduler for each batch": loop(
            *STEP, "plan.step()  # here", steps=20, begin=BEGIN + RATE.format(plan="StepLR(opt, 1, 0.1)")
        ),
        "by hand": loop("opt.param_groups[0]['lr'] *= 0.1 ** step  # here", *STEP, steps=10),
    },
    "shared-memory": {
        "a transpose": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()",
            *STEP,
            begin=SHARED.format(tie="b.weight.data = a.weight.data.t()  # here"),
        ),
        "an attribute that transposes": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()", *STEP, begin=SHARED.format(tie="b.weight.data = a.weight.T  # here")
        ),
        "a view": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()",
            *STEP,
            begin=SHARED.format(tie="b.weight.data = a.weight.data.view(4, 4)  # here"),
        ),
        "data": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()", *STEP, begin=SHARED.format(tie="b.weight.data = a.weight.data  # here")
        ),
        "a parameter of a parameter": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()",
            *STEP,
            begin=SHARED.format(tie="b.weight = nn.Parameter(a.weight)  # here"),
        ),
        "Adam": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()", *STEP, begin=SHARED.format(tie="b.bias.data = a.bias.data  # here")
        ).replace("SGD", "Adam"),
    },
    "changed-through-data": {
        "a result": f"{BEGIN}h = net(x)\nloss = (h ** 2).sum()\nh.data.clamp_(max=0.01)  # here\nloss.backward()\n",
        "an activation": f"{BEGIN}h = torch.tanh(net(x))\nh.data *= 0.5  # here\nh.sum().backward()\n",
        "a factor": f"{BEGIN}h, k = net(x), net(x)\nloss = (h * k).sum()\nk.data.zero_()  # here\nloss.backward()\n",
        "a leaf": f"{LEAVES}loss = ((w * v) ** 2).sum()\nw.data.clamp_(-0.1, 0.1)  # here\nloss.backward()\n",
        "a constant": f"{LEAVES}k = torch.ones(3)\nh = w * k\nk.data.mul_(2)  # here\nh.sum().backward()\n",
        "an element of a constant": f"{LEAVES}k = torch.ones(3)\nh = (w / k).sum()\nk.data[0] = 9.  # here\nh.backward()\n",
        "a constant in a loop": steps(
            "loss = ((net(x) * k) ** 2).mean()", "k.data.copy_(k * 0.9)  # here", *STEP, begin=f"{BEGIN}k = torch.ones(1)\n"
        ),
        "a leaf in a loop": steps(
            "loss = (w * v).sum()", "v.data[0] = 5.  # here", "loss.backward()", "w.grad = v.grad = None", begin=LEAVES
        ),
    },
    "optimizer-remade": {
        "Adam": steps("opt = torch.optim.Adam(net.parameters())  # here", LOSS, *STEP, count=4),
        "momentum": steps("opt = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)  # here", LOSS, *STEP, count=4),
        "a function": BEGIN
        + "def train():\n    opt = torch.optim.Adam(net.parameters())  # here\n"
        + "".join(f"    {line}\n" for line in (LOSS, *STEP))
        + "for step in range(4): train()\n",
    },
    "not-in-optimizer": {
        "weights of tasks": steps(
            "loss = (((net(x) - y) ** 2).mean() * (-s[0]).exp() + s[0]) + (net(x).abs().mean() * (-s[1]).exp() + s[1])",
            *STEP,
            begin=f"{BEGIN}s = torch.zeros(2, requires_grad=True)  # here\n",
        ),
        "positions": steps(
            "loss = ((net(x + positions) - y) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}positions = torch.zeros(1, 4).requires_grad_()  # here\n",
        ),
        "a temperature": steps(
            "loss = ((net(x) * scale.exp() - y) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}scale = torch.tensor(0.1, requires_grad=True)  # here\n",
        ),
        "a lone parameter": steps(
            "loss = ((s * net(x) - y) ** 2).mean()", *STEP, begin=f"{BEGIN}s = nn.Parameter(torch.ones(1))  # here\n"
        ),
        "a parameter of an agent": steps(
            "loss = ((agent.s * net(x) - y) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}class Agent:\n    def __init__(self):\n        self.s = nn.Parameter(torch.ones(1))  # here\n"
            "agent = Agent()\n",
        ),
        "one bias of two": steps(
            "loss = ((x @ w + b1 + b2 - y) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}w, b1 = torch.randn(4, 1, requires_grad=True), torch.zeros(1, requires_grad=True)\n"
            "b2 = torch.zeros(16, 1, requires_grad=True)  # here\nopt = torch.optim.SGD([w, b1], lr=0.1)\n",
        ),
        "a parameter of the loss": steps(
            "loss = criterion(net(x), y)",
            *STEP,
            begin=f"{BEGIN}class Weighted(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.w = nn.Parameter(torch.zeros(1))\n    def forward(self, a, b):\n"
            "        return ((a - b) ** 2).mean() * torch.exp(-self.w) + self.w.sum()\ncriterion = Weighted()\n"
            "opt = torch.optim.SGD(net.parameters(), lr=0.01)  # here\n",
        ),
        "a list of parameters": steps(
            LOSS,
            *STEP,
            begin=f"{BEGIN}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.w = [nn.Parameter(torch.randn(4, 1)) for _ in range(2)]  # here\n        self.b = nn.Linear(4, 1)\n"
            "    def forward(self, x):\n        return self.b(x) + sum(x @ w for w in self.w)\nnet = Net()\n"
            "opt = torch.optim.SGD(net.parameters(), lr=0.01)\n",
        ),
        "an adapter around a layer": steps(
            LOSS,
            *STEP,
            begin=f"{BEGIN}net[0] = nn.Sequential(net[0], nn.Linear(8, 8))  # here\n",
        ),
        "unfrozen later": steps(
            "if step == 2:",
            "    for p in net[0].parameters(): p.requires_grad_(True)  # here",
            LOSS,
            *STEP,
            begin=FROZEN.format(given="[p for p in net.parameters() if p.requires_grad]"),
            count=6,
        ),
        "a filter": steps(
            "if step == 2:",
            "    net[0].weight.requires_grad = True  # here",
            LOSS,
            *STEP,
            begin=FROZEN.format(given="filter(lambda p: p.requires_grad, net.parameters())"),
            count=6,
        ),
    },
    "scaled-update": {
        "SGD": steps(LOSS, "opt.zero_grad()", "scaler.scale(loss).backward()", "opt.step()  # here", begin=SCALER),
        "Adam": steps(
            LOSS,
            "rest.zero_grad()",
            "scaler.scale(loss).backward()",
            "rest.step()  # here",
            "scaler.update()",
            begin=f"{SCALER}rest = torch.optim.Adam(net.parameters())\n",
        ),
        "one of two": steps(
            BOTH,
            "opt.zero_grad()",
            "rest.zero_grad()",
            "scaler.scale(loss).backward()",
            "scaler.step(opt)",
            "rest.step()  # here",
            "scaler.update()",
            begin=TWO + "scaler = torch.amp.GradScaler('cpu', init_scale=8.)\n",
        ),
    },
    "same-network": {
        "the same item of a dict": steps(
            "loss = ((fast(x) - y - slow(x).detach()) ** 2).mean()",
            *STEP,
            "for p, q in zip(slow.parameters(), fast.parameters()): p.data.copy_(0.9 * p.data + 0.1 * q.data)",
            begin=f"{BEGIN}nets = {{'a': nn.Linear(4, 1)}}\nfast, slow = nets['a'], nets['a']  # here\n"
            "opt = torch.optim.SGD(fast.parameters(), lr=0.05)\n",
        ),
        "a second name that follows the first": steps(
            LOSS,
            *STEP,
            "with torch.no_grad():",
            "    for q, p in zip(net.parameters(), shadow.parameters()): p.lerp_(q, 0.1)",
            "shadow(x)",
            begin=f"{BEGIN}shadow = net  # here\n",
        ),
        "an attribute that follows": steps(
            LOSS,
            *STEP,
            "for s, p in zip(agent.slow.parameters(), net.parameters()): s.data.mul_(0.9).add_(0.1 * p.data)",
            "agent.slow(x)",
            begin=f"{BEGIN}class Agent: pass\nagent = Agent()\nagent.slow = net  # here\n",
        ),
        "a target": loop(TARGET, "loss = ((net(x) - goal - 1) ** 2).mean()", *STEP, begin=f"{BEGIN}target = net  # here\n"),
        "an attribute": loop(
            "loss = loss + agent.target(x).detach().mean() + (agent.net(x) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}class Agent:\n    def __init__(self):\n        self.net = net\n"
            "        self.target = self.net  # here\nagent = Agent()\n",
        ),
        "the weight of a target": loop(
            TARGET,
            *STEP,
            "target.weight = net.weight  # here",
            begin=f"{BEGIN}net = nn.Linear(4, 1)\ntarget = nn.Linear(4, 1)\nopt = torch.optim.SGD(net.parameters(), lr=0.05)\n",
        ),
        "a target that is updated": loop(
            TARGET, "target_net = net  # here", *STEP, "target_net.eval()", begin=f"{BEGIN}target = copy.deepcopy(net)\n"
        ),
        "a shallow copy of any name": loop(
            "with torch.no_grad(): goal = other(x)", *STEP, begin=f"{BEGIN}other = copy.copy(net)  # here\n"
        ),
        "a shallow copy": loop(*STEP, begin=f"{BEGIN}teacher = copy.copy(net)  # here\nteacher.eval()\n"),
        "moved to a device": loop(
            TARGET, "loss = ((net(x) - goal - 1) ** 2).mean()", *STEP, begin=f"{BEGIN}target = net.to('cpu')  # here\n"
        ),
        "two attributes": loop(
            "loss = loss + agent.target(x).detach().mean() + (agent.q(x) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}class Agent:\n    def __init__(self):\n        made = nn.Linear(4, 1)\n        self.q = made\n"
            "        self.target = made  # here\nagent = Agent()\nopt.add_param_group({'params': agent.q.parameters()})\n",
        ),
        "an item": loop(
            TARGET,
            "loss = ((model(x) - goal - 1) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}made = {{'net': nn.Linear(4, 1)}}\nmodel, target = made['net'], made['net']  # here\n"
            "opt = torch.optim.SGD(model.parameters(), lr=0.1)\n",
        ),
        "the best one": loop(*STEP, "best, loss = net, loss.item()  # here") + "best(x)\n",
    },
    "values-by-reference": {
        "all parameters": loop(
            *STEP,
            "for e, p in zip(average, net.parameters()): e.mul_(0.9).add_(p.data, alpha=0.1)",
            begin=f"{BEGIN}average = [p.data for p in net.parameters()]  # here\n",
        ),
        "within a step": loop("before = net[0].weight.data  # here", *STEP, "print((net[0].weight - before).abs().max())"),
        "data": KEPT.format(kept="before = net[0].weight.data  # here").format(use="print(torch.equal(before, net[0].weight))"),
        "an array": KEPT.format(kept="before = net[0].weight.detach().numpy()  # here").format(
            use="print(abs(before - net[0].weight.detach().numpy()).max())"
        ),
        "a history": loop(*STEP, "history.append(net[0].weight.detach())  # here", begin=f"{BEGIN}history = []\n"),
        "a moving average": loop(
            *STEP,
            "for k, p in net.named_parameters(): shadow[k] = 0.9 * shadow[k] + 0.1 * p.data",
            begin=f"{BEGIN}shadow = {{k: p.data for k, p in net.named_parameters()}}  # here\n",
        ),
        "an average written in place": loop(
            *STEP,
            "for k, p in net.named_parameters(): shadow[k].mul_(0.9).add_(p.detach(), alpha=0.1)",
            begin=f"{BEGIN}shadow = {{}}\nfor k, p in net.named_parameters():\n    shadow[k] = p.detach()  # here\n",
        ),
        "a distance in the loss": loop(
            "loss = loss + sum(((p - a) ** 2).sum() for p, a in zip(net.parameters(), anchor))",
            *STEP,
            begin=f"{BEGIN}anchor = [p.detach() for p in net.parameters()]  # here\n",
        ),
    },
    "state-by-reference": {
        "a dict of the same tensors": loop(*STEP, "if step == 1: best = {k: v for k, v in net.state_dict().items()}  # here")
        + "net.load_state_dict(best)\n",
        "a list of states": loop(*STEP, "states.append(net.state_dict())  # here", begin=f"{BEGIN}states = []\n")
        + "net.load_state_dict(states[0])\n",
        "a shallow copy": loop(*STEP, "if step == 1: best = net.state_dict().copy()  # here") + "net.load_state_dict(best)\n",
        "copy.copy": loop(*STEP, "if step == 1: best = copy.copy(net.state_dict())  # here") + "net.load_state_dict(best)\n",
        "an object keeps it": loop(
            *STEP,
            "keeper.keep(-step, net)",
            begin=f"{BEGIN}class Keeper:\n    best = -1e9\n    def keep(self, score, model):\n        if score > self.best:\n"
            "            self.best, self.state = score, model.state_dict()  # here\nkeeper = Keeper()\n",
        )
        + "net.load_state_dict(keeper.state)\n",
        "the best is the last": loop(*STEP, "if step > -1: best = net.state_dict()  # here") + "net.load_state_dict(best)\n",
        "an average of states": loop(*STEP, "states.append(net.state_dict())  # here", begin=f"{BEGIN}states = []\n")
        + "net.load_state_dict({k: sum(s[k] for s in states) / 3 for k in states[0]})\n",
        "a step towards the new state": steps(
            "old = net.state_dict()  # here",
            LOSS,
            *STEP,
            "new = net.state_dict()",
            "net.load_state_dict({k: old[k] + 0.5 * (new[k] - old[k]) for k in old})",
        ),
        "moved to the CPU": loop(*STEP, "if step == 0: first = {k: v.cpu() for k, v in net.state_dict().items()}  # here")
        + "print([(p - first[k]).norm() for k, p in net.named_parameters()])\n",
    },
    "misspelled-attribute": {
        "grad": steps(
            "((net(x) - y) ** 2).mean().backward()",
            "with torch.no_grad():",
            "    for p in net.parameters():",
            "        p -= 0.01 * p.grad",
            "        p.gard = None  # here",
            "net.zero_grad()",
        ),
        "gradient": loop(*STEP, begin=f"{BEGIN}net[0].weight.require_gradient = False  # here\n"),
        "required": loop(*STEP, begin=f"{BEGIN}net[0].weight.required_grad = False  # here\n"),
    },
    "flag-on-module": {
        "a network": loop(*STEP, begin=f"{BEGIN}net.requires_grad = False  # here\n"),
        "a layer": loop(*STEP, begin=f"{BEGIN}net[0].requires_grad = False  # here\n"),
        "each layer": loop(*STEP, begin=f"{BEGIN}for layer in net.children(): layer.requires_grad = False  # here\n"),
    },
}
"""Programs by the code of the finding that each triggers in the line that ends with ``# here``."""

CORRECT = {
    "change-lost": {
        "in place": loop(*STEP, "for p in net.parameters():", "    p.data.clamp_(-0.1, 0.1)"),
        "written to the tensor": loop(
            *STEP, "with torch.no_grad():", "    torch.clamp(net[0].weight, -1, 1, out=net[0].weight)"
        ),
        "a set with the name of an attribute": loop(
            *STEP, "net.data.append(step)", "net.limit()", begin=OWN_LAYER.format(limit="set(self.data).add(len(self.data))")
        ),
        "a list with the name of an attribute": loop(
            *STEP, "Box.data.add(step)", begin=f"{BEGIN}class Box:\n    data = set()\n"
        ),
        "a running average": loop(
            *STEP,
            "for e, p in zip(average.parameters(), net.parameters()):",
            "    e.data = 0.9 * e.data + 0.1 * p.data",
            begin=EMA,
        ),
        "a copy that is read": loop(
            *STEP, "total = 0.0", "for p in net.parameters():", "    p = p.detach() * 2", "    total += p.sum().item()"
        ),
        "a copy that is kept": loop(
            *STEP, "for name, p in net.named_parameters():", "    p = p.data.clamp(0, 1)", "    kept = p", "print(kept)"
        ),
        "a copy that the next turn reads": loop(
            *STEP, "for p in net.parameters():", "    for k in range(2):", "        print(p.norm())", "        p = p * 2"
        ),
        "a copy that is read after the loop": loop(*STEP, "for p in net.parameters():", "    p = p * 2", "print(p)"),
        "steps of an inner loop": loop(
            "pairs = zip(net.parameters(), torch.autograd.grad(loss, net.parameters()))",
            "fast = [p - 0.1 * g for p, g in pairs]",
            "((nn.functional.linear(net[0](x).tanh(), *fast[2:]) - y) ** 2).mean().backward()",
            "opt.step()",
            "opt.zero_grad()",
        ),
        "a name": loop(*STEP, "for name, p in net.named_parameters():", "    name = name * 2", "    p.data += 0.01"),
    },
    "gradient-unused": {
        "returned gradients that are written": steps(
            LOSS,
            "for p, g in zip(net.parameters(), torch.autograd.grad(loss, net.parameters())): p.grad = g",
            "opt.step()",
        ),
        "returned gradients that an update by hand uses": steps(
            LOSS,
            "grads = torch.autograd.grad(loss, net.parameters())",
            "with torch.no_grad():",
            "    for p, g in zip(net.parameters(), grads): p -= 0.1 * g",
            "opt.step()",
        ),
        "returned gradients of a function that are written": steps(
            "grads = torch.func.grad(mean_loss)(dict(net.named_parameters()))",
            "for k, p in net.named_parameters(): p.grad = grads[k]",
            "opt.step()",
            begin=f"{BEGIN}def mean_loss(p): return (torch.func.functional_call(net, p, (x,)) - y).pow(2).mean()\n",
        ),
        "returned gradients, for a penalty": steps(
            LOSS,
            "slopes = torch.autograd.grad(loss, net.parameters(), create_graph=True)",
            "(loss + sum(g.pow(2).sum() for g in slopes)).backward()",
            "opt.step()",
            "opt.zero_grad()",
        ),
        "a step before the pass, cleared after the step": steps("opt.step()", "opt.zero_grad()", LOSS, "loss.backward()"),
        "a step before the pass that uses the gradients of the turn before": steps(
            "if step: opt.step()", "net.zero_grad()", LOSS, "loss.backward()", count=4
        ),
        "a step of a scaler before the pass, cleared after the step": steps(
            "scaler.step(opt)", "opt.zero_grad()", LOSS, "scaler.scale(loss).backward()", "scaler.update()", begin=NO_SCALE
        ),
        "a step of a scaler after the pass": steps(
            "opt.zero_grad()", LOSS, "scaler.scale(loss).backward()", "scaler.step(opt)", "scaler.update()", begin=NO_SCALE
        ),
        "a step of a scaler that uses the gradients of the turn before": steps(
            "if step: scaler.step(opt)", "net.zero_grad()", LOSS, "loss.backward()", begin=NO_SCALE, count=4
        ),
        "cleared first, stepped last": steps("opt.zero_grad()", LOSS, "loss.backward()", "opt.step()"),
        "two optimizers": steps(
            "opt.zero_grad()", "rest.zero_grad()", BOTH, "loss.backward()", "opt.step()", "rest.step()", begin=TWO
        ),
        "the other one steps in turn": steps(
            "opt.zero_grad()",
            "rest.zero_grad()",
            BOTH,
            "loss.backward()",
            "(opt if step % 2 else rest).step()",
            begin=TWO,
            count=4,
        ),
        "a function that steps": (
            f"{BEGIN}def train(net, o):\n    for i in range(3):\n        o.zero_grad()\n"
            "        ((net(x) - y) ** 2).mean().backward()\n        o.step()\ntrain(net, opt)\n"
        ),
        "cleared after the step": loop("loss.backward()", "opt.step()", "for p in net.parameters():", "    p.grad = None"),
    },
    "cleared-too-early": {
        "gradients of each sample, added up": micro_batches(
            "opt.zero_grad()",
            "loss.backward()",
            "for s, p in zip(sums, net.parameters()): s += p.grad",
            "if step % 4 == 3:",
            "    for s, p in zip(sums, net.parameters()): p.grad = s.clone(); s.zero_()",
            "    opt.step()",
        ).replace("for step", "sums = [torch.zeros_like(p) for p in net.parameters()]\nfor step", 1),
        "gradients of each sample in a list": micro_batches(
            "opt.zero_grad()",
            "loss.backward()",
            "kept.append([p.grad.clone() for p in net.parameters()])",
            "if step % 4 == 3:",
            "    for index, p in enumerate(net.parameters()): p.grad.copy_(sum(each[index] for each in kept))",
            "    kept.clear()",
            "    opt.step()",
        ).replace("for step", "kept = []\nfor step", 1),
        "gradients of each sample, added in place": micro_batches(
            "opt.zero_grad()",
            "loss.backward()",
            "for s, p in zip(sums, net.parameters()): s.add_(p.grad)",
            "if step % 4 == 3:",
            "    for s, p in zip(sums, net.parameters()): p.grad.data.copy_(s); s.zero_()",
            "    opt.step()",
        ).replace("for step", "sums = [torch.zeros_like(p) for p in net.parameters()]\nfor step", 1),
        "two losses, cleared before both": steps(
            "net.zero_grad()",
            "(net(x) - y).abs().mean().backward()",
            "((net(x) - y) ** 2).mean().backward()",
            "opt.step()",
        ),
        "two losses, cleared before each, of which the first is read": steps(
            "net.zero_grad()",
            "(net(x) - y).abs().mean().backward()",
            "norm = net[0].weight.grad.norm()",
            "net.zero_grad()",
            "((net(x) - y) ** 2).mean().backward()",
            "opt.step()",
        ),
        "two losses with an update each": steps(
            "net.zero_grad()",
            "(net(x) - y).abs().mean().backward()",
            "opt.step()",
            "net.zero_grad()",
            "((net(x) - y) ** 2).mean().backward()",
            "opt.step()",
        ),
        "an auxiliary loss that is added": steps(
            "out = net(x)",
            "opt.zero_grad()",
            "(out ** 2).mean().backward(retain_graph=True)",
            "loss = ((out - y) ** 2).mean()",
            "loss.backward()",
            "opt.step()",
            count=4,
        ),
        "gradients that are read": steps(
            "out = net(x)",
            "(out ** 2).mean().backward(retain_graph=True)",
            "size = net[0].weight.grad.norm()",
            "opt.zero_grad()",
            "loss = ((out - y) ** 2).mean()",
            "loss.backward()",
            "opt.step()",
            count=4,
        ),
        "gradients whose norm is read": steps(
            "out = net(x)",
            "(out ** 2).mean().backward(retain_graph=True)",
            "size = nn.utils.clip_grad_norm_(net.parameters(), 1e9)",
            "opt.zero_grad()",
            "loss = ((out - y) ** 2).mean()",
            "loss.backward()",
            "opt.step()",
            count=4,
        ),
        "after the update": micro_batches("loss.backward()", "if step % 2 == 1:", "    opt.step()", "    opt.zero_grad()"),
        "skipped once": loop("opt.zero_grad()", "loss.backward()", "if step != 2: opt.step()", steps=6),
        "two optimizers in turn": steps(
            "opt.zero_grad(); rest.zero_grad()",
            BOTH,
            "loss.backward()",
            "(opt if step % 2 else rest).step()",
            begin=TWO,
            count=6,
        ),
    },
    "step-too-small": {
        "set later": steps("if step == 2: opt.param_groups[0]['lr'] = 0.1", LOSS, *STEP, begin=BEGIN.replace("0.05", "0.0")),
        "a warm-up from 0": loop(*STEP, "plan.step()", begin=BEGIN + RATE.format(plan="LambdaLR(opt, lambda e: e // 3)")),
        "one step": steps(LOSS, *STEP, begin=BEGIN.replace("0.05", "0.0"), count=1),
        "a cosine": loop(*STEP, "plan.step()", steps=11, begin=f"{BEGIN}plan = {COS}\n"),
        "a warm-up": loop(
            *STEP, "plan.step()", steps=9, begin=BEGIN + RATE.format(plan="LambdaLR(opt, lambda e: min(1.0, e / 4))")
        ),
        "a slow decay": loop(*STEP, "plan.step()", steps=20, begin=BEGIN + RATE.format(plan="ExponentialLR(opt, 0.9)")),
        "a gradient of 0": loop("loss = loss * 0", *STEP, steps=8),
    },
    "shared-memory": {
        "a copied transpose": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()",
            *STEP,
            begin=SHARED.format(tie="b.weight.data = a.weight.data.t().clone()"),
        ),
        "clipped weights": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()",
            *STEP,
            "with torch.no_grad():",
            "    for p in [*a.parameters(), *b.parameters()]: p.clamp_(-0.01, 0.01)",
            begin=SHARED.format(tie="pass"),
        ),
        "copied": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()", *STEP, begin=SHARED.format(tie="b.weight.data = a.weight.data.clone()")
        ),
        "one parameter": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()",
            *STEP,
            begin=SHARED.format(tie="b.weight = a.weight").replace("*b.parameters()", "b.bias"),
        ),
        "equal at the start": steps(
            "loss = ((b(a(x).tanh()) - x) ** 2).mean()", *STEP, begin=SHARED.format(tie="b.load_state_dict(a.state_dict())")
        ),
    },
    "changed-through-data": {
        "a constant that no derivative needs": f"{LEAVES}k = torch.ones(3)\nh = w + k\nk.data.mul_(2)\nh.sum().backward()\n",
        "a constant of another name": f"{LEAVES}k = torch.ones(3)\nh = w * k\nk = k + 1\nk.data.mul_(2)\nh.sum().backward()\n",
        "a constant after the pass": f"{LEAVES}k = torch.ones(3)\n(w * k).sum().backward()\nk.data.mul_(2)\n",
        "a copy": f"{BEGIN}h = net(x)\nloss = (h ** 2).sum()\nh.data.clone().clamp_(max=0.01)\nloss.backward()\n",
        "before it is used": f"{BEGIN}h = net(x)\nh.data.clamp_(max=9.)\n(h ** 2).sum().backward()\n",
        "what no derivative needs": f"{BEGIN}h = net(x)\nloss = h.sum()\nh.data.zero_()\nloss.backward()\n",
        "an update": loop("net.zero_grad()", "loss.backward()", "for p in net.parameters(): p.data -= 0.01 * p.grad"),
        "a leaf times a number": f"{LEAVES}loss = (2 * w).sum() + (w / 3).sum()\nw.data.mul_(2)\nloss.backward()\n",
        "a leaf times a constant": f"{LEAVES}loss = (w * torch.ones(3)).sum()\nw.data.mul_(2)\nloss.backward()\n",
        "a leaf that no derivative needs": f"{LEAVES}loss = (w + v).sum()\nw.data.mul_(2)\nloss.backward()\n",
        "a leaf after the pass": f"{LEAVES}loss = (w * v).sum()\nloss.backward()\nw.data.clamp_(-0.1, 0.1)\n",
        "a leaf before it is used": f"{LEAVES}w.data.clamp_(-0.1, 0.1)\nloss = (w * v).sum()\nloss.backward()\n",
    },
    "optimizer-remade": {
        "SGD": steps("opt = torch.optim.SGD(net.parameters(), 0.01)", LOSS, *STEP, count=4),
        "several steps each": f"{BEGIN}for task in range(3):\n    opt = torch.optim.Adam(net.parameters())\n"
        "    for step in range(2):\n" + "".join(f"        {line}\n" for line in (LOSS, *STEP)),
        "a function that is called once": BEGIN
        + "def train(count):\n    opt = torch.optim.Adam(net.parameters())\n    for step in range(count):\n"
        + "".join(f"        {line}\n" for line in (LOSS, *STEP))
        + "train(4)\n",
    },
    "not-in-optimizer": {
        "an input of ones": steps(
            "loss = (net(ones) ** 2).mean()", *STEP, begin=f"{BEGIN}ones = torch.ones(2, 4, requires_grad=True)\n"
        ),
        "a time whose derivative is taken": steps(
            "loss = net(x + t).pow(2).mean()",
            "loss = loss + torch.autograd.grad(loss, t, create_graph=True)[0].pow(2).mean()",
            *STEP,
            begin=f"{BEGIN}t = torch.zeros(16, 4, requires_grad=True)\n",
        ),
        "a perturbation whose gradient is read": steps(
            "loss = ((net(x + delta) - y) ** 2).mean()",
            *STEP,
            "delta.data += 0.1 * delta.grad.sign()",
            "delta.grad = None",
            begin=f"{BEGIN}delta = torch.zeros(16, 4, requires_grad=True)\n",
        ),
        "random inputs": steps(
            "loss = net(z * 1.0).pow(2).mean()", *STEP, begin=f"{BEGIN}z = torch.randn(16, 4, requires_grad=True)\n"
        ),
        "an image that is optimized": steps(
            "loss = (net(image) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}image = nn.Parameter(torch.randn(2, 4))\nopt = torch.optim.Adam([image], lr=0.1)\n",
        ),
        "a parameter that is updated by hand": steps(
            "loss = ((s * net(x) - y) ** 2).mean()",
            *STEP,
            "with torch.no_grad(): s -= 0.1 * s.grad",
            "s.grad = None",
            begin=f"{BEGIN}s = nn.Parameter(torch.ones(1))\n",
        ),
        "a parameter whose gradient is read": steps(
            "loss = ((s * net(x) - y) ** 2).mean()",
            *STEP,
            "print(s.grad)",
            "s.grad = None",
            begin=f"{BEGIN}s = nn.Parameter(torch.ones(1))\n",
        ),
        "an input that requires a gradient": steps(
            "loss = ((net(z) - y) ** 2).mean()", *STEP, begin=f"{BEGIN}z = torch.randn(16, 4, requires_grad=True)\n"
        ),
        "a teacher": steps("loss = ((net(x) - teacher(x)) ** 2).mean()", *STEP, begin=f"{BEGIN}teacher = nn.Linear(4, 1)\n"),
        "two layers made in one step": steps(
            "if step == 0: extra = nn.Linear(4, 1)",
            "loss = ((net(x) - y) ** 2).mean() + (extra(x) ** 2).mean() * (step == 0)",
            *STEP,
            count=1,
        ),
        "a head replaced before": steps(
            LOSS, *STEP, begin=f"{BEGIN}net[2] = nn.Linear(8, 1)\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        ),
        "all parameters": steps(
            "if step == 2: net[0].requires_grad_(True)", LOSS, *STEP, begin=FROZEN.format(given="net.parameters()"), count=6
        ),
        "added": steps(
            "if step == 2:",
            "    net[0].requires_grad_(True)",
            "    opt.add_param_group({'params': net[0].parameters()})",
            LOSS,
            *STEP,
            begin=FROZEN.format(given="[p for p in net.parameters() if p.requires_grad]"),
            count=6,
        ),
        "another optimizer": steps(
            "if step == 2:",
            "    net[0].requires_grad_(True)",
            "    opt = torch.optim.SGD(net.parameters(), lr=0.01)",
            LOSS,
            *STEP,
            begin=FROZEN.format(given="[p for p in net.parameters() if p.requires_grad]"),
            count=6,
        ),
    },
    "scaled-update": {
        "a step of the scaler": steps(
            LOSS, "opt.zero_grad()", "scaler.scale(loss).backward()", "scaler.step(opt)", "scaler.update()", begin=SCALER
        ),
        "divided by hand": steps(
            LOSS, "opt.zero_grad()", "scaler.scale(loss).backward()", "scaler.unscale_(opt)", "opt.step()", begin=SCALER
        ),
        "disabled": steps(
            LOSS,
            "opt.zero_grad()",
            "scaler.scale(loss).backward()",
            "opt.step()",
            begin=f"{BEGIN}scaler = torch.amp.GradScaler('cpu', enabled=False)\n",
        ),
    },
    "same-network": {
        "a second name whose parameters are compared": steps(
            LOSS,
            *STEP,
            "print(all((p == q).all() for p, q in zip(net.parameters(), same.parameters())))",
            "same(x)",
            begin=f"{BEGIN}same = net\n",
        ),
        "a copy of an item that follows": steps(
            LOSS,
            *STEP,
            "for p, q in zip(slow.parameters(), fast.parameters()): p.data.copy_(0.9 * p.data + 0.1 * q.data)",
            "slow(x)",
            begin=f"{BEGIN}nets = {{'a': net, 'b': copy.deepcopy(net)}}\nfast, slow = nets['a'], nets['b']\n",
        ),
        "a second name, and a loop that reads": steps(
            LOSS,
            *STEP,
            "total = sum(float((p * q).sum()) for p, q in zip(net.parameters(), same.parameters()))",
            "for p, q in zip(same.parameters(), net.parameters()): total += float((p - q).norm())",
            "same(x)",
            begin=f"{BEGIN}same = net\n",
        ),
        "a deep copy": loop(
            TARGET, "loss = ((net(x) - goal - 1) ** 2).mean()", *STEP, begin=f"{BEGIN}target = copy.deepcopy(net)\n"
        ),
        "another name": loop("loss = ((model(x) - y) ** 2).mean()", *STEP, begin=f"{BEGIN}model = net\n"),
        "a new network takes the name": loop(
            *STEP,
            begin=f"{BEGIN}teacher = net\nteacher(x)\nnet = nn.Linear(4, 1)\n{NEW_NET}",
        ),
        "the best loss": loop(*STEP, "best_loss = loss"),
        "a converted tensor": loop(
            "old = w.double()",
            "loss = loss + (w * old.detach()).sum()",
            *STEP,
            "print(old.sum())",
            begin=f"{BEGIN}w = torch.ones(3, requires_grad=True)\nopt.add_param_group({{'params': [w]}})\n",
        ),
        "two attributes of copies": loop(
            "loss = loss + agent.target(x).detach().mean() + (agent.q(x) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}class Agent:\n    def __init__(self, made):\n        self.q = made\n"
            "        self.target = copy.deepcopy(made)\nagent = Agent(net)\n",
        ),
        "two items": loop(
            TARGET,
            "loss = ((model(x) - goal - 1) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}made = {{'a': net, 'b': copy.deepcopy(net)}}\nmodel, target = made['a'], made['b']\n",
        ),
    },
    "values-by-reference": {
        "all parameters, copied": loop(
            *STEP,
            "for e, p in zip(average, net.parameters()): e.mul_(0.9).add_(p.data, alpha=0.1)",
            begin=f"{BEGIN}average = [p.data.clone() for p in net.parameters()]\n",
        ),
        "an update through them": loop(
            "net.zero_grad()",
            "loss.backward()",
            "for d, p in zip(numbers, net.parameters()): d -= 0.01 * p.grad",
            begin=f"{BEGIN}numbers = [p.data for p in net.parameters()]\n",
        ),
        "a copy within a step": loop(
            "before = net[0].weight.data.clone()", *STEP, "print((net[0].weight - before).abs().max())"
        ),
        "a clone": KEPT.format(kept="before = net[0].weight.detach().clone()").format(
            use="print(torch.equal(before, net[0].weight))"
        ),
        "not compared": KEPT.format(kept="weight = net[0].weight.data").format(use="print(weight.norm())"),
        "numbers that are only read": loop(*STEP, "print(weight.norm(), loss)", begin=f"{BEGIN}weight = net[0].weight.data\n"),
        "beside a layer": loop(*STEP, "print(weight.norm(), net(x).mean())", begin=f"{BEGIN}weight = net[0].weight.detach()\n"),
        "weight decay through them": loop(
            "net.zero_grad()",
            "loss.backward()",
            "for d, p in zip(numbers, net.parameters()): d -= 0.01 * (p.grad + 0.1 * d)",
            "opt.step()",
            begin=f"{BEGIN}numbers = [p.detach() for p in net.parameters()]\n",
        ),
        "two views of one instant": loop(
            *STEP, "one, two = net[0].weight.data, net[0].weight.detach()", "print(torch.equal(one, two))"
        ),
        "a moving average of copies": loop(
            *STEP,
            "for k, p in net.named_parameters(): shadow[k] = 0.9 * shadow[k] + 0.1 * p.data",
            begin=f"{BEGIN}shadow = {{k: p.data.clone() for k, p in net.named_parameters()}}\n",
        ),
        "a history of losses": loop(*STEP, "history.append(loss.detach())", begin=f"{BEGIN}history = []\n"),
        "a history of clones": loop(*STEP, "history.append(net[0].weight.detach().clone())", begin=f"{BEGIN}history = []\n"),
    },
    "state-by-reference": {
        "cloned": loop(*STEP, "if step == 1: best = {k: v.clone() for k, v in net.state_dict().items()}")
        + "net.load_state_dict(best)\n",
        "cloned by a function": loop(*STEP, "if step == 1: best = {k: torch.clone(v) for k, v in net.state_dict().items()}")
        + "net.load_state_dict(best)\n",
        "the state of an average, kept as a variable": loop(
            *STEP,
            "for k, v in net.state_dict().items(): shadow[k].mul_(0.9).add_(0.1 * v)",
            "average.load_state_dict(shadow)",
            begin=f"{BEGIN}average = copy.deepcopy(net)\nshadow = average.state_dict()\n",
        ),
        "the last checkpoint": loop(*STEP, "saved = net.state_dict()") + "net.load_state_dict(saved)\n",
        "loaded at once": loop(*STEP, "state = net.state_dict()", "net.load_state_dict(state)"),
        "into another network": loop(
            *STEP, "target.load_state_dict(net.state_dict())", begin=f"{BEGIN}target = copy.deepcopy(net)\n"
        ),
        "a deep copy": loop(*STEP, "if step == 1: best = copy.deepcopy(dict(net.state_dict()))")
        + "net.load_state_dict(best)\n",
    },
    "flag-on-module": {
        "the method": loop(*STEP, begin=f"{BEGIN}net[0].requires_grad_(False)\n"),
        "the parameters": loop(*STEP, begin=f"{BEGIN}for p in net[0].parameters(): p.requires_grad = False\n"),
        "a tensor": loop(
            "loss = loss + scale ** 2", *STEP, begin=f"{BEGIN}scale = torch.ones(())\nscale.requires_grad = True\n"
        ),
        "a flag that the program reads": loop(*STEP, begin=f"{BEGIN}net.requires_grad = True\nprint(net.requires_grad)\n"),
    },
}
"""Similar correct programs, by the code of the finding that they do not trigger."""
