"""Report a second backward pass through a graph that the first pass has freed.

## Why it matters

A backward pass frees the tensors that the graph saved. A second pass through the same graph fails. This happens when
`backward()` is called twice on one loss, or when two losses share a part of their graph. It also happens when a loop carries a
state, together with its graph, from one iteration to the next.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
loss = (x * x).sum()
loss.backward()
loss.backward()
```

Compute the loss again before each `backward()`:

```python
import torch

x = torch.ones(3, requires_grad=True)
for step in range(2):
    loss = (x * x).sum()
    loss.backward()
```

The same error appears if every pass needs the result of a line that ran only once, before the loop or in `__init__`. Move such
a line to the code that runs before each `backward()`. `retain_graph=True` would only hide the mistake: the program would still
use a result of the old parameters. Use `retain_graph=True` only where two passes through one graph are intended.

A parameter that is replaced by a computed tensor, as in `params["b"] = params["b"].clamp(0, 1)`, is no longer a leaf, and the
graphs of the iterations become one. Change it in place: `with torch.no_grad(): params["b"].clamp_(0, 1)`.

## What it does not report

Repeated passes through a graph that was kept with `retain_graph=True`, or through a graph that saved no tensors.
"""

from __future__ import annotations

import ast
from typing import Final

from ... import model, wire
from ..program.losses import Losses
from ..program.syntax import Syntax, root_of_pass
from ..recorded.failure import Failure
from ..recorded.replaced_leaves import replaced_leaf
from ..wording import first_line

CODE: Final = "backward-twice"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
MESSAGES: Final = r"backward through the graph a second time"
MOST: Final = 3
"""Largest number of lines that a finding names. If there are more, it names the first ones and counts the rest."""
LINES: Final = 100
"""Largest number of lines of a graph that are examined."""
FUNCTIONS: Final = 20
"""Largest number of functions whose calls are followed from one line."""
_REPEATED = (ast.For, ast.While, ast.FunctionDef)
_FREED = "A pass frees the tensors that the graph saved, so it can run through a graph only once."


def explain(failure: Failure) -> model.Finding:
    """Return the finding, with the two lines that ran backward and the operation that both reached."""
    exception, recording = failure.exception, failure.recording
    line, operation = failure.calling_line, failure.operation
    earlier = recording.log.pass_(exception.earlier) if exception.earlier is not None else None
    this = recording.log.pass_(exception.pass_) if exception.pass_ is not None else None
    if earlier is None or this is None:
        message = f"{line} runs backward through {operation} a second time."
        why = f"{_FREED} Compute the result again before each `backward()`."
        return failure.finding(CODE, message, why, line=exception.line)
    if once := _made_once(failure, earlier, this):
        return _once(failure, once)
    if (statement := replaced_leaf(failure)) is not None:
        return _replaced(failure, statement)
    if earlier.line == this.line and this.line > 0 and earlier.graph != this.graph:
        name = exception.node.name if exception.node is not None else None
        carried = f"`{name}`" if name else "A result computed there"
        detach = f"`{name} = {name}.detach()`" if name else "with `detach()`"
        message = f"{line} runs backward into the previous iteration, through {operation}."
        if running := _running_total(failure):
            total, loss = running
            why = (
                f"`{total}` adds up the losses of all iterations, together with their graphs. {_FREED} Run backward from the "
                f"loss of each iteration, `{loss}.backward()`, and add it as a number: `{total} += {loss}.item()`."
            )
            return failure.finding(CODE, message, why, line=exception.line)
        if average := _running_average(failure):
            target = failure.syntax.text(average.targets[0])
            message = f"Line {average.lineno} carries `{target}` over from one iteration to the next, together with its graph."
            why = f"{line} runs backward into the previous iteration. {_FREED} Cut the graph: use `{target}.detach()` in line "
            return failure.finding(CODE, message, f"{why}{average.lineno}.", line=average.lineno)
        why = (
            f"{carried} is carried over from one iteration to the next, together with its graph. {_FREED} "
            f"Cut the graph at the end of each iteration: {detach}."
        )
        return failure.finding(CODE, message, why, line=exception.line)
    before = f"line {earlier.line}" if earlier.line > 0 else "an earlier pass"
    message = f"{line} runs backward through {operation}, but {before} has already done so."
    if earlier.graph == this.graph:
        remedy = "Compute the loss again before each `backward()`."
    else:
        remedy = "Add the losses and run backward once, or compute the shared part again before the second `backward()`."
    return failure.finding(CODE, message, f"{_FREED} {remedy}", line=exception.line)


def _replaced(failure: Failure, statement: ast.Assign) -> model.Finding:
    """Return the finding about a statement that replaces a leaf by a tensor computed from the leaf."""
    what, value = failure.syntax.text(statement.targets[0]), failure.syntax.text(statement.value)
    return failure.finding(
        CODE,
        f"Line {statement.lineno} replaces the leaf `{what}` by a computed tensor, so each `backward()` also runs through the "
        "graphs of earlier iterations.",
        f"The new `{what}` is not a leaf: `backward()` won't fill its `.grad`, and an optimizer still has the old tensor. "
        f"Change the leaf in place: under `torch.no_grad()`, write `{what}.copy_({first_line(value)})`.",
        line=statement.lineno,
    )


def _running_total(failure: Failure) -> tuple[str, str] | None:
    """Return the names of the root and of the loss that a loop adds to it, if the root is a sum over iterations."""
    syntax, line = failure.syntax, failure.exception.line
    call = syntax.call(line, "backward") if line is not None else None
    root = root_of_pass(call)
    loop = next((each for each in _around(syntax, call) if isinstance(each, ast.For | ast.While)), None) if call else None
    if not isinstance(root, ast.Name) or loop is None:
        return None
    added: str | None = None
    for each in ast.walk(loop):
        if isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name) and each.target.id == root.id:
            parts = [each.value] if isinstance(each.op, ast.Add) else []
        elif isinstance(each, ast.Assign) and any(isinstance(at, ast.Name) and at.id == root.id for at in each.targets):
            sides = [each.value.left, each.value.right] if isinstance(each.value, ast.BinOp) else []
            parts = [side for side in sides if not (isinstance(side, ast.Name) and side.id == root.id)]
            if len(sides) - len(parts) != 1 or not isinstance(each.value, ast.BinOp) or not isinstance(each.value.op, ast.Add):
                return None  # the loop resets the root
        else:
            continue
        if len(parts) != 1 or not isinstance(parts[0], ast.Name):
            return None
        added = parts[0].id
    return (root.id, added) if added is not None else None


def _running_average(failure: Failure) -> ast.Assign | None:
    """Return a statement such as ``a = 0.9 * a + 0.1 * loss``, in the loop of a failed pass, that contributes to its root."""
    syntax, line = failure.syntax, failure.exception.line
    call = syntax.call(line, "backward") if line is not None else None
    if call is None or (root := root_of_pass(call)) is None:
        return None
    loops = {each for each in _around(syntax, call) if isinstance(each, ast.For | ast.While)}
    nodes = Losses(syntax).below(root)
    for statement in syntax.statements(ast.Assign):
        match statement.value:
            case ast.BinOp(op=ast.Add(), left=ast.BinOp(op=ast.Mult()) as left, right=ast.BinOp(op=ast.Mult()) as right):
                target = syntax.text(statement.targets[0])
                kept = [side for side in (left, right) if target in (syntax.text(side.left), syntax.text(side.right))]
                if len(kept) == 1 and statement.value in nodes and loops & set(_around(syntax, statement)):
                    return statement
    return None


def _made_once(failure: Failure, earlier: wire.PassEvent, this: wire.PassEvent) -> list[ast.stmt]:
    """Return the statements outside of the repeated code whose results every pass needs.

    The first element is the statement that made the failed operation. All statements follow in the order of their lines,
    including that one.
    """
    syntax, exception = failure.syntax, failure.exception
    call = syntax.statement_of(syntax.call(exception.line, "backward", "grad")) if exception.line is not None else None
    if call is None or exception.node is None:
        return []
    nodes = failure.recording.graph(this.graph).nodes
    same = earlier.graph == this.graph
    found: dict[int, ast.stmt] = {}
    failing: list[ast.stmt] = []
    ran_once: dict[tuple[int, str], bool] = {}
    for node in (exception.node, *nodes):
        line = (node.line or 0, node.module)
        if node.kind != "op" or node.file is not None or node.line is None or line in ran_once or len(ran_once) > LINES:
            continue
        statement = syntax.statement(node.line)
        sites = _sites(syntax, statement, _around(syntax, call), node.module) if statement is not None else []
        ran_once[line] = bool(sites) and all(_outside(syntax, site, call, same=same) for site in sites)
        if ran_once[line]:
            found |= {site.lineno: site for site in sites}
            failing = sites if node is exception.node else failing
    return [*failing[:1], *(found[line] for line in sorted(found))] if failing else []


def _sites(syntax: Syntax, statement: ast.stmt, around: list[ast.AST], module: str) -> list[ast.stmt]:
    """Return a statement itself or, if the repeated code is outside of its function, the statements that call that function."""
    found: list[ast.stmt] = []
    waiting = [statement]
    seen: set[ast.FunctionDef] = set()
    while waiting and len(seen) < FUNCTIONS:
        at = waiting.pop()
        function = syntax.function_of(at)
        if function is None or function in around or function.name == "__init__":
            found.append(at)
            continue
        if function in seen:
            continue
        seen.add(function)
        names = {function.name} if function.name != "forward" else set(module.split("."))
        for call in syntax.statements(ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
            site = syntax.statement_of(call) if name in names and not syntax.printed(call) else None
            if site is not None and not syntax.in_no_grad(site):
                waiting.append(site)
    return found


def _outside(syntax: Syntax, statement: ast.stmt, call: ast.stmt, *, same: bool) -> bool:
    """Return whether a statement runs once although a call runs repeatedly, in a loop or in a function.

    ``same`` says whether both passes ran through the same graph.
    """
    function, around = syntax.function_of(statement), _around(syntax, call)
    if function is not None and function.name == "__init__":
        return function not in around
    if function is not None and function not in around:
        return False  # a function that the repeated code may call
    with_it = _around(syntax, statement)
    if not same and any(isinstance(each, ast.For | ast.While) for each in with_it):
        return False  # its result is carried from one iteration to the next
    return any(isinstance(each, _REPEATED) and each not in with_it for each in around)


def _around(syntax: Syntax, node: ast.AST) -> list[ast.AST]:
    found = []
    while (parent := syntax.parent(node)) is not None:
        found.append(parent)
        node = parent
    return found


def _once(failure: Failure, once: list[ast.stmt]) -> model.Finding:
    """Return the finding that says where to move lines that ran once. The first statement made the failed operation."""
    exception, syntax = failure.exception, failure.syntax
    failing, *once = once
    lines = [statement.lineno for statement in once]
    several = len(lines) > 1
    looped = any(isinstance(each, ast.For | ast.While) for each in _around(syntax, once[-1]))
    again = " for several passes" if looped else ""
    which = f"Line{'s' * several} {_enumerated(lines)}"
    call = syntax.statement_of(syntax.call(exception.line or 0, "backward", "grad")) if exception.line else None
    where = _where(syntax, once[-1], call) if call is not None else "to the code that is repeated"
    return failure.finding(
        CODE,
        f"{which} ran only once{again}, but each `backward()` on line {exception.line} runs through {failure.operation}.",
        f"{_FREED} Move line{'s' * several} {_enumerated(lines)} {where}, so that {'they run' if several else 'it runs'} "
        "before each `backward()`. `retain_graph=True` would only hide the mistake: the program would still use a result of "
        "the old parameters.",
        line=failing.lineno,
    )


def _enumerated(lines: list[int]) -> str:
    if len(lines) > MOST:
        return f"{', '.join(map(str, lines[: MOST - 1]))} and {len(lines) - MOST + 1} more"
    return " and ".join(part for part in (", ".join(map(str, lines[:-1])), str(lines[-1])) if part)


def _where(syntax: Syntax, statement: ast.stmt, call: ast.stmt) -> str:
    """Return where to move a statement: to `forward`, into the function or the loop around ``call``."""
    function, around = syntax.function_of(statement), _around(syntax, call)
    if function is not None and function.name == "__init__":
        owner = syntax.parent(function)
        methods = (
            [each.name for each in owner.body if isinstance(each, ast.FunctionDef)] if isinstance(owner, ast.ClassDef) else []
        )
        return "to `forward`" if "forward" in methods else "out of `__init__`, to the code that is repeated"
    inner = next((each for each in around if isinstance(each, _REPEATED)), None)
    if isinstance(inner, ast.FunctionDef):
        return f"into `{inner.name}`"
    return f"into the loop on line {inner.lineno}" if isinstance(inner, ast.For | ast.While) else "to the code that is repeated"
