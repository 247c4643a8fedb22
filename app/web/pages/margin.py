"""Write the values beside the lines of a program, by the same rules as the page's script (``core/margin.js``)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from ... import model
from ...drawing.numerals import count_of, described, short, typeset, typeset_literals, values
from .playhead import Playhead

ROOM: Final = 27
"""Largest number of characters of a value."""
WIDTH: Final = 61
"""Characters of a value that fit into a line of the editor at its usual width."""
LETTER: Final = 1.09
"""Width of a character of code, in characters of a value."""
NONE: Final = "·"
"""The text beside a line that had not run yet."""
LATER: Final[dict[model.Phase, str]] = {
    "forward": "it runs in the forward phase",
    "loss": "it runs in the loss phase",
    "backward": "it runs with backward()",
    "update": "it runs in the update phase or after it",
}
"""Why a line had not run yet at the playhead, by its phase."""

_MADE: Final = re.compile(r"=\s*torch\.(tensor|as_tensor|arange|linspace|from_numpy)\(")
_GRADIENT: Final = re.compile(r"\s*[\w.[\]]+\.grad\s*")


class Note(Struct, frozen=True):
    """The value beside a line. ``title`` is the whole value, or a remark about it.

    ``tone`` is ``off`` for a line that had not run yet, ``before`` for a value of an earlier step unless it is constant,
    ``grad`` for a gradient, ``param`` for a parameter, and else empty.
    """

    text: str
    title: str
    tone: str = ""


def notes(playhead: Playhead, shown_pass: model.Pass | None) -> dict[int, Note]:
    """Return the note of each line that has one at the playhead, by line number. ``shown_pass`` is the pass of the graph."""
    run, step = playhead.run, playhead.step
    source = run.program.split("\n")
    last = {line.line: line for line in run.lines if line.file is None}

    def noted(line: int, value: _Value, tone: str = "") -> Note:
        return _note(value.text, value.tensor, tone, source[line - 1] if line <= len(source) else "")

    if step is None:
        return {line: noted(line, value) for line, value in last.items()}
    found: dict[int, Note] = {}
    for line in dict.fromkeys([*last, *map(int, step.earlier)]):
        recorded, earlier = last.get(line), step.earlier.get(str(line))
        if playhead.at_end and recorded is not None and (recorded.step is None or earlier is None):
            found[line] = noted(line, recorded)
        elif earlier is None:
            found[line] = Note(NONE, "not run yet", "off")
        elif playhead.is_constant(line, earlier, recorded):
            found[line] = noted(line, earlier)
        else:
            before = noted(line, earlier, "before")
            found[line] = Note(before.text, f"from step {earlier.step}: {before.title}", before.tone)
    phases: dict[int, model.Phase] = {}
    for phase in model.PHASES:
        for line in step.lines.get(phase, ()):
            phases.setdefault(line, phase)
    own = {int(line): value for line, value in step.values.items()}
    for line, value in own.items():
        if playhead.reached(value.phase):
            found[line] = noted(line, value, "param" if phases.get(line) == "update" and value.tensor is not None else "")
    if shown_pass is not None and shown_pass.line is not None:
        gradient = _gradients(step, shown_pass.line, source)
        if gradient is not None:
            found[shown_pass.line] = gradient
    for rebind in step.rebinds:
        if rebind.to is not None:
            leaf = "" if rebind.to.is_leaf else ", not a leaf"
            title = f"{rebind.name} now refers to another tensor ({rebind.to.grad_fn or 'no grad_fn'})"
            found[rebind.line] = Note(f"{rebind.name} = {typeset(short(rebind.to, 16))}{leaf}", title, "param")
    for line in dict.fromkeys([*phases, *own]):
        phase = own[line].phase if line in own else phases[line]
        if playhead.reached(phase):
            if line in found and found[line].tone == "off":
                del found[line]  # the line ran, but has no value to show
        elif line in own or (line in found and str(line) not in step.earlier):
            found[line] = Note(NONE, f"not run yet in this step: {LATER[phase]}", "off")
    return found


_Value = model.LineValue | model.EarlierValue | model.Line


def _gradients(step: model.Step, line: int, source: list[str]) -> Note | None:
    """Return the note beside a call of ``backward()``: the gradients that it added."""
    value = step.values.get(str(line))
    filled = [row for row in step.parameters if row.contribution is not None]
    if not filled or (value is not None and value.tensor is not None):
        return None
    only = filled[0]
    if len(filled) == 1 and only.grad_after is not None:
        text = _fit(only.grad_after, source[line - 1] if line <= len(source) else "", f"{only.name or only.id}.grad = ")
    else:
        text = count_of(len(filled), "gradient")
    titles = [f"{row.name or row.id}.grad = {_typeset_short(row.grad_after, 60)}" for row in filled]
    return Note(text, "\n".join(titles), "grad")


def _note(text: str, tensor: model.TensorSummary | None, tone: str, source: str) -> Note:
    if tensor is None:
        return Note(_cut(typeset_literals(text)), text, tone)
    leaf = tensor.requires_grad and tensor.is_leaf
    if _MADE.search(source):
        shown = f"{tensor.shape or 'scalar'} leaf" if leaf else described(tensor)
        return Note(shown, text, "param" if leaf else tone)
    if tone == "before":
        return Note(_fit(tensor, source), text, tone)
    gradient = _GRADIENT.fullmatch(re.sub("#.*", "", source)) is not None
    long = leaf and tensor.shape and values(tensor, _free(source)) is None
    shown = f"{tensor.shape} leaf" if long else _fit(tensor, source)
    return Note(shown, text, "grad" if gradient else "param" if leaf else tone)


def _free(source: str) -> int:
    """Return how many characters of a value fit beside a line of code."""
    return int((WIDTH - 3 - len(source.encode("utf-16-le")) / 2 * LETTER) // 1)


def _fit(tensor: model.TensorSummary, source: str, prefix: str = "") -> str:
    """Return a tensor that fits beside its line, with fewer decimals if necessary, else one for a separate line."""
    beside = values(tensor, _free(source) - len(prefix)) if isinstance(tensor.values, list) else None
    return prefix + (_typeset_short(tensor, ROOM) if beside is None else typeset(beside))


def _typeset_short(tensor: model.TensorSummary | None, limit: int) -> str:
    return NONE if tensor is None else typeset(short(tensor, limit))


def _cut(text: str) -> str:
    line = text.partition("\n")[0]
    return f"{line[: ROOM - 1]}…" if len(line) > ROOM or len(line) < len(text) else line
