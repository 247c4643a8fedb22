"""The gallery has an example for each finding, and each example has a small picture of its graph."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import httpx
import pytest
from tapedeck.examples import gallery
from tapedeck.explain.registry import GROUPS
from tapedeck.web.pages.gallery import UNTYPICAL, all_examples

from ...fake_executor import FakeExecutor
from ..conftest import Serve

pytestmark = pytest.mark.anyio


def test_each_finding_about_a_program_has_an_example() -> None:
    every = all_examples()
    assert len({each.slug for each in every}) == len(every)
    assert every[: len(gallery())] == gallery()
    shown = [each.finding for each in every if each.finding]
    assert sorted(shown) == sorted(rule.code for group, rules in GROUPS.items() if group not in UNTYPICAL for rule in rules)
    for each in every[len(gallery()) :]:
        assert each.program.startswith(f"# {each.title}\n")
        assert each.summary.endswith(".")
        assert re.fullmatch("pitfall-[a-z-]+", each.slug)


async def test_the_page_shows_a_picture_of_each_graph_in_both_themes(client: httpx.AsyncClient) -> None:
    page = (await client.get("/examples", headers={"Accept": "text/html"})).text
    pictures = re.findall(r'<img class="in-(light|dark)" src="([^"]+)"', page)
    assert len(pictures) == 2 * len(all_examples())
    light, dark = [await client.get(address) for _, address in pictures[:2]]
    for answer in (light, dark):
        assert answer.headers["content-type"] == "image/svg+xml"
        texts = [text.text for text in ElementTree.fromstring(answer.text).iter("{http://www.w3.org/2000/svg}text")]
        assert {"m", "y_pred"} <= set(texts)
    assert light.text != dark.text
    assert light.text.count("<path") == light.text.count("<rect") - 1
    assert (await client.get("/examples/none.svg")).status_code == 404


async def test_an_example_without_a_recording_has_a_sentence_instead_of_a_picture(serve: Serve) -> None:
    executor = FakeExecutor()
    executor.ready = False
    async with serve(executor=executor) as client:
        answer = await client.get("/examples/intro.svg")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert "Not recorded yet" in answer.text
