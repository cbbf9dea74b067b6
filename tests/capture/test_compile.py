"""Compiled models: the numbers of eager, one graph, and a clear word where neither can be had."""

import copy
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch._dynamo
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters

import sppkit
from sppkit.capture.compiled import session as compiled_session
from sppkit.statistics import STATISTICS
from tests.capture.test_left_as_found import all_hooks, randomness, state_of
from tests.cases import (
    BasicBlock,
    Checkpointed,
    DataclassOutput,
    DictOutput,
    FunctionalLoop,
    PostActivationResNet,
    SharedLayer,
    Tokens,
    loss_of,
)

pytestmark = [
    # torch warns of itself: of its own deprecated names, and of what its compiler makes of views.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
KEY = ["step", "phase", "layer", "call", "operation", "tensor", "signal"]
NAMES = [statistic.__name__ for statistic in STATISTICS]


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def compiler():
    return CompileCounterWithBackend("aot_eager")


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 16), nn.Tanh())


class SmallResNet(nn.Module):
    """As PostActivationResNet, with less to compile."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1)
        self.layer1 = nn.Sequential(BasicBlock(4, 4))
        self.layer2 = nn.Sequential(BasicBlock(4, 8, 2), BasicBlock(8, 8))

    def forward(self, x):
        return self.layer2(self.layer1(self.conv1(x)))


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


def images():
    return torch.randn(4, 3, 16, 16)


def vectors():
    return torch.randn(6, 8)


def sequences():
    return torch.randn(3, 5, 8)


def tokens():
    return torch.randint(11, (3, 5))


NETWORKS = pytest.mark.parametrize(
    ("build", "inputs"),
    [(PostActivationResNet, images), (mlp, vectors), (Tokens, tokens)],
    ids=["convolutional", "mlp", "transformer"],
)


def recorded(model, inputs, steps=3, called=None, **arguments):
    """Record steps of a model (or of `called`, which stands for it) on the same inputs."""
    torch.manual_seed(1)
    with sppkit.record(model, **arguments) as recording:
        for _ in range(steps):
            loss = loss_of((called or model)(inputs()))
            if loss is not None:
                loss.backward()
            recording.step()
    return recording


def largest_difference(left, right):
    """Give max |a - b| / max(|a|, rms) over all statistics of all rows, which must be the same.

    The unit of a mean is the root mean square: that of a normalised signal is rounding alone.
    """
    a, b = (recording.table().set_index(KEY).sort_index() for recording in (left, right))
    assert list(a.index) == list(b.index)
    assert len(a)
    square = a["second_moment"].to_numpy(float)
    worst = 0.0
    for name in NAMES:
        x, y = a[name].to_numpy(float), b[name].to_numpy(float)
        assert np.array_equal(np.isnan(x), np.isnan(y)), name
        unit = square if name.endswith(("squared_mean", "moment", "variance")) else square**0.5
        with np.errstate(all="ignore"):
            ratio = np.where(x == y, 0, np.abs(x - y) / np.maximum(np.abs(x), unit))
        worst = max(worst, float(np.nanmax(ratio)))
    return worst


def twins(build):
    torch.manual_seed(0)
    model = build()
    return model, copy.deepcopy(model)


def reasons(recording):
    return " ".join(map(str, recording.not_captured))


@NETWORKS
def test_compiled_tables_are_those_of_eager_in_one_graph_without_a_break(build, inputs, compiler):
    eager, model = twins(build)
    compiled = torch.compile(model, backend=compiler, fullgraph=True)
    recording = recorded(compiled, inputs)
    assert largest_difference(recorded(eager, inputs), recording) < 1e-5
    assert compiler.frame_count == 1
    assert not counters["graph_break"]
    assert not [m for m in recording.not_captured if "never called" not in m.reason]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "inputs"),
    [(SmallResNet, images), (mlp, vectors), (encoder, sequences)],
    ids=["convolutional", "mlp", "transformer"],
)
def test_inductor_tables_are_those_of_eager(build, inputs):
    """Weight gradients are left out: nothing of them is compiled but the user's arithmetic.

    The gradient of the bias of the keys in an attention is zero but for rounding.
    """
    eager, model = twins(build)
    chosen = {"signals": ["activation", "gradient"]}
    compiled = recorded(torch.compile(model, fullgraph=True), inputs, **chosen)
    assert largest_difference(recorded(eager, inputs, **chosen), compiled) < 1e-5
    assert not counters["graph_break"]


def test_explain_finds_one_graph_and_no_break_in_a_hooked_model():
    model = SmallResNet()
    compiled = torch.compile(model, backend="eager")
    with sppkit.record(compiled):
        compiled(images()).sum().backward()
        assert all_hooks(model)
        explained = torch._dynamo.explain(model)(images())
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)


def test_structure_and_taps_are_those_of_eager(compiler):
    eager, model = twins(SmallResNet)
    left = recorded(eager, images, 1).structure()
    right = recorded(torch.compile(model, backend=compiler), images, 1).structure()
    assert left.equals(right)
    assert set(right["tap"]) >= {"stem", "block", "residual branch", "skip path"}


def in_place(model, compiler):
    model.compile(backend=compiler, fullgraph=True)
    return model


def by_region(model, compiler):
    for block in (*model.layer1, *model.layer2):
        block.compile(backend=compiler, fullgraph=True)
    return model


def wrapped_children(model, compiler):
    model.layer1 = torch.compile(model.layer1, backend=compiler, fullgraph=True)
    model.layer2[1] = torch.compile(model.layer2[1], backend=compiler, fullgraph=True)
    return model


@pytest.mark.parametrize("way", [in_place, by_region, wrapped_children])
def test_every_way_to_compile_gives_the_table_of_eager(way, compiler):
    eager, model = twins(SmallResNet)
    recording = recorded(way(model, compiler), images)
    assert largest_difference(recorded(eager, images), recording) < 1e-5
    assert compiler.frame_count
    assert not counters["graph_break"]
    assert not recording.not_captured
    assert "_orig_mod" not in str([*recording.table()["layer"], *recording.structure()["layer"]])


def test_blocks_that_are_compiled_one_by_one_still_share_their_code(compiler):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def forward(self, x):
            return x + self.branch(x)

    model = nn.Sequential(nn.Linear(8, 8), *[Block() for _ in range(12)])
    for block in model[1:]:
        block.compile(backend=compiler, fullgraph=True)
    recording = recorded(model, vectors)
    assert compiler.frame_count <= 2  # the first block's input may require no gradient yet
    assert (recording.table()["layer"] == "12.branch.2").sum() == 3 * 6


def test_hooks_that_rest_between_recorded_steps_compile_once_more_and_write_nothing(compiler):
    compiled = torch.compile(mlp(), backend=compiler, fullgraph=True)
    frames = []
    with sppkit.record(compiled, every=2) as recording:
        for step in range(6):
            (compiled(vectors()) * 10**step).sum().backward()
            recording.step()
            frames.append(compiler.frame_count)
    assert frames == [1, 2, 2, 2, 2, 2]
    read = recording.table().query("layer == '3' and signal == 'gradient'").set_index("step")
    assert read["mean"].round(6).to_dict() == {0: 1, 2: 100, 4: 10000}


def test_micro_batches_merge_as_in_eager(compiler):
    eager, model = twins(mlp)
    x = torch.randn(100, 8)
    recordings = []
    for network in (eager, torch.compile(model, backend=compiler)):
        with sppkit.record(network, extended=True) as recording:
            for part in x.split([50, 30, 20]):
                network(part).pow(2).sum().backward()
        recordings.append(recording)
    assert largest_difference(*recordings) < 1e-5
    assert recordings[1].table().query("layer == '0'")["samples"].max() == 100


def test_many_passes_without_a_step_are_folded_together():
    compiled = torch.compile(mlp(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        for _ in range(40):
            compiled(torch.randn(5, 8)).sum().backward()
    outputs = recording.table().query("signal in ['activation', 'gradient']")
    assert set(outputs["samples"]) == {200}


def test_a_backward_pass_through_two_forwards_merges_as_in_eager():
    eager, model = twins(mlp)
    x, y = vectors(), vectors()
    recordings = []
    for network in (eager, torch.compile(model, backend="aot_eager")):
        with sppkit.record(network) as recording:
            (network(x).sum() + network(y).pow(2).sum()).backward()
        recordings.append(recording)
    assert largest_difference(*recordings) < 1e-5
    assert set(recordings[1].table().query("signal == 'gradient'")["samples"]) == {12}


def test_a_second_gradient_of_one_pass_is_refused_and_not_merged():
    compiled = torch.compile(SharedLayer(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        loss = compiled(vectors()).sum()
        loss.backward(retain_graph=True)
        loss.backward()
    assert "gradient" not in set(recording.table()["signal"])
    assert "more than one gradient came for each forward pass" in reasons(recording)


def test_a_gradient_that_comes_after_its_step_is_not_taken_for_that_of_the_next():
    compiled = torch.compile(mlp(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        first = compiled(vectors()).sum()
        recording.step()
        (first + compiled(vectors()).sum()).backward()
    assert "gradient" not in set(recording.table()["signal"])
    assert "a forward pass of an earlier step" in reasons(recording)


def test_a_layer_that_is_called_more_often_than_in_the_traced_pass_is_refused():
    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.times = nn.Linear(8, 8), 1

        def forward(self, x):
            for _ in range(self.times):
                x = self.layer(x) * 1
            return x

    model = Repeated()
    compiled = torch.compile(model, backend="aot_eager")
    with sppkit.record(compiled) as recording:
        compiled(vectors()).sum().backward()
        recording.step()
        model.times = 2
        compiled(vectors()).sum().backward()
    table = recording.table().query("layer == 'layer' and tensor == ''")
    assert sorted(zip(table["step"], table["signal"], strict=True)) == [
        (0, "activation"),
        (0, "gradient"),
    ]
    assert "called once in the traced pass" in reasons(recording)


def test_a_gradient_that_train_and_eval_could_both_claim_is_refused():
    compiled = torch.compile(mlp(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        loss = compiled(vectors()).sum()
        compiled.eval()(vectors())
        loss.backward()
    assert "train and in eval mode" in reasons(recording)
    assert set(recording.table()["signal"]) == {"activation", "weight", "weight gradient"}
    assert set(recording.table()["phase"]) == {"train", "eval"}
    assert "no backward pass" not in reasons(recording)


def test_passes_in_both_modes_with_a_backward_pass_each_are_kept_apart():
    eager, model = twins(mlp)
    recordings = []
    for network in (eager, torch.compile(model, backend="aot_eager")):
        torch.manual_seed(1)
        with sppkit.record(network) as recording:
            network.train()(vectors()).sum().backward()
            network.eval()(vectors()).pow(2).sum().backward()
        recordings.append(recording)
    assert largest_difference(*recordings) < 1e-5
    gradients = recordings[1].table().query("signal == 'gradient'")
    assert gradients["phase"].value_counts().to_dict() == {"train": 5, "eval": 5}


def test_a_validation_pass_before_the_backward_pass_takes_no_gradient_away():
    eager, model = twins(mlp)
    recordings = []
    for network in (eager, torch.compile(model, backend="aot_eager")):
        torch.manual_seed(1)
        with sppkit.record(network) as recording:
            network(vectors()).sum().backward()
            with torch.no_grad():
                network.eval()(vectors())
            network.train()
        recordings.append(recording)
    assert largest_difference(*recordings) < 1e-5


def test_a_model_that_was_called_before_the_recording_compiles_again_with_a_warning(compiler):
    eager, model = twins(mlp)
    compiled = torch.compile(model, backend=compiler)
    compiled(vectors())
    with pytest.warns(UserWarning, match="compiled and called before the recording") as caught:
        recording = recorded(compiled, vectors)
    assert [w.filename for w in caught] == [__file__]
    assert "compiled and called before" in reasons(recording)
    assert largest_difference(recorded(eager, vectors), recording) < 1e-5


def test_a_second_instance_of_a_compiled_class_compiles_again_with_a_warning():
    eager, model = twins(SmallResNet)
    torch.compile(SmallResNet(), backend="aot_eager")(images())
    with pytest.warns(UserWarning, match="by another one that shares its code"):
        recording = recorded(torch.compile(model, backend="aot_eager"), images)
    assert largest_difference(recorded(eager, images), recording) < 1e-5


def test_hooks_that_do_not_run_are_noticed_after_the_step_and_run_in_the_next(monkeypatch):
    monkeypatch.setattr(compiled_session, "was_called", lambda model: False)
    compiled = torch.compile(mlp(), backend="aot_eager")
    compiled(vectors()).sum().backward()
    with pytest.warns(UserWarning, match="ran without our hooks"):
        recording = recorded(compiled, vectors)
    assert "ran without our hooks" in reasons(recording)
    table = recording.table().query("layer == '0' and signal in ['activation', 'gradient']")
    assert sorted(table["step"].unique()) == [1, 2]


def test_what_was_compiled_elsewhere_is_named():
    model = mlp()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    recording = recorded(model, vectors, called=compiled)
    assert "record what torch.compile returned" in reasons(recording)
    assert recording.table().empty


def test_cuda_graphs_are_named():
    model = mlp()
    model.compile(mode="reduce-overhead")
    with (
        pytest.warns(UserWarning, match="compiled for CUDA graphs"),
        sppkit.record(model) as recording,
    ):
        pass
    assert "CUDA graphs" in reasons(recording)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (torch.jit.script, "script"),
        (lambda m: torch.jit.trace(m, vectors()), "torch.jit.trace"),
        (lambda m: torch.export.export(m, (vectors(),)).module(), "torch.export"),
    ],
    ids=["script", "trace", "export"],
)
def test_models_without_a_python_forward_are_refused(make, kind):
    model = make(nn.Sequential(nn.Linear(8, 4), nn.Tanh()))
    with pytest.raises(TypeError, match=kind):
        sppkit.record(model)


def test_a_recorded_step_is_bit_identical_to_a_plain_one():
    plain, model = twins(SmallResNet)
    x = images()
    results = []
    for network, context in ((plain, False), (model, True)):
        torch._dynamo.reset()
        compiled = torch.compile(network, backend="aot_eager")
        attributes = sorted(vars(compiled))
        torch.manual_seed(1)
        recorder = sppkit.record(compiled) if context else None
        if recorder:
            recorder.__enter__()
        output = compiled(x)
        output.pow(2).sum().backward()
        if recorder:
            recorder.__exit__(None, None, None)
        assert sorted(vars(compiled)) == attributes
        assert not all_hooks(compiled)
        state = state_of(network)
        state.pop("identities")
        results.append((output.detach().numpy().tobytes(), randomness(), state))
    assert results[0] == results[1]


def test_the_traced_pass_draws_no_number():
    plain, model = twins(lambda: nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)))
    results = []
    for network in (plain, model):
        torch._dynamo.reset()
        compiled = torch.compile(network, backend="aot_eager")
        x = torch.ones(6, 8)
        torch.manual_seed(3)
        with sppkit.record(compiled) if network is model else nullcontext():
            results.append((compiled(x).detach().numpy().tobytes(), randomness()))
    assert results[0] == results[1]


@pytest.mark.parametrize("way", [in_place, by_region, wrapped_children])
def test_nothing_is_left_on_the_model(way, compiler):
    model = way(SmallResNet(), compiler)
    ways = [module._compiled_call_impl for module in model.modules()]
    attributes = [sorted(vars(module)) for module in model.modules()]
    recorded(model, images, steps=1)
    assert [module._compiled_call_impl for module in model.modules()] == ways
    assert [sorted(vars(module)) for module in model.modules()] == attributes
    assert not all_hooks(model)
    model(images())


def test_a_forward_that_raises_is_interrupted_and_leaves_nothing():
    compiled = torch.compile(mlp(), backend="aot_eager")
    with pytest.raises(RuntimeError), sppkit.record(compiled) as recording:
        compiled(torch.randn(3, 7))
    assert recording.table().empty
    assert not all_hooks(compiled)
    assert compiled._compiled_call_impl is None


def test_a_copy_or_pickle_of_a_recorded_model_is_silent(compiler):
    model = mlp()
    model.compile(backend=compiler)
    with sppkit.record(model, signals=["activation"]) as recording:
        model(vectors())
        for clone in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            clone(torch.randn(50, 8))
    assert recording.table()["samples"].max() == 6


def test_a_shared_layer_has_a_row_for_each_call(compiler):
    eager, model = twins(SharedLayer)
    recording = recorded(torch.compile(model, backend=compiler, fullgraph=True), vectors)
    assert largest_difference(recorded(eager, vectors), recording) < 1e-5
    assert compiler.frame_count == 1


@pytest.mark.parametrize("build", [DictOutput, DataclassOutput])
def test_outputs_in_containers_have_the_whole_gradient(build, compiler):
    eager, model = twins(build)
    recording = recorded(torch.compile(model, backend=compiler, fullgraph=True), vectors)
    assert largest_difference(recorded(eager, vectors), recording) < 1e-5


def test_a_gradient_that_arrives_in_part_is_refused():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            h = self.body(x) * 2
            return h, self.head(h)

    recording = recorded(torch.compile(Both(), backend="aot_eager"), vectors, steps=1)
    root = recording.table().query("layer == ''")
    assert set(zip(root["tensor"], root["signal"], strict=True)) == {
        ("0", "activation"),
        ("1", "activation"),
        ("1", "gradient"),
    }
    assert "the gradient lacks that part" in reasons(recording)


def test_functional_merges_have_a_reason_and_layers_have_their_rows():
    recording = recorded(
        torch.compile(FunctionalLoop(), backend="aot_eager"), lambda: torch.randn(6, 4), steps=1
    )
    table = recording.table()
    assert set(table["layer"]) >= {f"layers.{i}" for i in range(5)}
    assert set(table["operation"]) == {""}
    assert "activation of add#1: a functional call in a compiled model" in reasons(recording)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_call_is_counted_once(reentrant):
    model = Checkpointed(reentrant)
    recording = recorded(torch.compile(model, backend="aot_eager"), vectors, steps=1)
    table = recording.table().query("layer == 'segment.0' and signal in ['activation', 'gradient']")
    assert table["samples"].tolist() == [6, 6]
    assert not recording.not_captured


def test_a_checkpoint_around_compiled_blocks_is_counted_once(compiler):
    eager, model = twins(lambda: Checkpointed(False))
    model.segment.compile(backend=compiler)
    recording = recorded(model, vectors)
    assert largest_difference(recorded(eager, vectors), recording) < 1e-5


def test_a_layer_that_later_changes_its_channels_is_read_as_it_is():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Identity(), nn.Identity()

        def forward(self, x):
            return self.last(self.first(x * 1)[:, :4] * 1) * 1

    compiled = torch.compile(Growing(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        compiled(torch.ones(6, 8, requires_grad=True)).sum().backward()
        recording.step()
        compiled(torch.ones(6, 9, requires_grad=True)).sum().backward()
    table = recording.table().query("signal == 'activation'")
    assert table.query("layer == 'first'")["channels"].tolist() == [8, 9]
    assert table.query("layer in ['first', 'last']")["mean"].tolist() == [1] * 4


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_first_pass_without_gradients_plans_for_those_that_come_later(context):
    compiled = torch.compile(mlp(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        with context():
            compiled(vectors())
        recording.step()
        compiled(vectors()).sum().backward()
    table = recording.table()
    assert set(table.query("step == 0")["signal"]) == {"activation", "weight"}
    assert (table["signal"] == "gradient").sum() == 5  # the root's too


def test_autocast_outputs_are_read_in_their_dtype():
    compiled = torch.compile(mlp(), backend="aot_eager")
    with sppkit.record(compiled) as recording, torch.autocast("cpu", torch.bfloat16):
        compiled(vectors()).float().sum().backward()
    outputs = recording.table().query("layer == '0' and tensor == ''")
    assert outputs["dtype"].tolist() == ["bfloat16"] * 2


def test_patterns_and_choices_hold_for_compiled_models():
    compiled = torch.compile(SmallResNet(), backend="aot_eager")
    recording = recorded(
        compiled, images, steps=1, signals=["gradient"], include="layer1.*", blocks="layer1.?"
    )
    table = recording.table()
    assert set(table["signal"]) == {"gradient"}
    assert table["layer"].astype(str).str.startswith("layer1.").all()
    assert (table["tap"] == "block").sum() == 1


def test_a_forward_without_backward_says_forward_only():
    compiled = torch.compile(mlp(), backend="aot_eager")
    with sppkit.record(compiled) as recording:
        compiled(vectors())
    assert "forward only" in reasons(recording)


def test_the_optimiser_ends_the_steps():
    eager, model = twins(mlp)
    recordings = []
    for network in (eager, torch.compile(model, backend="aot_eager")):
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        with sppkit.record(network, optimizer=optimizer) as recording:
            for _ in range(3):
                optimizer.zero_grad()
                network(vectors()).pow(2).sum().backward()
                optimizer.step()
        recordings.append(recording)
    assert largest_difference(*recordings) < 1e-5


def test_a_probe_of_a_compiled_model_is_that_of_the_model(compiler):
    eager, model = twins(SmallResNet)
    arguments = {"input_size": (3, 16, 16), "seeds": 1}
    left = sppkit.probe(eager, **arguments)
    right = sppkit.probe(torch.compile(model, backend=compiler), **arguments)
    assert left.runs == right.runs
    assert largest_difference(left, right) == 0
    assert compiler.frame_count == 0
