"""Define the answer to the question why a number is what it is."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Kind = Literal["sum", "function", "input", "start", "unknown", "absent"]
Number = float | str | None
"""A number of an answer; ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` for those that JSON lacks."""


class WhyFormula(Struct, frozen=True):
    """A formula as LaTeX, and as MathML for a page."""

    latex: str
    mathml: str


class WhyLink(Struct, frozen=True, rename={"pass_": "pass"}):
    """A number from which another one was computed: its name, its value, and how to request its own explanation.

    ``of``, ``step`` and ``pass`` are the parameters of that request, and ``href`` is its URL, relative to the run's.
    """

    of: str
    name: str
    value: Number
    href: str
    step: int | None = None
    pass_: int | None = None


class WhyTerm(Struct, frozen=True):
    """A term of a sum. ``value`` is ``factor`` times the number that ``source`` explains.

    ``share`` is the term's share of the sum of all terms' magnitudes, from 0 to 1. ``text`` is the product written out with
    numbers, such as `2·(1 − 2)·0.33333`. ``reads`` are the numbers from which its factor was computed. ``edge`` is the edge of
    the graph along which a gradient came.
    """

    value: Number
    share: float
    factor: Number
    text: str
    source: WhyLink | None
    reads: list[WhyLink] = []
    edge: str | None = None


class WhyNudge(Struct, frozen=True):
    """An experiment that tests a gradient: the element grows by ``by``, and a replay computes the loss again.

    The gradient predicts that the loss changes by ``predicted``. ``replay`` is the body of the request for the replay.
    """

    by: float
    predicted: float
    replay: dict[str, Any]


class Why(Struct, frozen=True, rename={"pass_": "pass"}):
    """Why a number is what it is: the terms that it is made of, largest first.

    ``of`` and ``name`` are the address and the name of the number, ``element`` its index in the tensor. If the address names
    no element, the element of greatest magnitude is explained. ``kind`` is one of:

    - ``sum``: ``value`` is the sum of the values of ``terms``, of ``rest`` and of ``rounding``, exactly. ``rounding`` is the
      rounding error of the recording's dtype and of the library that computed the number.
    - ``function``: an operation computed it from the numbers in ``reads``.
    - ``input``: the program made it.
    - ``start``: a pass starts with it, usually with 1.
    - ``unknown``: the numbers behind it were not recorded.
    - ``absent``: there is no such number, and ``sentence`` says why.

    ``rule`` is the local rule in the program's own names. ``line`` is the whole calculation of a leaf's gradient in one line,
    as text. ``omitted`` is the number of terms that are not listed, and ``rest`` their sum. ``path`` names the
    operations that were skipped because they only move or copy elements, such as views. ``node`` is the node of the graph,
    ``program_line`` its line. ``published`` quotes PyTorch's own definitions (``derivatives.yaml``) of derivatives without
    a local rule. ``replay`` is the body of a replay. One for ``elements`` records the numbers that this explanation lacks: ask
    again after it. One for ``factors`` computes local derivatives. ``note`` says where the program's own `.grad` is `None`
    although a pass computed this gradient.
    """

    of: str
    name: str
    kind: Kind
    value: Number
    element: list[int] | None
    step: int | None
    pass_: int | None
    sentence: str
    rule: WhyFormula | None = None
    line: str | None = None
    terms: list[WhyTerm] = []
    omitted: int = 0
    rest: Number = None
    rounding: Number = None
    reads: list[WhyLink] = []
    path: list[str] = []
    node: str | None = None
    program_line: int | None = None
    source: str | None = None
    nudge: WhyNudge | None = None
    replay: dict[str, Any] | None = None
    published: dict[str, str] = field(default_factory=dict)
    note: str | None = None
