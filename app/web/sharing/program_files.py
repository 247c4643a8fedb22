"""Write the program of a run as a file: Python, or a notebook with the values as outputs and the graphs as pictures."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ... import model
from ...errors import DrawingError
from ...recording import Recording
from ...runs.run import RecordedRun
from .. import responses
from ..api import reference
from ..links import API
from ..pictures import Look, RunReader, draw
from ..service import reader_of, service_of
from .made_files import file_answer, made_once

NOTEBOOK: Final = "application/x-ipynb+json"
PYTHON: Final = "text/x-python; charset=utf-8"
PICTURES: Final = 12
"""Largest number of cells that get the picture of a pass."""
PASSES_SEARCHED: Final = 200
"""Number of passes at the end of a recording that are searched for the last pass of each cell."""

router = APIRouter(prefix=f"{API}/runs/{{id}}", tags=["recording"])


def _file(media_type: str, kind: str, description: str, *more: int) -> dict[str, Any]:
    content = {media_type.partition(";")[0]: {"schema": {"type": kind}}}
    found = {200: {"description": description, "content": content}}
    return {"response_class": Response, "responses": found | reference.problems(304, 404, 422, *more)}


@router.get("/program.py", **_file(PYTHON, "string", "The program."))
async def export_program(request: Request, id: str) -> Response:
    """Read the program as a Python file, exactly as it was run."""
    recorded = await service_of(request).find(id)
    answer = responses.cacheable(
        request, recorded.new.program.text.encode(), PYTHON, final=recorded.ended, renewed=recorded.renewed
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="{file_name(recorded)}.py"'
    return answer


@router.get("/notebook.ipynb", **_file(NOTEBOOK, "object", "The notebook, in nbformat 4.5.", 503))
async def export_notebook(request: Request, id: str) -> Response:
    """Read the program as a notebook: its cells with printed text, values, and a picture of the last pass of each cell.

    Posted again, the notebook gives the same recording. Its Markdown cells are those of the notebook that was posted.
    """
    service = service_of(request)
    recorded = await service.find(id)
    made = await made_once(
        request, recorded, "notebook.ipynb", service.making, lambda: _with_pictures(reader_of(request), recorded)
    )
    headers = {"Content-Disposition": f'attachment; filename="{file_name(recorded)}.ipynb"'}
    return file_answer(request, recorded, made, NOTEBOOK, headers)


async def _with_pictures(reader: RunReader, recorded: RecordedRun) -> bytes:
    program = recorded.new.program
    document = await reader.read(recorded, notebook, recorded.recording, program)
    code = [each for each in document["cells"] if each["cell_type"] == "code"]
    for cell, index in (await reader.read(recorded, last_passes, recorded.recording, program)).items():
        code[cell]["outputs"] += await _picture(reader, recorded, index)
    return await asyncio.to_thread(lambda: msgspec.json.format(msgspec.json.encode(document), indent=1))


def notebook(recording: Recording, program: model.Program) -> dict[str, Any]:
    """Return a run as a notebook without pictures."""
    lines = program.text.split("\n")
    cells: list[dict[str, Any]] = []
    for cell in recording.cells(program):
        cells += map(_markdown, cell.markdown)
        source = "\n".join(lines[cell.start_line - 1 : cell.end_line])
        streams = (("stdout", cell.stdout), ("stderr", cell.stderr))
        outputs: list[dict[str, Any]] = [
            {"output_type": "stream", "name": name, "text": text} for name, text in streams if text
        ]
        if cell.output:
            data = {"text/plain": cell.output}
            outputs.append({"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": cell.number})
        named = {"name": cell.name} if cell.name else {}
        cells.append(
            {"cell_type": "code", "metadata": named, "execution_count": cell.number, "outputs": outputs, "source": source}
        )
        cells += map(_markdown, cell.markdown_below)
    for index, each in enumerate(cells):
        each["id"] = f"cell-{index}"
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": python, "cells": cells}


def last_passes(recording: Recording, program: model.Program) -> Mapping[int, int]:
    """Return, by the index of a cell, the index of the last pass with a graph that the cell started.

    Only the last :data:`PASSES_SEARCHED` passes are searched, and only the first :data:`PICTURES` cells are returned.
    """
    found: dict[int, int] = {}
    count = recording.log.counts()[1]
    for index in range(count - 1, max(-1, count - 1 - PASSES_SEARCHED), -1):
        event = recording.log.pass_(index)
        cell = next((at for at, (start, end) in enumerate(program.cells) if start <= event.line <= end), None)
        if cell is not None and event.graph >= 0:
            found.setdefault(cell, index)
            if len(found) == len(program.cells):
                break
    return dict(sorted(found.items())[:PICTURES])


async def _picture(reader: RunReader, recorded: RecordedRun, index: int) -> list[dict[str, Any]]:
    """Return the output of a cell that shows a pass; none if the pass cannot be drawn."""
    try:
        svg = await draw(reader, recorded, "pass", index, "svg", Look())
        png = await draw(reader, recorded, "pass", index, "png", Look())
    except DrawingError:
        return []
    data = {"image/png": base64.b64encode(png.body).decode(), "image/svg+xml": svg.body.decode(), "text/plain": f"pass {index}"}
    return [{"output_type": "display_data", "data": data, "metadata": {}}]


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def file_name(recorded: RecordedRun) -> str:
    """Return the name of the file, without its ending: the title in ASCII, with hyphens."""
    title = re.sub(r"\.(py|ipynb)$", "", recorded.title)
    return re.sub(r"[^A-Za-z0-9_]+", "-", title).strip("-")[:60] or "program"
