"""How every program of the corpus is divided into steps, and what its parameters are called."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from .run_twice import PROGRAMS, recorded_program

Step = tuple[str, str | None]
"""A step as the table has it: its passes (b for backward, g for grad, n for nested, i for implicit), and its loss's name."""
Row = tuple[str, str | None, tuple[int, int] | None]


def once(*steps: Step) -> list[Row]:
    """Steps that stand in no loop."""
    return [(*step, None) for step in steps]


def rounds(line: int, count: int, *steps: Step) -> list[Row]:
    """Steps that are made in every round of the loop at a line."""
    return [(*step, (line, index)) for index in range(count) for step in steps]


STEPS: dict[str, list[Row]] = {
    "attention_block": once(("b", "loss")),
    "autoencoder": rounds(9, 3, ("b", "loss")),
    "autocast": [*rounds(7, 2, ("b", "loss")), *once(("b", None))],
    "averaging": rounds(15, 2, ("b", "loss")) * 2,
    "bayesian_regression": rounds(10, 3, ("b", None)),
    "caught": rounds(8, 2, ("b", "loss")),
    "checkpoint_in_modules": [*rounds(23, 2, ("bnn", "loss")), *once(("bnnnn", None))],
    "checkpoints": once(("bnb", None)),  # two rounds of a loop, but no update between them
    "compiled": once(("b", None)),
    "compiled_modules": rounds(27, 2, ("b", "loss")),
    "complex_gradients": [*once(("b", "power")), *rounds(10, 2, ("b", "loss")), *once(("bb", "out"))],
    "contrastive": rounds(23, 3, ("b", "loss")),
    "convolution": rounds(7, 2, ("b", "loss")),
    "copies": [*rounds(14, 2, ("b", "loss")), *rounds(14, 1, ("b", "loss")) * 3, *once(("b", None))],
    "coroutines": [*rounds(19, 2, ("b", "loss")), *once(("b", "total"))],
    "custom_function": once(("b", "y")),
    "data_updates": rounds(3, 3, ("b", "loss")),
    "dcgan": rounds(21, 2, ("bb", "errD_fake"), ("b", "errG")),  # real and fake accumulate
    "deep_chain": once(("b", "y")),
    "differentiable_optimizer": rounds(7, 2, ("ggb", "final")),
    "dispatch_modes": [*rounds(29, 2, ("b", "loss")), *once(("bb", "y"))],
    "distillation": rounds(12, 2, ("b", "loss")) + rounds(12, 3, ("b", "loss")),  # one function trains both
    "dqn": rounds(50, 3, ("b", "loss")),
    "errors_caught": once(("bbbbbbb", "z")),
    "fails_inplace_views": once(("b", "loss")),
    "fails_not_scalar": once(("bb", "y")),
    "fails_saved_modified": once(("b", None)),
    "forward_mode": once(("b", None)),
    "functional_update": rounds(3, 3, ("b", "loss")),
    "gan": rounds(6, 3, ("b", "d_loss"), ("b", "g_loss")),
    "gpt": rounds(68, 2, ("b", "loss")),
    "grad_arguments": once(("ggggggggbg", None)),
    "grad_modes": [*rounds(38, 2, ("b", "loss")), *once(("b", "kept"))],
    "graph_network": rounds(24, 3, ("b", "loss")),
    "gru_characters": rounds(25, 3, ("b", "loss")),
    "higher_order": [*once(("ggg", None)), *rounds(16, 2, ("gb", "loss"))],
    "hooks": once(("b", "z")),
    "inplace_views": once(("b", "loss")),
    "late_leaves": once(("b", None), ("bb", "again")),
    "lbfgs": rounds(9, 3, ("bbbbb", "loss")),
    "lstm_tagger": rounds(40, 2, ("b", "loss")) * 2,
    "many_hooks": once(("bbb", None)),
    "matrix_factorization": rounds(20, 4, ("b", "loss")) * 2,
    "metalearning": rounds(5, 3, ("ggb", "meta")),
    "micro_batches": rounds(4, 2, ("bbbb", "loss")),
    "mixture_of_gaussians": rounds(20, 2, ("b", "bound")) * 3,
    "module_in_function": rounds(16, 4, ("b", "loss")),
    "momentum": rounds(5, 3, ("b", "loss")),
    "multi_output_ops": once(("bb", "only_second"), ("b", None)),
    "neural_ode": rounds(27, 2, ("b", "loss")),
    "newton": rounds(9, 4, ("ggg", "y")),
    "no_sync": [("bbb", "loss", (31, 2)), ("bbb", "loss", (31, 5)), ("b", "loss", (31, 6))],  # accumulates over rounds
    "numpy_shared": [*once(("bg", "loss")), ("g", "loss", (14, 1))],  # what numpy writes is an update too
    "optimizer_in_backward": rounds(15, 3, ("b", "loss")),
    "own_optimizers": rounds(63, 2, ("b", "loss")) * 3,
    "parametrized": [*rounds(29, 2, ("b", "loss")), *once(("b", None))],
    "physics_informed": rounds(23, 3, ("gggb", "loss")),
    "polynomial_custom_function": rounds(27, 8, ("b", "loss")),
    "random_numbers": once(("bb", "loss")),
    "regression_by_hand": rounds(10, 10, ("b", "loss")),
    "regression_with_optimizer": rounds(24, 6, ("b", "loss")),
    "reinforce": rounds(58, 2, ("b", "policy_loss")),
    "rnn_unrolled": once(("b", "loss")),
    "saved_tensor_hooks": once(("bbbb", None)),
    "scaler_and_clipping": rounds(8, 4, ("b", None)),  # the scaled loss has no name
    "scripted_functional": [*once(("b", "loss")), *once(("b", None)) * 2, *once(("b", "seen")), *once(("b", "total"))],
    "scripted": once(("bbbb", None)),
    "second_derivative": once(("gg", "y")),
    "several_roots": once(("bbbb", "b"), ("b", "b"), ("bb", "leaf")),
    "shared_leaf": once(("b", "loss")),
    "siamese": rounds(50, 4, ("b", "loss")),
    "sparse_and_complex": once(("b", "out"), ("b", None)),
    "sparse_and_nested_graph": once(("b", None), ("b", None), ("b", None), ("b", None)),
    "spirals": rounds(23, 3, ("b", "loss")) * 2,
    "straight_through": rounds(27, 2, ("b", "loss")),
    "style_transfer": rounds(29, 2, ("bbb", "loss")),
    "tensor_subclass": once(("b", "loss")),
    "tied_weights": rounds(21, 2, ("b", "loss")),
    "train_and_eval": [*rounds(30, 2, ("b", "loss")), *once(("b", None))],
    "trainer": rounds(43, 2, ("b", "loss")) * 2,
    "transformer_layer": rounds(7, 3, ("b", "loss")),
    "transforms": once(("g", None), ("g", None), ("ggg", None)),
    "vae": rounds(45, 2, ("b", "loss")) * 2,
    "views_in_place": once(("bb", "total"), ("b", None)),
    "xor": rounds(24, 8, ("b", "loss")),
}
"""What each program does, as a person would say who reads it."""

KINDS = {
    "anomaly_and_checks": "g" * 26 + "b" * 4,
    "custom_functions": "b" * 6 + "g" * 15,
    "functional_api": "g" * 18 + "b",
    "functional_transforms": "g" * 9 + "bb",
}
"""Programs that have torch make passes (gradcheck, jacobian): how many of each kind. How these make steps is nobody's wish."""

UNNAMED = {
    "anomaly_and_checks": 2,  # what a program makes in the middle of an expression
    "checkpoint_in_modules": 8,
    "custom_functions": 1,
    "differentiable_optimizer": 2,
    "functional_api": 11,
    "functional_transforms": 1,
    "checkpoints": 1,  # the copy that a reentrant checkpoint makes of its input
    "transforms": 1,  # the copy that functional.jacobian makes of its input
}
"""Leaves that no variable of the program leads to."""

MOVED = {"parametrized"}  # takes its parametrizations off again
"""Programs at whose end the way to a leaf is another than it was."""


@pytest.fixture(params=PROGRAMS, ids=lambda path: path.stem, scope="module")
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_divided_into_steps_as_its_reader_would(program: Path) -> None:
    _, _, recording = recorded_program(program)
    found: list[Row] = []
    for step in map(recording.step, range(recording.log.counts()[2])):
        kinds = "".join(taken.kind[0] for taken in step.passes)
        iteration = (step.iteration.line, step.iteration.index) if step.iteration else None
        found.append((kinds, step.loss_name, iteration))
    if program.stem in KINDS:
        assert Counter("".join(kinds for kinds, _, _ in found)) == Counter(KINDS[program.stem])
    else:
        assert found == STEPS[program.stem]


@pytest.mark.filterwarnings("ignore")
def test_a_parameter_is_called_by_the_way_to_it(program: Path) -> None:
    outcome, _, recording = recorded_program(program)
    parameters = recording.parameters()
    assert sum(not parameter.names for parameter in parameters) == UNNAMED.get(program.stem, 0)
    for parameter in parameters if program.stem not in MOVED else []:
        for name in parameter.names:
            if name.partition(".")[0].partition("[")[0] in outcome.variables:
                led_to = _follow(name, outcome.variables)
                assert isinstance(led_to, torch.Tensor), name
                assert [*led_to.shape] == parameter.shape, name


def _follow(name: str, variables: dict[str, Any]) -> Any:
    """What a name such as ``net.0.weight`` leads to."""
    return eval(re.sub(r"\.(\d+)", r"[\1]", name), dict(variables))
