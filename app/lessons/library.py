"""Find lessons: those of Tapedeck, and those of a teacher's folder."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..errors import BadRequest
from .document import Lesson
from .problems import LessonError, LessonProblem

TEXTS: Final = Path(__file__).parent / "texts"


class ReadLessons(Struct, frozen=True):
    """The lessons of a folder that can be read, in the order of their files, and the problems of reading all files."""

    lessons: list[Lesson]
    problems: list[LessonProblem]


@cache
def own() -> tuple[Lesson, ...]:
    """Return Tapedeck's lessons in their order."""
    return tuple(read_folder(TEXTS)) if TEXTS.is_dir() else ()


def with_folder(folder: str) -> Sequence[Lesson]:
    """Return Tapedeck's lessons, followed by the lessons of a teacher's ``folder`` if its path is not empty.

    A lesson of the folder with the id of one of Tapedeck's replaces it. Raises the errors of :func:`read_folder`.
    """
    if not folder:
        return own()
    theirs = {lesson.id: lesson for lesson in read_folder(Path(folder), known={lesson.id for lesson in own()})}
    return [*(theirs.pop(lesson.id, lesson) for lesson in own()), *theirs.values()]


def read_folder(folder: Path, known: Set[str] = frozenset()) -> list[Lesson]:
    """Return the lessons of a folder, in the order of their file names. They may need the lessons with the ids ``known``.

    Raises :class:`LessonError` with the problems of all files, and :class:`BadRequest` if the folder has no lesson.
    """
    reading = read_files(files_of(folder))
    if problems := reading.problems or across(reading.lessons, known):
        raise LessonError(problems)
    return reading.lessons


def files_of(folder: Path) -> list[Path]:
    """Return the files of the lessons of a folder, by name. Raises :class:`BadRequest` if there is none."""
    if not (files := sorted(folder.glob("*.md"))):
        raise BadRequest(f"{folder} has no lesson: a lesson is a file that ends in .md.")
    return files


def read_files(files: Sequence[Path]) -> ReadLessons:
    """Read each file on its own: a file that cannot be read hides no problem of the others."""
    from .reading import reader  # its Markdown parser is loaded late, because the server must start fast

    lessons, problems = list[Lesson](), list[LessonProblem]()
    for file in files:
        try:
            lessons.append(reader.read(file.read_text(encoding="utf-8-sig"), str(file)))
        except UnicodeDecodeError as error:
            problems.append(LessonProblem(str(file), 1, f"The file is not UTF-8 text (byte {error.start})."))
        except LessonError as error:
            problems += error.problems
    return ReadLessons(lessons, problems)


def across(lessons: Sequence[Lesson], known: Set[str]) -> list[LessonProblem]:
    """Return the problems between lessons: an id of two lessons, a needed id that no lesson has, and needs in a circle.

    ``known`` are the ids of other lessons that may be needed.
    """
    by_id = {lesson.id: lesson for lesson in lessons}
    problems = []
    for lesson in lessons:
        if (other := by_id[lesson.id]) is not lesson:
            problems.append(LessonProblem(lesson.file, 2, f"{other.file} has the same id `{lesson.id}`: choose another."))
        problems += [
            LessonProblem(lesson.file, 2, f"It needs `{need}`, but no lesson of this folder has this id.")
            for need in lesson.needs
            if need not in by_id and need not in known
        ]
        if lesson.id in _needed(lesson, by_id):
            problems.append(LessonProblem(lesson.file, 2, f"`needs` leads in a circle back to `{lesson.id}`: leave one out."))
    return problems


def _needed(lesson: Lesson, by_id: dict[str, Lesson]) -> set[str]:
    """Return the ids of all lessons that a lesson needs, directly or through other lessons."""
    found, left = set[str](), list(lesson.needs)
    while left:
        id = left.pop()
        if id not in found and id in by_id:
            found.add(id)
            left += by_id[id].needs
    return found
