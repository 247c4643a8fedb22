"""Define the routes that list and read lessons, and judge what a reader writes."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from ...errors import InvalidInput, UnreadableInput
from ...lessons.answers.judge import Judged
from ...lessons.document import FixTask, Lesson, WriteTask
from ...lessons.values.language import BindingError
from .. import responses
from ..api import reference
from ..links import API
from ..protection.clients import client_of, wait_unless_left
from ..request_parts import read_body, require_json
from ..service import root_of, service_of

CODE_BYTES: Final = 8_000
"""Largest code of a reader in bytes. A task takes a few lines."""
BODY_BYTES: Final = 6 * CODE_BYTES + 100
"""Largest body in bytes. In JSON, a byte of code takes at most six bytes."""

router = APIRouter(prefix=f"{API}/lessons", tags=["lessons"])


class LessonHeading(Struct, frozen=True):
    """A lesson in the list of lessons. ``needs`` are ids of lessons to read first."""

    id: str
    title: str
    goal: str
    minutes: int
    needs: list[str]
    lang: str
    links: dict[str, str]


class LessonList(Struct, frozen=True):
    """The lessons of this server, in the order in which to read them."""

    lessons: list[LessonHeading]


class _Code(Struct, forbid_unknown_fields=True):
    code: str


_CODE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["code"],
                    "additionalProperties": False,
                    "properties": {"code": {"type": "string", "maxLength": CODE_BYTES, "description": "Python source code."}},
                    "example": {"code": "dm = (2 * (m * x - y) * x).mean()"},
                }
            }
        },
    }
}
_JUDGED: Final[dict[str, Any]] = reference.returns(
    Judged, "Whether the code passes, and if not, the first element that differs.", 400, 404, 413, 415, 429, 503
) | {"openapi_extra": _CODE}


@router.get("", **reference.returns(LessonList, "The lessons."))
async def list_lessons(request: Request) -> Response:
    """List the lessons."""
    root = root_of(request)
    headings = [
        LessonHeading(each.id, each.title, each.goal, each.minutes, each.needs, each.lang, _links(root, each.id))
        for each in service_of(request).lessons.lessons
    ]
    return responses.json(LessonList(headings), headers={"Cache-Control": "no-cache"})


@router.get("/{id}", **reference.returns(Lesson, "The lesson.", 404))
async def read_lesson(request: Request, id: str) -> Response:
    """Read a lesson: its prose, its cells and its tasks."""
    lesson = service_of(request).lessons.lesson(id)
    return responses.json(
        msgspec.structs.replace(lesson, file=lesson.file.rpartition("/")[2]), headers={"Cache-Control": "no-cache"}
    )


@router.post("/{id}/write/{name}", **_JUDGED)
async def judge_written(request: Request, id: str, name: str) -> Response:
    """Run a reader's code in the sandbox, after the cells of a lesson, and compare its result with theirs by element."""
    return await _judge(request, id, service_of(request).lessons.write_task(id, name))


@router.post("/{id}/fix/{name}", **_JUDGED)
async def judge_fixed(request: Request, id: str, name: str) -> Response:
    """Run a fixed program in the sandbox, and judge whether its fault is gone and its conditions are true."""
    return await _judge(request, id, service_of(request).lessons.fix_task(id, name))


async def _judge(request: Request, id: str, task: WriteTask | FixTask) -> Response:
    service = service_of(request)
    require_json(request)
    code = _code(await read_body(request, min(BODY_BYTES, service.limits.body_bytes)))
    client = client_of(request, service.owners.identify(request), asked=f"{id}/{task.name}")
    service.runs.check_room(client)
    address = service.owners.digest(client.address)
    answer: list[Judged] = []

    async def judge() -> None:
        try:
            answer.append(await service.lessons.judge(id).judge(task, code, client, address))
        except BindingError as error:
            raise InvalidInput(f"This task has a fault, which `tapedeck lesson check` reports: {error}") from error

    await wait_unless_left(request, judge(), None)
    return responses.json(answer[0] if answer else None)  # the caller has left, so nobody reads the answer


def _code(body: bytes) -> str:
    try:
        code = msgspec.json.decode(body, type=_Code).code
    except msgspec.ValidationError as error:
        raise InvalidInput(f'Send {{"code": "…"}} with the code as a string: {error}.', where="code") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"The body is not valid JSON: {error}.") from error
    size = len(code.encode(errors="replace"))
    if size > CODE_BYTES:
        raise InvalidInput(f"The code has {size:,} bytes; it may have {CODE_BYTES:,}.", where="code")
    if "\0" in code or not code.strip():
        raise InvalidInput("The code is empty or contains NUL bytes: write Python code.", where="code")
    return code


def _links(root: str, id: str) -> dict[str, str]:
    return {"self": f"{root}{API}/lessons/{id}", "page": f"{root}/lessons/{id}"}
