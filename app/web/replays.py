"""Answer replays: begin one, look at it, follow it to its end, and stop it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response, StreamingResponse

from ..replays import Replay, Replaying
from ..replays.asked import ELEMENTS, GRID, POINTS
from . import answers, reference
from .api import seconds_to_wait
from .owner import remember
from .service import root_of, service_of
from .stream import QUIET_SECONDS

WAIT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1
"""When to look again at a replay that goes on."""
BODY_BYTES: Final = 100_000

router = APIRouter(prefix="/api/v1/runs/{id}/replays", tags=["replays"])

_STEP: Final[dict[str, Any]] = {
    "step": {"type": "integer", "minimum": 0, "description": "index of a step of the run"},
    "pass": {"type": "integer", "minimum": 0, "description": "a pass of the step, if not the main one"},
}
_PARAMETERS: Final = {"type": "array", "items": {"type": "string"}}


def _kind(what: str, description: str, own: dict[str, Any], example: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "title": what,
        "type": "object",
        "description": description,
        "required": ["what", "step", *required],
        "additionalProperties": False,
        "properties": {"what": {"const": what}} | _STEP | own,
        "example": {"what": what, "step": 0} | example,
    }


_BODY: Final = {
    "oneOf": [
        _kind(
            "surface",
            "the loss over one element of a parameter with the tangent at the recorded point, or over two",
            {
                "parameters": _PARAMETERS
                | {
                    "minItems": 1,
                    "maxItems": 2,
                    "description": "by id or name, an element in brackets: `m`, `p0`, `model.0.weight[0,2]`; may be left "
                    "out where the pass has only one scalar, or two",
                },
                "points": {
                    "type": "integer",
                    "minimum": 2,
                    "description": f"values of each: {POINTS[0]} of at most {POINTS[1]}; of two, {GRID[0]} of {GRID[1]}",
                },
                "ranges": {
                    "type": "array",
                    "description": "for each parameter [low, high], or null for a range that holds its path over the steps",
                    "items": {"type": ["array", "null"], "items": {"type": "number"}},
                },
            },
            {"parameters": ["m"]},
        ),
        _kind(
            "check",
            "each leaf's gradient beside the slope of the loss by central differences",
            {
                "parameters": _PARAMETERS | {"description": "by id or name; all of the pass, unless named"},
                "elements": {
                    "type": "integer", "minimum": 1, "maximum": ELEMENTS[1], "default": ELEMENTS[0],
                    "description": "of each leaf, taken evenly",
                },
            },
            {},
        ),
        _kind(
            "factors",
            "the local derivatives of a node, got by calling its grad_fn with unit vectors",
            {"node": {"type": "string", "description": "id of a node in the graph of the pass"}},
            {"node": "n1"},
            "node",
        ),
    ]
}  # fmt: skip
_DONE: Final[dict[str, Any]] = {"application/json": {"schema": reference.schema(Replay)}}
_LOCATION: Final = {"Location": {"schema": {"type": "string"}, "description": "the replay"}}
_GOES_ON: Final[dict[str, Any]] = {
    "description": "It goes on: follow `links.events`, ask for `Location` again, or stop it by `POST …/cancel`.",
    "content": _DONE,
    "headers": _LOCATION | {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
}
_POST: Final[dict[str, Any]] = {
    "status_code": 201,
    "response_class": Response,
    "responses": {
        200: {"description": "It was asked for before: the same answer.", "content": _DONE},
        201: {
            "description": "The replay is done. `repeatable` says whether its numbers are those that were recorded; where they "
            "are not, `difference` says what differed first. `reason` says why there is no answer.",
            "content": _DONE,
            "headers": _LOCATION,
        },
        202: _GOES_ON,
    }
    | reference.problems(400, 403, 404, 409, 413, 422, 500, 503),
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
        "parameters": [reference.header("Prefer", "`wait=N`: wait so many seconds for the end (10)")],
    },
}
_READ: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {200: {"description": "The replay, which has ended.", "content": _DONE}, 202: _GOES_ON}
    | reference.problems(304, 404, 422, 500, 503),
    "openapi_extra": {"parameters": [reference.header("Prefer", "`wait=N`: wait so many seconds for the end (0)")]},
}
_FOLLOW: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Events `progress` (steps that came to the recorded numbers) and at last `end`, the replay.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }
    | reference.problems(404, 422),
}


@router.post("", **_POST)
async def start_replay(request: Request, id: str) -> Response:
    """Run the program again up to a step, confined, for what was not recorded."""
    service = service_of(request)
    recorded = await service.runs.find(id)
    caller = service.owners.known(request)
    body = await answers.body_of(request, min(BODY_BYTES, service.limits.body_bytes))
    fresh = None
    if caller is None:
        caller, fresh = service.owners.new()
    replaying = await service.replays.submit(recorded, body, caller)
    known = replaying.ended
    await _waited(request, replaying, WAIT_SECONDS)
    if not replaying.ended:
        return _going_on(request, id, replaying, fresh)
    told = _linked(request, id, replaying)
    return answers.json(told, 200 if known else 201, {"Location": told.links["self"]})


@router.get("/{replay}", **_READ)
async def read_replay(request: Request, id: str, replay: str) -> Response:
    """Read a replay that was asked for."""
    service = service_of(request)
    found = await service.replays.find(await service.runs.find(id), replay)
    await _waited(request, found, 0.0)
    if not found.ended:
        return _going_on(request, id, found)
    told = _linked(request, id, found)
    # what neither proved itself nor came to another number was stopped: asked for again, it may come to something
    return answers.kept(request, msgspec.json.encode(told), answers.JSON, final=told.repeatable is not None)


@router.post("/{replay}/cancel", **reference.answers(Replay, "The replay. For others who asked for it, it goes on.", 403, 404))
async def cancel_replay(request: Request, id: str, replay: str) -> Response:
    """Stop a replay that one asked for, unless somebody else did too. One that has ended stays as it is.

    Asked for again, one that was stopped begins anew.
    """
    service = service_of(request)
    recorded = await service.runs.find(id)
    return answers.json(_linked(request, id, await service.replays.cancel(recorded, replay, service.owners.known(request))))


@router.get("/{replay}/events", **_FOLLOW)
async def follow_replay(request: Request, id: str, replay: str) -> Response:
    """Follow a replay as server-sent events."""
    service = service_of(request)
    found = await service.replays.find(await service.runs.find(id), replay)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, id, found), 200, headers, "text/event-stream")


async def _events(request: Request, id: str, replaying: Replaying) -> AsyncIterator[bytes]:
    told = -1
    while True:
        changed = replaying.changed
        if replaying.done > told:
            told = replaying.done
            yield _event("progress", {"done": told, "of": replaying.asked.step + 1})
        if replaying.ended:
            break
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await changed.wait()
        except TimeoutError:
            yield b": still running\n\n"
    if replaying.failure is None:
        yield _event("end", _linked(request, id, replaying))
    else:
        yield _event("end", {"reason": str(replaying.failure)})


async def _waited(request: Request, replaying: Replaying, unasked: float) -> None:
    """Wait for the end as long as the caller prefers."""
    wait = seconds_to_wait(request.headers.get("prefer", ""))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(unasked if wait is None else wait):
            await replaying.until_ended()


def _going_on(request: Request, id: str, replaying: Replaying, fresh: str | None = None) -> Response:
    """What is known of a replay that goes on; ``fresh`` is the key of who had none."""
    told = _linked(request, id, replaying)
    headers = {"Location": told.links["self"], "Retry-After": str(RETRY_SECONDS)}
    if fresh is None:
        return answers.json(told, 202, headers)
    response = answers.json(msgspec.structs.replace(told, owner_key=fresh), 202, headers)
    remember(response, request, fresh, root_of(request))
    return response


def _event(name: str, data: Any) -> bytes:
    return format_sse_event(data_str=msgspec.json.encode(data).decode(), event=name)


def _linked(request: Request, id: str, replaying: Replaying) -> Replay:
    own = f"{root_of(request)}/api/v1/runs/{id}/replays/{replaying.id}"
    return msgspec.structs.replace(replaying.told(), links={"self": own, "events": f"{own}/events"})
