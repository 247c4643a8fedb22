"""Every example of the gallery runs as announced, and its recorded gradients equal PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from tapedeck import model, wire
from tapedeck.examples import FIRST_VISIT, Example, example, gallery
from tapedeck.explain.findings import find
from tapedeck.explain.rewriting.fixes import apply
from tapedeck.recording import MemoryLog, PassNumbers, Recording
from tapedeck.tracer.main import execute

EXAMPLES = pytest.mark.parametrize("each", gallery(), ids=lambda each: each.slug)
FINDINGS = {
    "no-grad": {"implicit-pass"},
    "no-backward": {"implicit-pass"},
    "backpropagation": {"leaf-rebound"},
    "vanishing": {"vanishing"},
}
"""Codes that correct programs get: notes, one of them on purpose, and the warning at the end of the notebook, whose last line
rebinds its leaf."""
IMPLICIT = {"no-grad": [[5.0, 5.0, 5.0]]}
"""The leaf gradients of an implicit pass over a tensor that no name is bound to at the end."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Compute with one thread, as the server does: the order of additions is then the same each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def record(program: str) -> tuple[Recording, model.Program, wire.EndEvent]:
    events: list[wire.AnyEvent] = []
    reader = wire.Reader(model.Limits())
    cells = [(1, program.rstrip("\n").count("\n") + 1)]
    execute(wire.Job(program, cells, values=4_096), lambda data: events.extend(reader.feed(data)))
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    return Recording(MemoryLog(events), program), model.Program(program, cells=cells), end


def leaves(*roots: torch.Tensor) -> list[torch.Tensor]:
    """Return the leaves under some tensors, found without Tapedeck."""
    found: dict[int, torch.Tensor] = {}
    seen, waiting = set(), [root.grad_fn for root in roots]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        waiting += [following for following, _ in node.next_functions]
    return list(found.values())


def listed(tensors: Any) -> list[Any]:
    """Return gradients sorted by their values, because the leaves of a graph have no order."""
    return sorted((tensor.tolist() for tensor in tensors), key=repr)


@contextmanager
def watched(passes: list[list[Any]]) -> Iterator[None]:
    """Append the leaf gradients of each call into autograd to ``passes``, computed by PyTorch next to the call."""
    backward, grad = torch.Tensor.backward, torch.autograd.grad

    def watched_backward(self: torch.Tensor, *arguments: Any, **options: Any) -> None:
        if self.requires_grad:
            passes.append(listed(grad(self, leaves(self), retain_graph=True)))
        backward(self, *arguments, **options)

    def watched_grad(outputs: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        gradients = grad(outputs, *arguments, **options)
        passes.append(listed(gradients))
        return gradients

    torch.Tensor.backward, torch.autograd.grad = watched_backward, watched_grad  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.backward, torch.autograd.grad = backward, grad  # type: ignore[method-assign]


def plain(each: Example) -> list[list[Any]]:
    """Return the leaf gradients of each pass, computed without Tapedeck."""
    passes: list[list[Any]] = []
    namespace: dict[str, Any] = {"__name__": "__main__"}
    torch.manual_seed(0)
    with watched(passes):
        try:
            exec(compile(each.program, each.slug, "exec"), namespace)
        except RuntimeError:
            assert each.fails
    if passes:
        return passes
    if each.slug in IMPLICIT:
        return [IMPLICIT[each.slug]]
    last = [value for value in namespace.values() if isinstance(value, torch.Tensor) and value.grad_fn][-1]
    return [listed(torch.autograd.grad(last, leaves(last)))]


def recorded(recording: Recording) -> list[list[Any]]:
    """Return the leaf gradients of each pass of a recording. A pass that failed before a leaf is left out."""
    passes: list[list[Any]] = []
    for index in range(recording.log.counts()[1]):
        numbers = recording.numbers(index)
        leaf_indices = [index for index, node in enumerate(numbers.graph.nodes) if node.kind == "leaf"]
        found = [numbers.arrived(index) for index in leaf_indices]
        if arrived := sorted((summary.values for summary in found if summary is not None), key=repr):
            passes.append(arrived)
    return passes


def each_edge_has_a_gradient(numbers: PassNumbers) -> bool:
    return all(numbers.edge(index) is not None for index, edge in enumerate(numbers.graph.edges) if edge.gradient)


@EXAMPLES
def test_an_example_ends_as_announced_with_a_graph_and_its_numbers(each: Example) -> None:
    recording, program, end = record(each.program)
    assert end.status == ("failed" if each.fails else "done"), end.failure
    passes = [recording.numbers(index) for index in range(recording.log.counts()[1])]
    assert any(each_edge_has_a_gradient(numbers) for numbers in passes)
    assert any(node.kind == "leaf" and node.name for node in passes[0].graph.nodes)
    codes = {finding.code for finding in find(recording, program) if finding.severity != "good"}
    assert codes == ({each.finding} if each.finding else FINDINGS.get(each.slug, set()))


@EXAMPLES
def test_the_leaf_gradients_of_an_example_equal_those_of_torch_to_the_bit(each: Example) -> None:
    recording, _, _ = record(each.program)
    assert recorded(recording) == plain(each)


@EXAMPLES
def test_an_example_is_small_and_has_a_title_and_a_summary(each: Example) -> None:
    lines = each.program.splitlines()
    assert len(lines) < 32
    assert max(map(len, lines)) <= 100
    assert lines[0] == f"# {each.title}"
    assert not lines[1].startswith("#")
    assert each.summary.endswith((".", "?"))
    assert each.tags
    assert (each.group == "Pitfalls") == bool(each.finding)


def test_the_gallery_starts_with_the_sections_of_the_notebook_and_lists_each_example_once() -> None:
    slugs = [each.slug for each in gallery()]
    assert slugs[:3] == ["intro", "no-grad", FIRST_VISIT]
    assert len(set(slugs)) == len(slugs) >= 30
    assert example(FIRST_VISIT) == gallery()[2]
    assert example("nothing") is None


def test_the_fix_of_the_failing_example_makes_it_run_to_the_end() -> None:
    failing = example("pitfall-rebound")
    assert failing is not None
    recording, program, _ = record(failing.program)
    (finding,) = (each for each in find(recording, program) if each.code == "leaf-rebound")
    assert finding.fix is not None
    fixed, _, end = record(apply(failing.program, finding.fix))
    assert (end.status, fixed.log.counts()[2]) == ("done", 20)


def test_the_first_visit_shows_the_numbers_of_the_notebook() -> None:
    first = example(FIRST_VISIT)
    assert first is not None
    recording, program, _ = record(first.program)
    texts = [line.text for line in recording.lines()]
    assert "tensor(4.6667, grad_fn=<MeanBackward0>)" in texts
    assert "tensor(-9.3333)" in texts
    assert recording.cells(program)[0].output == "tensor(1.0933, grad_fn=<SubBackward0>)"
