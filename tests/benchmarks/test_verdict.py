import importlib.util
import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.verdict import evidence, report, zoo
from benchmarks.verdict import labels as labels_module
from benchmarks.verdict.catalogue import NETWORKS
from benchmarks.verdict.detectors import DETECTORS, gradient_ratio, mean_gradient, variance_ratio
from benchmarks.verdict.faults import Injection
from benchmarks.verdict.fit import Bend, Weighing, candidates, fit
from benchmarks.verdict.halves import folds, halves
from benchmarks.verdict.intervals import Share
from benchmarks.verdict.labels import labels, read_trainings, train_all, training_key
from benchmarks.verdict.network import Network, content_hash
from benchmarks.verdict.networks.multilayer import multilayer_perceptron
from benchmarks.verdict.networks.parts import GAINS, StandardisedConv, activation, draw
from benchmarks.verdict.offenders import distance
from benchmarks.verdict.report import Known, Score, after_rehearsal
from benchmarks.verdict.training import GRID, PATIENT, SUCCESS, Outcome, Setting, digits, train

SMALL = Network("small", "", multilayer_perceptron, {"depth": 2, "width": 32})
DEAD = replace(
    SMALL, fault="zero layer", injections=(Injection("scale weights", "blocks.1.linear", 0.0),)
)


# -- the networks --------------------------------------------------------------------------------


def test_the_catalogue_has_as_many_networks_as_the_benchmark_promises():
    assert len({network.name for network in NETWORKS}) == len(NETWORKS) >= 200
    assert len({network.family for network in NETWORKS}) >= 30


@pytest.mark.parametrize("start", range(11))
def test_every_network_classifies_digits_and_is_small(start):
    pictures = digits()[0][:2]
    for network in NETWORKS[start::11]:
        model = network.build_with(0)
        assert model(pictures).shape == (2, 10), network.name
        assert sum(p.numel() for p in model.parameters()) < 150_000, network.name


def test_no_two_networks_are_the_same():
    hashes = pd.Series({network.name: content_hash(network) for network in NETWORKS})
    assert not hashes.duplicated().any()


def test_an_injected_layer_exists_in_the_healthy_network():
    for network in NETWORKS:
        if network.injected_layer:
            replace(network, injections=()).build().get_submodule(network.injected_layer)


@pytest.mark.parametrize("name", sorted(GAINS))
def test_a_recommended_gain_keeps_the_second_moment_or_has_slope_one(name):
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = activation(name).double()(x)
    if name in ("sigmoid", "hardsigmoid"):
        x = torch.zeros(1, requires_grad=True)
        activation(name)(x).backward()
        assert x.grad.item() * GAINS[name] == pytest.approx(1.0)
    else:
        assert GAINS[name] ** 2 * y.square().mean().item() == pytest.approx(1.0, abs=0.03)


def test_standardised_units_have_mean_zero_and_unit_norm():
    conv = StandardisedConv(4, 6, 3, bias=False)
    units = conv(torch.eye(36).view(36, 4, 3, 3)).flatten(1)  # correlation with unit pictures
    assert units.mean(0).abs().max() < 1e-6
    assert torch.allclose(units.square().sum(0), torch.ones(6), atol=1e-5)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "orthogonal"])
def test_weights_are_drawn_with_the_deviation_asked_for(distribution):
    weight = torch.empty(256, 256)
    torch.manual_seed(0)
    draw(weight, 2.0, distribution)
    assert weight.std().item() == pytest.approx(2.0 / 16, rel=0.02)


# -- the hash ------------------------------------------------------------------------------------


def hash_of_source(tmp_path, source, name="benchmarks.made_for_a_test"):
    """Hash a network whose builder stands in a file of its own."""
    path = tmp_path / f"made_{abs(hash(source))}.py"
    path.write_text(source)
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
        return content_hash(Network("made", "", module.build))
    finally:
        del sys.modules[name]


SOURCE = """
from torch import nn

class Twice(nn.Module):
    def forward(self, x):
        return factor() * x

def factor():
    return 2.0

def build():
    return nn.Sequential(nn.Linear(2, 2), Twice())
"""


def test_comments_and_docstrings_do_not_change_the_hash(tmp_path):
    commented = SOURCE.replace("    return 2.0", '    """Two."""\n    return 2.0  # two')
    assert hash_of_source(tmp_path, SOURCE) == hash_of_source(tmp_path, commented)


@pytest.mark.parametrize(
    ("old", "new"),
    [("return 2.0", "return 3.0"), ("* x", "+ x"), ("Linear(2, 2)", "Linear(2, 3)")],
)
def test_any_change_of_reachable_code_changes_the_hash(tmp_path, old, new):
    changed = SOURCE.replace(old, new)
    assert hash_of_source(tmp_path, SOURCE) != hash_of_source(tmp_path, changed)


def test_settings_faults_and_initial_weights_change_the_hash():
    variants = [
        SMALL,
        DEAD,
        replace(SMALL, settings={"depth": 2, "width": 33}),
        replace(SMALL, settings={"depth": 2, "width": 32, "gain": 1.1}),
        replace(DEAD, injections=(Injection("scale weights", "blocks.1.linear", 1e-3),)),
    ]
    assert len({content_hash(network) for network in variants}) == len(variants)
    assert content_hash(SMALL) == content_hash(replace(SMALL, family="other", fault="named"))


def test_hashing_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    content_hash(SMALL)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_fault_is_refused():
    with pytest.raises(KeyError, match="melt"):
        replace(SMALL, injections=(Injection("melt", "head"),)).build()


# -- training, and its cache ---------------------------------------------------------------------


def test_held_out_pictures_are_not_trained_on_and_pixels_are_standardised():
    train_pictures, train_classes, test_pictures, test_classes = digits()
    assert (len(train_pictures), len(test_pictures)) == (1347, 450)
    both = torch.cat([train_pictures, test_pictures])
    assert both.mean().item() == pytest.approx(0, abs=1e-5)
    assert both.var(correction=0).item() == pytest.approx(1, abs=1e-5)
    distances = torch.cdist(test_pictures.flatten(1), train_pictures.flatten(1))
    assert distances.min() > 0
    assert set(test_classes.tolist()) == set(train_classes.tolist()) == set(range(10))


def test_a_healthy_network_trains_and_a_dead_one_is_given_up():
    trained, dead = train(SMALL, GRID[0]), train(DEAD, GRID[0])
    assert (trained.ended, trained.accuracy >= SUCCESS) == ("trained", True)
    assert (dead.ended, dead.epochs) == ("hopeless", 5)
    assert dead.last_loss == pytest.approx(np.log(10), rel=0.02)


def test_numbers_that_are_not_finite_end_a_training_at_once():
    spoilt = replace(SMALL, injections=(Injection("spoil weight", "head", float("nan")),))
    outcome = train(spoilt, GRID[0])
    assert (outcome.ended, outcome.epochs) == ("non-finite", 1)


def test_a_network_that_never_reaches_the_criterion_is_too_slow():
    setting = replace(GRID[0], rate=0.0, epochs=2)
    assert train(SMALL, setting).ended == "too slow"


def test_a_frozen_network_is_hopeless_without_a_training():
    frozen = replace(SMALL, injections=(Injection("freeze", ""),))
    outcome = train(frozen, GRID[0])
    assert (outcome.ended, outcome.epochs) == ("hopeless", 0)


def test_a_training_can_be_repeated():
    first, second = train(SMALL, GRID[1]), train(SMALL, GRID[1])
    assert replace(first, seconds=0) == replace(second, seconds=0)


@pytest.fixture
def trainings(monkeypatch):
    """Replace training by a list of what was asked for; some settings succeed."""
    asked = []

    def pretend(network, setting):
        asked.append((network.name, setting.optimizer, setting.rate))
        succeeds = not network.injections and setting.optimizer == "SGD"
        return Outcome("trained" if succeeds else "hopeless", 0.1, "100", 2.3, float("nan"), 1, 0.0)

    monkeypatch.setattr(labels_module, "train", pretend)
    return asked


def test_the_grid_is_left_when_a_training_succeeds(tmp_path, trainings):
    train_all([SMALL], tmp_path / "t.csv", say=lambda _: None)
    assert [optimizer for _, optimizer, _ in trainings] == ["Adam", "SGD"]


def test_nothing_is_trained_twice(tmp_path, trainings):
    path = tmp_path / "t.csv"
    for _ in range(2):
        train_all([SMALL, DEAD], path, say=lambda _: None)
    assert len(trainings) == 2 + len(GRID)
    found = labels([SMALL, DEAD], path).set_index("network")
    assert found["trains"].to_dict() == {"small": True, "small: zero layer": False}
    assert found["trainings"].to_dict() == {"small": 2, "small: zero layer": len(GRID)}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, trainings, monkeypatch):
    path = tmp_path / "t.csv"
    pretend = labels_module.train

    def interrupted(network, setting):
        if len(trainings) == 3:
            raise KeyboardInterrupt
        return pretend(network, setting)

    monkeypatch.setattr(labels_module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([DEAD], path, say=lambda _: None)
    assert len(read_trainings(path)) == 3
    assert labels([DEAD], path).empty  # undecided networks have no label

    monkeypatch.setattr(labels_module, "train", pretend)
    train_all([DEAD], path, say=lambda _: None)
    assert trainings == [("small: zero layer", s.optimizer, s.rate) for s in GRID]


@pytest.mark.parametrize(
    ("accuracy", "patient", "border", "trainings"),
    [
        (0.10, "hopeless", False, 6),  # at chance: not asked again
        (0.40, "too slow", False, 7),
        (0.40, "trained", True, 7),
        (0.70, "trained", True, 6),  # no clear failure anyway
    ],
)
def test_a_failure_that_learned_a_little_is_tried_once_for_longer(
    tmp_path, monkeypatch, accuracy, patient, border, trainings
):
    asked = []

    def pretend(network, setting):
        asked.append(setting)
        ended = patient if setting is PATIENT else "too slow"
        return Outcome(ended, accuracy, "", 2.3, 2.0, 15, 0.0)

    monkeypatch.setattr(labels_module, "train", pretend)
    train_all([DEAD], tmp_path / "t.csv", say=lambda _: None)
    found = labels([DEAD], tmp_path / "t.csv").iloc[0]
    assert (len(asked), found["trains"], found["border"]) == (trainings, False, border)


def test_another_setting_is_another_training():
    keys = {training_key("hash", setting) for setting in (*GRID, Setting("Adam", 3e-3, 0, 31))}
    assert len(keys) == len(GRID) + 1


# -- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)],
)  # fmt: skip
def test_intervals_are_those_of_newcombe_1998_table_1_method_3(hits, total, low, high):
    assert Share(hits, total).interval == pytest.approx((low, high), abs=1e-4)


def test_the_share_of_nothing_is_undefined():
    assert np.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)


def some_labels():
    families = np.repeat(list("abcdefghij"), 6)
    return pd.DataFrame({"family": families, "trains": np.arange(60) % 3 > 0})


@pytest.mark.parametrize("split", [halves, folds])
def test_splits_share_no_family_and_hold_both_outcomes(split):
    table = some_labels().assign(part=split(some_labels()))
    assert (table.groupby("family")["part"].nunique() == 1).all()
    assert (table.groupby("part")["trains"].nunique() == 2).all()
    assert table.groupby("part").size().max() - table.groupby("part").size().min() <= 6


# -- earlier detectors ---------------------------------------------------------------------------


def frame(signal, **columns):
    rows = pd.DataFrame(columns)
    return rows.assign(
        signal=signal, role="leaf", depth=range(len(rows)), layer=[f"l{i}" for i in rows.index],
        phase="loss", nonfinite_fraction=0.0, channels=4, samples=4,
    )  # fmt: skip


@pytest.mark.parametrize(("last", "flagged"), [(9.9, False), (10.1, True), (np.nan, True)])
def test_the_variance_ratio_is_that_of_hidden_layers(last, flagged):
    outputs = frame("activation", variance=[1.0, last, 1e6])
    weights = frame("weight", variance=[1.0, 1.0, 1.0])
    assert variance_ratio(pd.concat([outputs, weights])) is flagged


@pytest.mark.parametrize(
    ("first", "last", "flagged"),
    [(1.0, 1.0, False), (1e-5, 1.0, True), (0.01, 100.0, False), (71.0, 1.0, True), (0, 0, True)],
)  # fmt: skip
def test_the_gradient_ratio_is_that_of_norms(first, last, flagged):
    gradients = frame("weight gradient", second_moment=np.square([first, 5.0, last]) / 16)
    assert gradient_ratio(gradients) is flagged


def test_the_gradient_ratio_flags_numbers_that_are_not_finite():
    gradients = frame("weight gradient", second_moment=[1.0, 1.0])
    assert gradient_ratio(gradients.assign(nonfinite_fraction=[0.0, 0.1]))


def test_the_mean_gradient_is_that_of_any_kernel_and_of_no_bias():
    gradients = frame("weight gradient", mean_absolute=[1e-3, 1e-8])
    assert mean_gradient(gradients)
    assert not mean_gradient(gradients.assign(samples=[4, 1]))


# -- the fit -------------------------------------------------------------------------------------


def made_up_statistics(count=400, seed=0):
    """Networks that train where |size| < 2, with a column of noise and one with gaps."""
    generator = np.random.default_rng(seed)
    size, noise = generator.uniform(-6, 6, count), generator.normal(size=count)
    gaps = np.where(generator.random(count) < 0.5, np.nan, size)
    table = pd.DataFrame({"size": size, "noise": noise, "gaps": gaps})
    return table, np.abs(size) < 2


def alike(trains):
    return pd.Series(["all"] * len(trains))


def test_a_fit_finds_both_sides_of_the_healthy_range_and_leaves_noise_alone():
    statistics, trains = made_up_statistics()
    found = fit(statistics, trains, alike(trains), penalty=0.01)
    unseen, outcome = made_up_statistics(seed=1)
    right = (found.probability(unseen) > 0.5) == outcome
    assert right.mean() > 0.95
    counted = {(bend.statistic, bend.side) for bend in found.bends}
    assert {("size", "below"), ("size", "above")} <= counted
    weight = dict.fromkeys(statistics, 0.0)
    for bend, coefficient in zip(found.bends, found.coefficients, strict=True):
        assert coefficient > 0
        weight[bend.statistic] += coefficient
    assert weight["noise"] < 0.1 * weight["size"]


def test_evidence_further_out_never_raises_the_probability():
    statistics, trains = made_up_statistics()
    found = fit(statistics, trains, alike(trains), penalty=0.01)
    ladder = pd.DataFrame({"size": np.linspace(0, 12, 50), "noise": 0.0, "gaps": np.nan})
    assert (np.diff(found.probability(ladder)) <= 0).all()


def test_terms_begin_at_quantiles_of_the_networks_that_train():
    statistics, trains = made_up_statistics()
    places = {(b.statistic, b.side, b.at) for b in candidates(statistics, trains, alike(trains))}
    assert ("size", "below", statistics["size"][trains].quantile(0.02)) in places
    assert len(places) == 3 * 4


def test_of_several_groups_the_furthest_quantile_is_where_a_term_begins():
    statistics, trains = made_up_statistics()
    groups = pd.Series(np.where(np.arange(len(trains)) % 2, "near", "far"))
    widened = statistics.assign(size=np.where(groups == "far", 2, 1) * statistics["size"])
    places = {(b.side, b.at) for b in candidates(widened, trains, groups) if b.statistic == "size"}
    far = widened["size"][trains & (groups == "far")]
    assert places == {
        *(("below", far.quantile(q)) for q in (0.02, 0.1)),
        *(("above", far.quantile(q)) for q in (0.9, 0.98)),
    }


def test_extremes_over_layers_count_only_on_the_side_that_depth_moves_them_away_from():
    statistics, trains = made_up_statistics()
    names = {"size": "smallest_gradient_norm", "noise": "largest_kurtosis", "gaps": "loss"}
    terms = candidates(statistics.rename(columns=names), trains, alike(trains))
    sides = {
        name: {bend.side for bend in terms if bend.statistic == name} for name in names.values()
    }
    assert sides["smallest_gradient_norm"] == {"above"}
    assert sides["largest_kurtosis"] == {"below"}
    assert sides["loss"] == {"below", "above"}


def test_the_number_of_layers_is_not_weighed():
    statistics, trains = made_up_statistics()
    renamed = statistics[["size"]].set_axis(["number_of_layers"], axis=1)
    assert not candidates(renamed, trains, alike(trains))


def known_networks(count=60):
    """Made-up networks of ten families; every sixth is at the border, rules find a few."""
    statistics, trains = made_up_statistics(count)
    border = ~trains & (np.arange(count) % 6 == 0)
    hashes = [f"h{number}" for number in range(count)]
    labels = pd.DataFrame({
        "hash": hashes, "family": [f"family {n % 10}" for n in range(count)], "trains": trains,
        "border": border, "accuracy": np.where(trains, 0.95, 0.1),
    })  # fmt: skip
    said = pd.DataFrame({
        "hash": hashes, "network": hashes, "input": "gaussian", "warnings": "SPP103",
        "errors": np.where(statistics["size"] > 5, "SPP101", ""),
        "injected_layer": np.where(np.arange(count) % 2, "a", ""), "nonfinite": False,
        "distance_of_first_offender": 0.0, "distance_of_suspect": 2.0,
        **dict.fromkeys(DETECTORS, True),
    })  # fmt: skip
    by_seed = [statistics.assign(hash=hashes, input="gaussian", seed=seed) for seed in range(3)]
    return Known.join(labels, said, pd.concat(by_seed))


def test_each_network_is_judged_by_the_fit_on_the_half_its_family_is_not_in(monkeypatch):
    known, fits = known_networks(), []
    monkeypatch.setattr(
        report, "fitted", lambda seen: fits.append(seen) or Weighing(0.0, (), (), 0.5)
    )
    report.by_the_other_half(known)
    families = [set(seen.rows["family"]) for seen in fits]
    assert not families[0] & families[1]
    assert families[0] | families[1] == set(known.rows["family"])


def test_the_threshold_is_the_smallest_that_finds_most_within_the_allowed_false_alarms():
    probability = np.array([0.105, 0.205, 0.305, 0.8, 0.9])
    trains = np.array([False, False, False, True, True])
    nothing = np.zeros(5, dtype=bool)
    assert report.choose_threshold(probability, nothing, trains) == pytest.approx(0.31)


def test_a_threshold_that_would_fail_too_many_that_train_is_not_chosen():
    probability = np.array([0.105, 0.605, 0.405, 0.9])
    trains = np.array([False, False, True, True])
    nothing = np.zeros(4, dtype=bool)
    assert report.choose_threshold(probability, nothing, trains) == pytest.approx(0.11)


def test_what_rules_flag_already_does_not_move_the_threshold():
    probability = np.array([0.705, 0.205, 0.605, 0.9])
    trains = np.array([False, False, True, True])
    flagged = np.array([True, False, False, False])
    assert report.choose_threshold(probability, flagged, trains) == pytest.approx(0.21)


def test_networks_at_the_border_count_neither_as_recall_nor_as_false_alarms():
    known = known_networks()
    text = report.write_report(known)
    clear = known.only(known.clear)
    failures = int((~clear.trains).sum())
    assert f"({failures}/{failures})" in text  # the earlier detectors flag all of them
    border = int(known.rows["border"].sum())
    assert f"{border} are at the border" in text
    assert f"Of the {border} networks at the border" in text


def test_the_report_finds_what_separates_made_up_networks():
    known = known_networks(400)
    columns = report.columns_of(known)
    score = Score.of(
        "", columns["sppkit, weighed evidence only"][known.clear], known.trains[known.clear]
    )
    assert score.recall.value > 0.9
    assert score.false_alarms.value < 0.1


def test_rules_name_the_offender_where_they_find_errors_and_the_weighing_does_elsewhere():
    known = known_networks()
    everything = np.ones(len(known.rows), dtype=bool)
    counted = known.clear & ~known.trains & (known.rows["injected_layer"] != "")
    right = int((counted & known.flagged_by_rules).sum())
    assert report.offenders_of(known, everything) == Share(right, int(counted.sum()))


def test_architectures_in_use_are_judged_by_the_half_without_their_family_and_not_counted():
    known = known_networks()
    healthy = made_up_statistics(8)[0].assign(size=0.0, gaps=0.0)
    names = np.repeat(["vgg11", "vgg13", "vit", "mixer"], 2)
    families = np.repeat(["in use: vgg", "in use: vgg", "in use: vit", "in use: mixer"], 2)
    both = known.with_in_use(healthy.assign(network=names, family=families))
    added = both.rows[both.rows["input"] == report.IN_USE]
    assert added["trains"].all()
    assert (added.groupby("family")["half"].nunique() == 1).all()
    assert len(both.medians) == len(both.rows) == len(known.rows) + 4
    assert set(both.by_seed["row"]) == set(range(len(both.rows)))
    text = report.write_report(both)
    assert "60 networks of 10 families" in text
    assert "fitted without their family: 0.000 [0.000, 0.490] (0/4)" in text


def with_rehearsals(known, error):
    """Add a rehearsal that ended with the same error everywhere."""
    ended = {"rehearsed_error": math.log10(error), "rehearsed_loss": 0.0}
    rows = known.rows.assign(errors_unrehearsed="SPP101")
    return Known(rows, known.medians.assign(**ended), known.by_seed.assign(**ended))


def test_the_weighing_fails_nothing_after_a_rehearsal_that_succeeded():
    succeeded, failed = (with_rehearsals(known_networks(), error) for error in (0.2498, 0.3))
    assert succeeded.rehearsed.all()
    assert not report.by_the_other_half(succeeded).any()
    assert not failed.rehearsed.any()
    assert report.by_the_other_half(failed).any()


def test_one_seed_whose_rehearsal_failed_is_enough():
    known = with_rehearsals(known_networks(), 0.2)
    first = (known.by_seed["row"] == 0) & (known.by_seed["seed"] == 1)
    known.by_seed.loc[first, "rehearsed_error"] = 0.0
    assert not known.rehearsed[0]
    assert known.rehearsed[1:].all()


def test_rehearsals_can_be_forgotten():
    forgotten = with_rehearsals(known_networks(), 0.2).unrehearsed()
    assert not forgotten.rehearsed.any()
    assert forgotten.medians[["rehearsed_error", "rehearsed_loss"]].isna().all(axis=None)
    assert forgotten.flagged_by_rules.all()  # by what they said before the rehearsal was weighed


def test_the_probability_after_a_rehearsal_is_the_share_that_trained():
    known = with_rehearsals(known_networks(), 0.2)
    clear = known.only(known.clear)
    expected = (clear.trains.sum() + 1) / (len(clear.rows) + 2)
    assert after_rehearsal(known)["rehearsed"] == pytest.approx(expected, abs=1e-4)


def test_a_forgotten_rehearsal_leaves_the_rest_of_a_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "RECORDINGS", tmp_path)
    monkeypatch.setattr(evidence, "SEEDS", 1)
    made = evidence.record(SMALL, "gaussian", evidence.path_of(SMALL, "gaussian"))
    (bare,) = evidence.without_rehearsal(made).metadata.values()
    (full,) = made.metadata.values()
    assert full.keys() - bare.keys() == {"rehearsal"}
    assert full["rehearsal"]["values"]


def test_two_networks_from_training_to_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "RECORDINGS", tmp_path)
    monkeypatch.setattr(evidence, "SEEDS", 2)
    train_all([SMALL, DEAD], tmp_path / "t.csv", say=lambda _: None)
    for network in (SMALL, DEAD):
        path = evidence.path_of(network, "digits")
        made = evidence.record(network, "digits", path)
        assert evidence.record(network, "digits", path).table().equals(made.table())  # kept
    examined = [
        evidence.examine(network, "digits", evidence.record(network, "digits", path))
        for network in (SMALL, DEAD)
        for path in [evidence.path_of(network, "digits")]
    ]
    said = pd.DataFrame(examined).set_index("network")
    assert said["errors"].astype(bool).to_dict() == {"small": False, "small: zero layer": True}
    assert said.loc["small: zero layer", "distance_of_first_offender"] <= 1
    assert labels([SMALL, DEAD], tmp_path / "t.csv")["trains"].to_list() == [True, False]


def test_an_undefined_statistic_carries_no_weight():
    weighing = Weighing(1.0, (Bend("size", 0.0, "above"),), (2.0,))
    known = weighing.probability(pd.DataFrame({"size": [np.nan, -1.0, 1.0]}))
    assert known[0] == known[1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert known[2] == pytest.approx(1 / (1 + np.exp(1)))


def test_the_file_of_coefficients_says_what_counts_against_a_network():
    bends = (Bend("size", -2.0, "below"), Bend("size", 2.0, "above"))
    assert Weighing(3.0, bends, (1.5, 0.5), 0.4).as_dict() == {
        "schema": 1,
        "kind": "logistic",
        "threshold": 0.4,
        "intercept": 3.0,
        "statistics": {
            "size": {
                "bends": [
                    {"at": -2.0, "side": "below", "coefficient": -1.5},
                    {"at": 2.0, "side": "above", "coefficient": -0.5},
                ]
            }
        },
    }


# -- the zoo ---------------------------------------------------------------------------------------


def test_the_summary_of_the_zoo_counts_and_names_false_alarms():
    table = pd.DataFrame({
        "library": ["torchvision", "timm", "timm"], "name": ["a", "b", "c"],
        "verdict": ["pass", "fail", "pass"], "errors": ["", "SPP001 SPP203", ""],
    })  # fmt: skip
    assert zoo.summary(table) == (
        "3 networks (2 of timm, 1 of torchvision): 1 false alarms.\n- timm:b: SPP001 SPP203"
    )


def test_the_zoo_is_recorded_at_the_smallest_side_and_judged(tmp_path, monkeypatch):
    def build():
        return torch.nn.Sequential(
            *(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.AvgPool2d(64)),
            *(torch.nn.Flatten(), torch.nn.Linear(8 * 4, 5)),  # takes sides of 128 only
        )

    monkeypatch.setattr(zoo, "RECORDINGS", tmp_path)
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo.csv")
    monkeypatch.setattr(zoo, "names", lambda: iter([("timm", "small")]))
    monkeypatch.setattr(zoo, "builder", lambda *_: build)
    monkeypatch.setattr(zoo, "_sides", lambda *_: (96, 128))
    row = zoo.check_all().iloc[0]
    assert (row["name"], row["verdict"], row["side"]) == ("small", "pass", 128)
    assert row["seconds"] > 0
    assert pd.read_csv(tmp_path / "zoo.csv").shape[0] == 1
    monkeypatch.setattr(zoo, "record_evidence", None)  # what is recorded is not recorded again
    assert zoo.check_all()["verdict"].to_list() == ["pass"]


def test_a_network_of_the_zoo_that_takes_no_side_is_left_out_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "RECORDINGS", tmp_path)
    monkeypatch.setattr(zoo, "builder", lambda *_: lambda: torch.nn.Linear(7, 2))
    monkeypatch.setattr(zoo, "_sides", lambda *_: (96,))
    assert zoo._record("timm", "none").startswith("left out: the forward pass of Linear failed")
    assert not list(tmp_path.iterdir())


# -- first offenders -----------------------------------------------------------------------------


def structure():
    layers = ["a", "a.linear", "a.relu", "b", "b.linear", "b.relu", "head"]
    return pd.DataFrame(
        {
            "layer": layers,
            "role": ["container", "leaf", "leaf", "container", "leaf", "leaf", "leaf"],
            "depth": [2, 0, 1, 5, 3, 4, 6],
            "fan_in": [np.nan, 4, np.nan, np.nan, 4, np.nan, 4],
        }
    )


@pytest.mark.parametrize(
    ("named", "injected", "steps"),
    [
        *[("a.linear", "a.linear", 0), ("a.relu", "a.linear", 0), ("a", "a.relu", 0)],
        *[("b.relu", "a.linear", 1), ("head", "a", 2), ("a", "head", 2)],
    ],
)
def test_the_distance_of_an_offender_counts_weighted_layers(named, injected, steps):
    assert distance(structure(), named, injected) == steps


def test_the_distance_to_no_layer_is_undefined():
    assert np.isnan(distance(structure(), "", "a"))
    assert np.isnan(distance(structure(), "elsewhere", "a"))
