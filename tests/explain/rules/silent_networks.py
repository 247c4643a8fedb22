"""Programs with losses and networks that train badly without an error, and similar correct programs."""

from __future__ import annotations

from .silent_updates import steps
from .training_loops import BEGIN, STEP, loop

F = "import torch.nn.functional as F\n"
CLASSES = (
    f"{BEGIN}{F}labels = torch.randint(3, (16,))\nnet = nn.Linear(4, 3)\nopt = torch.optim.SGD(net.parameters(), lr=0.05)\n"
)
WEIGHTS = "w1, w2 = torch.{one}(4, 8, requires_grad=True), torch.{two}(8, 1, requires_grad=True)"
MATRICES = f"{BEGIN}{WEIGHTS}\nopt = torch.optim.SGD([w1, w2], lr=0.01)\n"
MANY = """\
x = torch.randn(16, 32)
net = nn.Sequential(*(each for _ in range(8) for each in (nn.Linear(32, 32), nn.{act}())), nn.Linear(32, 1))
for layer in net[:-1:2]: nn.init.normal_(layer.weight, std={std})
opt = torch.optim.SGD(net.parameters(), lr=1e-30)
"""
DEEP = BEGIN + MANY
NEW_NET = "opt = torch.optim.SGD(net.parameters(), lr=0.01)\n"
DROP = f"{BEGIN}net = nn.Sequential(nn.Linear(4, 8), nn.{{layer}}, nn.Linear(8, 1))\n{NEW_NET}"
EQUATION = (
    f"{BEGIN}net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))\nt = torch.rand(16, 1, requires_grad=True)\n"
    "opt = torch.optim.SGD(net.parameters(), lr=0.05)\n"
)
EVALUATE = ("net.eval()", "with torch.no_grad(): net(x)")
LOSS_OF_NET = "loss = ((net(x) - y) ** 2).mean()"
FORWARD = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def forward(self, x):
        return self.layer({call})
net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.05)
"""
RECURRENT = (
    f"{BEGIN}{F}batch, y = torch.randn(6, 5, 3), torch.randn(6, 4)\nrnn = nn.{{layer}}\n"
    "opt = torch.optim.SGD(rnn.parameters(), lr=0.1)\n"
)
SEQUENCES = f"{BEGIN}{F}s, t = torch.randn(5, 16, 4), torch.randn(16, 5, 1)\n"
TURNS = f"{BEGIN}turns = torch.randn(5, 16, 4)\nnet = nn.Linear(4, 1)\n{NEW_NET}"
ACTOR = "policy, critic, r = nn.Linear(4, 2), nn.Linear(4, 1), torch.randn(16)\n"
CRITIC = f"{BEGIN}{ACTOR}opt = torch.optim.SGD(policy.parameters(), lr=0.05)\n"
CHOSEN = "chosen = policy(x).log_softmax(1)[:, 0]"

FUNCTION = """\
import torch
class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x{more}):
        {keep}
        return {out}
    @staticmethod
    def backward(ctx, g):
        return {slope}
x = torch.tensor([0.5, 2.0], requires_grad=True)
first = torch.autograd.grad((Own.apply(x{given}) * x).sum(), x, create_graph=True)[0]
first.sum().backward()
"""


def function(keep: str, out: str, slope: str, *, more: str = "", given: str = "") -> str:
    return FUNCTION.format(keep=keep, out=out, slope=slope, more=more, given=given)


TAGGER = """\
import torch
from torch import nn
class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
    def score(self, x):
        score = torch.zeros(1)
        for each in x:
            score = score + self.layer(x)[0] * each
        return score
    def loss(self, x):
        return torch.logsumexp(self.layer(x), 0) - self.score(x)
    def forward(self, x):
        return (self.layer(x)).argmax().item()
tagger = Tagger()
opt = torch.optim.SGD(tagger.parameters(), lr=0.01)
for step in range(3):
    opt.zero_grad()
    loss = tagger.loss(torch.ones(2))
    loss.backward()
    opt.step()
tagger(torch.ones(2))
"""

FRAMES = (
    f"{CLASSES}frames, words = torch.randn(12, 2, 4), torch.randint(1, 3, (2, 3))\n"
    "sizes = torch.full((2,), 12), torch.full((2,), 3)\n"
)

REPORTED = {
    "graph-kept": {
        "a validation with gradients": steps(
            LOSS_OF_NET, *STEP, "total = 0", "for part in x.split(4):", "    total += net(part).pow(2).mean()  # here"
        ),
        "a validation in a function": steps(
            LOSS_OF_NET,
            *STEP,
            "print(validate())",
            begin=f"{BEGIN}def validate():\n    total = 0.0\n    for part in x.split(4):\n"
            "        loss = net(part).pow(2).mean()\n        total = total + loss  # here\n    return float(total)\n",
        ),
        "a loss of two terms": steps(
            LOSS_OF_NET,
            *STEP,
            "total = 0",
            "for part in x.split(4):",
            "    out = net(part)",
            "    total = out.abs().mean() + 0.1 * out.pow(2).mean() + total  # here",
        ),
    },
    "kept-result": {
        "an attribute": function("ctx.twice = 2 * x  # here", "x ** 2", "g * ctx.twice"),
        "a saved result": function(
            "s = torch.sigmoid(x)  # here\n        ctx.save_for_backward(s)", "torch.log1p(x.exp())", "g * ctx.saved_tensors[0]"
        ),
        "a saved expression": function("ctx.save_for_backward(3 * x * x)  # here", "x ** 3", "g * ctx.saved_tensors[0]"),
        "a copy of the output": function("ctx.y = x.exp()  # here", "ctx.y.clone()", "g * ctx.y"),
    },
    "broadcast-both": {
        "a ratio and advantages": steps(
            "v = critic(x)",
            "gain = r[:, None] * 1 - v.detach()",
            CHOSEN,
            "gain = gain.detach()",
            "loss = -torch.min(chosen.exp() * v.detach(), chosen * v.detach()).mean()  # here",
            *STEP,
            begin=CRITIC,
        ),
        "a quotient": steps("loss = (net(x) / r.exp() - 1).abs().mean()  # here", *STEP, begin=f"{BEGIN}r = torch.randn(16)\n"),
        "a choice": steps(
            "d = net(x) - r  # here",
            "loss = torch.where(d.abs() < 1, 0.5 * d ** 2, d.abs() - 0.5).mean()",
            *STEP,
            begin=f"{BEGIN}r = torch.randn(16)\n",
        ),
        "a hinge": steps("loss = torch.relu(1 - r * net(x)).mean()  # here", *STEP, begin=f"{BEGIN}r = y[:, 0].sign()\n"),
        "a likelihood": steps(
            "p = torch.sigmoid(net(x))",
            "loss = -torch.log(p * r + (1 - p) * (1 - r)).mean()  # here",
            *STEP,
            begin=f"{BEGIN}r = y[:, 0].gt(0).float()\n",
        ),
    },
    "unused-parameter": {
        "a new parameter in each step": steps(
            "other.weight = nn.Parameter(maker(x[:1]).view(1, 4))  # here",
            "loss = (other(x) - y).pow(2).mean()",
            *STEP,
            begin=f"{BEGIN}maker, other = nn.Linear(4, 4), nn.Linear(4, 1)\n"
            "opt = torch.optim.SGD([*maker.parameters(), *other.parameters()], lr=0.01)\n",
        ),
        "the first layer of a list": steps(
            "h = layers[0](x).detach()  # here",
            "loss = (layers[1](h) - y).pow(2).mean()",
            *STEP,
            begin=f"{BEGIN}layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 1)])\n{NEW_NET.replace('net', 'layers')}",
        ),
        "a checkpoint of a layer of a list": steps(
            "h = torch.utils.checkpoint.checkpoint(lambda h: layers[0](h), x, use_reentrant=True)  # here",
            "loss = (layers[1](h) - y).pow(2).mean()",
            *STEP,
            begin=f"{BEGIN}import torch.utils.checkpoint\nlayers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 1)])\n"
            f"{NEW_NET.replace('net', 'layers')}",
        ),
    },
    "no-grad-path": {
        "everything is frozen": steps(
            LOSS_OF_NET, *STEP, begin=f"{BEGIN}for p in net.parameters():\n    p.requires_grad = False  # here\n"
        ),
        "a frozen network": steps(LOSS_OF_NET, *STEP, begin=f"{BEGIN}net.requires_grad_(False)  # here\n"),
        "frozen in a function": steps(
            LOSS_OF_NET,
            *STEP,
            begin=f"{BEGIN}def freeze(model):\n    for p in model.parameters():\n        p.requires_grad_(False)  # here\n"
            "freeze(net)\n",
        ),
    },
    "constant-term": {
        "numbers in a generator": loop(
            "size = sum(p.abs().sum().item() for p in net.parameters())  # here", "loss = loss + 0.1 * size", *STEP
        ),
        "a residual": steps(
            "out = net(t)",
            "slope = torch.autograd.grad(out.sum(), t, retain_graph=True)[0]  # here",
            "loss = ((slope + out) ** 2).mean() + (out[0] ** 2).sum()",
            *STEP,
            begin=EQUATION,
        ),
        "a residual as a difference": steps(
            "out = net(t)",
            "slope, = torch.autograd.grad(out, t, torch.ones_like(out), retain_graph=True)  # here",
            "loss = (0.5 * out - slope).abs().sum()",
            *STEP,
            begin=EQUATION,
        ),
        "a residual in a function": steps(
            "loss = residual(net, t)",
            *STEP,
            begin=f"{EQUATION}def residual(net, t):\n    u = net(t)\n"
            "    du = torch.autograd.grad(u.sum(), t, retain_graph=True)[0]  # here\n    r = du + 2 * u\n"
            "    return r.pow(2).mean()\n",
        ),
        "data": loop("decay = sum(p.data.pow(2).sum() for p in net.parameters())  # here", "loss = loss + 0.1 * decay", *STEP),
        "numbers": loop(
            "size = 0.", "for p in net.parameters(): size += p.abs().sum().item()  # here", "loss = loss + 0.1 * size", *STEP
        ),
        "a gradient in the sum": loop(
            "x.requires_grad_()",
            "out = net(x)",
            "g = torch.autograd.grad(out.sum(), x)[0]  # here",
            "loss = ((net(x) - y) ** 2).mean() + g.norm() * 10",
            *STEP,
        ),
        "a gradient of a pass": loop(
            "x.requires_grad_()",
            "net(x).sum().backward()",
            "loss = loss + x.grad.pow(2).mean()  # here",
            "x.grad = None",
            *STEP,
        ),
        "a function": loop(
            "loss += penalty(net, x)",
            *STEP,
            begin=f"{BEGIN}def penalty(net, x):\n    x = x.clone().requires_grad_()\n"
            "    g, = torch.autograd.grad(net(x).sum(), x)  # here\n"
            "    return 10 * ((g.norm(dim=1) - 1) ** 2).mean()\n",
        ),
    },
    "zero-gradient": {
        "a ratio": steps(
            "loss = (w / w).sum()  # here",
            *STEP,
            begin=f"{BEGIN}w = nn.Parameter(torch.rand(5) + 1)\nopt = torch.optim.SGD([w], lr=0.1)\n",
        ),
        "a difference": loop("h = net(x)", "loss = (h - h).sum()  # here", *STEP),
        "one class": loop("p = net(x).softmax(1)  # here", "loss = (p * y).sum()", *STEP),
        "a tensor and itself": loop("h = net(x)", "loss = nn.functional.mse_loss(h, h)  # here", *STEP),
        "clamped": loop("loss = (net(x) + 99).clamp(0, 1).sum()  # here", *STEP),
        "two zeros": steps(
            "loss = ((x @ w1 @ w2 - y) ** 2).mean()",
            *STEP,
            begin=MATRICES.format(one="zeros", two="zeros").replace("=True)\n", "=True)  # here\n"),
        ),
    },
    "softmax-twice": {
        "clamped in between": steps(
            "loss = F.cross_entropy(net(x).softmax(1).clamp(1e-7, 1), labels)  # here", *STEP, begin=CLASSES
        ),
        "a sigmoid before cross entropy": steps(
            "loss = F.cross_entropy(torch.sigmoid(net(x)), labels)  # here", *STEP, begin=CLASSES
        ),
        "a softmax before a sigmoid": steps(
            "loss = F.binary_cross_entropy_with_logits(net(x).softmax(1), x[:, :3].gt(0).float())  # here", *STEP, begin=CLASSES
        ),
        "two softmaxes": steps(
            "p = F.softmax(F.softmax(net(x), dim=1), dim=1)  # here", "loss = F.nll_loss(p.log(), labels)", *STEP, begin=CLASSES
        ),
        "two sigmoids": steps(
            "p = torch.sigmoid(torch.sigmoid(net(x)))  # here",
            "loss = F.binary_cross_entropy(p, x[:, :3].gt(0).float())",
            *STEP,
            begin=CLASSES,
        ),
        "a softmax written out": steps(
            "e = (net(x) - net(x).amax(1, keepdim=True)).exp()",
            "loss = F.cross_entropy(e / (e.sum(1, keepdim=True) + 1e-9), labels)  # here",
            *STEP,
            begin=CLASSES,
        ),
        "a softmax written with logsumexp": steps(
            "z = net(x)",
            "loss = F.cross_entropy(torch.exp(z - z.logsumexp(1, keepdim=True)), labels)  # here",
            *STEP,
            begin=CLASSES,
        ),
        "a softmax written with a reciprocal": steps(
            "e = net(x).exp()", "loss = F.cross_entropy(e * e.sum(1, True).reciprocal(), labels)  # here", *STEP, begin=CLASSES
        ),
        "a sigmoid written out": steps(
            "p = 1 / (1 + torch.exp(-net(x)))",
            "loss = F.binary_cross_entropy_with_logits(p, x[:, :3].gt(0).float())  # here",
            *STEP,
            begin=CLASSES,
        ),
        "a sigmoid written as a quotient": steps(
            "e = net(x).exp()",
            "loss = F.binary_cross_entropy_with_logits(e / (e + 1), x[:, :3].gt(0).float())  # here",
            *STEP,
            begin=CLASSES,
        ),
        "exp written twice": steps(
            "z = net(x)",
            "p = torch.exp(z) / (1 + torch.exp(z))",
            "loss = F.binary_cross_entropy_with_logits(p, x[:, :3].gt(0).float())  # here",
            *STEP,
            begin=CLASSES,
        ),
        "exp written twice in a softmax": steps(
            "z = net(x)",
            "loss = F.cross_entropy(z.exp() / z.exp().sum(1, keepdim=True), labels)  # here",
            *STEP,
            begin=CLASSES,
        ),
        "a sigmoid written with tanh": steps(
            "p = (torch.tanh(net(x) / 2) + 1) / 2",
            "loss = F.binary_cross_entropy_with_logits(p, x[:, :3].gt(0).float())  # here",
            *STEP,
            begin=CLASSES,
        ),
    },
    "not-log-probabilities": {
        "a CTC loss of probabilities": steps(
            "p = net(frames).softmax(2)", "loss = F.ctc_loss(p, words, *sizes)  # here", *STEP, begin=FRAMES
        ),
        "a CTC loss of scores": steps("loss = nn.CTCLoss()(net(frames), words, *sizes)  # here", *STEP, begin=FRAMES),
        "a CTC loss of transposed probabilities": steps(
            "p = F.softmax(net(frames.transpose(0, 1)), -1)",
            "loss = F.ctc_loss(p.permute(1, 0, 2), words, *sizes, zero_infinity=True)  # here",
            *STEP,
            begin=FRAMES,
        ),
        "scores": steps("loss = F.kl_div(net(x), torch.rand(16, 3).softmax(1))  # here", *STEP, begin=CLASSES),
        "scores, summed": steps(
            "loss = F.kl_div(net(x), torch.rand(16, 3).softmax(1), reduction='sum')  # here", *STEP, begin=CLASSES
        ),
        "a module": steps(
            "loss = nn.KLDivLoss(reduction='batchmean')(net(x), torch.rand(16, 3).softmax(1))  # here", *STEP, begin=CLASSES
        ),
    },
    "targets-out-of-range": {
        "signs": steps("loss = F.binary_cross_entropy_with_logits(net(x), torch.sign(x[:, :3]))  # here", *STEP, begin=CLASSES),
        "pixels": steps(
            "loss = nn.BCEWithLogitsLoss()(net(x), torch.randint(256, (16, 3)).float())  # here", *STEP, begin=CLASSES
        ),
        "scores": steps("loss = F.cross_entropy(net(x), x[:, :3])  # here", *STEP, begin=CLASSES),
        "several classes": steps("loss = F.cross_entropy(net(x), torch.ones(16, 3))  # here", *STEP, begin=CLASSES),
    },
    "confident-start": {
        "large inputs": steps("loss = F.cross_entropy(net(100 * x), labels)  # here", *STEP, begin=CLASSES),
        "large weights": steps(
            "loss = F.cross_entropy(net(x), labels)  # here", *STEP, begin=f"{CLASSES}nn.init.normal_(net.weight, std=20.)\n"
        ),
        "a module": steps("loss = nn.CrossEntropyLoss()(net(1000 * x), labels)  # here", *STEP, begin=CLASSES),
    },
    "saturated-start": {
        "large inputs": loop("loss = ((net(1000 * x) - y) ** 2).mean()  # here", *STEP).replace(
            "    loss = ((net(x) - y) ** 2).mean()\n", ""
        ),
        "a sigmoid": steps("h = torch.sigmoid(net[0](1000 * x))  # here", "loss = (net[2](h) - y).pow(2).mean()", *STEP),
        "large weights": loop(
            "h = torch.tanh(net[0](x))", *STEP, begin=f"{BEGIN}nn.init.normal_(net[0].weight, std=500.)\n"
        ).replace("- y) ** 2).mean()\n", "- y) ** 2).mean()  # here\n"),
    },
    "symmetric-units": {
        "updated by hand": steps(
            "loss = ((torch.sigmoid(x @ w1) @ w2 - y) ** 2).mean()",
            "loss.backward()",
            "with torch.no_grad():",
            "    for w in (w1, w2): w -= 0.1 * w.grad",
            "w1.grad = w2.grad = None",
            begin=MATRICES.format(one="ones", two="ones").replace("=True)\n", "=True)  # here\n"),
        ),
        "ones": steps(
            "loss = ((torch.sigmoid(x @ w1) @ w2 - y) ** 2).mean()",
            *STEP,
            begin=MATRICES.format(one="ones", two="ones").replace("=True)\n", "=True)  # here\n"),
        ),
        "constants": loop(*STEP, begin=f"{BEGIN}for p in net.parameters(): nn.init.constant_(p, 0.1)  # here\n"),
        "a function": loop(
            *STEP,
            begin=f"{BEGIN}def init(layer):\n    if isinstance(layer, nn.Linear):\n"
            "        layer.weight.data.fill_(0.5)  # here\nnet.apply(init)\n",
        ),
    },
    "exploding": {
        "large weights": loop(*STEP, begin=DEEP.format(act="ReLU", std=2)).replace(
            "- y) ** 2).mean()\n", "- y) ** 2).mean()  # here\n"
        ),
        "another activation": loop(*STEP, begin=DEEP.format(act="LeakyReLU", std=2)).replace(
            "- y) ** 2).mean()\n", "- y) ** 2).mean()  # here\n"
        ),
        "a product": steps(
            "h = x",
            "for w in weights: h = h @ w  # here",
            "loss = h.mean()",
            *STEP,
            begin=f"{BEGIN}weights = [torch.randn(4, 4, requires_grad=True) for _ in range(12)]\n"
            "for w in weights: w.data *= 5\nopt = torch.optim.SGD(weights, lr=1e-30)\n",
        ),
    },
    "evaluation-mode": {
        "dropout from the start": loop(*STEP, begin=DROP.format(layer="Dropout(0.5)") + "net.train(False)  # here\n"),
        "dropout": loop(*STEP, "net.eval()  # here", EVALUATE[1], begin=DROP.format(layer="Dropout(0.5)")),
        "batch normalization": loop(*STEP, "net.eval()  # here", EVALUATE[1], begin=DROP.format(layer="BatchNorm1d(8)")),
        "from the start": loop(*STEP, begin=DROP.format(layer="BatchNorm1d(8)") + "net.eval()  # here\n"),
    },
    "dropout-always": {
        "the module's alias": loop(
            *STEP, *EVALUATE, "net.train()", begin=BEGIN + F + FORWARD.format(call="F.dropout(x, 0.5)  # here\n        ")
        ),
        "the whole name": loop(
            *STEP,
            *EVALUATE,
            "net.train()",
            begin=BEGIN + FORWARD.format(call="torch.nn.functional.dropout(x)  # here\n        "),
        ),
        "by keyword": loop(
            *STEP, *EVALUATE, "net.train()", begin=BEGIN + F + FORWARD.format(call="F.dropout(x, p=0.1)  # here\n        ")
        ),
    },
    "clamped-scores": {
        "a clamp": steps(
            "p = net(x).clamp(1e-6, 1 - 1e-6)  # here",
            "loss = F.binary_cross_entropy(p, y.gt(0).float())",
            *STEP,
            begin=BEGIN + F,
        ),
        "in two steps": steps(
            "p = net(x).clamp(min=0)  # here",
            "p = p.clamp(max=1)",
            "loss = nn.BCELoss()(p, y.gt(0).float())",
            *STEP,
            begin=BEGIN + F,
        ),
        "a clamp and a view": steps(
            "p = torch.clamp(net(x), 0, 1)  # here",
            "loss = F.binary_cross_entropy(p.squeeze(1), y[:, 0].gt(0).float())",
            *STEP,
            begin=BEGIN + F,
        ),
    },
    "bounded-logits": {
        "a ReLU": steps("loss = F.cross_entropy(F.relu(net(x)), labels)  # here", *STEP, begin=CLASSES),
        "a tanh before log_softmax": steps(
            "p = F.log_softmax(torch.tanh(net(x)), dim=1)  # here", "loss = F.nll_loss(p, labels)", *STEP, begin=CLASSES
        ),
        "a ReLU before probabilities": steps(
            "loss = nn.BCEWithLogitsLoss()(F.relu(net(x)), x[:, :3].gt(0).float())  # here", *STEP, begin=CLASSES
        ),
    },
    "softmax-over-batch": {
        "log_softmax": steps("loss = F.nll_loss(F.log_softmax(net(x), dim=0), labels)  # here", *STEP, begin=CLASSES),
        "a method": steps(
            "p = net(x).softmax(0)  # here", "loss = F.nll_loss(torch.log(p + 1e-9), labels)", *STEP, begin=CLASSES
        ),
        "a module": steps(
            "loss = F.nll_loss(net(x), labels)",
            *STEP,
            begin=f"{CLASSES}net = nn.Sequential(net, nn.LogSoftmax(dim=0))  # here\n",
        ),
    },
    "shared-layer": {
        "a sequence": loop(
            *STEP, begin=f"{BEGIN}net = nn.Sequential(*[nn.Linear(4, 4)] * 3, nn.Linear(4, 1))  # here\n{NEW_NET}"
        ),
        "a list of modules": steps(
            "h = x",
            "for layer in layers: h = torch.tanh(layer(h))",
            "loss = h.pow(2).mean()",
            *STEP,
            begin=f"{BEGIN}layers = nn.ModuleList([nn.Linear(4, 4)] * 3)  # here\n{NEW_NET.replace('net', 'layers')}",
        ),
        "a class": loop(
            *STEP,
            begin=f"{BEGIN}class Block(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.layer = nn.Linear(4, 4)\n    def forward(self, x):\n        return x + self.layer(x)\n"
            f"net = nn.Sequential(*(2 * [Block()]), nn.Linear(4, 1))  # here\n{NEW_NET}",
        ),
    },
    "mixed-batch": {
        "sizes with names": steps(
            "a, b, c = turns.shape",
            "loss = net(turns.view(b, a, c)[:, :, :4]).pow(2).mean()  # here",
            *STEP,
            begin=TURNS,
        ),
        "sizes with names in a module": steps(
            "loss = model(turns).pow(2).mean()",
            *STEP,
            begin=f"{TURNS}class Model(nn.Module):\n    def forward(self, v):\n        a, b, c = v.size()\n"
            "        return net(v.reshape(b, a, -1)[:, :, :4])  # here\nmodel = Model()\n",
        ),
        "the last two sizes": steps(
            "a, b, c = turns.shape",
            "v = turns.reshape(a, c, b)  # here",
            "loss = v.pow(2).mean() * net(x).mean()",
            *STEP,
            begin=TURNS,
        ),
        "an input": steps("loss = net(turns.transpose(0, 2).reshape(16, -1)[:, :4]).pow(2).mean()  # here", *STEP, begin=TURNS),
        "the heads of an attention": steps(
            "loss = q(s).view(5, 2, 16, 3).pow(2).mean()  # here", *STEP, begin=f"{SEQUENCES}q = nn.Linear(4, 6)\n"
        ),
        "the channels of an input": steps(
            "loss = conv(image.view(4, 3, 8, 8)).pow(2).mean()  # here",
            *STEP,
            begin=f"{BEGIN}conv = nn.Conv2d(3, 2, 1)\nimage = torch.randn(4, 8, 8, 3)\n",
        ),
        "a view": steps("loss = F.mse_loss(net(s).view(16, 5, 1), t)  # here", *STEP, begin=SEQUENCES),
        "a reshape": steps("out = net(s).reshape(16, 5, 1)  # here", "loss = F.mse_loss(out, t)", *STEP, begin=SEQUENCES),
        "directions joined": steps(
            "_, h = gru(s)",
            "loss = head(h.view(16, 12)).pow(2).mean()  # here",
            *STEP,
            begin=f"{SEQUENCES}gru, head = nn.GRU(4, 6, bidirectional=True), nn.Linear(12, 1)\n"
            "opt = torch.optim.SGD(gru.parameters(), lr=0.1)\n",
        ),
    },
    "samples-as-steps": {
        "an LSTM": steps(
            "out, _ = rnn(batch)  # here", "loss = F.mse_loss(out[:, -1], y)", *STEP, begin=RECURRENT.format(layer="LSTM(3, 4)")
        ),
        "a GRU in both directions": steps(
            "out, _ = rnn(batch)  # here",
            "last = out[:, -1, :]",
            "loss = F.mse_loss(last[:, :4], y)",
            *STEP,
            begin=RECURRENT.format(layer="GRU(3, 4, bidirectional=True)"),
        ),
        "a module": steps(
            "loss = F.cross_entropy(net(batch), classes)",
            *STEP,
            begin=RECURRENT.format(layer="RNN(3, 4)") + "class Net(nn.Module):\n    def __init__(self):\n"
            "        super().__init__()\n        self.rnn, self.head = rnn, nn.Linear(4, 2)\n    def forward(self, x):\n"
            "        out, h = self.rnn(x)  # here\n        return self.head(out[:, -1])\nnet = Net()\n"
            "classes = torch.tensor([0, 1, 0, 1, 0, 1])\n",
        ),
    },
    "broadcast-outside": {
        "an advantage": steps(
            "v = critic(x)", "gain = r - v.detach()  # here", CHOSEN, "loss = -(chosen * gain).mean()", *STEP, begin=CRITIC
        ),
        "without gradients": steps(
            "v = critic(x)",
            "with torch.no_grad():",
            "    gain = r - v  # here",
            CHOSEN,
            "loss = -(chosen * gain).sum()",
            *STEP,
            begin=CRITIC,
        ),
        "a target": steps(
            "with torch.no_grad(): goal = r + 0.9 * critic(x)  # here",
            "loss = (goal - critic(x)).pow(2).mean()",
            *STEP,
            begin=CRITIC.replace("policy.p", "critic.p"),
        ),
        "a target of a loss function": steps(
            "goal = (r + 0.9 * critic(x)).detach()  # here",
            "loss = nn.functional.mse_loss(critic(x), goal)",
            *STEP,
            begin=CRITIC.replace("policy.p", "critic.p"),
        ),
        "the weight first": steps(
            "v = critic(x)", "gain = r - v.detach()  # here", CHOSEN, "loss = -(gain * chosen).mean()", *STEP, begin=CRITIC
        ),
        "weights": steps(
            "v = torch.rand(16, 1)", "gain = v * r  # here", CHOSEN, "loss = (chosen * gain).mean()", *STEP, begin=CRITIC
        ),
    },
    "loss-is-leaf": {
        "a function": loop(
            "loss = error(net(x), y)",
            *STEP,
            begin=f"{BEGIN}def error(out, y):\n    out = out.detach()  # here\n"
            "    return torch.tensor((out - y).pow(2).mean(), requires_grad=True)\n",
        ),
    },
}
"""Programs by the code of the finding that each triggers in the line that ends with ``# here``."""

CORRECT = {
    "graph-kept": {
        "a validation without gradients": steps(
            LOSS_OF_NET,
            *STEP,
            "total = 0",
            "with torch.no_grad():",
            "    for part in x.split(4): total += net(part).pow(2).mean()",
        ),
        "a number": steps(LOSS_OF_NET, *STEP, "total += loss.item()", begin=f"{BEGIN}total = 0\n"),
        "detached": steps(LOSS_OF_NET, *STEP, "total += loss.detach()", begin=f"{BEGIN}total = 0\n"),
        "a total that is the loss": steps("loss = 0", "for part in x.split(4): loss += net(part).pow(2).mean()", *STEP),
        "a total that a function returns": steps(
            "loss = total()",
            *STEP,
            begin=f"{BEGIN}def total():\n    out = 0\n    for part in x.split(4): out += net(part).pow(2).mean()\n"
            "    return out\n",
        ),
        "a total after its pass": steps(LOSS_OF_NET, *STEP, "total += loss", begin=f"{BEGIN}total = 0\n"),
    },
    "kept-result": {
        "the input": function("ctx.save_for_backward(x)", "x ** 2", "g * 2 * ctx.saved_tensors[0]"),
        "the output": function("y = x.exp()\n        ctx.save_for_backward(y)", "y", "g * ctx.saved_tensors[0]"),
        "a mask": function("ctx.mask = (x > 1).float()", "x * ctx.mask", "g * ctx.mask"),
        "a scale of another argument": function(
            "ctx.double = 2 * scale", "x * ctx.double", "(g * ctx.double, None)", more=", scale", given=", torch.ones(2)"
        ),
        "the first derivative only": function("ctx.twice = 2 * x", "x ** 2", "g * ctx.twice").replace(
            "torch.autograd.grad((Own.apply(x) * x).sum(), x, create_graph=True)[0]", "Own.apply(x) * x"
        ),
    },
    "broadcast-both": {
        "a kernel with the targets": steps(
            "loss = torch.exp(-((net(x) - r) ** 2)).mean()", *STEP, begin=f"{BEGIN}r = torch.randn(16)\n"
        ),
        "thresholds": steps(
            "loss = -torch.log(torch.sigmoid(net(x).view(-1, 1) - r)).mean()", *STEP, begin=f"{BEGIN}r = torch.randn(16)\n"
        ),
        "a column of targets": steps("loss = torch.relu(1 - r * net(x)).mean()", *STEP, begin=f"{BEGIN}r = y.sign()\n"),
        "a choice of a table": steps(
            "loss = torch.where(table > 0, net(x) - r, table).pow(2).mean()",
            *STEP,
            begin=f"{BEGIN}r, table = torch.randn(16), torch.randn(16, 16)\n",
        ),
    },
    "constant-term": {
        "a residual with a graph": steps(
            "out = net(t)",
            "slope = torch.autograd.grad(out.sum(), t, create_graph=True)[0]",
            "loss = ((slope + out) ** 2).mean()",
            *STEP,
            begin=EQUATION,
        ),
        "the slope of another network as a target": steps(
            "goal = torch.autograd.grad(other(t).sum(), t)[0]",
            "loss = ((net(t) - goal) ** 2).mean()",
            *STEP,
            begin=f"{EQUATION}other = nn.Linear(1, 1)\n",
        ),
        "a first-order inner step": steps(
            "inner = ((x @ w - y) ** 2).mean()",
            "slope = torch.autograd.grad(inner, w)[0]",
            "loss = ((x @ (w - 0.1 * slope) - y) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}w = torch.randn(4, 1, requires_grad=True)\nopt = torch.optim.SGD([w], lr=0.1)\n",
        ),
        "detached": loop("size = sum(p.pow(2).sum() for p in net.parameters()).detach()", "loss = loss + size", *STEP),
        "with a graph": loop("decay = sum(p.pow(2).sum() for p in net.parameters())", "loss = loss + 0.1 * decay", *STEP),
        "a scaled number for the log": loop("size = -0.5 * net(x).mean().item()", *STEP, "print(size)"),
        "a scaled constant": loop("offset = -0.5 * torch.ones(3).sum().item()", "loss = loss + offset", *STEP),
        "a constant": loop("offset = torch.tensor(0.5)", "loss = loss + offset", *STEP),
        "under no_grad": loop("with torch.no_grad(): size = net(x).mean()", "loss = loss + size", *STEP),
        "a sum for the log": loop(*STEP, "total += loss.item()", begin=f"{BEGIN}total = 0.0\n"),
        "a sum that starts at zero": TAGGER,
        "a factor": loop("scale = net(x).detach().std()", "loss = loss / scale", *STEP),
    },
    "zero-gradient": {
        "one bias that cancels": loop("loss = net(x[:8]).mean() - net(x[8:]).mean()", *STEP),
        "half of it clamped": loop("loss = (net(x) - y).clamp(0, 9).mean()", *STEP),
        "one factor of two is 0": steps(
            "loss = ((x @ w1 @ w2 - y) ** 2).mean()", *STEP, begin=MATRICES.format(one="rand", two="zeros")
        ),
        "several classes": loop("loss = -(nn.functional.softmax(net[0](x), 1)[:, 0]).mean()", *STEP),
    },
    "softmax-twice": {
        "sigmoids of layers": steps(
            "h = torch.sigmoid(torch.sigmoid(net(x)))", "loss = (h - 0.1).pow(2).mean()", *STEP, begin=CLASSES
        ),
        "one sigmoid": steps(
            "loss = F.binary_cross_entropy(torch.sigmoid(net(x)), x[:, :3].gt(0).float())", *STEP, begin=CLASSES
        ),
        "a layer between": steps(
            "loss = F.cross_entropy(net(torch.sigmoid(net(x)) @ net.weight), labels)", *STEP, begin=CLASSES
        ),
        "a softmax written out, and its logarithm": steps(
            "e = net(x).exp()", "loss = F.cross_entropy((e / e.sum(1, keepdim=True)).log(), labels)", *STEP, begin=CLASSES
        ),
        "a softmax written out as a weight": steps(
            "e = net(x).exp()", "loss = F.cross_entropy(net(x) * (e / e.sum(1, keepdim=True)), labels)", *STEP, begin=CLASSES
        ),
        "a ratio of two exponentials": steps(
            "z = net(x)",
            "p = torch.exp(-z.abs()) / (1 + torch.exp(z))",
            "loss = F.binary_cross_entropy_with_logits(p, x[:, :3].gt(0).float())",
            *STEP,
            begin=CLASSES,
        ),
        "a kernel": steps("loss = F.cross_entropy(torch.exp(-net(x).pow(2)), labels)", *STEP, begin=CLASSES),
        "swish written out": steps(
            "z = net(x)",
            "loss = F.binary_cross_entropy_with_logits(z / (1 + torch.exp(-z)), x[:, :3].gt(0).float())",
            *STEP,
            begin=CLASSES,
        ),
        "a sigmoid written out, with a temperature": steps(
            "p = 9 / (1 + torch.exp(-net(x))) - 4",
            "loss = F.binary_cross_entropy_with_logits(p, x[:, :3].gt(0).float())",
            *STEP,
            begin=CLASSES,
        ),
    },
    "not-log-probabilities": {
        "a CTC loss of log_softmax": steps("loss = F.ctc_loss(net(frames).log_softmax(2), words, *sizes)", *STEP, begin=FRAMES),
        "a CTC loss of the logarithm of a softmax": steps(
            "p = net(frames).softmax(2).log()", "loss = nn.CTCLoss(reduction='sum')(p, words, *sizes)", *STEP, begin=FRAMES
        ),
        "a CTC loss of transposed logarithms": steps(
            "p = net(frames.transpose(0, 1)).log_softmax(-1).transpose(0, 1)",
            "loss = F.ctc_loss(p, words, *sizes)",
            *STEP,
            begin=FRAMES,
        ),
        "a target that has a gradient": steps(
            "loss = F.kl_div(torch.rand(16, 3).log(), net(x).softmax(1))", *STEP, begin=CLASSES
        ),
        "log_softmax": steps("loss = F.kl_div(net(x).log_softmax(1), torch.rand(16, 3).softmax(1))", *STEP, begin=CLASSES),
        "both in logarithms": steps(
            "loss = F.kl_div(net(x).log_softmax(1), x[:, :3].log_softmax(1), log_target=True)", *STEP, begin=CLASSES
        ),
    },
    "targets-out-of-range": {
        "probabilities": steps("loss = F.binary_cross_entropy_with_logits(net(x), torch.rand(16, 3))", *STEP, begin=CLASSES),
        "a softmax": steps("loss = F.cross_entropy(net(x), x[:, :3].softmax(1))", *STEP, begin=CLASSES),
        "smoothed labels": steps("loss = F.cross_entropy(net(x), labels, label_smoothing=0.1)", *STEP, begin=CLASSES),
        "weighted classes": steps(
            "loss = F.cross_entropy(net(x), labels, weight=torch.tensor([1., 5., 9.]))", *STEP, begin=CLASSES
        ),
    },
    "confident-start": {
        "the similarities of a contrastive loss": steps(
            "loss = F.cross_entropy(F.normalize(net(x)) @ F.normalize(other(x)).T * 40, torch.arange(16))",
            *STEP,
            begin=f"{BEGIN}{F}net, other = nn.Linear(4, 3), nn.Linear(4, 3)\n"
            "opt = torch.optim.SGD([*net.parameters(), *other.parameters()], lr=0.01)\n",
        ),
        "similarities with a learned scale": steps(
            "loss = F.cross_entropy(scale.exp() * F.normalize(net(x)) @ F.normalize(x[:, :3]).t(), torch.arange(16))",
            *STEP,
            begin=f"{BEGIN}{F}net, scale = nn.Linear(4, 3), nn.Parameter(torch.tensor(3.5))\n"
            "opt = torch.optim.SGD([*net.parameters(), scale], lr=0.01)\n",
        ),
        "similarities to learned proxies": steps(
            "loss = F.cross_entropy(F.normalize(net(x)) @ F.normalize(proxies).T * 64, labels)",
            *STEP,
            begin=f"{CLASSES}proxies = nn.Parameter(torch.randn(3, 3))\n"
            "opt = torch.optim.SGD([*net.parameters(), proxies], lr=0.01)\n",
        ),
        "scaled": steps("loss = F.cross_entropy(net(x), labels)", *STEP, begin=CLASSES),
        "a sum": steps("loss = F.cross_entropy(net(x), labels, reduction='sum') / 16", *STEP, begin=CLASSES),
        "loaded": steps(
            "loss = F.cross_entropy(net(100 * x), labels)", *STEP, begin=f"{CLASSES}net.load_state_dict(net.state_dict())\n"
        ),
        "few samples": steps("loss = F.cross_entropy(net(100 * x[:2]), labels[:2])", *STEP, begin=CLASSES),
    },
    "saturated-start": {
        "small inputs": loop("loss = ((net(0.1 * x) - y) ** 2).mean()", *STEP),
        "a sigmoid in its middle": steps("h = torch.sigmoid(net[0](x))", "loss = (net[2](h) - y).pow(2).mean()", *STEP),
        "a constant": loop("loss = loss * torch.tanh(1000 * x).mean()", *STEP),
    },
    "symmetric-units": {
        "a last layer of zeros": loop(*STEP, begin=f"{BEGIN}nn.init.zeros_(net[2].weight)\n"),
        "a regression from zero": steps(
            "loss = ((x @ w - y) ** 2).mean()",
            *STEP,
            begin=f"{BEGIN}w = torch.zeros(4, 1, requires_grad=True)\nopt = torch.optim.SGD([w], lr=0.1)\n",
        ),
        "biases": loop(*STEP, begin=f"{BEGIN}nn.init.zeros_(net[0].bias); nn.init.zeros_(net[2].bias)\n"),
    },
    "exploding": {
        "scaled weights": loop(*STEP, begin=DEEP.format(act="ReLU", std=0.2)),
        "few layers": loop(*STEP, begin=f"{BEGIN}nn.init.normal_(net[2].weight, std=50)\n"),
        "a large loss": loop("loss = 1e4 * loss", *STEP, begin=BEGIN.replace("0.05", "1e-8")),
    },
    "evaluation-mode": {
        "back to training": loop(*STEP, *EVALUATE, "net.train()", begin=DROP.format(layer="Dropout(0.5)")),
        "no such layer": loop(*STEP, *EVALUATE),
        "frozen statistics": loop(
            *STEP,
            begin=DROP.format(layer="BatchNorm1d(8)")
            + "for layer in net:\n    if isinstance(layer, nn.BatchNorm1d): layer.eval()\n",
        ),
        "a layer made with frozen statistics": loop(
            "loss = ((net(norm(x)) - y) ** 2).mean()", *STEP, begin=f"{BEGIN}norm = nn.BatchNorm1d(4).eval()\n"
        ),
        "a layer with frozen statistics": loop(
            "loss = ((net(norm(x)) - y) ** 2).mean()", *STEP, begin=f"{BEGIN}norm = nn.BatchNorm1d(4)\nnorm.eval()\n"
        ),
        "evaluated at the end": loop(*STEP, begin=DROP.format(layer="BatchNorm1d(8)")) + "net.eval()\nnet(x)\n",
    },
    "dropout-always": {
        "with the mode": loop(
            *STEP, *EVALUATE, "net.train()", begin=BEGIN + F + FORWARD.format(call="F.dropout(x, 0.5, training=self.training)")
        ),
        "by position": loop(
            *STEP, *EVALUATE, "net.train()", begin=BEGIN + F + FORWARD.format(call="F.dropout(x, 0.5, self.training)")
        ),
        "never evaluated": loop(*STEP, begin=BEGIN + F + FORWARD.format(call="F.dropout(x, 0.5)")),
    },
    "clamped-scores": {
        "a clamped sigmoid": steps(
            "p = net(x).sigmoid().clamp(1e-6, 1 - 1e-6)",
            "loss = F.binary_cross_entropy(p, y.gt(0).float())",
            *STEP,
            begin=BEGIN + F,
        ),
        "a mixture of probabilities": steps(
            "p = (net(x).sigmoid() * torch.full((1, 1), 0.5) + 0.25).clamp(0, 1)",
            "loss = F.binary_cross_entropy(p, y.gt(0).float())",
            *STEP,
            begin=BEGIN + F,
        ),
        "another loss": steps("p = net(x).clamp(0, 1)", "loss = ((p - y.gt(0).float()) ** 2).mean()", *STEP, begin=BEGIN + F),
    },
    "bounded-logits": {
        "a scale": steps("loss = F.cross_entropy(10 * torch.tanh(net(x)), labels)", *STEP, begin=CLASSES),
        "attention": steps("a = F.relu(net(x)).softmax(1)", "loss = (a * x[:, :3]).pow(2).mean()", *STEP, begin=CLASSES),
        "no loss": steps("a = F.relu(net(x)).log_softmax(1)", "loss = (a.exp() * a).sum()", *STEP, begin=CLASSES),
    },
    "softmax-over-batch": {
        "one sample": steps("loss = F.nll_loss(net(x[0]).log_softmax(0), labels[0])", *STEP, begin=CLASSES),
        "attention": steps(
            "a = F.softmax(net(x), dim=0)", "loss = F.cross_entropy(a.T @ x @ net.weight.T, labels[:3])", *STEP, begin=CLASSES
        ),
        "the last dimension": steps("loss = F.nll_loss(net(x).log_softmax(-1), labels)", *STEP, begin=CLASSES),
    },
    "shared-layer": {
        "a comprehension": loop(
            *STEP, begin=f"{BEGIN}net = nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)], nn.Linear(4, 1))\n{NEW_NET}"
        ),
        "a name": loop(
            *STEP, begin=f"{BEGIN}layer = nn.Linear(4, 4)\nnet = nn.Sequential(*[layer] * 3, nn.Linear(4, 1))\n{NEW_NET}"
        ),
        "without parameters": loop(*STEP, begin=f"{BEGIN}net = nn.Sequential(nn.Linear(4, 1), *[nn.ELU()] * 2)\n{NEW_NET}"),
    },
    "mixed-batch": {
        "sizes with names, in their order": steps(
            "a, b, c = turns.shape", "loss = net(turns.view(a * b, c)[:, :4]).pow(2).mean()", *STEP, begin=TURNS
        ),
        "sizes with names, after a permute": steps(
            "a, b, c = turns.shape",
            "v = turns.permute(1, 0, 2)",
            "loss = net(v.reshape(b, a, c)[:, :, :4]).pow(2).mean()",
            *STEP,
            begin=TURNS,
        ),
        "sizes with names, of another tensor": steps(
            "a, b, c = turns.shape",
            "v = torch.randn(b * a, c)",
            "loss = net(v.view(b, a, c)[:, :, :4]).pow(2).mean()",
            *STEP,
            begin=TURNS,
        ),
        "sizes with names, one of them 1": steps(
            "a, b, c = x[:, None].shape", "v = x[:, None]", "loss = net(v.view(b, a, c)).pow(2).mean()", *STEP
        ),
        "transposed": steps("loss = F.mse_loss(net(s).transpose(0, 1), t)", *STEP, begin=SEQUENCES),
        "an input": steps("loss = net(turns.transpose(0, 1).reshape(16, -1)[:, :4]).pow(2).mean()", *STEP, begin=TURNS),
        "joined and split": steps(
            "loss = F.mse_loss(net(s).view(80, 1).view(5, 16, 1).transpose(0, 1), t)", *STEP, begin=SEQUENCES
        ),
        "equal lengths": steps("loss = net(s[:, :5]).view(5, 5, 1).pow(2).mean()", *STEP, begin=SEQUENCES),
        "one more dimension": steps("loss = net(s).view(1, 5, 16).pow(2).mean()", *STEP, begin=SEQUENCES),
    },
    "samples-as-steps": {
        "samples first": steps(
            "out, _ = rnn(batch)",
            "loss = F.mse_loss(out[:, -1], y)",
            *STEP,
            begin=RECURRENT.format(layer="LSTM(3, 4, batch_first=True)"),
        ),
        "the last step": steps(
            "out, _ = rnn(batch.transpose(0, 1))",
            "loss = F.mse_loss(out[-1], y)",
            *STEP,
            begin=RECURRENT.format(layer="GRU(3, 4)"),
        ),
        "one sample": steps(
            "out, _ = rnn(batch[:, :1])", "loss = F.mse_loss(out[:, -1], y)", *STEP, begin=RECURRENT.format(layer="LSTM(3, 4)")
        ),
        "no targets": steps(
            "out, _ = rnn(batch)", "loss = out[:, -1].pow(2).mean()", *STEP, begin=RECURRENT.format(layer="RNN(3, 4)")
        ),
    },
    "broadcast-outside": {
        "the same shape": steps(
            "v = critic(x).squeeze(1)", "gain = r - v.detach()", CHOSEN, "loss = -(chosen * gain).mean()", *STEP, begin=CRITIC
        ),
        "a column as target": steps(
            "goal = (y + 0.9 * critic(x)).detach()",
            "loss = (goal - critic(x)).pow(2).mean()",
            *STEP,
            begin=CRITIC.replace("policy.p", "critic.p"),
        ),
        "a table of targets": steps(
            "loss = (torch.cdist(x, x) - critic(x)).pow(2).mean()", *STEP, begin=CRITIC.replace("policy.p", "critic.p")
        ),
        "made on purpose": steps("gain = r[:, None] - r", CHOSEN, "loss = -(chosen * gain).mean()", *STEP, begin=CRITIC),
        "a kernel": steps(
            "kernel = torch.exp(-torch.cdist(x, x))", CHOSEN, "loss = (chosen * kernel).mean()", *STEP, begin=CRITIC
        ),
    },
    "loss-is-leaf": {
        "a function with a graph": loop(
            "loss = error(net(x), y)", *STEP, begin=f"{BEGIN}def error(out, y):\n    return (out - y).pow(2).mean()\n"
        ),
    },
}
"""Similar correct programs, by the code of the finding that they do not trigger."""
