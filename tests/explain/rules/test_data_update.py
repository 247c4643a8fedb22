"""An update through ``.data`` is noted, and the fix makes the same update to the parameter itself."""

from __future__ import annotations

import pytest
import torch
from tapedeck import model

from ...tracer.run_twice import unrecorded
from ..reported import findings, run_fixed, without_good_signs

BEGIN = "import torch\nw = torch.tensor([3., 4.], requires_grad=True)\nb = torch.tensor(0., requires_grad=True)\n"
UPDATES = {
    "in place": ("w.data -= 0.1 * w.grad.data", "with torch.no_grad():\n        w -= 0.1 * w.grad"),
    "by a method": ("w.data.sub_(0.1 * w.grad.data)", "with torch.no_grad():\n        w.sub_(0.1 * w.grad)"),
    "set": ("w.data = w.data - 0.1 * w.grad", "with torch.no_grad():\n        w -= 0.1 * w.grad"),
    "set to what is computed": (
        "w.data = 0.9 * w.data - 0.1 * w.grad",
        "with torch.no_grad():\n        w.copy_(0.9 * w - 0.1 * w.grad)",
    ),
    "over two lines": (
        "w.data = w.data - (0.1 *\n             w.grad)",
        "with torch.no_grad():\n        w -= (0.1 *\n             w.grad)",
    ),
    "an element": ("w.data[0] -= 0.1 * w.grad[0]", "with torch.no_grad():\n        w[0] -= 0.1 * w.grad[0]"),
    "without gradients": ("with torch.no_grad():\n        w.data -= 0.1 * w.grad", "w -= 0.1 * w.grad"),
    "two": (
        "w.data -= 0.1 * w.grad  # both\n    b.data -= 0.1 * b.grad  # of them",
        "with torch.no_grad():\n        w -= 0.1 * w.grad  # both\n        b -= 0.1 * b.grad",
    ),
    "of a list": (
        "for p in [w, b]:\n        p.data.add_(p.grad.data, alpha=-0.1)",
        "with torch.no_grad():\n            p.add_(p.grad, alpha=-0.1)",
    ),
}


@pytest.mark.parametrize("case", UPDATES)
def test_an_update_through_data_is_noted_and_the_fix_has_the_same_effect(case: str) -> None:
    update, edit = UPDATES[case]
    text = f"{BEGIN}for step in range(4):\n    w.grad = b.grad = None\n    ((w - 1 + b) ** 2).sum().backward()\n    {update}\n"
    (finding,) = findings(text)
    line = next(number for number, each in enumerate(text.split("\n"), 1) if ".data" in each)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("data-update", "note", line, 0)
    assert finding.fix is not None
    assert [each.text for each in finding.fix.edits] == [edit]
    fixed, recording = run_fixed(text, finding.fix)
    assert without_good_signs(recording, model.Program(fixed)) == []
    before, after = unrecorded(text).variables, unrecorded(fixed).variables
    assert torch.equal(before["w"], after["w"])
    assert torch.equal(before["b"], after["b"])


RIGHT = {
    "initial values": "w.data.fill_(1.)\nw.data = torch.ones(2)\n(w ** 2).sum().backward()",
    "read": "(w ** 2).sum().backward()\nwith torch.no_grad():\n    w -= 0.1 * w.grad.data\nprint(w.data)",
    "its gradient": "(w ** 2).sum().backward()\nw.grad.data.zero_()\nw.grad.data.clamp_(0, 1)",
    "an average": "mean = w.detach().clone()\nfor i in range(3):\n    (w ** 2).sum().backward()\n    mean.data.mul_(0.9)",
    "another size": "(w ** 2).sum().backward()\nw.data = torch.ones(3)\nw.grad = None",
}


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT.keys())
def test_other_uses_of_data_are_not_noted(body: str) -> None:
    assert findings(f"{BEGIN}{body}\n") == []
