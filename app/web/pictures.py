"""Draw a run's pictures: of a pass, of a displayed tensor's graph, or of the last step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, ParamSpec, Protocol, TypeVar, get_args

from msgspec import Struct

from ..drawing import picture
from ..drawing.pen import EMBEDDED
from ..drawing.picture import Drawn, Tools
from ..drawing.sheet import Sheet
from ..drawing.style import Density, Direction, PictureLayout, Theme
from ..errors import InvalidInput
from ..recording import default_graph
from ..runs.outcome import explanation
from ..runs.run import RecordedRun

P = ParamSpec("P")
T = TypeVar("T")

THEMES: Final = ("light", "dark", "auto", "inline")
"""``inline`` is for a picture inside a page: it has no background and no legend, and the page's stylesheet colours it."""


class Look(Struct, frozen=True):
    """The theme, direction, layout and density of a picture, the node that it marks, and the view of a map."""

    theme: str = "light"
    direction: str = "TB"
    selected: str | None = None
    view: str | None = None
    reveal: str | None = None
    layout: str = "auto"
    density: str = "full"
    embedded: bool = False
    """Whether the text is written with the converter's own fonts, for a picture that is converted to PNG."""

    def checked(self) -> Look:
        """Return the look itself. Raises :class:`InvalidInput` for an unknown value."""
        chosen = (
            (self.theme, THEMES, "theme"),
            (self.direction, get_args(Direction), "direction"),
            (self.layout, get_args(PictureLayout), "layout"),
            (self.density, get_args(Density), "density"),
        )
        for value, choices, name in chosen:
            if value not in choices:
                raise InvalidInput(f"There is no {name} {value[:40]!r}: use {', '.join(choices)}.", where=name)
        return self

    def options(self) -> dict[str, Any]:
        """Return the arguments of :func:`drawing.picture.sheet_of_pass`."""
        inline = self.theme == "inline"
        return {
            "theme": "auto" if inline else self.theme,
            "direction": self.direction,
            "selected": self.selected,
            "standalone": not inline,
            "view": self.view,
            "reveal": self.reveal,
            "layout": self.layout,
            "density": self.density,
        } | ({"face": EMBEDDED} if self.embedded else {})


class ReadRecording(Protocol):
    """Reads from a recording: on the event loop, or in a thread."""

    async def __call__(self, recorded: RecordedRun, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of ``work``, which reads from a recording."""


class RunReader(Struct, frozen=True):
    """Reads recordings and draws their pictures for one client, which takes turns with other clients in drawing."""

    read: ReadRecording
    tools: Tools


async def draw(reader: RunReader, recorded: RecordedRun, what: str, index: int, form: str, look: Look) -> Drawn:
    """Return the picture of a ``pass`` or of a ``graph`` by its index."""
    sheet_of: Callable[..., Sheet] = picture.sheet_of_pass if what == "pass" else picture.sheet_of_graph
    sheet = await reader.read(recorded, sheet_of, recorded.recording, index, form, **look.options())
    return await picture.draw(sheet, form, reader.tools)


async def last_picture(reader: RunReader, recorded: RecordedRun, form: str, look: Look) -> Drawn | None:
    """Return the picture of the last step, else of the last pass, else of the last displayed graph, else ``None``."""
    last = default_graph(recorded.recording)
    return None if last is None else await draw(reader, recorded, last.kind, last.index, form, look)


async def thumbnail(reader: RunReader, recorded: RecordedRun, theme: Theme) -> Drawn | None:
    """Return the graph of :func:`last_picture`, drawn small for a list of runs; ``None`` if there is no graph."""
    last = default_graph(recorded.recording)
    if last is None:
        return None
    sheet_of: Callable[..., Sheet] = picture.sheet_of_pass if last.kind == "pass" else picture.sheet_of_graph
    sheet = await reader.read(recorded, sheet_of, recorded.recording, last.index, "svg", theme=theme)
    return await picture.thumbnail(sheet, reader.tools)


def why_no_picture(recorded: RecordedRun) -> str:
    """Return the sentence that explains why a run has no graph."""
    if recorded.error is not None:
        return f"No graph. {explanation(recorded.status, recorded.error)}"
    return (
        "No graph: the program computed nothing that requires a gradient. "
        "Create a tensor with requires_grad=True and compute with it."
    )
