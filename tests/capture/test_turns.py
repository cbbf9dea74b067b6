"""Turn by turn every layer is read; what is read is what a whole step would have read."""

import math

import numpy as np
import pytest
import torch
import torch._dynamo
from torch import nn

import sppkit
from sppkit.capture.planning.options import Options
from sppkit.capture.steps.turns import groups_of_layers
from sppkit.kernels import kernel_for
from sppkit.table import KEY, TABLE_COLUMNS
from tests.capture.test_schedule import hooks_on
from tests.cases import (
    Checkpointed,
    DataclassOutput,
    DictOutput,
    FunctionalLoop,
    ParallelBlock,
    PostActivationResNet,
    ScaledBranches,
    SharedLayer,
    loss_of,
    weight_normed,
)
from tests.ranks import run_ranks


class TiedAndBare(nn.Module):
    """Two layers share a weight, and a container has a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.body = nn.Module()
        self.body.shift = nn.Parameter(torch.randn(8))
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Identity()

    def forward(self, x):
        x = self.second(torch.relu(self.first(x + self.body.shift)))[:, None]
        return self.last(self.attention(x, x, x, need_weights=False)[0])


class InnerCalls(nn.Module):
    """A model whose parts are called and that is never called itself."""

    def __init__(self):
        super().__init__()
        self.twice = SharedLayer()
        self.head = nn.Linear(8, 3)


def images(samples=4):
    return torch.randn(samples, 3, 16, 16)


def vectors(samples=4):
    return torch.randn(samples, 8)


CASES = {
    "residual network": (PostActivationResNet, images),
    "loop in the root": (FunctionalLoop, lambda: torch.randn(4, 4)),
    "gains": (ScaledBranches, vectors),
    "parallel branches": (lambda: nn.Sequential(ParallelBlock(), ParallelBlock()), vectors),
    "shared layer": (SharedLayer, vectors),
    "checkpointed": (lambda: Checkpointed(True), vectors),
    "dict": (DictOutput, vectors),
    "dataclass": (DataclassOutput, vectors),
    "weight norm": (weight_normed, vectors),
    "tied, attention": (TiedAndBare, vectors),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0),
        lambda: torch.randn(3, 5, 8),
    ),
}


def train(build, make_input, *, steps=3, forward=None, **arguments):
    """Record a training run that is the same whatever is recorded of it."""
    torch.manual_seed(0)
    model = build()
    torch.manual_seed(1)
    inputs = [make_input() for _ in range(steps)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with sppkit.record(model, optimizer=optimizer, run="net", **arguments) as recording:
        for x in inputs:
            torch.manual_seed(2)
            optimizer.zero_grad()
            loss_of(forward(model, x) if forward else model(x)).backward()
            optimizer.step()
    return recording


def keyed(table):
    """Index by the key of a row and keep the numbers, by which two recordings are compared."""
    table = table.astype({c: "object" for c, kind in TABLE_COLUMNS.items() if kind == "category"})
    numbers = table.set_index(list(KEY)).drop(columns=["flags"])
    return numbers.sort_index()


def assert_are_rows_of(part, whole):
    part, whole = keyed(part.table()), keyed(whole.table())
    assert part.index.isin(whole.index).all()
    whole = whole.loc[part.index]
    for column in whole.columns:
        left, right = part[column], whole[column]
        same = (left == right) | (left.isna() & right.isna())
        if kernel_for("cpu") == "torch" and right.dtype.kind == "f":
            same |= (left - right).abs() <= rounding(column, right, whole["second_moment"])
        assert same.all(), (column, part[~same.astype(bool)])


def rounding(column, values, second_moment):
    """What float32 may round: torch's operations read equal shapes together, so with the turns."""
    scale = {"mean": second_moment**0.5, "average_channel_squared_mean": second_moment}
    return 8 * np.finfo(np.float32).eps * scale.get(column, values.abs())


def layers_at(recording, step):
    table = recording.table()
    return set(table[table["step"] == step]["layer"])


@pytest.mark.parametrize("case", CASES)
def test_turns_read_every_row_once_and_as_a_whole_step_reads_it(case):
    build, make_input = CASES[case]
    layers = groups_of_layers(train(build, make_input, steps=1).plan, Options(), build(), 1)
    size = math.ceil(len(layers) / 3)
    steps = 1 + math.ceil(len(layers) / size)
    whole = train(build, make_input, steps=steps)
    part = train(build, make_input, steps=steps, layers_per_step=size)
    assert_are_rows_of(part, whole)
    assert layers_at(part, 0) == layers_at(whole, 0)
    assert part.not_captured == whole.not_captured
    places = ["layer", "call", "operation", "tensor", "signal"]
    read = part.table().query("step > 0")[places].astype(str)
    expected = whole.table().query("step == 1")[places].astype(str)
    assert not read.duplicated().any()
    assert set(read.itertuples(index=False)) == set(expected.itertuples(index=False))


def test_a_turn_has_so_many_layers_and_the_places_of_a_block_take_turns_too():
    part = train(*CASES["gains"], layers_per_step=8, steps=7)
    sizes = [len(layers_at(part, step)) for step in range(7)]
    assert sizes == [17, 8, 8, 1, 8, 8, 1]
    table = part.table()
    ends = table[(table["step"] > 0) & (table["tap"] == "block") & (table["signal"] == "gradient")]
    read = {step: sorted(rows) for step, rows in ends.groupby("step")["block"]}
    assert read == {1: [1], 2: [2, 3], 4: [1], 5: [2, 3]}


def test_layers_that_rest_carry_no_hooks():
    model = nn.Sequential(*[nn.Linear(8, 8) for _ in range(6)])
    counts = []
    with sppkit.record(model, layers_per_step=2) as recording:
        for _ in range(5):
            counts.append([hooks_on(layer) > 0 for layer in model])
            model(vectors()).sum().backward()
            recording.step()
    whole = [True] * 6
    assert counts[0] == whole
    assert counts[1] == [True, True, False, False, False, False]
    assert counts[2] == [False, False, True, True, False, False]
    assert counts[3] == [False, False, False, False, True, True]
    assert counts[4] == [False] * 6  # the turn of the model itself
    table = recording.table()
    assert layers_at(recording, 4) == {""}
    assert set(table[table["step"] == 1]["signal"]) == {
        *("activation", "gradient", "weight", "weight gradient")
    }


def test_the_metadata_say_that_layers_take_turns():
    recording = train(*CASES["gains"], layers_per_step=4, steps=3)
    metadata = recording.metadata["net"]
    assert metadata["layers_per_step"] == 4
    (remark,) = [r for r in metadata["remarks"] if "turn" in r]
    assert remark.startswith("read turn by turn (layers_per_step=4): each recorded step after")
    groups = groups_of_layers(recording.plan, Options(), ScaledBranches(), 4)
    assert f"and {len(groups)} steps have all of them" in remark


def test_turns_go_on_through_a_schedule_and_a_second_with():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    recording = sppkit.record(model, layers_per_step=1, schedule=sppkit.schedule(wait=1, active=1))
    for _ in range(2):
        with recording:
            for _ in range(4):
                model(vectors()).sum().backward()
                recording.step()
    seen = {step: layers_at(recording, step) for step in (1, 3, 5, 7)}
    assert seen == {1: {"", "0", "1"}, 3: {"0"}, 5: {"1"}, 7: {""}}


def test_updates_and_clipped_gradients_go_with_the_turn_of_their_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    signals = ["weight", "weight gradient", "clipped weight gradient", "update"]
    loop = {"optimizer": optimizer, "signals": signals}
    with sppkit.record(model, **loop, layers_per_step=1) as recording:
        for step in range(3):
            optimizer.zero_grad()
            model(vectors()).pow(2).sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            before = model[step - 1].weight.detach().clone()
            optimizer.step()
            moved = model[step - 1].weight.detach() - before
    table = recording.table()
    for step, layer in ((1, "0"), (2, "1")):
        rows = table[table["step"] == step]
        assert set(rows["layer"]) == {layer}
        assert set(rows["signal"]) == set(signals)
    update = table.query("step == 2 and signal == 'update' and tensor == 'weight'").iloc[0]
    assert update["second_moment"] == pytest.approx(float(moved.pow(2).mean()), rel=1e-4)
    assert update["norm_to_weight_ratio"] > 0


def test_parts_of_a_model_that_is_not_called_itself_keep_their_calls_apart():
    def forward(model, x):
        return model.head(model.twice(x))

    whole = train(InnerCalls, vectors, forward=forward, steps=8)
    part = train(InnerCalls, vectors, forward=forward, steps=8, layers_per_step=1)
    assert_are_rows_of(part, whole)
    calls = part.table().query("step > 0 and layer == 'twice.layer' and signal == 'activation'")
    assert set(calls["call"]) == {0, 1, 2}


def test_operations_are_numbered_as_in_a_whole_step():
    arguments = {"granularity": "operation", "steps": 3}
    whole = train(*CASES["gains"], **arguments)
    part = train(*CASES["gains"], **arguments, layers_per_step=8)
    assert_are_rows_of(part, whole)
    assert "operation" in set(part.table().query("step > 0")["role"])


def test_a_layer_that_is_called_late_is_found_by_a_turn_of_others():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
            self.late = nn.Linear(8, 8)
            self.uses_late = False

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return self.late(x) if self.uses_late else x

    model = Late()
    with sppkit.record(model, layers_per_step=1) as recording:
        for step in range(9):
            model.uses_late = step >= 2
            model(vectors()).sum().backward()
            recording.step()
    activations = recording.table().query("signal == 'activation' and layer == 'late'")
    assert set(activations["step"]) == {2, 3, 4}  # found, traced, and its turn of five
    assert not recording.not_captured


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("case", ["gains", "dict"])
def test_a_compiled_model_takes_turns_too(case):
    build, make_input = CASES[case]

    def compiled():
        return torch.compile(build(), backend="aot_eager")

    whole = train(compiled, make_input, steps=7)
    torch._dynamo.reset()
    part = train(compiled, make_input, steps=7, layers_per_step=3)
    assert_are_rows_of(part, whole)
    assert part.not_captured == whole.not_captured
    assert layers_at(part, 1) < layers_at(whole, 1)
    later = set().union(*(layers_at(part, step) for step in range(1, 7)))
    assert later == layers_at(whole, 1)


def _in_turns_on_two_ranks(rank):
    recording = train(*CASES["gains"], steps=6, layers_per_step=3)
    table = recording.table()
    return table[["rank", "step", "layer"]].drop_duplicates().astype(str).to_numpy().tolist()


def test_all_ranks_have_the_same_turn(tmp_path):
    merged, alone = run_ranks(_in_turns_on_two_ranks, tmp_path)
    assert alone == []
    assert {rank for rank, _, _ in merged} == {"-1"}
    assert {step for _, step, _ in merged} == {"0", "1", "2", "3", "4", "5"}


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_number_of_layers_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match=f"layers_per_step={size} must be 1 or more layers"):
        sppkit.record(nn.Linear(2, 2), layers_per_step=size)


def test_more_layers_than_there_are_is_all_of_them():
    whole = train(*CASES["shared layer"], steps=3)
    part = train(*CASES["shared layer"], steps=3, layers_per_step=99)
    assert np.array_equal(
        keyed(part.table()).select_dtypes("float"),
        keyed(whole.table()).select_dtypes("float"),
        equal_nan=True,
    )
