"""Tests of the picture of a map that Graphviz lays out, with nested frames, for models of many shapes."""

from __future__ import annotations

import asyncio
import re
import xml.etree.ElementTree as ET
from functools import cache
from typing import Any, Final

import pytest
from msgspec.structs import replace
from tapedeck.drawing import dot, picture
from tapedeck.drawing.conversion import ThreadConverter
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.lanes import MOST_LANES
from tapedeck.drawing.map_graph import MOST_LINKS, WIDEST, is_hard_to_read, plan_map
from tapedeck.drawing.map_parts import MARGIN
from tapedeck.drawing.plan import LayoutPlan
from tapedeck.errors import DrawingError, InvalidInput
from tapedeck.map.read import read_map
from tapedeck.model import GraphMap, MapBox, MapEdge, MapFrame, MapNorm
from tapedeck.recording import Recording

from ..tracer.run_twice import record
from .golden_maps import golden, path_of
from .map_programs import MODELS

NS = "{http://www.w3.org/2000/svg}"
PATIENT: Final = {"nested": 120.0, "seconds": 120.0}
"""Time limits that a layout does not reach on a busy machine."""
engine: Final = LayoutEngine(**PATIENT)

Rect = tuple[float, float, float, float]


@cache
def recording_of(name: str) -> Recording:
    return record(MODELS[name])[1]


def last_pass(recording: Recording) -> int:
    return recording.log.counts()[1] - 1


def shown_of(name: str, **options: Any) -> GraphMap:
    recording = recording_of(name)
    index = last_pass(recording)
    return read_map(recording, recording.log.pass_(index).graph, index, **options)


def drawn(name: str, **look: Any) -> ET.Element:
    recording = recording_of(name)
    look = {"view": shown_of(name).view, "layout": "graph", "engine": engine, **look}
    return ET.fromstring(asyncio.run(picture.render(recording, last_pass(recording), "svg", **look)))


def groups(root: ET.Element, name: str) -> list[ET.Element]:
    return [group for group in root.iter(f"{NS}g") if name in (group.get("class") or "").split()]


def rects(root: ET.Element, name: str) -> dict[str, Rect]:
    """Return the left, top, right and bottom of each box or frame."""
    found = {}
    for group in groups(root, name):
        rect = group.findall(f"{NS}rect")[-1 if name == "frame" else 0]
        rect = next(each for each in group.findall(f"{NS}rect") if each.get("rx") and not (name == "box" and each.get("x")))
        x, y = (float(rect.get(side) or 0) for side in ("x", "y"))
        if moved := re.fullmatch(r"translate\((\S+) (\S+)\)", group.get("transform") or ""):
            x, y = x + float(moved[1]), y + float(moved[2])
        found[group.get("data-group") or ""] = (x, y, x + float(rect.get("width") or 0), y + float(rect.get("height") or 0))
    return found


def inside(inner: Rect, outer: Rect) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def apart(one: Rect, other: Rect) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", MODELS)
def test_boxes_are_nested_in_their_frames_and_apart_from_others(name: str, theme: str) -> None:
    shown = shown_of(name)
    root = drawn(name, theme=theme)
    assert (root.get("data-layout"), root.get("data-view")) == ("graph", shown.view)
    boxes, frames = rects(root, "box"), rects(root, "frame")
    assert list(boxes) == [box.id for box in shown.boxes]
    assert frames.keys() == {frame.id for frame in shown.frames}
    around = {frame.id: frame.parent for frame in shown.frames}
    for box in shown.boxes:
        frame = box.frame
        while frame is not None:
            assert inside(boxes[box.id], frames[frame])
            frame = around[frame]
    placed = list(boxes.values())
    assert all(apart(one, other) for index, one in enumerate(placed) for other in placed[:index])
    size = float(root.get("width") or 0), float(root.get("height") or 0)
    assert all(inside(rect, (0, 0, *size)) for rect in (*placed, *frames.values()))


@pytest.mark.parametrize("name", MODELS)
def test_every_edge_is_drawn_downwards_with_its_count_and_norm(name: str) -> None:
    shown = shown_of(name)
    root = drawn(name)
    links = {(link.get("data-source"), link.get("data-target")): link for link in groups(root, "link")}
    assert links.keys() == {(edge.source, edge.target) for edge in shown.edges}
    boxes = rects(root, "box")
    for edge in shown.edges:
        assert boxes[edge.source][1] < boxes[edge.target][1]
        title = links[edge.source, edge.target].findtext(f"{NS}title") or ""
        assert (f"{edge.count:,} edges" in title) == (edge.count > 1)
        assert ("about" in title) == (not edge.norm.exact)


NUMERIC: Final = ("data-field", "data-turns")
"""Attributes of elements that show numbers, which differ a little between processors."""


def parts(text: str) -> tuple[list[str], list[float]]:
    """Return the elements of a picture with their texts and attributes, and the numbers that depend on gradients."""
    structure, numbers = [], []
    for each in ET.fromstring(text).iter():
        attributes = dict(each.attrib)
        shown = [each.text or ""] if each.tag.endswith(("text", "title")) else []
        if any(name in each.attrib for name in NUMERIC) or each.get("class", "").startswith("shaft"):
            shown += [attributes.pop(name, "") for name in ("width", "stroke-width", "d", "class", "stroke", "fill")]
        digits = re.compile(r"[0-9][0-9.]*(e[-−]?[0-9]+)?")
        if any(name in each.attrib for name in NUMERIC) or "gradient" in (each.text or ""):
            numbers += [float(found[0].rstrip(".").replace("−", "-")) for each_ in shown for found in digits.finditer(each_)]
            shown = [digits.sub("#", text) for text in shown]
        structure.append(f"{each.tag} {attributes} {shown[:1] if each.tag.endswith(('text', 'title')) else ''}")
    return structure, numbers


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", MODELS)
def test_the_picture_is_the_one_that_was_looked_at(name: str, theme: Any) -> None:
    expected, found = (parts(text) for text in (path_of(name, theme).read_text(), golden(recording_of(name), theme, engine)))
    remedy = "look at the new picture, then write it with `python -m tests.drawing.golden_maps`"
    assert found[0] == expected[0], remedy
    assert found[1] == pytest.approx(expected[1], rel=0.02, abs=0.2), remedy


@pytest.mark.parametrize("layout", ["graph", "rows"])
@pytest.mark.parametrize("name", MODELS)
def test_a_shared_leaf_has_one_card_with_its_gradient_and_stubs_elsewhere(name: str, layout: str) -> None:
    shown = shown_of(name)
    root = drawn(name, layout=layout)
    names = {leaf.node: leaf for leaf in shown.leaves}
    cards = [group for group in groups(root, "leaf") if "stub" not in (group.get("class") or "")]
    nodes = [card.get("data-node") for card in cards]
    assert len(nodes) == len(set(nodes))
    assert {group.get("data-node") for group in groups(root, "leaf")} <= names.keys()
    assert bool(nodes) == bool(shown.leaves)
    for group in groups(root, "leaf"):
        numbers = [text for text in group.iter(f"{NS}text") if text.get("data-field") == "grad"]
        assert len(numbers) == (group in cards)
        assert names[group.get("data-node") or ""].name in (group.findtext(f"{NS}title") or "")
    width = float(root.get("width") or 0)
    placed = [leaf_rect(group) for group in groups(root, "leaf")] + list(rects(root, "box").values())
    assert all(apart(one, other) for index, one in enumerate(placed) for other in placed[:index])
    assert all(rect[2] <= width for rect in placed)


def leaf_rect(group: ET.Element) -> Rect:
    moved = re.fullmatch(r"translate\((\S+) (\S+)\)", group.get("transform") or "")
    assert moved
    x, y = float(moved[1]), float(moved[2])
    return x, y, x + float(group[1].get("width") or 0), y + float(group[1].get("height") or 0)


def test_boxes_count_the_shared_leaves_that_are_not_drawn_at_them() -> None:
    (loop,) = [frame.id for frame in shown_of("one weight").frames if frame.kind == "loop"]
    texts = ["".join(text.itertext()) for text in drawn("one weight", view=loop).iter(f"{NS}text")]
    assert texts.count("4, 1 shared") == 5  # the turns, each with its use of the weight
    assert "3" in texts  # the first turn has the card


def views(name: str) -> dict[str, str]:
    """Return the first view, and one in which a group of it is open."""
    first = shown_of(name)
    opened = [box.view for box in first.boxes if box.view is not None]
    return {"first": first.view, "opened": opened[len(opened) // 2] if opened else first.view}


@pytest.mark.parametrize("name", MODELS)
def test_the_first_picture_is_readable_in_a_pane(name: str) -> None:
    root = drawn(name, layout="auto", standalone=False)
    assert float(root.get("width") or 0) <= WIDEST + 2 * MARGIN
    assert float(root.get("height") or 0) <= 1_200


@pytest.mark.parametrize("name", MODELS)
def test_the_first_view_is_small_and_opens(name: str) -> None:
    for view in views(name).values():
        root = drawn(name, view=view)
        assert len(rects(root, "box")) <= 60
        assert float(root.get("width") or 0) <= 3_000


def test_equal_programs_have_equal_pictures() -> None:
    recording = record(MODELS["unet"])[1]
    again = asyncio.run(
        picture.render(recording, 0, "svg", layout="graph", view=shown_of("unet").view, engine=LayoutEngine(**PATIENT))
    )
    assert ET.tostring(ET.fromstring(again)) == ET.tostring(drawn("unet"))


def test_the_picture_for_a_page_has_no_ground_and_the_page_colours_it() -> None:
    root = drawn("unet", standalone=False)
    assert not groups(root, "key")
    assert float(root.get("width") or 0) < float(drawn("unet").get("width") or 0)


@pytest.mark.parametrize(("name", "layout"), [("resnet", "rows"), ("transformer 48", "graph"), ("gan", "rows")])
def test_a_tall_or_wide_map_is_drawn_in_rows_if_the_caller_chooses_no_layout(name: str, layout: str) -> None:
    assert drawn(name, layout="auto").get("data-layout") == layout
    assert drawn(name, layout="rows").get("data-layout") == "rows"


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(InvalidInput, match="There is no layout 'tree'"):
        drawn("unet", layout="tree")


class Failing(LayoutEngine):
    async def layout(self, plan: LayoutPlan, client: str = "") -> Any:
        raise DrawingError("stopped")


def test_a_layout_that_fails_is_replaced_by_rows_and_the_reason() -> None:
    root = drawn("unet", engine=Failing())
    assert root.get("data-layout") == "rows"
    assert "in rows, because the layout took too long or failed" in "".join(root.itertext())
    sheet = picture.sheet_of_pass(recording_of("unet"), 0, "svg", view="")
    tools = picture.Tools(Failing(), ThreadConverter())
    assert [asyncio.run(picture.draw(sheet, form, tools)).final for form in ("svg", "png")] == [False, False]


def test_png_and_pdf_have_the_same_layout() -> None:
    recording = recording_of("unet")
    for form, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        made = asyncio.run(picture.render(recording, 0, form, layout="graph", view="", engine=engine))
        assert made.startswith(start)


# ---------------------------------------------------------------------- many edges


def made_by_hand(boxes: int, edges: list[tuple[int, int]], frame: tuple[int, int] | None = None) -> GraphMap:
    norm = MapNorm(1.0)
    drawn_boxes = [
        MapBox(
            f"n{index}", "op", f"op {index}", None, 1, None, f"n{index}",
            "m:a" if frame and frame[0] <= index <= frame[1] else None, None, norm, norm, norm,
        )
        for index in range(boxes)
    ]  # fmt: skip
    drawn_edges = [MapEdge(f"n{source}", f"n{target}", 1, 1, norm, True) for source, target in edges]
    frames = [MapFrame("m:a", "module", "a", None, "")] if frame else []
    return GraphMap("g0", 0, "", boxes, len(edges), drawn_boxes, frames, drawn_edges, [], [])


def every_edge(boxes: int) -> list[tuple[int, int]]:
    return [(source, target) for source in range(boxes) for target in range(source + 1, boxes)]


@pytest.mark.parametrize(("boxes", "longest"), [(20, 19), (30, 8), (40, 4)])
def test_long_edges_of_a_view_with_many_run_in_lanes_beside_the_boxes(boxes: int, longest: int) -> None:
    edges = every_edge(boxes)
    spans = [int(link.target[1:]) - int(link.source[1:]) for link in plan_map(made_by_hand(boxes, edges)).links]
    assert len(spans) <= MOST_LINKS
    assert sorted(spans) == sorted(target - source for source, target in edges if target - source <= longest)


def test_edges_without_a_lane_are_named_at_their_source() -> None:
    from tapedeck.drawing.map_graph import PlacedMap, draw_graph
    from tapedeck.drawing.sheet import Sheet
    from tapedeck.model import Graph

    every = every_edge(30)
    shown = made_by_hand(30, every, (3, 9))
    plan = plan_map(shown)
    laid = asyncio.run(engine.layout(plan))
    root = ET.fromstring(draw_graph(PlacedMap(Sheet(Graph("g0", [], [], [])), shown, plan, laid)))
    links = {(link.get("data-source"), link.get("data-target")) for link in groups(root, "link")}
    assert len(links) > len(plan.links)
    texts = ["".join(text.itertext()) for text in root.iter(f"{NS}text")]
    targets = {target for source, target in every if (f"n{source}", f"n{target}") not in links}
    assert targets
    assert any(text.startswith("→ op") for text in texts)
    lanes = {float(each) for link in groups(root, "link") for each in re.findall(r"H([\d.]+)Q", link[1].get("d") or "")}
    assert 1 < len(lanes) <= MOST_LANES
    assert list(rects(root, "frame")) == ["m:a"]


@pytest.mark.parametrize("layout", ["graph", "rows"])
def test_a_text_that_is_cut_has_a_tooltip_with_the_whole_text(layout: str) -> None:
    from tapedeck.drawing.map_graph import PlacedMap, draw_graph
    from tapedeck.drawing.map_rows import draw_rows
    from tapedeck.drawing.sheet import Sheet
    from tapedeck.model import Graph, MapInput, MapLeaf

    long, norm = "a_module_with_a_name_that_no_box_has_room_for", MapNorm(1.0)
    plain = made_by_hand(30, every_edge(30), (3, 9))
    inputs = [MapInput("n90", "leaf", f"{long}.bias", 1, False)]
    boxes = [replace(box, name=f"{long}.{index}", inputs=inputs) for index, box in enumerate(plain.boxes)]
    leaves = [MapLeaf("n91", "p0", f"{long}.weight", norm, ["n2"], False)]
    shown = replace(plain, boxes=boxes, frames=[replace(plain.frames[0], name=3 * long)], leaves=leaves)
    sheet, plan = Sheet(Graph("g0", [], [], [])), plan_map(shown)
    drawn = draw_rows(sheet, shown)
    if layout == "graph":
        drawn = draw_graph(PlacedMap(sheet, shown, plan, asyncio.run(engine.layout(plan))))
    root, cut = ET.fromstring(drawn), 0
    for group in root.iter(f"{NS}g"):
        around = [title.text or "" for title in group.findall(f"{NS}title")]
        for text in group.findall(f"{NS}text"):
            if (text.text or "").endswith("…"):
                cut += 1
                whole = around + [title.text or "" for title in text.findall(f"{NS}title")]
                assert any((text.text or "")[:-1].split(" + ")[0] in each for each in whole), text.text
    assert cut > 60


def test_a_frame_is_a_cluster_around_its_boxes() -> None:
    plan = plan_map(made_by_hand(4, [(0, 1), (1, 2), (2, 3)], (1, 2)))
    source = dot.boxes(plan)
    cluster = source[source.index("subgraph cluster_f0") : source.index("}")]
    assert re.findall(r"b(\d) \[", cluster) == ["1", "2"]
    laid = asyncio.run(engine.layout(plan))
    assert [frame.key for frame in laid.frames] == ["f0"]
    assert not is_hard_to_read(laid)
    assert is_hard_to_read(asyncio.run(engine.layout(plan_map(made_by_hand(20, [(n, n + 1) for n in range(19)])))))
    wide = asyncio.run(engine.layout(plan_map(made_by_hand(12, []))))
    assert wide.width > WIDEST
    assert is_hard_to_read(wide)
