"""Do at the start of a server the work that its first visitors would otherwise wait for."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from .templates import compile_templates


def warm(app: FastAPI) -> None:
    """Build the routes of an app, and compile its templates.

    FastAPI and Jinja would do both at the first request for each. FastAPI also looks up the source of each route, for its error
    messages: Python finds it faster once it knows the files of all modules.
    """
    scope = {"type": "http", "method": "GET", "path": "", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(scope)  # matches nothing, so every route is looked at
    for endpoint in _endpoints(app):
        with contextlib.suppress(OSError, TypeError):  # an endpoint without a source
            inspect.getsourcelines(endpoint)
    compile_templates()


def _endpoints(app: FastAPI) -> Iterator[Callable[..., Any]]:
    for route in app.routes:
        router = getattr(route, "original_router", None)
        yield from (each.endpoint for each in (router.routes if router is not None else [route]) if isinstance(each, APIRoute))
