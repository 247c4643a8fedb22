"""Every picture format, also on a machine without fonts."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from tapedeck.drawing import conversion, engine, picture, style
from tapedeck.drawing.conversion import size
from tapedeck.errors import DrawingError, InvalidInput, NotFound, TooLarge
from tapedeck.model import Graph
from tapedeck.recording import MemoryLog, Recording
from tapedeck.wire import LEAF, GraphEvent, ParameterRow, StepEvent

from .handmade import SEED, Sketch, Table, chain, seed

pytestmark = pytest.mark.anyio


def pixels(png: bytes, most: int = 10_000) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Decode the first rows of a PNG, as height × width × channels."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    width = height = channels = 0
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8
            channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
        elif kind == b"IDAT":
            data += body
        at += length + 12
    raw = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    raw = raw[:most]
    rows = np.zeros((len(raw), width * channels), np.uint8)
    before = np.zeros(width * channels, np.int32)
    for row, line in enumerate(raw):
        before = rows[row] = unfilter(int(line[0]), line[1:].astype(np.int32), before.astype(np.int32), channels)
    return rows.reshape(len(raw), width, channels)


def unfilter(kind: int, line: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Undo a PNG filter."""
    if kind == 0:
        return line.astype(np.uint8)
    if kind == 2:
        return ((line + above) & 255).astype(np.uint8)
    out = [0] * step + [0] * len(line)
    over = [0] * step + above.tolist()
    for at, value in enumerate(line.tolist()):
        left, up, corner = out[at], over[at + step], over[at]
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            toward = left + up - corner
            guess = min((left, up, corner), key=lambda one: abs(toward - one))
        out[at + step] = (value + guess) & 255
    return np.array(out[step:], np.uint8)


def step(before: float | None) -> StepEvent:
    """Return a step with one pass, before which the parameter had the gradient ``before``."""
    table = Table()
    row = ParameterRow(0, "w", -1, -1, table.add(before), -1, -1)
    return StepEvent(0, None, [], [], [], [], [], 0, [0], -1, None, [row], [], None, table.pack())


def colour(text: str) -> list[int]:
    return [int(text[at : at + 2], 16) for at in (1, 3, 5)]


async def test_every_format_has_a_media_type_and_its_first_bytes() -> None:
    begins = {"svg": b"<svg ", "png": b"\x89PNG", "pdf": b"%PDF-", "dot": b"digraph g0 {", "txt": b"step 0, pass 0"}
    assert set(begins) == set(picture.FORMS) == set(picture.MEDIA)
    for form, first in begins.items():
        assert (await picture.render(seed(), 0, form)).startswith(first)
        assert await picture.render_graph(seed(), 0, form)


async def test_a_png_has_twice_the_pixels_of_the_svg() -> None:
    width, height = size((await picture.render(seed(), 0, "svg")).decode())
    image = await picture.render(seed(), 0, "png")
    wide, high = struct.unpack(">II", image[16:24])
    assert abs(high - 2 * height) <= 2
    assert wide >= 2 * width  # a PNG has a wider font, and thus a wider key


@pytest.mark.parametrize("density", [144.0, 100.0])
@pytest.mark.parametrize("sides", [(438.17, 571.03), (437.85, 571.15), (300.3, 300.4), (260.0, 612.5)])
def test_a_png_has_every_row_and_column_of_the_svg_once(
    sides: tuple[float, float], density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "DENSITY", density)
    wide, high = sides
    diagonal = f'<path d="M0 0L{wide} {high}" stroke="#000" stroke-width="40"/>'
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}">{diagonal}</svg>'
    )
    image = pixels(conversion.convert(drawn, "png"))
    assert image.shape[:2] == (int(high * density / 72), int(wide * density / 72))
    inked = image[..., 3] / 255
    for ink, grows in ((inked, wide / high), (inked.T, high / wide)):
        places = (ink * np.arange(ink.shape[1])).sum(axis=1) / ink.sum(axis=1)  # of the middle of the line, in each row
        inner = np.diff(places[150:-150])  # further out, the line is cut by the margin
        assert np.abs(inner - grows).max() < 0.3 * min(1, grows)


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_png_has_the_colours_of_its_theme(theme: style.Theme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "DENSITY", 50.0)  # decoding is slow here
    image = pixels(await picture.render(seed(), 0, "png", theme=theme))
    assert image[0, 0, :3].tolist() == colour(style.THEMES[theme]["bg"])
    for token in ("param-fill", "param-tint", "surface"):
        away = np.abs(image[..., :3].astype(int) - colour(style.THEMES[theme][token])).sum(axis=2)
        assert (away < 12).sum() > 50, token


async def test_a_png_has_text_on_a_machine_without_fonts() -> None:
    """A process that finds no font gives the same PNG, because typst's wheel has fonts."""
    made = await picture.render(seed(), 0, "png")
    name = pixels(made, 80)[44:80, 180:560, :3].astype(int).sum(axis=2)  # the area of the root's title
    assert (name < 250).sum() > 300
    code = (
        "import sys, asyncio; sys.path.insert(0, sys.argv[1]); import importlib;"
        "package = importlib.import_module('tests.drawing.handmade');"
        "from tapedeck.drawing import picture;"
        "sys.stdout.buffer.write(asyncio.run(picture.render(package.seed(), 0, 'png')))"
    )
    root = Path(__file__).parent.parent.parent
    bare = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        env={"PATH": "", "HOME": "/nonexistent", "FONTCONFIG_FILE": "/nonexistent", "XDG_DATA_DIRS": "/nonexistent"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert bare.stdout == made


async def test_a_pdf_embeds_its_fonts() -> None:
    made = await picture.render(seed(), 0, "pdf")
    assert b"DejaVuSansMono" in made
    assert b"FontFile" in made


async def test_pictures_are_the_same_bytes_every_time() -> None:
    for form in picture.FORMS:
        assert await picture.render(seed(), 0, form) == await picture.render(seed(), 0, form), form


async def test_a_name_with_letters_that_the_embedded_font_lacks_can_be_drawn() -> None:
    sketch = Sketch()
    sketch.node("AddBackward0", name="損失", value=1.0, grads=[1.0])
    assert (await picture.render(sketch.recording(), 0, "png")).startswith(b"\x89PNG")


async def test_a_very_long_picture_has_a_lower_density() -> None:
    image = await picture.render(chain(120).recording(), 0, "png")
    width, height = struct.unpack(">II", image[16:24])
    assert max(width, height) <= conversion.LARGEST_SIDE + 1


@pytest.mark.parametrize(
    ("options", "where"),
    [({"form": "gif"}, "form"), ({"theme": "blue"}, "theme"), ({"direction": "RL"}, "direction")],
)
async def test_an_unknown_option_is_an_error_that_lists_the_choices(options: dict[str, str], where: str) -> None:
    given = {"form": "svg"} | options
    with pytest.raises(InvalidInput, match="use one of ") as caught:
        await picture.render(seed(), 0, given.pop("form"), **given)  # type: ignore[arg-type]
    assert caught.value.where == where


async def test_a_missing_pass_or_graph_is_not_found() -> None:
    with pytest.raises(NotFound):
        await picture.render(seed(), 1, "svg")
    with pytest.raises(NotFound):
        await picture.render_graph(seed(), 5, "svg")


async def test_a_step_of_the_same_structure_is_not_laid_out_again() -> None:
    shared = engine.LayoutEngine()
    for norm in (1.0, 2.0, 3.0):
        sketch = Sketch()
        root = sketch.node("SumBackward0", value=norm, grads=[norm])
        sketch.edge(root, sketch.node("AccumulateGrad", kind=1, name="w", value=norm, grads=[norm]), norm)
        await picture.render(sketch.recording(), 0, "svg", engine=shared)
        await picture.render(sketch.recording(), 0, "svg", theme="dark", engine=shared)
    assert shared.attempts == 1


async def test_a_graph_that_is_too_large_has_every_format() -> None:
    recording = chain(700).recording()
    for form in picture.FORMS:
        made = await picture.render(recording, 0, form)
        assert made
    assert b"701 nodes" in await picture.render(recording, 0, "svg")


async def test_a_graph_above_the_limit_is_written_as_dot_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "LONGEST_TEXT", 300)
    recording, threads = chain(300).recording(), []
    export = picture.dot.export
    monkeypatch.setattr(picture.dot, "export", lambda sheet: threads.append(threading.current_thread().name) or export(sheet))
    with pytest.raises(TooLarge, match=r"301 nodes .* request \.dot"):
        await picture.render(recording, 0, "txt")
    drawn = await picture.render(recording, 0, "dot")
    assert drawn.count(b"\tn") == 301 + 300 + 1, "nodes, edges, and what all nodes share"
    assert [name.split("_")[0] for name in threads] == ["large-dot"], "pictures of others do not wait for it"


async def test_a_failed_conversion_raises_a_drawing_error() -> None:
    with pytest.raises(DrawingError, match="PNG"):
        conversion.convert('<svg width="10" height="10" viewBox="0 0 10 10"><broken', "png")


async def test_a_pass_that_adds_to_a_gradient_is_marked() -> None:
    def recording(before: float | None) -> Recording:
        sketch = Sketch()
        root = sketch.node("SumBackward0", value=1.0, grads=[1.0])
        sketch.edge(root, sketch.node("AccumulateGrad", kind=LEAF, name="w", value=1.0, grads=[1.0], parameter=0), 1.0)
        return Recording(MemoryLog([sketch.graph(), sketch.pass_(), step(before)]), "")

    for before, label in ((None, b">w.grad<"), (0.0, b">w.grad<"), (2.5, b">grad +=<")):
        assert label in await picture.render(recording(before), 0, "svg")


async def test_a_recording_whose_step_did_not_end_can_be_drawn() -> None:
    recording = seed()
    assert recording.log.counts()[2] == 0
    assert b"m.grad" in await picture.render(recording, 0, "svg")


async def test_an_empty_graph_can_be_drawn() -> None:
    event = Sketch().graph(roots=[])
    assert isinstance(event, GraphEvent)
    recording = Recording(MemoryLog([event]), SEED)
    assert isinstance(recording.graph(0), Graph)
    for form in picture.FORMS:
        assert await picture.render_graph(recording, 0, form)


def test_rendering_works_without_a_running_loop() -> None:
    assert asyncio.run(picture.render(seed(), 0, "txt")).startswith(b"step 0")
