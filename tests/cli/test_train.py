import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import sppkit
from sppkit.cli import app
from sppkit.cli.training.flags import Feeding, Keeping, Learning, Running
from sppkit.cli.training.tasks import plan_runs
from sppkit.training.recipes import RECIPES, Clipping

NETS = """
    import torch
    from torch import nn

    class Narrow(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self, width=16, classes=10):
            super().__init__(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

    class Wide(Narrow):
        def __init__(self):
            super().__init__(width=32)

    class Wrong(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self):
            super().__init__(nn.Linear(64, 3))

    built = Narrow()

    def half_square(output, labels):
        return (output - nn.functional.one_hot(labels, 10)).square().mean() / 2
"""


@pytest.fixture
def nets(write):
    write(NETS, "nets.py")


def plan(*targets, **flags):
    groups = (Learning, Feeding, Running, Keeping)
    given = [
        group(**{k: v for k, v in flags.items() if k in group.__dataclass_fields__})
        for group in groups
    ]
    return plan_runs(targets, *given)


def said(folder, name):
    return json.loads((folder / "runs" / name / "run.json").read_text())


def test_networks_are_trained_side_by_side_into_folders_and_pictures(nets, spp, folder):
    result = spp("train", "nets.py:Narrow", "nets.py:Wide", "--epochs", 2, "--every", 5, "-b", 32)
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        *("runs/Narrow", "runs/Wide"),
        *("runs/first-step-spp.png", "runs/last-step-spp.png"),
    ]
    table = "\n".join(lines[4:])
    for name in ("Narrow", "Wide"):
        outcome = said(folder, name)["outcome"]
        assert outcome["steps"] == 84
        assert re.search(rf"{name} +1 +{outcome['test_accuracy']:.3f}", table)
        recording = sppkit.read(folder / "runs" / name)
        assert recording.runs == (name,)
        assert sorted(set(recording.table()["step"])) == list(range(0, 84, 5))
        metrics = pd.read_parquet(folder / "runs" / name / "metrics.parquet")
        assert len(metrics) == 84 + 2
        assert (folder / "runs" / name / "over-training.png").is_file()
    assert result.stderr == ""  # no bar in a pipe
    assert all((folder / line).is_file() for line in lines[2:4])


def test_a_run_directory_is_plotted_like_any_recording(nets, spp, folder):
    spp("train", "nets.py:Narrow", "--epochs", 1)
    assert "Narrow" in spp("plot", "runs/Narrow", "--step", 40, "-o", "late.png").stdout
    assert (folder / "late.png").is_file()


def test_a_grid_has_a_folder_for_each_point_and_seed(nets, spp, folder):
    result = spp(
        *("train", "nets.py:Narrow", "--epochs", 1, "--lr", 0.01, "--lr", 0.001),
        *("--seeds", 2, "--every", 0),
    )
    names = [f"Narrow-lr={rate}-seed{seed}" for rate in ("0.01", "0.001") for seed in (0, 1)]
    assert result.stdout.splitlines()[:4] == [f"runs/{name}" for name in names]
    assert {said(folder, name)["settings"]["recipe"]["learning_rate"] for name in names} == {
        *(0.01, 0.001)
    }
    assert re.search(r"Narrow lr=0\.01 +2 +0\.\d{3}±0\.\d{3}", result.stdout)
    assert not (folder / "runs" / "first-step-spp.png").exists()  # nothing was recorded


def test_flags_change_the_recipe(nets):
    (run,) = plan(
        "nets.py:Narrow",
        optimizer=None,
        learning_rate=[0.2],
        batch_size=[128],
        epochs=20,
        weight_decay=[1e-3],
        clip=["agc:0.02"],
        clip_exclude=["2.*"],
        warmup=2.0,
        label_smoothing=0.1,
    )
    recipe = run.task.recipe
    assert (recipe.learning_rate, recipe.weight_decay, recipe.epochs) == (0.2, 1e-3, 20)
    assert (recipe.warmup_epochs, recipe.label_smoothing) == (2.0, 0.1)
    assert recipe.clipping == Clipping(method="adaptive", limit=0.02, exclude=("2.*",))
    assert not recipe.rate_scales_with_batch
    assert run.task.samples_per_step == 128


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_preset_brings_its_network(recipe, folder):
    (run,) = plan(preset=recipe.name, input_size="3,8,8")
    assert run.task.origin == f"ref:{recipe.reference}"
    assert run.task.recipe == recipe


def test_a_preset_of_other_epochs_keeps_the_shape_of_its_schedule(folder):
    (run,) = plan(preset="resnet50", epochs=9, input_size="3,8,8")
    assert run.task.recipe.milestones == (3, 6, 8)


def test_bundled_networks_are_built_for_the_classes_of_the_data(spp, folder):
    x = np.random.default_rng(0).normal(size=(80, 8, 8)).astype(np.float32)
    np.savez(folder / "three.npz", x=x, y=np.arange(80) % 3)
    spp("train", "ref:mlp", "--data", "three.npz", "--epochs", 1, "-b", 20)
    weights = torch.load(folder / "runs/mlp/checkpoint.pt", weights_only=True)["model"]
    assert len(list(weights.values())[-1]) == 3
    assert said(folder, "mlp")["settings"]["data"] == "three.npz: 60 and 20 samples"


def test_a_loss_of_the_users_is_minimised(nets, spp, folder):
    learning = ("--epochs", 3, "--lr", 0.01, "--every", 0)
    spp("train", "nets.py:Narrow", "--loss", "nets.py:half_square", *learning)
    assert said(folder, "Narrow")["outcome"]["test_loss"] < 0.04  # 0.05 where nothing is answered


def test_a_run_that_diverges_leaves_with_one_and_says_when(nets, folder):
    line = [
        "train",
        "nets.py:Narrow",
        "--epochs",
        "2",
        "--lr",
        "1e30",
        "--optimizer",
        "sgd",
        "--every",
        "0",
    ]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 1
    assert re.search(r"Narrow.*diverged", result.stdout)
    assert re.search(r"Narrow: step \d+: the loss of step \d+ is (nan|inf)", result.stderr)
    assert said(folder, "Narrow")["state"] == "diverged"


def test_a_run_that_fails_does_not_stop_the_others(nets, folder):
    line = ["train", "nets.py:Wrong", "nets.py:Narrow", "--epochs", "1", "--every", "0"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 2
    assert "error: Wrong: Wrong in nets.py answers (8, 3)" in result.stderr
    assert said(folder, "Narrow")["state"] == "finished"
    assert not (folder / "runs" / "Wrong").exists()


def test_an_ended_run_is_resumed_by_showing_it_again(nets, spp, folder):
    line = ("train", "nets.py:Narrow", "--epochs", 1)
    first = spp(*line).stdout
    assert spp(*line, "--resume").stdout == first


def test_resume_goes_on_and_begins_what_was_not_begun(nets, spp, folder):
    line = ("train", "nets.py:Narrow", "nets.py:Wide", "--epochs", 1)
    spp(*line)
    whole = (folder / "runs/Wide/checkpoint.pt").read_bytes()
    shutil.rmtree(folder / "runs/Wide")
    spp(*line, "--resume")
    again = torch.load(folder / "runs/Wide/checkpoint.pt", weights_only=True)["model"]
    (folder / "whole.pt").write_bytes(whole)
    before = torch.load(folder / "whole.pt", weights_only=True)["model"]
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_an_existing_run_is_named_with_what_can_be_done(nets, spp, fails, folder):
    spp("train", "nets.py:Narrow", "--epochs", 1)
    message = " ".join(fails("train", "nets.py:Narrow", "--epochs", 1).split())
    assert "'runs/Narrow' holds a run already" in message
    assert "--resume" in message
    assert "--force" in message
    spp("train", "nets.py:Narrow", "--epochs", 2, "--force")
    assert said(folder, "Narrow")["outcome"]["steps"] == 2 * (1347 // 8)


def test_files_of_others_stay_where_they_are(nets, spp, fails, folder):
    spp("train", "nets.py:Narrow", "--epochs", 1)
    (folder / "runs/Narrow/notes.txt").write_text("mine")
    spp("train", "nets.py:Narrow", "--epochs", 1, "--force")
    assert (folder / "runs/Narrow/notes.txt").read_text() == "mine"
    (folder / "runs/last-step-spp.png").write_bytes(b"mine")
    message = fails("train", "nets.py:Wide", "--epochs", 1)
    assert "last-step-spp.png" in message


def test_other_settings_are_no_resumption(nets, spp, fails, folder):
    spp("train", "nets.py:Narrow", "--epochs", 1)
    message = fails("train", "nets.py:Narrow", "--epochs", 1, "--every", 3, "--resume")
    assert "every was 10, is 3" in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no network was named"),
        ("nets.py:built", "a network that is built already"),
        ("nets.py:Narrow --data digit", "names no data. Did you mean 'digits'?"),
        ("nets.py:Narrow --data gone.npz", "there is no file 'gone.npz'"),
        ("nets.py:Narrow --data folder:gone", "'gone' is no folder"),
        ("nets.py:Narrow -s 3,32,32 --data hf:uoft/none", "need the library datasets"),
        ("nets.py:Narrow -s 7", "Digits do not fit an input of size (7,)"),
        ("nets.py:Narrow -s big", "'-s big' is no size"),
        ("nets.py:Narrow --preset nf_resnet", "no recipe is called 'nf_resnet'"),
        ("nets.py:Narrow --clip hard:1", "'--clip hard:1' is no clipping"),
        ("nets.py:Narrow --clip agc:-1", "'--clip agc:-1' is no clipping"),
        ("nets.py:Narrow --clip agc:0.01 --clip-exclude head*", "matched no parameter"),
        ("nets.py:Narrow --clip-exclude 0.*", "needs gradients that are clipped"),
        ("nets.py:Narrow --lr 0", "--lr 0.0 has no meaning"),
        ("nets.py:Narrow --epochs 1 --warmup 1", "--warmup 1 does not fit into 1 epochs"),
        ("nets.py:Narrow --momentum 1", "--momentum 1.0 has no meaning"),
        ("nets.py:Narrow --hold-out 2", "is no share of the samples"),
        ("nets.py:Narrow --flush-seconds 0", "must be above 0 seconds"),
        ("nets.py:Narrow --resume --force", "keep one of them"),
        ("nets.py:Narrow --augment crop-flip", "crops and flips are of pictures"),
        ("nets.py:Wrong", "10 classes"),
        ("nets.py:Narrow --loss nets.py", "names no function"),
        ("nets.py:Narrow -o nets.py", "is a file"),
        ("nets.py:Narrow --include gone*", "matched no layer"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_left_behind(line, message, nets, fails):
    assert message in " ".join(fails("train", *line.split()).split())


def test_sets_by_name_need_a_library_and_say_so_in_one_sentence(nets, fails, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    message = fails("train", "nets.py:Narrow", "-s", "3,32,32", "--data", "hf:uoft-cs/cifar100")
    assert message.count("\n") == 1
    assert "pip install datasets" in message
