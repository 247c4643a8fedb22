"""`assert_gradients` accepts right gradients and names wrong ones."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tapedeck.testing import assert_gradients
from torch import Tensor, nn
from torch.nn import functional as F

CONSTANT = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads of PyTorch that wait for each other are slow on a loaded machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def given(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype).requires_grad_()


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, wrong: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.wrong = wrong
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * ctx.wrong * gradient, None


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"class {text}("))
    return next(index for index in range(start, len(lines)) if "def backward" in lines[index]) + 1


def failure(fn: Callable[..., Any], inputs: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as raised:
        assert_gradients(fn, inputs, **options)
    return str(raised.value)


RIGHT: dict[str, Callable[[Tensor], Any]] = {
    "an elementwise function": lambda x: x.exp() * x.sin() / (x.square() + 1),
    "a constant of the closure": lambda x: x @ CONSTANT,
    "a buffer written in place": lambda x: torch.zeros(2, 4).index_copy_(0, torch.tensor([1]), x[:1]),
    "a cast": lambda x: x.double().exp().float(),
    "a narrow cast": lambda x: (x.to(torch.bfloat16) * 2).float().sum(),
    "sorted": lambda x: x.sort(1)[0].cumsum(0),
    "rounded": lambda x: x.round() + x.floor() * x,
    "softmax": lambda x: F.log_softmax(x, 1),
    "cross entropy": lambda x: F.cross_entropy(x, torch.tensor([0, 3])),
    "dropout": lambda x: F.dropout(x, 0.5),
    "noise": lambda x: x * torch.rand(4) * torch.empty(4).uniform_(1, 1.001) + random.random() * np.random.rand(),
    "batch norm": lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True).square(),
    "layer norm": lambda x: F.layer_norm(x, (4,)).square(),
    "a gradient that cancels": lambda x: F.layer_norm(x, (4,)).sum(),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None].sin(), is_causal=True),
    "an embedding": lambda x: F.embedding(torch.tensor([0, 1, 1]), x, padding_idx=0).square().sum(),
    "a symmetric matrix": lambda x: torch.linalg.cholesky(x @ x.T + 3 * torch.eye(2)),
    "a determinant": lambda x: (x @ x.T).logdet(),
    "views": lambda x: x.t()[1:, ::2].reshape(-1).unfold(0, 2, 1).square(),
    "several outputs": lambda x: {"a": x.sum(), "b": [x.exp(), x.argmax(), 3, None]},
    "complex outputs": lambda x: torch.fft.fft(x[0]),
    "a vectorized function": lambda x: torch.func.vmap(lambda row: row.square().sum())(x),
    "a gradient inside": lambda x: torch.autograd.grad(x.pow(3).sum(), x, create_graph=True)[0],
    "an einsum": lambda x: torch.einsum("ij,jk->ik", x, CONSTANT),
    "a custom function": lambda x: Cube.apply(x, 1.0),
    "two custom functions": lambda x: Doubled.apply(Cube.apply(x.tanh(), 1.0)),
    "infinite values": lambda x: (x.exp(), (x * 0).log()),
}
AT_KINKS: list[Callable[[Tensor], Any]] = [
    lambda x: F.relu(x) - F.relu(-x) + F.hardshrink(x),
    lambda x: x.abs() + x.clamp(0, 1),
    lambda x: (x.max(), x.amax(0), torch.maximum(x, x.flip(1))),
    lambda x: x.sort(1)[0].cumsum(0) + x.round() * x,
    lambda x: (x[1] * 0).norm() + x[0].norm(1),
]


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes(name: str) -> None:
    assert_gradients(RIGHT[name], given(2, 4), elements=3)


def test_samples_that_pytorch_differentiates_implicitly_pass() -> None:
    concentration = torch.tensor([1.5, 2.5, 3.0], requires_grad=True)
    assert_gradients(lambda a: torch.distributions.Dirichlet(a).rsample(), concentration)
    assert_gradients(lambda a: torch.distributions.Gamma(a, 1.0).rsample(), concentration)


@pytest.mark.parametrize("fn", AT_KINKS)
def test_a_gradient_between_the_slopes_at_a_kink_passes(fn: Callable[[Tensor], Any]) -> None:
    assert_gradients(fn, torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 2.0]], requires_grad=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex64, torch.complex128])
def test_a_backward_wrong_by_one_percent_is_named_with_its_line(dtype: torch.dtype) -> None:
    assert_gradients(lambda x: Cube.apply(x, 1.0).real, given(2, dtype=torch.float64))
    message = failure(lambda x, w: (x * 1, Cube.apply(w, 1.01) * x), (given(2, dtype=dtype), given(2, dtype=dtype)))
    assert "output 1, element [1]" in message
    assert "by input `w`, element [1]" in message
    assert "by input `x`" not in message  # its gradient is right
    assert f"Cube.backward, {os.path.relpath(__file__)}:{line_of('Cube')}" in message
    assert "difference 1 %" in message or dtype.is_complex


def test_the_message_has_both_numbers() -> None:
    lines = failure(lambda x: Cube.apply(x, 1.01), torch.ones(1, 2, requires_grad=True)).splitlines()
    assert lines[0] == "2 of 4 gradients are not the slopes."
    assert lines[2].startswith(
        "output 0, element [0, 1], by input `x`, element [0, 1]: backward gives 3.03, the slope is 3 (difference 1 %). Cube."
    )


def test_each_custom_function_on_the_way_is_named_and_no_other() -> None:
    message = failure(lambda x, y: (Doubled.apply(Cube.apply(x, 1.1)), Cube.apply(y, 1.0)), (given(), given()))
    assert f":{line_of('Doubled')}; Cube.backward" in message
    assert "output 1" not in message


def test_inputs_are_named_as_they_are_passed() -> None:
    wrong = given(), {"h": [given()]}
    assert "`state['h'][0]`" in failure(lambda x, state: Cube.apply(state["h"][0] * x.detach(), 1.1), wrong)
    assert "input `w`" in failure(lambda **each: Cube.apply(each["w"], 1.1), {"w": given()})
    assert "input `inputs[1]`" in failure(lambda *each: Cube.apply(each[1], 1.1), (*wrong[:1], given()))
    assert "output `['loss']`, by" in failure(lambda x: {"loss": Cube.apply(x, 1.1)}, given())
    assert "input `x`" in failure(Cube.apply, (given(), 1.1))


def test_a_cut_is_reported_with_a_remedy() -> None:
    assert "No operation leads from the output" in failure(lambda x, y: x * y.detach(), (given(), given()))
    assert "only MulBackward0: look for" in failure(lambda x: x * x.detach(), given())
    assert "No output has a gradient" in failure(lambda x: x.detach() * 2, given())


def test_a_gradient_that_is_not_finite_where_the_slope_is_fails() -> None:
    message = failure(lambda x: torch.where(x > 0, x.sqrt(), x * 2), torch.zeros((), requires_grad=True) - 1)
    assert "backward gives nan, the slope is 2" in message
    assert "No gradient could be checked" in failure(lambda x: (x * 0).log(), given())


def test_a_function_that_is_not_deterministic_gets_a_sentence() -> None:
    calls = iter(range(1_000))
    message = failure(lambda x: x * next(calls), torch.ones(2, requires_grad=True))
    assert message.startswith("`fn` is not deterministic: output 0 was 0, then 1, with the same inputs")
    assert "different shapes" in failure(lambda x: x.expand(2 + next(calls)), torch.ones((), requires_grad=True))


def test_nothing_to_check_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="No input requires a gradient"):
        assert_gradients(torch.exp, torch.ones(2))
    with pytest.raises(ValueError, match="sparse"):
        assert_gradients(torch.sparse.sum, torch.eye(2).to_sparse().requires_grad_())


def test_inputs_and_random_states_are_left_as_they_were() -> None:
    def fn(x: Tensor, seen: Tensor) -> Tensor:
        seen += 1
        return F.dropout(x * seen) * random.random() * np.random.rand()

    x, seen = given(3), torch.zeros(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), x.detach().clone()
    assert_gradients(fn, (x, seen))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:3]
    assert torch.equal(x, before[3])
    assert x.grad is None
    assert not seen.any()
    assert torch.get_default_dtype() is torch.float32


def test_at_most_the_given_number_of_elements_is_checked() -> None:
    assert failure(lambda x: Cube.apply(x, 1.1), given(100), elements=3).startswith("3 of 9 gradients")


def test_the_parameters_of_a_module_are_inputs_by_name() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.BatchNorm1d(4), nn.Linear(4, 1))
    assert_gradients(
        lambda **weights: torch.func.functional_call(model, weights, CONSTANT).square().mean(),
        dict(model.named_parameters()),
        elements=2,
    )
    assert all(each.grad is None for each in model.parameters())


def test_a_failing_test_of_a_user_shows_its_own_line() -> None:
    with pytest.raises(AssertionError) as raised:
        assert_gradients(Cube.apply, (given(), 1.1))
    assert raised.traceback.filter(raised)[-1].path == Path(__file__)  # the lines that pytest prints


def test_an_output_that_is_an_input_passes() -> None:
    assert_gradients(lambda x: (x, x[:0]), given(2))
