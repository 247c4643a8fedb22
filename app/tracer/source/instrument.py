"""Compile a program's cells with marked statements, and relate instructions to lines and columns."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Sequence
from types import CodeType, FrameType

from ...model import program_lines
from ..tensors.lifetimes import Lifetimes
from .marker import Marker, ends_quietly, is_mark
from .own_modules import OwnModules
from .statements import NO_LINE, LineContext, ProgramStructure
from .watch_points import WatchPoints, is_watch_point

PROGRAM = "<program>"
"""The file name of the program in code objects and tracebacks."""


class ProgramSource:
    """The text of a program, its statements and loops, and the positions of its instructions.

    ``own`` are the user's own modules. ``lifetimes`` determines whether the program observes the lifetimes of objects.
    ``watch`` are the places at which a replay evaluates an expression.
    """

    def __init__(
        self,
        text: str,
        cells: Sequence[tuple[int, int]],
        filename: str = PROGRAM,
        own: OwnModules | None = None,
        lifetimes: Lifetimes | None = None,
        watch: WatchPoints | None = None,
    ) -> None:
        self.text = text
        self.filename = filename
        self.own = OwnModules() if own is None else own
        self._has_own = bool(self.own)
        self._watch = watch
        self.lifetimes = Lifetimes() if lifetimes is None else lifetimes
        self.lines = program_lines(text)
        self.cells = list(cells) or [(1, max(len(self.lines), 1))]
        self._structure = ProgramStructure()
        self.statements = self._structure.statements
        self.loops = self._structure.loops
        self.loops_with_passes = self._structure.loops_with_passes
        self.loop_variables = self._structure.loop_variables
        self._positions: dict[int, list[tuple[int | None, int | None, int | None, int | None]]] = {}
        self._locations: dict[tuple[int, int], tuple[int, tuple[int, int] | None]] = {}
        self._contexts: dict[tuple[int, int], LineContext] = {}
        self._unread: list[ast.Module] = []
        """The cells whose expressions have not been collected yet."""
        self._expressions: dict[tuple[int | None, ...], ast.expr] = {}
        """The operations and calls by their positions in the text."""
        self._codes: list[CodeType] = []  # kept alive, because the ids of these objects are keys of the caches
        linecache.cache[filename] = (len(text), None, [line + "\n" for line in self.lines], filename)

    def compile(self, cell: int) -> CodeType:
        """Compile a cell with its statements marked. Raises ``SyntaxError`` at the program's own line."""
        start, end = self.cells[cell]
        text = "\n" * (start - 1) + "\n".join(self.lines[start - 1 : end]) + "\n"
        tree = ast.parse(text, self.filename)
        self.lifetimes.read(text)
        marked = Marker(self._structure, quiet=ends_quietly(tree, self.lines), watch=self._watch).mark(tree)
        self._unread.append(marked)
        return compile(marked, self.filename, "exec", dont_inherit=True)

    def operand(self, code: CodeType, offset: int, index: int, *, method: bool) -> str | None:
        """Return the text of an argument of the operation or call at an instruction, by its index.

        The receiver of a ``method`` has index 0. Returns ``None`` if the text spans several lines or does not list the
        argument.
        """
        self.locate(code, offset)
        span = self._positions[id(code)][offset // 2]
        node = self._expression(span)
        written: list[ast.expr] = []
        if isinstance(node, ast.BinOp):
            written = [node.left, node.right]
        elif isinstance(node, ast.Call) and not node.keywords:
            receiver = [node.func.value] if method and isinstance(node.func, ast.Attribute) else []
            written = [*receiver, *node.args]
        if index >= len(written) or written[index].lineno != written[index].end_lineno:
            return None
        line = self.lines[written[index].lineno - 1].encode()
        return line[written[index].col_offset : written[index].end_col_offset].decode(errors="ignore")

    def _expression(self, span: tuple[int | None, ...]) -> ast.expr | None:
        """Return the operation or call that has a position in the text, as in ``code.co_positions``."""
        for tree in self._unread:
            for node in ast.walk(tree):
                if isinstance(node, ast.BinOp | ast.Call) and not (is_mark(node) or is_watch_point(node)):
                    self._expressions.setdefault(_span_of(node), node)
        self._unread.clear()
        return self._expressions.get(span)

    def locate(self, code: CodeType, offset: int) -> tuple[int, tuple[int, int] | None]:
        """Return the line of an instruction and its columns. The line is 0 if it is unknown or outside the program.

        Columns count characters. For an expression over several lines, the end column is the end of its first line.
        """
        found = self._locations.get((id(code), offset))
        if found is None:
            found = self._locations[id(code), offset] = self._find(code, offset)
        return found

    def _find(self, code: CodeType, offset: int) -> tuple[int, tuple[int, int] | None]:
        positions = self._positions.get(id(code))
        if positions is None:
            positions = self._positions[id(code)] = list(code.co_positions())
            self._codes.append(code)
        line, end_line, start, end = positions[offset // 2] if offset // 2 < len(positions) else (None,) * 4
        if line is None or not 1 <= line <= len(self.lines):
            return 0, None
        if start is None or end is None:
            return line, None
        data = self.lines[line - 1].encode()
        stop = end if end_line == line else len(data)
        return line, (len(data[:start].decode(errors="ignore")), len(data[:stop].decode(errors="ignore")))

    def context_of(self, frame: FrameType | None) -> LineContext:
        """Return the line of the program's innermost frame, with its gradient modes, its origin and the loops of all frames."""
        found = NO_LINE
        filename = self.filename
        origin = self.own.origin(self.own.location(frame, filename)) if self._has_own else None
        while frame is not None:
            code = frame.f_code
            if code.co_filename == filename:
                key = (id(code), frame.f_lasti)
                context = self._contexts.get(key)
                if context is None:
                    context = self._contexts[key] = self.context_at(self.locate(code, frame.f_lasti)[0])
                if found is NO_LINE:
                    found = context
                elif context.loops:
                    found = LineContext(found.line, found.heads, found.loops + context.loops)
                if code.co_name == "<module>":
                    break  # no code of the program called the module
            frame = frame.f_back
        return found if origin is None else LineContext(found.line, found.heads, found.loops, origin)

    def context_at(self, line: int) -> LineContext:
        """Return the gradient modes and loops around a line."""
        loops = sorted(((loop.start, index) for index, loop in enumerate(self.loops) if line in loop), reverse=True)
        heads = tuple(each.head for each in self._structure.grad_modes if line in each)
        return LineContext(line, heads, tuple(index for _, index in loops))


def _span_of(node: ast.expr) -> tuple[int | None, ...]:
    """Return the position of an expression, in the order of ``code.co_positions``."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
