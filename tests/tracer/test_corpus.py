"""Every program of the corpus is divided into the expected steps, and its parameters have the expected names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from .run_twice import PROGRAMS, recorded_program

Step = tuple[str, str | None]
"""An expected step: its passes (b for backward, g for grad, n for nested, i for implicit), and the name of its loss."""
Row = tuple[str, str | None, tuple[int, int] | None]


def once(*steps: Step) -> list[Row]:
    """Return steps outside of loops."""
    return [(*step, None) for step in steps]


def iterations(line: int, count: int, *steps: Step) -> list[Row]:
    """Return the steps of each iteration of the loop on a line."""
    return [(*step, (line, index)) for index in range(count) for step in steps]


STEPS: dict[str, list[Row]] = {
    "attention_block": once(("b", "loss")),
    "autoencoder": iterations(9, 3, ("b", "loss")),
    "autocast": [*iterations(7, 2, ("b", "loss")), *once(("b", None))],
    "averaging": iterations(15, 2, ("b", "loss")) * 2,
    "bayesian_regression": iterations(10, 3, ("b", None)),
    "caught": iterations(8, 2, ("b", "loss")),
    "checkpoint_in_modules": [*iterations(23, 2, ("bnn", "loss")), *once(("bnnnn", None))],
    "checkpoints": once(("bnb", None)),  # two iterations of a loop, but no update between them
    "compiled": once(("b", None)),
    "compiled_modules": iterations(27, 2, ("b", "loss")),
    "complex_gradients": [*once(("b", "power")), *iterations(10, 2, ("b", "loss")), *once(("bb", "out"))],
    "contrastive": iterations(23, 3, ("b", "loss")),
    "convolution": iterations(7, 2, ("b", "loss")),
    "copies": [*iterations(14, 2, ("b", "loss")), *iterations(14, 1, ("b", "loss")) * 3, *once(("b", None))],
    "coroutines": [*iterations(19, 2, ("b", "loss")), *once(("b", "total"))],
    "custom_function": once(("b", "y")),
    "data_updates": iterations(3, 3, ("b", "loss")),
    "dcgan": iterations(21, 2, ("bb", "errD_fake"), ("b", "errG")),  # the losses of real and fake images accumulate
    "deep_chain": once(("b", "y")),
    "differentiable_optimizer": iterations(7, 2, ("ggb", "final")),
    "dispatch_modes": [*iterations(29, 2, ("b", "loss")), *once(("bb", "y"))],
    "distillation": iterations(12, 2, ("b", "loss")) + iterations(12, 3, ("b", "loss")),  # one function trains both
    "dqn": iterations(50, 3, ("b", "loss")),
    "errors_caught": once(("bbbbbbb", "z")),
    "fails_inplace_views": once(("b", "loss")),
    "fails_not_scalar": once(("bb", "y")),
    "fails_saved_modified": once(("b", None)),
    "forward_mode": once(("b", None)),
    "functional_update": iterations(3, 3, ("b", "loss")),
    "gan": iterations(6, 3, ("b", "d_loss"), ("b", "g_loss")),
    "gpt": iterations(68, 2, ("b", "loss")),
    "grad_arguments": once(("ggggggggbg", None)),
    "grad_modes": [*iterations(38, 2, ("b", "loss")), *once(("b", "kept"))],
    "graph_network": iterations(24, 3, ("b", "loss")),
    "gru_characters": iterations(25, 3, ("b", "loss")),
    "higher_order": [*once(("ggg", None)), *iterations(16, 2, ("gb", "loss"))],
    "hooks": once(("b", "z")),
    "inplace_views": once(("b", "loss")),
    "late_leaves": once(("b", None), ("bb", "again")),
    "lbfgs": iterations(9, 3, ("bbbbb", "loss")),
    "lstm_tagger": iterations(40, 2, ("b", "loss")) * 2,
    "many_hooks": once(("bbb", None)),
    "matrix_factorization": iterations(20, 4, ("b", "loss")) * 2,
    "metalearning": iterations(5, 3, ("ggb", "meta")),
    "micro_batches": iterations(4, 2, ("bbbb", "loss")),
    "mixture_of_gaussians": iterations(20, 2, ("b", "bound")) * 3,
    "module_in_function": iterations(16, 4, ("b", "loss")),
    "momentum": iterations(5, 3, ("b", "loss")),
    "multi_output_ops": once(("bb", "only_second"), ("b", None)),
    "neural_ode": iterations(27, 2, ("b", "loss")),
    "newton": iterations(9, 4, ("ggg", "y")),
    "no_sync": [("bbb", "loss", (31, 2)), ("bbb", "loss", (31, 5)), ("b", "loss", (31, 6))],  # accumulates over iterations
    "numpy_shared": [*once(("bg", "loss")), ("g", "loss", (14, 1))],  # a write through NumPy is an update too
    "optimizer_in_backward": iterations(15, 3, ("b", "loss")),
    "own_optimizers": iterations(63, 2, ("b", "loss")) * 3,
    "parametrized": [*iterations(29, 2, ("b", "loss")), *once(("b", None))],
    "physics_informed": iterations(23, 3, ("gggb", "loss")),
    "polynomial_custom_function": iterations(27, 8, ("b", "loss")),
    "random_numbers": once(("bb", "loss")),
    "regression_by_hand": iterations(10, 10, ("b", "loss")),
    "regression_with_optimizer": iterations(24, 6, ("b", "loss")),
    "reinforce": iterations(58, 2, ("b", "policy_loss")),
    "rnn_unrolled": once(("b", "loss")),
    "saved_tensor_hooks": once(("bbbb", None)),
    "scaler_and_clipping": iterations(8, 4, ("b", None)),  # the scaled loss has no name
    "scripted_functional": [*once(("b", "loss")), *once(("b", None)) * 2, *once(("b", "seen")), *once(("b", "total"))],
    "scripted": once(("bbbb", None)),
    "second_derivative": once(("gg", "y")),
    "several_roots": once(("bbbb", "b"), ("b", "b"), ("bb", "leaf")),
    "shared_leaf": once(("b", "loss")),
    "siamese": iterations(50, 4, ("b", "loss")),
    "sparse_and_complex": once(("b", "out"), ("b", None)),
    "sparse_and_nested_graph": once(("b", None), ("b", None), ("b", None), ("b", None)),
    "spirals": iterations(23, 3, ("b", "loss")) * 2,
    "straight_through": iterations(27, 2, ("b", "loss")),
    "style_transfer": iterations(29, 2, ("bbb", "loss")),
    "tensor_subclass": once(("b", "loss")),
    "tied_weights": iterations(21, 2, ("b", "loss")),
    "train_and_eval": [*iterations(30, 2, ("b", "loss")), *once(("b", None))],
    "trainer": iterations(43, 2, ("b", "loss")) * 2,
    "transformer_layer": iterations(7, 3, ("b", "loss")),
    "transforms": once(("g", None), ("g", None), ("ggg", None)),
    "vae": iterations(45, 2, ("b", "loss")) * 2,
    "views_in_place": once(("bb", "total"), ("b", None)),
    "xor": iterations(24, 8, ("b", "loss")),
}
"""The steps of each program, written down by hand."""

KINDS = {
    "anomaly_and_checks": "g" * 26 + "b" * 4,
    "custom_functions": "b" * 6 + "g" * 15,
    "functional_api": "g" * 18 + "b",
    "functional_transforms": "g" * 9 + "bb",
}
"""The passes, by kind, of programs in which torch makes passes itself (gradcheck, jacobian). Their steps are not specified."""

UNNAMED = {
    "anomaly_and_checks": 2,  # leaves that the program creates inside an expression
    "checkpoint_in_modules": 8,
    "custom_functions": 1,
    "differentiable_optimizer": 2,
    "functional_api": 11,
    "functional_transforms": 1,
    "checkpoints": 1,  # the copy that a reentrant checkpoint makes of its input
    "transforms": 1,  # the copy that functional.jacobian makes of its input
}
"""The number of leaves that no variable of the program leads to."""

MOVED = {"parametrized"}  # removes its parametrizations
"""Programs in which the name of a leaf changes before the end."""


@pytest.fixture(params=PROGRAMS, ids=lambda path: path.stem, scope="module")
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_divided_into_the_expected_steps(program: Path) -> None:
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
def test_the_name_of_a_parameter_leads_to_it(program: Path) -> None:
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
    """Return the object with a name such as ``net.0.weight``."""
    return eval(re.sub(r"\.(\d+)", r"[\1]", name), dict(variables))
