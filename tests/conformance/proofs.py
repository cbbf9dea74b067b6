"""The tests that hold each line of `sppkit.limits`: "file::name", by the title of the situation."""

PROOFS: dict[str, tuple[str, ...]] = {
    "An in-place operation follows a hooked layer": (
        "tests/capture/test_readings.py::test_batchnorm_before_an_in_place_relu_has_variance_one_and_mean_square_zero",
        "tests/capture/test_readings.py::test_gradients_are_those_of_autograd_in_spite_of_in_place_operations",
    ),
    "Which gradient is meant when the output is overwritten": (
        "tests/capture/test_hooks.py::test_the_gradient_of_an_output_is_that_of_its_value_before_an_in_place_write",
    ),
    "A collector that keeps outputs sees what overwrote them": (
        "tests/capture/test_merges.py::test_the_graph_keeps_no_activation_alive",
    ),
    "A layer returns its input (Identity, Dropout in eval mode, containers)": (
        "tests/capture/test_readings.py::test_an_output_returned_unchanged_is_an_alias_of_the_row_it_repeats",
    ),
    "Functional calls have no module": (
        "tests/capture/test_merges.py::test_blocks_written_in_the_root_are_operations",
        "tests/capture/test_training_loop.py::test_operations_are_recorded_with_the_module_they_run_in",
    ),
    "Adding operations to the user's graph changes it": (
        "tests/capture/test_left_as_found.py::test_a_recorded_step_is_bit_identical_to_a_plain_one",
    ),
    "A hook fails": (
        "tests/capture/test_hooks.py::test_a_fault_of_ours_is_told_and_does_not_reach_the_users_pass",
    ),
    "The forward raises, or is interrupted": (
        "tests/capture/test_left_as_found.py::test_nothing_is_left_when_the_forward_raises",
        "tests/capture/test_left_as_found.py::test_a_forward_that_raises_and_is_caught_does_not_end_the_recording",
    ),
    "`register_hook` on a tensor without gradient raises": (
        "tests/capture/test_readings.py::test_a_frozen_layer_says_that_it_needs_no_gradient",
    ),
    "Random numbers drawn by a tool change the user's run": (
        "tests/capture/test_hooks.py::test_recording_draws_no_random_number",
        "tests/capture/test_left_as_found.py::test_probing_an_instance_leaves_it_as_it_was",
    ),
    "Hooks of other tools on the same model": (),
    "A notebook cell is run again, or two recorders are open": (),
    "Outputs in dicts, lists, dataclasses": (
        "tests/capture/test_readings.py::test_outputs_in_containers_are_named_by_their_path",
    ),
    "Named tuples and packed sequences": (
        "tests/capture/test_hooks.py::test_packed_sequences_are_read_and_not_rebuilt",
    ),
    "The channel axis differs by layer": (
        "tests/capture/test_readings.py::test_the_channel_axis_follows_permutations_and_reshapes",
        "tests/capture/test_readings.py::test_every_kind_of_layer_has_its_channels_counted",
        "tests/capture/test_readings.py::test_an_undecided_channel_axis_is_a_reason_and_the_override_cures_it",
    ),
    "Integers, booleans, complex, quantised, sparse, fp8, meta tensors": (
        "tests/capture/test_readings.py::test_integer_outputs_are_not_captured_with_a_reason",
        "tests/capture/test_hooks.py::test_weights_on_the_meta_device_have_a_reason",
    ),
    "Nested tensors of a transformer with a padding mask": (),
    "Padding positions distort statistics": (),
    "One sample, 1x1 maps, empty batches": (
        "tests/capture/test_hooks.py::test_a_probe_of_one_sample_is_finite_and_says_how_few_values_it_read",
        "tests/capture/test_hooks.py::test_an_expert_without_tokens_is_told_from_one_that_was_not_called",
    ),
    "A layer is used several times": (
        "tests/capture/test_readings.py::test_a_shared_layer_has_a_row_for_each_call",
    ),
    "Registration order is not execution order": (
        "tests/capture/test_hooks.py::test_layers_are_ranked_by_execution_and_parents_behind_their_parts",
    ),
    "Tied weights": ("tests/capture/test_readings.py::test_a_tied_weight_is_an_alias",),
    "Parametrised weights run modules at every access": (
        "tests/capture/test_readings.py::test_the_effective_weight_of_a_parametrization_is_the_one_the_layer_used",
    ),
    "Modules that are never called, such as MultiheadAttention's `out_proj`": (
        "tests/capture/test_readings.py::test_a_layer_that_is_never_called_is_named",
    ),
    "Experts without tokens, branches that run now and then": (
        "tests/capture/test_hooks.py::test_an_expert_without_tokens_is_told_from_one_that_was_not_called",
        "tests/capture/test_readings.py::test_a_layer_called_only_later_is_recorded_and_makes_a_new_plan",
    ),
    "`module.forward()` is called directly": (),
    "The fused path of transformer layers in eval mode skips their parts": (
        "tests/capture/test_hooks.py::test_a_transformer_layer_in_eval_mode_shows_its_parts",
    ),
    "Activation checkpointing repeats calls": (
        "tests/capture/test_readings.py::test_a_checkpointed_call_is_counted_once_and_has_its_gradient",
        "tests/capture/test_readings.py::test_a_shared_layer_in_checkpointed_segments_keeps_its_calls_apart",
    ),
    "Lazy modules have no weights before the first call": (),
    "Half precision overflows and rounds": (
        "tests/capture/test_readings.py::test_autocast_outputs_are_read_in_their_dtype_and_summed_in_float32",
    ),
    "E[x²] - E[x]² cancels": (),
    "Gradients of 1e-24, values of 1e20": (),
    "Autocast casts a hook's own arithmetic": (
        "tests/capture/test_readings.py::test_autocast_outputs_are_read_in_their_dtype_and_summed_in_float32",
    ),
    "Quantiles of large tensors fail or are slow": (
        "tests/test_probing.py::test_extended_statistics_are_in_every_probe",
    ),
    "Devices without float64": (),
    "A gradient scaler multiplies every gradient": (
        "tests/capture/test_training_loop.py::test_gradients_are_divided_by_the_scale_their_loss_had",
        "tests/capture/test_training_loop.py::test_skipped_steps_are_flagged_and_counted",
    ),
    "Gradient accumulation": (
        "tests/capture/test_training_loop.py::test_accumulated_gradients_are_the_sum_that_the_optimiser_sees",
        "tests/capture/test_readings.py::test_micro_batches_merge_to_the_whole_batch_weighted_by_size",
    ),
    "A mean loss shrinks gradients with the batch": (
        "tests/capture/test_training_loop.py::test_per_sample_gradients_do_not_depend_on_the_batch",
    ),
    "Clipping, or `zero_grad`, before the gradients are read": (
        "tests/capture/test_training_loop.py::test_raw_and_clipped_gradients_are_signals_of_their_own",
        "tests/capture/test_training_loop.py::test_a_replaced_gradient_is_a_changed_one",
    ),
    "Several forwards before a backward, several models in a loop": (
        "tests/capture/test_training_loop.py::test_several_forwards_before_a_backward_keep_their_gradients_apart",
        "tests/capture/test_training_loop.py::test_two_models_in_one_loop_are_recorded_apart",
    ),
    "Probes update BatchNorm statistics, modes, gradients": (
        "tests/capture/test_left_as_found.py::test_probing_an_instance_leaves_it_as_it_was",
        "tests/capture/test_left_as_found.py::test_a_probe_that_fails_restores_everything",
    ),
    "Eval mode hides what initialisation does": (
        "tests/test_probing.py::test_eval_mode_uses_running_statistics",
        "tests/capture/test_readings.py::test_train_and_eval_passes_are_kept_apart",
    ),
    "No backward pass": (
        "tests/capture/test_readings.py::test_a_forward_without_backward_says_forward_only",
    ),
    "Frozen layers": (
        "tests/capture/test_readings.py::test_a_frozen_layer_says_that_it_needs_no_gradient",
    ),
    "Memory grows over a long run": (),
    "A recorded model is deep-copied, pickled, saved": (
        "tests/capture/test_left_as_found.py::test_a_deep_copy_or_pickle_of_a_recorded_model_is_silent",
    ),
    "A module is replaced while recording": (),
    "Scripted and traced modules never call hooks": (),
    "`torch.func` transforms": (),
    "Several threads": (),
}
