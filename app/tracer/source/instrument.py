"""Parse a program's cells, and mark in them where values become visible.

A marked cell runs as written; the only difference is that the value of a statement passes through one call,
``__tapedeck_value__(place, value)``, which returns it. Every expression keeps its place in the text, so tracebacks,
carets and :meth:`code.co_positions` are those of the program.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Literal

from .targets import AssignmentTarget, assignment_targets

PROGRAM = "<program>"
"""The file name of the program in code objects and tracebacks."""

HOOK = "__tapedeck_value__"

_PASSES = frozenset({"backward", "grad"})
GRAD_MODES = frozenset({"no_grad", "enable_grad", "inference_mode", "set_grad_enabled"})


@dataclass(frozen=True, slots=True)
class Statement:
    """A place where a value becomes visible.

    ``names`` are the variables that it binds, and ``targets`` the attributes and items that it assigns to (``None`` for
    what is neither); with ``unpacks`` the value is taken apart over them.
    """

    line: int
    kind: Literal["assign", "update", "show", "return", "enter", "target", "round", "caught"]
    names: tuple[str, ...] = ()
    unpacks: bool = False
    last: bool = False
    loop: int = -1
    targets: tuple[AssignmentTarget | None, ...] = ()


@dataclass(frozen=True, slots=True)
class LineRange:
    """A region of lines, 1-based and inclusive, with the line of its head."""

    head: int
    start: int
    end: int

    def __contains__(self, line: int) -> bool:
        return self.start <= line <= self.end


@dataclass(frozen=True, slots=True)
class LineContext:
    """Where a program stands: its line (-1 for none), the lines of the gradient modes and the loops around that.

    Loops are places in :attr:`ProgramSource.loops`, the innermost first, through all the program's functions.
    """

    line: int
    heads: tuple[int, ...] = ()
    loops: tuple[int, ...] = ()


NO_LINE = LineContext(-1)


class ProgramSource:
    """The text of a program, what its statements are, and where its loops stand."""

    def __init__(self, text: str, cells: Sequence[tuple[int, int]], filename: str = PROGRAM) -> None:
        self.text = text
        self.filename = filename
        self.lines = text.splitlines()
        self.cells = list(cells) or [(1, max(len(self.lines), 1))]
        self.statements: list[Statement] = []
        self.loops: list[LineRange] = []
        self.passing: set[int] = set()
        """The loops in which a pass is called for, by their places in :attr:`loops`."""
        self.grad_modes: list[LineRange] = []
        self.loop_variables: set[str] = set()
        """The variables of ``for`` loops: each is another name for one thing after another."""
        self._positions: dict[int, list[tuple[int | None, int | None, int | None, int | None]]] = {}
        self._places: dict[tuple[int, int], tuple[int, tuple[int, int] | None]] = {}
        self._here: dict[tuple[int, int], LineContext] = {}
        self._trees: list[ast.Module] = []
        self._codes: list[CodeType] = []  # kept, since places are known by the id of a code object
        linecache.cache[filename] = (len(text), None, [line + "\n" for line in self.lines], filename)

    def compile(self, cell: int) -> CodeType:
        """Compile a cell with its values marked; raises SyntaxError at the program's own line."""
        start, end = self.cells[cell]
        text = "\n" * (start - 1) + "\n".join(self.lines[start - 1 : end]) + "\n"
        tree = ast.parse(text, self.filename)
        marked = _Marker(self, quiet=_ends_quietly(tree, self.lines)).mark(tree)
        self._trees.append(marked)
        return compile(marked, self.filename, "exec", dont_inherit=True)

    def operand(self, code: CodeType, offset: int, place: int, *, method: bool) -> str | None:
        """The text of an operand of the operation or call at an instruction, by its place among the arguments.

        ``None`` if it is not written there in one line. The receiver of a ``method`` has place 0.
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
        if place >= len(written) or written[place].lineno != written[place].end_lineno:
            return None
        line = self.lines[written[place].lineno - 1].encode()
        return line[written[place].col_offset : written[place].end_col_offset].decode(errors="ignore")

    def _expression(self, span: tuple[int | None, ...]) -> ast.expr | None:
        """The operation or call that takes up a span of lines and columns, looked for in the statement around it."""
        line = span[0] or 0
        for tree in self._trees:
            for statement in tree.body:
                if statement.lineno <= line <= (statement.end_lineno or 0):
                    for node in ast.walk(statement):
                        if isinstance(node, ast.BinOp | ast.Call) and not _is_mark(node) and _span_of(node) == span:
                            return node
        return None

    def locate(self, code: CodeType, offset: int) -> tuple[int, tuple[int, int] | None]:
        """Line of an instruction and its columns, in characters, cut at the end of that line; line 0 if unknown."""
        found = self._places.get((id(code), offset))
        if found is None:
            found = self._places[id(code), offset] = self._find(code, offset)
        return found

    def _find(self, code: CodeType, offset: int) -> tuple[int, tuple[int, int] | None]:
        known = self._positions.get(id(code))
        if known is None:
            known = self._positions[id(code)] = list(code.co_positions())
            self._codes.append(code)
        line, end_line, start, end = known[offset // 2] if offset // 2 < len(known) else (None,) * 4
        if line is None or not 1 <= line <= len(self.lines):
            return line or 0, None
        if start is None or end is None:
            return line, None
        data = self.lines[line - 1].encode()
        stop = end if end_line == line else len(data)
        return line, (len(data[:start].decode(errors="ignore")), len(data[:stop].decode(errors="ignore")))

    def context_of(self, frame: FrameType | None) -> LineContext:
        """Where the program stands, seen from a frame that it has called."""
        found = NO_LINE
        filename = self.filename
        while frame is not None:
            code = frame.f_code
            if code.co_filename == filename:
                key = (id(code), frame.f_lasti)
                known = self._here.get(key)
                if known is None:
                    known = self._here[key] = self.context_at(self.locate(code, frame.f_lasti)[0])
                if found is NO_LINE:
                    found = known
                elif known.loops:
                    found = LineContext(found.line, found.heads, found.loops + known.loops)
            frame = frame.f_back
        return found

    def context_at(self, line: int) -> LineContext:
        """Where a line stands."""
        loops = sorted(((span.start, place) for place, span in enumerate(self.loops) if line in span), reverse=True)
        heads = tuple(span.head for span in self.grad_modes if line in span)
        return LineContext(line, heads, tuple(place for _, place in loops))


class _Marker(ast.NodeTransformer):
    """Pass the value of every statement through the hook."""

    def __init__(self, source: ProgramSource, *, quiet: bool) -> None:
        self._source = source
        self._quiet = quiet

    def mark(self, tree: ast.Module) -> ast.Module:
        last = tree.body[-1] if tree.body else None
        self._last = last if isinstance(last, ast.Expr) else None
        marked: ast.Module = self.visit(tree)
        return marked

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names, unpacks = _targets(node.targets)
        targets = assignment_targets(node.targets)
        node.value = self._hooked(node.value, Statement(node.lineno, "assign", names, unpacks, targets=targets))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            names, _ = _targets([node.target])
            targets = assignment_targets([node.target])
            node.value = self._hooked(node.value, Statement(node.lineno, "assign", names, targets=targets))
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.AST]:
        if not isinstance(node.target, ast.Name):
            return node
        read = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
        shown = ast.Expr(self._hooked(read, Statement(node.lineno, "update", (node.target.id,))))
        return [node, ast.copy_location(shown, node)]

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if node is self._last and self._quiet:
            return node
        if not isinstance(node.value, ast.Constant) or node is self._last:
            node.value = self._hooked(node.value, Statement(node.lineno, "show", last=node is self._last))
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is not None:
            node.value = self._hooked(node.value, Statement(node.lineno, "return"))
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        loop = self._loop(node)
        self._source.loop_variables.update(each.id for each in ast.walk(node.target) if isinstance(each, ast.Name))
        self.generic_visit(node)
        node.iter = self._hooked(node.iter, Statement(node.lineno, "enter", loop=loop))
        names, _ = _targets([node.target])
        simple = isinstance(node.target, ast.Name)
        value: ast.expr = ast.Name(names[0], ast.Load()) if simple else ast.Constant(None)
        statement = Statement(node.lineno, "target" if simple else "round", names if simple else (), loop=loop)
        node.body.insert(0, self._statement(value, statement, node.target))
        return node

    def visit_While(self, node: ast.While) -> list[ast.AST]:
        loop = self._loop(node)
        self.generic_visit(node)
        entered = self._statement(ast.Constant(None), Statement(node.lineno, "enter", loop=loop), node.test)
        node.body.insert(0, self._statement(ast.Constant(None), Statement(node.lineno, "round", loop=loop), node.test))
        return [entered, node]

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        at = node.type or ast.copy_location(ast.Constant(None), node.body[0])
        node.body.insert(0, self._statement(ast.Constant(None), Statement(node.lineno, "caught"), at))
        return node

    def visit_With(self, node: ast.With) -> ast.AST:
        if any(_called(item.context_expr) in GRAD_MODES for item in node.items):
            self._source.grad_modes.append(_span(node))
        return self.generic_visit(node)

    def _loop(self, node: ast.For | ast.While) -> int:
        loop = len(self._source.loops)
        self._source.loops.append(_span(node))
        if any(isinstance(part, ast.Call) and _called(part) in _PASSES for part in ast.walk(node)):
            self._source.passing.add(loop)
        return loop

    def _hooked(self, value: ast.expr, statement: Statement) -> ast.expr:
        self._source.statements.append(statement)
        place = ast.copy_location(ast.Constant(len(self._source.statements) - 1), value)
        hook = ast.copy_location(ast.Name(HOOK, ast.Load()), value)
        return ast.copy_location(ast.Call(hook, [place, value], []), value)

    def _statement(self, value: ast.expr, statement: Statement, at: ast.expr) -> ast.stmt:
        located = ast.copy_location(value, at)
        return ast.copy_location(ast.Expr(self._hooked(located, statement)), at)


def _ends_quietly(tree: ast.Module, lines: Sequence[str]) -> bool:
    """Whether a semicolon follows the last statement: a notebook shows nothing then."""
    last = tree.body[-1] if tree.body else None
    if last is None or last.end_lineno is None or last.end_col_offset is None:
        return False
    return lines[last.end_lineno - 1].encode()[last.end_col_offset :].lstrip().startswith(b";")


def _targets(targets: list[ast.expr]) -> tuple[tuple[str, ...], bool]:
    """The plain names that targets bind, and whether a value is unpacked over them."""
    if len(targets) == 1 and isinstance(targets[0], ast.Tuple | ast.List):
        parts = targets[0].elts
        return (
            (tuple(part.id for part in parts if isinstance(part, ast.Name)), True)
            if all(isinstance(part, ast.Name) for part in parts)
            else ((), True)
        )
    return tuple(target.id for target in targets if isinstance(target, ast.Name)), False


def _span_of(node: ast.expr) -> tuple[int | None, ...]:
    """Where an expression stands, in the order of ``code.co_positions``."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == HOOK


def _called(node: ast.expr) -> str | None:
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else None


def _span(node: ast.For | ast.While | ast.With) -> LineRange:
    return LineRange(node.lineno, node.body[0].lineno, node.end_lineno or node.lineno)


def frames(frame: FrameType | None, filename: str = PROGRAM) -> Iterator[tuple[CodeType, int]]:
    """The program's own frames from the inside out, as code and instruction offset."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == filename:
            yield code, frame.f_lasti
        frame = frame.f_back
