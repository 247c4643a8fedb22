"""Assert in your own tests that the gradients of a function are its slopes.

.. code-block:: python

    import torch
    from tapedeck.testing import assert_gradients


    def test_the_gradient_of_tripled():
        assert_gradients(Tripled.apply, torch.randn(3, requires_grad=True))


    def test_the_gradients_of_a_model():
        inputs = dict(model.named_parameters())
        assert_gradients(lambda **weights: torch.func.functional_call(model, weights, x).mean(), inputs)

This module imports PyTorch.
"""

from __future__ import annotations

from .tracer.testing.assertion import assert_gradients

__all__ = ["assert_gradients"]
