import json
import re

import numpy as np
import pandas as pd
import pytest

import sppkit
from sppkit.cli.training.reproduction_summary import measure
from sppkit.training.recipes import RECIPES, Clipping
from sppkit.training.reproduction import Quantity
from sppkit.training.reproductions import BN_AFFINE_FFNN, NF_BATCH_SIZE, REPRODUCTIONS
from tests.cli.test_train import plan


@pytest.mark.parametrize("reproduction", REPRODUCTIONS, ids=lambda each: each.name)
def test_an_experiment_brings_networks_data_and_grid(reproduction, folder):
    runs = plan(preset=reproduction.name)
    form = reproduction.small
    points = max(1, len(form.learning_rates)) * max(1, len(form.batch_sizes))
    assert len(runs) == len(form.arms) * points * form.seeds
    assert len({run.folder.path for run in runs}) == len(runs)
    for run in runs:
        assert run.task.data.name == "digits"
        assert run.task.data.size == form.size
        assert run.task.recipe.epochs == form.recipe.epochs


def test_arms_have_names_and_recipes_of_their_own(folder):
    runs = {run.name: run.task for run in plan(preset="nf_batch_size", batch_size=[64])}
    assert set(runs) == {"bn", "nf", "nf agc"}
    assert runs["bn"].origin == "ref:bn_resnet_digits"
    assert [task.recipe.clipping is None for task in runs.values()] == [True, True, False]
    limit = NF_BATCH_SIZE.small.arms[2].changes["clipping"].limit
    expected = Clipping(method="adaptive", limit=limit, exclude=("head.classifier.weight",))
    assert runs["nf agc"].recipe.clipping == expected
    assert {task.samples_per_step for task in runs.values()} == {64}


def test_what_is_typed_comes_before_the_preset(folder):
    runs = plan(
        preset="bn_affine_ffnn",
        learning_rate=[0.02],
        epochs=3,
        number_of_seeds=1,
        arguments=["depth=4"],
        hold_out=0.5,
    )
    assert [run.name for run in runs] == ["none", "affine", "fixed", "fixed width 25"]
    for run in runs:
        assert (run.task.recipe.learning_rate, run.task.recipe.epochs) == (0.02, 3)
        assert len(run.task.build().hidden) == 3
        halves = [len(part.labels) for part in (run.task.data.train, run.task.data.test)]
        assert sum(halves) == 1797
        assert abs(halves[0] - halves[1]) <= 1


def test_other_networks_may_be_trained_beside_an_experiment(write, folder):
    write(
        """
        from torch import nn

        class Own(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Flatten(), nn.Linear(64, 10))
        """,
        "own.py",
    )
    runs = plan("own.py:Own", preset="bn_affine_ffnn", learning_rate=[0.02], number_of_seeds=1)
    assert [run.name for run in runs][-1] == "Own"
    assert runs[-1].task.recipe == runs[0].task.recipe


def test_the_full_size_is_the_published_one(folder):
    x = np.zeros((200, 3, 32, 32), dtype=np.uint8)
    np.savez(folder / "cifar.npz", x=x, y=np.arange(200) % 100)
    runs = plan(preset="bn_affine_ffnn", full_size=True, data="cifar.npz")
    assert len(runs) == 4 * 3 * 5
    assert [run.task.build().classifier.weight.shape for run in runs[::15]] == [
        *((100, 512), (100, 512), (100, 512), (100, 100)),
    ]
    assert {run.task.samples_per_step for run in runs} == {512}
    assert len(runs[0].task.data.train.labels) == 150  # the data's own split, a quarter held out


def test_the_runs_end_with_what_the_paper_found_and_what_shows_it(spp, folder):
    result = spp(
        *("train", "--preset", "bn_affine_ffnn", "--lr", 0.01, "--epochs", 1, "--seeds", 2),
        *("--every", 5),
    )
    said = " ".join(result.stdout.split())
    for text in (BN_AFFINE_FFNN.found, BN_AFFINE_FFNN.look_at, BN_AFFINE_FFNN.paper):
        assert text in said
    row = re.search(r"^affine +(\S+) → (\S+) +(\S+) → (\S+) +(\S+) → (\S+)", result.stdout, re.M)
    shown = [float(number) for number in row.groups()]
    assert shown == pytest.approx(expected_of(folder / "runs"), rel=0.06)  # two digits
    assert re.search(r"^none .* - → -", result.stdout, re.M)  # it has no gain
    description = json.loads((folder / "runs" / "none-seed0" / "run.json").read_text())
    assert description["settings"]["arguments"] == {"width": "128", "in_features": "64"}


def expected_of(runs):
    """Compute by plain numbers what the table of the affine network must say."""
    found = []
    tables = [sppkit.read(runs / f"affine-seed{seed}").table() for seed in (0, 1)]
    last = tables[0]["step"].max()
    names = [f"hidden.{i}" for i in range(9)]
    for signal, layer in (("gradient", "linear"), ("ratio", "linear"), ("weight", "norm")):
        for step in (0, last):
            of_seeds = []
            for table in tables:
                rows = table[(table["step"] == step)].set_index(["signal", "tensor", "layer"])
                tensor = "weight" if signal == "weight" else ""
                kind = "gradient" if signal == "ratio" else signal
                values = [rows["second_moment"][kind, tensor, f"{n}.{layer}"] for n in names]
                mean = np.prod(values) ** (1 / 9)
                of_seeds.append(values[0] / values[-1] if signal == "ratio" else mean)
            found.append(np.sqrt(np.prod(of_seeds)))
    return found


def test_quiet_runs_print_folders_alone(spp, folder):
    flags = ("--lr", 0.01, "--epochs", 1, "--seeds", 1, "--every", 0)
    result = spp("train", "--preset", "bn_affine_ffnn", *flags, "-q")
    assert all(line.startswith("runs/") for line in result.stdout.splitlines())


def test_runs_without_a_recording_have_words_and_no_numbers(spp, folder):
    flags = ("--lr", 0.01, "--epochs", 1, "--seeds", 1, "--every", 0)
    result = spp("train", "--preset", "bn_affine_ffnn", *flags)
    assert "found" in result.stdout
    assert "→" not in result.stdout


# ----------------------------------------------------------------------------------------- numbers


def table_of(values, *, seed=0, signal="activation", tensor=""):
    """Two layers that are called in the order b, a."""
    return pd.DataFrame(
        {
            "layer": ["a", "b"],
            "depth": [2, 1],
            "step": 4,
            "seed": seed,
            "signal": signal,
            "tensor": tensor,
            "variance": values,
        }
    )


@pytest.mark.parametrize(
    ("over", "value"), [("mean", 4.0), ("largest", 8.0), ("first / last", 4.0)]
)
def test_layers_become_one_number(over, value):
    quantity = Quantity(
        title="", signal="activation", statistic="variance", layers=("a", "b"), over=over
    )
    assert measure(quantity, table_of([2.0, 8.0]), 4) == pytest.approx(value)


def test_seeds_are_a_geometric_mean_and_other_rows_do_not_count():
    quantity = Quantity(title="", signal="activation", statistic="variance", layers=("a",))
    others = [
        table_of([9.0, 9.0], signal="gradient"),
        table_of([9.0, 9.0], tensor="weight"),
        table_of([9.0, 9.0]).assign(step=8),
    ]
    table = pd.concat([table_of([1.0, 9.0]), table_of([4.0, 9.0], seed=1), *others])
    assert measure(quantity, table, 4) == pytest.approx(2.0)
    assert measure(quantity, table, 5) is None


def test_zeros_and_what_is_not_finite_stay_what_they_are():
    quantity = Quantity(
        title="", signal="activation", statistic="variance", layers=("*",), over="first / last"
    )
    assert np.isnan(measure(quantity, table_of([0.0, 1.0]), 4))  # nothing to divide by
    mean = Quantity(title="", signal="activation", statistic="variance", layers=("*",))
    assert measure(mean, table_of([0.0, 1.0]), 4) == 0.0
    assert np.isnan(measure(mean, table_of([np.nan, 3.0]), 4))
    assert measure(mean, table_of([np.inf, 3.0]), 4) == np.inf


# ------------------------------------------------------------------------------------------- words


def test_presets_are_listed(spp):
    said = spp("train", "--presets")
    for each in (*REPRODUCTIONS, *RECIPES):
        assert re.search(rf"^{each.name}\b", said.stdout, re.M)
    assert said.stderr == "More of one: sppkit train --presets --preset NAME\n"


@pytest.mark.parametrize("reproduction", REPRODUCTIONS, ids=lambda each: each.name)
def test_an_experiment_is_described(spp, reproduction):
    result = spp("train", "--presets", "--preset", reproduction.name)
    said = " ".join(result.stdout.split())
    for text in (reproduction.paper, reproduction.place, reproduction.found, reproduction.look_at):
        assert text in said
    for form in (reproduction.small, reproduction.full):
        assert form.differs.split()[0] in said
        assert all(arm.name in said for arm in form.arms)


def test_a_recipe_is_described(spp):
    said = spp("train", "--presets", "--preset", "ffnn_thesis").stdout
    assert "CIFAR-100, adam, rate 0.001, batches of 512, 20 epochs, constant" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--preset", "nf_batch_sise"),
            "no preset is called 'nf_batch_sise' (did you mean 'nf_batch_size'?); sppkit train "
            "--presets lists them.",
        ),
        (("--preset", "resnet5"), "no recipe is called 'resnet5' (did you mean 'resnet50'?)"),
        (
            ("--preset", "resnet50", "--full-size"),
            "--full-size is for the presets that repeat an experiment of a paper: bn_affine_ffnn, ",
        ),
        (
            ("--presets", "--preset", "no"),
            "no recipe is called 'no'",
        ),
    ],
)
def test_a_preset_that_is_none_is_named(fails, flags, message):
    assert message in fails("train", *flags)
