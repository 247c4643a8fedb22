"""Parse Markdown in MyST's syntax, and render prose as HTML.

The parser comes from markdown-it-py and its plugins. A lesson adds the roles ``{num}`` and ``{lit}``, and the attribute
``view`` before a paragraph. Directives are read in :mod:`.directives`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html import escape
from typing import Any, Protocol

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.attrs import attrs_block_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

from ..document import Bound
from ..typography import SIGNED, typographic

__all__ = [
    "SIGNED",
    "Surroundings",
    "html",
    "inline_html",
    "inline_texts",
    "parser",
    "plain",
    "shown_and_binding",
    "texts",
    "typographic",
]


def shown_and_binding(content: str) -> tuple[str, str] | None:
    """Return the number and the binding in the content of a role, ``None`` if it does not have both.

    >>> shown_and_binding("-9.3333 <m.grad>"), shown_and_binding("0.01")
    (('-9.3333', 'm.grad'), None)
    """
    shown, found, binding = content.partition("<")
    binding = binding.rstrip()
    return (shown.strip(), binding[:-1]) if found and binding[1:].endswith(">") else None


class Surroundings(Protocol):
    """The methods of the lesson's reader that are called while prose is parsed."""

    def bound(self, shown: str, binding: str, line: int) -> Bound:
        """Return a new value of the lesson."""

    def report(self, line: int, what: str) -> None:
        """Report a problem of the lesson."""


@cache
def parser() -> MarkdownIt:
    """Return the parser. It treats HTML in a lesson as text."""
    markdown = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    plugins: list[Callable[..., None]] = [
        front_matter_plugin, colon_fence_plugin, attrs_block_plugin, myst_role_plugin, myst_block_plugin, dollarmath_plugin,
    ]  # fmt: skip
    for plugin in plugins:
        markdown.use(plugin)
    for kind, rule in (("myst_role", _role), ("math_inline", _formula), ("math_block", _formula)):
        markdown.add_render_rule(kind, rule)
    return markdown


def html(tokens: Sequence[Token], around: Surroundings, first: int) -> tuple[str, list[Bound]]:
    """Return block tokens as HTML, and the numbers in them. ``first`` is added to the lines of the tokens."""
    numbers: list[Bound] = []
    for token in tokens:
        token.attrs.pop("view", None)
        line = first + (token.map[0] if token.map else 0)
        for child in _with_lines(token, line):
            if child.type == "image" and not child.content.strip():
                around.report(
                    child.meta["line"], "A picture needs words: write what it shows between the brackets of `![…](…)`."
                )
            if child.type == "myst_role":
                _read_role(child, around, numbers)
            if child.type.startswith("math_inline"):
                child.meta["mathml"] = _mathml(child, around, child.meta["line"])
        if token.type == "math_block":
            token.meta = {**token.meta, "mathml": _mathml(token, around, line)}
    rendered: str = parser().renderer.render(list(tokens), parser().options, {})
    return rendered.strip(), numbers


def inline_texts(text: str, line: int) -> list[tuple[int, str]]:
    """Return the plain text of one line of Markdown, as :func:`texts` does."""
    return texts(parser().parseInline(text), line)


def inline_html(text: str, around: Surroundings, line: int) -> tuple[str, list[Bound]]:
    """Return one line of Markdown as HTML without a paragraph around it, and the numbers in it."""
    return html(parser().parseInline(text), around, line)


def texts(tokens: Sequence[Token], first: int) -> list[tuple[int, str]]:
    """Return the plain text by line of the file, without roles, code, formulas and links."""
    found: dict[int, str] = {}
    for token in tokens:
        inside_link = 0
        for child in _with_lines(token, first + (token.map[0] if token.map else 0)):
            inside_link += child.nesting if child.type.startswith("link_") else 0
            if child.type == "text" and not inside_link:
                line = child.meta["line"]
                found[line] = found.get(line, "") + child.content
    return sorted(found.items())


def plain(text: str) -> str:
    """Return a line of Markdown as plain text, with code and numbers as a reader sees them.

    >>> plain("What is `m.grad`, *now*?")
    'What is m.grad, now?'
    """
    parts = []
    for token in parser().parseInline(text):
        for child in token.children or []:
            shown = shown_and_binding(child.content) if child.type == "myst_role" else None
            parts.append(shown[0] if shown else child.content if child.type != "softbreak" else " ")
    return "".join(parts).strip()


def _with_lines(token: Token, line: int) -> Iterator[Token]:
    """Yield the parts of a text, with the line of each in its ``meta``."""
    for child in token.children or []:
        child.meta = {**child.meta, "line": line}
        yield child
        line += child.type in ("softbreak", "hardbreak")


def _read_role(token: Token, around: Surroundings, numbers: list[Bound]) -> None:
    line, role = token.meta["line"], token.meta["name"]
    if role == "num":
        parts = shown_and_binding(token.content)
        if parts is None or not parts[0]:
            around.report(line, f"`{token.content}` is no number with a binding: write {{num}}`-9.3333 <m.grad>`.")
            return
        bound = around.bound(*parts, line)
        numbers.append(bound)
        token.meta["bound"] = bound
    elif role != "lit":
        around.report(line, f"There is no role {{{role}}}: use {{num}} for a number with a binding, {{lit}} for one without.")


def _role(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    bound = token.meta.get("bound")
    if bound is None:
        return escape(typographic(token.content))
    return (
        f'<data class="num" data-number="{bound.id}" value="{escape(bound.binding)}">{escape(typographic(bound.shown))}</data>'
    )


def _formula(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return str(tokens[index].meta["mathml"])


def _mathml(token: Token, around: Surroundings, line: int) -> str:
    """Return a formula as MathML. The converter is loaded late, because the server must start fast."""
    from latex2mathml.converter import convert

    try:
        return convert(token.content.strip(), display="block" if token.type == "math_block" else "inline")
    except Exception as error:  # the library raises errors of many classes, also built-in ones
        around.report(line, f"The formula cannot be read ({type(error).__name__}): check its LaTeX.")
        return f"<code>{escape(token.content)}</code>"
