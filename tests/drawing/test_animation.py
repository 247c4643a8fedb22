"""Animations are well-formed SVG whose pictures are shown one after another."""

from __future__ import annotations

from xml.etree import ElementTree

from tapedeck.drawing import animation

SVG = "{http://www.w3.org/2000/svg}"
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" class="graph" width="{0}" height="50" viewBox="0 0 {0} 50">'
    '<g class="edge" data-edge="e0" data-source="n0" data-target="n1"></g>'
    '<g class="node op" data-node="n0"></g><g class="node leaf" data-node="n1"></g><g class="node op" data-node="n2"></g></svg>'
)


def test_each_picture_is_shown_once_and_for_as_long_as_the_others() -> None:
    root = ElementTree.fromstring(
        animation.animate([(PICTURE.format(width), f"step <{width}>") for width in (90, 100, 80)], "dark")
    )
    assert (root.get("width"), root.get("height")) == ("100", str(50 + animation.CAPTION))
    frames = root.findall(f"{SVG}g")
    assert [frame.findtext(f"{SVG}text") for frame in frames] == ["step <90>", "step <100>", "step <80>"]
    spans = []
    for frame in frames:
        timed = frame.find(f"{SVG}animate")
        assert timed is not None
        times = [float(time) for time in (timed.get("keyTimes") or "").split(";")]
        values = (timed.get("values") or "").split(";")
        assert times[0] == 0
        assert len(times) == len(values)
        start = times[values.index("visible")]
        spans.append(
            (start, next((at for at, value in zip(times, values, strict=True) if at > start and value == "hidden"), 1.0))
        )
    assert spans == [(0.0, 0.2), (0.2, 0.4), (0.4, 1.0)]
    assert [frame.get("visibility") for frame in frames] == [None, "hidden", "hidden"]


def test_a_single_picture_does_not_move() -> None:
    assert "<animate" not in animation.animate([(PICTURE.format(10), "step 0")], "light")


def test_the_nodes_of_a_pass_appear_in_the_order_in_which_they_ran() -> None:
    root = ElementTree.fromstring(animation.animate_pass(PICTURE.format(10), ["n0", "n1"]))
    starts = []
    for part in root:
        timed = part.find(f"{SVG}animate")
        starts.append(None if timed is None else (timed.get("keyTimes"), timed.get("values")))
    assert starts == [("0;0.1000", "0.12;1"), ("0;0.0000", "1;1"), ("0;0.2000", "0.12;1"), None]
