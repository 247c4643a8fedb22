"""Tell of what cannot have a gradient, or nowhere to start from or to go to: roots, leaves, and whole numbers."""

from __future__ import annotations

import ast

from ... import model
from ..cuts import Cuts
from ..failure import Failure, short

_WRITES = (ast.AugAssign, ast.Expr, ast.Assign)


def no_grad_path(failure: Failure) -> model.Finding:
    """What a gradient was asked of does not hang together with anything that requires one."""
    line, syntax = failure.at, failure.syntax
    call = syntax.call(line, "backward", "grad") if line is not None else None
    root = _root(call)
    known = {
        row.line: bool(row.tensor.requires_grad)
        for row in failure.recording.lines()
        if row.tensor is not None and row.file is None
    }
    what = f"`{syntax.text(root)}`" if root is not None and len(syntax.text(root)) <= 60 else "The root"
    cut = Cuts(syntax, known).nearest(root) if root is not None else None
    if cut is not None:
        message = f"{what} has no grad_fn: `{short(cut.text)}` on line {cut.line} cuts it off."
        if f"`{cut.text}`" == what:
            message = f"{what} has no grad_fn: there is nothing to run backward through."
        return failure.finding("no-grad-path", message, cut.why, line=cut.line, fix=cut.fix)
    message = f"{what} has no grad_fn: there is nothing to run backward through."
    if any(known.values()) or failure.recording.parameters():
        why = "It was not computed from anything that requires a gradient, or the graph was cut off on the way."
    else:
        why = "Nothing in this program requires a gradient: make what shall be learnt with requires_grad=True."
    return failure.finding("no-grad-path", message, why, line=line)


def no_graph_of_input(failure: Failure) -> model.Finding:
    """``autograd.grad`` is asked for the gradient of what the root was not computed from."""
    line, syntax = failure.at, failure.syntax
    call = syntax.call(line, "grad") if line is not None else None
    fix = None
    if "not have been used" in failure.trouble.message:
        message = "A gradient is asked for a tensor that the result was not computed from."
        why = (
            "No way leads from the one to the other, so there is no gradient, not even zero; "
            "allow_unused=True gives None in its place."
        )
        if call is not None and not any(keyword.arg in ("allow_unused", None) for keyword in call.keywords):
            fix = model.Fix("Take None for it", [syntax.argument(call, "allow_unused=True")])
    else:
        message = "A gradient is asked for a tensor that requires none."
        why = (
            "Only a tensor with requires_grad=True, or one computed from such a tensor, is part of a graph; "
            "detach() makes one that is not."
        )
    return failure.finding("no-grad-path", message, why, line=line, fix=fix)


def inference(failure: Failure) -> model.Finding:
    """A graph is to save a tensor that was made where nothing is counted."""
    message = f"{failure.here} needs for its gradient a tensor that was made in inference mode."
    why = "Such a tensor cannot be part of a graph at all; clone() it outside, or make it under torch.no_grad() instead."
    return failure.finding("no-grad-path", message, why, line=failure.at)


def _root(call: ast.Call | None) -> ast.expr | None:
    """The root of a pass: the receiver of ``backward``, or the first argument."""
    if call is None or not isinstance(call.func, ast.Attribute):
        return call.args[0] if call is not None and call.args else None
    if call.func.attr == "backward" and getattr(call.func.value, "attr", "") != "autograd":
        return call.func.value
    return call.args[0] if call.args else None


def not_scalar(failure: Failure) -> model.Finding:
    """A pass is to start from a tensor of several numbers."""
    line, syntax = failure.at, failure.syntax
    call = syntax.call(line, "backward") if line is not None else None
    root = _root(call)
    message = "A gradient starts from a single number, and this is a tensor of several."
    why = (
        "Say which number it is by sum() or mean(), or hand over what flows in, with as many numbers: "
        "backward(torch.ones_like(…))."
    )
    fix = None
    if root is not None and call is not None and not call.args and not call.keywords:
        text = syntax.text(root)
        if syntax.text(call.func).endswith(".backward"):
            _, (at, end) = syntax.span(call.func)
            place = (at, end - len(".backward"))
            fix = model.Fix("Sum it first", [model.Edit(place, place, ".sum()")])
        message = f"`{short(text)}` is a tensor of several numbers, and a gradient starts from a single one."
    return failure.finding("not-scalar", message, why, line=line, fix=fix)


def integer_grad(failure: Failure) -> model.Finding:
    """A tensor of whole numbers is to require a gradient."""
    line, syntax = failure.at, failure.syntax
    fix = None
    call = syntax.call(line, "tensor", "full", "arange") if line is not None else None
    if call is not None and any(keyword.arg == "requires_grad" for keyword in call.keywords):
        given = next((keyword.value for keyword in call.keywords if keyword.arg == "dtype"), None)
        torch = syntax.torch_name()
        if given is not None and torch is not None:
            fix = model.Fix("Make them real numbers", [model.Edit(*syntax.span(given), f"{torch}.float32")])
        elif torch is not None:
            fix = model.Fix("Make them real numbers", [syntax.argument(call, f"dtype={torch}.float32")])
    message = "Whole numbers cannot require a gradient."
    why = (
        "A gradient says what a small change would do, and a whole number has no small change: "
        "write 1.0 for 1, or give a dtype."
    )
    return failure.finding("integer-grad", message, why, line=line, fix=fix)


def inplace_on_leaf(failure: Failure) -> model.Finding:
    """A leaf, or a view of one, is written to where gradients are recorded."""
    line, syntax = failure.at, failure.syntax
    view = "a view of a leaf" in failure.trouble.message
    statement = syntax.statement(line) if line is not None else None
    text = f"`{short(syntax.text(statement))}`" if statement is not None else failure.here
    message = f"{text} writes into {'a view of ' if view else ''}a leaf that requires a gradient."
    why = (
        "The gradient of a leaf is that of the value it had in the forward. "
        "An update belongs under no_grad; a computation makes a new tensor."
    )
    fix = None
    torch = syntax.torch_name()
    if statement is not None and torch is not None and syntax.alone(statement) and isinstance(statement, _WRITES):
        start, end = syntax.span(statement)
        indent = " " * start[1]
        body = syntax.text(statement).replace("\n", "\n    ")
        fix = model.Fix(
            "Write to it unseen by autograd", [model.Edit(start, end, f"with {torch}.no_grad():\n{indent}    {body}")]
        )
    return failure.finding("inplace-on-leaf", message, why, line=line, fix=fix)
