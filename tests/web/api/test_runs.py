"""Test that runs are started, read, listed, cancelled and deleted over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from tapedeck import wire
from tapedeck.errors import SandboxError
from tapedeck.model import Limits

from ...fake_executor import FakeExecutor, forever, gate
from ...handmade_events import FIT, fit
from ..conftest import Serve, client_of

pytestmark = pytest.mark.anyio

RUNS = "/api/v1/runs"
PYTHON = {"Content-Type": "text/x-python"}
STOPPED = [
    wire.StartedEvent("2.13.0", "3.11"),
    wire.EndEvent("failed", wire.ProgramFailure("ValueError", "<no>", None, 3, "Traceback"), 1.0),
]


async def start(client: httpx.AsyncClient, **headers: str) -> dict[str, object]:
    answer = await client.post(RUNS, json={"program": FIT}, headers=headers)
    assert answer.status_code in (201, 202), answer.text
    run: dict[str, object] = answer.json()
    return run


async def test_posting_a_program_runs_it_and_returns_the_run(client: httpx.AsyncClient) -> None:
    answer = await client.post(RUNS, json={"program": FIT, "seed": 3})
    run = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/runs/{run['id']}" == run["links"]["self"]
    assert run["links"]["page"] == f"/r/{run['id']}"
    assert (run["status"], run["outcome"], run["seed"], run["steps"], run["stdout"]) == ("done", "Done", 3, 2, "done\n")
    assert run["lines"][0]["tensor"]["values"] == pytest.approx(14 / 3)
    again = await client.get(answer.headers["location"])
    run.pop("owner_key")
    assert again.json() == run


async def test_stdout_and_stderr_are_returned_separately_and_in_order(serve: Serve) -> None:
    texts: list[wire.AnyEvent] = [wire.OutputEvent("a\n"), wire.OutputEvent("b\n", 0, "stderr"), wire.OutputEvent("c\n")]
    async with serve([*fit()[:-1], *texts, fit()[-1]]) as client:
        run = await start(client)
    assert (run["stdout"], run["stderr"]) == ("done\na\nc\n", "b\n")
    assert run["output"] == [
        {"stream": "stdout", "text": "done\na\n", "cell": 0},
        {"stream": "stderr", "text": "b\n", "cell": 0},
        {"stream": "stdout", "text": "c\n", "cell": 0},
    ]
    assert [(cell["stdout"], cell["stderr"]) for cell in run["cells"]] == [("done\na\nc\n", "b\n")]


async def test_posting_a_notebook_or_an_expression_runs_it(client: httpx.AsyncClient) -> None:
    notebook = {"cells": [{"cell_type": "code", "source": "x = 1"}, {"cell_type": "code", "source": "x"}]}
    raw = await client.post(
        f"{RUNS}?seed=4", content=json.dumps(notebook), headers={"Content-Type": "application/x-ipynb+json"}
    )
    assert (raw.json()["kind"], raw.json()["seed"]) == ("notebook", 4)
    assert [cell["start_line"] for cell in raw.json()["cells"]] == [1, 3]
    given = await client.post(RUNS, json={"notebook": notebook})
    assert given.json()["program"] == raw.json()["program"] == "x = 1\n\nx\n"
    expression = await client.post(RUNS, json={"expression": "x.sum()", "inputs": {"x": [1, 2]}})
    assert expression.json()["kind"] == "expression"
    assert "x = torch.tensor([1.0, 2.0], requires_grad=True)" in expression.json()["program"]


@pytest.mark.parametrize(
    ("accept", "media_type", "beginning"),
    [("image/svg+xml", "image/svg+xml", b"<svg"), ("text/plain", "text/plain; charset=utf-8", b"step 1, pass 1")],
)
async def test_a_caller_who_accepts_a_picture_gets_that_of_the_last_step(
    client: httpx.AsyncClient, accept: str, media_type: str, beginning: bytes
) -> None:
    answer = await client.post(f"{RUNS}?theme=dark", content=FIT, headers=PYTHON | {"Accept": accept})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == media_type
    assert answer.content.startswith(beginning)
    assert answer.headers["location"].startswith("/api/v1/runs/")
    assert answer.headers["tapedeck-owner-key"]


async def test_a_run_without_a_graph_returns_a_placeholder_that_explains_why(serve: Serve) -> None:
    async with serve(STOPPED) as client:
        svg = await client.post(RUNS, content="x", headers=PYTHON | {"Accept": "image/svg+xml"})
        txt = await client.post(RUNS, content="x", headers=PYTHON | {"Accept": "text/plain"})
    assert svg.status_code == txt.status_code == 201
    assert b"No graph. ValueError on line 3:" in svg.content
    assert b"&lt;no&gt;" in svg.content
    assert txt.text == "No graph. ValueError on line 3: <no>\n"


async def test_a_program_that_fails_is_returned_as_a_run(serve: Serve) -> None:
    async with serve(fit()[:5], STOPPED[-1:]) as client:
        run = (await client.post(RUNS, json={"program": FIT})).json()
    assert (run["status"], run["steps"], run["error"]["line"], run["error"]["type"]) == ("failed", 1, 3, "ValueError")
    assert run["outcome"] == "ValueError on line 3"
    async with serve() as client:
        assert (await client.get(run["links"]["self"])).json()["outcome"] == run["outcome"]


async def test_a_run_with_store_false_is_returned_and_not_stored(client: httpx.AsyncClient) -> None:
    answer = await client.post(RUNS, json={"program": FIT, "store": False})
    assert answer.status_code == 200
    assert answer.json()["status"] == "done"
    assert answer.json()["links"] == {}
    assert "location" not in answer.headers
    assert (await client.get(f"{RUNS}/{answer.json()['id']}")).status_code == 404


async def test_a_caller_who_does_not_wait_gets_202_and_a_location(serve: Serve, tmp_path: Path) -> None:
    event, wait = gate()
    async with serve(fit()[:5], wait, fit()[5:]) as client:
        answer = await client.post(RUNS, json={"program": FIT}, headers={"Prefer": "respond-async, wait=0"})
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "wait=0"
        assert answer.json()["status"] in ("queued", "running")
        event.set()
        async with asyncio.timeout(5):
            while (run := (await client.get(answer.headers["location"])).json())["status"] == "running":
                await asyncio.sleep(0)
        assert (run["status"], run["steps"]) == ("done", 2)


async def test_the_owner_is_identified_by_the_cookie_or_by_the_key(client: httpx.AsyncClient) -> None:
    first = await start(client)
    second = await start(client)  # with the cookie
    assert "owner_key" in first
    assert "owner_key" not in second
    app = client._transport.app  # type: ignore[attr-defined]
    async with client_of(app) as program:
        assert (await program.get(RUNS)).json() == {"runs": [], "next": None}
        bearer = {"Authorization": f"Bearer {first['owner_key']}"}
        listed = (await program.get(RUNS, headers=bearer)).json()["runs"]
        assert [run["id"] for run in listed] == [second["id"], first["id"]]
        assert (await program.delete(f"{RUNS}/{first['id']}")).status_code == 403
        forged = {"Authorization": "Bearer 0123.sig"}
        assert (await program.delete(f"{RUNS}/{first['id']}", headers=forged)).status_code == 403
        assert (await program.delete(f"{RUNS}/{first['id']}", headers=bearer)).status_code == 204
        assert (await program.get(f"{RUNS}/{first['id']}")).status_code == 404
        assert (await program.get(f"{RUNS}/{second['id']}")).status_code == 200  # anyone with the link can read


async def test_a_forged_cookie_owns_nothing(client: httpx.AsyncClient) -> None:
    run = await start(client)
    app = client._transport.app  # type: ignore[attr-defined]
    async with client_of(app) as other:
        other.cookies.set("tapedeck_owner", "f" * 32 + ".forged")
        assert (await other.delete(f"{RUNS}/{run['id']}")).status_code == 403


async def test_the_cookie_is_same_site_and_hidden_from_scripts(client: httpx.AsyncClient) -> None:
    answer = await client.post(RUNS, json={"program": FIT})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_runs_are_listed_newest_first_in_pages(client: httpx.AsyncClient) -> None:
    ids = [(await start(client))["id"] for _ in range(5)]
    first = (await client.get(f"{RUNS}?count=2")).json()
    second = (await client.get(f"{RUNS}", params={"count": 2, "after": first["next"]})).json()
    third = (await client.get(f"{RUNS}", params={"count": 2, "after": second["next"]})).json()
    assert [run["id"] for page in (first, second, third) for run in page["runs"]] == ids[::-1]
    assert third["next"] is None
    assert first["runs"][0]["title"] == "loss = ((y_pred - y) ** 2).mean()"
    assert (await client.get(f"{RUNS}?after=x")).status_code == 422


async def test_only_the_owner_can_cancel_a_run(serve: Serve) -> None:
    async with serve(fit()[:5], forever) as client:
        run = await start(client, Prefer="wait=0")
        app = client._transport.app  # type: ignore[attr-defined]
        async with client_of(app) as other:
            assert (await other.post(f"{RUNS}/{run['id']}/cancel")).status_code == 403
        stopped = await client.post(f"{RUNS}/{run['id']}/cancel")
        assert stopped.status_code == 200
        assert (stopped.json()["status"], stopped.json()["steps"]) == ("cancelled", 1)


async def test_a_run_is_titled_by_its_first_comment_its_file_or_its_owner(serve: Serve, tmp_path: Path) -> None:
    async with serve(folder=tmp_path) as client:
        run = await start(client)
        assert run["title"] == "loss = ((y_pred - y) ** 2).mean()"
        address = str(run["links"]["self"])  # type: ignore[index]
        file = await client.post(f"{RUNS}?title=%20my%0Afit.py", content="# A comment\nx = 1", headers=PYTHON)
        assert file.json()["title"] == "my fit.py"
        assert (await client.post(RUNS, json={"program": "# A comment\nx = 1"})).json()["title"] == "A comment"
        assert (await client.post(RUNS, json={"program": "x", "title": 3})).status_code == 422

        renamed = await client.patch(address, json={"title": "  Fit " + "a line " * 50})
        assert renamed.status_code == 200
        assert (len(renamed.json()["title"]), renamed.json()["title"][:10]) == (80, "Fit a line")
        assert (await client.get(address)).json()["title"] == renamed.json()["title"]
        pinned = await client.patch(address, json={"pinned": True})
        assert (pinned.json()["pinned"], pinned.json()["title"]) == (True, renamed.json()["title"])
        assert [each["pinned"] for each in (await client.get(RUNS)).json()["runs"] if each["id"] == run["id"]] == [True]
        assert (await client.patch(address, json={"pinned": False})).json()["pinned"] is False
        for body in ('{"title": 3}', "{}", '{"pinned": "yes"}', '{"owner": "me"}', "x"):
            answer = await client.patch(address, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 422
        async with client_of(client._transport.app) as stranger:  # type: ignore[attr-defined]
            assert (await stranger.patch(address, json={"title": "mine"})).status_code == 403
    async with serve(folder=tmp_path) as client:
        assert (await client.get(address)).json()["title"] == renamed.json()["title"]


async def test_the_same_idempotency_key_starts_only_one_run(client: httpx.AsyncClient) -> None:
    await start(client)
    first = await start(client, **{"Idempotency-Key": "a"})
    assert (await start(client, **{"Idempotency-Key": "a"}))["id"] == first["id"]
    assert (await start(client, **{"Idempotency-Key": "b"}))["id"] != first["id"]
    other = await client.post(RUNS, json={"program": "y"}, headers={"Idempotency-Key": "a"})
    assert other.status_code == 422
    assert other.json()["where"] == "Idempotency-Key"


async def test_an_idempotency_key_reveals_neither_another_callers_run_nor_their_owner_key(client: httpx.AsyncClient) -> None:
    app = client._transport.app  # type: ignore[attr-defined]
    await start(client)
    mine = await start(client, **{"Idempotency-Key": "a"})
    async with client_of(app) as one, client_of(app) as two:
        first = await start(one, **{"Idempotency-Key": "a"})
        second = await start(two, **{"Idempotency-Key": "a"})
        assert first["id"] != mine["id"]
        assert second["id"] == first["id"]
        assert "owner_key" in first
        assert "owner_key" not in second
        assert (await two.delete(f"{RUNS}/{first['id']}")).status_code == 403
    async with client_of(app) as three:
        other = await three.post(RUNS, json={"program": "y"}, headers={"Idempotency-Key": "a"})
        assert other.status_code == 201
        assert other.json()["id"] not in (first["id"], mine["id"])


async def test_a_full_queue_is_answered_503_with_retry_after(serve: Serve) -> None:
    async with serve(forever, concurrent=1, queue=1) as client:
        running = [await start(client, Prefer="wait=0") for _ in range(3)]  # the first one had no cookie yet
        refused = await client.post(RUNS, json={"program": FIT})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["title"] == "Busy"
        for run in running:
            await client.post(f"{RUNS}/{run['id']}/cancel")


async def test_a_full_store_is_answered_507_with_a_remedy(serve: Serve) -> None:
    async with serve(limits=Limits(store_bytes=0)) as client:
        full = await client.post(RUNS, json={"program": FIT})
        assert full.status_code == 507
        assert '"store": false' in full.json()["detail"]
        assert (await client.post(RUNS, json={"program": FIT, "store": False})).status_code == 200


async def test_a_full_store_deletes_runs_of_the_caller_with_the_most_runs(serve: Serve) -> None:
    async with serve(limits=Limits(store_bytes=30_000)) as client, client_of(client._transport.app) as other:
        first = await start(other)
        own = [await start(client) for _ in range(30)]
        assert (await other.get(f"{RUNS}/{first['id']}")).status_code == 200
        found = [(await client.get(f"{RUNS}/{run['id']}")).status_code for run in own]
        assert found == sorted(found, reverse=True)  # the oldest ones are gone
        assert found[0] == 404
        assert found[-3:] == [200, 200, 200]


async def test_a_missing_sandbox_is_answered_503_with_the_reason(serve: Serve) -> None:
    async with serve(executor=FakeExecutor(SandboxError("Nothing here can confine a program."))) as client:
        refused = await client.post(RUNS, json={"program": FIT})
        assert refused.status_code == 503
        assert refused.json()["detail"] == "Nothing here can confine a program."
        assert "retry-after" in refused.headers


async def test_an_internal_error_is_answered_500_without_details(serve: Serve) -> None:
    async with serve(executor=FakeExecutor(RuntimeError("secret"))) as client:
        broken = await client.post(RUNS, json={"program": FIT})
        assert broken.status_code == 500
        assert broken.headers["content-type"] == "application/problem+json"
        assert "secret" not in broken.text
