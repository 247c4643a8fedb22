"""Describe the API in ``/openapi.json``, from the structs that the routes return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from ... import __version__, model
from ...inputs import request as requests
from .problems import MEDIA, PROBLEM_KINDS, Problem, ProblemKind

_SINGULAR: Final = frozenset({"run", "step", "pass", "node", "graph", "replay"})
"""Nouns that take an article in the summary of an operation."""
_REFERENCE: Final = "#/components/schemas/{name}"
_structs: set[Any] = {Problem, model.Run}

_STATUSES: Final = {kind.status: kind for kind in PROBLEM_KINDS.values()}


def schema(struct: Any) -> dict[str, str]:
    """Return a reference to a struct's schema, and add the schema to the description of the API."""
    _structs.add(struct)
    return {"$ref": _REFERENCE.format(name=struct.__name__)}


def returns(struct: Any, description: str, *others: int) -> dict[str, Any]:
    """Return decorator arguments for a route that returns a struct as JSON, or a problem with status 422 or ``others``."""
    success: dict[str, Any] = {"description": description}
    if struct is not None:
        success["content"] = {"application/json": {"schema": schema(struct)}}
    responses: dict[int | str, dict[str, Any]] = {204 if struct is None else 200: success}
    return {"response_class": Response, "responses": responses | problems(422, *others)}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of problem responses with these statuses."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        if status == 304:
            found[status] = {"description": "Not modified: If-None-Match names the current version."}
            continue
        kind: ProblemKind = _STATUSES[status]
        content: dict[str, Any] = {MEDIA: {"schema": schema(Problem)}}
        if status == 503:  # /readyz returns its own JSON
            content["application/json"] = {"schema": {}}
        found[status] = {"description": f"{kind.title}. {kind.sentence}", "content": content}
        if status in (429, 503):
            found[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return found


_OPTIONS: Final[dict[str, Any]] = {
    "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "Seed of torch, numpy and random."},
    "capture": {
        "enum": ["full", "norms", "graph"],
        "default": "full",
        "description": "Record elements and statistics (`full`), statistics (`norms`), or no numbers (`graph`).",
    },
    "values": {
        "type": "integer",
        "minimum": 0,
        "default": 64,
        "description": "Largest number of elements of a tensor that is recorded with all its elements.",
    },
    "title": {
        "type": "string",
        "description": "Title of the run, such as the name of a file. Default: the first comment of the program.",
    },
    "store": {"type": "boolean", "default": True, "description": "`false` returns the run without storing it."},
}
_TENSOR: Final = {
    "description": "A number, nested lists of numbers, or an object with `values` and optionally `dtype` and `requires_grad`.",
    "anyOf": [
        {"type": ["number", "boolean", "array", "string"]},
        {
            "type": "object",
            "required": ["values"],
            "additionalProperties": False,
            "properties": {"values": {}, "dtype": {"type": "string"}, "requires_grad": {"type": "boolean"}},
        },
    ],
}


def _body_schema(name: str, own: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": name,
        "type": "object",
        "required": [name],
        "additionalProperties": False,
        "properties": own | _OPTIONS,
        "example": example,
    }


_FIT: Final = "import torch\nx = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)\n(x ** 2).mean().backward()\nx.grad\n"
_LINE: Final = {
    "parameters": {"m": 1},
    "data": {"x": [1, 2, 3], "y": [2, 4, 6]},
    "loss": "((m * x - y) ** 2).mean()",
    "optimizer": {"name": "SGD", "lr": 0.01},
    "steps": 50,
}
_TRAINING: Final = {
    "type": "object",
    "description": "A training loop. The response contains it as `program`.",
    "required": ["parameters", "loss", "optimizer", "steps"],
    "additionalProperties": False,
    "properties": {
        "parameters": {"type": "object", "minProperties": 1, "additionalProperties": _TENSOR, "description": "Initial values."},
        "data": {"type": "object", "additionalProperties": _TENSOR},
        "loss": {"type": "string", "description": "An expression of the parameters and the data whose value is a scalar."},
        "optimizer": {
            "description": "An optimizer of `torch.optim`: its name, or an object with its name and options.",
            "anyOf": [],  # see _optimizer_forms
        },
        "steps": {"type": "integer", "minimum": 1, "maximum": model.Limits().training_steps},
    },
}
_BODY: Final = {
    "oneOf": [
        _body_schema("program", {"program": {"type": "string", "description": "Python source code."}}, {"program": _FIT}),
        _body_schema(
            "expression",
            {"expression": {"type": "string"}, "inputs": {"type": "object", "additionalProperties": _TENSOR}},
            {"expression": "(2 * (x + 2) ** 2).mean()", "inputs": {"x": [1, 2, 3]}},
        ),
        _body_schema("training", {"training": _TRAINING}, {"training": _LINE}),
        _body_schema(
            "notebook",
            {"notebook": {"type": "object", "description": "The JSON of an .ipynb file."}},
            {"notebook": {"nbformat": 4, "cells": [{"cell_type": "code", "source": _FIT}]}},
        ),
    ]
}
_RUN: Final = {
    "application/json": {"schema": schema(model.Run)},
    "image/svg+xml": {"schema": {"type": "string"}},
    "text/plain": {"schema": {"type": "string"}},
}
_CREATED_HEADERS: Final = {
    "Location": {"schema": {"type": "string"}, "description": "URL of the run."},
}


def header(name: str, description: str) -> dict[str, Any]:
    """Return the description of an optional request header."""
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}


POST_RUN: Final[dict[str, Any]] = {
    "status_code": 201,
    "response_class": Response,
    "responses": {
        200: {"description": "The run has ended and was not stored (`store` was false).", "content": _RUN},
        201: {
            "description": "The run has ended. Its `status` shows whether the program failed. The first response "
            "to a caller contains `owner_key`: send it as a bearer token to be recognized as the owner. With "
            "`Accept: image/svg+xml` or `text/plain` the response is the last step's picture.",
            "content": _RUN,
            "headers": _CREATED_HEADERS,
        },
        202: {
            "description": "The run is in progress: follow `links.events`, or read `Location` again. `queue` has its position "
            "while it waits for its turn.",
            "content": {"application/json": {"schema": schema(model.Run)}},
            "headers": _CREATED_HEADERS
            | {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until the run starts, at least 1."}},
        },
    }
    | problems(400, 403, 413, 415, 422, 429, 503, 507),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _BODY},
                "text/x-python": {"schema": {"type": "string"}, "example": _FIT},
                "application/x-ipynb+json": {"schema": {"type": "object"}},
            },
        },
        "parameters": [
            header(
                "Prefer",
                "`wait=N`: wait N seconds for the run to end. Default: the run's time limit, at most about 10 seconds.",
            ),
            header("Idempotency-Key", "Repeating a request with the same key returns the same run."),
        ],
        "description": "With a raw body (`text/x-python`, `application/x-ipynb+json`), pass `seed`, `capture`, `values`, "
        f"`store` and `title` as query parameters. Supported media types: {', '.join(requests.MEDIA_TYPES)}.",
    },
}

_CHANGE: Final[dict[str, Any]] = {
    "title": "RunChange",
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "description": "The new title; empty for the title from the program."},
        "pinned": {
            "type": "boolean",
            "description": "Whether a full store deletes the owner's other runs first. A pinned run expires like any other.",
        },
    },
}

CHANGE_RUN: Final[dict[str, Any]] = returns(model.RunHeading, "The changed run.", 403, 404, 507) | {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": _CHANGE}}}}
}

_EVENT: Final = {
    "type": "object",
    "description": "An event. `data` is JSON.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["queue", "started", "lines", "graph", "step", "output", "progress", "finding", "end"]},
        "data": {"type": "string"},
    },
}

EVENTS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Events `queue` while the run waits, then `started`, `lines`, `graph`, `step`, `output`, `progress` "
            "and `finding`, then `end`. The data of `queue` are the `position` and the `seconds` until the run starts. "
            "The data of `output` are `text`, the index of its `cell`, and `stream`: `stdout` or `stderr`. New events are sent "
            "together, a few times a second. `end` has a `reason` if the recording cannot be read. A stream without events is "
            "closed after a few minutes: resume with Last-Event-ID.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        204: {"description": "The run has ended, and no event follows the event in Last-Event-ID."},
    }
    | problems(404, 422, 429),
}

PICTURE: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The picture.",
            "content": {
                kind: {
                    "schema": {"type": "string", "format": "binary"}
                    if kind in ("image/png", "application/pdf")
                    else {"type": "string"}
                }
                for kind in ("image/svg+xml", "image/png", "application/pdf", "text/vnd.graphviz", "text/plain")
            },
        }
    }
    | problems(304, 404, 422, 500),
}


def returns_packed(json: Any, packed: Any, description: str = "Columns of numbers.") -> dict[str, Any]:
    """Return decorator arguments for a route that returns ``json`` as JSON or ``packed`` as msgpack."""
    return {
        "response_class": Response,
        "responses": {
            200: {
                "description": description,
                "content": {
                    "application/json": {"schema": schema(json)},
                    "application/msgpack": {"schema": {"type": "string", "format": "binary", "description": packed.__doc__}},
                },
            }
        }
        | problems(304, 404, 422),
    }


def describe(app: FastAPI, root: str, optimizers: Iterable[str] | None) -> dict[str, Any]:
    """Return the description of the API for callers who reach it under ``root``.

    ``optimizers`` lists the names that a training can use; ``None`` while they are unknown. The description is built once.
    Each call returns a copy with its own ``servers`` and optimizers.
    """
    if app.openapi_schema is None:
        found: dict[str, Any] = get_openapi(
            title="Tapedeck",
            version=__version__,
            summary="Records PyTorch's autograd tape and plays it back.",
            description=(
                "Run PyTorch code and read the backward graph with the real gradient on every edge.\n\n"
                'JSON has no NaN: non-finite numbers are the strings `"NaN"`, `"Infinity"`, `"-Infinity"`. '
                "Errors are returned as problem+json (RFC 9457)."
            ),
            routes=app.routes,
        )
        _, components = msgspec.json.schema_components(_in_order(_structs), ref_template=_REFERENCE)
        found.setdefault("components", {})["schemas"] = _open(components)
        found["components"]["securitySchemes"] = {
            "owner_key": {"type": "http", "scheme": "bearer", "description": "The `owner_key` from the response to a POST."}
        }
        found["security"] = [{}, {"owner_key": []}]
        for operations in found["paths"].values():
            for operation in operations.values():
                operation["summary"] = _sentence(operation["summary"])
        app.openapi_schema = found
    content = ("paths", "/api/v1/runs", "post", "requestBody", "content", "application/json", "schema", "oneOf")
    forms: Any = app.openapi_schema
    for key in content:
        forms = forms[key]
    training = next(index for index, form in enumerate(forms) if form["title"] == "training")
    optimizer = (*content, training, "properties", "training", "properties", "optimizer", "anyOf")
    described: dict[str, Any] = _replaced(app.openapi_schema, optimizer, _optimizer_forms(optimizers))
    return described | {"servers": [{"url": root or "/"}]}


def _replaced(tree: Any, path: Sequence[str | int], value: Any) -> Any:
    """Return a copy of nested dicts and lists with another value at a path. Only the containers along the path are copied.

    >>> tree = {"a": [1, {"b": 2}]}
    >>> _replaced(tree, ("a", 1, "b"), 3), tree
    ({'a': [1, {'b': 3}]}, {'a': [1, {'b': 2}]})
    """
    if not path:
        return value
    copied = tree.copy()
    copied[path[0]] = _replaced(tree[path[0]], path[1:], value)
    return copied


def _sentence(summary: str) -> str:
    """Turn a summary that FastAPI made from a function's name into a sentence.

    >>> _sentence("Read Run"), _sentence("List Runs"), _sentence("Read Series")
    ('Read a run', 'List runs', 'Read series')
    """
    verb, _, noun = summary.lower().partition(" ")
    article = "a " if noun in _SINGULAR else ""
    return f"{verb.capitalize()} {article}{noun}"


def _optimizer_forms(names: Iterable[str] | None) -> list[dict[str, Any]]:
    """Return the schemas of an optimizer: its name alone, or an object with its name and options."""
    name: dict[str, Any] = {"type": "string"} if names is None else {"enum": list(names)}
    return [name, {"type": "object", "required": ["name"], "properties": {"name": name}}]


def _in_order(structs: Iterable[Any]) -> list[Any]:
    return sorted(structs, key=lambda struct: str(struct.__name__))


def _open(components: dict[str, Any]) -> dict[str, Any]:
    """Add ``owner_key`` to the schema of a run. Only the response to a caller's first POST contains this key."""
    run = components["Run"]
    run["properties"]["owner_key"] = {"type": "string", "description": "Only in the response to a caller's first POST."}
    return components
