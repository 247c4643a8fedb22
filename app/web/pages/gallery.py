"""Serve the gallery: the page with all examples, and a small picture of each one's graph."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import groupby
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from ... import examples
from ...drawing import picture
from ...drawing import thumbnail as small
from ...drawing.picture import Drawn
from ...drawing.style import Theme
from ...errors import NotFound
from ...examples import Example
from ...explain.registry import GROUPS
from ...explain.rule import Rule
from .. import responses
from ..pictures import RunReader, thumbnail
from ..service import service_of
from .templates import page, theme_of

UNTYPICAL: Final = ("About the recording",)
"""Groups of findings about limits of the recording. Their programs are large, or need something that a server lacks."""
FAILING: Final = frozenset({"scaled-update"})
"""Codes of findings that explain no error, although their example programs end with one."""
NO_RECORDING: Final = "Not recorded yet"
NO_GRAPH: Final = "Stops before there is a graph"

router = APIRouter(include_in_schema=False)


@cache
def all_examples() -> list[Example]:
    """Return the examples of the package, then the mistake in the documentation of each other finding.

    Findings of the groups in :data:`UNTYPICAL` are left out.
    """
    own = examples.gallery()
    shown = {each.finding for each in own}
    rules = [(group, rule) for group, rules in GROUPS.items() if group not in UNTYPICAL for rule in rules]
    return own + [_classic(group, rule) for group, rule in rules if rule.code not in shown]


def _classic(group: str, rule: Rule) -> Example:
    """Return the example of a finding. The title is the first comment of its program, as in every example."""
    documentation = rule.documentation
    title = documentation.headline.removesuffix(".").replace("`", "")
    why = next(section for section in documentation.sections if section.title == "Why it matters")
    return Example(
        slug=f"pitfall-{rule.code}",
        title=title,
        summary=why.blocks[0].lines[0],
        group=f"Mistakes: {group[0].lower()}{group[1:]}",
        fails=rule.failure is not None or rule.code in FAILING,
        program=f"# {title}\n{documentation.programs[0]}",
        tags=["mistake", rule.code],
        finding=rule.code,
    )


@router.get("/examples")
async def show(request: Request) -> Response:
    """Show all examples."""
    shown = service_of(request).examples
    groups = [(group, list(members)) for group, members in groupby(shown, lambda each: each.group)]
    counts = Counter(tag for each in shown for tag in each.tags)
    tags = sorted((tag for tag, count in counts.items() if count > 1), key=lambda tag: (-counts[tag], tag))
    return page(request, "examples", groups=groups, tags=[(tag, counts[tag]) for tag in tags], count=len(shown))


@router.get("/examples/{slug}.svg")
async def picture_of(request: Request, slug: str) -> Response:
    """Draw the graph of an example small, in the colours of ``?theme=``."""
    service = service_of(request)
    example = next((each for each in service.examples if each.slug == slug), None)
    if example is None:
        raise NotFound('There is no example of this name. The page "Examples" lists all of them.')
    theme: Theme = "dark" if theme_of(request) == "dark" else "light"
    recorded = await service.example_runs.find(example)
    if recorded is None:
        drawn = Drawn(small.note(NO_RECORDING, theme).encode(), final=False)
    else:
        reader = RunReader(service.read, picture.Tools(service.engine, service.converter, recorded.new.owner))
        drawn = await thumbnail(reader, recorded, theme) or Drawn(small.note(NO_GRAPH, theme).encode())
    return responses.cacheable(request, drawn.body, picture.MEDIA["svg"], final=drawn.final)
