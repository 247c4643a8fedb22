"""Tell of what a node had saved for its gradient: changed since, or freed by an earlier pass."""

from __future__ import annotations

import ast
import re

from ... import model
from ..failure import Failure

_FREED = "A pass frees what nodes saved as it goes, so that it can be run through once."
_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@",
}  # fmt: skip


def saved_modified(failure: Failure) -> model.Finding:
    """A saved tensor was written to: the line that saved it, and the line that wrote."""
    trouble = failure.trouble
    saved = trouble.node.line if trouble.node is not None else None
    if trouble.changed is None:
        where = f"What {failure.made} had saved for its gradient was changed in place since."
    else:
        where = f"Line {trouble.changed} changes in place what {failure.made} had saved for its gradient."
    versions = re.search(r"is at version (\d+); expected version (\d+)", trouble.message)
    counted = f" (torch counts: it is at version {versions[1]}, and was saved at {versions[2]})" if versions else ""
    why = f"The gradient there is computed from that very tensor, as it was{counted}. {failure.stop} stops on it."
    update = failure.syntax.statement(trouble.changed) if trouble.changed is not None else None
    if update is not None and (failure.syntax.in_no_grad(update) or failure.syntax.call(update.lineno, "step")):
        why += " After an update, compute the loss again before the next backward()."
    return failure.finding("saved-modified", where, why, line=trouble.changed or saved, fix=_out_of_place(failure, update))


def _out_of_place(failure: Failure, statement: ast.stmt | None) -> model.Fix | None:
    """``y += 1`` as ``y = y + 1``, and ``y.add_(1)`` as ``y = y.add(1)``: a new tensor, and the saved one stays."""
    if statement is None or failure.syntax.in_no_grad(statement):
        return None
    text = failure.syntax.text
    function = failure.syntax.function_of(statement)
    arguments = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)} if function else set()
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        name, sign = statement.target.id, _SIGNS.get(type(statement.op))
        if sign is None:
            return None
        new = f"{name} = {name} {sign} {failure.syntax.operand(statement.value)}"
    elif (
        isinstance(statement, ast.Expr)
        and isinstance(call := statement.value, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and re.fullmatch(r"[a-z]\w*[a-z0-9]_", call.func.attr)
        and call.func.attr not in ("zero_", "fill_", "copy_", "requires_grad_", "detach_")
    ):
        name = call.func.value.id
        new = f"{name} = {name}.{call.func.attr[:-1]}{text(call)[len(text(call.func)) :]}"
    else:
        return None
    if name in arguments:  # the caller's tensor is meant
        return None
    start, end = failure.syntax.span(statement)
    return model.Fix(f"Make a new tensor and call it {name}", [model.Edit(start, end, new)])


def backward_twice(failure: Failure) -> model.Finding:
    """A pass came to a node whose saved tensors an earlier pass had freed."""
    trouble, recording = failure.trouble, failure.recording
    again = failure.stop
    node = failure.made
    earlier = recording.log.pass_(trouble.earlier) if trouble.earlier is not None else None
    this = recording.log.pass_(trouble.pass_) if trouble.pass_ is not None else None
    if earlier is None or this is None:
        message = f"{again} runs backward through {node} a second time."
        return failure.finding(
            "backward-twice", message, f"{_FREED} Compute it anew before each backward().", line=trouble.line
        )
    message = f"{again} runs backward through {node}, and {_line(earlier.line)} has already done so."
    if earlier.line == this.line and this.line > 0 and earlier.graph != this.graph:
        name = trouble.node.name if trouble.node is not None else None
        carried = f"`{name}`" if name else "something computed there"
        detach = f": `{name} = {name}.detach()`" if name else ""
        message = f"{again} runs backward into the round before, through {node}."
        why = (
            f"{carried} is carried over from one round to the next, and its graph with it. {_FREED} "
            f"Cut it off at the end of each round{detach}."
        )
        return failure.finding("backward-twice", message, why, line=trouble.line)
    same = earlier.graph == this.graph
    why = f"{_FREED} " + (
        "Compute the loss anew before each backward(), or keep the graph the first time."
        if same
        else "What the two have in common must be kept the first time; or add the two up, and run backward once."
    )
    return failure.finding("backward-twice", message, why, line=trouble.line, fix=_retain(failure, earlier.line, this.line))


def _retain(failure: Failure, line: int, again: int) -> model.Fix | None:
    """Keep the graph the first time: enough where the second time is the last."""
    call, second = (failure.syntax.call(each, "backward", "grad") for each in (line, again))
    if second is None or (call is not second and failure.syntax.in_loop(second)):
        return None
    if call is None or any(keyword.arg in ("retain_graph", None) for keyword in call.keywords):
        return None
    return model.Fix("Keep the graph for the second time", [failure.syntax.argument(call, "retain_graph=True")])


def _line(line: int) -> str:
    return f"line {line}" if line > 0 else "a pass before"
