"""Separate Tapedeck's own options from the arguments of the program, as Python and coverage do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from typer.core import TyperCommand

_SHARED: Final = frozenset({"--seed", "--help", "-m"})
"""Options that programs often have too. After the file they belong to the program, unless ``--`` follows them."""


class ProgramCommand(TyperCommand):
    """A command that takes a file and the arguments of its program."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line after marking the program's arguments."""
        options = [each for each in self.params if each.param_type_name == "option"]
        flags = {name for each in options if getattr(each, "is_flag", False) for name in each.opts}
        valued = {name for each in options for name in each.opts} - flags
        return super().parse_args(ctx, marked(args, flags | {"--help"}, valued))


def marked(arguments: Sequence[str], flags: Iterable[str], valued: Iterable[str]) -> list[str]:
    """Return the arguments in this order: the command's own options, ``--``, the file, the arguments of the program.

    Every option before the file belongs to the command. After the file, the command's options end at ``--`` or at the first
    other argument. Without a ``--``, the options of :data:`_SHARED` count as other arguments.

    >>> marked(["--json", "fit.py", "--epochs", "2", "--json"], {"--json"}, {"--seed"})
    ['--json', '--', 'fit.py', '--epochs', '2', '--json']
    >>> marked(["fit.py", "--json", "--seed", "2", "--", "--epochs", "2"], {"--json"}, {"--seed"})
    ['--json', '--seed', '2', '--', 'fit.py', '--epochs', '2']
    >>> marked(["fit.py", "--seed", "2"], {"--json"}, {"--seed"})
    ['--', 'fit.py', '--seed', '2']
    """
    own: list[str] = []
    left = list(arguments)
    flags, valued = set(flags), set(valued)

    def take() -> None:
        own.append(left.pop(0))
        if own[-1] in valued and left:
            own.append(left.pop(0))

    while left and left[0] != "--" and (left[0].startswith("-") and left[0] != "-"):
        take()
    if left and left[0] == "--":
        left.pop(0)
    file = [left.pop(0)] if left else []
    separated = "--" in left
    while left and (name := _name(left[0], valued)) in flags | valued and (separated or name not in _SHARED):
        take()
    if left and left[0] == "--":
        left.pop(0)
    return [*own, "--", *file, *left] if file else own


def _name(argument: str, valued: set[str]) -> str:
    """Return the name of an option that may be written with its value, as in ``--seed=2`` or ``-ograph.svg``."""
    if not argument.startswith("--") and argument[:2] in valued:
        return argument[:2]
    return argument.partition("=")[0]
