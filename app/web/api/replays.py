"""Define the routes that start, read, follow and cancel replays."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ...recording import MOST_ELEMENTS
from ...replays import LiveReplay, Replay
from ...replays.request import ELEMENTS, EXPRESSION_LENGTH, GRID, MOST_DIMENSION, POINTS
from .. import responses
from ..links import API, replay_links
from ..protection.clients import client_of, sender_of, wait_unless_left
from ..protection.owner import set_owner_cookie
from ..request_parts import read_body, require_json, seconds_to_wait
from ..responses import retry_after
from ..service import root_of, service_of
from ..streams import stream
from ..streams.feed import QUIET_SECONDS, set_within
from . import reference

WAIT_SECONDS: Final = 10.0
"""Seconds that a POST waits by default for the end of a replay."""
BODY_BYTES: Final = 100_000
POSITION_SECONDS: Final = 1.0
"""Seconds after which the stream of a waiting replay looks again for its position in the queue."""

router = APIRouter(prefix=f"{API}/runs/{{id}}/replays", tags=["replays"])

_STEP: Final[dict[str, Any]] = {
    "step": {"type": "integer", "minimum": 0, "description": "Index of a step of the run."},
    "pass": {"type": "integer", "minimum": 0, "description": "A pass of the step. Default: the main pass."},
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


def _of_an_expression(what: str, description: str, example: dict[str, Any]) -> dict[str, Any]:
    kind = _kind(what, description, {}, {}, "expression")
    return kind | {
        "required": ["what", "expression"],
        "properties": {
            "what": {"const": what},
            "step": _STEP["step"] | {"description": "The last step to evaluate it in. Default: the last step of the run."},
            "line": {"type": "integer", "minimum": 1, "description": "A line of the program. Default: every line."},
            "expression": {
                "type": "string", "minLength": 1, "maxLength": EXPRESSION_LENGTH,
                "description": "A Python expression over the program's names. It is evaluated under `no_grad`.",
            },
        },
        "example": {"what": what} | example,
    }  # fmt: skip


_BODY: Final = {
    "oneOf": [
        _kind(
            "surface",
            "Compute the loss as a function of one element of a parameter, with the tangent at the recorded point, or as a "
            "function of two elements.",
            {
                "parameters": _PARAMETERS
                | {
                    "minItems": 1,
                    "maxItems": 2,
                    "description": "Parameters by id or name, with an element in brackets: `m`, `p0`, `model.0.weight[0,2]`. "
                    "Can be omitted if the parameters of the pass are one or two scalars.",
                },
                "points": {
                    "type": "integer",
                    "minimum": 2,
                    "description": f"Number of values of each parameter. For one parameter: at most {POINTS[1]}, by default "
                    f"{POINTS[0]}. For two: at most {GRID[1]}, by default {GRID[0]}.",
                },
                "ranges": {
                    "type": "array",
                    "description": "`[low, high]` for each parameter, or null for a range around its values over the steps.",
                    "items": {"type": ["array", "null"], "items": {"type": "number"}},
                },
            },
            {"parameters": ["m"]},
        ),
        _kind(
            "check",
            "Compare each leaf's gradient with the slope of the loss by central differences.",
            {
                "parameters": _PARAMETERS | {"description": "Parameters by id or name. Default: all parameters of the pass."},
                "elements": {
                    "type": "integer", "minimum": 1, "maximum": ELEMENTS[1], "default": ELEMENTS[0],
                    "description": "Elements to check of each leaf, spread evenly.",
                },
            },
            {},
        ),
        _kind(
            "factors",
            "Compute the local derivatives of a node by calling its grad_fn with unit vectors.",
            {"node": {"type": "string", "description": "Id of a node in the graph of the pass."}},
            {"node": "n1"},
            "node",
        ),
        _kind(
            "distribution",
            "Compute a histogram, the largest elements, and the first NaN or infinite element, of a node's value and of the "
            "gradients at its outputs.",
            {"node": {"type": "string", "description": "Id of an operation or a leaf in the graph of the pass."}},
            {"node": "n1"},
            "node",
        ),
        _kind(
            "dependence",
            "Find which rows of the data, such as the samples of a batch, reach which rows of a node's value. Each row of the "
            "data in turn is replaced by another one.",
            {
                "node": {"type": "string", "description": "Id of an operation in the graph of the pass."},
                "dimension": {
                    "type": "integer", "minimum": 0, "maximum": MOST_DIMENSION, "default": 0,
                    "description": "The dimension of the value along which its rows lie.",
                },
            },
            {"node": "n1"},
            "node",
        ),
        _of_an_expression(
            "watch",
            "Evaluate an expression after each statement on a line, in all steps, as a `print` there would. Without a line, "
            "return each change of the value with the line that made it; for a tensor, return each write to it.",
            {"line": 12, "expression": "w.grad.norm()"},
        ),
        _of_an_expression(
            "seek",
            "Find the first step and line after which an expression is true.",
            {"expression": "loss > 10"},
        ),
        {
            "title": "step",
            "type": "object",
            "description": "Record a summarized step whole. Afterwards, the step and its passes have all their numbers.",
            "required": ["what", "step"],
            "additionalProperties": False,
            "properties": {"what": {"const": "step"}, "step": _STEP["step"]},
            "example": {"what": "step", "step": 0},
        },
        {
            "title": "elements",
            "type": "object",
            "description": "Record a step again with the elements of its larger tensors, of which the run has only statistics. "
            f"Afterwards, `why` explains them. A tensor has at most {MOST_ELEMENTS:,} elements, and a pass 14 MB.",
            "required": ["what", "step"],
            "additionalProperties": False,
            "properties": {"what": {"const": "elements"}, "step": _STEP["step"]},
            "example": {"what": "elements", "step": 0},
        },
    ]
}  # fmt: skip
_DONE: Final[dict[str, Any]] = {"application/json": {"schema": reference.schema(Replay)}}
_LOCATION: Final = {"Location": {"schema": {"type": "string"}, "description": "URL of the replay."}}
_IN_PROGRESS: Final[dict[str, Any]] = {
    "description": "The replay is in progress: follow `links.events`, read `Location` again, or `POST …/cancel`.",
    "content": _DONE,
    "headers": _LOCATION | {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}},
}
_POST: Final[dict[str, Any]] = {
    "status_code": 201,
    "response_class": Response,
    "responses": {
        200: {"description": "The replay was requested before and has ended. The body is that of 201.", "content": _DONE},
        201: {
            "description": "The replay is done. `repeatable` says whether it reproduced the recorded numbers. If it did not, "
            "`difference` contains the first difference. If there is no result, `reason` says why.",
            "content": _DONE,
            "headers": _LOCATION,
        },
        202: _IN_PROGRESS,
    }
    | reference.problems(400, 403, 404, 409, 413, 415, 422, 429, 500, 503),
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
        "parameters": [reference.header("Prefer", "`wait=N`: wait N seconds for the replay to end. Default: 10.")],
    },
}
_READ: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {200: {"description": "The replay, which has ended.", "content": _DONE}, 202: _IN_PROGRESS}
    | reference.problems(304, 404, 422, 500, 503),
    "openapi_extra": {
        "parameters": [reference.header("Prefer", "`wait=N`: wait N seconds for the replay to end. Default: 0.")]
    },
}
_FOLLOW: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Events `queue` while the replay waits, with its `position` and the `seconds` until it starts, "
            "`progress` (steps that reproduced the recorded numbers), then `end` with the replay.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }
    | reference.problems(404, 422, 429),
}


@router.post("", **_POST)
async def start_replay(request: Request, id: str) -> Response:
    """Run the program again up to a step, in the sandbox, to compute numbers that were not recorded."""
    service = service_of(request)
    recorded = await service.find(id)
    caller = service.owners.identify(request)
    client = client_of(request, caller, asked=id)
    require_json(request)
    body = await read_body(request, min(BODY_BYTES, service.limits.body_bytes))
    new_key = None
    if caller is None:
        caller, new_key = service.owners.new()
    live = await service.replays.submit(recorded, body, caller, client)
    existed = live.ended
    if not await _wait(request, live, WAIT_SECONDS):
        service.replays.leave(live, caller)
    if not live.ended:
        return _in_progress(request, id, live, new_key)
    replay = _with_links(request, id, live)
    return responses.json(replay, 200 if existed else 201, {"Location": replay.links["self"]})


@router.get("/{replay}", **_READ)
async def read_replay(request: Request, id: str, replay: str) -> Response:
    """Read a replay."""
    service = service_of(request)
    recorded = await service.find(id)
    live = await service.replays.find(recorded, replay)
    await _wait(request, live, 0.0)
    if not live.ended:
        return _in_progress(request, id, live)
    result = _with_links(request, id, live)
    # if it is undecided whether a replay equals the recording, the next POST may run the replay again
    final = result.repeatable is not None
    return responses.cacheable(request, msgspec.json.encode(result), responses.JSON, final=final, renewed=recorded.renewed)


@router.post(
    "/{replay}/cancel",
    **reference.returns(Replay, "The replay. It continues if other callers requested it too.", 403, 404),
)
async def cancel_replay(request: Request, id: str, replay: str) -> Response:
    """Stop a replay that the caller requested, unless other callers requested it too.

    A replay that has ended is not changed. Requesting a cancelled replay again starts it from the beginning.
    """
    service = service_of(request)
    recorded = await service.find(id)
    live = await service.replays.cancel(recorded, replay, service.owners.identify(request))
    return responses.json(_with_links(request, id, live))


@router.get("/{replay}/events", **_FOLLOW)
async def follow_replay(request: Request, id: str, replay: str) -> Response:
    """Follow a replay as server-sent events."""
    service = service_of(request)
    live = await service.replays.find(await service.find(id), replay)
    return service.listeners.open(id, sender_of(request.scope), _events(request, id, live))


async def _events(request: Request, id: str, live: LiveReplay) -> AsyncGenerator[bytes, None]:
    done, shown, silent = -1, None, 0.0
    while True:
        changed = live.changes.next
        if (queue := live.queue()) is not None and queue != shown:
            shown, silent = queue, 0.0
            yield stream.sse("queue", queue)
        if live.done > done:
            done, silent = live.done, 0.0
            yield stream.sse("progress", {"done": done, "of": live.request.step + 1})
        if live.ended:
            break
        seconds = QUIET_SECONDS if queue is None else POSITION_SECONDS
        if not await set_within(seconds, changed) and (silent := silent + seconds) >= QUIET_SECONDS:
            silent = 0.0
            yield stream.COMMENT
    if live.failure is None:
        yield stream.sse("end", _with_links(request, id, live))
    else:
        yield stream.sse("end", {"reason": str(live.failure)})


async def _wait(request: Request, live: LiveReplay, default: float) -> bool:
    """Wait for the end of a replay for the seconds that the caller prefers, or ``default``.

    Return whether the caller is still there.
    """
    wait = seconds_to_wait(request.headers.get("prefer", ""))
    return await wait_unless_left(request, live.until_ended(), default if wait is None else wait)


def _in_progress(request: Request, id: str, live: LiveReplay, new_key: str | None = None) -> Response:
    """Return a replay in progress. ``new_key`` is the key of a caller who had none."""
    replay = _with_links(request, id, live)
    headers = {"Location": replay.links["self"], "Retry-After": retry_after(replay.queue)}
    if new_key is None:
        return responses.json(replay, 202, headers)
    response = responses.json(msgspec.structs.replace(replay, owner_key=new_key), 202, headers)
    set_owner_cookie(response, request, new_key, root_of(request))
    return response


def _with_links(request: Request, id: str, live: LiveReplay) -> Replay:
    links = replay_links(root_of(request), id, live.id)
    return msgspec.structs.replace(live.current(), links=links)
