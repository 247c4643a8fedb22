"""The JavaScript formats numbers and unpacks steps by the same rules as the server."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page
from tapedeck.drawing import numerals, style
from tapedeck.model import TensorSummary

from .programs import recorded

SOURCES = Path(__file__).parent.parent.parent / "static" / "src"

CASES: list[tuple[Any, list[int], str]] = [
    (-9.333333015441895, [], "float32"),
    (0.0, [], "float32"),
    (1.234e-10, [], "float32"),
    (123456.0, [], "float64"),
    (0.01, [], "float32"),
    (9999.99, [], "float32"),
    ("NaN", [], "float32"),
    ("-Infinity", [], "float32"),
    (7, [], "int64"),
    (True, [], "bool"),
    ([-0.666667, -1.333333, -2.0], [3], "float32"),
    ([0.00015, 0.0006, 0.00136], [3], "float32"),
    ([12345.0, 1.0], [2], "float32"),
    ([[1.0, 2.0], [3.0, -0.00001]], [2, 2], "float32"),
    ([1, -2, 3], [3], "int64"),
    ([1.0, -2.0], [], "complex64"),
]


PROGRAM = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
w = torch.tensor([0.5, float("nan"), -1.0], requires_grad=True)
h = torch.tensor([[1.0, 65504.0], [6e-8, -0.5]], dtype=torch.float16, requires_grad=True)
c = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
z = torch.tensor(2 - 1j, requires_grad=True)
large = torch.linspace(0, 1, 600).reshape(20, 30).requires_grad_()
none = torch.zeros(0, 3, requires_grad=True)
m = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.Adam([w, m], lr=0.1)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
for step in range(5):
    count = torch.tensor([[1, -2], [3, 2**40]])
    mask = torch.tensor([True, False, True])
    y = w * x
    y.register_hook(lambda grad: grad * 2)
    loss = (y.masked_fill(~mask, 0)).sum() + (h * count).float().sum() + (c * z).abs().sum() + (large * m).mean() + none.sum()
    loss.backward(retain_graph=True)
    torch.autograd.grad(y.sum(), w, allow_unused=True)
    optimizer.step()
    schedule.step()
    if step == 3:
        m = m * 1
    optimizer.zero_grad()
"""


def test_a_packed_step_unpacks_to_the_step_of_the_json(page: Page) -> None:
    page.goto("/examples")
    run = recorded(page, PROGRAM, values=64)
    assert run["steps"] >= 5, run["error"]
    steps = f"/api/v1/runs/{run['id']}/steps"
    plain = page.request.get(steps).json()["steps"]
    packed = page.request.get(steps, headers={"Accept": "application/msgpack"}).body()
    modules = [(SOURCES / name).read_text() for name in ("leaves/msgpack.js", "core/packed-steps.js")]
    body = re.sub(r"^import .*$", "", "\n".join(modules).replace("export ", ""), flags=re.MULTILINE)
    written = page.context.new_page()
    written.goto("about:blank")
    read = f"""packed => {{
      {body}
      const answer = unpack(Uint8Array.from(atob(packed), (each) => each.charCodeAt(0)).buffer);
      return stepsOf(answer).map((each) => JSON.stringify(each.read()));
    }}"""
    found = [json.loads(text) for text in written.evaluate(read, base64.b64encode(packed).decode())]
    kinds = {tensor["dtype"] for step in plain for tensor in tensors(step)}
    assert {"float16", "float32", "float64", "int64", "bool", "complex64"} <= kinds
    for unpacked, step in zip(found, plain, strict=True):
        for each in step["passes"]:
            assert each.pop("step") == step["index"]
        for each in unpacked["passes"]:
            each.pop("step")
        for each in (*tensors(unpacked), *tensors(step)):
            if each["dtype"].startswith("complex"):  # the last bit of a complex number's absolute value may differ
                each.update({name: f"{each[name]:.12g}" for name in ("min", "max", "mean", "norm")})
        assert unpacked == step
    assert len(packed) < len(json.dumps(plain)) / 4


def tensors(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every tensor in a JSON value."""
    if isinstance(value, dict):
        if "dtype" in value:
            yield value
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, list):
        for each in value:
            yield from tensors(each)


def test_the_style_sheet_of_pictures_equals_the_legend() -> None:
    assert (SOURCES / "style" / "picture.css").read_text().partition("\n\n")[2] == style.css()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_pages_equal_those_of_pictures(page: Page, theme: str) -> None:
    page.goto(f"/examples?theme={theme}")
    found = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue('--' + name))",
        list(style.THEMES[theme]),
    )
    assert found == list(style.THEMES[theme].values())


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([0, 1, 2], ["0", "1", "2"]),
        ([-0.2, -0.1, 2.7755575615628914e-17, 0.1], ["−0.2", "−0.1", "0", "0.1"]),
        ([9.5, 10, 10.5], ["9.5", "10", "10.5"]),
        ([1e11, 2e11, 3e11], ["1e11", "2e11", "3e11"]),
        ([1e11, 1.0005e11, 1.001e11], ["1e11", "+5e7", "+1e8"]),
        ([-2e8, -1.5e8, -1e8, 0], ["−2e8", "−1.5e8", "−1e8", "0"]),
        ([8e3, 1e4, 1.2e4], ["8e3", "1e4", "1.2e4"]),
        ([1e-8, 1e-4, 1, 100], ["1e−8", "1e−4", "1", "100"]),
        ([0.0501, 0.0502], ["0.0501", "0.0502"]),
        ([1e30], ["1e30"]),
        ([], []),
    ],
)
def test_numbers_on_an_axis_have_enough_digits_to_differ(page: Page, numbers: list[float], texts: list[str]) -> None:
    body = (SOURCES / "leaves" / "format.js").read_text().replace("export ", "")
    page.goto("about:blank")
    assert page.evaluate(f"numbers => {{ {body}\n return axis(numbers); }}", numbers) == texts


def test_numbers_are_formatted_as_on_the_server(page: Page) -> None:
    page.goto("/examples")
    module = (SOURCES / "leaves" / "format.js").read_text()
    # the content security policy forbids importing the module: evaluate its functions in one function's body
    body = module.replace("export ", "") + "\nreturn cases.map(([values, dtype]) => nested(values, {dtype}));"
    written = page.context.new_page()
    written.goto("about:blank")
    found = written.evaluate(f"cases => {{ {body} }}", [[values, dtype] for values, _, dtype in CASES])
    expected = []
    for values, shape, dtype in CASES:
        text = numerals.values(TensorSummary(shape, dtype, values=values), 1000)
        assert text is not None, json.dumps(values)
        expected.append(numerals.typeset(text))
    assert found == expected
    texts = [
        "0.40265321731567383",
        "lr = 0.05",
        "{'a-1': -0.123456789, 'b': -1e-05}",
        "(1.5, -123456789, 1.2345678e-12)",
        "a-b",
    ]
    drawn = written.evaluate(f"texts => {{ {module.replace('export ', '')}\n return texts.map(plain); }}", texts)
    assert drawn == [numerals.typeset_literals(text) for text in texts]
    assert drawn[:2] == ["0.4027", "lr = 0.05"]
    whole = [
        TensorSummary([16], "int64", min=-3.0, max=49.0, norm=134.2982, zeros=0, nan=0, inf=0),
        TensorSummary([16], "bool", min=0.0, max=1.0, norm=2.0, zeros=11, nan=0, inf=0),
        TensorSummary([16], "float32", min=0.0, max=1.0, norm=2.0, zeros=11, nan=0, inf=0),
    ]
    tensors_json = [json.loads(msgspec.json.encode(each)) for each in whole]
    body = module.replace("export ", "") + "\nreturn tensors_json.map((each) => brief(each, 27));"
    briefs = written.evaluate(f"tensors_json => {{ {body} }}", tensors_json)
    assert briefs == [numerals.typeset(numerals.brief(each, 27)) for each in whole]
    assert briefs[:2] == ["[16] −3 to 49", "[16] 5 True"]
    assert math.isclose(float(found[0].replace("−", "-")), -9.3333)
