"""Define the routes of classrooms: pages that follow a teacher's playhead."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from msgspec import Struct
from starlette.responses import Response

from .. import responses
from ..links import API, run_page, with_query
from ..protection.clients import sender_of
from ..service import root_of, service_of
from ..streams.classrooms import LONGEST, Classroom, Classrooms
from ..streams.feed import MOST_COMMENTS
from ..streams.stream import COMMENT, sse
from . import reference

EVENTS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {200: {"description": "Events `position` and `end`.", "content": {"text/event-stream": {}}}}
    | reference.problems(404, 422, 429),
}

router = APIRouter(prefix=f"{API}", tags=["classrooms"])
Key = Annotated[str, Header(alias="Classroom-Key", max_length=100, description="The `key` of the classroom.")]
Position = Annotated[
    str, Query(max_length=LONGEST, pattern=r"^[ -~]*$", description="Query of the page's address, such as `step=3&phase=loss`.")
]


class OpenedClassroom(Struct, frozen=True):
    """A classroom that was opened. Its ``key`` is required to move and to close it. Share the link ``page`` with the class."""

    id: str
    key: str
    links: dict[str, str]


class Shared(Struct, frozen=True):
    """The position that a classroom shows: the query of the page's address."""

    position: str


@router.post("/runs/{id}/classrooms", status_code=201, **reference.returns(OpenedClassroom, "The classroom.", 404, 429))
async def open_classroom(request: Request, id: str) -> Response:
    """Open a classroom for a run. Pages that follow it show the instant that the caller sends.

    A classroom closes two hours after it was moved last, and when the server stops. Nothing about it is stored.
    """
    service, root = service_of(request), root_of(request)
    recorded = await service.find(id)
    room, opened = service.classrooms.open(recorded.id, sender_of(request.scope))
    links = {
        "page": with_query(run_page(root, recorded.id), {"follow": room}),
        "position": f"{root}{API}/classrooms/{room}/position",
        "events": f"{root}{API}/classrooms/{room}/events",
    }
    return responses.json(OpenedClassroom(room, opened.key, links), 201)


@router.post("/classrooms/{room}/position", status_code=204, **reference.returns(None, "The position was set.", 403, 404, 422))
async def move_classroom(request: Request, room: str, key: Key, position: Position = "") -> Response:
    """Set the position that the pages of a classroom show."""
    service_of(request).classrooms.move(room, key, position)
    return Response(None, 204)


@router.delete("/classrooms/{room}", status_code=204, **reference.returns(None, "The classroom is closed.", 403, 404))
async def close_classroom(request: Request, room: str, key: Key) -> Response:
    """Close a classroom. The pages that follow it stay where they are."""
    service_of(request).classrooms.close(room, key)
    return Response(None, 204)


@router.get("/classrooms/{room}/events", **EVENTS)
async def follow_classroom(request: Request, room: str) -> Response:
    """Follow a classroom as server-sent events: `position` for the present position and each new one, then `end`."""
    service = service_of(request)
    found = service.classrooms.find(room)
    return service.listeners.open(f"classroom {room}", sender_of(request.scope), _events(service.classrooms, found))


async def _events(classrooms: Classrooms, room: Classroom) -> AsyncGenerator[bytes, None]:
    silences = 0
    async with contextlib.aclosing(classrooms.follow(room)) as positions:
        async for position in positions:
            silences = silences + 1 if position is None else 0
            if silences > MOST_COMMENTS:
                return  # without the event `end`, so a page that still listens opens the stream again
            yield COMMENT if position is None else sse("position", Shared(position))
    yield sse("end", {"status": "closed"})
