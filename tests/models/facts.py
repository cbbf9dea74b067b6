"""What the papers and released code of the field say, item by item, and the tests that prove it.

D: Designing Normalizer-Free EfficientNets, Dewyse, 2025, and its tools. E: EUNNet, Nguyen, Choi,
Yang, 2023. B: "BNN - BN = ?", Chen et al., 2021. N: NF-ResNets and NFNets, Brock et al., 2021, with
SkipInit and Fixup. G: Training deep neural networks without batch normalization, Gaur, Folz,
Dengel, 2020. S: what tools that draw signal propagation plots must do.

A test says in its name or docstring which items it proves; `test_facts.py` holds both against each
other.
"""

from typing import NamedTuple


class Fact(NamedTuple):
    """One item.

    Attributes:
        statement: what is so.
        tests: "file::test" below `tests`, those that prove it.
        not_applicable: why there is nothing to test, where there is not.
    """

    statement: str
    tests: tuple[str, ...] = ()
    not_applicable: str = ""


FACTS: dict[str, Fact] = {
    # -- Dewyse
    "D1": Fact(
        "statistics per channel of any rank from 2, with the channel axis known",
        ("models/test_published_items.py::test_statistics_of_vectors_are_per_channel",),
    ),
    "D2": Fact(
        "pooled statistics of matrices change at a flattening, those per channel do not",
        (
            "models/test_published_items.py::test_statistics_per_channel_do_not_jump_where_a_map_is_flattened",
            "exchange/test_training_log.py::test_flattening_changes_nothing_by_channel_and_jumps_in_their_convention",
            "exchange/test_training_log.py::test_in_their_convention_our_numbers_are_theirs",
        ),
    ),
    "D3": Fact(
        "outputs, inputs, their gradients, parameters and their gradients are told apart",
        (
            "models/test_published_items.py::test_weights_show_their_initialisation",
            "models/test_scaled_standardization.py::test_the_recorder_reads_the_effective_weight_beside_the_stored_one",
        ),
    ),
    "D4": Fact(
        "gradients of a mean loss depend on the batch size, per-sample ones do not",
        (
            "models/test_published_items.py::test_gradients_of_a_mean_loss_carry_the_square_of_the_batch_size",
        ),
    ),
    "D5": Fact(
        "results of functions are read: block, branch end, gate, merge",
        (
            "models/test_published_items.py::test_a_branch_that_ends_with_an_inner_gate_is_read_behind_it",
            "models/test_branch_layers.py::test_the_branch_of_a_residual_block_is_read_before_gain_and_drop",
        ),
    ),
    "D6": Fact(
        "in-place layers, shared layers, any rank and output; the model left as found",
        ("models/test_published_items.py::test_a_probe_leaves_no_hook_and_no_changed_buffer",),
    ),
    "D7": Fact(
        "reductions stay on the device; one transfer per step",
        ("models/test_published_items.py::test_no_value_is_fetched_while_a_step_runs",),
    ),
    "D8": Fact(
        "one tidy table, which survives NaN, inf and files",
        (
            "test_recording.py::test_the_key_is_unique_and_the_columns_are_the_documented_ones",
            "test_recording.py::test_values_that_are_not_finite_survive_the_disk",
            "exchange/test_training_log.py::test_what_ast_cannot_evaluate_is_read",
        ),
    ),
    "D9": Fact(
        "plots by signal and statistic, over depth and over steps, with seeds and theory",
        (
            "plots/test_signal_propagation.py::test_three_panels_hold_the_means_over_seeds",
            "plots/test_signal_propagation.py::test_bands_reach_from_the_tenth_to_the_ninetieth_percentile",
            "plots/test_signal_propagation.py::test_black_dots_end_the_stages",
            "plots/test_signal_propagation.py::test_theory_is_a_thin_dashed_line_for_gaussian_input",
            "plots/test_signal_propagation.py::test_steps_of_a_training_run_can_be_chosen",
        ),
    ),
    "D10": Fact(
        "the thesis's networks: fully connected, convolutional, EfficientNet-B0",
        (
            "models/test_thesis_networks.py::test_parameters_of_the_plain_networks_d10",
            "models/test_efficientnet.py::test_parameters_of_efficientnet_d10",
        ),
    ),
    "D11": Fact(
        "its layers: SELU, magnitude-preserving sum and product, DyT, WS, SWS, SE",
        (
            "models/test_thesis_layers.py::test_the_constants_of_selu_d11",
            "models/test_thesis_layers.py::test_the_weighted_sum_keeps_the_variance_d11",
            "models/test_thesis_layers.py::test_the_gate_of_the_product_d11",
            "models/test_thesis_layers.py::test_dynamic_tanh_squashes_scales_and_shifts_d11",
        ),
    ),
    "D12": Fact(
        "initialisations that kill or explode EfficientNet are found, healthy ones pass",
        (
            "models/test_training_of_references.py::test_what_is_called_dead_is_dead",
            "models/test_efficientnet.py::test_first_and_last_block_of_the_thesis_variants_d12",
            "models/test_efficientnet.py::test_standardisation_without_the_fan_in_explodes_d12",
            "models/test_efficientnet.py::test_the_repair_of_un_step_by_step_d12",
            "models/test_efficientnet.py::test_at_64_pixels_the_late_stages_keep_more_d12",
        ),
    ),
    "D13": Fact(
        "explosion, vanishing, dead gradients and drift are detected",
        ("models/test_published_items.py::test_signals_that_explode_or_vanish_are_detected",),
    ),
    "D14": Fact(
        "the backward pass of batch normalisation scales by gamma over sigma",
        (
            "models/test_published_items.py::test_batch_normalisation_passes_gradients_back_by_gamma_over_sigma",
        ),
    ),
    "D15": Fact(
        "train against eval, several seeds",
        (
            "models/test_published_items.py::test_train_and_eval_are_probed_apart_over_several_seeds",
        ),
    ),
    # -- EUNNet
    "E1": Fact(
        "EUNConv standardises its whole input, so that a x + b leaves no trace",
        (
            "models/test_eun_layers.py::test_the_output_does_not_change_under_a_change_of_scale_and_offset_e1",
            "models/test_eun_layers.py::test_the_input_is_standardised_by_two_numbers_e1",
            "models/test_eun_layers.py::test_gradients_flow_through_the_two_numbers_e1",
        ),
    ),
    "E2": Fact(
        "its output has second moment 2 under He's initialisation",
        ("models/test_eun_layers.py::test_the_second_moment_of_the_output_is_two_e2",),
    ),
    "E3": Fact(
        "residual scale L^(-1/2), identity scale sqrt(b / (b + 1)), their product",
        (
            "models/test_rescaled_networks.py::test_scales_of_branch_and_skip_path_e3",
            "models/test_rescaled_networks.py::test_the_networks_have_these_scales_e3",
        ),
    ),
    "E4": Fact(
        "RescaleNet's scales and its bias that forgets a running mean",
        (
            "models/test_eun_layers.py::test_the_bias_takes_the_mean_of_the_first_eight_batches_e4",
            "models/test_rescaled_networks.py::test_weights_of_rescalenet_have_he_times_their_multiplier_e4",
            "models/test_eun_layers.py::test_hadamard_matrices_over_the_root_of_their_size_are_orthogonal_e4",
            "models/test_eun_layers.py::test_a_partial_identity_passes_the_first_channels_e4",
        ),
    ),
    "E5": Fact(
        "the share of active values of block outputs",
        (
            "models/test_rescaled_networks.py::test_the_density_of_activations_climbs_from_a_half_e5",
        ),
    ),
    "E6": Fact(
        "EUNNet-50, -101, -200 and ResNeXt forms have their numbers of parameters",
        ("models/test_rescaled_networks.py::test_parameters_of_eunnets_and_rescalenet_e6",),
    ),
    "E7": Fact(
        "whether a prediction depends on the other samples of its batch",
        (
            "models/test_eun_layers.py::test_a_prediction_depends_on_the_batch_in_evaluation_too_e7",
            "models/test_rescaled_networks.py::test_predictions_of_eunnet_depend_on_the_batch_e7",
        ),
    ),
    "E8": Fact(
        "its recipe",
        (
            "training/test_recipes.py::test_the_recipe_of_eunnet_e8",
            "training/test_mixup.py::test_samples_and_targets_are_blended_alike_e8",
        ),
    ),
    # -- BNN - BN
    "B1": Fact(
        "the gradient of the approximate sign, and the sign of zero",
        (
            "models/test_binary_layers.py::test_the_sign_of_zero_is_zero_b1",
            "models/test_binary_layers.py::test_the_gradient_of_the_sign_is_a_tent_b1",
        ),
    ),
    "B2": Fact(
        "binary convolution with scaled weight standardisation",
        (
            "models/test_binary_layers.py::test_the_magnitude_of_standardised_binary_weights_b2",
            "models/test_binary_layers.py::test_the_variance_of_binary_convolutions_of_signs_b2",
            "models/test_binary_layers.py::test_the_gain_stands_outside_and_is_learned_b2",
        ),
    ),
    "B3": Fact(
        "RSign, RPReLU, the two ladders",
        (
            "models/test_binary_layers.py::test_rsign_moves_its_threshold_per_channel_b3",
            "models/test_binary_layers.py::test_rprelu_is_a_prelu_with_a_movable_corner_b3",
            "models/test_reactnet.py::test_betas_of_reactnet_18_b3",
            "models/test_reactnet.py::test_betas_of_reactnet_a_b3",
            "models/test_reactnet.py::test_channels_are_doubled_by_two_branches_side_by_side_b3",
        ),
    ),
    "B4": Fact(
        "effective weights are read beside the stored ones",
        (
            "models/test_binary_layers.py::test_the_recorder_reads_binary_weights_beside_the_stored_ones_b4",
        ),
    ),
    "B5": Fact(
        "clipping by name, linear rate, two-stage loading, distillation",
        (
            "training/test_recipes.py::test_the_recipe_of_binary_networks_b5",
            "training/test_recipes.py::test_the_linear_rate_is_zero_in_the_last_epoch",
            "training/test_two_stages.py::test_a_second_stage_starts_from_the_weights_of_the_first_b5",
            "training/test_two_stages.py::test_what_is_not_shared_is_said_b5",
            "training/test_distillation.py::test_the_loss_is_the_cross_entropy_of_two_distributions_b5",
        ),
    ),
    "B6": Fact(
        "ReActNet-18 and -A in their variants",
        (
            "models/test_reactnet.py::test_parameters_of_reactnets_b6",
            "models/test_reactnet.py::test_what_is_binary_b6",
        ),
    ),
    # -- NF-ResNets, NFNets, SkipInit, Fixup
    "N1": Fact(
        "gains of nonlinearities, published and exact",
        (
            "models/test_published_items.py::test_published_gains_are_within_a_thousandth_of_the_exact_ones",
            "models/test_published_items.py::test_exact_gains",
        ),
    ),
    "N2": Fact(
        "variants of scaled weight standardisation",
        (
            "models/test_scaled_standardization.py::test_every_variant_agrees_on_the_worked_example",
            "models/test_scaled_standardization.py::test_the_unbiased_variance_shortens_filters",
            "models/test_scaled_standardization.py::test_eps_stands_where_its_place_says",
            "models/test_scaled_standardization.py::test_timms_convention_is_a_batch_normalisation_of_the_filters",
            "models/test_scaled_standardization.py::test_filters_of_one_weight_are_zero_with_a_warning_and_refused_where_unbiased",
        ),
    ),
    "N3": Fact(
        "the ladder of expected variances",
        (
            "models/test_published_items.py::test_the_ladder_of_the_authors_code",
            "models/test_nfnet.py::test_blocks_know_the_variance_that_enters",
            "test_entering_variance.py::test_deepminds_policy_is_that_of_the_ladder_n3",
            "test_entering_variance.py::test_inverse_betas_of_a_long_stage_n3",
            "test_entering_variance.py::test_first_blocks_can_go_uncredited_n3",
            "test_entering_variance.py::test_variances_can_grow_through_transitions_n3",
        ),
    ),
    "N4": Fact(
        "blocks with squeeze-and-excite, SkipInit, stochastic depth",
        (
            "models/test_nfnet.py::test_a_block_has_two_grouped_convolutions_and_squeeze_excite_at_the_end",
            "models/test_nfnet.py::test_stochastic_depth_grows_by_the_convention",
            "models/test_nf_regnet.py::test_branches_expand_what_enters_in_groups_of_8",
            "models/test_branch_layers.py::test_the_two_conventions_of_stochastic_depth",
        ),
    ),
    "N5": Fact(
        "Fixup and SkipInit",
        (
            "models/test_residual_initialization.py::test_scale_of_fixups_branches",
            "models/test_residual_initialization.py::test_weights_of_fixup_have_hes_deviation_by_fan_out_times_the_scale",
            "models/test_residual_initialization.py::test_a_block_of_skipinit_computes_the_formula",
        ),
    ),
    "N6": Fact(
        "adaptive gradient clipping",
        (
            "training/test_clipping.py::test_the_worked_cases",
            "training/test_clipping.py::test_clipping_twice_is_clipping_once",
            "training/test_clipping.py::test_units_are_output_units_in_every_layout",
            "training/test_clipping.py::test_excluded_parameters_are_left_alone",
        ),
    ),
    "N7": Fact(
        "three curves: after the stem and each merge, and at each branch's end",
        (
            "models/test_published_items.py::test_a_plot_of_fifty_layers_has_17_points_and_16_residual_ones",
        ),
    ),
    "N8": Fact(
        "theory by topology, with a correction for padding",
        (
            "test_propagation_of_references.py::test_nf_resnet50_follows_one_plus_i_alpha_squared_and_resets",
            "test_propagation_of_references.py::test_relu_bn_residual_networks_grow_by_one_per_block",
            "test_propagation_of_references.py::test_bn_relu_residual_networks_grow_by_one_minus_one_over_pi",
            "test_propagation_of_references.py::test_post_activation_residual_networks_follow_the_walk_of_rectified_sums",
            "test_theory.py::test_padding_factor_of_a_3x3",
        ),
    ),
    "N9": Fact(
        "silent branches are found, can be shown, and are restored",
        (
            "models/test_published_items.py::test_silent_branches_are_shown_on_request_and_restored",
            "models/test_residual_initialization.py::test_the_silence_of_skipinits_branches_is_said",
        ),
    ),
    "N10": Fact(
        "numbers of parameters",
        (
            "models/test_nfnet.py::test_parameters_are_the_published_ones",
            "models/test_nf_regnet.py::test_parameters_of_timms_convention_are_timms",
            "models/test_nf_resnet.py::test_published_parameter_counts",
            "zoo/test_reference_networks.py::test_normalizer_free_networks_compute_what_timms_do",
        ),
    ),
    # -- Gaur, Folz, Dengel
    "G1": Fact(
        "weight normalisation",
        (
            "models/test_branch_layers.py::test_weight_normalisation_changes_nothing_at_first",
            "models/test_branch_layers.py::test_weight_normalisation_separates_length_and_direction",
        ),
    ),
    "G2": Fact(
        "clipping by value, global norm and unit under one interface, with its rate",
        (
            "training/test_clipping.py::test_values_are_cut_at_the_limit_and_counted",
            "training/test_clipping.py::test_the_whole_gradient_is_scaled_to_the_limit_and_counted",
            "training/test_clipping.py::test_every_method_logs_its_rate_by_step",
        ),
    ),
    "G3": Fact(
        "arms with dropout",
        ("models/test_thesis_networks.py::test_dropout_can_be_switched_in_every_arm_g3",),
    ),
    "G4": Fact(
        "a grid of methods, networks and seeds makes one table",
        ("benchmarks/test_arms.py::test_the_grid_is_one_table_and_its_signal_propagation_g4",),
    ),
    # -- tools
    "S1": Fact(
        "what is read is read at once: a later in-place layer does not change it",
        (
            "models/test_published_items.py::test_what_is_read_is_not_changed_by_a_later_layer_in_place",
        ),
    ),
    "S2": Fact(
        "hooks are removed, on success and on failure",
        ("models/test_published_items.py::test_hooks_are_gone_after_success_and_after_failure",),
    ),
    "S3": Fact(
        "the mode of measuring is explicit, buffers are restored",
        ("models/test_published_items.py::test_a_probe_leaves_no_hook_and_no_changed_buffer",),
    ),
    "S4": Fact(
        "biased variance by default; few values are said",
        ("models/test_published_items.py::test_variances_are_biased",),
    ),
    "S5": Fact(
        "names, order and calls; a pattern that matches nothing is refused",
        (
            "models/test_published_items.py::test_names_order_and_calls_are_told_and_a_pattern_without_match_is_refused",
        ),
    ),
    "S6": Fact(
        "the user's batch or noise, with a seed, on the model's device",
        ("models/test_published_items.py::test_the_batch_is_the_users_or_noise_of_a_seed",),
    ),
    "S7": Fact(
        "matrices, sequences, volumes, tokens; lists of other tools",
        (
            "models/test_published_items.py::test_channels_are_found_in_every_rank",
            "exchange/test_depth_lists.py::test_the_numbers_are_those_of_our_own_recording",
            "exchange/test_timm_statistics.py::test_the_three_lists_are_the_three_panels",
        ),
    ),
    "S8": Fact(
        "animations: labels, one scale, frames per second",
        (
            "plots/test_animation.py::test_each_step_is_drawn_as_the_plot_of_that_step_draws_it",
            "plots/test_animation.py::test_axes_stay_and_hold_the_values_of_all_steps",
            "plots/test_animation.py::test_a_gif_has_a_picture_for_each_step_holds_the_last_and_names_sppkit",
        ),
    ),
    "S9": Fact(
        "the post-activation ResNet's curve",
        (
            "test_propagation_of_references.py::test_post_activation_residual_networks_follow_the_walk_of_rectified_sums",
        ),
    ),
}
