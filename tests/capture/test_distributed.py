"""Two processes record what one process would have recorded of the whole batch."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as distributed_functions
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import sppkit
from sppkit.capture.processes import side_group
from sppkit.table import KEY, TABLE_COLUMNS
from tests.cases import BasicBlock, weight_normed
from tests.ranks import run_ranks

BATCH, EVEN, UNEVEN = 12, 6, 4


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.branch = nn.Sequential(nn.Linear(width, 9), nn.ReLU(), nn.Linear(9, width))

    def forward(self, x):
        return x + self.branch(self.norm(x))


class Mlp(nn.Module):
    """Residual, with a head of one output: a shard of its weight is empty on the second rank."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.Sequential(*[Block(8) for _ in range(3)])
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))


class Convolutions(nn.Module):
    """Without batch normalisation; one layer stores its input channels first."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 5, 2, stride=2)
        self.head = nn.Linear(5, 1)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.conv(F.relu(x))
        return self.head(F.relu_(self.up(x)).mean((2, 3)))


class Skipping(nn.Module):
    """A network whose second layer one rank leaves out."""

    def __init__(self, skips):
        super().__init__()
        self.skips = skips
        self.first, self.second, self.third = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        x = self.first(x)
        return self.third(x if self.skips else self.second(x))


VECTORS, IMAGES = (8,), (3, 6, 6)


def batch(shape, step, dtype=torch.float64):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(BATCH, *shape, generator=generator, dtype=dtype)


def build(kind, dtype=torch.float64):
    torch.manual_seed(0)
    return kind().to(dtype)


def train(model, shape, part=slice(None), *, steps=2, dtype=torch.float64, **arguments):
    """Record some steps of a loss that is the mean over this process's samples."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with sppkit.record(model, optimizer=optimizer, **arguments) as recording:
        for step in range(steps):
            optimizer.zero_grad()
            model(batch(shape, step, dtype)[part]).square().mean().backward()
            optimizer.step()
    return recording


class Outcome(NamedTuple):
    """What a rank's recording holds, without the model."""

    table: pd.DataFrame
    structure: pd.DataFrame
    metadata: dict
    missing: list
    seconds: float = 0.0

    @classmethod
    def of(cls, recording, seconds=0.0):
        (metadata,) = recording.metadata.values()
        missing = [str(entry) for entry in recording.not_captured]
        return cls(recording.table(), recording.structure(), metadata, missing, seconds)


def part_of(rank, cut):
    return slice(0, cut) if rank == 0 else slice(cut, BATCH)


def fully_sharded(model):
    from torch.distributed.fsdp import fully_shard

    for block in getattr(model, "blocks", ()):
        fully_shard(block)
    return fully_shard(model)


def tensor_parallel(model):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    mesh = init_device_mesh("cpu", (2,))
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    return parallelize_module(model, mesh, plan)


def perceptron():
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))


class JointBatchNorm(nn.Module):
    """What nn.SyncBatchNorm, which knows no CPU, does on even shards."""

    def forward(self, x):
        return (x - self._mean(x)) / (self._mean(x * x) - self._mean(x) ** 2 + 1e-5) ** 0.5

    def _mean(self, x):
        mean = x.mean((0, 2, 3), keepdim=True)
        if not dist.is_initialized():
            return mean
        return distributed_functions.all_reduce(mean) / dist.get_world_size()


def jointly_normalised():
    conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    return nn.Sequential(conv, JointBatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def normalised():
    return nn.Sequential(BasicBlock(3, 4), nn.Flatten(), nn.Linear(144, 2))


def ddp(kind, shape, part, dtype=torch.float64, **arguments):
    model = DistributedDataParallel(build(kind, dtype))
    return Outcome.of(train(model, shape, part, dtype=dtype, **arguments))


def record_all(rank):
    """Run everything that needs two ranks; they have no time to lose, so they run it at once."""
    even, uneven = part_of(rank, EVEN), part_of(rank, UNEVEN)

    def of(model, shape, part, **arguments):
        return Outcome.of(train(model, shape, part, **arguments))

    return {
        "even": ddp(Mlp, VECTORS, even, extended=True),
        "float32": ddp(Mlp, VECTORS, even, torch.float32, steps=1),
        "uneven": ddp(Convolutions, IMAGES, uneven, steps=1, extended=True),
        "joint batch norm": ddp(jointly_normalised, IMAGES, even, extended=True),
        "batch norm": ddp(normalised, IMAGES, even),
        "mlp shards": of(fully_sharded(build(Mlp)), VECTORS, even, extended=True),
        "convolution shards": of(fully_sharded(build(Convolutions)), IMAGES, even, extended=True),
        "standardised shards": of(fully_sharded(build(weight_normed)), VECTORS, even, run="net"),
        "tensor parallel": of(tensor_parallel(build(perceptron)), VECTORS, even),
        "replicas": of(build(Mlp), VECTORS, even),
        "skipping": of(build(lambda: Skipping(rank == 1)), VECTORS, even, steps=1),
        "accumulated": accumulated(even),
        "evaluated on one rank": evaluated_on_one_rank(rank),
        "one more step": steps_of(rank, [0, 1] if rank == 0 else [0]),
        "idle": steps_of(rank, [0, 1] if rank == 0 else [None, 1]),
        "raised first": steps_of(rank, [0, 1] if rank == 0 else ["raise"]),
        "raised later": steps_of(rank, [0, 1, 2] if rank == 0 else [0, "raise"]),
        "hung": steps_of(rank, [0, 1] if rank == 0 else [0, "hang", 1], patience=2.0),
        "one rank alone": steps_of(rank, [0] if rank == 0 else None, patience=0.3),
        "collectives": collectives(even),
    }


def accumulated(part):
    """Take one step of two micro-batches, the first of which is not synchronised."""
    model = DistributedDataParallel(build(Mlp))
    with sppkit.record(model, every=2) as recording:
        with model.no_sync():
            model(batch(VECTORS, 0)[part]).square().mean().backward()
        model(batch(VECTORS, 1)[part]).square().mean().backward()
    return Outcome.of(recording)


def evaluated_on_one_rank(rank):
    model = DistributedDataParallel(build(Mlp))
    with sppkit.record(model, signals=["activation"]) as recording:
        model(batch(VECTORS, 0)[part_of(rank, EVEN)])
        if rank == 0:
            model.eval()
            model.module(batch(VECTORS, 1))
    return Outcome.of(recording)


class _OutOfLuckError(Exception):
    pass


def steps_of(rank, steps, patience=20.0):
    """Record one step per number; do what else is asked for; forget what the user would catch."""
    dist.barrier()  # so that the ranks differ by what they do and not by when they begin
    if steps is None:
        return None
    side_group.PATIENCE = timedelta(seconds=patience)
    model = build(Mlp)
    begin = time.monotonic()
    with (
        suppress(_OutOfLuckError),
        sppkit.record(model, signals=["activation", "weight"]) as recording,
    ):
        for step in steps:
            if step == "raise":
                raise _OutOfLuckError
            if step == "hang":
                time.sleep(2 * patience)
            elif step is not None:
                model(batch(VECTORS, step)[part_of(rank, EVEN)])
            if step != "hang":
                recording.step()
    side_group.PATIENCE = timedelta(seconds=20)
    return Outcome.of(recording, time.monotonic() - begin)


def collectives(part):
    """Count what torch's profiler sees of the collectives of four recorded steps."""
    model = DistributedDataParallel(build(Mlp))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        train(model, VECTORS, part, steps=4)
    return {e.key: e.count for e in profile.key_averages() if e.key.startswith("gloo:")}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What both ranks recorded, by what they did."""
    first, second = run_ranks(record_all, tmp_path_factory.mktemp("ranks"))
    return {name: (first[name], second[name]) for name in first}


def single(kind, shape, **arguments):
    return Outcome.of(train(build(kind, arguments.get("dtype", torch.float64)), shape, **arguments))


def largest_error(found, wanted):
    """Compare two tables row by row, each statistic in the unit in which it must be small.

    Whatever is no statistic must be equal, and so must be what is undefined.
    """
    key = list(KEY)
    found, wanted = (t.set_index(key).sort_index() for t in (found, wanted))
    assert list(found.index) == list(wanted.index)
    for column in set(TABLE_COLUMNS) - set(key):
        assert list(found[column].astype(str)) == list(wanted[column].astype(str)), column
    square = wanted["second_moment"]
    units = {
        **dict.fromkeys(("variance", "average_channel_variance"), square),
        **dict.fromkeys(("second_moment", "average_channel_squared_mean"), square),
        **dict.fromkeys(("mean", "mean_absolute"), square**0.5),
        **dict.fromkeys(("minimum", "maximum"), np.maximum(-wanted.minimum, wanted.maximum)),
        **dict.fromkeys(("mean_unit_wise_norm", "maximum_unit_wise_norm"), None),
        **dict.fromkeys(("quantile_05", "quantile_50", "quantile_95"), square**0.5),
    }
    largest = 0.0
    for column in wanted.columns.difference(list(TABLE_COLUMNS)):
        assert (found[column].isna() == wanted[column].isna()).all(), column
        unit = units.get(column)
        error = (found[column] - wanted[column]).abs()
        largest = max(largest, (error / (wanted[column] if unit is None else unit)).max())
        assert not (error > 0)[wanted[column] == 0].any() or unit is not None, column
    return largest


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("even", Mlp, VECTORS),
        ("mlp shards", Mlp, VECTORS),
        ("convolution shards", Convolutions, IMAGES),
        ("joint batch norm", jointly_normalised, IMAGES),
    ],
)
def test_two_ranks_record_what_one_process_records_of_the_whole_batch(outcomes, name, kind, shape):
    first, second = outcomes[name]
    wanted = single(kind, shape, extended=True)
    assert largest_error(first.table, wanted.table) < 1e-12
    pd.testing.assert_frame_equal(first.structure, wanted.structure)
    assert second.table.empty
    assert not first.missing


def test_float32_differs_by_its_rounding_only(outcomes):
    """Weight gradients are left out: autograd itself sums them in another order, to 4e-6."""
    wanted = single(Mlp, VECTORS, dtype=torch.float32, steps=1).table
    found = outcomes["float32"][0].table
    tables = [t[t["signal"] != "weight gradient"] for t in (found, wanted)]
    assert largest_error(*tables) < 1e-6


def test_uneven_shards_count_by_their_samples(outcomes):
    table = outcomes["uneven"][0].table
    wanted = single(Convolutions, IMAGES, steps=1, extended=True).table
    of_outputs = [t[t["signal"].isin(["activation", "weight"])] for t in (table, wanted)]
    assert largest_error(*of_outputs) < 1e-12
    gradients = [t[t["signal"] == "gradient"].copy() for t in (table, wanted)]
    for column in ("quantile_05", "quantile_50", "quantile_95", "float16_underflow_fraction"):
        assert gradients[0][column].isna().all()  # thirds move no power of two to another
        gradients[1][column] = np.nan
    assert largest_error(*gradients) < 1e-12


def test_a_weight_gradient_is_the_average_that_the_optimiser_takes(outcomes):
    gradients = []
    for rank in (0, 1):
        model = build(Convolutions)
        model(batch(IMAGES, 0)[part_of(rank, UNEVEN)]).square().mean().backward()
        gradients.append(model.conv.weight.grad)
    average = (gradients[0] + gradients[1]) / 2
    table = outcomes["uneven"][0].table
    row = table[(table["signal"] == "weight gradient") & (table["layer"] == "conv")]
    row = row[row["tensor"] == "weight"]
    assert row["second_moment"].item() == pytest.approx(average.square().mean().item(), rel=1e-12)


def test_weights_are_read_once_not_once_per_rank(outcomes):
    table = outcomes["even"][0].table
    weights = table[(table["signal"] == "weight") & (table["layer"] == "stem")]
    assert set(weights["samples"]) == {8}  # of each of the 8 units, and of the bias


def test_a_shard_may_be_empty(outcomes):
    table = outcomes["mlp shards"][0].table
    head = table[(table["layer"] == "head") & (table["tensor"] == "weight")]
    assert set(head["channels"]) == {1}
    assert set(head["samples"]) == {8}


def test_micro_batches_merge_over_passes_and_ranks(outcomes):
    model = build(Mlp)
    with sppkit.record(model) as recording:
        for step in (0, 1):
            model(batch(VECTORS, step)).square().mean().backward()
    assert largest_error(outcomes["accumulated"][0].table, recording.table()) < 1e-12


def test_layers_go_by_their_own_names_inside_a_wrapper(outcomes):
    for name in ("even", "mlp shards"):
        first, _ = outcomes[name]
        assert set(first.table["run"]) == {"Mlp"}
        assert {"", "stem", "blocks.0.norm"} < set(first.table["layer"])
        assert set(first.structure["layer_type"]) >= {"Mlp", "Block", "Linear"}


def test_the_metadata_say_which_ranks_were_merged(outcomes):
    first, second = outcomes["even"]
    assert first.metadata["world_size"] == second.metadata["world_size"] == 2
    assert first.metadata["distributed"]["ranks"] == [0, 1]
    assert first.metadata["distributed"]["merged_steps"] == 2
    assert [r.metadata["distributed"]["rank"] for r in (first, second)] == [0, 1]


def test_a_step_costs_one_small_and_one_packed_collective(outcomes):
    for counts in outcomes["collectives"]:
        assert counts["gloo:gather"] == 4
        assert counts["gloo:all_gather"] == 4 + 1  # and one to say goodbye
        of_the_user = {"gloo:all_reduce", "gloo:broadcast"}
        assert set(counts) - of_the_user == {"gloo:gather", "gloo:all_gather"}


def test_batch_normalisation_is_said_to_see_its_own_batch_only(outcomes):
    first, _ = outcomes["batch norm"]
    assert "3 batch normalisations use the statistics of each rank's" in str(first.metadata)


def test_weights_made_of_shards_are_not_computed_and_said_to_be_missing(outcomes):
    first, _ = outcomes["standardised shards"]
    assert "effective weight" not in set(first.table["signal"])
    assert any("sharded parameters would take all ranks" in entry for entry in first.missing)


def test_tensor_parallel_outputs_stay_with_their_ranks_and_shards_of_weights_merge(outcomes):
    first, second = outcomes["tensor parallel"]
    for rank, outcome in enumerate((first, second)):
        outputs = outcome.table[outcome.table["signal"].isin(["activation", "gradient"])]
        assert set(outputs["rank"]) == {rank}
        assert "tensor parallelism" in str(outcome.metadata["remarks"])
    weights = first.table[first.table["signal"] == "weight"].query("step == 0")
    wanted = single(perceptron, VECTORS).table.query("step == 0 and signal == 'weight'")
    assert largest_error(weights, wanted) < 1e-12


def test_replicas_that_are_not_synchronised_merge_only_while_they_are_equal(outcomes):
    for rank, outcome in enumerate(outcomes["replicas"]):
        own = outcome.table[outcome.table["rank"] == rank]
        assert set(own[own["step"] == 0]["signal"]) == {"weight gradient"}
        assert set(own[own["step"] == 1]["signal"]) > {"activation", "weight"}
        assert not (outcome.table[outcome.table["rank"] == -1]["step"] == 1).any()
        assert "not data parallelism" in str(outcome.metadata["remarks"])


def test_a_layer_that_one_rank_skipped_keeps_the_number_of_the_other(outcomes):
    first, second = outcomes["skipping"]
    activations = first.table[first.table["signal"] == "activation"].set_index("layer")["rank"]
    assert activations["second"] == 0
    assert activations["first"] == activations["third"] == activations[""] == -1
    assert not (second.table["signal"] == "activation").any()
    assert "activation of 'second'" in str(first.metadata["remarks"])


def test_an_evaluation_on_one_rank_stays_there(outcomes):
    first, second = outcomes["evaluated on one rank"]
    assert set(zip(first.table["phase"], first.table["rank"], strict=True)) == {
        ("train", -1),
        ("eval", 0),
    }
    assert second.table.empty


@pytest.mark.parametrize("name", ["one more step", "idle", "raised first", "raised later"])
def test_nobody_waits_for_a_rank_that_takes_no_part(outcomes, name):
    for outcome in outcomes[name]:
        assert outcome.seconds < 10, "less than the ranks' patience of 20 s"


def activations_of(outcome):
    table = outcome.table[outcome.table["signal"] == "activation"]
    return {step: set(rows["rank"]) for step, rows in table.groupby("step")}


@pytest.mark.parametrize(
    ("name", "of_first", "of_second", "reason"),
    [
        ("one more step", {0: {-1}, 1: {0}}, {}, "recorded nothing in the step"),
        ("idle", {0: {0}, 1: {-1}}, {}, "recorded nothing in the step"),
        ("raised first", {0: {0}, 1: {0}}, {}, "left its recording by an exception"),
        ("raised later", {0: {-1}, 1: {0}, 2: {0}}, {}, "the exchange failed"),
        ("hung", {0: {-1}, 1: {0}}, {1: {1}}, "the exchange failed"),
    ],
)
def test_rows_carry_their_rank_where_the_ranks_part(outcomes, name, of_first, of_second, reason):
    first, second = outcomes[name]
    assert activations_of(first) == of_first
    assert activations_of(second) == of_second
    assert reason in str(first.metadata["remarks"])


def test_a_rank_that_records_alone_waits_once_and_says_so(outcomes):
    first, _ = outcomes["one rank alone"]
    assert activations_of(first) == {0: {0}}
    assert 0.3 < first.seconds < 10
    assert "record the model on every rank" in str(first.metadata["remarks"])


def kill_one(rank):
    """End one rank as the kernel would, in the middle of a step."""
    model = build(Mlp)
    with sppkit.record(model) as recording:
        for step in range(2):
            if rank == 1 and step == 1:
                os._exit(0)
            model(batch(VECTORS, step))
            recording.step()
    return Outcome.of(recording)


def test_a_rank_that_dies_leaves_the_others_recording(tmp_path):
    first, second = run_ranks(kill_one, tmp_path, may_die=True)
    assert second is None
    assert activations_of(first) == {0: {-1}, 1: {0}}


def save_all(rank, folder):
    model = build(lambda: Skipping(rank == 1))
    for name, signals in (("merged", ["weight"]), ("apart", ["activation"])):
        with sppkit.record(model, signals=signals) as recording:
            model(batch(VECTORS, 0))
        recording.save(folder / f"{name}.parquet")


def test_only_the_first_rank_writes_the_file_and_others_write_what_they_hold_alone(tmp_path):
    run_ranks(save_all, tmp_path, tmp_path)
    assert {path.name for path in tmp_path.glob("*.parquet")} == {"merged.parquet", "apart.parquet"}
    assert set(sppkit.read(tmp_path / "merged.parquet").table()["rank"]) == {-1}
    table = sppkit.read(tmp_path / "apart.parquet").table()
    assert set(table.loc[table["rank"] == 0, "layer"]) == {"second"}


def test_data_parallel_threads_are_refused_with_a_way_out():
    with pytest.raises(TypeError, match=r"Record model\.module .* DistributedDataParallel"):
        sppkit.record(nn.DataParallel(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("attribute", "reason"), [("_fsdp_flattened", "use fully_shard"), ("ds_id", "DeepSpeed ZeRO")]
)
def test_partitioned_weights_are_not_captured_with_a_reason(attribute, reason):
    model = nn.Sequential(nn.Linear(8, 4))
    setattr(model[0].weight, attribute, True)
    with sppkit.record(model) as recording:
        model(torch.randn(3, 8)).sum().backward()
    assert set(recording.table()["signal"]) == {"activation", "gradient"}
    assert any(reason in entry.reason for entry in recording.not_captured)


def test_without_a_process_group_nothing_is_distributed():
    outcome = single(Mlp, VECTORS)
    assert outcome.metadata["world_size"] == 1
    assert "distributed" not in outcome.metadata
    assert set(outcome.table["rank"]) == {-1}


def test_the_example_records_under_torchrun(tmp_path):
    root = Path(__file__).parents[2]
    example = root / "examples" / "distributed.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = subprocess.run(
        [*launch, str(example), str(tmp_path / "run.parquet")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.returncode == 0, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run.parquet"]
    recording = sppkit.read(tmp_path / "run.parquet")
    table = recording.table()
    assert set(table["rank"]) == {-1}
    assert set(table.loc[table["layer"] == "classifier", "step"]) == {0, 1, 2}
    outputs = table[(table["layer"] == "classifier") & (table["signal"] == "activation")]
    assert set(outputs["samples"]) == {2 * 8}
    assert run.stdout.startswith("Recording(run='Net'")


def record_shards_on_one_rank(rank):
    """The other rank stays away; afterwards both make a group, as users do."""
    side_group.PATIENCE = timedelta(seconds=0.3)
    model = fully_sharded(build(Mlp))
    outcome = None
    if rank == 0:
        with sppkit.record(model, signals=["weight"]) as recording:
            _forward_everywhere(model)
        outcome = Outcome.of(recording)
    else:
        _forward_everywhere(model)
    total = torch.ones(1)
    dist.all_reduce(total, group=dist.new_group([0, 1]))
    return outcome, total.item()


def _forward_everywhere(model):
    with torch.no_grad():
        model(batch(VECTORS, 0))


def test_a_lone_recording_leaves_the_groups_of_the_user_alone(tmp_path):
    (outcome, first), (_, second) = run_ranks(record_shards_on_one_rank, tmp_path)
    assert first == second == 2
    stem = outcome.table[(outcome.table["layer"] == "blocks.0.branch.0")]
    assert set(stem["rank"]) == {0}
    assert set(stem["flags"]) == {"shard"}
    assert list(stem.set_index("tensor").loc[["weight", "bias"], "channels"]) == [9, 1]
