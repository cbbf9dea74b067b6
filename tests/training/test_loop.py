import dataclasses
import json
import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import OutputError, TrainingError
from sppkit.training.batches import Tensors
from sppkit.training.loop import train
from sppkit.training.optimizers import prepare_training
from sppkit.training.run_folder import RunFolder
from sppkit.training.trainee import Trainee
from tests.training.conftest import RunStoppedError, SmallNet, weights

DETERMINED = [
    *("step", "epoch", "phase", "loss", "accuracy", "samples", "learning_rate"),
    *("clipped_fraction", "is_recorded"),
]


def metrics(folder):
    return pd.read_parquet(folder.path / "metrics.parquet")[DETERMINED]


def assert_same_run(one, other):
    pd.testing.assert_frame_equal(metrics(one), metrics(other), check_exact=True)
    first, second = weights(one), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first | second)
    table, again = sppkit.read(one.path).table(), sppkit.read(other.path).table()
    pd.testing.assert_frame_equal(table, again, check_exact=True)
    assert one.events() == other.events()


def test_the_loop_is_the_loop_that_a_reader_of_the_recipe_would_write(make_task, folder):
    task = make_task(
        recipe={"clipping": None, "averaging_decay": None},
        build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    )
    train(task, folder)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, nesterov=True, weight_decay=1e-4)
    losses, steps = [], 42
    for epoch in range(2):
        for x, y in task.data.train.epoch(0, epoch, 64):
            done = len(losses) / 21
            rate = done / 0.5 if done < 0.5 else (1 + math.cos(math.pi * (done - 0.5) / 1.5)) / 2
            optimizer.param_groups[0]["lr"] = 0.05 * rate
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    trained = metrics(folder).query("phase == 'train'")
    assert len(trained) == steps
    np.testing.assert_allclose(trained["loss"], losses, rtol=1e-6)
    model.eval()
    batches = list(task.data.test.in_order(64))
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in batches)
    evaluated = metrics(folder).query("phase == 'eval'")
    assert evaluated["step"].tolist() == [21, 42]
    assert evaluated["accuracy"].iloc[-1] == right / 450


def test_a_network_learns_and_the_folder_says_how(make_task, folder, plain_digits):
    changed = {"averaging_decay": None, "clipping": None}
    outcome = train(make_task(recipe=changed, data=plain_digits), folder)
    assert outcome.ended == "finished"
    assert outcome.steps == 42
    assert outcome.test_accuracy > 0.6
    assert outcome.test_accuracy == metrics(folder)["accuracy"].iloc[-1]
    said = json.loads((folder.path / "run.json").read_text())
    assert said["state"] == "finished"
    assert said["settings"]["recipe"]["learning_rate"] == 0.05
    assert said["environment"]["versions"]["torch"] == torch.__version__
    recording = sppkit.read(folder.path)
    table = recording.table()
    assert sorted(set(table["step"])) == list(range(0, 42, 4))
    assert set(table["phase"]) == {"train"}  # evaluations are not in it
    assert recording.metadata["small"]["recorded_steps"] == 11
    assert folder.events() == []


def test_the_average_of_the_weights_is_what_is_evaluated(make_task, folder):
    task = make_task(recipe={"averaging_decay": 0.9})
    outcome = train(task, folder)
    trainee = Trainee(task)
    trainee.restore(torch.load(folder.path / "checkpoint.pt", weights_only=True))
    assert trainee.evaluate(task.data.test)[1] == outcome.test_accuracy
    average = trainee.training.average.module
    assert not torch.equal(average[1].weight, trainee.model[1].weight)


@pytest.mark.parametrize("step", [1, 4, 21, 30])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    step, make_task, folder, interrupt, tmp_path
):
    task = dataclasses.replace(make_task(), flush_seconds=1e-9)  # everything, after every step
    whole = RunFolder(tmp_path / "whole")
    train(task, whole)
    with pytest.raises(RunStoppedError):
        train(interrupt(task, step), folder)
    assert len(metrics(folder)) >= step
    outcome = train(task, folder, resume=True)
    assert outcome.steps == 42
    assert_same_run(whole, folder)
    assert sppkit.read(folder.path).metadata["small"]["recorded_steps"] == 11


def test_what_was_written_after_the_last_checkpoint_is_made_again(
    make_task, folder, interrupt, tmp_path
):
    task = make_task(flush_seconds=1e-9)
    whole = RunFolder(tmp_path / "whole")
    train(task, whole)
    with pytest.raises(RunStoppedError):
        train(interrupt(task, 10), folder)
    early = (folder.path / "checkpoint.pt").read_bytes()
    with pytest.raises(RunStoppedError):
        train(interrupt(task, 25), folder, resume=True)
    folder.add_event({"step": 24, "kind": "made up"})
    (folder.path / "checkpoint.pt").write_bytes(early)  # as if killed before it was replaced
    (folder.path / "recording" / ".part-00009.parquet.77.tmp").write_bytes(b"half")
    (folder.path / ".0123.tmp").write_bytes(b"half")
    train(task, folder, resume=True)
    assert_same_run(whole, folder)
    assert not list(folder.path.rglob(".*"))


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    make_task, folder, interrupt, tmp_path
):
    task = make_task()
    whole = RunFolder(tmp_path / "whole")
    train(task, whole)
    with pytest.raises(RunStoppedError):
        train(interrupt(task, 9), folder)
    assert not (folder.path / "checkpoint.pt").exists()
    assert sppkit.read(folder.path).table()["step"].max() == 8
    train(task, folder, resume=True)
    assert_same_run(whole, folder)


def test_to_resume_what_is_not_there_is_to_begin(make_task, folder):
    assert train(make_task(), folder, resume=True).steps == 42


def test_a_run_that_has_ended_is_left_as_it_is(make_task, folder):
    outcome = train(make_task(), folder)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    again = train(make_task(), folder, resume=True)
    assert again == outcome
    assert {path: path.read_bytes() for path in before} == before


def test_other_settings_cannot_be_resumed_with(make_task, folder, interrupt):
    with pytest.raises(RunStoppedError):
        train(interrupt(make_task(), 3), folder)
    changed = make_task(recipe={"learning_rate": 0.1}, every=2)
    with pytest.raises(TrainingError, match=r"other settings.*every was 4, is 2"):
        train(changed, folder, resume=True)


def test_an_existing_run_is_not_overwritten(make_task, folder):
    train(make_task(), folder)
    before = (folder.path / "metrics.parquet").read_bytes()
    with pytest.raises(OutputError, match=r"holds a run already.*--resume.*--force"):
        train(make_task(), folder)
    assert (folder.path / "metrics.parquet").read_bytes() == before


def test_a_folder_with_other_files_is_left_alone(make_task, folder):
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        train(make_task(), folder)
    assert [path.name for path in folder.path.iterdir()] == ["thesis.txt"]


def test_what_is_cleared_is_only_what_sppkit_wrote(make_task, folder):
    train(make_task(), folder)
    (folder.path / "notes.txt").write_text("mine")
    folder.clear()
    assert [p.name for p in folder.path.rglob("*") if p.is_file()] == ["notes.txt"]


def test_random_numbers_and_weights_of_others_are_left_as_found(make_task, folder):
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    train(make_task(), folder)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert np.random.get_state()[1].tolist() == state[2]


def test_recording_changes_nothing(make_task, folder, tmp_path):
    plain = RunFolder(tmp_path / "plain")
    train(make_task(every=0), plain)
    train(make_task(every=1), folder)
    columns = [name for name in DETERMINED if name != "is_recorded"]
    pd.testing.assert_frame_equal(metrics(plain)[columns], metrics(folder)[columns])
    assert not (plain.path / "recording").exists()


def test_networks_of_one_seed_see_the_same_data(make_task, tmp_path):
    seen = {}

    def watched(name, network):
        def make():
            built = network()
            built.register_forward_pre_hook(
                lambda module, args: seen.setdefault(name, []).append(args[0].clone())
            )
            return built

        return make

    for name, network in (
        ("small", SmallNet),
        ("linear", lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
    ):
        task = make_task(build=watched(name, network), every=0, recipe={"averaging_decay": None})
        train(task, RunFolder(tmp_path / name))
    assert len(seen["small"]) == len(seen["linear"]) > 42
    assert all(map(torch.equal, seen["small"], seen["linear"]))


def test_the_weights_of_a_seed_are_those_that_a_probe_measures(make_task, folder, interrupt):
    train(make_task(seed=3, recipe={"epochs": 1}), folder)
    trained = sppkit.read(folder.path).table().query("step == 0 and signal == 'weight'")
    probed = sppkit.probe(SmallNet, input_size=(1, 8, 8), seed=3, seeds=1).table()
    probed = probed.query("signal == 'weight'")
    # sums of float32 in another order
    np.testing.assert_allclose(trained["second_moment"], probed["second_moment"], rtol=1e-6)


def test_a_run_that_diverges_ends_with_an_event(make_task, folder):
    task = make_task(recipe={"learning_rate": 1e20, "epochs": 5, "clipping": None})
    outcome = train(task, folder)
    assert outcome.ended == "diverged"
    assert outcome.steps < 105
    events = {event["kind"]: event for event in folder.events()}
    assert list(events)[-2:] == ["loss not finite", "diverged"]
    first = events["loss not finite"]
    losses = metrics(folder).query("phase == 'train'")["loss"]
    assert math.isfinite(losses.iloc[first["step"] - 1])
    assert not math.isfinite(losses.iloc[first["step"]])
    assert json.loads((folder.path / "run.json").read_text())["state"] == "diverged"


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_lower_precision_trains_and_resumes(
    amp, make_task, folder, interrupt, tmp_path, plain_digits
):
    changed = {"averaging_decay": None, "clipping": None}
    task = make_task(amp=amp, flush_seconds=1e-9, recipe=changed, data=plain_digits)
    whole = RunFolder(tmp_path / "whole")
    assert train(task, whole).test_accuracy > 0.5
    with pytest.raises(RunStoppedError):
        train(interrupt(task, 13), folder)
    train(task, folder, resume=True)
    assert_same_run(whole, folder)


def test_progress_is_told_up_to_the_last_step(make_task, folder):
    heard = []
    train(make_task(), folder, hear=heard.append)
    last = heard[-1]
    assert (last.step, last.steps, last.epoch) == (42, 42, 2)
    assert last.step_seconds > 0
    assert last.accuracy == metrics(folder)["accuracy"].iloc[-1]


def test_the_share_of_clipped_units_is_in_the_metrics(make_task, folder):
    task = make_task(recipe={"averaging_decay": None})
    train(task, folder)
    clipped = metrics(folder).query("phase == 'train'")["clipped_fraction"]
    assert clipped.between(0, 1).all()
    torch.manual_seed(0)
    model = SmallNet()
    training = prepare_training(task.recipe, model, steps_per_epoch=21)
    x, y = next(task.data.train.epoch(0, 0, 64))
    torch.manual_seed(0)
    SmallNet()  # dropout goes on behind the weights
    nn.functional.cross_entropy(model(x), y).backward()
    training.clipping()
    assert clipped.iloc[0] == training.clipping.step_rates()[0]


class NoGradient(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.flatten(1)[:, :10]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: SmallNet(classes=5), r"answers \(64, 5\).*10 classes.*-k classes=10"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 10)),
            r"fails on a batch of \(64, 1, 8, 8\)",
        ),
        (nn.Flatten, "no parameter that requires a gradient"),
        (NoGradient, "has no gradient"),
    ],
)
def test_a_network_that_cannot_be_trained_leaves_nothing_behind(
    network, message, make_task, folder, tmp_path
):
    with pytest.raises(TrainingError, match=message):
        train(make_task(build=network), folder)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_network_is_refused(make_task, folder, interrupt):
    task = make_task(flush_seconds=1e-9)
    with pytest.raises(RunStoppedError):
        train(interrupt(task, 3), folder)
    other = dataclasses.replace(task, build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(TrainingError, match="another network"):
        train(other, folder, resume=True)


def test_a_broken_checkpoint_is_named(make_task, folder, interrupt):
    task = make_task(flush_seconds=1e-9)
    with pytest.raises(RunStoppedError):
        train(interrupt(task, 3), folder)
    (folder.path / "checkpoint.pt").write_bytes(b"PK half an archive")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt' is no checkpoint that can be read"):
        train(task, folder, resume=True)


def test_numbers_can_be_learnt_instead_of_classes(make_task, folder, digits):
    x = torch.randn(200, 64)
    target = (x @ torch.randn(64, 1)) / 8
    samples = Tensors(x.__getitem__, target)
    data = dataclasses.replace(digits, train=samples, test=samples, classes=None, size=(64,))
    task = make_task(
        data=data, build=lambda: nn.Linear(64, 1), recipe={"epochs": 20, "clipping": None}
    )
    outcome = train(task, folder)
    assert outcome.test_loss < 0.1 * target.var().item()
    assert math.isnan(outcome.test_accuracy)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, as it compiles
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_is_trained_like_a_plain_one(make_task, folder, tmp_path):
    pytest.importorskip("torch._inductor")
    plain = RunFolder(tmp_path / "plain")
    changes = {"epochs": 1, "averaging_decay": None}
    train(
        make_task(recipe=changes, build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
        plain,
    )
    train(
        make_task(
            recipe=changes,
            compile=True,
            build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        ),
        folder,
    )
    np.testing.assert_allclose(metrics(plain)["loss"], metrics(folder)["loss"], rtol=1e-4)
    assert set(sppkit.read(folder.path).table()["signal"]) >= {"activation", "gradient", "weight"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_takes_the_same_path(make_task, folder, plain_digits):
    changed = {"averaging_decay": None, "clipping": None}
    task = make_task(device="cuda", amp="bf16", recipe=changed, data=plain_digits)
    outcome = train(task, folder)
    assert outcome.test_accuracy > 0.5
    assert sppkit.read(folder.path).metadata["small"]["device"].startswith("cuda")
