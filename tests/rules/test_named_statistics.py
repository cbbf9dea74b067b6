"""The named statistics against the table itself, by pandas: one number per seed."""

import math

import numpy as np
import pandas as pd
import pytest

from sppkit.recording import Recording
from sppkit.rules.evidence import Evidence
from sppkit.rules.named import NAMED, OF_BATCH_NORM, named_by_seed, named_medians
from tests.rules.frames import UNITS, Layer, chain, recording
from tests.rules.test_evidence import evidence_of, residual, with_output

SEEDS = 4
LAYERS = [str(number) for number in range(6)]
HIDDEN = LAYERS[:-1]
COLUMNS = [
    *("second_moment", "average_channel_variance", "zero_fraction", "dead_channel_fraction"),
    *("kurtosis", "norm_to_weight_ratio"),
]

METADATA = {
    "loss": {
        "kind": "cross-entropy",
        "chance": 2.5,
        "values": {str(seed): 1.5 + seed for seed in range(SEEDS)},
    },
    "output": {
        str(seed): {"second_moment": 3.0 + seed, "variance_across_samples": 0.5 + 0.1 * seed}
        for seed in range(SEEDS)
    },
    "rehearsal": {
        "values": {str(seed): {"error": 0.3 + 0.1 * seed, "loss": 0.7} for seed in range(SEEDS)}
    },
}


def scattered(metadata=METADATA):
    """A chain at which every statistic of every layer and seed is another one."""
    network = recording(chain(6), seeds=SEEDS)
    table = network.table()
    table["kurtosis"] = table["kurtosis"].fillna(4.0)
    random = np.random.default_rng(0)
    for column in COLUMNS:
        table[column] = table[column].replace(0.0, 0.1) * random.lognormal(size=len(table))
    gradients = table["signal"] == "gradient"
    table.loc[gradients, "average_channel_variance"] = random.uniform(0, 1e-5, gradients.sum())
    return Recording.from_frames(table, network.structure(), {"net": metadata})


class Oracle:
    """Seeds in rows and layers in columns, of each signal and statistic."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    def __call__(self, signal, column, phase="probe"):
        rows = self._table[(self._table["signal"] == signal) & (self._table["phase"] == phase)]
        return rows.pivot(index="seed", columns="layer", values=column)[LAYERS].to_numpy()

    def activation(self, column):
        return self("activation", column)

    @property
    def gradient_norm(self):
        return UNITS * np.sqrt(self("weight gradient", "second_moment", "loss"))

    @property
    def relative(self):
        return self("weight gradient", "norm_to_weight_ratio", "loss")

    @property
    def backward(self):
        return self("gradient", "second_moment") * UNITS * 16

    @property
    def share(self):
        return (self.activation("average_channel_variance") / self.activation("second_moment"))[
            :, :-1
        ]


def stated(group, name):
    return np.array([METADATA[group]["values"][str(seed)][name] for seed in range(SEEDS)])


def output(name):
    return np.array([METADATA["output"][str(seed)][name] for seed in range(SEEDS)])


def log_median(values):
    return 10 ** np.median(np.log10(values), axis=1)


def hidden(o, column):
    return o.activation(column)[:, :-1]


def energy(o):
    return o.backward * o.activation("second_moment")


# Each statistic without its logarithm.
DEFINITIONS = {
    "loss_over_chance": lambda o: (1.5 + np.arange(SEEDS)) / 2.5,
    "output_second_moment": lambda o: output("second_moment"),
    "output_variance_across_samples": lambda o: output("variance_across_samples"),
    "output_share_across_samples": lambda o: (
        output("variance_across_samples") / output("second_moment")
    ),
    "rehearsed_error": lambda o: stated("rehearsal", "error"),
    "rehearsed_loss": lambda o: stated("rehearsal", "loss"),
    "total_gradient_norm": lambda o: np.linalg.norm(o.gradient_norm, axis=1),
    "first_layer_gradient_norm": lambda o: o.gradient_norm[:, 0],
    "last_layer_gradient_norm": lambda o: o.gradient_norm[:, -1],
    "first_to_last_gradient_norm": lambda o: o.gradient_norm[:, 0] / o.gradient_norm[:, -1],
    "smallest_gradient_norm": lambda o: o.gradient_norm.min(1),
    "largest_gradient_norm": lambda o: o.gradient_norm.max(1),
    "first_relative_gradient": lambda o: o.relative[:, 0],
    "smallest_relative_gradient": lambda o: o.relative.min(1),
    "median_relative_gradient": lambda o: log_median(o.relative),
    "largest_relative_gradient": lambda o: o.relative.max(1),
    "spread_of_relative_gradients": lambda o: o.relative.max(1) / o.relative.min(1),
    "growth_of_second_moment": lambda o: (
        hidden(o, "second_moment")[:, -1] / hidden(o, "second_moment")[:, 0]
    ),
    "range_of_second_moment": lambda o: (
        hidden(o, "second_moment").max(1) / hidden(o, "second_moment").min(1)
    ),
    "largest_second_moment": lambda o: hidden(o, "second_moment").max(1),
    "smallest_second_moment": lambda o: hidden(o, "second_moment").min(1),
    "growth_of_variance": lambda o: (
        hidden(o, "average_channel_variance")[:, -1] / hidden(o, "average_channel_variance")[:, 0]
    ),
    "least_share_of_variance": lambda o: o.share.min(1),
    "last_share_of_variance": lambda o: o.share[:, -1],
    "growth_of_gradient": lambda o: o.backward[:, 0] / o.backward[:, -2],
    "range_of_gradient": lambda o: o.backward[:, :-1].max(1) / o.backward[:, :-1].min(1),
    "growth_of_energy": lambda o: energy(o)[:, 0] / energy(o)[:, -1],
    "largest_share_of_dead_channels": lambda o: o.activation("dead_channel_fraction").max(1) + 1e-3,
    "median_share_of_zeros": lambda o: log_median(o.activation("zero_fraction") + 1e-3),
    "largest_kurtosis": lambda o: hidden(o, "kurtosis").max(1),
    "number_of_layers": lambda o: np.full(SEEDS, 6.0),
    "median_branch_ratio": lambda o: np.full(SEEDS, np.nan),
    "largest_gradient_kurtosis": lambda o: o("weight gradient", "kurtosis", "loss").max(1),
    "median_gradient_kurtosis": lambda o: log_median(o("weight gradient", "kurtosis", "loss")),
    "first_gradient_size": lambda o: o.gradient_norm[:, 0] / UNITS,
    "median_weight_size": lambda o: log_median(np.sqrt(o("weight", "second_moment"))),
    "least_share_of_gradient_variance": lambda o: (
        o("gradient", "average_channel_variance") / o("gradient", "second_moment")
    ).min(1),
    "noise_of_dropout": lambda o: np.ones(SEEDS),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_named_statistic_is_the_logarithm_of_its_definition(name):
    network = scattered()
    found = named_by_seed(Evidence.of(network))[name]
    wanted = np.log10(DEFINITIONS[name](Oracle(network.table())))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_every_named_statistic_has_a_definition_here():
    assert [statistic.__name__ for statistic in NAMED] == list(DEFINITIONS)


def test_medians_are_over_seeds():
    evidence = Evidence.of(scattered())
    by_seed, medians = named_by_seed(evidence), named_medians(evidence)
    assert list(medians) == list(by_seed)
    for name, values in by_seed.items():
        expected = math.nan if np.isnan(values).all() else float(np.median(values))
        assert medians[name] == pytest.approx(expected, nan_ok=True), name


def test_what_hears_of_the_input_only_through_silent_branches_is_not_known():
    quiet = {
        str(seed): {"second_moment": 1.0, "variance_across_samples": 1e-6} for seed in range(4)
    }
    muted = {**METADATA, "output": quiet, "silent_residual_gains": ["gain"]}
    found = named_by_seed(Evidence.of(scattered(muted)))
    plain = named_by_seed(Evidence.of(scattered({**METADATA, "output": quiet})))
    unknown = {name for name, values in found.items() if np.isnan(values).all()}
    assert {name for name, values in plain.items() if np.isnan(values).all()} == {
        "median_branch_ratio"
    }
    assert unknown == {
        *("output_variance_across_samples", "output_share_across_samples"),
        *("first_layer_gradient_norm", "first_to_last_gradient_norm", "smallest_gradient_norm"),
        *("first_relative_gradient", "smallest_relative_gradient", "spread_of_relative_gradients"),
        *("growth_of_gradient", "growth_of_energy", "first_gradient_size", "median_branch_ratio"),
    }


def test_biases_and_weights_of_layers_never_called_have_no_part_in_the_size_of_weights():
    network = recording(chain(5))
    table = network.table()
    weights = table[table["signal"] == "weight"]
    bias = weights.assign(tensor="bias", samples=1, second_moment=1e6)
    single = weights.assign(tensor="single", channels=1, second_moment=1e6)
    never = weights.assign(layer="never", depth=None, second_moment=1e6)
    more = Recording.from_frames(
        pd.concat([table, bias, single, never]), network.structure(), network.metadata
    )
    found = named_by_seed(Evidence.of(more))["median_weight_size"]
    assert found == pytest.approx([math.log10(0.25)] * 3)


def test_the_weight_of_the_first_layer_counts_where_nothing_stands_before_it():
    layers = chain(2)
    layers[0].weight = 1e4
    network = recording(layers)
    table = network.table()
    weights = table[table["signal"] == "weight"]
    only = Recording.from_frames(weights, network.structure(), network.metadata)
    found = named_by_seed(Evidence.of(only))["median_weight_size"]
    assert found == pytest.approx([(math.log10(100) + math.log10(0.25)) / 2] * 3)


def test_the_smallest_matrix_counts_among_the_sizes_of_weights():
    layers = chain(2)
    layers[0].weight = 1e4
    network = recording(layers)
    table = network.table()
    first = (table["signal"] == "weight") & (table["layer"] == "0")
    table.loc[first, ["channels", "samples"]] = 2
    small = Recording.from_frames(table, network.structure(), network.metadata)
    found = named_by_seed(Evidence.of(small))["median_weight_size"]
    assert found == pytest.approx([(math.log10(100) + math.log10(0.25)) / 2] * 3)


def test_of_a_single_layer_there_is_no_energy_to_compare():
    network = recording(chain(1))
    root = network.table().assign(layer="", role="container", depth=9)
    table = pd.concat([network.table(), root[root["tensor"] == ""]])
    single = Evidence.of(Recording.from_frames(table, network.structure(), network.metadata))
    assert np.isnan(named_by_seed(single)["growth_of_energy"]).all()
    assert named_by_seed(evidence_of(chain(2)))["growth_of_energy"].tolist() == [0.0] * 3


def test_with_several_outputs_the_energy_is_compared_with_that_of_all():
    found = named_by_seed(with_output("0", "1"))["growth_of_energy"]
    assert found == pytest.approx([-math.log10(2)] * 3)


@pytest.mark.parametrize(
    ("decades", "left"), [(6.0, 1.0), (4.0, 0.0), (-3.0, -3.0)], ids=["more", "less", "falls"]
)
def test_batch_normalisation_explains_five_decades_of_growing_energy(decades, left):
    layers = chain(5)
    layers[0].gradient *= 10**decades
    layers.insert(1, Layer("n", weight=None, structure={"computes": "batch_norm", "fan_in": None}))
    found = named_by_seed(evidence_of(layers))["growth_of_energy"]
    assert found == pytest.approx([left] * 3, abs=1e-9)
    assert OF_BATCH_NORM == 5.0


def test_branch_ratios_are_of_the_branch_with_its_constant_over_what_enters_the_block():
    layers = residual(3)
    for layer in layers:
        if layer.name.endswith(".f"):
            layer.structure["constant"] = 0.5
    for place, moment in ((0, 8.0), (2, 4.0), (4, 2.0), (1, 3.0), (3, 7.0), (5, 40.0)):
        layers[place].second_moment = moment  # stem, blocks 1 and 2; ends of the branches
    # 3/4 over 8, 7/4 over 4, 40/4 over 2: the median is that of the second
    found = named_by_seed(evidence_of(layers))["median_branch_ratio"]
    assert found == pytest.approx([math.log10(7 / 16)] * 3)


def test_branches_with_a_learned_gain_or_an_unknown_constant_have_no_ratio():
    for place, change in ((1, {"gains": "1.gain"}), (3, {"constant": None})):
        layers = residual(2)
        layers[1].second_moment = 4.0  # of the first branch; of the second 2, over 2
        layers[place].structure |= change
        found = named_by_seed(evidence_of(layers))["median_branch_ratio"]
        assert found == pytest.approx([math.log10({1: 1.0, 3: 2.0}[place])] * 3)


def dropout(*shares):
    """Layers with these shares of zeros; names with "drop" are dropouts."""
    layers = []
    for name, share in shares:
        structure = {"layer_type": "Dropout1d"} if "drop" in name else {}
        layers.append(Layer(name, activation={"zero_fraction": share}, structure=structure))
    return evidence_of(layers)


def test_dropout_is_read_from_the_zeros_before_and_behind_it():
    layers = [("a", 0.0), ("relu", 0.5), ("drop", 0.75), ("b", 0.0), ("drop2", 0.2), ("c", 0.0)]
    found = dropout(*layers)
    noise = named_by_seed(found)["noise_of_dropout"]
    assert noise == pytest.approx([math.log10(1 / 0.5 / 0.8)] * 3)


def test_a_first_dropout_has_nothing_before_it_and_one_that_drops_nothing_adds_no_noise():
    found = dropout(("drop", 0.9), ("a", 0.6), ("drop2", 0.5), ("b", 0.0), ("drop3", 0.0))
    assert named_by_seed(found)["noise_of_dropout"] == pytest.approx([0.0] * 3)


def test_dropout_does_not_multiply_along_skip_paths():
    layers = residual()
    layers.insert(1, Layer("drop", structure={"layer_type": "Dropout"}))
    layers[1].activation = {"zero_fraction": 0.9}
    assert named_by_seed(evidence_of(layers))["noise_of_dropout"].tolist() == [0.0] * 3
