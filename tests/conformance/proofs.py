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
    "Hooks of other tools on the same model": (
        "tests/capture/test_life_with_the_model.py::test_an_output_that_another_hook_replaces_is_read_as_it_flows_on",
        "tests/capture/test_life_with_the_model.py::test_hooks_of_others_stay_in_their_order_and_are_called_as_often",
    ),
    "A notebook cell is run again, or two recorders are open": (
        "tests/capture/test_life_with_the_model.py::test_a_cell_that_is_run_again_does_not_double_rows",
        "tests/capture/test_life_with_the_model.py::test_two_recorders_at_once_read_what_one_reads",
    ),
    "Reading a value in a hook makes the host wait for the device": (
        "tests/kernels/test_torch_operations.py::test_the_host_never_waits_for_a_device",
    ),
    "Hooks cost time in every step": (
        "tests/capture/test_readings.py::test_hooks_are_absent_between_recorded_steps",
    ),
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
        "tests/capture/test_odd_tensors.py::test_a_complex_activation_is_read_as_two_real_channels_for_each",
        "tests/capture/test_odd_tensors.py::test_a_sparse_embedding_gradient_has_the_numbers_of_the_dense_one",
        "tests/capture/test_odd_tensors.py::test_a_quantised_tensor_is_read_dequantised_and_named_by_its_stored_type",
        "tests/capture/test_odd_tensors.py::test_float8_is_read_as_float32_and_says_that_its_scale_is_unknown",
        "tests/capture/test_odd_tensors.py::test_what_cannot_be_read_has_a_reason_and_no_row",
    ),
    "Nested tensors of a transformer with a padding mask": (
        "tests/capture/test_odd_tensors.py::test_the_encoder_that_nests_padded_batches_is_read_at_real_positions_only",
    ),
    "Padding positions distort statistics": (
        "tests/capture/test_masks.py::test_only_the_real_positions_are_read",
        "tests/capture/test_masks.py::test_rows_that_the_mask_does_not_fit_are_read_whole_and_flagged",
    ),
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
    "`module.forward()` is called directly": (
        "tests/capture/test_life_with_the_model.py::test_a_layer_that_is_called_by_its_forward_is_listed_as_never_called",
    ),
    "The fused path of transformer layers in eval mode skips their parts": (
        "tests/capture/test_hooks.py::test_a_transformer_layer_in_eval_mode_shows_its_parts",
    ),
    "Activation checkpointing repeats calls": (
        "tests/capture/test_readings.py::test_a_checkpointed_call_is_counted_once_and_has_its_gradient",
        "tests/capture/test_readings.py::test_a_shared_layer_in_checkpointed_segments_keeps_its_calls_apart",
    ),
    "Lazy modules have no weights before the first call": (
        "tests/capture/test_life_with_the_model.py::test_a_lazy_model_is_recorded_under_the_class_it_becomes",
        "tests/capture/test_life_with_the_model.py::test_a_lazy_layer_that_is_never_called_has_no_weights_and_says_so",
    ),
    "Half precision overflows and rounds": (
        "tests/capture/test_readings.py::test_autocast_outputs_are_read_in_their_dtype_and_summed_in_float32",
        "tests/capture/test_odd_tensors.py::test_under_autocast_every_signal_is_read_in_the_type_it_has",
    ),
    "E[x²] - E[x]² cancels": (
        "tests/kernels/test_torch_operations.py::test_a_summary_agrees_with_the_definitions",
    ),
    "Gradients of 1e-24, values of 1e20": (
        "tests/kernels/test_torch_operations.py::test_a_summary_agrees_with_the_definitions",
    ),
    "Autocast casts a hook's own arithmetic": (
        "tests/capture/test_odd_tensors.py::test_a_read_inside_autocast_is_the_read_outside_of_it",
    ),
    "Quantiles of large tensors fail or are slow": (
        "tests/test_probing.py::test_extended_statistics_are_in_every_probe",
    ),
    "Devices without float64": (
        "tests/kernels/test_torch_operations.py::test_a_device_without_float64_meets_none",
    ),
    "Variances of one value, unbiased, are NaN": (
        "tests/capture/test_odd_tensors.py::test_a_single_value_has_variance_zero",
    ),
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
    "Memory grows over a long run": (
        "tests/capture/test_life_with_the_model.py::test_a_thousand_recorded_steps_keep_nothing_but_their_rows",
        "tests/capture/test_life_with_the_model.py::test_a_finished_recording_does_not_keep_the_model_alive",
    ),
    "A recorded model is deep-copied, pickled, saved": (
        "tests/capture/test_left_as_found.py::test_a_deep_copy_or_pickle_of_a_recorded_model_is_silent",
    ),
    "Copies for moving averages, data loader workers, `torch.save`": (
        "tests/capture/test_life_with_the_model.py::test_a_copy_for_a_moving_average_is_silent_and_the_original_is_not",
        "tests/capture/test_life_with_the_model.py::test_a_model_is_saved_whole_while_it_is_recorded",
        "tests/capture/test_life_with_the_model.py::test_workers_of_a_data_loader_may_hold_the_recorded_model",
    ),
    "Modules are replaced, added or removed while recording": (
        "tests/capture/test_life_with_the_model.py::test_a_module_that_is_replaced_is_recorded_at_once",
        "tests/capture/test_life_with_the_model.py::test_a_layer_that_is_added_is_recorded_and_described",
        "tests/capture/test_life_with_the_model.py::test_a_layer_that_is_removed_is_recorded_as_long_as_it_was_there",
    ),
    "Scripted, traced and exported modules never call hooks": (
        "tests/capture/test_life_with_the_model.py::test_a_scripted_model_is_refused",
        "tests/capture/test_life_with_the_model.py::test_scripted_parts_are_left_out_with_a_reason_and_the_rest_is_read",
        "tests/capture/test_compile.py::test_models_without_a_python_forward_are_refused",
    ),
    "`torch.func` transforms and vmap": (
        "tests/capture/test_life_with_the_model.py::test_a_call_inside_torch_func_is_left_out_with_a_reason",
        "tests/capture/test_life_with_the_model.py::test_a_layer_mapped_inside_of_a_model_is_left_out_and_the_rest_is_read",
    ),
    "Several threads call the model": (
        "tests/capture/test_life_with_the_model.py::test_threads_that_call_the_model_at_once_spoil_no_number",
    ),
    "Weights that are elsewhere until they are needed (offloading, meta device)": (
        "tests/capture/test_hooks.py::test_weights_on_the_meta_device_have_a_reason",
    ),
    "A compiled model ignores hooks, or breaks its graph at them": (
        "tests/capture/test_compile.py::test_compiled_tables_are_those_of_eager_in_one_graph_without_a_break",
        "tests/capture/test_compile.py::test_every_way_to_compile_gives_the_table_of_eager",
    ),
    "Hooks are registered after the first compiled call": (
        "tests/capture/test_compile.py::test_a_model_that_was_called_before_the_recording_compiles_again_with_a_warning",
        "tests/capture/test_compile.py::test_hooks_that_do_not_run_are_noticed_after_the_step_and_run_in_the_next",
    ),
    "A second instance of a compiled class shares its code": (
        "tests/capture/test_compile.py::test_a_second_instance_of_a_compiled_class_compiles_again_with_a_warning",
    ),
    "Global and root hooks see the compiled wrapper": (
        "tests/capture/test_compile.py::test_structure_and_taps_are_those_of_eager",
    ),
    "Backward hooks break compiled graphs": (
        "tests/capture/test_compile.py::test_explain_finds_one_graph_and_no_break_in_a_hooked_model",
    ),
    "CUDA graphs replay kernels and no Python": (
        "tests/capture/test_compile.py::test_cuda_graphs_are_named",
    ),
    "Functional merges in compiled code": (
        "tests/capture/test_compile.py::test_functional_merges_have_a_reason_and_layers_have_their_rows",
    ),
    "Each rank sees its shard of the batch": (
        "tests/capture/test_distributed.py::test_two_ranks_record_what_one_process_records_of_the_whole_batch",
        "tests/capture/test_distributed.py::test_uneven_shards_count_by_their_samples",
    ),
    "One collective per statistic is slow": (
        "tests/capture/test_distributed.py::test_a_step_costs_one_small_and_one_packed_collective",
    ),
    "Sharded parameters (FSDP2), empty shards": (
        "tests/capture/test_distributed.py::test_two_ranks_record_what_one_process_records_of_the_whole_batch",
        "tests/capture/test_distributed.py::test_a_shard_may_be_empty",
    ),
    "Partitioned parameters (FSDP1, DeepSpeed ZeRO)": (
        "tests/capture/test_distributed.py::test_partitioned_weights_are_not_captured_with_a_reason",
    ),
    "`nn.DataParallel` runs copies in threads": (
        "tests/capture/test_distributed.py::test_data_parallel_threads_are_refused_with_a_way_out",
    ),
    "Ranks that ran different layers (branches, pipeline, tensor parallelism)": (
        "tests/capture/test_distributed.py::test_a_layer_that_one_rank_skipped_keeps_the_number_of_the_other",
        "tests/capture/test_distributed.py::test_tensor_parallel_outputs_stay_with_their_ranks_and_shards_of_weights_merge",
    ),
    "A rank raises, dies, or records alone": (
        "tests/capture/test_distributed.py::test_nobody_waits_for_a_rank_that_takes_no_part",
        "tests/capture/test_distributed.py::test_a_rank_that_dies_leaves_the_others_recording",
        "tests/capture/test_distributed.py::test_a_rank_that_records_alone_waits_once_and_says_so",
    ),
    "BatchNorm couples the samples of each rank": (
        "tests/capture/test_distributed.py::test_batch_normalisation_is_said_to_see_its_own_batch_only",
    ),
    "Blocks of anyone's network, in-place sums, transformers, three operands": (
        "tests/capture/test_merges.py::test_a_post_activation_resnet_with_in_place_additions",
        "tests/capture/test_merges.py::test_a_pre_norm_transformer_layer_is_one_block_with_two_branches",
        "tests/capture/test_merges.py::test_two_branches_that_share_a_norm_join_one_merge",
    ),
    "Gates (Highway)": (
        "tests/capture/test_merges.py::test_highway_gates_are_reported_as_parallel_branches",
    ),
    "Dense concatenations": (
        "tests/capture/test_merges.py::test_dense_blocks_are_reported_as_concatenations",
    ),
    "Rotary embeddings, tanh-GELU": (
        "tests/capture/test_merges.py::test_arithmetic_of_rotary_kind_is_no_merge",
    ),
    "Merges that no paper calls blocks, in-place sums on views, short unrolled recurrences": (
        "tests/capture/test_merges.py::test_a_pattern_overrides_what_provenance_finds",
    ),
    "A long recorded run fills the memory": (
        "tests/test_run_directory.py::test_a_long_run_is_held_in_the_memory_of_one_part",
        "tests/test_run_directory.py::test_memory_does_not_grow_over_two_thousand_recorded_steps",
    ),
    "The run is killed": (
        "tests/test_run_directory.py::test_a_run_that_is_killed_loses_what_was_not_written_and_no_more",
    ),
    "The disk is full, or the folder cannot be written": (
        "tests/test_run_directory.py::test_a_full_disk_is_told_with_the_file_and_loses_no_row",
        "tests/test_run_directory.py::test_a_folder_that_cannot_be_made_is_named_before_the_first_step",
    ),
    "Two recordings are to write one folder": (
        "tests/test_run_directory.py::test_a_directory_with_a_recording_is_refused_and_left_alone",
        "tests/test_run_directory.py::test_a_directory_that_another_recording_took_meanwhile_is_refused",
    ),
    "Reading every layer in every step is too slow": (
        "tests/capture/test_schedule.py::test_the_recorded_steps_are_those_of_the_schedule_and_the_others_have_no_hook",
        "tests/capture/test_turns.py::test_layers_that_rest_carry_no_hooks",
    ),
    "Activations are too large to be read whole": (
        "tests/capture/test_sampling.py::test_as_many_whole_samples_are_read_as_fit_and_the_row_says_so",
    ),
    "There is no compiler for the C kernel": (
        "tests/kernels/test_native.py::test_without_the_kernel_every_tensor_is_left_unread_and_the_reason_is_told",
    ),
    "A training is killed at any moment": (
        "tests/training/test_kills.py::test_twenty_kills_lose_nothing_beyond_an_interval_and_change_nothing",
    ),
    "A divergence follows within a look or two of its cause (a bad batch, a rate times 30)": (
        "tests/early_warning/test_rules.py::test_courses_need_ten_recorded_steps",
        "tests/early_warning/test_watch.py::test_what_is_recorded_more_often_is_looked_at_one_step_in_ten",
    ),
    "Sharded parameters with unit-wise clipping, averages, float16 or compilation": (
        "tests/training/test_parallel.py::test_what_shards_do_not_allow_is_named",
    ),
    "Processes whose recordings tell different things": (
        "tests/training/test_parallel.py::test_ranks_stop_together",
    ),
}
