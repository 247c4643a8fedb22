"""Call a function of the program between two functions of the recorder, without a frame of the recorder around it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import starmap
from operator import call, itemgetter
from typing import Any


def between(before: Callable[[], None], function: Callable[..., Any], after: Callable[[], None]) -> Callable[..., Any]:
    """Return a callable that calls ``before()``, ``function()`` and ``after()``, and returns the value of ``function()``.

    Iterators make the calls. They have no frames, so the ``f_back`` of the frame of ``function`` is the caller's. If
    ``function`` has parameters, a wrapper with a frame of its own calls it. ``after`` is not called after an exception.
    """
    if _has_parameters(function):

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            before()
            value = function(*args, **kwargs)
            after()
            return value

        return wrapper

    def begin() -> tuple[Callable[..., Any]]:
        before()
        return (function,)

    values = starmap(call, iter(begin, None))
    return map(itemgetter(0), zip(values, iter(_nonzero(after), 0), strict=False)).__next__


def _nonzero(function: Callable[[], None]) -> Callable[[], int]:
    def called() -> int:
        function()
        return 1

    return called


def _has_parameters(function: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function of C without a signature
        return True
