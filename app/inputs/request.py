"""Read a request for a run: turn JSON, Python text or a notebook into a program and the options of its recording.

:func:`split` splits the body into fields, in linear time. :func:`parse` does the rest. It runs on the event loop if the fields
are :attr:`~.body.Posted.light`, otherwise in a worker process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import Struct

from .. import model
from ..errors import InvalidInput, UnreadableInput
from ..wire.catalogue import OptimizerCatalogue
from . import expression, notebook, training
from .body import MEDIA_TYPES, Posted, limit_of, split
from .text import check_size

__all__ = ["MEDIA_TYPES", "Posted", "Request", "from_text", "limit_of", "parse", "read", "split"]


class Request(Struct, frozen=True):
    """A program and the options of its recording. A run with ``store=False`` is not stored.

    ``title`` is the title that the caller chose, such as the name of a file.
    """

    program: model.Program
    options: model.Options
    store: bool = True
    title: str | None = None


def read(
    body: bytes,
    media_type: str,
    query: Mapping[str, str],
    limits: model.Limits,
    optimizers: OptimizerCatalogue | None = None,
) -> Request:
    """Read the body of a request.

    ``query`` has the options of a body that is not JSON. ``optimizers`` lists the optimizers that a training can use, if they
    are known.

    Raises :class:`UnsupportedMedia`, :class:`UnreadableInput`, :class:`InvalidInput` or :class:`TooLarge`.
    """
    return parse(split(body, media_type, query, limits), limits, optimizers)


def parse(posted: Posted, limits: model.Limits, optimizers: OptimizerCatalogue | None = None) -> Request:
    """Return the program and the options of a request.

    Raises :class:`UnreadableInput`, :class:`InvalidInput` or :class:`TooLarge`.
    """
    most = limits.source_bytes
    match posted.kind:
        case "notebook":
            program = notebook.read(posted.content, most)
        case "program" if posted.plain:
            program = from_text(posted.content)
        case "program":
            text = _decoded(posted.content)
            if not isinstance(text, str):
                raise InvalidInput("The program must be a string.", where="program")
            program = _program(text)
        case "training":
            program = training.convert(_decoded(posted.content), limits.training_steps, optimizers, most)
        case "expression":
            program = expression.convert(_decoded(posted.content), _decoded(posted.inputs), most)
    return _checked(program, posted.options, limits)


def may_be_training(body: bytes) -> bool:
    """Return whether a body may be a training. If so, pass the optimizers to :func:`read`."""
    return b'"training"' in body


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"The body is not valid JSON: {error}.") from error


def from_text(body: bytes) -> model.Program:
    """Read the bytes of a Python file in UTF-8, with or without a byte order mark."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableInput(
            f"The program is not UTF-8 text (byte {error.start} cannot be read): is it a Python file?", where="program"
        ) from error
    return _program(text)


def _program(text: str) -> model.Program:
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if "\0" in text:
        raise InvalidInput("The program contains NUL bytes: is it a Python file?", where="program")
    if not text.strip():
        raise InvalidInput(
            "The program is empty: write Python code, such as `x = torch.ones(3, requires_grad=True)`.", where="program"
        )
    return model.Program(text=text)


def _checked(program: model.Program, fields: Mapping[str, Any], limits: model.Limits) -> Request:
    """Check a program's size and its options, and return the request. Raises :class:`TooLarge` and :class:`InvalidInput`."""
    what = "The notebook's code" if program.kind == "notebook" else f"The {program.kind}"
    check_size(program.text, limits.source_bytes, what, program.kind)
    if not program.cells:
        program = msgspec.structs.replace(program, cells=[(1, max(1, program.text.rstrip("\n").count("\n") + 1))])
    seed, values = fields.get("seed", 0), fields.get("values", 64)
    capture, store = fields.get("capture", "full"), fields.get("store", True)
    if not _integer(seed, 0, 2**63 - 1):
        raise InvalidInput("The seed must be a whole number from 0 to 2⁶³ − 1.", where="seed")
    if not _integer(values, 0, limits.kept_values):
        raise InvalidInput(f"values must be a whole number from 0 to {limits.kept_values:,}.", where="values")
    if capture not in get_args(model.Capture):
        raise InvalidInput(f"capture must be one of {', '.join(get_args(model.Capture))}.", where="capture")
    if not isinstance(store, bool):
        raise InvalidInput("store must be true or false.", where="store")
    title = fields.get("title")
    if title is not None and not isinstance(title, str):
        raise InvalidInput("title must be a string.", where="title")
    return Request(program, model.Options(seed=seed, capture=capture, values=values), store, title)


def _integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
