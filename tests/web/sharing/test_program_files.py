"""A run that is exported and posted again gives the same notebook and the same picture, byte for byte."""

from __future__ import annotations

import asyncio
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from tapedeck.drawing import animation
from tapedeck.drawing.conversion import size
from tapedeck.web.sharing import animations, program_files

from ...handmade_events import fit
from ..api.test_replays import FIT, InProcess
from ..conftest import Serve

pytestmark = pytest.mark.anyio
TITLE = "# Fit a line\n\nThe slope is *m*."
NOTEBOOK: dict[str, Any] = {
    "nbformat": 4,
    "cells": [
        {"cell_type": "markdown", "source": [TITLE]},
        {"cell_type": "code", "source": "%matplotlib inline\nimport torch\nprint('hello')", "execution_count": 3},
        {"cell_type": "markdown", "source": 7},
        {"cell_type": "raw", "source": "left out"},
        {"cell_type": "code", "source": FIT + "m", "metadata": {"name": "training"}, "execution_count": 12},
        {"cell_type": "markdown", "source": "The end."},
    ],
}


async def post(client: httpx.AsyncClient, **body: Any) -> str:
    answer = await client.post("/api/v1/runs", **body)
    assert answer.status_code == 201, answer.text
    return f"/api/v1/runs/{answer.json()['id']}"


async def test_a_notebook_makes_the_round_trip(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        first = await post(client, json={"notebook": NOTEBOOK, "title": "my fit.ipynb"})
        exported = await client.get(f"{first}/notebook.ipynb")
        assert exported.headers["content-disposition"] == 'attachment; filename="my-fit.ipynb"'
        document = exported.json()
        kinds = [cell["cell_type"] for cell in document["cells"]]
        assert kinds == ["markdown", "code", "code", "markdown"]
        title, hello, training, end = document["cells"]
        assert (title["source"], end["source"]) == (TITLE, "The end.")
        assert (hello["execution_count"], hello["source"].split("\n")[0]) == (3, "# %matplotlib inline")
        assert hello["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "hello\n"}]
        assert (training["execution_count"], training["metadata"]) == (12, {"name": "training"})
        value, picture = training["outputs"]
        assert value["data"]["text/plain"].startswith("tensor(")
        svg = (await client.get(f"{first}/passes/3/graph.svg")).text
        assert picture["data"]["image/svg+xml"] == svg
        assert picture["data"]["image/png"].startswith("iVBOR")

        second = await post(
            client,
            content=exported.content,
            headers={"Content-Type": "application/x-ipynb+json"},
            params={"title": "my fit.ipynb"},
        )
        assert (await client.get(f"{second}/notebook.ipynb")).content == exported.content
        assert (await client.get(f"{second}/passes/3/graph.svg")).text == svg
        cells = (await client.get(second)).json()["cells"]
        assert [(cell["markdown"], cell["markdown_below"], cell["name"], cell["number"]) for cell in cells] == [
            ([TITLE], [], "", 3),
            ([], ["The end."], "training", 12),
        ]


async def test_a_program_makes_the_round_trip(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        first = await post(client, json={"program": FIT})
        exported = await client.get(f"{first}/program.py")
        assert (exported.text, exported.headers["content-type"]) == (FIT, "text/x-python; charset=utf-8")
        second = await post(client, content=exported.content, headers={"Content-Type": "text/x-python"})
        svg, again = [(await client.get(f"{run}/passes/3/graph.svg")).content for run in (first, second)]
        assert svg == again
        assert (await client.get(f"{second}/notebook.ipynb")).json()["cells"][0]["source"] == FIT.rstrip("\n")


async def test_the_training_and_the_pass_of_a_step_are_played(serve: Serve) -> None:
    async with serve(executor=InProcess()) as client:
        run = await post(client, json={"program": FIT})
        training = await client.get(f"{run}/animation.svg")
        assert training.headers["content-type"] == "image/svg+xml"
        assert [f"step {step} · loss" in training.text for step in range(5)] == [True, True, True, True, False]
        one = await client.get(f"{run}/animation.svg", params={"step": 2, "theme": "dark"})
        nodes = (await client.get(f"{run}/passes/2")).json()["order"]
        assert one.text.count("<animate") >= len(nodes)
        assert (await client.get(f"{run}/animation.svg", params={"step": 9})).status_code == 404
        wide, high = size((await client.get(f"{run}/passes/3/graph.svg?direction=LR")).text)
        sideways = await client.get(f"{run}/animation.svg", params={"direction": "LR"})
        assert size(sideways.text) == (wide, high + animation.CAPTION)
        assert (await client.get(f"{run}/animation.svg", params={"direction": "XY"})).status_code == 422


async def test_a_large_animation_has_fewer_steps(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "BYTES", 60_000)
    async with serve(fit(30)) as client:
        run = await post(client, json={"program": "…"})
        found = (await client.get(f"{run}/animation.svg")).text
        steps = [int(step) for step in re.findall(r">step (\d+)", found)]
        assert (steps[0], steps[-1]) == (0, 29)
        assert len(found) <= 70_000 < 30 * len(found) // len(steps)


async def test_an_animation_is_a_png_and_with_ffmpeg_a_video(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with serve(fit(3)) as client:
        run = await post(client, json={"program": "…"})
        moving = await client.get(f"{run}/animation.png")
        assert moving.headers["content-type"] == "image/apng"
        assert (moving.content.count(b"acTL"), moving.content.count(b"fcTL")) == (1, 3)
        beats = await client.get(f"{run}/animation.png", params={"step": 1})
        order = (await client.get(f"{run}/passes/1")).json()["order"]
        assert beats.content.count(b"fcTL") == len(order)
        monkeypatch.setenv("PATH", str(tmp_path))
        absent = await client.get(f"{run}/animation.mp4")
        assert (absent.status_code, "ffmpeg is not installed" in absent.json()["detail"]) == (404, True)
        ffmpeg = tmp_path / "ffmpeg"
        ffmpeg.write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/cp "${last%mp4}png" "$last"\n')
        ffmpeg.chmod(0o755)
        video = await client.get(f"{run}/animation.mp4")
        assert (video.headers["content-type"], video.content) == ("video/mp4", moving.content)
        ffmpeg.write_text("#!/bin/sh\necho Unknown decoder >&2; exit 1\n")
        failed = await client.get(f"{run}/animation.mp4", params={"theme": "dark"})
        assert (failed.status_code, "Unknown decoder" in failed.json()["detail"]) == (500, True)


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffmpeg and ffprobe")
async def test_ffmpeg_writes_a_video_that_begins_with_its_index(serve: Serve, tmp_path: Path) -> None:
    async with serve() as client:
        run = await post(client, json={"program": "m"})
        moving = await client.get(f"{run}/animation.png")
        video = await client.get(f"{run}/animation.mp4")
    assert video.status_code == 200, video.text
    assert video.content.index(b"moov") < video.content.index(b"mdat")
    file = tmp_path / "animation.mp4"
    file.write_bytes(video.content)
    asked = ["-show_entries", "stream=codec_name,width,height:format=duration", "-of", "csv=p=0", str(file)]
    probed = subprocess.check_output(["ffprobe", "-v", "error", *asked], text=True)
    codec, width, height, seconds = probed.replace("\n", ",").split(",")[:4]
    png_width, png_height = struct.unpack(">II", moving.content[16:24])
    assert (codec, int(width), int(height)) == ("h264", png_width + png_width % 2, png_height + png_height % 2)
    frames = [struct.unpack(">HH", each[20:24]) for each in re.split(rb"fcTL", moving.content)[1:]]
    assert float(seconds) == pytest.approx(sum(over / (under or 100) for over, under in frames), abs=0.5)


@pytest.mark.parametrize("name", ["animation.svg", "animation.svg?step=0", "notebook.ipynb"])
async def test_a_file_of_a_run_is_made_once_and_in_turn(serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    drawn = at_once = most = 0
    draw = animations.draw

    async def counted(*args: Any) -> Any:
        nonlocal drawn, at_once, most
        drawn, at_once = drawn + 1, at_once + 1
        most = max(most, at_once)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            return await draw(*args)
        finally:
            at_once -= 1

    monkeypatch.setattr(animations, "draw", counted)
    monkeypatch.setattr(program_files, "draw", counted)
    async with serve() as client:
        run = await post(client, json={"program": "m"})
        answers = await asyncio.gather(*(client.get(f"{run}/{name}") for _ in range(6)))
        assert {answer.status_code for answer in answers} == {200}
        once, most_at_once = drawn, most
        assert most_at_once <= 2, "two files are made at a time"
        tag = answers[0].headers["etag"]
        assert (await client.get(f"{run}/{name}", headers={"If-None-Match": tag})).status_code == 304
        assert (await client.get(f"{run}/{name}")).content == answers[0].content
        assert drawn == once
        assert once <= 2 * 3, "the callers that waited get the file that was made meanwhile"


async def test_an_animation_of_large_pictures_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animations, "LARGEST", 1_000)
    async with serve() as client:
        run = await post(client, json={"program": "m"})
        answer = await client.get(f"{run}/animation.svg")
        assert (answer.status_code, "play one step" in answer.json()["detail"]) == (413, True)
