"""A replay makes a summarized step whole: afterwards, every route answers with all numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tapedeck.model import Limits
from tapedeck.store import whole_steps

from ...in_process import InProcess
from ..conftest import Serve
from .test_replays import fit, posted

pytestmark = pytest.mark.anyio

FIT = fit(300, 0.001)
LIMITS = Limits(events=2_400)
"""Limits of which 300 events, at least 100 steps and at most 200, are recorded whole."""
STEP = 250
PATIENT = {"Prefer": "wait=60"}
"""A header: the machine may be busy."""


async def got(client: httpx.AsyncClient, url: str, **headers: str) -> Any:
    answer = await client.get(url, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_replay_makes_a_summarized_step_whole_for_every_route(serve: Serve, tmp_path: Path) -> None:
    executor = InProcess()
    async with (
        serve(executor=executor, limits=LIMITS) as client,
        serve(executor=InProcess(), folder=tmp_path / "unlimited") as unlimited,
    ):
        run, same = await posted(client, FIT), await posted(unlimited, FIT)
        before = await client.get(f"{run}/steps/{STEP}")
        assert before.headers["cache-control"] == "private, no-cache"
        assert before.json()["summary"] is True
        assert all(node["value"] is None for node in before.json()["passes"][0]["nodes"].values())
        notes = [finding["message"] for finding in (await got(client, run))["findings"] if finding["severity"] == "note"]
        assert len(notes) == 1
        assert "most steps are summarized" in notes[0]
        refused = await client.get(f"{run}/why?of=m.grad&step={STEP}")
        assert refused.status_code == 422
        assert '"what": "step"' in refused.json()["detail"]

        answer = await client.post(f"{run}/replays", json={"what": "step", "step": STEP}, headers=PATIENT)
        assert answer.status_code == 201, answer.text
        assert answer.json()["repeatable"] is True

        whole = await got(client, f"{run}/steps/{STEP}")
        assert whole == await got(unlimited, f"{same}/steps/{STEP}")
        assert (await got(client, f"{run}/steps?start={STEP}&count=1"))["steps"] == [whole]
        numbers = f"passes/{STEP}/nodes/n0"
        assert await got(client, f"{run}/{numbers}") == await got(unlimited, f"{same}/{numbers}")
        assert (await client.get(f"{run}/why?of=m.grad&step={STEP}")).status_code == 200
        assert (await got(client, f"{run}/steps/{STEP - 1}"))["summary"] is True
        replays = [job for job in executor.jobs if job.replay is not None]
        assert len(replays) == 1
        await client.post(f"{run}/replays", json={"what": "step", "step": STEP}, headers=PATIENT)
        assert len([job for job in executor.jobs if job.replay is not None]) == 1


async def test_a_replay_of_a_summarized_step_compares_what_was_recorded_of_it(serve: Serve) -> None:
    executor = InProcess()
    async with serve(executor=executor, limits=LIMITS) as client:
        again = "import builtins\nbuiltins._runs = getattr(builtins, '_runs', 0) + 1\n"
        shifted = f"range(300):\n    m.data += (builtins._runs - 1) * (step == {STEP})"
        run = await posted(client, again + FIT.replace("range(300):", shifted))
        result = (await client.post(f"{run}/replays", json={"what": "step", "step": STEP}, headers=PATIENT)).json()
        assert result["repeatable"] is False
        assert result["difference"]["step"] == STEP
        assert (await got(client, f"{run}/steps/{STEP}"))["summary"] is True


async def test_a_surface_and_the_factors_of_a_summarized_step_are_those_of_a_whole_one(serve: Serve, tmp_path: Path) -> None:
    async with (
        serve(executor=InProcess(), limits=LIMITS) as client,
        serve(executor=InProcess(), folder=tmp_path / "unlimited") as unlimited,
    ):
        run, same = await posted(client, FIT), await posted(unlimited, FIT)
        for body in ({"what": "surface", "step": STEP}, {"what": "factors", "step": STEP - 1, "node": "n0"}):
            one, two = [
                (await on.post(f"{at}/replays", json=body, headers=PATIENT)).json()
                for on, at in ((client, run), (unlimited, same))
            ]
            for each in (one, two):
                del each["links"], each["id"]
                each.pop("owner_key", None)
            assert one == two


async def test_a_whole_step_is_still_whole_after_a_restart(serve: Serve) -> None:
    executor = InProcess()
    body = {"what": "step", "step": STEP}
    async with serve(executor=executor, limits=LIMITS) as client:
        run = await posted(client, FIT)
        assert (await client.post(f"{run}/replays", json=body, headers=PATIENT)).json()["repeatable"] is True
        whole = await got(client, f"{run}/steps/{STEP}")
    async with serve(executor=executor, limits=LIMITS) as client:
        assert await got(client, f"{run}/steps/{STEP}") == whole
        assert (await got(client, f"{run}/steps/{STEP - 1}"))["summary"] is True
        assert (await client.get(f"{run}/why?of=m.grad&step={STEP}")).status_code == 200
        assert len([job for job in executor.jobs if job.replay is not None]) == 1


async def test_a_whole_step_that_was_forgotten_is_recorded_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_steps, "SHARE", 0.0)  # no room in the store
    executor = InProcess()
    async with serve(executor=executor, limits=LIMITS) as client:
        run = await posted(client, FIT)
        body = {"what": "step", "step": STEP}
        assert (await client.post(f"{run}/replays", json=body, headers=PATIENT)).json()["repeatable"] is True
    async with serve(executor=executor, limits=LIMITS) as client:
        assert (await got(client, f"{run}/steps/{STEP}"))["summary"] is True
        assert (await client.post(f"{run}/replays", json=body, headers=PATIENT)).json()["repeatable"] is True
        assert (await got(client, f"{run}/steps/{STEP}"))["summary"] is False
