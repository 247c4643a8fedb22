"""Parse the documentation of a rule from the docstring of its module.

The first line of the docstring is a sentence about the rule. Sections follow, each under a ``## Title``. A section has
paragraphs, lists whose items begin with ``- ``, and programs between lines of three backticks.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Final, Literal

SECTIONS: Final = ("Why it matters", "Example", "What it does not report")
"""The titles of the sections that every rule has, in their order."""
LINK: Final = re.compile(r"\[(?P<text>[^\[\]\n]+)\]\((?P<address>#[a-z-]+)\)")
"""A link to the documentation of another rule."""
_FENCE: Final = "```"


@dataclass(frozen=True)
class DocBlock:
    """A paragraph (``lines`` has one entry), a list (one entry per item) or a program (one entry, with line breaks)."""

    kind: Literal["paragraph", "list", "program"]
    lines: tuple[str, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """The addresses of the links in a paragraph or a list, which are written as ``[text](address)``."""
        if self.kind == "program":
            return ()
        return tuple(match["address"] for line in self.lines for match in LINK.finditer(line))


@dataclass(frozen=True)
class DocSection:
    """A titled section."""

    title: str
    blocks: tuple[DocBlock, ...]


@dataclass(frozen=True)
class RuleDocumentation:
    """The documentation of a rule: one sentence, and its sections."""

    summary: str
    sections: tuple[DocSection, ...]

    @property
    def headline(self) -> str:
        """The summary as a heading, without its "Report".

        >>> RuleDocumentation("Report that a line was skipped.", ()).headline
        'A line was skipped.'
        """
        text = self.summary.removeprefix("Report ").removeprefix("that ")
        return f"{text[0].upper()}{text[1:]}"

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs of the example: one that triggers the rule, then the corrected one."""
        example = next(section for section in self.sections if section.title == "Example")
        return tuple(f"{block.lines[0]}\n" for block in example.blocks if block.kind == "program")


def parse(docstring: str) -> RuleDocumentation:
    r"""Parse a docstring.

    >>> doc = parse("Report a.\n\n## Example\n\n```python\nx = 1\n```\n\nFirst\nline.\n\n- one\n  item\n- two\n")
    >>> doc.summary, doc.programs
    ('Report a.', ('x = 1\n',))
    >>> [block.lines for block in doc.sections[0].blocks[1:]]
    [('First line.',), ('one item', 'two')]
    """
    summary, *sections = inspect.cleandoc(docstring).split("\n## ")
    found = []
    for section in sections:
        title, _, body = section.partition("\n")
        found.append(DocSection(title, tuple(_blocks(body))))
    return RuleDocumentation(summary.strip(), tuple(found))


def _blocks(text: str) -> list[DocBlock]:
    blocks: list[DocBlock] = []
    for index, part in enumerate(text.split(f"\n{_FENCE}")):
        if index % 2:
            blocks.append(DocBlock("program", (part.partition("\n")[2],)))
            continue
        for paragraph in filter(None, (each.strip() for each in part.split("\n\n"))):
            if paragraph.startswith("- "):
                items = f"\n{paragraph}".split("\n- ")[1:]
                blocks.append(DocBlock("list", tuple(" ".join(item.split()) for item in items)))
            else:
                blocks.append(DocBlock("paragraph", (" ".join(paragraph.split()),)))
    return blocks
