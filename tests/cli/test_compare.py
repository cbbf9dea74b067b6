import json
import re

import numpy as np
import pandas as pd
import pytest

import sppkit
from sppkit.cli.runs.summary import count_spikes, read_run, run_folders
from sppkit.errors import TargetError
from tests.cli.test_train import NETS


@pytest.fixture
def trained(write, spp):
    """Two seeds of a narrow network and a wide one, trained for an epoch."""
    write(NETS, "nets.py")
    spp("train", "nets.py:Narrow", "--epochs", 1, "--seeds", 2)
    spp("train", "nets.py:Wide", "--epochs", 1)


def test_runs_are_told_by_accuracy_stability_and_cost_and_drawn_together(trained, spp, folder):
    result = spp("compare", "runs")
    place, *table = result.stdout.splitlines()
    assert place == "comparison.png"
    assert (folder / place).is_file()
    wide = read_run(folder / "runs/Wide")
    metrics = pd.read_parquet(folder / "runs/Wide/metrics.parquet")
    assert wide.accuracy == metrics["accuracy"].iloc[-1]
    assert wide.seconds == metrics["seconds"].sum()
    assert wide.spikes == count_spikes(metrics.query("phase == 'train'")["loss"].to_numpy())
    accuracy = f"{wide.accuracy:.3f}"
    row = next(line for line in table if line.startswith("Wide "))
    assert re.fullmatch(
        rf"Wide +1 +{accuracy} +{accuracy} .* finished +{wide.spikes} +[\d.]+ s +[\d.]+ *", row
    )
    seeds = [read_run(folder / f"runs/Narrow-seed{seed}").accuracy for seed in (0, 1)]
    row = next(line for line in table if line.startswith("Narrow "))
    assert f" {np.mean(seeds):.3f}±{np.std(seeds, ddof=1):.3f} " in row


def test_networks_and_recordings_are_compared_without_a_table(chain, spp, folder):
    sppkit.probe(lambda: sppkit.models.build("mlp"), input_size=(64,), seeds=1, run="kept").save(
        folder / "kept.parquet"
    )
    result = spp("compare", chain, "kept.parquet", "--seeds", 1, "-o", "both.svg")
    assert result.stdout == "both.svg\n"
    assert "Ratio to Net" in (folder / "both.svg").read_text()


def test_a_run_is_compared_with_a_network_at_its_first_step(trained, spp, folder):
    result = spp("compare", "runs/Wide", "nets.py:Narrow", "--seeds", 1, "-o", "both.svg")
    assert "note: runs are compared as they are" in result.stderr
    assert "step 0" in (folder / "both.svg").read_text()


def test_a_step_and_a_statistic_can_be_chosen(trained, spp, folder):
    flags = ("--step", 10, "--statistic", "second_moment", "--signal", "gradient")
    spp("compare", "runs/Wide", "runs/Narrow-seed1", *flags, "-o", "c.svg")
    text = (folder / "c.svg").read_text()
    assert "step 10, train pass" in text
    assert "Gradient: Second moment" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nets.py:Wide", "a comparison needs two runs or more"),
        ("runs/Wide nets.py:Narrow --step 7", "step 7 was not recorded"),
        ("runs/Wide nets.py:Narrow --statistic loss", "no statistic 'loss'"),
        ("runs/Wide nets.py:Narrow --axis block", "needs residual blocks in all runs"),
        ("runs/Wide gone.py", "'gone.py' does not exist"),
        ("runs/Wide runs/Narrow-seed0 -o a.txt", "a.txt"),
    ],
)
def test_what_cannot_be_compared_is_said(line, message, trained, fails):
    assert message in " ".join(fails("compare", *line.split()).split())


def test_a_run_without_metrics_is_named(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"settings": {}, "state": "running"}))
    assert run_folders(tmp_path) == [tmp_path]
    with pytest.raises(TargetError, match=r"is no run that can be read.*after the first checkp"):
        read_run(tmp_path)


def test_a_spike_is_a_loss_of_more_than_twice_the_usual():
    usual = np.full(60, 2.0)
    assert count_spikes(np.array([*usual, 3.9, 4.1, 2.0, np.inf, np.nan, 2.0])) == 3
    # a new level is one until it is the half of fifty steps
    assert count_spikes(np.array([*usual, *np.full(60, 9.0)])) == 25
    assert count_spikes(np.array([1.0, 9.0, 1.0])) == 0  # too few to say what is usual
    assert count_spikes(np.array([])) == 0


def test_the_noise_of_small_batches_is_no_spike():
    noise = np.exp(np.random.default_rng(0).normal(size=5000))  # a deviation of a factor of e
    assert (noise[1:] > 2 * noise[:-1]).mean() > 0.2
    assert count_spikes(noise) == 0
    assert count_spikes(np.array([*noise, 1e4])) == 1
