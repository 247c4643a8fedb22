"""List every rule, in the groups and the order in which the documentation shows them."""

from __future__ import annotations

from itertools import chain
from typing import Final

from .documentation import parse
from .rule import FailureRule, RecordingRule, Rule
from .rules import (
    backward_failed,
    backward_twice,
    batched,
    bounded_logits,
    broadcast_both,
    broadcast_outside,
    change_lost,
    changed_through_data,
    clamped_scores,
    cleared_too_early,
    clip_scaled,
    clip_unused,
    compiled_eagerly,
    complex_loss,
    confident_start,
    constant_term,
    data_update,
    dead_relu,
    diverging,
    dropout_always,
    evaluation_mode,
    exploding,
    flag_on_module,
    forward_mode,
    grad_accumulated,
    gradient_modified,
    gradient_unused,
    graph_kept,
    graph_too_large,
    implicit_pass,
    implicit_pass_failed,
    inplace_on_leaf,
    integer_grad,
    kept_result,
    leaf_kept,
    leaf_rebound,
    loss_is_leaf,
    misspelled_attribute,
    mixed_batch,
    nan_origin,
    no_grad_path,
    non_leaf_grad,
    non_leaf_parameter,
    not_in_optimizer,
    not_log_probabilities,
    not_scalar,
    numbers_left_out,
    optimizer_refused,
    optimizer_remade,
    other_gradients,
    plotting_stand_in,
    recorder_failed,
    requires_grad_late,
    same_network,
    samples_as_steps,
    saturated_start,
    saved_modified,
    saved_tensors_unread,
    scaled_update,
    several_threads,
    shape_mismatch,
    shared_layer,
    shared_memory,
    skipped_magic,
    softmax_over_batch,
    softmax_twice,
    state_by_reference,
    step_too_small,
    symmetric_units,
    target_dtype,
    targets_out_of_range,
    traced_unrecorded,
    unused_parameter,
    update_without_gradient,
    values_by_reference,
    vanishing,
    vmap_in_place,
    zero_gradient,
)


def _of_recording(module: RecordingRule) -> Rule:
    return Rule(module.CODE, module.SEVERITIES, parse(module.__doc__ or ""), recording=module)


def _of_failure(module: FailureRule) -> Rule:
    return Rule(module.CODE, module.SEVERITIES, parse(module.__doc__ or ""), failure=module)


GROUPS: Final[dict[str, tuple[Rule, ...]]] = {
    "Leaves and gradients": (
        _of_recording(leaf_rebound),
        _of_recording(grad_accumulated),
        _of_recording(requires_grad_late),
        _of_recording(non_leaf_grad),
        _of_recording(data_update),
        _of_recording(gradient_modified),
        _of_recording(leaf_kept),
    ),
    "Training": (
        _of_recording(broadcast_both),
        _of_recording(broadcast_outside),
        _of_recording(diverging),
        _of_recording(vanishing),
        _of_recording(exploding),
        _of_recording(dead_relu),
        _of_recording(unused_parameter),
        _of_recording(nan_origin),
        _of_recording(zero_gradient),
        _of_recording(evaluation_mode),
        _of_recording(dropout_always),
        _of_recording(symmetric_units),
        _of_recording(saturated_start),
        _of_recording(mixed_batch),
        _of_recording(samples_as_steps),
        _of_recording(shared_layer),
    ),
    "Updates": (
        _of_recording(gradient_unused),
        _of_recording(cleared_too_early),
        _of_recording(clip_unused),
        _of_recording(clip_scaled),
        _of_recording(scaled_update),
        _of_recording(update_without_gradient),
        _of_recording(other_gradients),
        _of_recording(not_in_optimizer),
        _of_recording(optimizer_remade),
        _of_recording(shared_memory),
        _of_recording(step_too_small),
        _of_recording(change_lost),
        _of_recording(changed_through_data),
        _of_recording(misspelled_attribute),
        _of_recording(flag_on_module),
        _of_recording(state_by_reference),
        _of_recording(values_by_reference),
        _of_recording(same_network),
    ),
    "Losses": (
        _of_recording(loss_is_leaf),
        _of_recording(constant_term),
        _of_recording(kept_result),
        _of_recording(graph_kept),
        _of_recording(softmax_twice),
        _of_recording(bounded_logits),
        _of_recording(clamped_scores),
        _of_recording(softmax_over_batch),
        _of_recording(not_log_probabilities),
        _of_recording(targets_out_of_range),
        _of_recording(confident_start),
    ),
    "Errors of autograd": (
        _of_failure(no_grad_path),
        _of_failure(not_scalar),
        _of_failure(backward_twice),
        _of_failure(saved_modified),
        _of_failure(inplace_on_leaf),
        _of_failure(integer_grad),
        _of_failure(non_leaf_parameter),
        _of_failure(optimizer_refused),
        _of_failure(vmap_in_place),
        _of_failure(complex_loss),
        _of_failure(target_dtype),
        _of_failure(shape_mismatch),
        _of_failure(backward_failed),
    ),
    "About the recording": (
        _of_recording(implicit_pass),
        _of_recording(implicit_pass_failed),
        _of_recording(skipped_magic),
        _of_recording(plotting_stand_in),
        _of_recording(graph_too_large),
        _of_recording(numbers_left_out),
        _of_recording(saved_tensors_unread),
        _of_recording(batched),
        _of_recording(forward_mode),
        _of_recording(compiled_eagerly),
        _of_recording(traced_unrecorded),
        _of_recording(several_threads),
        _of_recording(recorder_failed),
    ),
}
"""All rules by the title of their group."""

RULES: Final[dict[str, Rule]] = {rule.code: rule for rule in chain.from_iterable(GROUPS.values())}
"""All rules by their code."""


def help_path(code: str) -> str:
    """Return the path of the documentation of a code, below the root path of the server.

    >>> help_path("leaf-rebound")
    '/findings#leaf-rebound'
    """
    return f"/findings#{code}"
