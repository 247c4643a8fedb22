"""Tell what has come to pass where the playhead stands, by the rules of the page's own script (``core/instant.js``)."""

from __future__ import annotations

import re

from msgspec import Struct

from .. import model


class Playhead(Struct, frozen=True):
    """A phase of a step of a run; without a step, the end of a run that has none."""

    run: model.Run
    step: model.Step | None
    phase: model.Phase = "backward"

    def reached(self, phase: model.Phase) -> bool:
        """Whether a phase of the step lies here or before."""
        if self.step is None:
            return True
        here = model.PHASES.index(self.phase)
        ends = [at for at, each in enumerate(model.PHASES) if each == "backward" or self.step.lines.get(each)]
        return model.PHASES.index(phase) <= here or here >= ends[-1]

    @property
    def at_end(self) -> bool:
        """Whether the recording ends here: the program had run to its end, or to its error."""
        return self.step is None or (self.step.index >= self.run.steps - 1 and self.reached("update"))

    def value(
        self, line: int, last: model.Line | None
    ) -> tuple[model.LineValue | model.EarlierValue | model.Line | None, bool]:
        """What a line was here, ``last`` being its last value, and whether it had run; ``None`` for one that has no value."""
        if self.step is None:
            return last, True
        key = str(line)
        own = self.step.values.get(key)
        if own is not None and self.run.error is not None and self.at_end and last is not None and last.step is None:
            return last, True  # it ran on the way from the last step to the error
        if own is not None:
            return own, self.reached(own.phase)
        earlier = self.step.earlier.get(key)
        if last is not None and self.at_end and (last.step is None or earlier is None):
            return last, True
        if earlier is not None:
            return earlier, True
        if any(line in lines and self.reached(phase) for phase, lines in self.step.lines.items()):
            return None, True  # it ran, and came to nothing that is told
        return last, False

    def stays(self, line: int, value: model.EarlierValue, last: model.Line | None) -> bool:
        """Whether an earlier value was set once, outside the loop of the step, and is the same ever since."""
        first, end = self._loop
        return last is not None and last.step == value.step and not first <= line <= end

    def over(self) -> list[bool]:
        """Which cells had run to their end: those after which another had begun, or of which no line was still to run."""
        cells = self.run.cells
        if self.step is None or self.at_end:
            return [True] * len(cells)
        own = [line for line in self.run.lines if line.file is None]
        told = [[self._ran(line) for line in own if cell.start_line <= line.line <= cell.end_line] for cell in cells]
        begun = max((at for at, lines in enumerate(told) if any(ran for ran, _ in lines)), default=-1)
        return [at < begun or (at == begun and all(over for _, over in told[at])) for at in range(len(cells))]

    def _ran(self, line: model.Line) -> tuple[bool, bool]:
        """Whether a line had run, and whether it was never to run again."""
        assert self.step is not None
        own = self.step.values.get(str(line.line))
        ran = self.reached(own.phase) if own is not None else str(line.line) in self.step.earlier
        return ran, ran and line.step is not None and line.step <= self.step.index

    @property
    def _loop(self) -> tuple[int, int]:
        """The lines of the loop that the step stands in, its head included; none where it stands in none."""
        if self.step is None or self.step.iteration is None:
            return 1, 0
        first = last = self.step.iteration.line
        lines = self.run.program.split("\n")
        own = _indent(lines[first - 1])
        for at, text in enumerate(lines[first:], first + 1):
            deep = _indent(text)
            if deep > own:
                last = at
            elif deep >= 0 and not re.match(r"\s*[)\]}#]", text):
                break
        return first, last


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip()) if text.strip() else -1
