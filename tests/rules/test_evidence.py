"""What rules are shown of a recording: which rows, which layers, which quantities."""

import collections
import math

import numpy as np
import pandas as pd
import pytest

from sppkit.recording import Recording, combine
from sppkit.rules.evidence import Evidence
from tests.rules.frames import UNITS, Layer, chain, recording


def edited(network, edit):
    """Change the table of a recording."""
    table = network.table()
    return Recording.from_frames(edit(table), network.structure(), network.metadata)


def evidence_of(layers, **arguments):
    return Evidence.of(recording(layers, **arguments))


def residual(count=2, **structure):
    """A stem, blocks whose branch ends in a layer, and a head."""
    layers = [Layer("stem", structure={"tap": "stem", "block": 0})]
    for number in range(1, count + 1):
        end = Layer(f"{number}.f")
        end.structure = {
            "tap": "residual branch", "block": number, "constant": 1.0, "gains": "",
            "merge": f"{number}:add#1", **structure,
        }  # fmt: skip
        block = Layer(str(number), weight=None)
        block.structure = {"tap": "block", "block": number, "fan_in": None, "role": "container"}
        layers += [end, block]
    return [*layers, Layer("head")]


# -- which rows ------------------------------------------------------------------------------------


def test_the_first_step_is_judged():
    later = edited(recording(chain(4)), lambda t: t.assign(step=5, second_moment=9.0))
    first = edited(recording(chain(4)), lambda t: t.assign(step=3))
    both = edited(first, lambda t: pd.concat([later.table(), t]))
    assert Evidence.of(both).activation("second_moment").typical == pytest.approx(
        [math.log10(2.0)] * 3
    )


def test_of_several_ranks_the_lowest_is_judged():
    ranks = [recording(chain(4)).table().assign(rank=rank, step=3) for rank in (1, 0)]
    ranks[0]["second_moment"] = 9.0
    both = edited(recording(chain(4)), lambda t: pd.concat(ranks))
    assert set(Evidence.of(both).table["rank"]) == {0}


def test_a_first_step_in_which_the_ranks_parted_is_judged_by_its_own_lowest_rank():
    parted = recording(chain(4)).table().assign(rank=0, step=0)
    merged = recording(chain(4)).table().assign(rank=-1, step=1)
    evidence = Evidence.of(edited(recording(chain(4)), lambda t: pd.concat([parted, merged])))
    assert evidence.observed
    assert (set(evidence.table["rank"]), set(evidence.table["step"])) == ({0}, {0})


def test_of_several_runs_one_is_cut_out():
    two = combine([recording(chain(3)), recording(chain(5))])
    evidence = Evidence.of(two, "net #2")
    assert evidence.run == "net #2"
    assert set(evidence.table["run"]) == set(evidence.structure["run"]) == {"net #2"}
    assert len(evidence.weighted) == 5


@pytest.mark.parametrize(
    ("phases", "shown"),
    [(("probe", "train", "eval"), "probe"), (("train", "eval"), "train"), (("eval",), "eval")],
)
def test_curves_are_those_of_the_first_phase_of_probe_train_and_eval(phases, shown):
    rows = recording(chain(4), loss=False).table()
    network = edited(
        recording(chain(4)), lambda t: pd.concat([rows.assign(phase=p) for p in phases])
    )
    assert set(Evidence.of(network).curves["phase"]) == {shown}


def test_gradients_of_a_loss_are_those_of_the_check_or_of_training_and_of_no_probe():
    both = recording(chain(4))
    assert set(Evidence.of(both).under_loss["phase"]) == {"loss"}
    trained = edited(both, lambda t: t.assign(phase="train"))
    assert set(Evidence.of(trained).under_loss["phase"]) == {"train"}
    assert len(Evidence.of(recording(chain(4), loss=False)).under_loss) == 0


def test_a_training_step_is_one_under_a_loss_whatever_the_metadata_say():
    silent = {"loss": "unit-gradient"}
    probed = recording(chain(4), loss=False, metadata=silent)
    assert not Evidence.of(probed).has_loss
    assert Evidence.of(edited(probed, lambda t: t.assign(phase="train"))).has_loss
    told = recording(chain(4), loss=False, metadata={"loss": {"kind": "cross-entropy"}})
    assert Evidence.of(told).has_loss


def test_a_recording_without_activations_observed_nothing():
    network = recording(chain(4))
    weights = edited(network, lambda t: t[t["signal"] == "weight"])
    assert Evidence.of(network).observed
    assert not Evidence.of(weights).observed


# -- which layers ----------------------------------------------------------------------------------


def test_weighted_layers_have_a_fan_in_and_were_called_and_stand_in_order_of_execution():
    layers = chain(5)
    layers[1].structure["fan_in"] = None
    layers[2].structure["depth"] = None
    layers[3].structure["depth"] = 90
    assert list(evidence_of(layers).weighted["layer"]) == ["0", "4", "3"]


def test_the_head_is_the_last_of_several_weighted_layers():
    evidence = evidence_of(chain(4))
    assert (evidence.head, evidence.hidden) == ("3", ("0", "1", "2"))
    alone = evidence_of(chain(1))
    assert (alone.head, alone.hidden) == ("", ("0",))
    assert evidence_of(chain(2)).head == "1"


def test_a_last_layer_within_a_block_is_no_head():
    layers = residual()
    assert evidence_of(layers).head == "head"
    without = evidence_of(layers[:-1])
    assert (without.head, without.hidden) == ("", ("stem", "1.f", "2.f"))


def test_a_normalisation_behind_a_layer_takes_its_place_in_the_stream():
    layers = chain(5)
    layers[1].structure["normalised_after"] = True
    layers[2].structure["normalised_after"] = None  # not known
    norm = Layer("norm", weight=None, structure={"computes": "batch_norm", "fan_in": None})
    relu = Layer("relu", weight=None, structure={"computes": None, "fan_in": None})
    evidence = evidence_of([*layers[:2], norm, relu, *layers[2:]])
    assert evidence.normalised == {"1"}
    assert evidence.activation("second_moment").layers == ("0", "norm", "2", "3")


def test_the_stream_of_a_residual_network_is_its_stem_and_blocks():
    evidence = evidence_of(residual())
    assert evidence.has_blocks
    assert evidence.activation("second_moment").layers == ("stem", "1", "2")
    assert not evidence_of(chain(3)).has_blocks


def test_rows_that_repeat_the_output_of_another_layer_are_left_out():
    network = edited(
        recording(chain(5)),
        lambda t: t.assign(flags=t["flags"].astype(object).where(t["layer"] != "2", "alias of 1")),
    )
    evidence = Evidence.of(network)
    assert set(evidence.outputs["layer"]) == {"0", "1", "3", "4"}
    assert evidence.of_hidden("second_moment").layers == ("0", "1", "3")


def test_outputs_are_activations_of_leaves():
    evidence = evidence_of(residual())
    assert set(evidence.outputs["layer"]) == {"stem", "1.f", "2.f", "head"}
    assert set(evidence.outputs["signal"]) == {"activation"}


def test_file_and_line_are_those_of_the_layers_class_where_they_are_known():
    layers = chain(3)
    layers[1].structure |= {"file": None, "line": None}
    layers[2].structure |= {"line": None}
    evidence = evidence_of(layers)
    assert evidence.source("0") == ("net.py", 7)
    assert evidence.source("1") == ("", None)
    assert evidence.source("2") == ("net.py", None)
    assert evidence.source("elsewhere") == ("", None)


def test_file_and_line_of_a_layer_of_a_package_are_those_of_the_users_class_around_it():
    torchs = {"file": "/venv/lib/site-packages/torch/nn/linear.py", "line": 50}
    pythons = {"file": collections.__file__, "line": 60}
    layers = chain(3)
    layers[0].structure = {**torchs, "parent": "1"}
    layers[1].structure = {**pythons, "parent": "2"}
    layers[2].structure = {"file": "net.py", "line": 7, "parent": None}
    evidence = evidence_of(layers)
    twice = pd.concat([evidence.structure, evidence.structure])  # as of two calls
    for structure in (evidence.structure, twice):
        told = Evidence(evidence.run, evidence.table, structure, evidence.metadata)
        assert told.source("0") == told.source("1") == ("net.py", 7)
    layers[1].structure["parent"] = None
    assert evidence_of(layers).source("0") == ("", None)


def test_file_and_line_are_not_those_of_an_operation_within_the_layer():
    network = recording(chain(2))
    structure = network.structure()
    operation = structure.iloc[[1]].assign(operation="add#1", line=99)
    both = pd.concat([operation, structure])
    evidence = Evidence.of(Recording.from_frames(network.table(), both, network.metadata))
    assert evidence.source("1") == ("net.py", 7)


# -- gradients -------------------------------------------------------------------------------------


def test_the_backward_curve_is_the_squared_norm_of_the_gradient_at_each_place():
    layers = chain(4)
    layers[1].gradient = 3e-4
    values = 10**-4.0 * UNITS * 16
    network = recording(layers)
    for order in (1, -1):  # whatever row is the last of its place
        evidence = Evidence.of(edited(network, lambda t, order=order: t[::order]))
        assert evidence.backward.values[0] == pytest.approx([values, 3 * values, values])


def with_output(*tensors, **values):
    """Add what the whole network returns to a chain of three layers."""
    network = recording(chain(3))

    def edit(table):
        last = table[(table["layer"] == "2") & (table["role"] == "leaf")]
        made = [last.assign(layer="", role="container", depth=-1, tensor=t) for t in tensors]
        return pd.concat([table, *[rows.assign(**values) for rows in made]])

    return Evidence.of(edited(network, edit))


def test_a_network_of_several_outputs_returns_several_tensors():
    assert with_output("0", "1").has_several_outputs
    assert not with_output("").has_several_outputs
    assert not with_output().has_several_outputs
    # an operation of the root and a gradient are no output
    assert not with_output("0", "1", operation="add#1").has_several_outputs
    assert not with_output("0", "1", signal="gradient").has_several_outputs


def test_a_layer_of_several_tensors_does_not_make_a_network_of_several_outputs():
    network = recording(chain(3))

    def edit(table):
        rows = table[(table["layer"] == "1") & (table["role"] == "leaf")]
        return pd.concat([table, rows.assign(tensor="1")])

    assert not Evidence.of(edited(network, edit)).has_several_outputs


def test_energy_is_added_up_over_the_tensors_and_calls_of_a_layer():
    evidence = with_output("0", "1")
    one = 1e-4 * UNITS * 16 * 2.0
    assert evidence.energy_of("1") == pytest.approx([one] * 3)
    assert evidence.energy_of("") == pytest.approx([2 * one] * 3)


def test_energy_of_the_output_is_that_of_no_operation_at_the_root():
    evidence = with_output("")
    operation = evidence.table[evidence.table["layer"] == ""].assign(operation="add#1", depth=5)
    table = pd.concat([evidence.table, operation])
    more = Evidence(evidence.run, table, evidence.structure, evidence.metadata)
    assert more.energy_of("").tolist() == evidence.energy_of("").tolist()


def test_energy_is_that_of_the_tensors_whose_gradient_is_known():
    evidence = with_output("0", "1")
    one = (evidence.table["tensor"] == "1") & (evidence.table["signal"] == "gradient")
    table = evidence.table.assign(second_moment=evidence.table["second_moment"].mask(one))
    known = Evidence(evidence.run, table, evidence.structure, evidence.metadata)
    assert known.energy_of("") == pytest.approx(evidence.energy_of("") / 2)


def test_energy_is_undefined_where_no_gradient_was_seen():
    network = recording(chain(4))
    unseen = edited(network, lambda t: t[~((t["layer"] == "1") & (t["signal"] == "gradient"))])
    evidence = Evidence.of(unseen)
    assert np.isnan(evidence.energy_of("1")).tolist() == [True] * 3
    assert np.isnan(evidence.energy_of("elsewhere")).tolist() == [True] * 3
    of_one_seed = edited(
        network,
        lambda t: t[~((t["layer"] == "1") & (t["signal"] == "gradient") & (t["seed"] == 1))],
    )
    assert np.isnan(Evidence.of(of_one_seed).energy_of("1")).tolist() == [False, True, False]


def test_energy_is_undefined_where_not_all_calls_have_a_gradient():
    network = recording(chain(4))

    def edit(table):
        rows = table[(table["layer"] == "1") & (table["signal"] == "activation")]
        return pd.concat([table, rows.assign(call=1)])

    assert np.isnan(Evidence.of(edited(network, edit)).energy_of("1")).all()


def of_weight_gradients(edit):
    return list(
        dict.fromkeys(Evidence.of(edited(recording(chain(4)), edit)).weight_gradients["layer"])
    )


@pytest.mark.parametrize(
    ("column", "value"), [("channels", 1), ("samples", 1), ("depth", None)], ids=str
)
def test_gradients_of_vectors_and_of_layers_never_called_are_none_of_weight_matrices(column, value):
    def edit(table, value=value):
        chosen = (table["layer"] == "1") & (table["signal"] == "weight gradient")
        return table.assign(**{column: table[column].where(~chosen, value)})

    assert of_weight_gradients(edit) == ["0", "2", "3"]
    if value == 1:  # of two rows or columns it is a matrix
        assert of_weight_gradients(lambda t: edit(t, 2)) == ["0", "1", "2", "3"]


def test_of_a_training_step_only_the_gradients_of_weights_are_weight_gradients():
    training = edited(recording(chain(4)), lambda t: t.assign(phase="train"))
    assert set(Evidence.of(training).weight_gradients["signal"]) == {"weight gradient"}


def test_a_head_is_zero_where_its_weight_is_in_all_seeds_whatever_its_bias_and_gradient():
    layers = chain(4)
    layers[3].weight = 0.0
    assert not evidence_of(chain(4)).zero_head
    assert evidence_of(layers).zero_head

    def training_with_a_bias(table):
        weight = table[(table["layer"] == "3") & (table["signal"] == "weight")]
        bias = weight.assign(tensor="bias", second_moment=1.0)
        return pd.concat([table, bias]).assign(phase="train")

    assert Evidence.of(edited(recording(layers), training_with_a_bias)).zero_head
    table = recording(layers).table()
    awake = (table["seed"] == 1) & (table["signal"] == "weight") & (table["layer"] == "3")
    drawn = edited(
        recording(layers), lambda t: t.assign(second_moment=t["second_moment"].mask(awake, 1.0))
    )
    assert not Evidence.of(drawn).zero_head


def test_gradients_inside_silent_branches_are_left_out():
    gains = {"gains": "1.gain, 1.scale"}
    layers = residual(**gains)
    layers.insert(1, Layer("1.first"))
    silent = evidence_of(layers, metadata={"silent_residual_gains": ["1.scale"]})
    # both branches name the gain; that of the second belongs to the module "2"
    assert set(silent.weight_gradients["layer"]) == {"stem", "head"}
    assert set(evidence_of(layers).weight_gradients["layer"]) == {
        *("stem", "1.first", "1.f", "2.f", "head"),
    }


def test_gradients_inside_branches_that_end_in_a_zero_weight_are_left_out():
    layers = residual()
    layers.insert(1, Layer("1.first"))
    layers.append(Layer("10.first"))  # of no module "1"
    silent = evidence_of(layers, metadata={"silent_residual_weights": ["1.f.weight"]})
    assert set(silent.weight_gradients["layer"]) == {"stem", "2.f", "head", "10.first"}


def test_a_branch_that_the_root_merges_has_no_owner():
    silent = evidence_of(
        residual(merge=":add#1"), metadata={"silent_residual_weights": ["1.f.weight"]}
    )
    assert set(silent.weight_gradients["layer"]) == {"stem", "1.f", "2.f", "head"}


def test_gradients_of_zero_are_left_out_where_something_silent_explains_them():
    layers = chain(5, weight_gradient=0.0)
    layers[1].weight_gradient = 1e-3
    silent = {"silent_residual_gains": ["2.gain"]}
    found = evidence_of(layers, metadata=silent).gradient_norms.values[0]
    assert np.isnan(found).tolist() == [True, False, True, True, True]
    assert evidence_of(layers).gradient_norms.values[0].tolist() == [
        *(0.0, pytest.approx(1e-3 * UNITS), 0.0, 0.0, 0.0),
    ]


def test_gradients_of_zero_everywhere_are_not_explained_by_something_silent():
    silent = {"silent_residual_gains": ["2.gain"]}
    layers = chain(5, weight_gradient=0.0)
    assert (evidence_of(layers, metadata=silent).gradient_norms.values == 0).all()
    layers[-1].weight_gradient = 1e-3  # that of the head needs nothing to pass
    assert (evidence_of(layers, metadata=silent).gradient_norms.values[:, :-1] == 0).all()
    layers[-1].weight = 0.0
    norms = evidence_of(layers, metadata=silent).gradient_norms.values
    assert np.isnan(norms[:, :-1]).all()


def test_a_weight_of_zero_explains_gradients_of_zero_too():
    layers = chain(5, weight_gradient=0.0)
    layers[1].weight_gradient = 1e-3
    layers[3].weight = 0.0
    evidence = evidence_of(layers)
    assert evidence.zero_weights == {"3"}
    assert evidence.starts_silent
    assert np.isnan(evidence.gradient_norms.values[:, 2:]).all()


@pytest.mark.parametrize(
    ("changes", "zero"),
    [
        ({}, True),
        ({"signal": "effective weight"}, True),
        ({"signal": "weight gradient"}, False),
        ({"tensor": "bias"}, False),
    ],
    ids=str,
)
def test_a_layer_whose_stored_or_used_weight_is_zero_is_known(changes, zero):
    layers = chain(4)
    layers[1].weight = 0.0
    layers[1].weight_gradient = None

    def edit(table):
        chosen = (table["layer"] == "1") & (table["signal"] == "weight")
        return pd.concat([table[~chosen], table[chosen].assign(**changes)])

    assert Evidence.of(edited(recording(layers), edit)).zero_weights == ({"1"} if zero else set())


def test_relative_gradients_of_weights_of_zero_are_undefined():
    network = edited(
        recording(chain(4)),
        lambda t: t.assign(
            norm_to_weight_ratio=t["norm_to_weight_ratio"].where(t["layer"] != "1", np.inf)
        ),
    )
    ratios = Evidence.of(network).relative_gradients.values[0]
    assert (
        ratios.tolist()
        == [pytest.approx(4e-4), pytest.approx(math.nan, nan_ok=True)] + [pytest.approx(4e-4)] * 2
    )


# -- the loss and the output -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "ratios"),
    [
        ({"chance": 2.0, "values": {"0": 6.0, "2": 3.0}}, [3.0, math.nan, 1.5]),
        ({"chance": 0.5, "values": {"1": 1.0}}, [math.nan, 2.0, math.nan]),
        ({"chance": 0.0, "values": {"0": 6.0}}, [math.nan] * 3),
        ({"chance": -1.0, "values": {"0": 6.0}}, [math.nan] * 3),
        ({"chance": None, "values": {"0": 6.0}}, [math.nan] * 3),
        ({"values": {"0": 6.0}}, [math.nan] * 3),
        ("unit-gradient", [math.nan] * 3),
        (None, [math.nan] * 3),
    ],
)
def test_the_first_loss_is_divided_by_that_of_chance_where_both_are_known(stated, ratios):
    found = evidence_of(chain(4), metadata={"loss": stated}).loss_over_chance()
    np.testing.assert_array_equal(found, ratios)


def test_the_output_is_what_the_metadata_state():
    stated = {"0": {"second_moment": 4.0, "variance_across_samples": 1.0}, "2": {}}
    evidence = evidence_of(chain(4), metadata={"output": stated})
    np.testing.assert_array_equal(evidence.output("second_moment"), [4.0, np.nan, np.nan])
    np.testing.assert_array_equal(evidence.share_across_samples(), [0.25, np.nan, np.nan])


def test_without_a_statement_the_output_is_that_of_the_table_the_first_tensor_of_it():
    evidence = with_output("0", "1", second_moment=8.0, average_channel_variance=2.0)
    stated = dict(evidence.metadata, output={})
    told = Evidence(evidence.run, evidence.table, evidence.structure, stated)
    assert told.output("second_moment").tolist() == [8.0] * 3
    assert told.output("variance_across_samples").tolist() == [2.0] * 3
    second = told.table["tensor"] == "1"
    changed = told.table.assign(second_moment=told.table["second_moment"].where(~second, 99.0))
    of_two = Evidence(told.run, changed, told.structure, stated)
    assert of_two.output("second_moment").tolist() == [8.0] * 3
    gradients = told.table[told.table["layer"] == ""].assign(signal="gradient", second_moment=7.0)
    of_both = Evidence(told.run, pd.concat([gradients, told.table]), told.structure, stated)
    assert of_both.output("second_moment").tolist() == [8.0] * 3
    without = Evidence(told.run, told.table[told.table["layer"] != ""], told.structure, stated)
    assert np.isnan(without.output("second_moment")).all()


def test_an_output_of_zero_has_no_share_that_differs_between_samples():
    layers = chain(4)
    layers[-1].second_moment = layers[-1].variance = 0.0
    assert evidence_of(layers).share_across_samples().tolist() == [0.0] * 3


@pytest.mark.parametrize(("share", "muted"), [(0.99e-3, True), (1.01e-3, False)])
def test_an_output_is_muted_where_branches_are_silent_and_it_hardly_differs(share, muted):
    layers = chain(4)
    layers[-1].variance = share * layers[-1].second_moment
    silent = evidence_of(layers, metadata={"silent_residual_gains": ["1.gain"]})
    assert silent.is_muted is muted
    assert np.isnan(silent.share_across_samples()).all() == muted
    assert not evidence_of(layers).is_muted


def test_one_seed_that_hardly_differs_mutes_the_output():
    stated = {
        str(seed): {"second_moment": 1.0, "variance_across_samples": share}
        for seed, share in enumerate((0.5, 1e-6, 0.5))
    }
    metadata = {"silent_residual_gains": ["1.gain"], "output": stated}
    assert evidence_of(chain(4), metadata=metadata).is_muted


def test_batch_normalisations_are_counted_in_train_mode_only():
    norms = [
        Layer(name, weight=None, structure={"computes": "batch_norm", "fan_in": None})
        for name in ("a", "b")
    ]
    layers = [*norms, *chain(3)]
    assert evidence_of(layers).batch_normalisations == 2
    assert evidence_of(layers, metadata={"mode": "eval"}).batch_normalisations == 0


def test_a_head_of_zero_is_known_by_its_weight():
    layers = chain(4)
    assert not evidence_of(layers).zero_head
    layers[-1].weight = 0.0
    assert evidence_of(layers).zero_head
    layers[-1].weight = None
    assert not evidence_of(layers).zero_head


# -- a rehearsal of training -----------------------------------------------------------------------


def rehearsed(*errors, **stated):
    values = {str(seed): {"error": e, "loss": 2 * e} for seed, e in enumerate(errors)}
    return evidence_of(chain(4), metadata={"rehearsal": {"values": values, **stated}})


def test_seeds_that_were_not_rehearsed_take_the_median_of_those_that_were():
    assert rehearsed(0.25, 0.75).rehearsed("error").tolist() == [0.25, 0.75, 0.5]
    assert rehearsed(0.25, 0.75).rehearsed("loss").tolist() == [0.5, 1.5, 1.0]
    assert np.isnan(evidence_of(chain(4)).rehearsed("error")).all()


@pytest.mark.parametrize(
    ("error", "progressed", "succeeded"),
    [(0.25, True, True), (0.2501, True, False), (0.5, True, False), (0.5001, False, False)],
)
def test_a_rehearsal_succeeds_at_a_quarter_of_chance_and_progresses_at_half(
    error, progressed, succeeded
):
    evidence = rehearsed(error)
    assert evidence.rehearsal_progressed is progressed
    assert evidence.rehearsal_succeeded is succeeded


def test_without_a_rehearsal_nothing_succeeded_and_the_reason_is_told():
    without = evidence_of(chain(4))
    assert not without.rehearsal_progressed
    assert without.not_rehearsed == "none was recorded"
    assert rehearsed(left_out="no labels").not_rehearsed == "no labels"
    assert rehearsed(0.3, left_out="").not_rehearsed == ""
