"""The SVG: its attributes for scripts, its texts, and that text of a program cannot become markup."""

from __future__ import annotations

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapedeck import wire
from tapedeck.drawing import picture, style
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.recording import Recording

from .handmade import Sketch, chain, seed, unrolled

NS = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'&amp;&#x3c;", "]]><!--", "-->", "a\x00b\x1bc\x7f",
    "\u202egnp.exe", "x" * 300, "\ud7ff\ufffe\uffff", "日本語の名前", "{{7*7}}${7*7}", "\\l\\N\\G", "\r\n\t", "",
]  # fmt: skip


def draw(recording: Recording, index: int = 0, **options: Any) -> ET.Element:
    look = {"layout": "nodes", **options}
    return ET.fromstring(asyncio.run(picture.render(recording, index, "svg", **look)))


def by(root: ET.Element, **data: str) -> list[ET.Element]:
    return [group for group in root.iter(f"{NS}g") if all(group.get(f"data-{name}") == value for name, value in data.items())]


def the(root: ET.Element, **data: str) -> ET.Element:
    found = by(root, **data)
    assert len(found) == 1, f"{len(found)} groups with {data}"
    return found[0]


def texts(element: ET.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{NS}text")]


def title(element: ET.Element) -> str:
    found = element.find(f"{NS}title")
    assert found is not None
    return found.text or ""


def field(element: ET.Element, name: str) -> str:
    return next(text.text or "" for text in element.iter(f"{NS}text") if text.get("data-field") == name)


def shafts(element: ET.Element) -> Iterator[ET.Element]:
    return (path for path in element.iter(f"{NS}path") if "shaft" in (path.get("class") or "").split())


def test_each_number_is_at_its_node_or_edge() -> None:
    root = draw(seed())
    assert field(the(root, node="n0"), "value") == "4.6667"
    m = the(root, node="n4")
    assert field(m, "grad") == "−9.3333"
    assert {"m", "leaf", "line 5", "m.grad", "scalar float32"} <= set(texts(m))
    assert field(the(root, edge="e4"), "grad") == "−9.3333"
    assert field(the(root, edge="e1"), "grad") == "[−0.6667, −1.3333, −2.0000]"
    assert "y_pred = m * x" in texts(the(root, node="n3"))
    assert "needs no gradient" in texts(the(root, node="n6"))


def test_drawn_numbers_have_a_minus_sign_and_tooltips_have_a_hyphen() -> None:
    root = draw(seed())
    assert title(the(root, edge="e4")) == "y_pred = m * x → m: gradient -9.333333"
    assert "m.grad -9.333333" in title(the(root, node="n4")).splitlines()
    for element in root.iter():
        assert "−" not in "".join(value for name, value in element.attrib.items() if name.startswith("data-"))


def test_every_node_and_edge_has_an_id_for_scripts_and_an_accessible_name() -> None:
    recording = seed()
    root = draw(recording)
    graph = recording.graph(0)
    for node in graph.nodes:
        group = the(root, node=node.id)
        assert group.get("data-line") == str(node.line)
        assert title(group)
        assert group.get("role") == "img"
    for edge in graph.edges:
        group = the(root, edge=edge.id)
        assert (group.get("data-source"), group.get("data-target")) == (edge.source, edge.target)
        assert title(group)
    assert root.get("aria-label") == "Backward graph of loss: 7 nodes, 6 edges"


def test_there_are_no_styles_and_every_colour_has_a_class() -> None:
    drawn = asyncio.run(picture.render(seed(), 0, "svg")).decode()
    assert "style=" not in drawn
    assert "<style" not in drawn
    for element in ET.fromstring(drawn).iter():
        classes = (element.get("class") or "").split()
        for attribute, prefix in (("fill", "f-"), ("stroke", "s-")):
            colour = element.get(attribute)
            if colour and colour != "none":
                assert re.fullmatch("#[0-9a-f]{6}", colour)
                assert any(name.startswith(prefix) or name in ("shaft", "head") for name in classes), element.attrib


def test_each_class_names_the_colour_of_its_attribute() -> None:
    for theme in ("light", "dark"):
        for element in draw(seed(), theme=theme).iter():
            for name in (element.get("class") or "").split():
                for attribute, prefix in (("fill", "f-"), ("stroke", "s-")):
                    if name.startswith(prefix):
                        assert element.get(attribute) == style.THEMES[theme][name[2:]]


def test_the_auto_theme_has_the_colours_of_the_light_theme() -> None:
    render = picture.render
    assert asyncio.run(render(seed(), 0, "svg", theme="auto")) == asyncio.run(render(seed(), 0, "svg", theme="light"))


def test_the_same_recording_always_gives_the_same_picture() -> None:
    first, second = (asyncio.run(picture.render(seed(), 0, "svg", engine=LayoutEngine())) for _ in range(2))
    assert first == second


def test_a_larger_gradient_has_a_wider_shaft_and_a_larger_head() -> None:
    root = draw(chain(14).recording())
    widths = [float(next(shafts(the(root, edge=f"e{at}"))).get("stroke-width", "0")) for at in range(14)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 5
    assert widths[-1] == 1.0
    for at, wide in enumerate(widths):
        group = the(root, edge=f"e{at}")
        head = next(path for path in group.iter(f"{NS}path") if "head" in (path.get("class") or ""))
        assert head.get("transform") == f"scale({style.head(wide):.2f})"
        shaft = next(shafts(group))
        shown = float(shaft.get("stroke-dasharray", "").split()[0])
        assert shown < float(shaft.get("data-length", "0")) - 4


def test_gradients_that_are_summed_at_a_node_are_marked() -> None:
    sketch = Sketch()
    root, left, right = (sketch.node(op, value=1.0, grads=[1.0]) for op in ("AddBackward0", "MulBackward0", "ExpBackward0"))
    leaf = sketch.node("AccumulateGrad", kind=wire.LEAF, name="a", value=1.0, grads=[5.0], parameter=0)
    sketch.edge(root, left, 1.0)
    sketch.edge(root, right, 1.0)
    sketch.edge(left, leaf, 2.0)
    sketch.edge(right, leaf, 3.0)
    drawn = draw(sketch.recording())
    group = the(drawn, node="n3")
    assert "Σ of 2" in texts(group)
    assert field(group, "grad") == "5.0000"
    assert [field(the(drawn, edge=f"e{at}"), "grad") for at in (2, 3)] == ["2.0000", "3.0000"]
    assert "Σ of 2" not in texts(the(drawn, node="n1"))


def test_a_gradient_that_a_hook_changed_is_marked() -> None:
    sketch = Sketch()
    root = sketch.node("SumBackward0", value=1.0, grads=[1.0])
    leaf = sketch.node("AccumulateGrad", kind=wire.LEAF, name="a", value=1.0, grads=[4.0], used=[1.0], parameter=0)
    sketch.edge(root, leaf, 4.0)
    drawn = draw(sketch.recording())
    assert "hook" in texts(the(drawn, node="n1"))
    assert the(drawn, node="n1").get("data-remarks") == title(the(drawn, node="n1")).splitlines()[-1]
    assert the(drawn, node="n0").get("data-remarks") is None
    assert field(the(drawn, node="n1"), "grad") == "1.0000"  # what was added to a.grad
    assert field(the(drawn, edge="e0"), "grad") == "4.0000"


def test_each_output_of_a_node_has_its_own_gradient() -> None:
    sketch = Sketch()
    root = sketch.node("AddBackward0", value=1.0, grads=[1.0])
    split = sketch.node("UnbindBackward0", value=1.0, grads=[[3.0, 4.0], None, 2.0])
    sketch.edge(root, split, [3.0, 4.0], at=0)
    sketch.edge(root, split, 2.0, at=2)
    group = the(draw(sketch.recording()), node="n1")
    assert field(group, "grad") == "‖5.00, ·, 2.00‖"
    assert not [text for text in texts(group) if "Σ" in text]
    assert "grad 1 none" in title(group).splitlines()


def test_an_edge_without_a_gradient_is_dashed_and_has_no_head() -> None:
    recording = seed()
    root = draw(recording)
    for edge in recording.graph(0).edges:
        group = the(root, edge=edge.id)
        assert bool(list(shafts(group))) is edge.gradient
        assert ("none" in (group.get("class") or "").split()) is not edge.gradient


def test_an_edge_that_a_pass_did_not_take_is_dashed_and_its_node_is_faded() -> None:
    sketch = Sketch()
    root = sketch.node("AddBackward0", value=1.0, grads=[1.0])
    idle = sketch.node("MulBackward0", value=1.0, grads=[None])
    sketch.edge(root, idle)
    drawn = draw(sketch.recording(order=[root]))
    assert not list(shafts(the(drawn, edge="e0")))
    assert the(drawn, node="n1").get("opacity") == "0.5"
    assert the(drawn, node="n0").get("opacity") is None


def test_a_node_that_raised_is_red_and_not_faded() -> None:
    sketch = Sketch()
    root = sketch.node("AddBackward0", value=1.0, grads=[1.0])
    sketch.edge(root, sketch.node("MulBackward0", value=1.0, grads=[1.0]), 1.0)
    drawn = the(draw(sketch.recording(order=[root], failed=1)), node="n1")
    assert "failed" in drawn.get("class", "").split()
    assert drawn.get("opacity") is None
    assert "bad" in next(drawn.iter(f"{NS}rect")).get("class", "")
    assert "it raised an error: the pass stopped here" in title(drawn)


def test_the_edge_to_a_detached_operand_has_a_slash() -> None:
    def strokes(call: str | None) -> int:
        sketch = Sketch()
        root = sketch.node("MulBackward0", value=1.0, grads=[1.0])
        sketch.edge(root, sketch.node("Constant", kind=wire.CONSTANT, value=2.0, grads=[], call=call), flows=False)
        return len(list(the(draw(sketch.recording()), edge="e0").iter(f"{NS}path")))

    assert strokes("torch.Tensor.detach") == strokes(None) + 1


def test_nan_and_infinity_are_red_on_nodes_and_edges() -> None:
    sketch = Sketch()
    root = sketch.node("LogBackward0", value=float("nan"), grads=[1.0])
    leaf = sketch.node("AccumulateGrad", kind=wire.LEAF, name="a", value=0.0, grads=[float("inf")], parameter=0)
    sketch.edge(root, leaf, float("inf"))
    drawn = draw(sketch.recording())
    assert "bad" in (next(shafts(the(drawn, edge="e0"))).get("class") or "").split()
    assert field(the(drawn, node="n0"), "value") == "NaN"
    red = [text.text for text in drawn.iter(f"{NS}text") if "f-bad" in (text.get("class") or "")]
    assert red == ["∞", "NaN", "∞"]
    assert field(the(drawn, node="n1"), "grad") == "∞"


def test_each_stub_has_the_id_of_its_node_and_an_edge_of_its_own() -> None:
    root = draw(unrolled(8).recording())
    drawn = by(root, node="n24")
    assert len(drawn) == 8
    stubs = [group for group in drawn if "stub" in (group.get("class") or "").split()]
    assert len({stub.get("data-edge") for stub in stubs}) == len(stubs) == 7
    card = next(group for group in drawn if group not in stubs)
    assert "Σ of 8" in texts(card)
    assert all(texts(stub) == ["W"] for stub in stubs)


def test_the_selected_node_has_a_thicker_border() -> None:
    def border(selected: str | None) -> float:
        group = the(draw(seed(), selected=selected), node="n4")
        return float(next(group.iter(f"{NS}rect")).get("stroke-width", "0"))

    assert border("n4") > border(None)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", ["svg", "dot", "txt"])
def test_hostile_names_stay_text(text: str, form: str) -> None:
    sketch = Sketch()
    root = sketch.node(text, name=text, module=text, call=text, file=None, line=1, columns=(0, 300), value=1.0, grads=[1.0])
    leaf = sketch.node("AccumulateGrad", kind=wire.LEAF, name=text, file=text, line=2, value=1.0, grads=[1.0], parameter=0)
    other = sketch.node("Constant", kind=wire.CONSTANT, name=text, value=1.0, grads=[])
    sketch.edge(root, leaf, 1.0)
    sketch.edge(root, other, flows=False)
    drawn = asyncio.run(picture.render(sketch.recording(text), 0, form)).decode()
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e]", drawn)
    if form == "svg":
        tags = {element.tag.removeprefix(NS) for element in ET.fromstring(drawn).iter()}
        assert tags <= {"svg", "g", "rect", "path", "text", "title"}


@settings(max_examples=40)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_name_and_any_program_make_well_formed_xml(name: str, program: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        name = "surrogate"
    sketch = Sketch()
    sketch.edge(
        sketch.node("AddBackward0", name=name, line=1, columns=(0, 30), value=1.0, grads=[1.0]),
        sketch.node("AccumulateGrad", kind=wire.LEAF, name=name, value=1.0, grads=[1.0]),
        1.0,
    )
    draw(sketch.recording(program))


def test_every_number_of_a_card_is_inside_its_box() -> None:
    sketch = Sketch()
    long = "encoder.layers.11.attention.output.dense"
    root = sketch.node(
        "NativeMultiHeadAttentionBackward0",
        name="w" * 90,
        module=long,
        line=123456,
        value=[[1e-30] * 9] * 9,
        grads=[[1.0] * 99],
    )
    for _ in range(2):
        sketch.edge(root, sketch.node("AccumulateGrad", kind=wire.LEAF, name=long, value=1.0, grads=[1.0]), 1.0)
    for look in ({"direction": "TB"}, {"direction": "LR"}, {"density": "compact"}):
        recording = sketch.recording()
        for group in by(draw(recording, **look), node="n0"):
            box = next(group.iter(f"{NS}rect"))
            for text in group.iter(f"{NS}text"):
                if text.get("data-field"):
                    end = float(text.get("x", "0")) + 0.602 * 11 * len(text.text or "")
                    assert end <= float(box.get("width", "0")) - 4, text.text


def test_compact_cards_have_the_same_numbers_in_less_height() -> None:
    recording = seed()
    full, compact = draw(recording), draw(recording, density="compact")
    for group in [each for each in by(full) if each.get("class") in ("node op", "node op root", "node leaf", "edge")]:
        node, edge = group.get("data-node"), group.get("data-edge")
        other = the(compact, node=node) if node else the(compact, edge=edge)
        for name in ("value", "grad") if node else ("grad",):
            assert field(group, name) == field(other, name)
    factors = [{text.text for text in each.iter(f"{NS}text") if "factor" in text.get("class", "")} for each in (full, compact)]
    assert factors[0] == factors[1]
    assert float(compact.get("height", "0")) < 0.75 * float(full.get("height", "0"))


def test_a_wide_graph_has_full_cards() -> None:
    sketch = Sketch()
    root = sketch.node("AddBackward0", value=1.0, grads=[1.0])
    for name in "ab":
        sketch.edge(root, sketch.node("AccumulateGrad", kind=wire.LEAF, name=name, value=1.0, grads=[1.0]), 1.0)
    recording = sketch.recording()
    assert ET.tostring(draw(recording, density="compact")) == ET.tostring(draw(recording))


def test_a_picture_of_a_structure_has_no_numbers_and_its_caption_explains_why() -> None:
    root = ET.fromstring(asyncio.run(picture.render_graph(seed(), 0, "svg")))
    assert "No backward pass is shown" in texts(root)
    assert not [text for text in root.iter(f"{NS}text") if text.get("data-field")]
    assert {path.get("class") for path in shafts(root)} == {"shaft s-ink-3"}


def test_a_picture_for_a_page_has_neither_background_nor_key() -> None:
    root = draw(seed(), standalone=False)
    assert not [group for group in root.iter(f"{NS}g") if group.get("class") == "key"]
    assert [child.tag for child in root] == [f"{NS}g"]


def test_tensors_of_every_dtype_can_be_drawn() -> None:
    sketch = Sketch()
    root = sketch.node("A", value=[[]], grads=[[]])
    for dtype, value in (("bool", [True, False]), ("int64", 2**62), ("complex64", [1 + 2j]), ("bfloat16", [[1.0] * 8] * 8)):
        at = sketch.node("B", value=value, grads=[value], dtype=dtype)
        sketch.edge(root, at, value, dtype=dtype)
    root_group = the(draw(sketch.recording()), node="n0")
    assert field(root_group, "value") == "[]"
