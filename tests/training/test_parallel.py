"""Two processes with half of each batch learn what one process learns from the whole batch."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import TensorDataset

import sppkit
from sppkit.errors import DataError, TrainingError
from sppkit.training.batches import Samples, Tensors
from sppkit.training.data import Wishes, find_data
from sppkit.training.data.augmentation import crop_and_flip
from sppkit.training.loop import train
from sppkit.training.parallel import Parallel
from sppkit.training.recipes import Clipping
from sppkit.training.run_folder import RunFolder
from sppkit.training.shares import share_of
from sppkit.training.task import Task
from tests.ranks import run_ranks
from tests.training.conftest import RECIPE, RunStoppedError, stopping


class Independent(nn.Sequential):
    """No sample meets another one, and nothing is drawn."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class Drawing(nn.Sequential):
    """With batch normalisation and dropout."""

    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10)
        )


def make_task(parallel=None, *, build=Independent, recipe=None, **changes):
    data = find_data("digits", Wishes(size=(1, 8, 8), augmentation="crop-flip"))
    chosen = dataclasses.replace(RECIPE, **(recipe or {}))
    if parallel is not None:
        changes["parallel"] = parallel
    return Task(run="net", build=build, origin="Net", data=data, recipe=chosen, every=4, **changes)


def train_on_rank(rank, path, kind, options, stop_at=None, resume=False):
    """Train on one of two ranks; say how it ended."""
    task = make_task(Parallel(kind, rank, 2), **options)
    if stop_at is not None:
        task = stopping(task, stop_at)
    try:
        return dataclasses.asdict(train(task, RunFolder(path), resume=resume))
    except RunStoppedError:
        return "stopped"


def metrics(path):
    return pd.read_parquet(path / "metrics.parquet")


def weights_of(path):
    return torch.load(path / "checkpoint.pt", weights_only=True)["model"]


def assert_alike(one, other, *, tolerance=1e-4):
    """Compare the measured numbers and the weights of two runs."""
    left, right = metrics(one), metrics(other)
    assert left[["step", "phase", "samples"]].equals(right[["step", "phase", "samples"]])
    np.testing.assert_allclose(left["loss"], right["loss"], rtol=tolerance)
    np.testing.assert_allclose(left["accuracy"], right["accuracy"], atol=1e-12)
    mine, yours = weights_of(one), weights_of(other)
    assert list(mine) == list(yours)
    for name in mine:
        torch.testing.assert_close(mine[name], yours[name], rtol=tolerance, atol=tolerance)


OPTIONS = {
    "ddp": {"recipe": {}},  # clipping by unit, an average of the weights, Nesterov, decay
    "fsdp": {"recipe": {"averaging_decay": None, "clipping": None}},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_two_ranks_learn_what_one_process_learns(kind, tmp_path):
    options = OPTIONS[kind]
    train(make_task(**options), RunFolder(tmp_path / "one"))
    outcomes = run_ranks(train_on_rank, tmp_path, tmp_path / "two", kind, options)
    one, two = tmp_path / "one", tmp_path / "two"
    assert_alike(one, two)
    assert [outcome["ended"] for outcome in outcomes] == ["finished", "finished"]
    assert outcomes[0]["test_accuracy"] == outcomes[1]["test_accuracy"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["one", "two"]


def test_the_norm_of_a_sharded_gradient_is_that_of_the_whole(tmp_path):
    recipe = {"averaging_decay": None, "clipping": Clipping(method="norm", limit=0.05)}
    train(make_task(recipe=recipe), RunFolder(tmp_path / "one"))
    run_ranks(train_on_rank, tmp_path, tmp_path / "two", "fsdp", {"recipe": recipe})
    assert_alike(tmp_path / "one", tmp_path / "two")
    clipped = [metrics(tmp_path / name)["clipped_fraction"] for name in ("one", "two")]
    assert clipped[0].equals(clipped[1])
    assert clipped[0].max() == 1.0


def test_modules_that_are_sharded_by_themselves_learn_the_same(tmp_path):
    options = OPTIONS["fsdp"]
    train(make_task(**options), RunFolder(tmp_path / "one"))
    wrapped = run_ranks(train_in_small_shards, tmp_path, tmp_path / "two", options)
    assert wrapped == [["", "1", "3"], ["", "1", "3"]]
    assert_alike(tmp_path / "one", tmp_path / "two")


def train_in_small_shards(rank, path, options):
    """Shard each layer; say which modules were sharded."""
    built = []

    class Noting(Independent):
        def __init__(self):
            super().__init__()
            built.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sppkit.training.parallel.SHARDED_PARAMETERS", 100)
        train(make_task(Parallel("fsdp", rank, 2), **{**options, "build": Noting}), RunFolder(path))
    return [name for name, module in built[0].named_modules() if isinstance(module, FSDPModule)]


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_recording_is_that_of_the_whole_batch(kind, tmp_path):
    options = OPTIONS[kind]
    train(make_task(**options), RunFolder(tmp_path / "one"))
    run_ranks(train_on_rank, tmp_path, tmp_path / "two", kind, options)
    one, two = (sppkit.read(tmp_path / name) for name in ("one", "two"))
    key = ["step", "layer", "tensor", "signal"]
    tables = [recording.table().astype(dict.fromkeys(key[1:], str)) for recording in (one, two)]
    left, right = (table.set_index(key).sort_index() for table in tables)
    clipped = left.index.get_level_values("signal") == "clipped weight gradient"
    raw = left.index.get_level_values("signal") == "weight gradient"
    left = left[~clipped & ~raw]  # of several processes, they are read behind the clipping
    right = right.loc[left.index]
    assert set(right["rank"]) == {-1}
    assert (left["samples"] == right["samples"]).all()
    for statistic in ("second_moment", "average_channel_variance", "maximum"):
        np.testing.assert_allclose(left[statistic], right[statistic], rtol=2e-3, atol=1e-7)
    assert two.metadata["net"]["world_size"] == 2


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("build", [Independent, Drawing])
def test_an_interrupted_run_of_two_ranks_goes_on_to_the_same_result(kind, build, tmp_path):
    options = {**OPTIONS[kind], "flush_seconds": 1e-9, "build": build}
    whole, again = tmp_path / "whole", tmp_path / "again"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    run_ranks(train_on_rank, tmp_path / "a", whole, kind, options)
    stopped = run_ranks(train_on_rank, tmp_path / "b", again, kind, options, 27)
    assert stopped == ["stopped", "stopped"]
    assert torch.load(again / "checkpoint.pt", weights_only=True)["step"] == 20
    run_ranks(train_on_rank, tmp_path / "c", again, kind, options, None, True)
    assert_alike(whole, again, tolerance=1e-6)
    one, two = (sppkit.read(path).table() for path in (whole, again))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("kind", OPTIONS)
def test_ranks_stop_together(kind, tmp_path):
    """Only the first hears the early warning, and would leave the others waiting."""
    recipe = {"averaging_decay": None, "clipping": None, "learning_rate": 30.0}
    options = {"recipe": recipe, "stop_on": "warning"}
    outcomes = run_ranks(train_on_rank, tmp_path, tmp_path / "run", kind, options)
    assert [outcome["ended"] for outcome in outcomes] == ["stopped", "stopped"]
    (steps,) = {outcome["steps"] for outcome in outcomes}
    assert steps % 10 == 0
    events = RunFolder(tmp_path / "run").events()
    assert events[-1]["kind"] == "stopped"
    assert events[0]["step"] < steps


def test_ranks_draw_other_numbers(tmp_path):
    """With the same dropout on both ranks, half of the masks of a batch would be copies."""
    assert run_ranks(draw_on_rank, tmp_path, tmp_path / "run") == [False, False]


def draw_on_rank(rank, path):
    drawn = []

    class Noting(Independent):
        def forward(self, x):
            drawn.append(torch.rand(4))
            return super().forward(x)

    train(make_task(Parallel("ddp", rank, 2), build=Noting), RunFolder(path))
    others = [None, None]
    torch.distributed.all_gather_object(others, drawn[0])
    return bool(torch.equal(*others))


def test_only_the_first_rank_writes(tmp_path):
    run_ranks(train_on_rank, tmp_path, tmp_path / "run", "ddp", OPTIONS["ddp"])
    names = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert names == {"run"}
    assert len(metrics(tmp_path / "run")) == 2 * 21 + 2


# ------------------------------------------------------------------------------------------ shares


def data_of(batches):
    data = find_data("digits", Wishes(size=(1, 8, 8)))
    return dataclasses.replace(data, train=batches, test=batches)


def shares_of(batches, size):
    return [share_of(data_of(batches), Parallel("ddp", rank, size)) for rank in range(size)]


KINDS = {
    "tensors": lambda x, y: Tensors(x.__getitem__, y),
    "samples": lambda x, y: Samples(TensorDataset(x, y), "made up"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_shares_make_up_the_whole_batch(kind):
    x = torch.arange(50.0).view(50, 1)
    batches = KINDS[kind](x, torch.arange(50))
    shares = shares_of(batches, 3)
    whole = batches.epoch(4, 1, 12)
    for batch, *parts in zip(whole, *(s.train.epoch(4, 1, 12) for s in shares), strict=True):
        assert {len(part.y) for part in parts} == {4}
        assert sorted(torch.cat([p.y for p in parts]).tolist()) == sorted(batch.y.tolist())
        assert all(torch.equal(part.x[:, 0].long(), part.y) for part in parts)
    assert {share.train.steps(12) for share in shares} == {4}
    later = [next(iter(share.train.epoch(4, 1, 12, first=2))) for share in shares]
    expected = list(batches.epoch(4, 1, 12))[2]
    assert sorted(torch.cat([p.y for p in later]).tolist()) == sorted(expected.y.tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [48, 49, 50, 51, 3])
def test_every_sample_is_evaluated_once_in_as_many_batches_on_each_rank(kind, samples):
    batches = KINDS[kind](torch.arange(float(samples)).view(samples, 1), torch.arange(samples))
    parts = [list(share.test.in_order(12)) for share in shares_of(batches, 3)]
    assert len({len(part) for part in parts}) == 1
    assert all(len(batch.y) for part in parts for batch in part)
    seen = torch.cat([batch.y for part in parts for batch in part])
    assert sorted(seen.tolist()) == list(range(samples))


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_samples_than_processes_are_refused(kind):
    batches = KINDS[kind](torch.zeros(2, 1), torch.arange(2))
    share = shares_of(batches, 3)[2]
    message = "there are fewer samples than the 3 processes that share them; train in fewer."
    with pytest.raises(DataError, match=message):
        list(share.test.in_order(2))
    with pytest.raises(DataError, match=message):
        list(share.train.epoch(0, 0, 2))


def test_ranks_augment_samples_that_are_read_with_random_numbers_of_their_own():
    pictures = torch.randn(1, 1, 8, 8).repeat(40, 1, 1, 1)
    samples = Samples(TensorDataset(pictures, torch.arange(40)), "one", augment=crop_and_flip)
    first, second = (next(iter(s.train.epoch(0, 0, 20))).x for s in shares_of(samples, 2))
    assert not torch.equal(first, second)


# ------------------------------------------------------------------------------------------ errors


def test_a_batch_without_equal_shares_is_refused():
    message = (
        "a batch of 50 samples has no equal shares for 4 processes; choose another with -b, "
        "such as 48."
    )
    with pytest.raises(TrainingError, match=message):
        make_task(Parallel("ddp", 0, 4), batch_size=50)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recipe": {"averaging_decay": 0.9, "clipping": None}}, "an average of the weights"),
        ({"amp": "fp16"}, "float16"),
        ({"compile": True}, "--compile"),
        ({"recipe": {"averaging_decay": None}}, "clipping"),
    ],
)
def test_what_shards_do_not_allow_is_named(changes, named):
    with pytest.raises(TrainingError, match="--parallel fsdp does not go together with") as error:
        make_task(Parallel("fsdp", 0, 2), **changes)
    assert named in str(error.value)


def test_another_number_of_processes_is_no_resumption(tmp_path):
    train(make_task(), RunFolder(tmp_path / "run"))
    settings = make_task(Parallel("ddp", 0, 2)).settings()
    with pytest.raises(TrainingError, match="parallel was None, is 'ddp'"):
        RunFolder(tmp_path / "run").check_settings(settings)
