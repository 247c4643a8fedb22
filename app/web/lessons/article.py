"""Arrange a lesson for its page: views of the stage, pictures for readers without a script, worked answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from markupsafe import Markup
from msgspec import Struct

from ...lessons.cells import dragged, programs
from ...lessons.document import (
    Block,
    Bound,
    DragTask,
    FixTask,
    Heading,
    Lesson,
    LessonCell,
    PredictTask,
    Prose,
    StageView,
    WriteTask,
)
from ...lessons.typography import typographic
from ...recording import default_graph
from ...runs.run import RecordedRun
from ..links import picture_url

CODE: Final = re.compile(r"<code>([^<]+)</code>")
NUMBER: Final = re.compile(r'<data class="num" data-number="(\d+)" value="([^"]*)">')
TASKS: Final = ("predict", "write", "break-fix", "drag")


class Still(Struct, frozen=True):
    """The picture of a view, for readers without a script, with its description."""

    url: str
    words: str


class Pictured(Struct, frozen=True):
    """The picture that shows a view: of a ``pass`` or a ``graph`` of a run, by its index. ``words`` describe it."""

    recorded: RecordedRun
    what: str
    index: int
    words: str


class ArticlePart(Struct, frozen=True):
    """A block of the article. ``view`` is the view that the stage shows beside it, as JSON; ``anchor`` its ``id`` in HTML."""

    block: Block
    kind: str
    anchor: str
    view: str | None = None
    still: Still | None = None
    outputs: list[tuple[str, str]] = []
    """What a cell printed and returned, each after its class: ``""``, or ``bad`` for an exception."""
    number: int = 0
    """Number of a cell, counted over the lesson."""


class Entry(Struct, frozen=True):
    """An entry in the list of parts: a heading or a task."""

    anchor: str
    text: str
    task: bool


class LessonArticle:
    """A lesson with those of its recordings that have been made.

    ``values`` are the texts of bound values by their id, or ``None`` if they have not been read yet.
    """

    def __init__(
        self, lesson: Lesson, runs: Mapping[str, RecordedRun | None], values: Mapping[int, str] | None, root: str
    ) -> None:
        self.lesson = lesson
        self._runs = runs
        self._values = values or {}
        self._unread = values is None
        self._root = root
        self._parameters = {
            name for run in runs.values() if run is not None for each in run.recording.parameters() for name in each.names
        }
        self.parts = list(self._parts())
        views = (_view_of(block, {}) for block in lesson.blocks)
        self.first = next((self._pictured(view) for view in views if view is not None), None)
        """The picture of the first view; ``None`` if its program has no graph, or is not recorded yet."""

    @property
    def card(self) -> str | None:
        """The path of the picture in a preview of a link to the lesson: its first graph, without gradients that it asks for."""
        if (first := self.first) is None:
            return None
        graph = first.recorded.recording.log.pass_(first.index).graph if first.what == "pass" else first.index
        return picture_url(self._root, first.recorded.id, "graph", graph, "png")

    @property
    def entries(self) -> list[Entry]:
        """The headings of the second level and the tasks, in reading order."""
        found = []
        for part in self.parts:
            if isinstance(part.block, Heading) and part.block.level <= 2:
                found.append(Entry(part.anchor, part.block.text, task=False))
            elif task_kind(part.block) is not None:
                found.append(Entry(part.anchor, self.title(part), task=True))
        return found

    @property
    def waiting(self) -> bool:
        """True if a recording has not been made yet, or if the bound values have not been read yet."""
        return self._unread or any(run is None for run in self._runs.values())

    def title(self, part: ArticlePart) -> str:
        """Return the title of a task as plain text."""
        match part.block:
            case PredictTask(text=text):
                return text
            case DragTask(name=name):
                return f"Drag {name}"
            case WriteTask(name=name):
                return f"Write {name}"
            case FixTask(name=name):
                return f"Fix {name}"
            case _:
                return ""

    def html(self, html: str) -> Markup:
        """Return prose in which the names and the numbers of parameters and gradients have their colours."""
        reachable = html.replace(' display="block">', ' display="block" tabindex="0">')  # a wide formula scrolls
        coloured = CODE.sub(lambda found: self._code(found[1]), reachable)
        return Markup(NUMBER.sub(lambda found: self._number(found[1], found[2]), coloured))  # lessons.reading escapes text

    def value(self, bound: Bound | None) -> str:
        """Return a stated value as a reader sees it; an empty text if it is not known."""
        if bound is None:
            return ""
        return typographic(bound.shown or self._values.get(bound.id, ""))

    def json(self, view: StageView) -> str:
        """Return a view as JSON."""
        return msgspec.json.encode(view).decode()

    def plain(self, number: float) -> str:
        """Return a number as a reader sees it.

        >>> LessonArticle.plain(None, 2.0), LessonArticle.plain(None, -0.5)
        ('2', '−0.5')
        """
        return typographic(f"{number:g}")

    def current(self, task: DragTask) -> float:
        """Return the value in the program of the number that can be dragged."""
        return dragged.current(programs.recordings(self.lesson)[task.recording], task.name)

    def answers(self, task: PredictTask) -> str:
        """Return the right answer of a question."""
        if task.choices:
            return "; ".join(choice.text for choice in task.choices if choice.right)
        text = self.value(task.answer)
        return {"True": "yes", "False": "no"}.get(text, text) if task.kind == "yes-no" else text

    def _parts(self) -> Iterator[ArticlePart]:
        before: StageView | None = None
        latest: dict[str, StageView] = {}
        cells = 0
        for index, block in enumerate(self.lesson.blocks):
            view = _view_of(block, latest)
            if view is not None:
                latest[view.recording] = view
            still = None if view is None or _alike(view, before) else self._still(view)
            before = view or before
            kind = _kind(block)
            cells += isinstance(block, LessonCell)
            yield ArticlePart(
                block=block,
                kind=kind,
                anchor=block.id if isinstance(block, Heading) else f"{kind}-{index}",
                view=None if view is None else msgspec.json.encode(view).decode(),
                still=still,
                outputs=self._outputs(block) if isinstance(block, LessonCell) else [],
                number=cells,
            )

    def _outputs(self, cell: LessonCell) -> list[tuple[str, str]]:
        recorded = self._runs.get(cell.recording)
        if recorded is None:
            return []
        cells = recorded.recording.cells(recorded.new.program)
        if cell.index >= len(cells):
            return []
        own = cells[cell.index]
        found = [("", text.rstrip("\n")) for text in (own.stdout, own.output or "") if text]
        error = recorded.error
        if error is not None and cell.raises and error.line is not None and own.start_line <= error.line <= own.end_line:
            found.append(("bad", f"{error.type}: {error.message}"))
        return found

    def _still(self, view: StageView) -> Still | None:
        found = self._pictured(view)
        if found is None:
            return None
        url = picture_url(self._root, found.recorded.id, found.what, found.index, "svg", {"theme": "auto"})
        return Still(url, found.words)

    def _pictured(self, view: StageView) -> Pictured | None:
        recorded = self._runs.get(view.recording)
        if recorded is None:
            return None
        steps = recorded.counts[2]
        if steps:
            at = -1 if view.step is None else view.step
            step = recorded.step(max(0, min(steps - 1, at if at >= 0 else steps + at)))
            shown = next((each for each in step.passes if each.index == step.main), None)
            if shown is None or not shown.graph:
                return None
            when = f", step {step.index}" if steps > 1 else ""
            return Pictured(recorded, "pass", shown.index, _words(recorded, shown.graph) + when)
        last = default_graph(recorded.recording)
        if last is None:
            return None
        graph = f"g{last.index}" if last.kind == "graph" else recorded.recording.pass_(last.index, numbers=False).graph
        return Pictured(recorded, last.kind, last.index, _words(recorded, graph))

    def nodes(self, binding: str) -> str:
        """Return the names of the nodes that a binding reads, as JSON."""
        return json.dumps(_nodes_in(binding))

    def _code(self, text: str) -> str:
        kind = "grad" if text.endswith(".grad") or text.startswith("backward") or ".backward(" in text else ""
        kind = "param" if text in self._parameters else kind
        return f'<code class="{kind}">{text}</code>' if kind else f"<code>{text}</code>"

    def _number(self, id: str, binding: str) -> str:
        plain = Markup(binding).unescape()
        kind = " of-grad" if plain.endswith(".grad") or plain.startswith("edge(") else ""
        kind = " of-param" if plain in self._parameters else kind
        nodes = Markup.escape(self.nodes(plain))
        return f'<data class="num{kind}" data-number="{id}" data-nodes="{nodes}" value="{binding}">'


def _words(recorded: RecordedRun, graph: str) -> str:
    """Return the words for the picture of a graph."""
    structure = recorded.recording.graph(int(graph[1:]))
    roots = [node.name for node in structure.nodes if node.id in structure.roots and node.name]
    leaves = [node.name for node in structure.nodes if node.kind == "leaf" and node.name]
    operations = sum(node.kind == "op" for node in structure.nodes)
    of = f" of {', '.join(roots)}" if roots else ""
    down = f" down to the {'leaf' if len(leaves) == 1 else 'leaves'} {', '.join(leaves)}" if leaves else ""
    return f"The backward graph{of}: {operations} operation{'' if operations == 1 else 's'}{down}"


def _nodes_in(binding: str) -> list[str]:
    """Return the names of the nodes that a binding reads.

    >>> _nodes_in('node("m * x").grad'), _nodes_in("edge(y_pred, m)"), _nodes_in("m.grad @ backward")
    (['m * x'], ['y_pred', 'm'], ['m'])
    >>> _nodes_in("adam[0].m @ update"), _nodes_in("adam[0].state(m, 'exp_avg')")
    (['m'], [])
    """
    binding = re.sub(r"^\w+\[-?\d+\]\.", "", binding)  # the step
    if found := re.match(r"""(?:node|leaf)\((?:"([^"]*)"|'([^']*)'|(\w+))\)""", binding):
        return [found[1] or found[2] or found[3]]
    if found := re.match(r"edge\((.*)\)", binding):
        return [each.strip().strip("\"'") for each in found[1].split(",")]
    found = re.match(r"([A-Za-z_]\w*)(?![\w(\[])", binding)
    return [found[1]] if found else []


def task_kind(block: Block) -> str | None:
    """Return the kind of a task, or ``None`` for a block that is not a task."""
    return kind if (kind := _kind(block)) in TASKS else None


def _kind(block: Block) -> str:
    return str(type(block).__struct_config__.tag)


def _view_of(block: Block, latest: Mapping[str, StageView]) -> StageView | None:
    """Return the view that the stage shows beside a block.

    For a task to drag or to write, the view has the step of the latest view of the same recording.
    """
    match block:
        case Heading(view=view) | Prose(view=view):
            return view
        case DragTask(recording=recording, moves=moves):
            before = latest.get(recording)
            panes = [pane for move, pane in (("curve", "curve"), ("slope", "surface")) if move in moves]
            return StageView(
                recording,
                None if before is None else before.step,
                "backward",
                panes=panes[-1:],  # type: ignore[arg-type]
            )
        case WriteTask(starts=recording) if recording in latest:
            return StageView(recording, latest[recording].step, "backward")
        case FixTask(name=name):
            return StageView(name, phase="backward")
        case _:
            return None


def _alike(one: StageView, other: StageView | None) -> bool:
    """Return whether two views have the same picture."""
    return other is not None and (one.recording, one.step) == (other.recording, other.step)
