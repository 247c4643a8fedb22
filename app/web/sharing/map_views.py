"""Draw the views of a map for a run's HTML file, in which a reader opens and closes groups without a server.

Each group is opened at least once: in the first view, or inside the groups around it. A file has no view for every combination
of open groups, so opening a group may close groups of other branches. Groups stay closed if there are too many.
"""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from msgspec import Struct

MOST_VIEWS: Final = 120
"""Largest number of views of all maps in a file. Drawing one takes some tens of milliseconds."""
VIEWS_BYTES: Final = 3 * 1024 * 1024
"""Size in bytes of the pictures of views after which no more are added. Compressed, they take about an eighth of it."""
_ROOT: Final = re.compile(r'<svg[^>]* data-view="([^"]*)"')
_GRAPH: Final = re.compile(r'<svg[^>]* data-graph="g(\d+)"')
_LAYOUT: Final = re.compile(r'<svg[^>]* data-layout="([^"]*)"')
_BUTTON: Final = re.compile(r' role="button" tabindex="0" aria-expanded="(?:true|false)"([^>]*?) data-view="([^"]*)"')

Draw = Callable[[str, str], Awaitable[str]]
"""Draws a view, given its address and its layout."""


class MapViews(Struct, frozen=True):
    """The pictures of a map by the addresses of their views. ``closed`` is true if some groups stay closed."""

    pictures: dict[str, str]
    closed: bool

    def linked(self, svg: str) -> str:
        """Return a picture of the map whose buttons lead only to views of this map."""
        here, opened = address_of(svg) or "", self._by_opened

        def link(button: re.Match[str]) -> str:
            there = self._known(here, html.unescape(button[2]), opened)
            if there is None:
                return f' role="img"{button[1]}'
            return button[0].replace(f'data-view="{button[2]}"', f'data-view="{html.escape(there)}"')

        return _BUTTON.sub(link, svg)

    @property
    def _by_opened(self) -> dict[str, str]:
        """For each group, the address of the view in which it is open together with the fewest others."""
        shortest = sorted(self.pictures, key=lambda address: address.count(","), reverse=True)
        return {id: address for address in shortest for id in address.split(",")}

    def _known(self, here: str, there: str, opened: dict[str, str]) -> str | None:
        if there in self.pictures:
            return there
        further = _opened(here, there)
        return opened.get(further[0]) if further else None


async def views_of_map(first: str, draw: Draw, count: int = MOST_VIEWS, size: int = VIEWS_BYTES) -> MapViews:
    """Return the views of a map that begins with the picture ``first``.

    There are at most ``count`` views. When the pictures after the first have ``size`` bytes, no more are added.
    """
    address, layout = address_of(first), _LAYOUT.match(first)
    if address is None:
        return MapViews({}, closed=False)
    found = {address: first}
    seen, closed = set(address.split(",")), False
    opening, closing = deque[str](), deque[str]()

    def follow(here: str, svg: str) -> None:
        for there in _further(here, svg, seen):
            (opening if _opened(here, there) else closing).append(there)

    follow(address, first)
    while opening or closing:
        if len(found) >= count or size <= 0:
            closed = bool(opening)
            break
        there = (opening or closing).popleft()
        svg = await draw(there, layout[1] if layout else "auto")
        size -= len(svg)
        found[there] = svg
        follow(there, svg)
    views = MapViews(found, closed)
    return MapViews({each: views.linked(svg) for each, svg in found.items()}, closed)


def graph_of(svg: str) -> int | None:
    """Return the index of the graph that a picture shows as a map, or ``None`` if it is not a map."""
    graph = _GRAPH.match(svg) if _ROOT.match(svg) else None
    return None if graph is None else int(graph[1])


def address_of(svg: str) -> str | None:
    """Return the address of the view that a picture shows as a map, or ``None`` if it is not a map."""
    address = _ROOT.match(svg)
    return None if address is None else html.unescape(address[1])


def _further(here: str, svg: str, seen: set[str]) -> Iterator[str]:
    """Yield the addresses to which the buttons of a picture lead, and add their groups to ``seen``. Skip groups in ``seen``."""
    for button in _BUTTON.finditer(svg):
        there = html.unescape(button[2])
        key = next(iter(_opened(here, there)), None) or there
        if there != here and key not in seen:
            seen.add(key)
            yield there


def _opened(here: str, there: str) -> list[str]:
    """Return the groups that are open at one address and not at another.

    >>> _opened("a,b", "a/x,b"), _opened("a,b", "b")
    (['a/x'], [])
    """
    before = set(here.split(","))
    return [id for id in there.split(",") if id and id not in before]
