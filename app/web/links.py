"""Build the URLs that responses and pages contain.

``root`` is the path under which a proxy serves Tapedeck, without a slash at its end; it is empty without a proxy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from ..explain.registry import help_path

API: Final = "/api/v1"


def run_url(root: str, run: str) -> str:
    """Return the URL of a run in the API.

    >>> run_url("/tapedeck", "42")
    '/tapedeck/api/v1/runs/42'
    """
    return f"{root}{API}/runs/{run}"


def run_page(root: str, run: str) -> str:
    """Return the URL of the page that shows a run."""
    return f"{root}/r/{run}"


def embed_page(root: str, run: str) -> str:
    """Return the URL of the page that shows a run in a frame."""
    return f"{root}/embed/{run}"


def preview_links(origin: str, root: str, run: str) -> dict[str, str]:
    """Return the absolute URLs that a preview of a link to a run needs.

    >>> preview_links("https://t.example", "", "42")["oembed"]
    'https://t.example/oembed?url=https%3A%2F%2Ft.example%2Fr%2F42&format=json'
    """
    own = f"{origin}{run_page(root, run)}"
    return {"page": own, "oembed": with_query(f"{origin}{root}/oembed", {"url": own, "format": "json"})}


def run_links(root: str, run: str) -> dict[str, str]:
    """Return the ``links`` of a run."""
    own = run_url(root, run)
    return {
        "self": own, "page": run_page(root, run), "events": f"{own}/events", "steps": f"{own}/steps",
        "program": f"{own}/program.py", "notebook": f"{own}/notebook.ipynb",
    }  # fmt: skip


def list_links(root: str, run: str, lists: Iterable[str]) -> dict[str, str]:
    """Return the addresses of the lists of a run that are too long for the response about the run.

    >>> list_links("", "42", ["lines"])
    {'lines': '/api/v1/runs/42/lines'}
    """
    return {name: f"{run_url(root, run)}/{name}" for name in lists}


def replay_links(root: str, run: str, replay: str) -> dict[str, str]:
    """Return the ``links`` of a replay."""
    own = f"{run_url(root, run)}/replays/{replay}"
    return {"self": own, "events": f"{own}/events"}


def step_url(root: str, run: str, index: int) -> str:
    """Return the URL of a step in the API."""
    return f"{run_url(root, run)}/steps/{index}"


def picture_url(root: str, run: str, what: str, index: int, form: str, options: Mapping[str, Any] | None = None) -> str:
    """Return the URL of the picture of a ``pass`` or of a ``graph``.

    >>> picture_url("", "42", "pass", 0, "svg"), picture_url("", "42", "graph", 1, "png", {"theme": "dark"})
    ('/api/v1/runs/42/passes/0/graph.svg', '/api/v1/runs/42/graphs/g1/graph.png?theme=dark')
    """
    owner = f"passes/{index}" if what == "pass" else f"graphs/g{index}"
    return with_query(f"{run_url(root, run)}/{owner}/graph.{form}", options or {})


def problem_type(root: str, anchor: str) -> str:
    """Return the ``type`` of a problem: its entry in the reference."""
    return f"{root}/docs#{anchor}"


def finding_url(root: str, code: str) -> str:
    """Return the URL of the documentation of a finding's code.

    >>> finding_url("/tapedeck", "leaf-rebound")
    '/tapedeck/findings#leaf-rebound'
    """
    return f"{root}{help_path(code)}"


def with_query(path: str, parameters: Mapping[str, Any]) -> str:
    """Return ``path``, which may have a query, with the query parameters that are not ``None``.

    >>> with_query("/", {"step": 1, "node": None}), with_query("/?example=xor", {"step": 1})
    ('/?step=1', '/?example=xor&step=1')
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}{'&' if '?' in path else '?'}{urlencode(given)}" if given else path
