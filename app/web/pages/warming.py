"""Do at the start of a server the work that its first visitors would otherwise wait for."""

from __future__ import annotations

from fastapi import FastAPI

from .templates import compile_templates


def warm(app: FastAPI) -> None:
    """Build the routes of an app and compile its templates. FastAPI and Jinja would do both at the first request for each."""
    scope = {"type": "http", "method": "GET", "path": "", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(scope)  # matches nothing, so every route is looked at
    compile_templates()
