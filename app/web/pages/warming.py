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

    Otherwise, the first request for a route or page would wait for this work. FastAPI also looks up the source of each route,
    for its error messages. :mod:`inspect` finds it faster after a first look-up, which caches the files of all modules.
    """
    scope = {"type": "http", "method": "GET", "path": "", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(scope)  # the scope matches no route; the call builds the route
    for endpoint in _endpoints(app):
        with contextlib.suppress(OSError, TypeError):  # an endpoint without a source
            inspect.getsourcelines(endpoint)
    compile_templates()


def _endpoints(app: FastAPI) -> Iterator[Callable[..., Any]]:
    for route in app.routes:
        router = getattr(route, "original_router", None)
        yield from (each.endpoint for each in (router.routes if router is not None else [route]) if isinstance(each, APIRoute))
