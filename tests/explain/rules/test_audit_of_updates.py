"""Unused gradients, gradients of another loss and updates without a gradient are reported; similar correct programs are not."""

from __future__ import annotations

import pytest

from ..test_findings import findings

BEGIN = """\
import copy
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.randn(16, 4), torch.randn(16, 1)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
"""
LOSS = "    loss = ((net(x) - y) ** 2).mean()\n"


def codes(text: str) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.line) for finding in findings(text) if finding.severity in ("warning", "error")]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def loop(*lines: str, begin: str = BEGIN, steps: int = 3) -> str:
    return begin + f"for step in range({steps}):\n" + LOSS + "".join(f"    {line}\n" for line in lines)


GRADIENT_UNUSED = {
    "cleared before the step": (
        loop("loss.backward()", "opt.zero_grad()", "opt.step()"),
        "opt.zero_grad()",
    ),
    "cleared through the module": (
        loop("loss.backward()", "net.zero_grad()", "opt.step()"),
        "net.zero_grad()",
    ),
    "only the scheduler steps": (
        loop(
            "opt.zero_grad()",
            "loss.backward()",
            "plan.step()",
            begin=f"{BEGIN}plan = torch.optim.lr_scheduler.StepLR(opt, 1)\n",
        ),
        "loss.backward()",
    ),
    "never stepped": (
        loop("opt.zero_grad()", "loss.backward()"),
        "loss.backward()",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("text", "culprit"), GRADIENT_UNUSED.values(), ids=GRADIENT_UNUSED.keys())
def test_gradients_that_no_update_uses_are_reported(text: str, culprit: str) -> None:
    assert codes(text) == [("gradient-unused", line_of(text, culprit))]


USED = {
    "cleared after the step": loop("loss.backward()", "opt.step()", "opt.zero_grad()"),
    "no optimizer": loop("loss.backward()", "net.zero_grad()", begin=BEGIN.replace("opt =", "# opt =")),
    "micro-batches": loop("loss.backward()", "if step % 3 == 2:", "    opt.step()", "    opt.zero_grad()", steps=6),
    "stepped by a function": loop(
        "opt.zero_grad()", "loss.backward()", "update(opt)", begin=f"{BEGIN}def update(each):\n    each.step()\n"
    ),
    "one look at the gradients": loop("opt.zero_grad()", "loss.backward()", steps=1),
    "updated by hand": loop(
        "opt.zero_grad()",
        "loss.backward()",
        "with torch.no_grad():",
        "    for p in net.parameters():",
        "        p -= 0.1 * p.grad",
    ),
}


@pytest.mark.parametrize("text", USED.values(), ids=USED.keys())
def test_gradients_that_an_update_uses_or_that_are_only_looked_at_are_not_reported(text: str) -> None:
    assert codes(text) == []


CLIP = "nn.utils.clip_grad_norm_"
CLIP_UNUSED = {
    "after the step": loop("opt.zero_grad()", "loss.backward()", "opt.step()", f"{CLIP}(net.parameters(), 1.0)"),
    "values, after the step": loop(
        "opt.zero_grad()", "loss.backward()", "opt.step()", "nn.utils.clip_grad_value_(net.parameters(), 1.0)"
    ),
    "after the step, under a condition": loop(
        "opt.zero_grad()", "loss.backward()", "opt.step()", "if step > 0:", f"    {CLIP}(net.parameters(), 1.0)"
    ),
    "the result is dropped": loop(
        "opt.zero_grad()", "loss.backward()", "for p in net.parameters():", "    p.grad.clamp(-1, 1)  # clip_", "opt.step()"
    ),
    "the result of data is dropped": loop(
        "opt.zero_grad()", "loss.backward()", "for p in net.parameters():", "    p.grad.data.mul(0.5)  # clip_", "opt.step()"
    ),
    "before the pass": loop("opt.zero_grad()", f"{CLIP}(net.parameters(), 1.0)", "loss.backward()", "opt.step()"),
    "a function whose result is dropped": loop(
        "opt.zero_grad()",
        "loss.backward()",
        "for p in net.parameters():",
        "    torch.clamp(p.grad, -1, 1)  # clip_",
        "opt.step()",
    ),
    "a name whose result is dropped": loop(
        "opt.zero_grad()",
        "loss.backward()",
        "for p in net.parameters():",
        "    g = p.grad",
        "    g = g.clamp(-1, 1)  # clip_",
        "opt.step()",
    ),
    "another module": loop(
        "opt.zero_grad()",
        "loss.backward()",
        f"{CLIP}(other.parameters(), 1.0)",
        "opt.step()",
        begin=f"{BEGIN}other = nn.Linear(4, 1)\n",
    ),
    "a generator that the call itself has used up": loop(
        "opt.zero_grad()", "loss.backward()", f"{CLIP}(params, 1.0)", "opt.step()", begin=f"{BEGIN}params = net.parameters()\n"
    ),
    "a generator that the optimizer has used up": loop(
        "opt.zero_grad()",
        "loss.backward()",
        f"{CLIP}(params, 1.0)",
        "opt.step()",
        begin=BEGIN.replace(
            "opt = torch.optim.SGD(net.parameters()", "params = net.parameters()\nopt = torch.optim.SGD(params"
        ),
    ),
}


@pytest.mark.parametrize("text", CLIP_UNUSED.values(), ids=CLIP_UNUSED.keys())
def test_clipping_without_an_effect_is_reported(text: str) -> None:
    assert codes(text) == [("clip-unused", line_of(text, "clip_"))]


CLIPPED = {
    "before the step": loop("opt.zero_grad()", "loss.backward()", f"{CLIP}(net.parameters(), 1.0)", "opt.step()"),
    "in a loop that begins with the update": loop(
        "opt.step()", "opt.zero_grad()", "((net(x) - y) ** 2).mean().backward()", f"{CLIP}(net.parameters(), 1.0)"
    ),
    "in place": loop(
        "opt.zero_grad()", "loss.backward()", "for p in net.parameters():", "    p.grad.clamp_(-1, 1)", "opt.step()"
    ),
    "the result is kept": loop(
        "opt.zero_grad()", "loss.backward()", "for p in net.parameters():", "    p.grad = p.grad.clamp(-1, 1)", "opt.step()"
    ),
    "a list": loop(
        "opt.zero_grad()",
        "loss.backward()",
        f"{CLIP}(params, 1.0)",
        "opt.step()",
        begin=BEGIN.replace(
            "opt = torch.optim.SGD(net.parameters()", "params = list(net.parameters())\nopt = torch.optim.SGD(params"
        ),
    ),
    "a module that contains the one that learns": loop(
        "opt.zero_grad()",
        "loss.backward()",
        f"{CLIP}(both.parameters(), 1.0)",
        "opt.step()",
        begin=f"{BEGIN}both = nn.Sequential(net)\n",
    ),
    "the result is used later": loop(
        "opt.zero_grad()", "loss.backward()", "g = net[0].weight.grad.clamp(-1, 1)", "print(g.norm())", "opt.step()"
    ),
    "a new generator in each iteration": loop(
        "params = net.parameters()", "opt.zero_grad()", "loss.backward()", f"{CLIP}(params, 1.0)", "opt.step()"
    ),
    "the norm is only measured": loop("opt.zero_grad()", "loss.backward()", f"{CLIP}(net.parameters(), 1e9)", "opt.step()"),
}


@pytest.mark.parametrize("text", CLIPPED.values(), ids=CLIPPED.keys())
def test_clipping_with_an_effect_is_not_reported(text: str) -> None:
    assert codes(text) == []


SCALED = ("opt.zero_grad()", "scaler.scale(loss).backward()", "{clip}", "scaler.step(opt)", "scaler.update()")
SCALER = f"{BEGIN}scaler = torch.amp.GradScaler('cpu')\n"


@pytest.mark.parametrize(
    "clip",
    [
        f"{CLIP}(net.parameters(), 1.0)",
        "nn.utils.clip_grad_value_(net.parameters(), 0.1)",
        f"if step > 0: {CLIP}(net.parameters(), 1.0)",
    ],
)
def test_clipping_of_scaled_gradients_is_reported(clip: str) -> None:
    text = loop(*(line.format(clip=clip) for line in SCALED), begin=SCALER)
    assert codes(text) == [("clip-scaled", line_of(text, "clip_"))]


UNSCALED = {
    "unscaled before": loop(
        *(line.format(clip=f"scaler.unscale_(opt); {CLIP}(net.parameters(), 1.0)") for line in SCALED), begin=SCALER
    ),
    "a disabled scaler": loop(
        *(line.format(clip=f"{CLIP}(net.parameters(), 1.0)") for line in SCALED),
        begin=SCALER.replace("'cpu'", "'cpu', enabled=False"),
    ),
    "another clipping, before the scaled pass": loop(
        "opt.zero_grad()", "loss.backward()", f"{CLIP}(net.parameters(), 1.0)", "opt.step()", begin=SCALER
    ),
}


@pytest.mark.parametrize("text", UNSCALED.values(), ids=UNSCALED.keys())
def test_clipping_of_gradients_that_are_not_scaled_is_not_reported(text: str) -> None:
    assert codes(text) == []


STEP = ("opt.zero_grad()", "loss.backward()", "opt.step()")
MODULE = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        {made}
    def forward(self, x):
        return {use}
net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.05)
"""
LEFT_OUT = {
    "a list": ("self.heads = [nn.Linear(4, 1) for _ in range(2)]", "sum(head(self.body(x)) for head in self.heads)"),
    "a list that grows": (
        "self.heads = []\n        for _ in range(2): self.heads.append(nn.Linear(4, 1))",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "a tuple": ("self.heads = tuple(nn.Linear(4, 1) for _ in range(2))", "sum(head(self.body(x)) for head in self.heads)"),
    "a list made before": (
        "layers = []\n        for _ in range(2): layers.append(nn.Linear(4, 1))\n        self.heads = layers",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "a dict": (
        "self.heads = {'a': nn.Linear(4, 1), 'b': nn.Linear(4, 1)}",
        "self.heads['a'](x) + self.heads['b'](self.body(x))",
    ),
    "a tensor": ("self.scale = torch.ones(1, requires_grad=True)", "self.body(x).sum(1, keepdim=True) * self.scale"),
    "a layer made in forward": ("pass", "nn.Linear(4, 1)(self.body(x))"),
}


@pytest.mark.parametrize(("made", "use"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_parameters_that_no_optimizer_holds_are_reported(made: str, use: str) -> None:
    text = loop(*STEP, begin=BEGIN + MODULE.format(made=made, use=use))
    (found,) = codes(text)
    culprit = "return nn.Linear" if made == "pass" else made.splitlines()[-1].strip()
    assert found == ("not-in-optimizer", line_of(text, culprit))


@pytest.mark.parametrize("line", ["net.append(nn.Linear(1, 1))", "net.add_module('head', nn.Linear(1, 1))"])
def test_a_layer_that_is_added_after_the_optimizer_was_made_is_reported(line: str) -> None:
    text = loop(*STEP, begin=f"{BEGIN}{line}\n")
    assert codes(text) == [("not-in-optimizer", line_of(text, line))]


HELD = {
    "a ModuleList": ("self.heads = nn.ModuleList([nn.Linear(4, 1)])", "sum(head(self.body(x)) for head in self.heads)"),
    "a registered list": (
        "self.heads = [nn.Linear(4, 1)]; self.add_module('head', self.heads[0])",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "a parameter": ("self.scale = nn.Parameter(torch.ones(1))", "self.body(x).sum(1, keepdim=True) * self.scale"),
    "a frozen list": (
        "self.heads = [nn.Linear(4, 1).requires_grad_(False)]",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "an input that requires a gradient": ("pass", "self.body(x.clone().requires_grad_()).sum(1, keepdim=True)"),
}


@pytest.mark.parametrize(("made", "use"), HELD.values(), ids=HELD.keys())
def test_parameters_that_an_optimizer_holds_are_not_reported(made: str, use: str) -> None:
    assert codes(loop(*STEP, begin=BEGIN + MODULE.format(made=made, use=use))) == []


def test_a_list_given_to_the_optimizer_separately_is_not_reported() -> None:
    made, use = LEFT_OUT["a list"]
    begin = MODULE.format(made=made, use=use).replace(
        "(net.parameters()", "([*net.parameters(), *(p for h in net.heads for p in h.parameters())]"
    )
    assert codes(loop(*STEP, begin=BEGIN + begin)) == []


DECAY = BEGIN.replace("lr=0.05", "lr=0.05, weight_decay=0.1")
WITHOUT_GRADIENT = {
    "a hook and weight decay": loop(*STEP, begin=f"{DECAY}net[0].weight.register_hook(torch.zeros_like)\n"),
    "AdamW": loop(
        *STEP, begin=f"{BEGIN}opt = torch.optim.AdamW(net.parameters())\nnet[0].bias.register_hook(torch.zeros_like)\n"
    ),
    "gradients zeroed by hand": loop(
        "opt.zero_grad()", "loss.backward()", "net[2].bias.grad.zero_()", "opt.step()", begin=DECAY
    ),
}


@pytest.mark.parametrize("text", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT.keys())
def test_updates_of_parameters_whose_gradient_is_zero_are_reported(text: str) -> None:
    assert codes(text) == [("update-without-gradient", line_of(text, "opt.step()"))]


WITH_GRADIENT = {
    "a hook without weight decay": loop(*STEP, begin=f"{BEGIN}net[0].weight.register_hook(torch.zeros_like)\n"),
    "weight decay of what has a gradient": loop(*STEP, begin=DECAY),
    "zero in one step": loop(
        "opt.zero_grad()", "loss.backward()", "if step == 1:", "    net[2].bias.grad.zero_()", "opt.step()", begin=DECAY
    ),
    "frozen": loop(*STEP, begin=f"{DECAY}net[0].weight.requires_grad_(False)\n"),
}


@pytest.mark.parametrize("text", WITH_GRADIENT.values(), ids=WITH_GRADIENT.keys())
def test_updates_by_gradients_are_not_reported(text: str) -> None:
    assert codes(text) == []


GAN = """\
import torch
from torch import nn
torch.manual_seed(0)
g, d = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
g_opt, d_opt = torch.optim.{optimizer}(g.parameters(), lr=0.01), torch.optim.{optimizer}(d.parameters(), lr=0.01)
for step in range(4):
    fake = g(torch.randn(16, 2))
    {begin}
    g_loss = -d(fake).mean()
    g_loss.backward()
    g_opt.step()
    {middle}
    d_loss = d(fake.detach()).mean() + (d(torch.randn(16, 2) + 3) ** 2).mean()
    d_loss.backward()
    d_opt.step()
    {end}
"""


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(
    ("begin", "middle", "end"),
    [("pass", "g_opt.zero_grad()", "d_opt.zero_grad()"), ("g_opt.zero_grad()", "pass", "d_opt.zero_grad()")],
    ids=["after each step", "the generator's before its pass"],
)
def test_an_update_with_the_gradients_of_another_loss_is_reported(optimizer: str, begin: str, middle: str, end: str) -> None:
    text = GAN.format(optimizer=optimizer, begin=begin, middle=middle, end=end)
    assert codes(text) == [("other-gradients", line_of(text, "g_loss.backward()"))]


OWN_GRADIENTS = {
    "cleared between": GAN.format(
        optimizer="SGD", begin="pass", middle="d_opt.zero_grad(); g_opt.zero_grad()", end="d_opt.zero_grad()"
    ),
    "frozen meanwhile": GAN.format(
        optimizer="SGD",
        begin="d.requires_grad_(False)",
        middle="d.requires_grad_(True); g_opt.zero_grad()",
        end="d_opt.zero_grad()",
    ),
    "two losses before the updates": loop(
        "opt.zero_grad()", "loss.backward()", "(net(x) ** 2).mean().backward()", "opt.step()", begin=BEGIN
    ),
}


@pytest.mark.parametrize("text", OWN_GRADIENTS.values(), ids=OWN_GRADIENTS.keys())
def test_updates_with_their_own_gradients_are_not_reported(text: str) -> None:
    assert codes(text) == []


KEEP = "    if step == 1:\n        {keep}\nnet.load_state_dict(best)\n"
BY_REFERENCE = {
    "the best state": loop(*STEP) + KEEP.format(keep="best = net.state_dict()"),
    "with its loss": loop(*STEP) + KEEP.format(keep="best, at = net.state_dict(), loss.item()"),
    "in a function": (
        f"{BEGIN}def fit():\n    for step in range(3):\n        loss = ((net(x) - y) ** 2).mean()\n        opt.zero_grad()\n"
        "        loss.backward()\n        opt.step()\n        if step == 1:\n            best = net.state_dict()\n"
        "    net.load_state_dict(best)\nfit()\n"
    ),
}


@pytest.mark.parametrize("text", BY_REFERENCE.values(), ids=BY_REFERENCE.keys())
def test_a_state_kept_by_reference_is_reported(text: str) -> None:
    assert codes(text) == [("state-by-reference", line_of(text, ".state_dict()"))]


COPIED = {
    "deepcopy": loop(*STEP) + KEEP.format(keep="best = copy.deepcopy(net.state_dict())"),
    "clones": loop(*STEP) + KEEP.format(keep="best = {k: v.clone() for k, v in net.state_dict().items()}"),
    "a target network": loop(
        *STEP, "kept = net.state_dict()", "target.load_state_dict(kept)", begin=f"{BEGIN}target = copy.deepcopy(net)\n"
    ),
    "kept before the training": BEGIN + "first = net.state_dict()\nnet.load_state_dict(first)\n" + loop(*STEP, begin=""),
}


@pytest.mark.parametrize("text", COPIED.values(), ids=COPIED.keys())
def test_a_copied_state_is_not_reported(text: str) -> None:
    assert codes(text) == []


MISSPELLED = """\
for p in net[0].parameters():
    p.{name} = False
opt = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.05)
"""


@pytest.mark.parametrize("name", ["require_grad", "requires_grads", "reqiures_grad"])
def test_a_misspelled_attribute_is_reported(name: str) -> None:
    text = loop(*STEP, begin=BEGIN + MISSPELLED.format(name=name))
    assert codes(text) == [("misspelled-attribute", line_of(text, f"p.{name}"))]


SPELLED = {
    "right": loop(*STEP, begin=BEGIN + MISSPELLED.format(name="requires_grad")),
    "an attribute of the program": loop(*STEP, begin=f"{BEGIN}net.require_grad = True\nprint(net.require_grad)\n"),
    "of its own class": loop(
        *STEP,
        begin=f"{BEGIN}class Flags:\n    def __init__(self):\n        self.require_grad = True\nFlags()\n",
    ),
}


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED.keys())
def test_an_attribute_that_something_reads_is_not_reported(text: str) -> None:
    assert codes(text) == []
