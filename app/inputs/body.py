"""Split the body of a request into its fields, without decoding them.

This is linear in the size of the body, at hundreds of megabytes a second, so it may run on the event loop. Sizes are checked
here, before anything is decoded or parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from .. import model
from ..errors import InvalidInput, TooLarge, UnreadableInput, UnsupportedMedia
from .text import short

SOURCES: Final[tuple[model.Kind, ...]] = ("program", "expression", "training", "notebook")
OPTIONS: Final[tuple[str, ...]] = ("seed", "capture", "values", "store", "title")
KNOWN: Final = ("program", "expression", "inputs", "training", "notebook", *OPTIONS)

PYTHON: Final = ("text/x-python", "text/x-script.python", "application/x-python-code", "text/plain")
NOTEBOOK: Final = ("application/x-ipynb+json",)
MEDIA_TYPES: Final = ("application/json", *PYTHON, *NOTEBOOK)

LIGHT_BYTES: Final = 1_000
"""Largest expression, training or notebook in bytes that is read on the event loop.

CPython's parser takes at most about 10 µs for a byte of hostile text, and up to two parses are needed.
"""
TENSOR_BYTES: Final = 2_000_000
"""Largest size of the JSON of an expression's tensors, or of a training. Valid ones are smaller unless indented deeply."""
OPTION_BYTES: Final = 1_000
ESCAPED: Final = 6
"""Largest number of bytes of JSON for one byte of text, as in ``\\u0023``."""

EXAMPLE: Final = '{"program": "import torch\\nx = torch.ones(3, requires_grad=True)\\nx.sum().backward()"}'


class Posted(Struct, frozen=True):
    """The fields of a request for a run, not decoded yet."""

    kind: model.Kind
    content: bytes
    """The program, expression, training or notebook: as JSON, or as UTF-8 text if ``plain``."""
    options: dict[str, Any]
    plain: bool = False
    inputs: bytes = b"{}"
    """The JSON of an expression's inputs."""

    @property
    def light(self) -> bool:
        """True if decoding takes a few milliseconds at most, whatever the content is. A program is not parsed."""
        return self.kind == "program" or len(self.content) + len(self.inputs) <= LIGHT_BYTES


class _Body(Struct, forbid_unknown_fields=True):
    """A JSON request. A field that is not in the body is empty."""

    program: Raw = Raw()
    expression: Raw = Raw()
    inputs: Raw = Raw()
    training: Raw = Raw()
    notebook: Raw = Raw()
    seed: Raw = Raw()
    capture: Raw = Raw()
    values: Raw = Raw()
    store: Raw = Raw()
    title: Raw = Raw()


_decode = msgspec.json.Decoder(_Body).decode


def limit_of(media_type: str, limits: model.Limits) -> int:
    """Return the largest body in bytes of a media type. Raises :class:`UnsupportedMedia`.

    A program may have twice its limit in bytes here, because each line break of two bytes (CRLF) is later replaced by one byte.
    """
    return 2 * limits.source_bytes + 3 if _kind(media_type) in PYTHON else limits.body_bytes


def split(body: bytes, media_type: str, query: Mapping[str, str], limits: model.Limits) -> Posted:
    """Return the fields of a body, and its options: those in ``query`` for a body that is not JSON.

    Raises :class:`UnsupportedMedia`, :class:`UnreadableInput`, :class:`InvalidInput` or :class:`TooLarge`.
    """
    kind = _kind(media_type)
    if kind == "application/json":
        if query:
            raise InvalidInput("Options of a JSON request belong in its body, not in the URL.", where=short(next(iter(query))))
        return _split_json(body, limits)
    options = _query_options(query)
    return Posted("notebook", body, options) if kind in NOTEBOOK else Posted("program", body, options, plain=True)


def _kind(media_type: str) -> str:
    """Return a media type without its parameters, after checking both."""
    kind, _, parameters = media_type.partition(";")
    kind = kind.strip().lower()
    if kind not in MEDIA_TYPES:
        problem = f"The media type {short(kind)} is not supported" if kind else "The request has no Content-Type"
        raise UnsupportedMedia(
            f"{problem}: send JSON as application/json, a program as text/x-python, or a notebook as application/x-ipynb+json."
        )
    charset = parameters.partition("charset=")[2].split(";")[0].strip(" \"'").lower()
    if kind in PYTHON and charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia(f"The program is encoded as {short(charset)}: send it as UTF-8.")
    return kind


def _split_json(body: bytes, limits: model.Limits) -> Posted:
    try:
        fields = _decode(body)
    except msgspec.ValidationError as error:
        raise _unfit(body, str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _not_json(error) from None
    given = {name: bytes(raw) for name in KNOWN if len(raw := memoryview(getattr(fields, name)))}
    sources = [name for name in SOURCES if name in given]
    if len(sources) != 1:
        problem = "nothing to run" if not sources else f"{' and '.join(sources)} together"
        raise InvalidInput(f"The body has {problem}: send one of {', '.join(SOURCES)}.", where=sources[-1] if sources else None)
    kind = sources[0]
    if "inputs" in given and kind != "expression":
        raise InvalidInput("Only an expression has inputs: a program creates its own tensors.", where="inputs")
    _check_sizes(kind, given, limits)
    try:
        options = {name: msgspec.json.decode(given[name]) for name in OPTIONS if name in given}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _not_json(error) from None
    return Posted(kind, given[kind], options, inputs=given.get("inputs", b"{}"))


def _check_sizes(kind: model.Kind, given: Mapping[str, bytes], limits: model.Limits) -> None:
    """Raise an error for a field whose JSON is larger than any valid value of it.

    The error is :class:`InvalidInput` for an option, and :class:`TooLarge` for any other field.
    """
    if kind in ("program", "expression") and len(given[kind]) > ESCAPED * limits.source_bytes + 2:
        raise TooLarge(
            f"The {kind} is too long; the limit is {limits.source_bytes:,} bytes. Remove code that the gradients don't need.",
            where=kind,
        )
    for name in ("inputs", "training"):
        if len(given.get(name, b"")) > TENSOR_BYTES:
            raise TooLarge(
                f"The {name} has more than {TENSOR_BYTES:,} bytes: create large tensors in a program, for example with randn.",
                where=name,
            )
    for name in OPTIONS:
        if len(given.get(name, b"")) > OPTION_BYTES:
            raise InvalidInput(f"The value of {name} is too long.", where=name)


def _unfit(body: bytes, message: str) -> Exception:
    """Return the error for JSON that is not an object of the known fields."""
    _, unknown, rest = message.partition("unknown field `")
    if unknown:
        name = short(rest[: rest.rfind("`")])
        return InvalidInput(f"Unknown field {name!r}: the fields are {', '.join(KNOWN)}.", where=name)
    try:
        msgspec.json.decode(body, type=Raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return _not_json(error)
    return InvalidInput(f"The body is not an object: send a body such as {EXAMPLE}.")


def _not_json(error: Exception) -> UnreadableInput:
    return UnreadableInput(f"The body is not valid JSON: {short(str(error), 200)}.")


def _query_options(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the options in a URL with the types of a JSON request. :mod:`request` rejects invalid values."""
    fields: dict[str, Any] = {}
    for name, text in query.items():
        if name not in OPTIONS:
            raise InvalidInput(f"Unknown option {short(name)!r}: the options are {', '.join(OPTIONS)}.", where=short(name))
        if name in ("seed", "values"):
            fields[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 30 else text
        elif name == "store":
            fields[name] = {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
        else:
            fields[name] = text
    return fields
