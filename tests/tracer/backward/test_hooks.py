"""The hooks that record a pass leave PyTorch's classes as they are."""

from __future__ import annotations

import pytest

from ..run_twice import recorded

VALID = 1 << 19
"""The flag of a type about which CPython may have cached attributes. Setting an attribute of a base class clears the flag."""


def test_what_python_has_cached_about_custom_functions_survives_a_pass() -> None:
    outcome, _, _ = recorded(f"""\
import torch
class Unused(torch.autograd.Function):
    pass
Unused.apply  # looked up, and cached
x = torch.ones((), requires_grad=True)
y = x * 2
before = Unused.__flags__ & {VALID}
y.backward()
after = Unused.__flags__ & {VALID}
""")
    assert outcome.error is None
    assert outcome.variables["before"] == outcome.variables["after"] == VALID


@pytest.mark.parametrize("fails", [False, True])
def test_the_function_that_registers_hooks_is_restored(fails: bool) -> None:
    outcome, _, _ = recorded(f"""\
import torch
register = torch.autograd.Function._register_hook
before = register.__code__, register.__kwdefaults__
x = torch.ones((), requires_grad=True)
y = x * 2
def hook(gradient):
    inside.append((register.__code__, register.__kwdefaults__))
    if {fails}:
        raise RuntimeError("stop")
inside = []
y.register_hook(hook)
handle = y.grad_fn.register_hook(lambda *gradients: None)
try:
    y.backward()
except RuntimeError:
    pass
same = before == (register.__code__, register.__kwdefaults__) == inside[0]
handle.remove()
""")
    assert outcome.error is None
    assert outcome.variables["same"] is True
