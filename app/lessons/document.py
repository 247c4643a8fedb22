"""Define a parsed lesson: its blocks in reading order, each with its line in the file.

A lesson is a Markdown file, which :mod:`.reading.reader` parses. Prose is kept as HTML. Each value that the prose states about
a recording is kept beside it as a :class:`Bound`: the text that a reader sees, and the binding that must give the same number.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .. import model

PredictKind = Literal["number", "list", "choice", "yes-no", "error"]
Movable = Literal["graph", "slope", "difference", "curve", "numbers"]
Pane = Literal["graph", "curve", "surface"]


class Scope(Struct, frozen=True):
    """The instant at which a binding is read: the end of cell ``cell`` of recording ``recording``. Cells count from 0."""

    recording: str
    cell: int


class Bound(Struct, frozen=True):
    """A value that the lesson states. ``id`` numbers the values of a lesson in reading order.

    ``shown`` is the text in the file, without a typographic minus: ``-9.3333``, ``1, 2, 3``, ``True`` or ``RuntimeError``. It
    is empty if the file has only the binding. ``binding`` is an expression of :mod:`.values.language`, or a literal. ``scope``
    is ``None`` above the first cell.
    """

    id: int
    shown: str
    binding: str
    scope: Scope | None
    line: int


class StageView(Struct, frozen=True, rename={"laid_over": "with"}):
    """The view that the stage shows beside the prose while a paragraph is read.

    ``step`` is ``None`` for the last step, and may be negative. ``playhead`` is the program line at which forward work stops.
    ``ran`` is the number of nodes that a backward phase has run, and ``None`` stands for all.
    ``focus`` has the nodes to highlight and ``select`` the node in the inspector, each by its variable or by its source text.
    ``laid_over`` is a second recording, whose curves are laid over those of the first.
    """

    recording: str
    step: int | None = None
    phase: model.Phase | None = None
    playhead: int | None = None
    focus: list[str] = []
    select: str | None = None
    panes: list[Pane] = []
    laid_over: str | None = None
    line: int = 0
    ran: int | None = None


class Heading(Struct, frozen=True, tag="heading"):
    """A heading. ``id`` is the fragment of its address, and ``texts`` is as in :class:`Prose`."""

    level: int
    id: str
    html: str
    text: str
    view: StageView | None
    numbers: list[Bound]
    line: int
    texts: list[tuple[int, str]] = []


class Prose(Struct, frozen=True, tag="prose"):
    """A paragraph, list, table, quotation or formula as HTML.

    A number is ``<data class="num" data-number="3" value="m.grad">−9.3333</data>``, where 3 is the id of one of ``numbers``.
    ``texts`` has the plain text by line of the file, without numbers, code, formulas and links.
    """

    html: str
    view: StageView | None
    numbers: list[Bound]
    texts: list[tuple[int, str]]
    line: int


class LessonCell(Struct, frozen=True, tag="cell"):
    """A cell of a recording. ``raises`` is the type of the exception with which it must end.

    With ``fold``, the page shows only the first line of the code until the reader opens the cell.
    """

    recording: str
    index: int
    code: str
    raises: str | None
    fold: bool
    line: int


class CodeSample(Struct, frozen=True, tag="code"):
    """Code or text that is shown and never run."""

    language: str
    text: str
    line: int


class PresenterNote(Struct, frozen=True, tag="note"):
    """A note for the presenter's view."""

    text: str
    line: int


class Choice(Struct, frozen=True):
    """One of the answers to choose from."""

    html: str
    text: str
    right: bool


class Reply(Struct, frozen=True):
    """The response to a wrong answer. Without an ``answer``, it is for all answers that have no reply of their own."""

    answer: Bound | None
    body: list[Block]
    line: int


class Opening(Struct, frozen=True):
    """The content that appears after a right answer: the products along the edge between ``names``, a finding, or a view."""

    what: Literal["products", "finding", "view"]
    names: list[str] = []
    view: StageView | None = None


class PredictTask(Struct, frozen=True, tag="predict"):
    """A question whose answer is blank until it is guessed. ``tolerance`` is relative.

    ``numbers`` are those in the question and in the choices. ``texts`` is the plain text of the question, as in :class:`Prose`.
    """

    name: str
    html: str
    text: str
    kind: PredictKind
    answer: Bound | None
    tolerance: float
    opens: Opening | None
    choices: list[Choice]
    body: list[Block]
    replies: list[Reply]
    numbers: list[Bound]
    line: int
    texts: list[tuple[int, str]] = []


class WrongAttempt(Struct, frozen=True, tag="mistake"):
    """A wrong attempt, and the reply to a reader who makes it."""

    code: str
    body: list[Block]
    line: int


class WriteTask(Struct, frozen=True, tag="write"):
    """Code that the reader writes. It runs after the first ``cells`` cells of the recording named ``starts``.

    ``judge`` says what must hold: the left side of a comparison is read after the reader's code, the right side at ``scope``.
    ``check`` is the verdict that a gradient check must give. ``then`` is code that runs after the reader's.
    """

    name: str
    starts: str
    cells: int
    judge: str
    check: str | None
    starter: str
    body: list[Block]
    hints: list[list[Block]]
    solution: str
    mistakes: list[WrongAttempt]
    scope: Scope
    line: int
    then: str = ""


class FixTask(Struct, frozen=True, tag="break-fix"):
    """A program with a fault, which the reader fixes. It runs after ``cells`` cells of the recording ``starts``, if any.

    The fault is the code of a finding, the type of an exception, or the verdict of a gradient check. ``solution`` is a whole
    program, and so is the code of each mistake.
    """

    name: str
    starts: str
    cells: int
    finding: str | None
    error: str | None
    check: str | None
    holds: str
    program: str
    body: list[Block]
    hints: list[list[Block]]
    solution: str
    mistakes: list[WrongAttempt]
    line: int


class Sight(Struct, frozen=True):
    """A statement about the program when the dragged number has a certain value."""

    value: float
    body: list[Block]
    line: int


class DragTask(Struct, frozen=True, tag="drag"):
    """A number of a recording's program that can be dragged: ``name`` is a variable or an element of it, such as ``x[0]``."""

    name: str
    recording: str
    low: float
    high: float
    step: float
    moves: list[Movable]
    body: list[Block]
    sees: list[Sight]
    line: int


Block = Heading | Prose | LessonCell | CodeSample | PresenterNote | PredictTask | WriteTask | FixTask | DragTask


class Lesson(Struct, frozen=True):
    """A lesson. ``file`` is its path, as messages about its problems show it."""

    id: str
    title: str
    goal: str
    needs: list[str]
    minutes: int
    torch: str
    seed: int
    license: str
    author: str
    lang: str
    file: str
    blocks: list[Block]
