"""Take programs in, and give runs out: start, read, list, follow, stop and delete them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request
from msgspec import Struct
from starlette.responses import Response, StreamingResponse

from .. import model
from ..drawing.picture import MEDIA
from ..errors import InvalidInput, NotFound
from ..inputs import request as requests
from ..runs.run import LiveRun, RecordedRun
from . import answers, reference, stream
from .notice import notice
from .owner import remember
from .pictures import Look, last_picture
from .service import Service, root_of, service_of

WAIT_SECONDS: Final = 10.0
"""How long to wait for an end unasked, unless that is all the time that a run has."""
GRACE_SECONDS: Final = 2.0
"""How much longer than its limit of time a run may be waited for: it is stopped then, and what it came to is told."""
MOST_SECONDS: Final = 60.0
LIGHT_BODY: Final = 100_000
"""Bodies of up to this many bytes are read on the event loop."""
LOOK: Final = ("theme", "direction")
"""Options of a picture that may stand in the address of a POST."""

router = APIRouter(prefix="/api/v1", tags=["runs"])


class RunPage(Struct, frozen=True):
    """Some of an owner's runs, newest first; ``next`` continues the list as ``after``."""

    runs: list[model.RunHeading]
    next: str | None


def links(root: str, id: str) -> dict[str, str]:
    """Where a run is found."""
    own = f"{root}/api/v1/runs/{id}"
    return {"self": own, "page": f"{root}/r/{id}", "events": f"{own}/events", "steps": f"{own}/steps"}


@router.post("/runs", **reference.POST_RUN)
async def start_run(request: Request) -> Response:
    """Run a program, an expression, a training or a notebook, and answer its recording."""
    service, root = service_of(request), root_of(request)
    form = _form(request.headers.get("accept", ""))
    query = dict(request.query_params)
    look = Look(**{name: query.pop(name) for name in LOOK if name in query}).checked()
    owner = service.owners.known(request)
    body = await answers.body_of(request, service.limits.body_bytes)
    media_type = request.headers.get("content-type", "")
    if requests.may_be_training(body, media_type):
        await service.executor.settled()
    given = (body, media_type, query, service.limits, service.executor.optimizers)
    asked = requests.read(*given) if len(body) <= LIGHT_BODY else await service.archive.beside(requests.read, *given)

    fingerprint = hashlib.blake2b(media_type.encode() + repr(sorted(query.items())).encode() + body, digest_size=16).hexdigest()
    key = _idempotency(request, owner, fingerprint)
    fresh = None
    if owner is None:
        owner, fresh = service.owners.new()
    recorded = await service.runs.submit(asked, owner, key=key, fingerprint=fingerprint)
    if recorded.new.fingerprint != fingerprint:
        raise InvalidInput("This Idempotency-Key was used for something else: take another one.", where="Idempotency-Key")
    if recorded.new.owner != owner:
        fresh = None  # what somebody without a key began stays with whoever got its owner_key

    wait = seconds_to_wait(request.headers.get("prefer", ""))
    if isinstance(recorded, LiveRun):
        patient = not asked.store or (form != "json" and wait is None)
        await _ended(recorded, None if patient else _unasked(service.limits) if wait is None else wait)
    headers = {"Vary": "Accept"}
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait:g}"
    status = 200
    if asked.store:
        status = 201 if recorded.ended else 202
        headers["Location"] = f"{root}/api/v1/runs/{recorded.id}"
        if not recorded.ended:
            await service.archive.flush(recorded)
    if form != "json" and recorded.ended:
        response = await _picture(service, recorded, form, look, status, headers)
        if fresh is not None:
            response.headers["Tapedeck-Owner-Key"] = fresh
    else:
        run = await answers.read(service.archive, recorded, recorded.run, links(root, recorded.id) if asked.store else {})
        told = run if fresh is None else msgspec.structs.asdict(run) | {"owner_key": fresh}
        response = answers.json(told, status, headers)
    if fresh is not None:
        remember(response, request, fresh, root)
    return response


def _unasked(limits: model.Limits) -> float:
    """Seconds to wait for an end where the caller says nothing.

    >>> _unasked(model.Limits(wall_seconds=10.0)), _unasked(model.Limits(wall_seconds=60.0))
    (12.0, 10.0)
    """
    return limits.wall_seconds + GRACE_SECONDS if limits.wall_seconds <= WAIT_SECONDS else WAIT_SECONDS


async def _ended(recorded: LiveRun, seconds: float | None) -> None:
    """Wait for the end, or so long. Our own failure is raised."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await recorded.until_ended()
    if recorded.failure is not None:
        raise recorded.failure


async def _picture(
    service: Service, recorded: RecordedRun, form: str, look: Look, status: int, headers: dict[str, str]
) -> Response:
    """The last step's picture; where there is none, a sentence in its place."""
    drawn = await last_picture(service, recorded, form, look)
    if drawn is None:
        sentence = why_no_picture(recorded)
        drawn = notice(sentence, look.theme) if form == "svg" else f"{sentence}\n".encode()
    return Response(drawn, status, headers, MEDIA["svg" if form == "svg" else "txt"])


def why_no_picture(recorded: RecordedRun) -> str:
    """Say why a run has no graph to show."""
    if recorded.error is not None:
        line = f" on line {recorded.error.line}" if recorded.error.line is not None else ""
        return f"No graph: the program stopped{line} with {recorded.error.type}: {recorded.error.message}"
    return (
        "No graph: nothing that requires a gradient was computed. Make a tensor with requires_grad=True, and compute with it."
    )


@router.get("/runs", **reference.answers(RunPage, "Runs of the caller, newest first."))
async def list_runs(
    request: Request,
    count: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(description="`next` of the page before", max_length=100)] = None,
) -> Response:
    """List the caller's runs, newest first."""
    service, root = service_of(request), root_of(request)
    owner = service.owners.known(request)
    if owner is None:
        return answers.json(RunPage([], None))
    found = await service.runs.of_owner(owner, count + 1, None if after is None else _place(after))
    more = len(found) > count
    headings = [recorded.heading(links(root, recorded.id)) for recorded in found[:count]]
    last = found[count - 1].stored if more else None
    return answers.json(RunPage(headings, f"{last.created!r}:{last.number}" if last else None))


def _place(after: str) -> tuple[float, int]:
    created, _, number = after.partition(":")
    try:
        return float(created), min(int(number), 2**62)
    except ValueError:
        raise InvalidInput("after is what next said in the page before.", where="query.after") from None


@router.get("/runs/{id}", **reference.answers(model.Run, "The run.", 304, 404))
async def read_run(request: Request, id: str) -> Response:
    """Tell of a run all but its steps: status, values of lines, printed text, error, findings."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    run = await answers.read(service.archive, recorded, recorded.run, links(root_of(request), id))
    return answers.of_take(request, recorded, run)


@router.delete("/runs/{id}", status_code=204, **reference.answers(None, "It is deleted.", 403, 404))
async def delete_run(request: Request, id: str) -> Response:
    """Delete a run of one's own; one that goes on is stopped, and so are its replays."""
    service = service_of(request)
    await service.runs.delete(id, service.owners.known(request))
    service.replays.stop(id)
    return Response(None, 204)


@router.post("/runs/{id}/cancel", **reference.answers(model.Run, "The run, which has ended.", 403, 404))
async def cancel_run(request: Request, id: str) -> Response:
    """Stop a run of one's own, keeping what was recorded. One that has ended stays as it is."""
    service = service_of(request)
    recorded = await service.runs.cancel(id, service.owners.known(request))
    run = await answers.read(service.archive, recorded, recorded.run, links(root_of(request), id))
    return answers.json(run)


@router.get("/runs/{id}/events", **reference.EVENTS)
async def follow_run(
    request: Request,
    id: str,
    last_event_id: Annotated[str | None, Header(description="Go on after the event with this id.")] = None,
) -> Response:
    """Follow a run as server-sent events: what was recorded, what comes, and the end."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    text = last_event_id or ""
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    last = stream.last_id(recorded)
    if last is not None and after >= last:
        return Response(None, 204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream.events(service.archive, recorded, after), 200, headers, "text/event-stream")


# -- headers


def _form(accept: str) -> str:
    """What a caller would rather have of ``json``, ``svg`` and ``txt``.

    >>> _form("image/svg+xml"), _form("*/*"), _form("text/plain;q=0.5, application/json"), _form("image/*")
    ('svg', 'json', 'json', 'svg')
    """
    best, chosen = 0.0, "json"
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        try:
            weight = next((float(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        except ValueError:
            weight = 0.0
        form = {
            "application/json": "json", "application/*": "json", "*/*": "json",
            "image/svg+xml": "svg", "image/*": "svg", "text/plain": "txt", "text/*": "txt",
        }.get(kind)  # fmt: skip
        if form is not None and weight > best:
            best, chosen = weight, form
    return chosen


def seconds_to_wait(prefer: str) -> float | None:
    """Seconds that a caller would wait for the end (RFC 7240).

    >>> seconds_to_wait("respond-async, wait=2"), seconds_to_wait("wait=soon"), seconds_to_wait("wait=100000")
    (2.0, None, 60.0)
    """
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        value = value.strip(' "')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(float(value[:10]), MOST_SECONDS)
    return None


def _idempotency(request: Request, owner: str | None, fingerprint: str) -> str | None:
    """What stands for a caller's key, apart from those of others; of strangers, only the same request has the same."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not key or len(key) > 200:
        raise InvalidInput("An Idempotency-Key has 1 to 200 characters.", where="Idempotency-Key")
    digest = hashlib.blake2b(f"{owner or fingerprint}\n{key}".encode(), digest_size=24).digest()
    return base64.urlsafe_b64encode(digest).decode()


def index_of(text: str, letter: str, what: str) -> int:
    """The number in an id such as ``g0``; raises :class:`NotFound`."""
    digits = text.removeprefix(letter)
    if text.startswith(letter) and digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(digits)
    raise NotFound(f"There is no {what} {text[:40]!r}: ids are {letter}0, {letter}1 and so on.")
