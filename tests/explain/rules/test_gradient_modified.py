"""A hook or custom ``backward`` that writes to the gradient it receives is reported at its line; correct ones are not."""

from __future__ import annotations

import pytest
import torch

from ...tracer.run_twice import unrecorded
from ..reported import findings

BEGIN = """import torch
import torch.nn.functional as F
torch.manual_seed(0)
w = torch.rand(4, requires_grad=True)
a = w * 2
b = w * 3
"""
END = "\n((a + b) ** 2).sum().backward()\n"
FUNCTION = """class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
    @staticmethod
    def backward(ctx, g):
        {}
"""
WRONG = {
    "a lambda": ("b.register_hook(lambda g: g.clamp_(-1, 1))" + END, "clamp_"),
    "a function": ("def clip(g):\n    g.clamp_(-1, 1)\n    return g\nb.register_hook(clip)" + END, "clamp_"),
    "of the last branch": ("a.register_hook(lambda g: g.mul_(2))" + END, "mul_"),
    "an item": ("def mask(g):\n    g[0] = 0\nb.register_hook(mask)" + END, "g[0] = 0"),
    "a mask": ("def mask(g):\n    g[g > 1] = 1\n    return g\nb.register_hook(mask)" + END, "= 1"),
    "an operator": ("def mask(g):\n    g *= 2\nb.register_hook(mask)" + END, "*= 2"),
    "a view": ("b.register_hook(lambda g: [g[1:].zero_(), None][1])" + END, "[g[1:]"),
    "data": ("b.register_hook(lambda g: [g.data.zero_(), None][1])" + END, "g.data"),
    "detached": ("b.register_hook(lambda g: [g.detach().zero_(), None][1])" + END, "g.detach"),
    "out": ("b.register_hook(lambda g: torch.mul(g, 2, out=g))" + END, "out=g"),
    "a functional in place": ("b.register_hook(lambda g: F.relu(g, inplace=True))" + END, "F.relu"),
    "copied over": ("b.register_hook(lambda g: g.copy_(g / g.norm()))" + END, "copy_"),
    "a node's prehook": ("b.grad_fn.register_prehook(lambda gs: [gs[0].mul_(2), None][1])" + END, "mul_"),
    "a node's posthook": ("b.grad_fn.register_hook(lambda gi, go: [go[0].mul_(2), None][1])" + END, "mul_"),
    "a leaf's hook": ("w.register_hook(lambda g: g.mul_(2))\n(w * w + w).sum().backward()", "mul_"),
    "a leaf's hook on a sum": ("w.register_hook(lambda g: g.mul_(2))" + END, "mul_"),
    "a hook on a sum": ("c = w * 1\nc.register_hook(lambda g: g.mul_(2))\n(c.exp() + c.sin()).sum().backward()", "mul_"),
    "a hook on a sum, an item": (
        ("def half(g):\n    g[0] *= 2\nc = w * 1\nc.register_hook(half)\n(c.exp() + c.sin()).sum().backward()"),
        "*= 2",
    ),
    "NumPy": ("b.register_hook(lambda g: [g.numpy().fill(2), None][1])" + END, "fill"),
    "NumPy, an item": ("def mask(g):\n    g.numpy()[0] = 0\nb.register_hook(mask)" + END, "g.numpy()"),
    "NumPy, a name": ("def mask(g):\n    array = g.numpy()\n    array[0] = 7\nb.register_hook(mask)" + END, "g.numpy()"),
    "NumPy, a sum": (
        "c = w * 1\nc.register_hook(lambda g: [g.numpy().fill(2), None][1])\n(c.exp() + c.sin()).sum().backward()",
        "fill",
    ),
    "NumPy in a custom backward": (
        FUNCTION.format("g.numpy()[0] = 7; return g * 2") + "((Double.apply(b) + a) ** 2).sum().backward()",
        "numpy",
    ),
    "a hook on a sum, grad": (
        "c = w * 1\nc.register_hook(lambda g: g.mul_(2))\ntorch.autograd.grad((c.exp() + c.sin()).sum(), w)",
        "mul_",
    ),
    "a hook on a sum that is asked for": (
        "c = w * 1\nc.register_hook(lambda g: g.mul_(2))\ntorch.autograd.grad((c.exp() + c.sin()).sum(), [c])",
        "mul_",
    ),
    "a hook on a sum at a leaf, grad": (
        "w.register_hook(lambda g: g.mul_(2))\ntorch.autograd.grad((w.exp() + w.sin()).sum(), w)",
        "mul_",
    ),
    "a custom backward": (FUNCTION.format("return g.mul_(2)") + "((Double.apply(b) + a) ** 2).sum().backward()", "mul_"),
    "a custom backward, contiguous": (
        FUNCTION.format("g = g.contiguous()\n        g.mul_(2)\n        return g") + "(Double.apply(b) * a).sum().backward()",
        "mul_",
    ),
    "a custom backward given a sum": (
        FUNCTION.format("g.mul_(2)\n        return g") + "c = Double.apply(b)\n(c.exp() + c.sin()).sum().backward()",
        "mul_",
    ),
    "a module's hook": (
        (
            "net = torch.nn.Tanh()\nnet.register_full_backward_hook(lambda m, gi, go: [go[0].mul_(2), None][1])\n"
            "((net(b) + a) ** 2).sum().backward()"
        ),
        "mul_",
    ),
    "a module's hook on what it computed": (
        (
            "net = torch.nn.Tanh()\nnet.register_full_backward_hook(lambda m, gi, go: [gi[0].mul_(2), None][1])\n"
            "((net(b) + a) ** 2).sum().backward()"
        ),
        "mul_",
    ),
    "a module's pre-hook": (
        (
            "net = torch.nn.Tanh()\nnet.register_full_backward_pre_hook(lambda m, go: [go[0].mul_(2), None][1])\n"
            "((net(b) + a) ** 2).sum().backward()"
        ),
        "mul_",
    ),
    "grad": ("b.register_hook(lambda g: g.mul_(2))\ntorch.autograd.grad(((a + b) ** 2).sum(), w)", "mul_"),
    "a gradient that a hook kept": (
        "kept = []\nb.register_hook(kept.append)\na.register_hook(lambda g: [kept[0].zero_(), None][1])" + END,
        "zero_",
    ),
}
RIGHT = {
    "NumPy that only reads": "b.register_hook(lambda g: [g.numpy().sum(), None][1])" + END,
    "NumPy that writes to a copy": "b.register_hook(lambda g: [g.numpy().copy().fill(2), None][1])" + END,
    "NumPy that writes to a clone": "b.register_hook(lambda g: [g.clone().numpy().fill(2), None][1])" + END,
    "a new tensor": "b.register_hook(lambda g: g.clamp(-1, 1))" + END,
    "scaled": "b.register_hook(lambda g: g * 2)\nw.register_hook(lambda g: g / 2)" + END,
    "a clone": "def mask(g):\n    g = g.clone()\n    g[0] = 0\n    return g\nb.register_hook(mask)" + END,
    "a clone of a sum": (
        "def mask(g):\n    g = g.clone()\n    g[0] = 0\n    return g\nc = w * 1\nc.register_hook(mask)\n"
        "(c.exp() + c.sin()).sum().backward()"
    ),
    "a clone with the same name of a leaf": "def mask(g):\n    g = g + 0\n    g.mul_(2)\n    return g\nw.register_hook(mask)"
    + END,
    "statistics": "total = torch.zeros(4)\nb.register_hook(lambda g: [total.add_(g), None][1])" + END,
    "a buffer returned": "kept = torch.zeros(4)\nb.register_hook(lambda g: kept.copy_(g * 2))" + END,
    "after accumulation": "w.register_post_accumulate_grad_hook(lambda p: [p.grad.mul_(2), None][1])" + END,
    "after accumulation of one": (
        "w.register_post_accumulate_grad_hook(lambda p: [p.grad.mul_(2), None][1])\n(a ** 2).sum().backward()"
    ),
    "the gradient of another leaf": (
        "u = torch.rand(4, requires_grad=True)\nu.grad = torch.ones(4)\nb.register_hook(lambda g: [u.grad.add_(g), None][1])"
        "\n(a + b + u).sum().backward()"
    ),
    "an optimizer in the backward": (
        "opt = torch.optim.SGD([w], lr=0.1)\ndef step(p):\n    opt.step()\n    opt.zero_grad(set_to_none=False)\n"
        "w.register_post_accumulate_grad_hook(step)\n"
        "for i in range(3):\n    (w ** 2).sum().backward()"
    ),
    "clipped by its own backward": (
        FUNCTION.format("out = g.clone()\n        out[0] = 0\n        return out")
        + "((Double.apply(b) + a) ** 2).sum().backward()"
    ),
    "a new result filled": (
        FUNCTION.format("out = torch.zeros_like(g)\n        out.add_(g, alpha=2)\n        return out")
        + "c = Double.apply(b)\n(c.exp() + c).sum().backward()"
    ),
    "a product changed in place": (
        FUNCTION.format("out = g * 2\n        out *= 3\n        return out") + "((Double.apply(b) + a) ** 2).sum().backward()"
    ),
    "after the pass": "kept = []\nb.register_hook(kept.append)" + END + "kept[0].zero_()\nw.grad.clamp_(-1, 1)\n",
    "clipping": END + "torch.nn.utils.clip_grad_norm_([w], 0.1)\nw.grad.zero_()\n",
    "a checkpoint": (
        "from torch.utils.checkpoint import checkpoint\nnet = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(True))\n"
        "checkpoint(net, a, use_reentrant=False).sum().backward()\ncheckpoint(net, w * 2, use_reentrant=True).sum().backward()"
    ),
    "a new full backward hook": (
        "net = torch.nn.Tanh()\nnet.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))\n"
        "((net(b) + a) ** 2).sum().backward()"
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_write_to_a_gradient_of_a_running_pass_is_reported_at_its_line(case: str) -> None:
    code, marker = WRONG[case]
    text = BEGIN + code
    assert unrecorded(text).error is None
    found = [finding for finding in findings(text) if finding.code == "gradient-modified"]
    lines = [number for number, line in enumerate(text.split("\n"), 1) if marker in line]
    assert [(finding.severity, finding.line, finding.pass_) for finding in found] == [("warning", lines[-1], 0)]
    assert found[0].node is not None
    assert "new tensor" in (found[0].why or "")


@pytest.mark.parametrize("case", RIGHT)
def test_a_correct_hook_is_not_reported(case: str) -> None:
    assert unrecorded(BEGIN + RIGHT[case]).error is None
    assert [finding for finding in findings(BEGIN + RIGHT[case]) if finding.severity in ("warning", "error")] == []


def test_the_branch_that_changes_too_is_named() -> None:
    text = BEGIN + "b.register_hook(lambda g: g.clamp_(-1, 1))" + END
    (finding,) = findings(text)
    assert "gradient of `a`" in (finding.why or "")
    right = unrecorded(text.replace("clamp_", "clamp")).variables["w"].grad
    assert not torch.equal(unrecorded(text).variables["w"].grad, right)


def test_a_hook_that_runs_in_each_step_is_reported_once() -> None:
    text = (
        BEGIN
        + "for i in range(5):\n    c = w * 2\n    c.register_hook(lambda g: g.mul_(2))\n"
        + "    ((c + w) ** 2).sum().backward()\n    w.grad = None\n"
    )
    assert [(finding.code, finding.line) for finding in findings(text)] == [("gradient-modified", 9)]


def test_a_custom_backward_is_named_as_the_writer() -> None:
    text = BEGIN + FUNCTION.format("return g.mul_(2)") + "((Double.apply(b) + a) ** 2).sum().backward()"
    (finding,) = findings(text)
    assert finding.message == "This custom `backward` writes in place to the gradient that it receives."


def test_a_write_that_torch_refuses_has_only_the_finding_of_the_error() -> None:
    text = BEGIN + "b.register_hook(lambda g: g.mul_(2))\n(a + b).sum().backward()\n"  # the gradient of a sum is expanded
    (refused,) = findings(text)
    assert (refused.severity, refused.line) == ("error", 7)
