"""Read the directives of a lesson: ``predict``, ``write``, ``break-fix`` and ``drag``, and the blocks inside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, get_args

from ..document import (
    Block,
    Bound,
    Choice,
    CodeSample,
    DragTask,
    FixTask,
    Movable,
    Opening,
    PredictKind,
    PredictTask,
    Reply,
    Scope,
    Sight,
    WriteTask,
    WrongAttempt,
)
from . import markdown, patch
from .directive_parts import Parts, Reading, Source

TOLERANCE: Final = 0.001
HINTS: Final = 2
LITERAL: Final = re.compile(r"None|True|False|yes|no|[A-Z]\w*(Error|Exception|Warning)")
PRODUCTS: Final = re.compile(r"products\((.+),(.+)\)")


def _predict(reading: Reading, source: Source) -> PredictTask:
    parts = Parts(reading, source)
    if not source.argument:
        reading.report(source.line, "A {predict} needs its question on the first line: `::::{predict} What is m.grad?`.")
    html, numbers = markdown.inline_html(source.argument, reading, source.line)
    body, choices, in_choices = _choices(reading, parts.prose, source.start)
    answer = _stated(reading, source.options.get("answer", ""), source.line_of("answer"))
    if (answer is None) == (not choices):
        reading.report(source.line, "A {predict} has either `:answer:` or choices `- [x] right` and `- [ ] wrong`.")
    if choices and sum(choice.right for choice in choices) != 1:
        reading.report(source.line, "Exactly one choice is right: mark it with `[x]`.")
    replies = [
        Reply(None if argument == "else" else _reply(reading, argument, line, choices), reading.blocks(text, line + 1), line)
        for argument, line, text in parts.take("reply")
    ]
    parts.end("predict")
    text, given = markdown.plain(source.argument), source.options.get("name")
    return PredictTask(
        name=reading.name(given, source.line) if given else reading.name_from(text),
        html=html,
        text=text,
        kind=_kind(reading, source, answer, choices),
        answer=answer,
        tolerance=_number(reading, source, "tolerance", TOLERANCE),
        opens=_opening(reading, source),
        choices=choices,
        body=reading.blocks(body, source.start),
        replies=replies,
        numbers=[*numbers, *in_choices],
        line=source.line,
        texts=markdown.inline_texts(source.argument, source.line),
    )


def _choices(reading: Reading, body: str, first: int) -> tuple[str, list[Choice], list[Bound]]:
    """Return the text without its task list, the choices in that list, and the numbers in them."""
    lines = body.split("\n")
    choices, numbers = list[Choice](), list[Bound]()
    for index, text in enumerate(lines):
        if item := re.fullmatch(r"[-*] \[([ xX])\] (.+)", text):
            html, inside = markdown.inline_html(item[2], reading, first + index)
            numbers += inside
            choices.append(Choice(html, markdown.plain(item[2]), item[1] != " "))
            lines[index] = ""
    return "\n".join(lines), choices, numbers


def _reply(reading: Reading, argument: str, line: int, choices: Sequence[Choice]) -> Bound | None:
    if not choices:
        return _stated(reading, argument, line)
    text = markdown.plain(argument)
    if text not in [choice.text for choice in choices]:
        reading.report(line, f"No choice is {argument!r}: a reply names one of {', '.join(each.text for each in choices)}.")
    return reading.bound(text, "", line)


def _stated(reading: Reading, text: str, line: int) -> Bound | None:
    """Return a value of the lesson: ``-9.3333 <m.grad>``, a literal alone, or a binding alone."""
    if not text:
        return None
    if (parts := markdown.shown_and_binding(text)) and _literal(parts[0]):
        return reading.bound(parts[0].strip("[]"), parts[1], line)
    if _literal(text):
        return reading.bound(text.strip("[]"), text, line)
    return reading.bound("", text, line)


def _literal(text: str) -> bool:
    parts = [part.strip() for part in text.strip("[]").split(",")]
    return bool(LITERAL.fullmatch(text)) or all(markdown.SIGNED.fullmatch(part.replace("−", "-")) for part in parts)


def _kind(reading: Reading, source: Source, answer: Bound | None, choices: Sequence[Choice]) -> PredictKind:
    kinds: tuple[PredictKind, ...] = get_args(PredictKind)
    for kind in kinds:
        if source.options.get("kind") == kind:
            return kind
    if "kind" in source.options:
        reading.report(source.line, f"`:kind: {source.options['kind']}` is not known: use {', '.join(kinds)}.")
    shown = answer.shown if answer else ""
    if choices:
        return "choice"
    if shown in ("True", "False", "yes", "no"):
        return "yes-no"
    if shown == "None" or re.fullmatch(r"[A-Z]\w*", shown):
        return "error"
    return "list" if "," in shown else "number"


def _opening(reading: Reading, source: Source) -> Opening | None:
    text = source.options.get("opens", "")
    if not text:
        return None
    if text == "finding":
        return Opening("finding")
    if products := PRODUCTS.fullmatch(text):
        return Opening("products", [products[1].strip().strip("\"'"), products[2].strip().strip("\"'")])
    view = reading.view(text, source.line)
    return None if view is None else Opening("view", view=view)


def _write(reading: Reading, source: Source) -> WriteTask:
    parts = Parts(reading, source)
    starts, cells = _starts(reading, source)
    hints, solution, mistakes = _attempts(reading, parts, "", source)
    then = [_attempt(reading, *each, "")[0] for each in parts.take("then")]
    parts.end("write")
    starter, body = _first_code(reading.blocks(parts.prose, source.start))
    if not source.options.get("judge") and not source.options.get("check"):
        reading.report(source.line, "A {write} needs the condition that its code must meet: `:judge: dm == m.grad`.")
    return WriteTask(
        name=reading.name(source.argument, source.line),
        starts=starts,
        cells=cells,
        judge=source.options.get("judge", ""),
        check=source.options.get("check"),
        starter=starter,
        body=body,
        hints=hints,
        solution=solution,
        mistakes=mistakes,
        scope=_end_of(reading, starts, cells),
        line=source.line,
        then="\n".join(then),
    )


def _end_of(reading: Reading, recording: str, cells: int) -> Scope:
    """Return the end of a recording's last cell above the directive, or of cell number ``cells`` if that cell is later."""
    return Scope(recording, max(cells, len(reading.cells.get(recording, []))) - 1)


def _fix(reading: Reading, source: Source) -> FixTask:
    parts = Parts(reading, source)
    starts, cells = _starts(reading, source) if "starts" in source.options else ("", 0)
    program, body = _first_code(reading.blocks(parts.prose, source.start))
    hints, solution, mistakes = _attempts(reading, parts, program, source)
    parts.end("break-fix")
    options = source.options
    faults = [name for name in ("finding", "error", "check") if options.get(name)]
    if not faults:
        reading.report(
            source.line, "A {break-fix} needs its fault: `:finding: leaf-rebound`, `:error: TypeError` or `:check: wrong`."
        )
    if not program:
        reading.report(
            source.line, "A {break-fix} needs the program with the fault, between ```` ```python ```` and ```` ``` ````."
        )
    return FixTask(
        name=reading.name(source.argument, source.line),
        starts=starts,
        cells=cells,
        finding=options.get("finding"),
        error=options.get("error"),
        check=options.get("check"),
        holds=options.get("holds", ""),
        program=program,
        body=body,
        hints=hints,
        solution=solution,
        mistakes=mistakes,
        line=source.line,
    )


def _drag(reading: Reading, source: Source) -> DragTask:
    parts = Parts(reading, source)
    scope = reading.scope
    recording = source.options.get("recording") or (scope.recording if scope else "")
    if recording not in reading.cells:
        reading.report(source.line, f"There is no recording {recording!r} above: name one with `:recording:`.")
    low, high, step = _range(reading, source)
    moves = source.options.get("moves", "graph numbers").split()
    for each in moves:
        if each not in get_args(Movable):
            reading.report(source.line, f"`:moves:` has no {each!r}: use {', '.join(get_args(Movable))}.")
    sees = [
        Sight(_float(reading, argument, line), reading.blocks(text, line + 1), line)
        for argument, line, text in parts.take("sees")
    ]
    parts.end("drag")
    return DragTask(
        name=source.argument,
        recording=recording,
        low=low,
        high=high,
        step=step,
        moves=[each for each in get_args(Movable) if each in moves],
        body=reading.blocks(parts.prose, source.start),
        sees=sees,
        line=source.line,
    )


def _range(reading: Reading, source: Source) -> tuple[float, float, float]:
    numbers = [_float(reading, each, source.line) for each in source.options.get("range", "").split()]
    if len(numbers) != 3 or not numbers[0] < numbers[1] or not 0 < numbers[2] <= numbers[1] - numbers[0]:
        reading.report(source.line, "A {drag} needs `:range: from to step`, such as `:range: 0 4 0.1`.")
        return 0.0, 1.0, 1.0
    return numbers[0], numbers[1], numbers[2]


def _starts(reading: Reading, source: Source) -> tuple[str, int]:
    """Return the recording whose cells run before the code, and the number of these cells: all for ``fit``, 1 for ``fit/1``."""
    name, _, count = source.options.get("starts", "").partition("/")
    cells = len(reading.cells.get(name, []))
    if not cells:
        reading.report(source.line, f"There is no recording {name!r} above: name one with `:starts: fit`.")
    elif count and not (count.isdecimal() and 1 <= int(count) <= cells):
        reading.report(source.line, f"Recording `{name}` has {cells} cells above: `{count}` is none of 1 to {cells}.")
    elif count:
        return name, int(count)
    return name, cells


def _attempts(
    reading: Reading, parts: Parts, program: str, source: Source
) -> tuple[list[list[Block]], str, list[WrongAttempt]]:
    """Return the hints, the solution and the mistakes of a task. Diffs are applied to ``program``."""
    hints = [reading.blocks(text if not argument else f"{argument}\n{text}", line + (not argument))
             for argument, line, text in parts.take("hint")]  # fmt: skip
    if len(hints) > HINTS:
        reading.report(source.line, f"A task has at most {HINTS} hints, then its solution.")
    solutions = parts.take("solution")
    if len(solutions) != 1:
        reading.report(source.line, "A task needs exactly one :::{solution}.")
    code, _ = _attempt(reading, *solutions[0], program) if solutions else ("", [])
    mistakes = []
    for argument, line, text in parts.take("mistake"):
        wrong, body = _attempt(reading, argument, line, text, program)
        mistakes.append(WrongAttempt(wrong, body, line))
    return hints, code, mistakes


def _attempt(reading: Reading, argument: str, line: int, text: str, program: str) -> tuple[str, list[Block]]:
    """Return the code of a solution or mistake, which is on its first line or in the first fence, and the prose around it."""
    blocks = reading.blocks(text, line + 1)
    if argument:
        return argument.strip("`"), blocks
    sample = next((block for block in blocks if isinstance(block, CodeSample)), None)
    if sample is None:
        reading.report(
            line, "There is no code: write it on the first line, or below in ```` ```python ```` or ```` ```diff ````."
        )
        return "", blocks
    rest = [block for block in blocks if block is not sample]
    if sample.language != "diff":
        return sample.text.strip("\n"), rest
    try:
        return patch.apply(program, sample.text), rest
    except ValueError as error:
        reading.report(sample.line, str(error))
        return "", rest


def _first_code(blocks: list[Block]) -> tuple[str, list[Block]]:
    """Return the first code sample, and the other blocks."""
    sample = next((block for block in blocks if isinstance(block, CodeSample)), None)
    return sample.text.strip("\n") if sample else "", [block for block in blocks if block is not sample]


def _number(reading: Reading, source: Source, option: str, default: float) -> float:
    return _float(reading, source.options[option], source.line) if source.options.get(option) else default


def _float(reading: Reading, text: str, line: int) -> float:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        reading.report(line, f"{text!r} is not a number.")
        return 0.0


READERS: Final[dict[str, tuple[tuple[str, ...], Callable[[Reading, Source], Block]]]] = {
    "predict": (("answer", "kind", "tolerance", "opens", "name"), _predict),
    "write": (("starts", "judge", "check"), _write),
    "break-fix": (("starts", "finding", "error", "check", "holds"), _fix),
    "drag": (("range", "moves", "recording"), _drag),
}
"""The options of each directive, and the function that reads it."""
