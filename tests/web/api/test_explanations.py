"""Test the route that explains a number."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from tapedeck.web.api import explanations

from .test_recordings import start

pytestmark = pytest.mark.anyio


async def test_a_number_is_explained_with_addresses_of_further_explanations(client: httpx.AsyncClient) -> None:
    run = await start(client)
    answer = await client.get(f"{run}/why", params={"of": "m.grad", "step": 0})
    body = answer.json()
    assert body["value"] == pytest.approx(-28 / 3)
    assert body["pass"] == 0
    assert sum(term["value"] for term in body["terms"]) + body["rounding"] == pytest.approx(body["value"], abs=1e-12)
    further = await client.get(f"{run}/{body['terms'][0]['source']['href']}")
    assert further.status_code == 200
    assert further.json()["of"] == body["terms"][0]["source"]["of"]
    again = await client.get(f"{run}/why?of=m.grad&step=0", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(("of", "status"), [("nobody", 422), ("n99", 404), ("m[4]", 422), ("x" * 301, 422)])
async def test_an_address_of_nothing_is_a_problem(client: httpx.AsyncClient, of: str, status: int) -> None:
    run = await start(client)
    answer = await client.get(f"{run}/why", params={"of": of})
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_explanations_are_made_beside_the_event_loop(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def noted(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return original(*args)

    original = explanations.why
    monkeypatch.setattr(explanations, "why", noted)
    run = await start(client)
    await client.get(f"{run}/why", params={"of": "m.grad", "step": 0})
    assert threads
    assert threading.current_thread() not in threads
    # everybody's runs are read in these two: long explanations would keep other readers waiting
    assert not any(thread.name.startswith("store-read") for thread in threads)
