"""A gradient that is never cleared is found, intended sums are not, and the fixed program learns."""

from __future__ import annotations

import pytest
from tapedeck import model
from tapedeck.examples import example
from tapedeck.explain.rewriting.fixes import apply

from ...tracer.run_twice import record, unrecorded
from ..reported import findings, run_fixed, without_good_signs

BY_HAND = "w = torch.tensor(3., requires_grad=True)"
LOSS = "loss = (w - 1) ** 2\nloss.backward()\n"
STEP = "with torch.no_grad():\n    w -= 0.1 * w.grad"
TWO = f"{BY_HAND}\nb = torch.tensor(0., requires_grad=True)"
NET_LOSS = "loss = (net(x) ** 2).mean()\nloss.backward()\n"
NET = "net = torch.nn.Linear(2, 1)\nopt = torch.optim.SGD(net.parameters(), lr=0.05)\nx = torch.ones(4, 2)"


def fit(begin: str, body: str, steps: int = 8) -> str:
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return f"import torch\n{begin}\nfor step in range({steps}):\n{lines}\n"


MISTAKES = {
    "by hand": (BY_HAND, LOSS + STEP),
    "through data": (BY_HAND, LOSS + "w.data -= 0.1 * w.grad"),
    "by a method": (BY_HAND, LOSS + "with torch.no_grad():\n    w.sub_(w.grad, alpha=0.1)"),
    "on one line": (BY_HAND, LOSS + "with torch.no_grad(): w -= 0.1 * w.grad"),
    "then printed": (BY_HAND, LOSS + STEP + "\nprint(w.grad.item())"),
    "of two": (
        TWO,
        "loss = (w + b - 1) ** 2\nloss.backward()\nwith torch.no_grad():\n    w -= 0.1 * w.grad\n    b -= 0.1 * b.grad  # both",
    ),
    "of a list": (
        f"{TWO}\nparams = [w, b]",
        "loss = (w + b - 1) ** 2\nloss.backward()\nwith torch.no_grad():\n    for p in params:\n        p -= 0.1 * p.grad",
    ),
    "by a name": (BY_HAND, LOSS + "g = w.grad\nwith torch.no_grad():\n    w -= 0.1 * g"),
    "with an optimizer": (NET, NET_LOSS + "opt.step()"),
    "clipped": (NET, NET_LOSS + "torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)\nopt.step()"),
    "micro-batches": (NET, "for part in x.split(2):\n    loss = (net(part) ** 2).mean()\n    loss.backward()\nopt.step()"),
    "cleared every third": (NET, NET_LOSS + "opt.step()\nif step % 3 == 2:\n    opt.zero_grad()"),
}
EDITS = {
    "by hand": "\n        w.grad = None",
    "through data": "\n    w.grad = None",
    "by a method": "\n        w.grad = None",
    "on one line": "w.grad = None\n    ",
    "then printed": "w.grad = None\n    ",
    "of a list": "\n            p.grad = None",
    "by a name": "\n        w.grad = None",
    "with an optimizer": "opt.zero_grad()\n    ",
    "clipped": "opt.zero_grad()\n    ",
    "micro-batches": "\n    opt.zero_grad()",
    "cleared every third": "opt.zero_grad()\n    ",
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_gradient_that_is_never_cleared_is_found_and_the_fix_clears_it(case: str) -> None:
    text = fit(*MISTAKES[case])
    (finding,) = [each for each in findings(text) if each.code == "grad-accumulated"]
    line = next(number for number, each in enumerate(text.split("\n"), 1) if "backward()" in each)
    assert (finding.severity, finding.line, finding.step) == ("warning", line, 1)
    assert finding.fix is not None
    if case in EDITS:
        assert [edit.text for edit in finding.fix.edits] == [EDITS[case]]
    fixed, recording = run_fixed(text, finding.fix)
    assert "grad-accumulated" not in [each.code for each in without_good_signs(recording, model.Program(fixed))]
    assert recording.log.counts()[2] == 8
    assert unrecorded(fixed).error is None


def test_the_finding_of_the_gallery_example_gives_its_numbers() -> None:
    shown = example("pitfall-accumulate")
    assert shown is not None
    _, recording = record(shown.program)
    (finding,) = without_good_signs(recording, model.Program(shown.program))
    assert (finding.code, finding.step, finding.line) == ("grad-accumulated", 1, 12)
    assert "In step 1, `m.grad` was still −9.333; −4.978 was added, and the update used −14.31." in finding.why
    before = recording.step(1).parameters[0]
    assert before.grad_before is not None
    assert before.contribution is not None
    assert before.grad_used is not None
    numbers = [round(each.values, 3) for each in (before.grad_before, before.contribution, before.grad_used)]
    assert numbers == [-9.333, -4.978, -14.311]
    assert finding.fix is not None
    fixed = apply(shown.program, finding.fix)
    assert without_good_signs(record(fixed)[1], model.Program(fixed)) == []
    assert round(unrecorded(fixed).variables["m"].item(), 2) == 2.0


def test_several_gradients_are_reported_in_one_finding() -> None:
    (finding,) = findings(fit(*MISTAKES["of two"]))
    assert finding.message == (
        "The gradients of `w` and `b` are left over from an earlier step, and this `backward()` adds to them."
    )
    assert finding.fix is not None
    assert [edit.text for edit in finding.fix.edits] == ["\n        w.grad = None", "\n        b.grad = None"]


CLOSURE = """\
import torch
torch.manual_seed(0)
net = torch.nn.Linear(2, 1)
opt = torch.optim.LBFGS(net.parameters(), lr=0.3, max_iter=4)
x = torch.rand(4, 2)
def clear():
    for p in net.parameters():
        p.grad = None
def closure():
    loss = (net(x) - 1).pow(2).mean()
    loss.backward()
    return loss
for step in range(2):
    opt.zero_grad()
    opt.step(closure)
"""


def test_the_gradients_of_a_closure_that_are_cleared_outside_it_are_found_with_the_number_of_its_calls() -> None:
    (finding,) = findings(CLOSURE)
    assert (finding.code, finding.line, finding.step) == ("grad-accumulated", 11, 0)
    assert finding.message == "Each call of `closure` adds to the gradients of earlier calls. Nothing clears them in between."
    assert "called `closure` 4 times in step 0" in finding.why


AVERAGING = """\
class Averaging(torch.optim.SGD):
    def step(self, closure):
        for _ in range(4):
            closure()
        super().step()
"""
GAN = """\
import torch
G, D = torch.nn.Linear(1, 1), torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
g, d = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
for step in range(6):
    z = torch.randn(8, 1)
    d.zero_grad()
    d_loss = D(G(z).detach()).mean() - D(torch.randn(8, 1)).mean()
    d_loss.backward()
    d.step()
    g.zero_grad()
    g_loss = -D(G(z)).mean()
    g_loss.backward()
    g.step()
"""
RIGHT = {
    "a generator's pass through a discriminator": GAN,
    "its generator first": GAN.replace("    d.zero_grad()\n", "").replace(
        "    d_loss = D", "    d.zero_grad()\n    d_loss = D"
    ),
    "micro-batches": fit(NET, "opt.zero_grad()\nfor part in x.split(1):\n    (net(part) ** 2).mean().backward()\nopt.step()"),
    "an update every fourth pass": fit(
        NET, "(net(x) ** 2).mean().backward()\nif step % 4 == 3:\n    opt.step()\n    opt.zero_grad()"
    ),
    "several losses": fit(NET, "opt.zero_grad()\nnet(x).mean().backward()\nnet(x).pow(2).mean().backward()\nopt.step()"),
    "LBFGS": fit(
        "net = torch.nn.Linear(2, 1)\nopt = torch.optim.LBFGS(net.parameters(), max_iter=4)\nx = torch.ones(4, 2)\n"
        "def closure():\n    opt.zero_grad()\n    loss = (net(x) ** 2).mean()\n    loss.backward()\n    return loss",
        "opt.step(closure)",
    ),
    "LBFGS with a function that clears": CLOSURE.replace("closure():\n", "closure():\n    clear()\n"),
    "LBFGS over micro-batches": CLOSURE.replace(
        "    loss = (net(x) - 1).pow(2).mean()\n    loss.backward()",
        ("    opt.zero_grad()\n    for part in x:\n        loss = (net(part) - 1).pow(2).mean()\n        loss.backward()"),
    ),
    "a mean over the calls of a closure": CLOSURE.replace("def clear", AVERAGING + "def clear")
    .replace("torch.optim.LBFGS(net.parameters(), lr=0.3, max_iter=4)", "None")
    .replace("for step", "opt = Averaging(net.parameters(), lr=0.1)\nfor step"),
    "momentum in .grad": fit(BY_HAND, LOSS + STEP + "\n    w.grad *= 0.9"),
    "momentum before the pass": fit(
        BY_HAND,
        "loss = (w - 1) ** 2\nif w.grad is not None:\n    w.grad.mul_(0.9)\nloss.backward()\n" + STEP,
    ),
    "cleared by zero_": fit(BY_HAND, "if w.grad is not None:\n    w.grad.zero_()\n((w - 1) ** 2).backward()\n" + STEP),
    "projected while it accumulates": fit(
        BY_HAND,
        "((w - 1) ** 2).backward()\nwith torch.no_grad():\n    w.clamp_(-2, 2 - step / 10)\n"
        "    if step % 4 == 3:\n        w -= 0.1 * w.grad\n        w.grad = None",
    ),
    "looked at after training": fit(NET, "opt.zero_grad()\n(net(x) ** 2).mean().backward()\nopt.step()")
    + "net(x).mean().backward()\n",
    "taken by autograd.grad": fit(
        BY_HAND,
        "loss = (w - 1) ** 2\nif step == 0:\n    loss.backward(retain_graph=True)\n(g,) = torch.autograd.grad(loss, w)\n"
        "with torch.no_grad():\n    w -= 0.1 * g",
    ),
    "sharpness-aware": fit(
        NET,
        "(net(x) ** 2).mean().backward()\nwith torch.no_grad():\n    up = [0.05 * p.grad for p in net.parameters()]\n"
        "    for p, e in zip(net.parameters(), up):\n        p += e\nopt.zero_grad()\n(net(x) ** 2).mean().backward()\n"
        "with torch.no_grad():\n    for p, e in zip(net.parameters(), up):\n        p -= e\nopt.step()\nopt.zero_grad()",
    ),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_intended_sums_of_gradients_are_not_reported(text: str) -> None:
    assert [finding.code for finding in findings(text) if finding.severity in ("error", "warning")] == []
