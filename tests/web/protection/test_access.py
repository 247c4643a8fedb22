"""Test access: a private server requires its token, its own name and its own pages; a public one refuses forged requests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tapedeck.main import create_app
from tapedeck.settings import Settings

from ...fake_executor import FakeExecutor
from ...handmade_events import FIT, fit
from ..conftest import Serve, client_of

pytestmark = pytest.mark.anyio

RUNS = "/api/v1/runs"
TOKEN = "a-token"
HERE = {"Host": "localhost:8000"}
PAGE = HERE | {"Accept": "text/html"}
KNOWN = HERE | {"Tapedeck-Token": TOKEN}
EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
PLAIN = {"Content-Type": "text/plain"}


@pytest.fixture
async def unconfined(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server without a sandbox, whose token is known to the test."""
    async with serve(unconfined=True, token=TOKEN) as client:
        yield client


def ran(client: httpx.AsyncClient) -> int:
    """Return the number of programs that the client's server has started."""
    transport: Any = client._transport
    return len(transport.app.state.service.executor.jobs)


# -- the token


@pytest.mark.parametrize(
    "path", ["/", "/examples", "/docs", "/openapi.json", "/metrics", RUNS, "/api/v1/limits", "/r/" + "0" * 32]
)
async def test_a_private_server_answers_nothing_without_its_token(unconfined: httpx.AsyncClient, path: str) -> None:
    for headers in (HERE, HERE | {"Tapedeck-Token": "wrong"}, HERE | {"Cookie": "tapedeck_token_8000=wrong"}):
        answer = await unconfined.get(path, headers=headers)
        assert answer.status_code == 403
        assert "needs its token: open the address that it printed" in answer.json()["detail"]
    assert (await unconfined.get(f"{path}?token=wrong", headers=HERE)).status_code == 403
    assert "needs its token" in (await unconfined.get(path, headers=PAGE)).text or path.startswith(("/api", "/openapi"))


async def test_a_program_cannot_be_run_without_the_token(unconfined: httpx.AsyncClient) -> None:
    assert (await unconfined.post(RUNS, json={"program": FIT}, headers=HERE)).status_code == 403
    assert ran(unconfined) == 0
    assert (await unconfined.post(RUNS, json={"program": FIT}, headers=KNOWN)).status_code == 201
    assert (await unconfined.post(f"{RUNS}?token={TOKEN}", json={"program": FIT}, headers=HERE)).status_code == 201
    assert ran(unconfined) == 2


async def test_a_browser_keeps_the_token_as_a_cookie_and_leaves_it_out_of_the_address(unconfined: httpx.AsyncClient) -> None:
    moved = await unconfined.get(f"/examples?theme=dark&token={TOKEN}", headers=PAGE)
    assert (moved.status_code, moved.headers["location"]) == (303, "/examples?theme=dark")
    cookie = moved.headers["set-cookie"]
    assert cookie.startswith(f"tapedeck_token_8000={TOKEN};")
    assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.lower().split("; "))
    with_cookie = HERE | {"Cookie": f"tapedeck_token_8000={TOKEN}"}
    assert (await unconfined.get("/examples", headers=with_cookie)).status_code == 200
    own = with_cookie | {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert (await unconfined.post(RUNS, json={"program": FIT}, headers=own)).status_code == 201


async def test_the_redirect_stays_on_the_server(unconfined: httpx.AsyncClient) -> None:
    moved = await unconfined.get(f"http://localhost:8000//evil.example/?token={TOKEN}", headers=PAGE)
    assert moved.headers["location"] == "/evil.example/"


async def test_health_and_the_bundle_need_no_token(unconfined: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/static/manifest.json"):
        assert (await unconfined.get(path, headers=HERE)).status_code == 200


async def test_a_server_without_a_sandbox_always_has_a_token(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(data=":memory:", unconfined=True), executor=FakeExecutor(fit()))
    token = caplog.records[0].args[0]  # type: ignore[index]
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.get("/", headers=HERE)).status_code == 403
        assert (await client.get("/", headers=HERE | {"Tapedeck-Token": str(token)})).status_code == 200
    assert len(str(token)) >= len(secrets.token_urlsafe(24))


async def test_a_confined_server_can_have_a_token_too(serve: Serve) -> None:
    async with serve(token=TOKEN) as client:
        assert (await client.get("/")).status_code == 403
        assert (await client.get("/", headers={"Tapedeck-Token": TOKEN})).status_code == 200


# -- other sites


@pytest.mark.parametrize(
    "headers",
    [
        EVIL, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost:9000"}, {"Origin": "http://127.0.0.1:8000"},
    ],
)  # fmt: skip
async def test_another_site_cannot_use_a_private_server_even_with_the_cookie(
    unconfined: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    stolen = HERE | headers | {"Cookie": f"tapedeck_token_8000={TOKEN}"}
    for kind in ("application/json", "text/plain", "text/x-python"):
        answer = await unconfined.post(RUNS, content=b'{"program": "x"}', headers=stolen | {"Content-Type": kind})
        assert answer.status_code == 403
        assert "another site" in answer.json()["detail"]
        assert "access-control-allow-origin" not in answer.headers
    assert (await unconfined.get("/api/v1/runs", headers=stolen)).status_code == 403
    assert ran(unconfined) == 0


async def test_a_private_server_shares_nothing_with_other_origins(unconfined: httpx.AsyncClient) -> None:
    preflight = EVIL | HERE | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "tapedeck-token"}
    assert (await unconfined.options(RUNS, headers=preflight)).status_code == 403
    answer = await unconfined.get("/api/v1/limits", headers=KNOWN)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_link_from_another_site_opens_a_page(unconfined: httpx.AsyncClient) -> None:
    link = KNOWN | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await unconfined.get("/examples", headers=link)).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", ""]
)
async def test_a_private_server_answers_only_to_the_names_of_its_machine(unconfined: httpx.AsyncClient, host: str) -> None:
    answer = await unconfined.get("/healthz", headers={"Host": host})
    assert answer.status_code == 403
    assert "does not answer to the name" in answer.json()["detail"]
    assert (
        await unconfined.post(RUNS, json={"program": FIT}, headers={"Host": host, "Tapedeck-Token": TOKEN})
    ).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1", "127.8.8.8"])
async def test_every_name_of_the_machine_is_accepted(unconfined: httpx.AsyncClient, host: str) -> None:
    assert (await unconfined.get("/", headers={"Host": host, "Tapedeck-Token": TOKEN})).status_code == 200


async def test_a_public_server_can_be_limited_to_its_names(serve: Serve) -> None:
    async with serve(allowed_hosts="tape.example, other.example") as client:
        assert (await client.get("/healthz", headers={"Host": "tape.example:443"})).status_code == 200
        assert (await client.get("/healthz", headers={"Host": "other.example"})).status_code == 200
        assert (await client.get("/healthz", headers={"Host": "evil.example"})).status_code == 403


async def test_another_site_cannot_send_a_program_without_asking_first(client: httpx.AsyncClient) -> None:
    for kind in ("text/plain", "text/plain; charset=utf-8", "multipart/form-data; boundary=x", ""):
        answer = await client.post(RUNS, content=FIT.encode(), headers=EVIL | {"Content-Type": kind})
        assert answer.status_code == 403
    assert ran(client) == 0
    assert (await client.post(RUNS, json={"program": FIT}, headers=EVIL)).status_code == 201  # browsers ask first
    assert (await client.post(RUNS, content=FIT.encode(), headers=PLAIN)).status_code == 201  # not a browser


# -- the owner's cookie


@pytest.mark.parametrize(
    ("headers", "is_set"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "https://testserver:8443"}, True),  # a proxy left the port out of the host
        ({"Origin": "https://tape.example", "X-Forwarded-Host": "tape.example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://sub.testserver"}, False),
    ],
)
async def test_a_request_of_another_site_never_replaces_the_owners_cookie(
    client: httpx.AsyncClient, headers: dict[str, str], is_set: bool
) -> None:
    answer = await client.post(RUNS, json={"program": FIT}, headers=headers)
    assert answer.status_code == 201
    assert answer.json()["owner_key"]
    assert ("set-cookie" in answer.headers) is is_set


@pytest.mark.parametrize(
    ("proxies", "secure"), [("127.0.0.1", True), ("10.0.0.0/8, 127.0.0.0/24", True), ("10.0.0.0/8", False), ("", False)]
)
async def test_the_cookie_is_secure_behind_a_proxy_that_is_trusted(serve: Serve, proxies: str, secure: bool) -> None:
    async with serve(trusted_proxies=proxies) as client:  # the client's address is 127.0.0.1
        answer = await client.post(RUNS, json={"program": FIT}, headers={"X-Forwarded-Proto": "https"})
        assert ("secure" in answer.headers["set-cookie"].lower().split("; ")) is secure


# -- addresses


async def test_metrics_can_be_closed(serve: Serve) -> None:
    async with serve(metrics=False) as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_search_engines_are_asked_not_to_list_runs(client: httpx.AsyncClient) -> None:
    run = (await client.post(RUNS, json={"program": FIT})).json()
    for link in ("page", "self"):
        answer = await client.get(run["links"][link])
        assert (answer.headers["x-robots-tag"], answer.headers["referrer-policy"]) == ("noindex", "no-referrer")
    assert "x-robots-tag" not in (await client.get("/")).headers


async def test_no_redirect_names_the_host_that_the_caller_named(client: httpx.AsyncClient) -> None:
    for path in ("/healthz/", "/docs/", "/api/v1/runs/", "http://testserver//evil.example/"):
        answer = await client.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 404
        assert "location" not in answer.headers


async def test_a_path_without_its_slash_leads_to_the_page(serve: Serve) -> None:
    async with serve(root_path="/td") as client:
        answer = await client.get("/td?theme=dark", headers={"Host": "evil.example"})
        assert (answer.status_code, answer.headers["location"]) == (308, "/td/?theme=dark")
        assert (await client.get("/td/")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200  # the proxy removed the path


async def test_an_origin_that_is_no_address_counts_as_another_site(client: httpx.AsyncClient) -> None:
    for origin in ("http://[::1", "http://[x]", "http://a\u2100b".encode()):
        headers: Any = PLAIN | {"Origin": origin}
        answer = await client.post(RUNS, content="x = 1", headers=headers)
        assert answer.status_code == 403, answer.text
