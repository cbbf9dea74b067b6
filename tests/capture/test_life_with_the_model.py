"""What users and other tools do to a model while it is recorded."""

import copy
import gc
import io
import pickle
import threading
import tracemalloc
import warnings
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import sppkit
from sppkit.capture.planning.plan import REPEATED
from sppkit.table import KEY
from tests.capture.finding import reasons, row, rows
from tests.cases import PostActivationResNet, SharedLayer, Tokens, weight_normed

X = torch.linspace(-2, 2, 48).view(6, 8)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def numbers(recording, layers=None):
    table = recording.table()
    table = table if layers is None else table[table["layer"].isin(layers)]
    return table.select_dtypes("number").to_numpy(float)


def assert_same(left, right):
    assert np.array_equal(numbers(left), numbers(right), equal_nan=True)


def assert_keys_are_unique(recording):
    assert not recording.table().duplicated(list(KEY)).any()


@contextmanager
def quiet():
    """Let torch announce what it is about to drop, or still trying out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def forward_backward(model, x=X):
    output = model(x)
    output.pow(2).sum().backward()
    return output.detach()


# several recorders


@pytest.mark.parametrize("build", [net, PostActivationResNet])
def test_two_recorders_at_once_read_what_one_reads(build):
    model = build()
    x = X if build is net else torch.randn(4, 3, 16, 16)
    twin = copy.deepcopy(model)
    with sppkit.record(twin) as alone:
        for _ in range(3):
            forward_backward(twin, x)
            alone.step()
    with sppkit.record(model) as outer, sppkit.record(model) as inner:
        for _ in range(3):
            forward_backward(model, x)
            outer.step()
            inner.step()
    assert_same(outer, alone)
    assert_same(inner, alone)
    assert outer.table()["operation"].tolist() == alone.table()["operation"].tolist()
    assert not any("failed" in reason for reason in reasons(outer).values())


def test_a_recorder_inside_of_another_leaves_it_as_it_was():
    model, twin = net(), net()
    with sppkit.record(twin) as alone:
        forward_backward(twin)
        forward_backward(twin)
    with sppkit.record(model) as outer:
        forward_backward(model)
        with sppkit.record(model) as inner:
            forward_backward(model)
    assert_same(outer, alone)
    assert row(inner, layer="0", signal="activation")["samples"] == 6


def test_a_cell_that_is_run_again_does_not_double_rows():
    model = net()
    tables = []
    for _ in range(3):
        with sppkit.record(model) as recording:
            model.zero_grad()
            forward_backward(model)
        tables.append(numbers(recording))
        assert_keys_are_unique(recording)
        assert not model[0]._forward_hooks
    assert np.array_equal(tables[0], tables[2], equal_nan=True)


def test_a_recording_that_is_entered_again_goes_on_with_the_next_step():
    model = net()
    recording = sppkit.record(model)
    for _ in range(3):
        with recording:
            forward_backward(model)
    assert_keys_are_unique(recording)
    steps = rows(recording, layer="0", signal="activation")
    assert steps["step"].tolist() == [0, 1, 2]
    assert steps["samples"].tolist() == [6, 6, 6]
    assert recording.structure()["layer"].is_unique


def test_a_recording_cannot_be_entered_twice_at_once():
    model = net()
    with sppkit.record(model) as recording:
        with pytest.raises(sppkit.SppkitError, match="already running"):
            recording.__enter__()
        forward_backward(model)
    assert row(recording, layer="0", signal="activation")["samples"] == 6
    assert not model[0]._forward_hooks


# hooks of others


@pytest.mark.parametrize("when", ["before", "inside", "between steps"])
def test_an_output_that_another_hook_replaces_is_read_as_it_flows_on(when):
    model = net()
    seen = []
    model[1].register_forward_pre_hook(lambda m, args: seen.append(args[0].detach().clone()))

    def register():
        return model[0].register_forward_hook(lambda m, args, output: output * 3 + 1)

    if when == "before":
        register()
    with sppkit.record(model) as recording:
        if when == "inside":
            register()
        if when == "between steps":
            forward_backward(model)
            recording.step()
            register()
        forward_backward(model)
    read = rows(recording, layer="0", signal="activation").iloc[-1]
    assert read["second_moment"] == pytest.approx(float(seen[-1].pow(2).mean()), rel=1e-6)


def test_the_gradient_of_a_replaced_output_is_that_of_what_flows_on():
    model, kept = net(), []

    def replace(module, args, output):
        replaced = output * 3
        replaced.retain_grad()
        kept.append(replaced)
        return replaced

    with sppkit.record(model) as recording:
        model[0].register_forward_hook(replace)
        forward_backward(model)
    read = row(recording, layer="0", signal="gradient")
    assert read["second_moment"] == pytest.approx(float(kept[0].grad.pow(2).mean()), rel=1e-6)


def test_hooks_of_others_stay_in_their_order_and_are_called_as_often():
    model, calls = net(), []
    first = model[0].register_forward_hook(lambda *_: calls.append("first"))
    with sppkit.record(model):
        second = model[0].register_forward_hook(lambda *_: calls.append("second"))
        forward_backward(model)
    forward_backward(model)
    assert calls == ["first", "second"] * 2
    assert list(model[0]._forward_hooks) == [first.id, second.id]


def test_hooks_that_others_remove_while_we_record_are_gone():
    model = net()
    handle = model[0].register_forward_hook(lambda m, args, output: output * 0)
    with sppkit.record(model) as recording:
        handle.remove()
        forward_backward(model)
    assert row(recording, layer="0", signal="activation")["second_moment"] > 0
    assert not model[0]._forward_hooks


def test_all_hooks_being_cleared_by_another_tool_is_survived():
    model = net()
    with sppkit.record(model) as recording:
        forward_backward(model)
        recording.step()
        for module in model.modules():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        forward_backward(model)
        recording.step()
        forward_backward(model)
    assert rows(recording, layer="0", signal="activation")["step"].tolist() == [0, 2]


# a model that changes


@pytest.mark.parametrize("is_between_steps", [True, False])
def test_a_module_that_is_replaced_is_recorded_at_once(is_between_steps):
    model = net()
    with sppkit.record(model) as recording:
        forward_backward(model)
        if is_between_steps:
            recording.step()
        model[2] = nn.Linear(8, 5)
        output = forward_backward(model)
        recording.step()
        output = forward_backward(model)
    assert_keys_are_unique(recording)
    later = rows(recording, layer="2", signal="activation").iloc[-1]
    assert later["channels"] == 5
    assert later["second_moment"] == pytest.approx(float(output.pow(2).mean()), rel=1e-6)
    if is_between_steps:
        assert rows(recording, layer="2", signal="activation")["channels"].tolist() == [3, 5, 5]
    else:
        assert "passes cannot be merged: 5 channels in one pass, 3" in str(recording.not_captured)


def test_a_module_of_another_kind_gets_the_channel_axis_of_its_kind():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 4, 1)
            self.head = nn.Conv2d(4, 5, 1)

        def forward(self, x):
            return self.head(self.body(x))

    model = Head()
    with sppkit.record(model) as recording:
        model(torch.randn(2, 3, 6, 7))
        recording.step()
        model.head = nn.Linear(7, 9)
        model(torch.randn(2, 3, 6, 7))
    found = rows(recording, layer="head", signal="activation")
    assert found["channels"].tolist() == [5, 9]
    assert found["layer_type"].tolist() == ["Conv2d", "Linear"]


def test_a_module_that_is_replaced_while_no_hooks_are_on_gets_its_own_axis():
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    with sppkit.record(model, every=2) as recording:
        for step in range(4):
            if step == 1:
                model[0] = nn.Linear(4, 9)
            model(torch.randn(2, 3, 5, 4))
            recording.step()
    found = rows(recording, layer="0", signal="activation")
    assert found["step"].tolist() == [0, 2]
    assert found["channels"].tolist() == [4, 9]


def test_a_module_of_another_kind_in_the_middle_of_a_step_gets_its_own_axis():
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    with sppkit.record(model, signals=["activation"]) as recording:
        model(torch.randn(2, 3, 4, 4))
        model[0] = nn.Linear(4, 4)
        output = model(torch.randn(2, 3, 5, 4))
    read = row(recording, layer="0")
    assert read["samples"] == 2 * 16 + 2 * 3 * 5
    assert read["maximum"] >= float(output.detach().max())


def test_a_layer_that_is_added_is_recorded_and_described():
    model = net()
    with sppkit.record(model) as recording:
        forward_backward(model)
        model.append(nn.Tanh())
        model.append(nn.Linear(3, 2))
        forward_backward(model)
        recording.step()
        forward_backward(model)
    assert_keys_are_unique(recording)
    assert rows(recording, layer="4", signal="activation")["step"].tolist() == [0, 1]
    assert rows(recording, layer="4", signal="gradient", tensor="")["step"].tolist() == [0, 1]
    structure = recording.structure().set_index("layer")
    assert structure.loc["4", "layer_type"] == "Linear"
    assert structure.loc["4", "initialisation"].startswith("weight: std")
    assert structure.index.is_unique


def test_a_layer_that_is_removed_is_recorded_as_long_as_it_was_there():
    model = net()
    with sppkit.record(model) as recording:
        for _ in range(2):
            forward_backward(model)
            recording.step()
        del model[1]
        forward_backward(model)
    assert rows(recording, layer_type="ReLU")["step"].tolist() == [0, 0, 1, 1]
    last = rows(recording, step=2, signal="activation").set_index("layer")
    assert last["layer_type"].to_dict() == {"0": "Linear", "1": "Linear", "": "Sequential"}
    assert last["channels"].to_dict() == {"0": 8, "1": 3, "": 3}


def test_a_layer_that_is_given_more_axes_than_the_traced_pass_had_is_read_by_its_last():
    model = nn.Sequential(nn.Linear(8, 5))
    shapes = [(4, 3, 8), (4, 3, 6, 8), (4, 8), (4, 3, 8)]
    with sppkit.record(model) as recording:
        for shape in shapes:
            forward_backward(model, torch.randn(shape))
            recording.step()
    for signal in ("activation", "gradient"):
        found = rows(recording, layer="0", signal=signal, tensor="")
        assert found["channels"].tolist() == [5] * 4
        assert found["samples"].tolist() == [12, 72, 4, 12]


def test_parametrizations_may_come_and_go():
    model = net()
    with sppkit.record(model) as recording:
        forward_backward(model)
        recording.step()
        parametrizations.weight_norm(model[0])
        forward_backward(model)
        used = model[0].weight.detach().clone()
        recording.step()
        parametrize.remove_parametrizations(model[0], "weight")
        forward_backward(model)
    assert_keys_are_unique(recording)
    assert rows(recording, layer="0", signal="activation")["step"].tolist() == [0, 1, 2]
    effective = row(recording, layer="0", signal="effective weight")
    assert effective["step"] == 1
    assert effective["second_moment"] == pytest.approx(float(used.pow(2).mean()), rel=1e-6)
    stored = rows(recording, layer="0", signal="weight", tensor="weight")
    assert stored["step"].tolist() == [0, 2]
    inner = rows(recording, layer="0.parametrizations.weight", signal="weight")
    assert set(inner["step"]) == {1}


def test_an_effective_weight_that_cannot_be_computed_is_a_reason():
    class Broken(nn.Linear):
        def effective_weight(self):
            raise RuntimeError("no scale yet")

    model = nn.Sequential(Broken(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording:
        forward_backward(model)
        optimizer.step()
    assert "computing it failed: RuntimeError: no scale yet" in str(recording.not_captured)
    assert len(rows(recording, layer="0", signal="weight")) == 2


def test_a_model_may_move_to_another_type_between_steps():
    model = net()
    kinds = [torch.float32, torch.float64, torch.bfloat16, torch.float32]
    with sppkit.record(model) as recording:
        for kind in kinds:
            model.to(kind).zero_grad()
            output = forward_backward(model, X.to(kind))
            recording.step()
    for signal, tensor in (("activation", ""), ("gradient", ""), ("weight", "weight")):
        found = rows(recording, layer="2", signal=signal, tensor=tensor)
        assert found["dtype"].tolist() == [str(kind).removeprefix("torch.") for kind in kinds]
    last = rows(recording, layer="2", signal="activation").iloc[-1]
    assert last["second_moment"] == pytest.approx(float(output.pow(2).mean()), rel=1e-6)


def test_train_and_eval_may_alternate_over_steps():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    with sppkit.record(model) as recording:
        for step in range(4):
            model.train(step % 2 == 0)
            forward_backward(model)
            recording.step()
    found = rows(recording, layer="1", signal="activation")
    assert found["phase"].tolist() == ["train", "eval", "train", "eval"]
    assert_keys_are_unique(recording)


def test_inference_mode_in_one_step_does_not_spoil_the_next():
    model = net()
    with sppkit.record(model) as recording:
        for step in range(4):
            with torch.inference_mode(step % 2 == 0):
                model(X)
            recording.step()
    assert rows(recording, layer="0", signal="activation")["samples"].tolist() == [6] * 4
    assert rows(recording, layer="0", signal="weight", tensor="weight")["step"].tolist() == [
        *range(4)
    ]
    assert not any("failed" in missing.reason for missing in recording.not_captured)


# lazy modules


def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


def test_a_lazy_model_is_recorded_under_the_class_it_becomes():
    model, x = lazy(), torch.randn(2, 3, 6, 6)
    with sppkit.record(model) as recording:
        for _ in range(2):
            forward_backward(model, x)
            recording.step()
    found = rows(recording, layer="3", signal="activation")
    assert found["layer_type"].tolist() == ["Linear", "Linear"]
    assert found["channels"].tolist() == [5, 5]
    weight = rows(recording, layer="0", signal="weight", tensor="weight")
    assert weight["channels"].tolist() == [4, 4]
    structure = recording.structure().set_index("layer")
    assert (structure.loc["3", "fan_in"], structure.loc["0", "fan_in"]) == (64, 27)
    assert not recording.not_captured


def test_a_lazy_layer_that_is_never_called_has_no_weights_and_says_so():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.LazyLinear(3), nn.LazyLinear(3)

        def forward(self, x):
            return self.used(x)

    model = Spare()
    with sppkit.record(model) as recording:
        forward_backward(model)
    assert rows(recording, layer="spare").empty
    assert "never called" in reasons(recording)["spare"]
    assert "a lazy parameter has no values" in reasons(recording)["spare.weight"]


@pytest.mark.parametrize("is_instance", [False, True])
def test_a_lazy_model_is_probed(is_instance):
    recording = sppkit.probe(lazy() if is_instance else lazy, input_size=(3, 6, 6), seeds=2)
    found = rows(recording, layer="3", signal="activation")
    assert found["channels"].tolist() == [5, 5]
    assert rows(recording, layer="0", signal="weight", tensor="weight")["seed"].tolist() == [0, 1]


# copies and files


def test_a_copy_for_a_moving_average_is_silent_and_the_original_is_not():
    model = net()
    with sppkit.record(model) as recording:
        for _ in range(3):
            forward_backward(model)
            average = copy.deepcopy(model)
            average(X + 1)
            recording.step()
        averaged = torch.optim.swa_utils.AveragedModel(model)
        averaged.update_parameters(model)
        averaged(X)
    assert rows(recording, layer="0", signal="activation")["samples"].tolist() == [6, 6, 6]
    average(X)  # after the recording, too


def test_a_shallow_copy_shares_the_layers_and_is_recorded_as_the_model():
    model = SharedLayer()
    with sppkit.record(model) as recording:
        forward_backward(copy.copy(model))
    assert rows(recording, layer="layer", signal="activation")["call"].tolist() == [0, 1, 2]
    assert row(recording, layer="", signal="activation")["samples"] == 6


@pytest.mark.parametrize("store", ["pickle", "torch.save"])
def test_a_model_is_saved_whole_while_it_is_recorded(store):
    model = PostActivationResNet()
    x = torch.randn(2, 3, 16, 16)
    with sppkit.record(model, signals=["activation"]) as recording:
        model(x)
        if store == "pickle":
            loaded = pickle.loads(pickle.dumps(model))
        else:
            file = io.BytesIO()
            torch.save(model, file)
            file.seek(0)
            loaded = torch.load(file, weights_only=False)
        loaded(x)
        model(x)
    assert row(recording, layer="conv1")["samples"] == 2 * 2 * 256
    loaded(x)  # after the recording, too
    assert "sppkit" not in str(loaded.conv1._forward_hooks)


class Features(torch.utils.data.Dataset):
    """A dataset whose workers run the recorded model, as feature extraction does."""

    def __init__(self, model):
        self.model = model

    def __len__(self):
        return 8

    def __getitem__(self, index):
        with torch.no_grad():
            return self.model(X[index % 6])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_data_loader_may_hold_the_recorded_model(context):
    model = net()
    if context == "fork" and threading.active_count() > 1:
        pytest.skip("forking with several threads is not safe")
    with sppkit.record(model, signals=["activation"]) as recording:
        loader = torch.utils.data.DataLoader(
            Features(model), batch_size=4, num_workers=1, multiprocessing_context=context
        )
        batches = list(loader)
        model(X)
    assert sum(len(batch) for batch in batches) == 8
    assert row(recording, layer="0")["samples"] == 6
    expected = model(X[[0, 1, 2, 3]]).detach()
    assert torch.allclose(batches[0], expected, atol=1e-6)


# ways of calling


def test_a_call_through_functional_call_is_read_with_the_parameters_it_used():
    model = PostActivationResNet()
    x = torch.randn(4, 3, 16, 16)
    given = {name: p.detach() * 2 for name, p in model.named_parameters()}
    given["fc.weight"].requires_grad_()
    with sppkit.record(model) as recording:
        output = torch.func.functional_call(model, given, (x,))
        output.pow(2).sum().backward()
    read = row(recording, layer="fc", signal="activation")
    assert read["second_moment"] == pytest.approx(float(output.detach().pow(2).mean()), rel=1e-5)
    with sppkit.record(model) as plain:
        model(x)
    assert recording.structure()["tap"].tolist() == plain.structure()["tap"].tolist()
    assert (recording.structure()["tap"] == "residual branch").sum() == 4


@pytest.mark.parametrize("transform", ["vmap", "grad", "jacrev", "jvp", "per-sample gradients"])
def test_a_call_inside_torch_func_is_left_out_with_a_reason(transform):
    model = net()
    parameters = dict(model.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x,)).pow(2).sum()

    calls = {
        "vmap": lambda: torch.vmap(model)(X),
        "grad": lambda: torch.func.grad(loss)(parameters, X),
        "jacrev": lambda: torch.func.jacrev(model)(X),
        "jvp": lambda: torch.func.jvp(model, (X,), (X,)),
        "per-sample gradients": lambda: torch.vmap(torch.func.grad(loss), (None, 0))(parameters, X),
    }
    with quiet():
        expected = calls[transform]()
    with sppkit.record(model) as recording:
        found = calls[transform]()
        forward_backward(model)
    for left, right in zip(_leaves(expected), _leaves(found), strict=True):
        assert torch.equal(left, right)
    assert row(recording, layer="0", signal="activation")["samples"] == 6
    assert "called inside torch.func" in reasons(recording)[""]


def _leaves(value):
    return torch.utils._pytree.tree_leaves(value)


def test_a_layer_mapped_inside_of_a_model_is_left_out_and_the_rest_is_read():
    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.mapped, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(torch.vmap(self.mapped)(x))

    model = Maps()
    with sppkit.record(model) as recording:
        for _ in range(2):
            forward_backward(model)
            recording.step()
    assert rows(recording, layer="head", signal="activation")["samples"].tolist() == [6, 6]
    assert rows(recording, layer="mapped", signal="activation").empty
    assert "inside torch.func" in reasons(recording)["mapped"]


def test_a_batched_backward_pass_gives_no_gradient_and_a_reason():
    model = net()
    with sppkit.record(model) as recording:
        output = model(X[:1])[0]
        torch.autograd.grad(output, model[0].weight, torch.eye(3), is_grads_batched=True)
    assert rows(recording, signal="gradient").empty
    assert "torch.func" in str(recording.not_captured)


def test_the_last_of_several_backward_passes_is_read_and_flagged():
    model, kept = net(), []
    with sppkit.record(model) as recording:
        output = model(X)
        output.register_hook(lambda gradient: kept.append(gradient.clone()))
        output.sum().backward(retain_graph=True)
        (3 * output).pow(2).sum().backward()
    read = row(recording, layer="2", signal="gradient", tensor="")
    assert read["second_moment"] == pytest.approx(float(kept[-1].pow(2).mean()), rel=1e-6)
    assert read["flags"] == REPEATED
    assert row(recording, layer="2", signal="activation")["flags"] == ""


def test_a_layer_that_is_called_by_its_forward_is_listed_as_never_called():
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.second(self.first.forward(x))

    model = Direct()
    with sppkit.record(model) as recording:
        forward_backward(model)
    assert "or by its .forward()" in reasons(recording)["first"]
    assert rows(recording, layer="first", signal="activation").empty
    assert len(rows(recording, layer="first", signal="weight")) == 2


def test_a_model_of_which_only_parts_are_called_says_so():
    model = net()
    with sppkit.record(model) as recording:
        model.forward(X).pow(2).sum().backward()
    assert "never called, only modules inside" in reasons(recording)[""]
    for signal in ("activation", "gradient"):
        assert rows(recording, layer="2", signal=signal, tensor="")["samples"].tolist() == [6]


def test_a_cell_that_is_unrolled_by_the_users_loop_has_the_gradients_of_all_its_calls():
    cell = nn.GRUCell(8, 4)
    with sppkit.record(cell) as recording:
        hidden = torch.zeros(6, 4)
        for _ in range(50):
            hidden = cell(X, hidden)
        hidden.sum().backward()
    for signal in ("activation", "gradient"):
        assert row(recording, layer="", signal=signal, tensor="")["samples"] == 300


def test_passes_that_waited_too_long_for_their_backward_pass_are_named():
    cell = nn.GRUCell(8, 4)
    with sppkit.record(cell) as recording:
        hidden = torch.zeros(6, 4)
        for _ in range(300):
            hidden = cell(X, hidden)
        hidden.sum().backward()
    assert row(recording, layer="", signal="activation", tensor="")["samples"] == 1800
    assert row(recording, layer="", signal="gradient", tensor="")["samples"] < 1800
    assert "more than 256 forward passes waited" in str(recording.not_captured)


def test_scripted_parts_are_left_out_with_a_reason_and_the_rest_is_read():
    with quiet():
        scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    model = nn.Sequential(nn.Linear(8, 8), scripted, nn.Linear(8, 3))
    with sppkit.record(model) as recording:
        forward_backward(model)
    assert "scripted" in reasons(recording)["1"]
    assert set(reasons(recording)) == {"1"}
    assert rows(recording, layer="1", signal="activation").empty
    for layer in ("0", "2"):
        assert row(recording, layer=layer, signal="activation")["samples"] == 6
    assert len(rows(recording, layer="1.0", signal="weight")) == 2


def test_a_scripted_model_is_refused():
    with quiet():
        scripted = torch.jit.script(nn.Linear(8, 3))
    with pytest.raises(TypeError, match="Record the module that it was made from"):
        sppkit.record(scripted)


def test_tracing_a_recorded_model_takes_nothing_of_ours_into_the_trace():
    model = net()
    with sppkit.record(model) as recording:
        with quiet():
            traced = torch.jit.trace(model, X, check_trace=False)
        forward_backward(model)
    assert row(recording, layer="0", signal="activation")["samples"] == 6
    assert "torch.jit.trace" in reasons(recording)[""]
    with quiet():
        plain = torch.jit.trace(model, X, check_trace=False)
    assert [n.kind() for n in traced.inlined_graph.nodes()] == [
        n.kind() for n in plain.inlined_graph.nodes()
    ]


def run_on_fake_tensors(model):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        return model(torch.empty(6, 8))


def run_make_fx(model):
    from torch.fx.experimental.proxy_tensor import make_fx

    return [node.name for node in make_fx(model)(X).graph.nodes if "detach" not in node.name]


@pytest.mark.parametrize("trace", [run_on_fake_tensors, run_make_fx])
def test_a_tracer_sees_nothing_of_ours_and_a_reason_is_given(trace):
    model = net()
    with quiet():
        expected = trace(model)
    with sppkit.record(model) as recording:
        found = trace(model)
        forward_backward(model)
    assert found == expected if isinstance(found, list) else found.shape == expected.shape
    assert row(recording, layer="0", signal="activation")["samples"] == 6
    assert "called by a tracer" in reasons(recording)[""]


class Refuses(torch.Tensor):
    """A tensor of someone else's class that answers to almost nothing."""

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype)

    def __init__(self, values):
        self.values_inside = values

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.detach.default:
            return Refuses(args[0].values_inside)
        raise NotImplementedError(f"{function} is refused")


def test_a_parameter_that_cannot_be_read_does_not_stop_the_training():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd = nn.Parameter(Refuses(torch.randn(3, 8)), requires_grad=False)
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return x @ self.odd.values_inside.T + self.bias

    model = nn.Sequential(Layer())
    optimizer = torch.optim.SGD([model[0].bias], lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording:
        forward_backward(model)
        optimizer.step()
    assert "reading it failed: NotImplementedError" in reasons(recording)["0.odd"]
    assert rows(recording, layer="0", signal="weight")["tensor"].tolist() == ["bias"]


def test_the_traced_pass_of_fused_attention_is_bit_identical_to_a_plain_one():
    model = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        plain = model(x, x, x)[0]
        with sppkit.record(model):
            assert torch.equal(model(x, x, x)[0], plain)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_traced_pass_returns_what_a_transformer_returns_without_it(mode):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).train(mode == "train")
    x, padding = torch.randn(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = padding[2, 1:] = True
    with torch.no_grad(), quiet():
        plain = encoder(x, src_key_padding_mask=padding)
        with sppkit.record(encoder):
            recorded = encoder(x, src_key_padding_mask=padding)
    assert torch.allclose(recorded, plain, atol=1e-5)
    assert torch.overrides.has_torch_function is torch._C._has_torch_function


# threads


def test_threads_that_call_the_model_at_once_spoil_no_number():
    class Waits(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.barrier = threading.Barrier(3, timeout=20)

        def forward(self, x):
            x = self.layer(x)
            self.barrier.wait()
            x = self.layer(x)
            self.barrier.wait()
            return self.layer(x)

    model, errors = Waits(), []

    def work():
        try:
            model(X)
        except Exception as error:
            errors.append(error)

    with sppkit.record(model, signals=["activation"]) as recording:
        threads = [threading.Thread(target=work) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert not errors
    calls = rows(recording, layer="layer")
    assert calls["call"].tolist() == [0, 1, 2]
    assert calls["samples"].tolist() == [6, 6, 6]
    with torch.no_grad():
        output = model.layer(model.layer(model.layer(X)))
    read = rows(recording, layer="layer", call=2).iloc[0]
    assert read["second_moment"] == pytest.approx(float(output.pow(2).mean()), rel=1e-6)
    assert "several threads" in reasons(recording)[""]


def test_threads_one_after_the_other_are_all_read():
    model = net()
    with sppkit.record(model) as recording:
        for _ in range(3):
            thread = threading.Thread(target=forward_backward, args=(model,))
            thread.start()
            thread.join()
    for signal in ("activation", "gradient"):
        assert row(recording, layer="0", signal=signal, tensor="")["samples"] == 18


# memory


def test_a_thousand_recorded_steps_keep_nothing_but_their_rows():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    outputs = []

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            output = model(X)
            outputs.append(weakref.ref(output))
            output.pow(2).sum().backward()
            del output
            optimizer.step()

    def objects():
        gc.collect()
        recording._rows.clear()
        return len(gc.get_objects())

    with sppkit.record(model, optimizer=optimizer) as recording:
        train(50)
        before = objects()
        train(800)
        assert len(recording._rows)
        assert not any(output() is not None for output in outputs)
        outputs.clear()
        assert objects() - before < 200
        tracemalloc.start()  # slow, hence for the last steps only
        train(100)
        outputs.clear()
        objects()
        before, _ = tracemalloc.get_traced_memory()
        train(300)  # of which some 5 kB come from elsewhere, however many steps there are
        outputs.clear()
        objects()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (after - before) / 300 < 100


def test_a_step_outside_of_the_block_is_refused():
    model = net()
    with sppkit.record(model) as recording:
        forward_backward(model)
    with pytest.raises(sppkit.SppkitError, match="inside of the `with` block"):
        recording.step()
    assert not model[0]._forward_hooks


def test_a_finished_recording_does_not_keep_the_model_alive():
    model = PostActivationResNet()
    alive = weakref.ref(model)
    with sppkit.record(model) as recording:
        forward_backward(model, torch.randn(2, 3, 16, 16))
    del model
    gc.collect()
    assert alive() is None
    assert len(recording.table()) > 50
    with pytest.raises(sppkit.SppkitError, match="is gone"):
        recording.__enter__()


def test_an_output_does_not_outlive_its_step_because_of_us():
    model = Tokens()
    with sppkit.record(model):
        output = model(torch.randint(11, (3, 5)))
        alive = weakref.ref(output)
        output.sum().backward()
        del output
        gc.collect()
        assert alive() is None


def test_weights_of_a_parametrised_model_are_not_changed_by_a_thousand_reads():
    model = weight_normed().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with sppkit.record(model, signals=["effective weight"]) as recording:
        for _ in range(20):
            model.eval()(X)
            recording.step()
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
