"""Report a gradient that is requested where no graph connects the result to the tensor.

## Why it matters

`backward()` follows the graph from the result back to the leaves. If the result was computed without a graph, or a line on
the way cut the graph, there is nothing to follow. Common cuts are `detach()`, `.data`, `.item()`, `torch.tensor(…)` around
a result, and code under `torch.no_grad()`.

## Example

```python
import torch

x = torch.ones(3, requires_grad=True)
loss = torch.tensor((x * 2).sum().item())
loss.backward()
```

Keep the tensor that has the graph:

```python
import torch

x = torch.ones(3, requires_grad=True)
loss = (x * 2).sum()
loss.backward()
```

## What it does not report

Tensors that are detached on purpose, such as targets, as long as another path leads to a leaf.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from ... import model
from ..program.cuts import Cuts
from ..program.syntax import Syntax, root_of_pass
from ..recorded.failure import Failure
from ..recorded.kept_results import kept_result
from ..rewriting.rewrites import base_of
from ..rewriting.uncut import keep_graph
from ..wording import first_line

CODE: Final = "no-grad-path"
SEVERITIES: Final[tuple[model.Severity, ...]] = ("error", "note")
_UNUSED = "not have been used"
_NOT_REQUIRED = "differentiated Tensors does not require grad"
_INFERENCE = "Inference tensors cannot be saved for backward"
MESSAGES: Final = (
    r"does not require grad and does not have a grad_fn|object has no attribute 'backward'"
    rf"|appears to not have been used in the graph|{_NOT_REQUIRED}|{_INFERENCE}"
)


def explain(failure: Failure) -> model.Finding:
    """Return the finding for the tensor without a graph: the result, the input of ``autograd.grad``, or an inference tensor."""
    message = failure.exception.message
    if _INFERENCE in message:
        return _inference(failure)
    if _UNUSED in message or _NOT_REQUIRED in message:
        return _no_path_to_input(failure)
    return _no_graph(failure)


def _no_graph(failure: Failure) -> model.Finding:
    """Return the finding for a result without a graph: the line that cut the graph, if one is found."""
    line, syntax = failure.line, failure.syntax
    call = syntax.call(line, "backward", "grad") if line is not None else None
    root = root_of_pass(call)
    requires_grad = _requires_grad(failure)
    what = f"`{syntax.text(root)}`" if root is not None and len(syntax.text(root)) <= 60 else "The result"
    nothing = f"{what} has no `grad_fn`, so there is no graph to run backward through."
    cut = Cuts(syntax, requires_grad).nearest(root) if root is not None else None
    if cut is not None:
        message = f"{what} has no `grad_fn`: `{first_line(cut.text)}` on line {cut.line} cuts the graph."
        if f"`{cut.text}`" == what:
            message = nothing
        fix = keep_graph(syntax, *cut.removed) if cut.removed is not None else None
        why = cut.why
        if cut.removed is not None and fix is None:
            why += (
                f" Compute the result from `{first_line(syntax.text(cut.removed[1]))}`, and cut the graph only for other uses."
            )
        return failure.finding(CODE, message, why, line=cut.line, fix=fix)
    kept = kept_result(syntax, failure.recording, root, line) if root is not None and line is not None else None
    if kept is not None:
        message = f"{what} has no `grad_fn`: `{kept.function}` keeps a result in `{kept.text}`, which has no graph."
        why = (
            "`forward` of a custom function builds no graph, so a derivative of its `backward` cannot pass through "
            f"`{kept.text}`. Here no other path is left. Save the inputs with `ctx.save_for_backward(…)`, and compute from "
            "`ctx.saved_tensors` in `backward`."
        )
        return failure.finding(CODE, message, why, line=kept.line)
    frozen = _freezing(syntax, line)
    if frozen is not None and not failure.recording.parameters():
        message = f"{what} has no `grad_fn`, because line {frozen.lineno} freezes the parameters that it is computed from."
        why = (
            f"`{first_line(syntax.text(frozen))}` turns gradients off, and no parameter with a gradient is left. Freeze only "
            "the layers that should stay unchanged."
        )
        return failure.finding(CODE, message, why, line=frozen.lineno)
    if _requires_some(syntax) or any(requires_grad.values()) or failure.recording.parameters():
        why = "It was not computed from a tensor that requires a gradient, or the graph was cut on the way."
    else:
        why = "Nothing in this program requires a gradient. Create the tensor that should learn with `requires_grad=True`."
    return failure.finding(CODE, nothing, why, line=line)


def _freezing(syntax: Syntax, line: int | None) -> ast.stmt | None:
    """Return the only statement before a line that sets ``requires_grad`` to false; ``None`` if there are none or several."""
    found: list[ast.stmt] = []
    for statement in syntax.statements(ast.stmt):
        match statement:
            case (
                ast.Assign(targets=[ast.Attribute(attr="requires_grad")], value=ast.Constant(value=False))
                | ast.Expr(value=ast.Call(func=ast.Attribute(attr="requires_grad_"), args=[ast.Constant(value=False)]))
            ) if statement.lineno < (line or 0):
                found.append(statement)
    return found[0] if len(found) == 1 else None


def _requires_some(syntax: Syntax) -> bool:
    """Return whether the program's text makes a tensor that may require a gradient: a leaf, a parameter or a module."""
    names = {each.attr for each in syntax.statements(ast.Attribute)} | {each.id for each in syntax.statements(ast.Name)}
    given = {each.arg for each in syntax.statements(ast.keyword)}
    return bool({"requires_grad", "requires_grad_", "Parameter", "nn"} & (names | given))


def _no_path_to_input(failure: Failure) -> model.Finding:
    """Return the finding for ``autograd.grad`` with an input that the result does not depend on."""
    line, syntax = failure.line, failure.syntax
    call = syntax.call(line, "grad") if line is not None else None
    wanted = _inputs(failure, call)
    texts = [f"`{syntax.text(each)}`" for each in wanted]
    name = ("one of " if len(texts) > 1 else "") + ", ".join(texts)
    if not texts or len(name) > 80:
        name = "a tensor"
    if _UNUSED in failure.exception.message:
        message = f"A gradient is requested for {name}, but the result was not computed from it."
        why = "No path leads from the result to that tensor, so there is no gradient, not even zero. "
        why += next(filter(None, (_made_from(failure, each, call) for each in wanted)), "") or (
            "Check that the result is computed from the same tensor that is passed here. `allow_unused=True` would only "
            "return `None` in place of the gradient."
        )
    else:
        message = f"A gradient is requested for {name}, which does not require one."
        why = (
            "Only a tensor with `requires_grad=True`, or one computed from such a tensor, is part of a graph. "
            "A tensor returned by `detach()` is not."
        )
    return failure.finding(CODE, message, why, line=line)


def _inputs(failure: Failure, call: ast.Call | None) -> list[ast.expr]:
    """Return the inputs of ``autograd.grad`` that PyTorch's message may mean.

    The message gives the index of an input only if no path leads to that input. In PyTorch 2.10, it gives no index. If the
    message is about an input without ``requires_grad``, inputs that were recorded with it are left out.
    """
    if call is None:
        return []
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "inputs"), None)
    given = given if given is not None else call.args[1] if len(call.args) > 1 else None
    inputs = given.elts if isinstance(given, ast.List | ast.Tuple) else [given] if given is not None else []
    if (counted := re.search(r"at index (\d+)", failure.exception.message)) is not None:
        return inputs[int(counted[1]) :][:1]
    if _NOT_REQUIRED not in failure.exception.message:
        return inputs
    requires_grad = _requires_grad(failure)
    right = {
        target.id
        for statement in failure.syntax.statements(ast.Assign)
        if statement.lineno < call.lineno and requires_grad.get(statement.lineno)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    return [each for each in inputs if failure.syntax.text(each) not in right]


def _requires_grad(failure: Failure) -> dict[int, bool]:
    """Return the lines of the program that were recorded with a tensor, and whether it requires a gradient."""
    rows = failure.recording.lines()
    return {row.line: bool(row.tensor.requires_grad) for row in rows if row.tensor is not None and row.file is None}


def _made_from(failure: Failure, wanted: ast.expr, call: ast.Call | None) -> str:
    """Return sentences about an input that is a slice or a view of a tensor, empty for other inputs."""
    syntax = failure.syntax
    if call is None:
        return ""
    made, line = wanted, call.lineno
    if isinstance(wanted, ast.Name):
        above = [each for each in syntax.statements(ast.Assign) if each.lineno < call.lineno]
        values = [(value, each.lineno) for each in above for value in _given(each, wanted.id)]
        if not values:
            return ""
        made, line = values[-1]
    whole = base_of(made)
    if whole is made or not isinstance(whole, ast.Name | ast.Attribute):
        return ""
    piece, name = first_line(syntax.text(made)), syntax.text(whole)
    return (
        f"`{piece}` on line {line} makes a new tensor, from which nothing else was computed. Differentiate with respect to "
        f"`{name}` and take that piece of its gradient, or compute the result from the piece. `allow_unused=True` would only "
        "return `None` in place of the gradient."
    )


def _given(statement: ast.Assign, name: str) -> Iterator[ast.expr]:
    """Yield the expressions that a statement assigns to a name, as in ``x = a`` or ``x, t = a, b``."""
    for target in statement.targets:
        if isinstance(target, ast.Name) and target.id == name:
            yield statement.value
        elif isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
            for each, value in zip(target.elts, statement.value.elts, strict=False):
                if isinstance(each, ast.Name) and each.id == name:
                    yield value


def _inference(failure: Failure) -> model.Finding:
    """Return the finding for a graph that needs a tensor made in inference mode."""
    message = f"{failure.raising_line} uses a tensor that was created in inference mode, and a graph cannot save it."
    why = "Call `clone()` on the tensor outside of inference mode, or create it under `torch.no_grad()` instead."
    return failure.finding(CODE, message, why, line=failure.line)
