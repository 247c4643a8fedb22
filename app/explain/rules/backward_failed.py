"""Say in plain words what torch refused in a backward: what was done where, why that cannot work, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ... import model
from ...recording import Recording, title
from ..failure import Failure, short
from ..syntax import Syntax
from ..troubles import SAID, troubles
from . import refused
from . import saved_modified as saved
from . import shape_mismatch as shapes


def failed(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
    """Every exception out of autograd: an error if it ended the program, a note if the program caught it."""
    told: set[tuple[str, int | None]] = set()
    for trouble in reversed(troubles(recording)):  # what ended the program first: a note of the same adds nothing
        tell = next((tell for pattern, tell in KINDS if re.search(pattern, trouble.message[:SAID])), None)
        if tell is None and trouble.pass_ is not None:
            tell = backward_failed
        if tell is not None:
            found = tell(Failure(recording, syntax, trouble))
            if (found.code, found.line) not in told:
                told.add((found.code, found.line))
                yield found


def backward_failed(failure: Failure) -> model.Finding:
    """A pass failed in a hook, in a custom function, or in torch itself: the node and the line."""
    trouble = failure.trouble
    node, message = trouble.node, trouble.message[:SAID]
    backward = f"the backward of line {trouble.line}" if trouble.line is not None else "a backward"
    at = f" at {title(node)}" if node is not None else ""
    made = f" (made on line {node.line})" if node is not None and node.line is not None else ""
    said = next((text.format(*found.groups()) for pattern, text in _SENTENCES if (found := re.search(pattern, message))), None)
    words = f" ({short(message)})" if message else ""
    if trouble.raised is not None:
        said = f"Line {trouble.raised} raised {trouble.type}{words} in the middle of {backward}."
    elif said is None:
        said = f"It failed in {backward}{at}: {short(message)}"
    line = trouble.raised or (node.line if node is not None and node.kind == "op" else None) or trouble.line
    why = f"The pass stopped{at}{made}. " if node is not None else ""
    why += "What it had already done is in the recording." if node is not None else "The pass had not begun: no node had run."
    return failure.finding("backward-failed", said, why, line=line)


_SENTENCES = (
    (
        r"function (\w+) returned an incorrect number of gradients \(expected (\d+), got (\d+)\)",
        "Gradients that {0} returned: {2}; inputs of its forward, each of which has one: {1}.",
    ),
    (
        r"Function (\w+) returned an invalid gradient at index (\d+) - got (\S+.*) but expected shape compatible with (.+)",
        "{0} returned a gradient of shape {2} for its input {1}, which has shape {3}.",
    ),
    (r"Function '(\w+)' returned nan values", "{0} made NaN of its gradient: anomaly mode stopped there."),
    (r"expected Variable or None \(got (\w+)\)", "A custom function returned {0} where a tensor or None is wanted."),
    (r"expected (?:Variable|tuple), but hook returned '(\w+)'", "A hook returned {0} where a gradient, or None, is wanted."),
    (r"hook '(.+)' has changed the size of value", "The hook {0} returned a gradient of another shape."),
    (r"hook '(.+)' has changed the type of value \((.+)\)", "The hook {0} returned a gradient of another type: {1}."),
    (
        r"hook '(.+)' has returned an incorrect number of values \(got (\d+), but expected (\d+)\)",
        "Gradients that the hook {0} returned: {1}; wanted: {2}.",
    ),
    (
        r"has a shape of torch.Size\((.+?)\) and output\[\d+\] has a shape of torch.Size\((.+?)\)",
        "The gradient handed over has shape {0}, and what it is for has shape {1}.",
    ),
    (
        r"has a dtype of torch.(\w+) and output\[\d+\] has a dtype of torch.(\w+)",
        "The gradient handed over is {0}, and what it is for is {1}.",
    ),
    (
        r"gradients can be either Tensors or None, but got (\w+)",
        "What was handed to backward() as a gradient is of type {0}: a tensor or None is wanted.",
    ),
)
"""What torch says of a pass that failed, and what that comes to."""

KINDS: tuple[tuple[str, Callable[[Failure], model.Finding]], ...] = (
    (r"modified by an inplace operation", saved.saved_modified),
    (r"backward through the graph a second time", saved.backward_twice),
    (r"does not require grad and does not have a grad_fn|object has no attribute 'backward'", refused.no_grad_path),
    (r"appears to not have been used in the graph|differentiated Tensors does not require grad", refused.no_graph_of_input),
    (r"Inference tensors cannot be saved for backward", refused.inference),
    (r"only for scalar outputs|to return a scalar Tensor|should contain a single element", refused.not_scalar),
    (r"[oO]nly Tensors of floating point", refused.integer_grad),
    (r"a leaf Variable that requires grad is being used in an in-place", refused.inplace_on_leaf),
    (shapes.BROADCAST, shapes.no_broadcast),
    (shapes.PRODUCT, shapes.no_product),
    (r"Mismatch in (?:shape|dtype): grad_output|gradients can be either Tensors or None", backward_failed),
)
"""What torch says, and the finding that tells of it; any other exception in a pass is told by its node and line."""
