"""Compute which lines had run at the playhead, by the same rules as the page's script (``core/playhead.js``)."""

from __future__ import annotations

import re

from msgspec import Struct

from ... import model


class Playhead(Struct, frozen=True):
    """A phase of a step of a run. ``step`` is ``None`` at the end of a run without steps."""

    run: model.Run
    step: model.Step | None
    phase: model.Phase = "backward"

    def reached(self, phase: model.Phase) -> bool:
        """Return whether a phase of the step is at or before the playhead."""
        if self.step is None:
            return True
        here = model.PHASES.index(self.phase)
        ends = [index for index, each in enumerate(model.PHASES) if each == "backward" or self.step.lines.get(each)]
        return model.PHASES.index(phase) <= here or here >= ends[-1]

    @property
    def at_end(self) -> bool:
        """True if the recording ends here: the program had finished or raised its error."""
        return self.step is None or (self.step.index >= last_index(self.run) and self.reached("update"))

    def is_constant(self, line: int, value: model.EarlierValue, last: model.Line | None) -> bool:
        """Return whether an earlier value was set once, outside the loop of the step, and has not changed since."""
        first, end = self._loop
        return last is not None and last.step == value.step and not first <= line <= end

    def cells_over(self) -> list[bool]:
        """Return for each cell whether it had finished.

        A cell is over if a later cell had begun, or if none of its lines runs later.
        """
        cells = self.run.cells
        if self.step is None or self.at_end:
            return [True] * len(cells)
        own = [line for line in self.run.lines if line.file is None]
        progress = [[self._progress(line) for line in own if cell.start_line <= line.line <= cell.end_line] for cell in cells]
        begun = max((index for index, lines in enumerate(progress) if any(ran for ran, _ in lines)), default=-1)
        return [index < begun or (index == begun and all(over for _, over in progress[index])) for index in range(len(cells))]

    def _progress(self, line: model.Line) -> tuple[bool, bool]:
        """Return whether a line had run, and whether it had run for the last time."""
        assert self.step is not None
        own = self.step.values.get(str(line.line))
        ran = self.reached(own.phase) if own is not None else str(line.line) in self.step.earlier
        return ran, ran and line.step is not None and line.step <= self.step.index

    @property
    def _loop(self) -> tuple[int, int]:
        """Return the first and last line of the loop around the step, including its header; (1, 0) without a loop."""
        if self.step is None or self.step.iteration is None:
            return 1, 0
        first = last = self.step.iteration.line
        lines = self.run.program.split("\n")
        own = _indent(lines[first - 1])
        for number, text in enumerate(lines[first:], first + 1):
            deep = _indent(text)
            if deep > own:
                last = number
            elif deep >= 0 and not re.match(r"\s*[)\]}#]", text):
                break
        return first, last


def last_index(run: model.Run) -> int:
    """Return the index of the last step at which the playhead can stop, the unfinished one included; -1 if there is none."""
    return run.steps - 1 + run.unfinished


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip()) if text.strip() else -1
