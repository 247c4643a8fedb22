"""The exported DOT file."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tapedeck import wire
from tapedeck.drawing import dot, labels, picture, program
from tapedeck.drawing.sheet import Sheet
from tapedeck.recording import Recording

from .handmade import Sketch, seed


def parsed(source: str) -> dict[str, Any]:
    """Return what Graphviz reads from a DOT file, as JSON."""
    done = subprocess.run([program.find(), "-Tdot_json"], input=source.encode(), capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def exported(recording: Recording) -> str:
    return asyncio.run(picture.render(recording, 0, "dot")).decode()


def test_the_export_has_the_ids_and_numbers_of_nodes_and_edges() -> None:
    read = parsed(exported(seed()))
    nodes = {item["name"]: item for item in read["objects"]}
    assert set(nodes) == {f"n{at}" for at in range(7)}
    assert nodes["n4"]["label"] == r"m\lleaf, line 5\lvalue 1.0000\lscalar float32\lm.grad -9.3333\l"
    edges = {item["id"]: item for item in read["edges"]}
    assert edges["e4"]["label"] == " -9.3333"
    assert edges["e5"]["style"] == "dashed"
    assert float(edges["e4"]["penwidth"]) > float(edges["e0"]["penwidth"])


def test_the_export_uses_six_digit_colours_and_no_record_shapes() -> None:
    text = exported(seed())
    assert "record" not in text
    for item in parsed(text)["objects"]:
        assert all(len(item[name]) == 7 for name in ("color", "fillcolor", "fontcolor"))


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_graphviz_reads_back_any_name_unchanged(name: str) -> None:
    sketch = Sketch()
    sketch.edge(sketch.node(name, name=name), sketch.node("AccumulateGrad", kind=wire.LEAF, name=name), 1.0)
    read = parsed(dot.export(Sheet(sketch.recording().graph(0))))
    assert [item["name"] for item in read["objects"]] == ["n0", "n1"]
    label = read["objects"][1]["label"]
    assert label == (labels.clean(name) or "leaf").replace("\\", "\\\\") + "\\lleaf\\l"
    assert len(read["edges"]) == 1


def test_a_label_is_never_read_as_html() -> None:
    sketch = Sketch()
    sketch.node("<b>bold</b>", name="<table>")
    label = parsed(dot.export(Sheet(sketch.recording().graph(0))))["objects"][0]["label"]
    assert label.startswith("<table>\\l<b>bold</b>\\l")
