"""Situations that break collectors, what sppkit does in each, and the tests that hold it.

docs/limits.md is made from this table: `python -m tests.conformance.situations > docs/limits.md`.
"""

from typing import NamedTuple

READINGS = "tests/capture/test_readings.py"
FOUND = "tests/capture/test_left_as_found.py"
HOOKS = "tests/capture/test_hooks.py"
LOOP = "tests/capture/test_training_loop.py"
MERGES = "tests/capture/test_merges.py"
PROBING = "tests/test_probing.py"
KERNEL = "tests/kernels/test_torch_operations.py"
COMPILE = "tests/capture/test_compile.py"
PROCESSES = "tests/capture/test_distributed.py"
ODD = "tests/capture/test_odd_tensors.py"
LIFE = "tests/capture/test_life_with_the_model.py"
MASKS = "tests/capture/test_masks.py"


class Situation(NamedTuple):
    """A situation, what sppkit answers, and the tests that prove it ("file::name")."""

    title: str
    answer: str
    tests: tuple[str, ...]


def _of(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::{name}" for name in names)


SITUATIONS: tuple[tuple[str, tuple[Situation, ...]], ...] = (
    (
        "In-place operations and what flows",
        (
            Situation(
                "An in-place operation follows a hooked layer",
                "Right numbers. Values are reduced inside the hook, gradients come through hooks on "
                "tensors; module backward hooks, which raise here, are never used.",
                _of(
                    READINGS,
                    "test_batchnorm_before_an_in_place_relu_has_variance_one_and_mean_square_zero",
                    "test_gradients_are_those_of_autograd_in_spite_of_in_place_operations",
                ),
            ),
            Situation(
                "Which gradient is meant when the output is overwritten",
                "The gradient of the value as the layer returned it, before the write.",
                _of(
                    HOOKS,
                    "test_the_gradient_of_an_output_is_that_of_its_value_before_an_in_place_write",
                ),
            ),
            Situation(
                "A collector that keeps outputs sees what overwrote them",
                "Nothing is kept: summaries only, and weak references while tracing.",
                _of(MERGES, "test_the_graph_keeps_no_activation_alive"),
            ),
            Situation(
                "A layer returns its input (Identity, Dropout in eval mode, containers)",
                "One read; the other rows repeat it, flagged `alias of PLACE`.",
                _of(READINGS, "test_an_output_returned_unchanged_is_an_alias_of_the_row_it_repeats"),
            ),
            Situation(
                "Functional calls have no module",
                "Merges and branch ends written as functions are rows of their own; "
                '`granularity="operation"` records every call with the module it runs in.',
                _of(MERGES, "test_blocks_written_in_the_root_are_operations")
                + _of(LOOP, "test_operations_are_recorded_with_the_module_they_run_in"),
            ),
            Situation(
                "Adding operations to the user's graph changes it",
                "Only reads: outputs, gradients, buffers and random numbers are bit-identical.",
                _of(FOUND, "test_a_recorded_step_is_bit_identical_to_a_plain_one"),
            ),
        ),
    ),
    (
        "Hooks",
        (
            Situation(
                "A hook fails",
                "The user's pass goes on; the layer and the reason are in `not_captured`.",
                _of(HOOKS, "test_a_fault_of_ours_is_told_and_does_not_reach_the_users_pass"),
            ),
            Situation(
                "The forward raises, or is interrupted",
                "Every hook is gone, the function mode is left, the step is dropped and said.",
                _of(
                    FOUND,
                    "test_nothing_is_left_when_the_forward_raises",
                    "test_a_forward_that_raises_and_is_caught_does_not_end_the_recording",
                ),
            ),
            Situation(
                "`register_hook` on a tensor without gradient raises",
                "It is not called; the row's gradient has a reason.",
                _of(READINGS, "test_a_frozen_layer_says_that_it_needs_no_gradient"),
            ),
            Situation(
                "Random numbers drawn by a tool change the user's run",
                "None is drawn outside a probe, and a probe restores every generator.",
                _of(HOOKS, "test_recording_draws_no_random_number")
                + _of(FOUND, "test_probing_an_instance_leaves_it_as_it_was"),
            ),
            Situation(
                "Hooks of other tools on the same model",
                "Theirs stay; ours read what the layer returns in the order of registration.",
                (),
            ),
            Situation(
                "A notebook cell is run again, or two recorders are open",
                "Each recording has its own rows, once.",
                (),
            ),
        ),
    ),
    (
        "Outputs and inputs of every kind",
        (
            Situation(
                "Outputs in dicts, lists, dataclasses",
                "Walked without being rebuilt; `tensor` holds the path.",
                _of(READINGS, "test_outputs_in_containers_are_named_by_their_path"),
            ),
            Situation(
                "Named tuples and packed sequences",
                "Read, never rebuilt.",
                _of(HOOKS, "test_packed_sequences_are_read_and_not_rebuilt"),
            ),
            Situation(
                "The channel axis differs by layer",
                "Follows the operations (convolutions second, linear layers last, through reshapes "
                "and permutations); undecided is a reason, `channel_axis=` decides.",
                _of(
                    READINGS,
                    "test_the_channel_axis_follows_permutations_and_reshapes",
                    "test_every_kind_of_layer_has_its_channels_counted",
                    "test_an_undecided_channel_axis_is_a_reason_and_the_override_cures_it",
                ),
            ),
            Situation(
                "Integers, booleans, complex, quantised, sparse, fp8, meta tensors",
                "Read where their values are numbers of a signal, a reason otherwise.",
                _of(READINGS, "test_integer_outputs_are_not_captured_with_a_reason")
                + _of(HOOKS, "test_weights_on_the_meta_device_have_a_reason"),
            ),
            Situation(
                "Nested tensors of a transformer with a padding mask",
                "Their values are read, the last axis as channels.",
                (),
            ),
            Situation(
                "Padding positions distort statistics",
                "`mask=` leaves them out; rows it does not fit are flagged.",
                (),
            ),
            Situation(
                "One sample, 1x1 maps, empty batches",
                "Variances are biased and therefore defined; `samples` says how few values; an empty "
                "tensor is a row with none.",
                _of(
                    HOOKS,
                    "test_a_probe_of_one_sample_is_finite_and_says_how_few_values_it_read",
                    "test_an_expert_without_tokens_is_told_from_one_that_was_not_called",
                ),
            ),
        ),
    ),
    (
        "Which layers, how often, in which order",
        (
            Situation(
                "A layer is used several times",
                "One row per call.",
                _of(READINGS, "test_a_shared_layer_has_a_row_for_each_call"),
            ),
            Situation(
                "Registration order is not execution order",
                "`depth` ranks layers by execution, parents behind their parts.",
                _of(HOOKS, "test_layers_are_ranked_by_execution_and_parents_behind_their_parts"),
            ),
            Situation(
                "Tied weights",
                "Read once; the other name is an alias.",
                _of(READINGS, "test_a_tied_weight_is_an_alias"),
            ),
            Situation(
                "Parametrised weights run modules at every access",
                "Their modules are not hooked; the effective weight is a signal of its own.",
                _of(
                    READINGS,
                    "test_the_effective_weight_of_a_parametrization_is_the_one_the_layer_used",
                ),
            ),
            Situation(
                "Modules that are never called, such as MultiheadAttention's `out_proj`",
                "Named in `not_captured`.",
                _of(READINGS, "test_a_layer_that_is_never_called_is_named"),
            ),
            Situation(
                "Experts without tokens, branches that run now and then",
                "Not called, called with nothing, and a value are three different answers; a layer "
                "that appears later causes a new plan.",
                _of(
                    HOOKS, "test_an_expert_without_tokens_is_told_from_one_that_was_not_called"
                )
                + _of(READINGS, "test_a_layer_called_only_later_is_recorded_and_makes_a_new_plan"),
            ),
            Situation(
                "`module.forward()` is called directly",
                "No hook runs; the layer is listed as never called.",
                (),
            ),
            Situation(
                "The fused path of transformer layers in eval mode skips their parts",
                "With hooks inside, torch takes the plain path: all parts are seen.",
                _of(HOOKS, "test_a_transformer_layer_in_eval_mode_shows_its_parts"),
            ),
            Situation(
                "Activation checkpointing repeats calls",
                "Every call once, with its gradient, reentrant or not.",
                _of(
                    READINGS,
                    "test_a_checkpointed_call_is_counted_once_and_has_its_gradient",
                    "test_a_shared_layer_in_checkpointed_segments_keeps_its_calls_apart",
                ),
            ),
            Situation(
                "Lazy modules have no weights before the first call",
                "Weights are read at the end of the step, when they exist.",
                (),
            ),
        ),
    ),
    (
        "Numbers",
        (
            Situation(
                "Half precision overflows and rounds",
                "Lifted to float32 before anything is added.",
                _of(
                    READINGS,
                    "test_autocast_outputs_are_read_in_their_dtype_and_summed_in_float32",
                ),
            ),
            Situation(
                "E[x²] - E[x]² cancels",
                "Deviations from the channel's mean, corrected; merged in float64.",
                (),
            ),
            Situation(
                "Gradients of 1e-24, values of 1e20",
                "Scaled by a power of two per channel before they are squared.",
                (),
            ),
            Situation(
                "Autocast casts a hook's own arithmetic",
                "Switched off inside the read.",
                _of(
                    READINGS,
                    "test_autocast_outputs_are_read_in_their_dtype_and_summed_in_float32",
                ),
            ),
            Situation(
                "Quantiles of large tensors fail or are slow",
                "Taken from counts per power of two, in the same read.",
                _of(PROBING, "test_extended_statistics_are_in_every_probe"),
            ),
            Situation(
                "Devices without float64",
                "Buffers are float32 there; squares below 1e-38 vanish.",
                (),
            ),
        ),
    ),
    (
        "Training loops",
        (
            Situation(
                "A gradient scaler multiplies every gradient",
                "Given `scaler=`, divided by the scale that was used; skipped steps are flagged.",
                _of(
                    LOOP,
                    "test_gradients_are_divided_by_the_scale_their_loss_had",
                    "test_skipped_steps_are_flagged_and_counted",
                ),
            ),
            Situation(
                "Gradient accumulation",
                "Weight gradients are the sum that the optimiser sees; activations merge by size.",
                _of(LOOP, "test_accumulated_gradients_are_the_sum_that_the_optimiser_sees")
                + _of(
                    READINGS,
                    "test_micro_batches_merge_to_the_whole_batch_weighted_by_size",
                ),
            ),
            Situation(
                "A mean loss shrinks gradients with the batch",
                "`batch` and the reduction are stored; `per_sample_gradients` undoes it.",
                _of(LOOP, "test_per_sample_gradients_do_not_depend_on_the_batch"),
            ),
            Situation(
                "Clipping, or `zero_grad`, before the gradients are read",
                "Raw gradients are read when accumulated; changed ones are a second signal.",
                _of(
                    LOOP,
                    "test_raw_and_clipped_gradients_are_signals_of_their_own",
                    "test_a_replaced_gradient_is_a_changed_one",
                ),
            ),
            Situation(
                "Several forwards before a backward, several models in a loop",
                "Each pass has its own slots; each recorder its own steps.",
                _of(
                    LOOP,
                    "test_several_forwards_before_a_backward_keep_their_gradients_apart",
                    "test_two_models_in_one_loop_are_recorded_apart",
                ),
            ),
            Situation(
                "Probes update BatchNorm statistics, modes, gradients",
                "All restored, bit for bit, after success and failure.",
                _of(
                    FOUND,
                    "test_probing_an_instance_leaves_it_as_it_was",
                    "test_a_probe_that_fails_restores_everything",
                ),
            ),
            Situation(
                "Eval mode hides what initialisation does",
                "Probes run in train mode by default; `phase` keeps train and eval apart.",
                _of(PROBING, "test_eval_mode_uses_running_statistics")
                + _of(READINGS, "test_train_and_eval_passes_are_kept_apart"),
            ),
            Situation(
                "No backward pass",
                "Said: forward only.",
                _of(READINGS, "test_a_forward_without_backward_says_forward_only"),
            ),
            Situation(
                "Frozen layers",
                "A missing gradient is a reason, not a zero.",
                _of(READINGS, "test_a_frozen_layer_says_that_it_needs_no_gradient"),
            ),
            Situation(
                "Memory grows over a long run",
                "Only by the rows of the table.",
                (),
            ),
        ),
    ),
    (
        "Life with the model",
        (
            Situation(
                "A recorded model is deep-copied, pickled, saved",
                "The copy carries hooks that do nothing; the original goes on.",
                _of(FOUND, "test_a_deep_copy_or_pickle_of_a_recorded_model_is_silent"),
            ),
            Situation("A module is replaced while recording", "", ()),
            Situation("Scripted and traced modules never call hooks", "", ()),
            Situation("`torch.func` transforms", "", ()),
            Situation("Several threads", "", ()),
        ),
    ),
    ("Compilation", ()),
    ("Many processes", ()),
)
