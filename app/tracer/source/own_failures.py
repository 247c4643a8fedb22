"""Keep the recorder's own failures away from the program."""

from __future__ import annotations

from collections.abc import Callable


class OwnFailures:
    """A context that reports an exception of the recorder instead of raising it in the program.

    Exceptions that end a program, such as ``KeyboardInterrupt``, are raised. A context can be entered any number of times.
    """

    __slots__ = ("_report",)

    def __init__(self, report: Callable[[Exception], None]) -> None:
        self._report = report

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._report(error)
        return True
