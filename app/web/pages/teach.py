"""Serve the page for teachers: the last chapter of the guide, with text to copy about an example of this server."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...recording import default_graph
from ..service import Service, root_of, service_of
from .guide import TEACH, chapter_page
from .pages import origin_of
from .snippets import Snippets, snippets

LESSON: Final = """\
---
id: slope
title: The slope of a square
goal: Work out w.grad by hand.
torch: "2.13"
---
```{code-cell} python
:name: square
import torch
w = torch.tensor(3.0, requires_grad=True)
loss = w ** 2
loss.backward()
```
{view="square phase=backward select=w"}
The loss is {num}`9.0000 <loss>`.

::::{predict} What is w.grad?
:answer: 6.0000 <w.grad>
:::{reply} 9
This is the value of the loss, not how it changes.
:::
:::{reply} else
The derivative of `w ** 2` is `2 * w`.
:::
::::
"""
"""A short lesson to start from."""

router = APIRouter(include_in_schema=False)


@router.get("/teach")
async def teach(request: Request) -> Response:
    """Show the page for teachers."""
    service = service_of(request)
    return chapter_page(
        request,
        TEACH,
        example=service.first_example,
        snippets=await _snippets(service, origin_of(request), root_of(request)),
        lesson=LESSON,
        embed_in=service.settings.embed_in.strip(),
        followers=service.settings.streams_of_run,
        followers_of_address=service.settings.streams_of_address,
        store_bytes=service.limits.store_bytes,
    )


async def _snippets(service: Service, origin: str, root: str) -> Snippets | None:
    """Return the text that puts the first example on a page; ``None`` while it has no recording with a graph."""
    example = service.first_example
    recorded = await service.example_runs.find(example)
    shown = None if recorded is None else await service.read(recorded, default_graph, recorded.recording)
    if recorded is None or shown is None:
        return None
    return snippets(origin, root, example.slug, recorded.id, recorded.title, shown)
