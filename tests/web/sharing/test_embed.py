"""Test the frame of a run in another page, and the answers that help other sites to make one."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from tapedeck.lessons.reading import reader
from tapedeck.main import create_app
from tapedeck.settings import Settings, SettingsError
from tapedeck.web.pages.teach import LESSON

from ...fake_executor import FakeExecutor, InlineFinder
from ...handmade_events import fit
from ..conftest import Serve
from ..pages.test_pages import HTML, start, state_of

pytestmark = pytest.mark.anyio

HOSTILE = "# \"><script>alert(1)</script> <!-- '\nimport torch\nx = '</script><script>alert(2)</script><!--'\n"


def policy_of(answer: httpx.Response) -> str:
    return next(part for part in answer.headers["content-security-policy"].split("; ") if part.startswith("frame-ancestors"))


async def test_a_frame_is_complete_without_scripts_and_sets_no_cookie(client: httpx.AsyncClient) -> None:
    id = await start(client)
    client.cookies.clear()
    answer = await client.get(f"/embed/{id}?panes=graph,code,inspector&step=1&theme=dark", headers=HTML)
    assert "set-cookie" not in answer.headers
    assert policy_of(answer) == "frame-ancestors *"
    plain = unescape(re.sub(r"<script.*?</script>", "", answer.text, flags=re.DOTALL))
    assert 'data-theme="dark"' in plain
    assert "<svg" in plain
    assert re.search(r'<pre[^>]*>\s*loss = .*mean\(\)<output class="cm-value" title="tensor', plain)
    assert re.search(
        rf'rel="prev" href="/embed/{id}\?panes=graph(,|%2C)code(,|%2C)inspector&theme=dark"', plain
    )  # keeps the panes
    assert re.search(rf'href="/r/{id}\?step=1&theme=dark" target="_blank"', plain)
    assert re.search(r'id="findings"[^>]* hidden', plain)
    assert not re.search(r'id="(program|graph|inspector)"[^>]* hidden', plain)
    state = state_of(answer.text)
    assert (state["run"]["id"], state["step"]["index"]) == (id, 1)


async def test_only_the_frame_may_be_shown_by_the_pages_of_the_setting(serve: Serve) -> None:
    async with serve(embed_in="https://a.example,http://*.b.example:81") as client:
        id = await start(client)
        frame = await client.get(f"/embed/{id}", headers=HTML)
        assert policy_of(frame) == "frame-ancestors 'self' https://a.example http://*.b.example:81"
        assert frame.headers["cross-origin-resource-policy"] == "cross-origin"
        assert frame.headers["x-robots-tag"] == "noindex"
        for path in (f"/r/{id}", "/guide", "/r/none"):
            assert policy_of(await client.get(path, headers=HTML)) == "frame-ancestors 'none'", path


async def test_a_frame_without_a_run_says_why_to_the_reader_of_the_page_around_it(serve: Serve) -> None:
    async with serve(embed_in="https://a.example") as client:
        id = await start(client)
        for path, status, words in (
            ("/embed/none", 404, "There is no such run"),
            (f"/embed/{id}?panes=none", 422, "There is no pane"),
        ):
            answer = await client.get(path, headers=HTML)
            assert (answer.status_code, policy_of(answer)) == (status, "frame-ancestors 'self' https://a.example")
            assert words in unescape(answer.text)
            assert 'http-equiv="refresh"' not in answer.text
            assert 'target="_blank"' in answer.text


async def test_a_frame_of_an_example_that_is_not_recorded_yet_loads_itself_again(serve: Serve, tmp_path: Path) -> None:
    async with serve(folder=tmp_path / "before") as client:
        id = state_of((await client.get("/embed/intro", headers=HTML)).text)["run"]["id"]
    executor = FakeExecutor(fit())
    executor.ready = False
    async with serve(executor=executor, folder=tmp_path / "after") as client:
        frames = [await client.get(path, headers=HTML) for path in ("/embed/intro", f"/embed/{id}", f"/r/{id}")]
        for answer in frames:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
            assert re.search(r'<meta http-equiv="refresh" content="\d+">', answer.text)
            assert "being recorded" in answer.text
        assert policy_of(frames[0]) == "frame-ancestors *"
        executor.ready = True
        assert (await client.get("/embed/intro", headers=HTML)).status_code == 200


async def test_without_pages_in_the_setting_no_page_may_show_a_frame(serve: Serve) -> None:
    async with serve(embed_in="") as client:
        id = await start(client)
        assert policy_of(await client.get(f"/embed/{id}", headers=HTML)) == "frame-ancestors 'none'"
        assert (await client.get("/oembed", params={"url": f"http://testserver/r/{id}"})).status_code == 403


def test_a_setting_that_is_no_origin_is_refused_at_the_start() -> None:
    for wrong in ("course.example", "https://a.example; script-src *", "https://a.example/path", "https://a.example b.example"):
        with pytest.raises(SettingsError, match="TAPEDECK_EMBED_IN"):
            create_app(Settings(data=":memory:", embed_in=wrong), executor=FakeExecutor(), finder=InlineFinder())


async def test_a_frame_names_the_panes_and_curves_that_there_are(client: httpx.AsyncClient) -> None:
    id = await start(client)
    for query, words in (
        ("panes=graph,map", "no pane 'map': use graph, code"),
        ("panes=,", "no pane"),
        ("curve=loss", "use value, grad, update"),
    ):
        answer = await client.get(f"/embed/{id}?{query}")
        assert answer.status_code == 422
        assert words in answer.json()["detail"]


async def test_a_frame_shows_an_example_by_its_name(client: httpx.AsyncClient) -> None:
    answer = await client.get("/embed/intro", headers=HTML)
    assert answer.status_code == 200
    assert 'id="state"' in answer.text
    assert (await client.get("/embed/none", headers=HTML)).status_code == 404


async def test_a_strangers_text_stays_text_in_a_frame_and_in_an_oembed_answer(client: httpx.AsyncClient) -> None:
    id = await start(client, HOSTILE)
    answer = await client.get(f"/embed/{id}?panes=code,findings,inspector", headers=HTML)
    scripts = re.findall(r"<script\b[^>]*>", answer.text)
    assert len(scripts) == 3  # the theme, the page, its state
    assert not re.search(r"alert\(\d\)</script>", answer.text)
    assert "<!--" not in answer.text
    assert state_of(answer.text)["program"] == HOSTILE
    found: dict[str, Any] = (await client.get("/oembed", params={"url": f"http://testserver/r/{id}"})).json()
    assert re.fullmatch(r'<iframe( [\w-]+="[^"<>]*")+></iframe>', found["html"])


async def test_oembed_describes_the_frame_of_a_run_at_the_same_view(client: httpx.AsyncClient) -> None:
    id = await start(client)
    page = (await client.get(f"/r/{id}", headers=HTML)).text
    link = re.search(r'<link rel="alternate" type="application/json\+oembed" href="([^"]*)"', page)
    assert link
    query = dict(parse_qsl(urlsplit(unescape(link[1])).query))
    assert query == {"url": f"http://testserver/r/{id}", "format": "json"}
    query["url"] += "?step=0&theme=dark&compare=other"
    answer = await client.get("/oembed", params=query | {"maxwidth": "400"})
    found = answer.json()
    assert (found["type"], found["version"], found["width"], found["height"]) == ("rich", "1.0", 400, 520)
    assert unescape(found["html"]).startswith(f'<iframe src="http://testserver/embed/{id}?step=0&theme=dark" title="')
    assert found["thumbnail_url"] == f"http://testserver/api/v1/runs/{id}/passes/0/graph.png"
    for step in ("9999999", "-1", "²", "x"):
        other = (await client.get("/oembed", params={"url": f"http://testserver/r/{id}?step={step}"})).json()
        assert other["thumbnail_url"] == f"http://testserver/api/v1/runs/{id}/passes/1/graph.png"
    picture = await client.get(found["thumbnail_url"])
    assert picture.content[:4] == b"\x89PNG"
    assert (found["thumbnail_width"], found["thumbnail_height"]) == tuple(
        int.from_bytes(picture.content[at : at + 4]) for at in (16, 20)
    )
    for url, status in (
        (f"http://other.example/r/{id}", 404),
        ("http://testserver/examples", 404),
        ("http://testserver/r/none", 404),
        ("http://[::1/r/none", 404),
        ("http://[x]/r/none", 404),
        ("http://a\u2100b/r/none", 404),
    ):
        assert (await client.get("/oembed", params={"url": url})).status_code == status
    assert (await client.get("/oembed", params={"url": query["url"], "format": "xml"})).status_code == 501
    assert re.search(r'<meta name="twitter:card" content="summary_large_image">', page)
    assert json.dumps(found)


async def test_a_sandboxed_frame_may_load_the_scripts(client: httpx.AsyncClient) -> None:
    """Such a frame has the origin ``null``, so that its module scripts are requests of another origin."""
    name = (await client.get("/static/manifest.json")).json()["embed.js"]
    answer = await client.get(f"/static/{name}", headers={"Origin": "null"})
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_page_for_teachers_shows_text_to_copy_and_the_settings_of_its_server(serve: Serve) -> None:
    async with serve(embed_in="https://a.example", keep_days=1.0) as client:
        answer = await client.get("/teach", headers=HTML)
        text = unescape(answer.text)
        frame, picture = re.findall(r"<(?:iframe|img) src=\"http://testserver(/[^\"]*)", unescape(text[text.index("<main") :]))
        for address in (frame, picture):
            assert (await client.get(address)).status_code == 200, address
        assert "1 day after it was made" in text
        assert "<code>https://a.example</code>" in text
        assert "set-cookie" not in answer.headers
    async with serve(embed_in="", keep_days=0.0) as client:
        text = (await client.get("/teach", headers=HTML)).text
        assert "keeps runs\nwithout a time limit" in text
        assert "lets no page show its frames" in text
    assert reader.read(LESSON, "slope.md").id == "slope"
