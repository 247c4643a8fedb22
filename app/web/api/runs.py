"""Define the routes that start, read, list, follow, cancel and delete runs."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request
from msgspec import Struct
from starlette.responses import Response

from ... import model
from ...drawing.picture import MEDIA
from ...errors import InvalidInput
from ...inputs import request as requests
from ...runs.run import LiveRun, RecordedRun
from .. import responses
from ..links import API, run_links, run_url
from ..pictures import Look, RunReader, last_picture, why_no_picture
from ..protection.bodies import release_body
from ..protection.clients import client_of, sender_of, wait_unless_left
from ..protection.owner import set_owner_cookie
from ..request_parts import idempotency_key, preferred_form, read_body, require_json, seconds_to_wait
from ..service import reader_of, root_of, service_of
from ..streams.feed import last_id
from . import answers, reference
from .placeholder import placeholder
from .problems import CLIENT_LEFT

WAIT_SECONDS: Final = 10.0
"""Seconds that a POST waits by default for the end of a run with a longer time limit."""
GRACE_SECONDS: Final = 2.0
"""Seconds that a POST waits beyond a run's time limit, so that it can return a run that was stopped there."""
LIGHT_BODY: Final = 200_000
"""Largest body in bytes whose fingerprint is computed on the event loop."""
CHANGE_BYTES: Final = 2_000
"""Largest body in bytes of a request that renames, pins or unpins a run."""

router = APIRouter(prefix=API, tags=["runs"])


class RunPage(Struct, frozen=True):
    """A page of an owner's runs, newest first. Pass ``next`` as ``after`` to get the next page."""

    runs: list[model.RunHeading]
    next: str | None


@router.post("/runs", **reference.POST_RUN)
async def start_run(request: Request) -> Response:
    """Run a program, an expression, a training loop or a notebook, and return its recording."""
    service, root = service_of(request), root_of(request)
    form = preferred_form(request.headers.get("accept", ""))
    query = dict(request.query_params)
    look = Look(query.pop("theme", "light"), query.pop("direction", "TB")).checked()  # the other parameters belong to the run
    owner = service.owners.identify(request)
    client = client_of(request, owner)
    media_type = request.headers.get("content-type", "")
    if "idempotency-key" not in request.headers:  # with a key, the run may already exist
        service.runs.check_room(client)
    body = await read_body(request, requests.limit_of(media_type, service.limits))
    parsed = await service.parse(body, media_type, query, client.address)

    asked = media_type.encode() + repr(sorted(query.items())).encode()
    fingerprint = _fingerprint(asked, body) if len(body) <= LIGHT_BODY else await asyncio.to_thread(_fingerprint, asked, body)
    del body  # the request may wait in the queue for a long time
    release_body(request)
    key = idempotency_key(request, owner, fingerprint)
    new_key = None
    if owner is None:
        owner, new_key = service.owners.new()
    address = service.owners.digest(client.address)
    client = client_of(request, client.session, asked=fingerprint)
    service.engine.expect()
    recorded = await service.runs.submit(parsed, owner, client=client, key=key, fingerprint=fingerprint, address=address)
    if recorded.new.fingerprint != fingerprint:
        raise InvalidInput(
            "This Idempotency-Key was used for a different request: choose another key.", where="Idempotency-Key"
        )
    if recorded.new.owner != owner:
        new_key = None  # the run stays with the caller who started it and received its owner_key

    wait = seconds_to_wait(request.headers.get("prefer", ""))
    if isinstance(recorded, LiveRun):
        until_ended = not parsed.store or (form != "json" and wait is None)
        seconds = None if until_ended else _default_wait(service.limits) if wait is None else wait
        if not await _wait(request, recorded, seconds):
            known = client.session is not None
            if not recorded.readers and not _readable(recorded, known_owner=known, has_key=key is not None):
                service.runs.abandon(recorded)
            return Response(None, CLIENT_LEFT)
    headers = {"Vary": "Accept"}
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait:g}"
    status = 200
    if parsed.store:
        status = 201 if recorded.ended else 202
        headers["Location"] = run_url(root, recorded.id)
        if not recorded.ended:
            headers["Retry-After"] = responses.retry_after(recorded.queue())
            await service.archive.flush(recorded)
    if form != "json" and recorded.ended:
        response = await _picture(reader_of(request), recorded, form, look, status, headers)
        if new_key is not None:
            response.headers["Tapedeck-Owner-Key"] = new_key
    else:
        links = run_links(root, recorded.id) if parsed.store else {}
        run = await service.read(recorded, responses.run_of, recorded, root, links)
        answer = run if new_key is None else _with_key(run, new_key)
        response = responses.json(answer, status, headers)
    if new_key is not None:
        set_owner_cookie(response, request, new_key, root)
    return response


def _with_key(run: model.Run, key: str) -> dict[str, object]:
    """Return a run with the key of its new owner."""
    fields = msgspec.structs.asdict(run)
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET} | {"owner_key": key}


def _fingerprint(asked: bytes, body: bytes) -> str:
    digest = hashlib.blake2b(asked, digest_size=16)
    digest.update(body)  # releases the interpreter's lock
    return digest.hexdigest()


def _default_wait(limits: model.Limits) -> float:
    """Return the seconds that a POST without ``Prefer: wait=N`` waits for the end of the run.

    >>> _default_wait(model.Limits(wall_seconds=10.0)), _default_wait(model.Limits(wall_seconds=60.0))
    (12.0, 10.0)
    """
    return limits.wall_seconds + GRACE_SECONDS if limits.wall_seconds <= WAIT_SECONDS else WAIT_SECONDS


async def _wait(request: Request, recorded: LiveRun, seconds: float | None) -> bool:
    """Wait at most ``seconds`` for the end of a run. Return whether the caller is still there.

    Raises the server's own failure, if there was one.
    """
    recorded.readers += 1
    try:
        return await wait_unless_left(request, recorded.until_ended(), seconds)
    finally:
        recorded.readers -= 1


def _readable(recorded: LiveRun, *, known_owner: bool, has_key: bool) -> bool:
    """Return whether anybody will read a run whose caller left before the response.

    A caller with an idempotency key is expected to repeat the request. A caller with a cookie or owner key finds the run in the
    list of its runs. Such a caller is assumed to have given up a run that is still queued. No other caller has the address of
    the run.
    """
    return recorded.kept and (has_key or (known_owner and recorded.status != "queued"))


async def _picture(
    reader: RunReader, recorded: RecordedRun, form: str, look: Look, status: int, headers: dict[str, str]
) -> Response:
    """Return the last step's picture, or a sentence in its place if the run has no graph."""
    drawn = await last_picture(reader, recorded, form, look)
    if drawn is not None:
        body = drawn.body
    else:
        sentence = why_no_picture(recorded)
        body = placeholder(sentence, look.theme) if form == "svg" else f"{sentence}\n".encode()
    return Response(body, status, headers, MEDIA["svg" if form == "svg" else "txt"])


@router.get("/runs", **reference.returns(RunPage, "The caller's runs, newest first."))
async def list_runs(
    request: Request,
    count: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(description="The `next` of the previous page.", max_length=100)] = None,
) -> Response:
    """List the caller's runs, newest first."""
    service, root = service_of(request), root_of(request)
    owner = service.owners.identify(request)
    if owner is None:
        return responses.json(RunPage([], None))
    found = await service.runs.of_owner(owner, count + 1, None if after is None else _cursor(after))
    more = len(found) > count
    headings = [recorded.heading(run_links(root, recorded.id)) for recorded in found[:count]]
    last = found[count - 1].stored if more else None
    return responses.json(RunPage(headings, f"{last.created!r}:{last.number}" if last else None))


def _cursor(after: str) -> tuple[float, int]:
    """Return the creation time and the number of a run that ``after`` contains."""
    created, _, number = after.partition(":")
    try:
        return float(created), min(int(number), 2**62)
    except ValueError:
        raise InvalidInput(
            "`after` is not the `next` of a page: pass the `next` of the previous page unchanged.", where="query.after"
        ) from None


@router.get("/runs/{id}", **reference.returns(model.Run, "The run.", 304, 404))
async def read_run(request: Request, id: str) -> Response:
    """Read a run without its steps: status, line values, printed text, error and findings."""
    recorded = await service_of(request).find(id)
    root = root_of(request)
    answer = await answers.answer(request, recorded, responses.run_of, recorded, root, run_links(root, id))
    if recorded.ended:
        answer.headers["Cache-Control"] = responses.REVALIDATED
    return answer


class RunChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request that renames, pins or unpins a run. An empty title restores the title from the program."""

    title: str | None = None
    pinned: bool | None = None


_change = msgspec.json.Decoder(RunChange)


@router.patch("/runs/{id}", **reference.CHANGE_RUN)
async def change_run(request: Request, id: str) -> Response:
    """Give one of the caller's runs another title, or pin it. In a full store, an owner's pinned runs are deleted last."""
    service, root = service_of(request), root_of(request)
    require_json(request)
    body = await read_body(request, CHANGE_BYTES)
    try:
        change = _change.decode(body)
    except msgspec.DecodeError:
        change = RunChange()
    if change == RunChange():
        raise InvalidInput('Send a title, or whether the run is pinned, as JSON: {"title": "Fit a line", "pinned": true}.')
    owner = service.owners.identify(request)
    recorded = await service.runs.mark(id, owner, title=change.title, pinned=change.pinned)
    service.answers.drop(lambda key: key[0] == id)
    return responses.json(recorded.heading(run_links(root, id)))


@router.delete("/runs/{id}", status_code=204, **reference.returns(None, "The run was deleted.", 403, 404))
async def delete_run(request: Request, id: str) -> Response:
    """Delete one of the caller's runs. A run in progress and its replays are stopped first."""
    service = service_of(request)
    await service.runs.delete(id, service.owners.identify(request))
    service.replays.stop(id)
    return Response(None, 204)


@router.post("/runs/{id}/cancel", **reference.returns(model.Run, "The run, which has ended.", 403, 404))
async def cancel_run(request: Request, id: str) -> Response:
    """Stop one of the caller's runs and keep what was recorded. A run that has ended is not changed."""
    service = service_of(request)
    recorded = await service.runs.cancel(id, service.owners.identify(request))
    root = root_of(request)
    run = await service.read(recorded, responses.run_of, recorded, root, run_links(root, id))
    return responses.json(run)


@router.get("/runs/{id}/events", **reference.EVENTS)
async def follow_run(
    request: Request,
    id: str,
    last_event_id: Annotated[str | None, Header(description="Resume after the event with this id.")] = None,
) -> Response:
    """Follow a run as server-sent events: everything recorded so far, new events as they arrive, and the end."""
    service = service_of(request)
    recorded = await service.find(id)
    text = last_event_id or ""
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    last = last_id(recorded)
    if last is not None and after >= last:
        return Response(None, 204)
    return service.listeners.open(id, sender_of(request.scope), service.feeds.follow(recorded, after, root_of(request)))
