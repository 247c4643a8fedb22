"""A failure of the recorder itself is reported, and never reaches the program."""

from __future__ import annotations

import importlib
from functools import cache

import pytest
from tapedeck import wire

from .run_twice import Outcome, recorded, unrecorded

PROGRAM = """\
import torch, numpy as np, time
torch.manual_seed(0)
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2
    @staticmethod
    def backward(ctx, g):
        return g * 2
m = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
a = np.ones(2, dtype=np.float32)
x = torch.from_numpy(a)
w = torch.ones(2, requires_grad=True)
for i in range(3):
    o.zero_grad()
    loss = (m(F.apply(x * w)) ** 2).sum()
    loss.backward()
    o.step()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad.zero_()
    a += 1
    time.sleep(0)
    print(i, loss.item())
o2 = torch.optim.LBFGS(m.parameters(), max_iter=3)
def closure():
    o2.zero_grad()
    l = (m(x) ** 2).sum()
    l.backward()
    return l
o2.step(closure)
w.data = torch.zeros(2)
w.requires_grad_(True)
c, d = torch.ones(2), torch.zeros(2)
torch.utils.swap_tensors(c, d)
d.set_(torch.ones(3))
try:
    (m(x) + torch.ones(3, 7)).backward()
except RuntimeError as e:
    print(type(e).__name__)
g = torch.autograd.grad((w ** 2).sum(), w, create_graph=True)[0]
g.sum().backward()
e = torch.vmap(torch.func.grad(lambda v: (v ** 2).sum()))(torch.ones(2, 2))
print(w.grad, e, [p.detach().sum().item() for p in m.parameters()], d)
def f(k):
    h = k * 2
    del k
    return h
f(w)
"""

BREAKABLE = """
    training.parameters.Parameters.moved backward.open_passes.OpenPasses.add backward.open_passes.OpenPasses.emit
    backward.open_passes.OpenPasses.remove
    forward.calls.Calls.add forward.calls.Calls.site forward.calls.Calls.protect forward.calls.Calls.name
    source.names.Names.bind source.names.Names.binding source.names.Names.module source.names.Names.refresh
    source.names.Names.detach source.lines.LineValues.record source.lines.LineValues.protect
    training.steps.Steps.end_pass training.steps.Steps.begin_pass training.steps.Steps.register
    training.update_phase.UpdatePhase.optimized training.update_phase.UpdatePhase.updated
    training.update_phase.UpdatePhase.cleared training.update_phase.UpdatePhase.suspend
    training.update_phase.UpdatePhase.resume training.open_step.OpenStep.begin_pass training.open_step.OpenStep.end_pass
    training.open_step.OpenStep.optimized training.steps.Steps.enter_loop
    training.steps.Steps.next_iteration training.steps.Steps.end_step training.updates.Updates.share
    training.updates.Updates.check_shared training.updates.Updates.after_write
    backward.graph.Walk.__init__ backward.passes.OpenPass.event backward.passes.OpenPass.contributions
    backward.graphs.Graphs.template backward.graphs.Graphs.read_saved training.parameters.Parameters.add
    training.parameters.Parameters.forget_all_values
    forward.writes.WriteLog.record backward.hooks.GradientCapture.detach backward.hooks.GradientCapture.attach
    training.optimizers.Optimizers._begin_step training.optimizers.Optimizers.close_abandoned
    source.scopes.Scopes.local
    training.gradient_trail.GradientTrail.extend training.gradient_trail.GradientTrail.start
    training.locator.Locator.here source.instrument.ProgramSource.locate source.instrument.ProgramSource.context_of
    backward.failures.Failures.caught
    training.rebinds.Rebinds.bound tensors.table.TableBuilder.finalize
    tensors.table.TableBuilder.add_all tensors.snapshot.Snapshot.__init__ training.write_guard.WriteGuard.before_write
    training.write_guard.WriteGuard.protect
"""


@cache
def expected() -> Outcome:
    return unrecorded(PROGRAM)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BREAKABLE.split())
def test_a_program_runs_as_unrecorded_when_a_part_of_the_recorder_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, kind, method = name.rsplit(".", 2)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(importlib.import_module(f"tapedeck.tracer.{module}"), kind), method, broken)
        got, events, _ = recorded(PROGRAM)
    assert (got.stdout, got.error) == (expected().stdout, expected().error)
    failures = [event.message for event in events if isinstance(event, wire.RecorderFailed)]
    assert failures == ["RuntimeError: broken on purpose"]


@pytest.mark.filterwarnings("ignore")
def test_the_program_of_these_tests_is_recorded_without_a_failure() -> None:
    got, events, _ = recorded(PROGRAM)
    assert (got.stdout, got.error) == (expected().stdout, None)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
