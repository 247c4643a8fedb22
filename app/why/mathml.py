"""Turn LaTeX into MathML and into plain text."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import Final

from .answer import WhyFormula

LONGEST: Final = 4_000
"""Largest number of characters of LaTeX that is converted."""
_FRACTIONS: Final = {"1/2": "½", "1/3": "⅓", "1/4": "¼", "1/5": "⅕", "1/6": "⅙", "1/8": "⅛", "1/9": "⅑", "1/10": "⅒"}
_SUPERSCRIPTS: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def formula(latex: str) -> WhyFormula | None:
    """Return a formula with its MathML; ``None`` for an empty or a very long one."""
    if not latex or len(latex) > LONGEST:
        return None
    return WhyFormula(latex, _mathml(latex))


@lru_cache(maxsize=1024)
def _mathml(latex: str) -> str:
    from latex2mathml.converter import convert  # imported late: most requests need no formula

    written = re.sub(r"\\text\{([^{}]*)\}", lambda found: rf"\text{{{_text(found[1])}}}", latex)
    return convert(written).replace('display="inline"', 'display="inline" displaystyle="true"', 1)


def _text(latex: str) -> str:
    """Return the content of `\\text`, escaped, because the converter copies it unchanged into MathML."""
    return escape(re.sub(r"\\([_&%#$])", r"\1", latex), quote=False)


@lru_cache(maxsize=4096)
def plain(latex: str) -> str:
    r"""Return LaTeX without commands, for a line of text.

    >>> plain(r"2 \cdot \left(1 - 2\right)"), plain(r"\frac{1}{3}"), plain(r"-x^{2}")
    ('2·(1 − 2)', '⅓', '−x²')
    """
    text = latex
    for _ in range(8):
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", lambda found: _quotient(found[1], found[2]), text)
        text = re.sub(r"\^\{(-?\d+)\}", lambda found: found[1].translate(_SUPERSCRIPTS), text)
        text = re.sub(r"\\(?:mathit|mathrm|operatorname|text|overline)\{([^{}]*)\}", r"\1", text)
        text = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", text)
        text = re.sub(r"\^\{([^{}]*)\}", r"^(\1)", text)
    for old, new in (
        (r"\left", ""), (r"\right", ""), (r" \cdot ", "·"), (r"\times", "×"), (r"\sigma", "σ"), (r"\pi", "π"), (r"\infty", "∞"),
        (r"\begin{cases}", "{"), (r"\end{cases}", "}"), (r"\\", ";"), ("&", " if "), (r"\sum", "Σ"), (r"\,", " "),
        (r"\_", "_"), (r"\ge", "≥"), (r"\le", "≤"), (r"\top", "ᵀ"), ("-", "−"), ("\\", ""),
    ):  # fmt: skip
        text = text.replace(old, new)
    return re.sub(r" +", " ", text).strip()


def _quotient(above: str, below: str) -> str:
    simple = r"[\w.]+"
    left = above if re.fullmatch(simple, above) else f"({above})"
    right = below if re.fullmatch(simple, below) else f"({below})"
    return _FRACTIONS.get(f"{left}/{right}", f"{left}/{right}")
