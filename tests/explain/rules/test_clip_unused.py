"""Clipping without an effect is reported, clipping with an effect is not."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, CLIP, loop

TWO = f"{BEGIN}other = nn.Linear(4, 1)\nrest = torch.optim.Adam(other.parameters())\n"
OTHER_LOSS = "((other(x) - y) ** 2).mean().backward()"
AGENT = f"""{BEGIN}class Agent:
    def __init__(self):
        self.actor, self.critic = nn.Linear(4, 2), nn.Linear(4, 1)
        self.a_opt = torch.optim.SGD(self.actor.parameters(), lr=0.1)
        self.c_opt = torch.optim.SGD(self.critic.parameters(), lr=0.1)
    def learn(self):
        for _ in range(3):
            self.critic.zero_grad()
            ((self.critic(x) - y) ** 2).mean().backward()
            self.c_opt.step()
            self.a_opt.zero_grad()
            (self.actor(x) ** 2).mean().backward()
            nn.utils.clip_grad_value_(self.CLIPPED.parameters(), 1.0)
            self.a_opt.step()
Agent().learn()
"""

CLIP_UNUSED = {
    "the network of another optimizer, cleared later": loop(
        "opt.zero_grad()",
        "loss.backward()",
        f"{CLIP}(other.parameters(), 1.0)",
        "opt.step()",
        "rest.zero_grad()",
        OTHER_LOSS,
        "rest.step()",
        begin=TWO,
    ),
    "the network of another optimizer, cleared in the next turn": loop(
        "opt.zero_grad()",
        "loss.backward()",
        "opt.step()",
        "other.zero_grad()",
        OTHER_LOSS,
        f"{CLIP}(net.parameters(), 1.0)",
        "rest.step()",
        begin=TWO,
    ),
    "the other network of an object": AGENT.replace("CLIPPED", "critic"),
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
    "the own network of an object": AGENT.replace("CLIPPED", "actor"),
    "two networks, updated one after the other": loop(
        "opt.zero_grad()",
        "rest.zero_grad()",
        "loss.backward()",
        OTHER_LOSS,
        f"{CLIP}(other.parameters(), 1.0)",
        f"{CLIP}(net.parameters(), 1.0)",
        "opt.step()",
        "rest.step()",
        begin=TWO,
    ),
    "two networks, cleared one after the other": loop(
        "loss.backward()",
        OTHER_LOSS,
        f"{CLIP}(other.parameters(), 1.0)",
        "opt.step()",
        "opt.zero_grad()",
        "rest.step()",
        "rest.zero_grad()",
        begin=TWO,
    ),
    "the norm of another network is printed": loop(
        "opt.zero_grad()",
        "loss.backward()",
        f"print({CLIP}(other.parameters(), 1e9))",
        "opt.step()",
        "rest.zero_grad()",
        OTHER_LOSS,
        "rest.step()",
        begin=TWO,
    ),
    "a function updates the other network": f"{TWO}def more():\n    rest.step()\n"
    + loop(
        "opt.zero_grad()",
        "loss.backward()",
        OTHER_LOSS,
        f"{CLIP}(other.parameters(), 1.0)",
        "opt.step()",
        "more()",
        "rest.zero_grad()",
        begin="",
    ),
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
