"""Draw what a run recorded: a pass, a displayed tensor's graph, or the last step's."""

from __future__ import annotations

from typing import Any, Final, get_args

from msgspec import Struct

from ..drawing import picture
from ..drawing.style import Direction
from ..errors import InvalidInput
from ..recording import default_graph
from ..runs.run import RecordedRun
from .service import Service

THEMES: Final = ("light", "dark", "auto", "inline")
"""``inline`` is for the inside of a page: no ground and no key, coloured by the page's own sheet."""


class Look(Struct, frozen=True):
    """How a picture is to look."""

    theme: str = "light"
    direction: str = "TB"
    selected: str | None = None

    def checked(self) -> Look:
        """Itself; raises :class:`InvalidInput` where there is no such look."""
        for value, known, name in ((self.theme, THEMES, "theme"), (self.direction, get_args(Direction), "direction")):
            if value not in known:
                raise InvalidInput(f"There is no {name} {value[:40]!r}: take {', '.join(known)}.", where=name)
        return self

    def options(self) -> dict[str, Any]:
        """As the drawing takes it."""
        inline = self.theme == "inline"
        return {
            "theme": "auto" if inline else self.theme,
            "direction": self.direction,
            "selected": self.selected,
            "standalone": not inline,
        }


async def draw(service: Service, recorded: RecordedRun, what: str, index: int, form: str, look: Look) -> bytes:
    """The picture of a ``pass`` or of a ``graph`` by its number."""
    make = picture.render if what == "pass" else picture.render_graph
    return await make(recorded.recording, index, form, engine=service.engine, **look.options())


async def last_picture(service: Service, recorded: RecordedRun, form: str, look: Look) -> bytes | None:
    """The picture of the last step, else of the last pass, else of the last displayed graph; ``None`` without any."""
    found = default_graph(recorded.recording)
    return None if found is None else await draw(service, recorded, found.kind, found.index, form, look)
