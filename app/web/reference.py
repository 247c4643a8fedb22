"""Describe the API: ``/openapi.json`` from the very structs that are answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from .. import __version__, model
from ..inputs import request as requests
from .problems import MEDIA, SORTS, Problem, Sort

_REFERENCE: Final = "#/components/schemas/{name}"
_structs: set[Any] = {Problem, model.Run}

_STATUSES: Final = {sort.status: sort for sort in SORTS.values()}


def schema(struct: Any) -> dict[str, str]:
    """Refer to a struct's schema, which the description then holds."""
    _structs.add(struct)
    return {"$ref": _REFERENCE.format(name=struct.__name__)}


def answers(struct: Any, description: str, *others: int) -> dict[str, Any]:
    """What a route answers, for its decorator: a struct as JSON, and problems by status."""
    told: dict[str, Any] = {"description": description}
    if struct is not None:
        told["content"] = {"application/json": {"schema": schema(struct)}}
    responses: dict[int | str, dict[str, Any]] = {204 if struct is None else 200: told}
    return {"response_class": Response, "responses": responses | problems(422, *others)}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        if status == 304:
            found[status] = {"description": "The caller has it already: If-None-Match named it."}
            continue
        sort: Sort = _STATUSES[status]
        content: dict[str, Any] = {MEDIA: {"schema": schema(Problem)}}
        if status == 503:  # /readyz tells more than a problem would
            content["application/json"] = {"schema": {}}
        found[status] = {"description": f"{sort.title}. {sort.sentence}", "content": content}
        if status in (429, 503):
            found[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return found


_OPTIONS: Final[dict[str, Any]] = {
    "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "given to torch, numpy and random"},
    "capture": {"enum": ["full", "norms", "graph"], "default": "full", "description": "what is kept of each tensor"},
    "values": {"type": "integer", "minimum": 0, "default": 64, "description": "most elements of a tensor that are kept whole"},
    "store": {"type": "boolean", "default": True, "description": "false: answer and forget"},
}
_TENSOR: Final = {
    "description": "a number, nested lists of numbers, or an object that also says dtype and requires_grad",
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


def _asked(name: str, own: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
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
    "description": "a training loop, answered as `program`",
    "required": ["parameters", "loss", "optimizer", "steps"],
    "additionalProperties": False,
    "properties": {
        "parameters": {"type": "object", "minProperties": 1, "additionalProperties": _TENSOR, "description": "first values"},
        "data": {"type": "object", "additionalProperties": _TENSOR},
        "loss": {"type": "string", "description": "an expression of the parameters and the data; a scalar"},
        "optimizer": {
            "description": "an optimizer of torch.optim, by its name or with its options",
            "anyOf": [],  # see _optimizer_forms
        },
        "steps": {"type": "integer", "minimum": 1, "maximum": model.Limits().training_steps},
    },
}
_BODY: Final = {
    "oneOf": [
        _asked("program", {"program": {"type": "string", "description": "Python text"}}, {"program": _FIT}),
        _asked(
            "expression",
            {"expression": {"type": "string"}, "inputs": {"type": "object", "additionalProperties": _TENSOR}},
            {"expression": "(2 * (x + 2) ** 2).mean()", "inputs": {"x": [1, 2, 3]}},
        ),
        _asked("training", {"training": _TRAINING}, {"training": _LINE}),
        _asked(
            "notebook",
            {"notebook": {"type": "object", "description": "an .ipynb file"}},
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
    "Location": {"schema": {"type": "string"}, "description": "the run"},
}


def header(name: str, description: str) -> dict[str, Any]:
    """A header that a request may have."""
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}


POST_RUN: Final[dict[str, Any]] = {
    "status_code": 201,
    "response_class": Response,
    "responses": {
        200: {"description": "The run has ended, and is not kept (`store` was false).", "content": _RUN},
        201: {
            "description": "The run has ended. The first time, `owner_key` is what its owner is known by: send it as a bearer "
            "token. A program that failed is a run too: its `status` tells. With `Accept: image/svg+xml` or `text/plain` "
            "the last step's picture is answered instead.",
            "content": _RUN,
            "headers": _CREATED_HEADERS,
        },
        202: {
            "description": "The run goes on: follow `links.events`, or ask again.",
            "content": {"application/json": {"schema": schema(model.Run)}},
            "headers": _CREATED_HEADERS,
        },
    }
    | problems(400, 403, 413, 415, 422, 503, 507),
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
                "Prefer", "`wait=N`: wait so many seconds for the end; unasked until a run's time is over, but not much over 10"
            ),
            header("Idempotency-Key", "the same key gives the same run"),
        ],
        "description": "With a raw body (`text/x-python`, `application/x-ipynb+json`), `seed`, `capture`, `values` and `store` "
        f"stand in the address. Media types: {', '.join(requests.MEDIA_TYPES)}.",
    },
}

_EVENT: Final = {
    "type": "object",
    "description": "one event; `data` is JSON",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["started", "lines", "graph", "step", "output", "progress", "finding", "end"]},
        "data": {"type": "string"},
    },
}

EVENTS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Events `started`, `lines`, `graph`, `step`, `output`, `progress`, `finding`, and at last `end`.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        204: {"description": "Nothing follows the event that Last-Event-ID names: the run has ended."},
    }
    | problems(404, 422),
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


def columns(json: Any, packed: Any, description: str = "Columns of numbers.") -> dict[str, Any]:
    """What a route answers that has a packed form, in both its forms."""
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
    """Return the description for a client that reaches us under the path ``root``. Most of it is built once per app.

    ``optimizers`` are the names that a training can use, or ``None`` while they are not known.
    """
    if app.openapi_schema is None:
        found: dict[str, Any] = get_openapi(
            title="Tapedeck",
            version=__version__,
            summary="Records PyTorch's autograd tape and plays it back.",
            description=(
                "Run PyTorch code and read the backward graph with the real gradient on every edge.\n\n"
                'JSON has no NaN: non-finite numbers are the strings `"NaN"`, `"Infinity"`, `"-Infinity"`. '
                "What went wrong is told as problem+json."
            ),
            routes=app.routes,
        )
        _, components = msgspec.json.schema_components(_in_order(_structs), ref_template=_REFERENCE)
        found.setdefault("components", {})["schemas"] = _open(components)
        found["components"]["securitySchemes"] = {
            "owner_key": {"type": "http", "scheme": "bearer", "description": "what a POST answered as `owner_key`"}
        }
        found["security"] = [{}, {"owner_key": []}]
        app.openapi_schema = found
    body = app.openapi_schema["paths"]["/api/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    training = next(form for form in body["oneOf"] if form["title"] == "training")["properties"]["training"]
    training["properties"]["optimizer"]["anyOf"] = _optimizer_forms(optimizers)
    return app.openapi_schema | {"servers": [{"url": root or "/"}]}


def _optimizer_forms(names: Iterable[str] | None) -> list[dict[str, Any]]:
    """Return the schemas of an optimizer: its name alone, or an object with its name and options."""
    name: dict[str, Any] = {"type": "string"} if names is None else {"enum": list(names)}
    return [name, {"type": "object", "required": ["name"], "properties": {"name": name}}]


def _in_order(structs: Iterable[Any]) -> list[Any]:
    return sorted(structs, key=lambda struct: str(struct.__name__))


def _open(components: dict[str, Any]) -> dict[str, Any]:
    """POST adds ``owner_key`` to a run, once."""
    run = components["Run"]
    run["properties"]["owner_key"] = {"type": "string", "description": "only in the answer to a caller's first POST"}
    return components
