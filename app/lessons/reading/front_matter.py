"""Read the front matter of a lesson: its id, title, goal and needs."""

from __future__ import annotations

from typing import Annotated

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


def read(text: str) -> FrontMatter:
    """Return the fields of YAML text. Raises :class:`ValueError` with a message for a person.

    >>> read("id: step\\ntitle: One step\\ngoal: Make a step.\\ntorch: '2.13'").id
    'step'
    """
    try:
        return msgspec.yaml.decode(text, type=FrontMatter)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}".replace("Object ", "The front matter ").replace("$", "front matter ")) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"The front matter is not YAML: {error}") from error
