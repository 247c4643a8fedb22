"""Read a lesson from its Markdown, and report each problem with its line.

A lesson has front matter, prose, cells ```` ```{code-cell} ````, and the directives ``predict``, ``write``, ``break-fix`` and
``drag``. :mod:`.directives` reads the directives, and this module reads everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from typing import Final

from markdown_it.token import Token

from ..document import Block, Bound, CodeSample, Heading, Lesson, LessonCell, PresenterNote, Prose, Scope, StageView
from ..problems import LessonError, LessonProblem
from . import directives, front_matter, markdown, views
from .directive_parts import Source

HEAD: Final = re.compile(r"\{([a-z-]+)\}\s*(.*)", re.DOTALL)
"""The first line of a directive after its colons or backticks: its name and its argument."""
OPTION: Final = re.compile(r":([a-z-]+):(?:\s+(.*))?")
LONGEST_NAME: Final = 60
NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")


def read(text: str, file: str = "lesson.md") -> Lesson:
    """Return a parsed lesson. Raises :class:`LessonError` with all its problems."""
    reading = LessonReading(file)
    lesson = reading.lesson(text)
    if lesson is None or reading.problems:
        raise LessonError(sorted(reading.problems))
    return lesson


class LessonReading:
    """The state of reading one lesson: its problems, the recording that cells extend, and the ids given so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[LessonProblem] = []
        self.cells: dict[str, list[LessonCell]] = {}
        """The cells of each recording so far."""
        self._recording: str | None = None
        self._bounds = 0
        self._headings: set[str] = set()
        self._names: set[str] = set()

    def lesson(self, text: str) -> Lesson | None:
        """Return the lesson; ``None`` if its front matter cannot be read."""
        tokens = markdown.parser().parse(text)
        blocks = self._blocks(tokens, 1)
        if not tokens or tokens[0].type != "front_matter":
            self.report(1, "The lesson has no front matter: begin with a line `---`, then `id`, `title`, `goal` and `torch`.")
            return None
        try:
            fields = front_matter.read(tokens[0].content)
        except front_matter.UnreadableFrontMatter as error:
            self.report(2 + error.line, str(error))
            return None
        self._check_headings(blocks)
        return Lesson(**{name: getattr(fields, name) for name in fields.__struct_fields__}, file=self._file, blocks=blocks)

    def blocks(self, text: str, first: int) -> list[Block]:
        """Return the blocks of a text whose first line is line ``first`` of the file."""
        return self._blocks(markdown.parser().parse(text), first)

    def report(self, line: int, what: str) -> None:
        """Report a problem."""
        self.problems.append(LessonProblem(self._file, line, what))

    def bound(self, shown: str, binding: str, line: int) -> Bound:
        """Return the next value of the lesson."""
        self._bounds += 1
        return Bound(self._bounds - 1, shown.replace("−", "-"), binding, self.scope, line)

    @property
    def scope(self) -> Scope | None:
        """The end of the last cell so far."""
        return None if self._recording is None else Scope(self._recording, len(self.cells[self._recording]) - 1)

    def name(self, name: str, line: int) -> str:
        """Return the name of a recording or a task after checking that it is well formed and new."""
        if not NAME.fullmatch(name):
            self.report(line, f"The name {name[:40]!r} is not valid: use small letters, digits, `-` and `_`.")
        elif name in self._names:
            self.report(line, f"The name `{name}` is used twice: choose another.")
        self._names.add(name)
        return name

    def name_from(self, text: str) -> str:
        """Return an unused name made from a text, which stays the same when other parts of the lesson change."""
        name = unused(text, self._names)
        self._names.add(name)
        return name

    def view(self, text: str, line: int) -> StageView | None:
        """Return a view, or report why it cannot be read."""
        try:
            return views.read(text, line)
        except ValueError as error:
            self.report(line, str(error))
            return None

    def _blocks(self, tokens: Sequence[Token], first: int) -> list[Block]:
        return [block for group in _top_level(tokens) if (block := self._block(group, first)) is not None]

    def _block(self, tokens: Sequence[Token], first: int) -> Block | None:
        token = tokens[0]
        line = first + (token.map[0] if token.map else 0)
        match token.type:
            case "front_matter":
                return None
            case "myst_line_comment":
                note = token.content.strip()
                return PresenterNote(note.removeprefix("note:").strip(), line) if note.startswith("note:") else None
            case "fence":
                return self._fence(token, line)
            case "colon_fence":
                return self._directive(token, line)
        view = self.view(str(token.attrs["view"]), line - 1) if "view" in token.attrs else None
        for key in token.attrs.keys() - {"view", "start"}:
            self.report(line - 1, f"There is no attribute `{key}`: a paragraph has only `view`.")
        if token.type == "heading_open":
            return self._heading(tokens, view, line, first)
        texts = markdown.texts(tokens, first)
        html, numbers = markdown.html(tokens, self, first)
        return Prose(html, view, numbers, texts, line)

    def _heading(self, tokens: Sequence[Token], view: StageView | None, line: int, first: int) -> Heading:
        text = markdown.plain(tokens[1].content)
        id = unused(text, self._headings)
        self._headings.add(id)
        texts = markdown.texts(tokens, first)
        html, numbers = markdown.html(tokens[1:-1], self, first)
        return Heading(int(tokens[0].tag[1:]), id, html, text, view, numbers, line, texts)

    def _check_headings(self, blocks: Sequence[Block]) -> None:
        level = 1  # of the title
        for heading in (block for block in blocks if isinstance(block, Heading)):
            if heading.level == 1:
                self.report(heading.line, "The title of the front matter is the heading of level 1: begin this one with `##`.")
            elif heading.level > level + 1:
                self.report(
                    heading.line, f"A heading of level {heading.level} follows one of level {level}: do not skip a level."
                )
            level = heading.level

    def _fence(self, token: Token, line: int) -> Block | None:
        head = HEAD.fullmatch(token.info.strip())
        if head is None:
            return CodeSample(token.info.strip(), token.content, line)
        if head[1] != "code-cell":
            self.report(
                line, f"There is no block {{{head[1]}}} in backticks: a cell is {{code-cell}}, other blocks have colons."
            )
            return None
        options, code, start = self.options(token.content, line + 1, ("name", "raises", "fold"))
        if "name" in options:
            self._recording = self.name(options["name"], line)
            self.cells[self._recording] = []
        if self._recording is None:
            self.report(line, "The first cell has no recording: name it with `:name: fit` below the backticks.")
            return None
        cells = self.cells[self._recording]
        if cells and cells[-1].raises:
            self.report(line, "A cell after one with `:raises:` never runs: begin another recording with `:name:`.")
        cell = LessonCell(self._recording, len(cells), code.strip("\n"), options.get("raises"), "fold" in options, start)
        cells.append(cell)
        return cell

    def _directive(self, token: Token, line: int) -> Block | None:
        if not token.info.strip():
            self.report(line, f"`{token.markup}` ends no block: a block ends with as many colons as it begins with.")
            return None
        head = HEAD.fullmatch(token.info.strip())
        if head is None or head[1] not in directives.READERS:
            name = head[1] if head else token.info.strip()
            self.report(line, f"There is no block {{{name}}}: use {', '.join(directives.READERS)}.")
            return None
        known, reader = directives.READERS[head[1]]
        options, body, start = self.options(token.content, line + 1, known)
        return reader(self, Source(head[2].strip(), options, body, line, start))

    def options(self, content: str, line: int, known: Sequence[str]) -> tuple[dict[str, str], str, int]:
        """Return the options at the start of a block, the rest of its text, and the line where the rest begins."""
        options: dict[str, str] = {}
        lines = content.split("\n")
        while lines and (option := OPTION.fullmatch(lines[0].rstrip())):
            if option[1] not in known:
                self.report(line, f"There is no option `:{option[1]}:` here: use {', '.join(f':{each}:' for each in known)}.")
            elif option[1] in options:
                self.report(line, f"The option `:{option[1]}:` is set twice.")
            options[option[1]] = (option[2] or "").strip()
            del lines[0]
            line += 1
        return options, "\n".join(lines), line


def unused(text: str, used: Set[str]) -> str:
    """Return a name made from a text: its words in small letters, and a number if the name is used already.

    >>> unused("What is `m.grad`?", {"what-is-m-grad"})
    'what-is-m-grad-2'
    """
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = base = words[:LONGEST_NAME].strip("-") if words[:1].isalpha() else f"part-{words[:LONGEST_NAME]}".strip("-")
    count = 1
    while name in used:
        count += 1
        name = f"{base}-{count}"
    return name


def _top_level(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield each block with all tokens inside it."""
    start = depth = 0
    for index, token in enumerate(tokens):
        depth += token.nesting
        if depth == 0:
            yield tokens[start : index + 1]
            start = index + 1
