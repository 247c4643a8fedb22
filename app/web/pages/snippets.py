"""Write the text that puts a run on another page: a frame, a picture that links to the run, or Markdown.

The playground's dialog writes the same text with ``static/src/core/snippets.js``, and lets a person change its options.
"""

from __future__ import annotations

import re
from typing import Final

from markupsafe import escape
from msgspec import Struct

from ...recording.default_graph import GraphChoice
from ..links import embed_page, picture_url, run_page, with_query

HEIGHT: Final = 588
"""Height of a frame with a graph and a player, in pixels."""


class Snippets(Struct, frozen=True):
    """The three forms in which a run is put on a page."""

    frame: str
    picture: str
    markdown: str


def snippets(origin: str, root: str, name: str, run: str, title: str, shown: GraphChoice) -> Snippets:
    """Return the text that shows the example ``name`` with the recording ``run``, as the dialog writes it by default.

    ``origin`` is the scheme and the host of the server. The picture is that of the graph ``shown``.
    """
    page = f"{origin}{run_page(root, run)}"
    picture = origin + picture_url(root, run, shown.kind, shown.index, "png", {"direction": "TB", "theme": "light"})
    about = f"The backward graph of “{title}”"
    return Snippets(
        f'<iframe src="{escape(origin + frame_address(root, name))}" title="{escape(frame_title(title))}" width="100%" '
        f'height="{HEIGHT}" style="border:0" loading="lazy"></iframe>',
        f'<a href="{escape(page)}"><img src="{escape(picture)}" alt="{escape(about)}, with the gradient on every edge"></a>',
        f"[![{_label(about)}]({picture})]({page})",
    )


def frame_title(title: str) -> str:
    """Return the title of a frame with a run, which a screen reader announces.

    >>> frame_title("Fit a line.")
    'Fit a line: a run of Tapedeck'
    """
    return f"{title.rstrip('.…')}: a run of Tapedeck"


def frame_address(root: str, name: str) -> str:
    """Return the path of a frame with a graph and a player.

    >>> frame_address("/tapedeck", "intro")
    '/tapedeck/embed/intro?panes=graph,deck'
    """
    return with_query(embed_page(root, name), {"panes": "graph,deck"}).replace("%2C", ",")


def _label(text: str) -> str:
    """Escape text for the label of a link in Markdown."""
    return re.sub(r"([\\\[\]`*_<>&!])", r"\\\1", text)
