"""Keep the recorder's own failures away from the program."""

from __future__ import annotations

from collections.abc import Callable


class OwnFailures:
    """Reports an exception that the recorder raised inside the ``with`` block, and lets the program continue.

    It can be entered again and again. It passes on what ends a program, such as ``KeyboardInterrupt``.
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
