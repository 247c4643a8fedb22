"""Read a request for a run: turn JSON, Python text or a notebook into a program and the options of its recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from .. import model
from ..errors import InvalidInput, TooLarge, UnreadableInput, UnsupportedMedia
from ..wire.catalogue import OptimizerCatalogue
from . import expression, notebook, training

SOURCES: Final = ("program", "expression", "training", "notebook")
OPTIONS: Final = ("seed", "capture", "values", "store")
KNOWN: Final = ("program", "expression", "inputs", "training", "notebook", *OPTIONS)

PYTHON: Final = ("text/x-python", "text/x-script.python", "application/x-python-code", "text/plain")
NOTEBOOK: Final = ("application/x-ipynb+json",)
MEDIA_TYPES: Final = ("application/json", *PYTHON, *NOTEBOOK)

EXAMPLE: Final = '{"program": "import torch\\nx = torch.ones(3, requires_grad=True)\\nx.sum().backward()"}'


class Request(Struct, frozen=True):
    """A program and the options of its recording. A run with ``store=False`` is not stored."""

    program: model.Program
    options: model.Options
    store: bool = True


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
    kind, _, parameters = media_type.partition(";")
    kind = kind.strip().lower()
    if kind not in MEDIA_TYPES:
        problem = f"The media type {kind} is not supported" if kind else "The request has no Content-Type"
        raise UnsupportedMedia(
            f"{problem}: send JSON as application/json, a program as text/x-python, or a notebook as application/x-ipynb+json."
        )
    if kind == "application/json":
        if query:
            raise InvalidInput("Options of a JSON request belong in its body, not in the URL.", where=next(iter(query)))
        return from_json(body, limits, optimizers)
    fields = _query_options(query)
    if kind in NOTEBOOK:
        program = notebook.read(body)
    else:
        charset = parameters.partition("charset=")[2].split(";")[0].strip(" \"'").lower()
        if charset not in ("", "utf-8", "utf8", "us-ascii"):
            raise UnsupportedMedia(f"The program is encoded as {charset}: send it as UTF-8.")
        program = from_text(body)
    return _checked(program, fields, limits)


def from_json(body: bytes, limits: model.Limits, optimizers: OptimizerCatalogue | None = None) -> Request:
    """Read a JSON request, which has a program, an expression with inputs, a training or a notebook, and options."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"The body is not valid JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise InvalidInput(f"The body is not an object: send a body such as {EXAMPLE}.")
    for name in fields:
        if name not in KNOWN:
            raise InvalidInput(f"Unknown field {_cut(name)!r}: the fields are {', '.join(KNOWN)}.", where=_cut(name))
    given = [name for name in SOURCES if name in fields]
    if len(given) != 1:
        problem = "nothing to run" if not given else f"{' and '.join(given)} together"
        raise InvalidInput(f"The body has {problem}: send one of {', '.join(SOURCES)}.", where=given[-1] if given else None)
    if "inputs" in fields and given != ["expression"]:
        raise InvalidInput("Only an expression has inputs: a program creates its own tensors.", where="inputs")
    match given[0]:
        case "program":
            if not isinstance(fields["program"], str):
                raise InvalidInput("The program must be a string.", where="program")
            program = _program(fields["program"])
        case "notebook":
            program = notebook.convert(fields["notebook"])
        case "training":
            program = training.convert(fields["training"], limits.training_steps, optimizers)
        case _:
            program = expression.convert(fields["expression"], fields.get("inputs", {}))
    return _checked(program, {name: fields[name] for name in OPTIONS if name in fields}, limits)


def may_be_training(body: bytes, media_type: str) -> bool:
    """Return whether a body may be a training. If so, pass the optimizers to :func:`read`."""
    return "json" in media_type.lower() and b'"training"' in body


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
            "The program is empty: send Python code, such as `x = torch.ones(3, requires_grad=True)`.", where="program"
        )
    return model.Program(text=text)


def _checked(program: model.Program, fields: Mapping[str, Any], limits: model.Limits) -> Request:
    """Check a program's size and its options, and return the request. Raises :class:`TooLarge` and :class:`InvalidInput`."""
    size = len(program.text.encode())
    if size > limits.source_bytes:
        what = "The notebook's code is" if program.kind == "notebook" else f"The {program.kind} is"
        raise TooLarge(
            f"{what} {size:,} bytes long; the limit is {limits.source_bytes:,}. Remove code that the gradients don't need.",
            where=program.kind,
        )
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
    return Request(program, model.Options(seed=seed, capture=capture, values=values), store)


def _query_options(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the options in a URL with the types of a JSON request. :func:`_checked` rejects invalid values."""
    fields: dict[str, Any] = {}
    for name, text in query.items():
        if name not in OPTIONS:
            raise InvalidInput(f"Unknown option {_cut(name)!r}: the options are {', '.join(OPTIONS)}.", where=_cut(name))
        if name in ("seed", "values"):
            fields[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 30 else text
        elif name == "store":
            fields[name] = {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
        else:
            fields[name] = text
    return fields


def _integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"
