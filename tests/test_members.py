"""The names that the editor completes exist in PyTorch and numpy."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import torch

SOURCE = Path(__file__).parent.parent / "static" / "src" / "widgets" / "editor" / "members.js"


def test_every_completed_name_exists() -> None:
    text = SOURCE.read_text()
    modules = dict(re.findall(r'^  "?([\w.]+)"?:\s*"([^"]+)"', text, re.MULTILINE))
    assert len(modules) == 11
    absent = [
        f"{module}.{name}"
        for module, names in modules.items()
        for name in names.split()
        if not hasattr(importlib.import_module(module), name)
    ]
    tensor = re.search(r'TENSOR =\s*"([^"]+)"', text)
    assert tensor
    absent += [f"Tensor.{name}" for name in tensor[1].split() if not hasattr(torch.Tensor, name)]
    assert not absent
