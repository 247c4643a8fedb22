"""Read the front matter of a lesson: its id, title, goal and needs."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


class FrontMatter(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields before the first block of a lesson. ``torch`` is the version of PyTorch that computed the numbers."""

    id: Id
    title: Annotated[str, Meta(min_length=1)]
    goal: Annotated[str, Meta(min_length=1)]
    torch: str
    minutes: Annotated[int, Meta(ge=1)] = 10
    needs: list[Id] = []
    seed: Annotated[int, Meta(ge=0)] = 0
    license: str = ""
    author: str = ""
    lang: str = "en"


_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_TEXT: Final = re.compile(r"Expected `str`, got `\w+` - at `\$\.(\w+)`")
_YAML_LINE: Final = re.compile(r"\bline (\d+), column")
_OTHER: Final = re.compile(r"(.*) - at `\$\.(\w+).*`")


class UnreadableFrontMatter(ValueError):
    """Front matter cannot be read. The message is for a person; ``line`` counts from 0 below the line ``---``."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def read(text: str) -> FrontMatter:
    """Return the fields of YAML text. Raises :class:`UnreadableFrontMatter`.

    >>> read("id: step\\ntitle: One step\\ngoal: Make a step.\\ntorch: '2.13'").id
    'step'
    """
    try:
        return msgspec.yaml.decode(text, type=FrontMatter)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), text) from error
    except (msgspec.DecodeError, ValueError) as error:
        problem, line = f"{error}".partition("\n")[0], _YAML_LINE.search(f"{error}")
        message = f"The front matter is not YAML ({problem}): put a text with a colon or a quote in quotes."
        raise UnreadableFrontMatter(message, int(line[1]) - 1 if line else 0) from error


def _invalid(message: str, text: str) -> UnreadableFrontMatter:
    if found := _MISSING.match(message):
        return UnreadableFrontMatter(f"The front matter has no `{found[1]}`: add a line that begins with `{found[1]}:`.")
    if found := _UNKNOWN.match(message):
        fields = ", ".join(FrontMatter.__struct_fields__)
        return UnreadableFrontMatter(
            f"The front matter has no field `{found[1]}`: it may have {fields}.", _line(text, found[1])
        )
    if found := _TEXT.match(message):
        return UnreadableFrontMatter(f"`{found[1]}` must be a text: put its value in quotes.", _line(text, found[1]))
    if found := _OTHER.match(message):
        return UnreadableFrontMatter(f"`{found[2]}` is not valid: {found[1]}.", _line(text, found[2]))
    return UnreadableFrontMatter(f"The front matter is not valid: {message}.")


def _line(text: str, field: str) -> int:
    lines = text.split("\n")
    return next((index for index, line in enumerate(lines) if line.startswith(f"{field}:")), 0)
