"""Test that a lesson is a complete article without JavaScript, and what its page gives to the script."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from tapedeck.errors import Busy
from tapedeck.lessons.answers.numbers import LessonNumbers
from tapedeck.lessons.reading.reader import read

from ...fake_executor import FakeExecutor
from ...handmade_events import fit
from ..conftest import Serve
from ..pages.test_pages import HTML, state_of

pytestmark = pytest.mark.anyio

SAMPLE = Path(__file__).parents[2] / "lessons" / "sample.md"
FIXED = "<b>&lt;fixed&gt;</b>"


@pytest.fixture(autouse=True)
def one_lesson(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve one lesson instead of Tapedeck's own."""
    text = SAMPLE.read_text().replace("% note: let them", f"% note: {FIXED} let them")
    monkeypatch.setattr("tapedeck.lessons.library.own", lambda: (read(text),))


@pytest.fixture
async def reader(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server whose programs all have the same recording."""
    async with serve() as client:
        yield client


async def recorded_page(reader: httpx.AsyncClient) -> str:
    """Return the page of the lesson once its programs are recorded. A request waits only a moment for them."""
    for _ in range(200):
        page = (await reader.get("/lessons/step", headers=HTML)).text
        if not state_of(page)["waiting"]:
            return page
    pytest.fail("The programs of the lesson were never recorded.")


def article_of(page: str) -> str:
    found = re.search(r"<article.*</article>", page, re.DOTALL)
    assert found
    return found[0]


async def test_the_page_has_the_picture_of_the_first_view_before_its_script_loads_the_stage(reader: httpx.AsyncClient) -> None:
    page = await recorded_page(reader)
    picture = re.search(r'<div class="placeholder" aria-hidden="true">\s*(<svg .*?</svg>)\s*</div>', page, re.DOTALL)
    assert picture
    assert "Backward graph of loss" in picture[1]


async def test_a_link_to_a_lesson_has_a_card_with_its_graph_and_without_gradients(reader: httpx.AsyncClient) -> None:
    page = await recorded_page(reader)
    assert '<meta property="og:title" content="One step, and why it must be in place">' in page
    picture = re.search(r'<meta property="og:image" content="http://testserver(/[^"]*)">', page)
    assert picture
    assert (await reader.get(picture[1])).content[:4] == b"\x89PNG"
    drawn = (await reader.get(picture[1].replace(".png", ".svg"))).text
    assert "loss" in drawn
    assert ">grad<" not in drawn


async def test_a_lesson_is_an_article_with_answers_solutions_and_pictures(reader: httpx.AsyncClient) -> None:
    page = await recorded_page(reader)
    article = article_of(page)
    plain = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", article)))
    assert "<h1>One step, and why it must be in place</h1>" in article
    assert "Work out m.grad by hand" in plain
    # a number has the text of the file, the nodes that it speaks of, and the colour of gradients
    assert re.search(
        r'<data class="num of-grad" data-number="\d+" data-nodes="\[&#34;m \* x&#34;\]" value="[^"]+">−0.6667', article
    )
    assert '<code class="param">m</code>' in article
    # every answer and every solution is in a closed detail
    details = [unescape(re.sub(r"<[^>]+>", "", each)) for each in re.findall(r"<details.*?</details>", article, re.DOTALL)]
    assert any("−9.3333" in each and "If you said −4.0000" in each for each in details)
    assert any("dm = (2 * (m * x - y) * x).mean()" in each for each in details)
    assert any("m -= 0.01 * m.grad" in each for each in details)
    # what one sees at a dragged value
    assert "Every edge reads" in plain
    # pictures have words, and show a recording of this server
    pictures = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', article)
    assert pictures
    assert all(words.startswith("The backward graph of loss: ") for _, words in pictures)
    assert (await reader.get(unescape(pictures[0][0]))).headers["content-type"] == "image/svg+xml"


async def test_notes_for_the_presenter_are_hidden_and_all_text_is_escaped(reader: httpx.AsyncClient) -> None:
    article = article_of(await recorded_page(reader))
    note = re.search(r'<aside class="note" hidden>(.*?)</aside>', article)
    assert note
    assert unescape(note[1]).startswith(FIXED)
    assert FIXED not in article


async def test_the_script_gets_each_recording_and_what_each_passage_shows(reader: httpx.AsyncClient) -> None:
    page = await recorded_page(reader)
    state = state_of(page)
    assert state["lesson"] == "step"
    assert {name: run["status"] for name, run in state["runs"].items()} == {"fit": "done", "train": "done"}
    assert state["runs"]["fit"]["cells"][1]["start_line"] == 6
    views: list[dict[str, Any]] = [json.loads(unescape(each)) for each in re.findall(r"data-view='([^']*)'", page)]
    assert [view["recording"] for view in views] == ["fit", "fit", "fit", "train"]  # of a passage and of three tasks
    assert (views[0]["focus"], views[0]["select"]) == (["loss", "m * x"], "loss")
    assert views[2]["panes"] == ["surface"]  # beside the number to drag
    assert re.search(r'data-task="drag" [^>]*data-low="0.0" data-high="4.0" data-step="0.1" data-value="1.0"', page)
    # the parts in the list are in the article
    anchors = re.findall(r'<li[^>]*><a href="#([^"]+)">', page)
    assert len(anchors) >= 6
    assert all(f'id="{anchor}"' in page for anchor in anchors)
    assert re.search(r'data-answer="−9.3333"', page)


async def test_a_dragged_number_has_a_run_and_numbers_that_readers_share(serve: Serve) -> None:
    executor = FakeExecutor(fit())
    async with serve(executor=executor) as client:
        first = await client.get("/api/v1/lessons/step/drag/m?value=1.52")
        assert first.status_code == 200
        answer = first.json()
        assert answer["value"] == 1.5
        assert "m = torch.tensor(1.5, requires_grad=True)" in answer["run"]["program"]
        assert (await client.get(answer["run"]["links"]["self"])).status_code == 200
        ran = len(executor.jobs)
        # the caller's own turns are used, not those in which examples are recorded
        owner = (await client.post("/api/v1/runs", json={"program": "pass"})).json()["owner_key"].partition(".")[0]
        assert (await client.get("/api/v1/lessons/step/drag/m?value=2.5")).status_code == 200
        assert executor.clients[ran + 1 :] == [owner, owner]
        ran = len(executor.jobs)
        assert (await client.get("/api/v1/lessons/step/drag/m?value=1.5")).json() == answer
        assert len(executor.jobs) == ran
        for wrong, status in (("m?value=nan", 422), ("m", 422), ("none?value=1", 404)):
            assert (await client.get(f"/api/v1/lessons/step/drag/{wrong}")).status_code == status


async def test_the_list_of_lessons_names_goals_and_counts_tasks(reader: httpx.AsyncClient) -> None:
    page = (await reader.get("/lessons", headers=HTML)).text
    assert re.search(r'data-lesson="step" data-tasks="5"', page)
    assert "fix a loop that forgets its leaf" in page
    assert 'aria-current="page">Lessons</a>' in page
    missing = await reader.get("/lessons/none", headers=HTML)
    assert missing.status_code == 404
    assert "/lessons lists all of them" in missing.text


async def test_a_server_that_cannot_record_yet_shows_the_article(serve: Serve) -> None:
    executor = FakeExecutor()
    executor.ready = False
    async with serve(executor=executor) as client:
        page = (await client.get("/lessons/step", headers=HTML)).text
    assert state_of(page)["runs"] == {"fit": None, "train": None}
    assert "are being recorded" in page
    assert "−0.6667, −1.3333, −2.0000" in page
    assert "<img" not in article_of(page)


async def test_the_programs_of_a_lesson_run_once_however_often_it_is_visited(serve: Serve) -> None:
    executor = FakeExecutor(fit())
    async with serve(executor=executor) as client:
        await asyncio.gather(*(client.get("/lessons/step", headers=HTML) for _ in range(5)))
        await recorded_page(client)
        ran = len(executor.jobs)
        assert ran <= 4, "two recordings, each for the page and once more with its probes"
        await asyncio.gather(*(client.get("/lessons/step", headers=HTML) for _ in range(5)))
        assert len(executor.jobs) == ran


async def test_a_page_that_met_a_full_queue_is_completed_later(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as client:
        await recorded_page(client)

        async def full(self: LessonNumbers) -> dict[int, str]:
            raise Busy("The queue is full.")

        with monkeypatch.context() as patched:
            patched.setattr(LessonNumbers, "stated", full)
            assert state_of((await client.get("/lessons/step", headers=HTML)).text)["waiting"]
        assert not state_of((await client.get("/lessons/step", headers=HTML)).text)["waiting"]
