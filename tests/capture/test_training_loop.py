"""In a training loop the rows say what the optimiser saw: unscaled, raw and clipped apart."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import sppkit
from tests.capture.test_readings import row


def net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def weight_gradient(model, name="0"):
    return model.get_submodule(name).weight.grad.detach().double()


def test_accumulated_gradients_are_the_sum_that_the_optimiser_sees():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording:
        for _ in range(3):
            model(torch.randn(5, 8)).pow(2).mean().backward()
        expected = float(weight_gradient(model).pow(2).mean())
        optimizer.step()
    read = row(recording, layer="0", signal="weight gradient", tensor="weight")
    assert read["second_moment"] == pytest.approx(expected, rel=1e-5)
    assert (read["passes"], read["batch"]) == (3, 15)
    assert row(recording, layer="0", signal="activation")["batch"] == 15


def test_raw_and_clipped_gradients_are_signals_of_their_own():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording:
        model(torch.randn(5, 8)).pow(2).sum().backward()
        raw = float(weight_gradient(model).pow(2).mean())
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), 0.5))
        optimizer.step()
    key = {"layer": "0", "tensor": "weight"}
    assert row(recording, signal="weight gradient", **key)["second_moment"] == pytest.approx(raw)
    clipped = row(recording, signal="clipped weight gradient", **key)["second_moment"]
    assert clipped == pytest.approx(raw * (0.5 / norm) ** 2, rel=1e-4)


def test_gradients_that_nothing_changed_have_no_clipped_row():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording:
        model(torch.randn(5, 8)).pow(2).sum().backward()
        optimizer.step()
    assert "clipped weight gradient" not in set(recording.table()["signal"])


def test_a_replaced_gradient_is_a_changed_one():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording:
        model(torch.randn(5, 8)).pow(2).sum().backward()
        for parameter in model.parameters():
            parameter.grad = parameter.grad * 0.5
        optimizer.step()
    key = {"layer": "2", "tensor": "bias"}
    raw = row(recording, signal="weight gradient", **key)["second_moment"]
    clipped = row(recording, signal="clipped weight gradient", **key)["second_moment"]
    assert clipped == pytest.approx(raw / 4)


def test_gradients_set_by_hand_are_read_at_the_end_of_the_step():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer) as recording, torch.no_grad():
        model(torch.randn(5, 8))
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 2.0)
        optimizer.step()
    assert row(recording, layer="0", signal="weight gradient", tensor="bias")["mean"] == 2.0


def scaled_step(model, optimizer, scaler, x, unscale_first=False):
    optimizer.zero_grad()
    scaler.scale(model(x).pow(2).mean()).backward()
    if unscale_first:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("unscale_first", [False, True])
def test_gradients_are_divided_by_the_scale_their_loss_had(unscale_first):
    x = torch.randn(6, 8)
    torch.manual_seed(1)
    plain = net()
    with sppkit.record(plain) as expected:
        plain(x).pow(2).mean().backward()
    torch.manual_seed(1)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    with sppkit.record(model, optimizer=optimizer, scaler=scaler) as recording:
        for _ in range(3):  # the scale doubles after every step
            scaled_step(model, optimizer, scaler, x, unscale_first)
    assert scaler.get_scale() == 8 * 1024.0
    table = recording.table()
    assert "clipped weight gradient" not in set(table["signal"])
    for signal in ("gradient", "weight gradient"):
        wanted = expected.table().query("signal == @signal")["second_moment"].tolist()
        for step in range(3):
            read = table[(table["step"] == step) & (table["signal"] == signal)]["second_moment"]
            assert read.tolist() == pytest.approx(wanted, rel=1e-6)


def test_skipped_steps_are_flagged_and_counted():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    before = [p.detach().clone() for p in model.parameters()]
    with sppkit.record(model, optimizer=optimizer, scaler=scaler) as recording:
        scaled_step(model, optimizer, scaler, torch.full((5, 8), float("inf")))
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        scaled_step(model, optimizer, scaler, torch.randn(5, 8))
    table = recording.table()
    assert table.loc[table["step"] == 0, "flags"].str.startswith("skipped step").all()
    assert not table.loc[table["step"] == 1, "flags"].str.contains("skipped").any()
    gradients = table[(table["step"] == 0) & (table["signal"] == "weight gradient")]
    assert (gradients["nonfinite_fraction"] > 0).any()
    assert "update" not in vars(scaler)


@pytest.mark.parametrize("unscale_first", [False, True])
@pytest.mark.parametrize("extended", [False, True])
def test_a_scale_that_skipped_steps_have_halved_to_zero_leaves_no_finite_gradient(
    unscale_first, extended
):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-149)
    with sppkit.record(model, optimizer=optimizer, scaler=scaler, extended=extended) as recording:
        for value in (float("inf"), 1.0):
            scaled_step(model, optimizer, scaler, torch.full((5, 8), value), unscale_first)
    assert scaler.get_scale() == 0.0
    last = recording.table().query("step == 1")
    forward = last[~last["signal"].str.contains("gradient")]
    backward = last[last["signal"].isin(["gradient", "weight gradient"])]
    assert (forward["nonfinite_fraction"] == 0).all()
    assert forward["mean"].notna().all()
    assert len(backward) > 0
    assert (backward["nonfinite_fraction"] == 1).all()
    moments = ["mean", "second_moment", "minimum", "maximum"] + extended * ["kurtosis"]
    assert backward[moments].isna().all(axis=None)


def test_the_update_and_its_ratio_to_the_weight_are_those_of_the_step():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    signals = ["weight", "weight gradient", "update"]
    with sppkit.record(model, optimizer=optimizer, signals=signals) as recording:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(5, 8)).pow(2).mean().backward()
            before = model[0].weight.detach().double().clone()
            gradient = weight_gradient(model).clone()
            optimizer.step()
    update = model[0].weight.detach().double() - before
    read = row(recording, layer="0", signal="update", tensor="weight", step=1)
    assert read["second_moment"] == pytest.approx(float(update.pow(2).mean()), rel=1e-4)
    assert read["norm_to_weight_ratio"] == pytest.approx(
        float(update.norm() / before.norm()), rel=1e-4
    )
    read = row(recording, layer="0", signal="weight gradient", tensor="weight", step=1)
    ratios = gradient.norm(dim=1) / before.norm(dim=1).clamp_min(1e-3)
    assert read["maximum_unit_wise_norm_to_weight_ratio"] == pytest.approx(
        float(ratios.max()), rel=1e-5
    )


def test_several_forwards_before_a_backward_keep_their_gradients_apart():
    model = nn.Sequential(nn.Linear(8, 4, bias=False))
    with sppkit.record(model, signals=["gradient"]) as recording:
        first, second = model(torch.randn(3, 8)), model(torch.randn(5, 8))
        second.mul(10).sum().backward()
        first.sum().backward()
    read = row(recording, layer="0", signal="gradient")
    assert read["samples"] == 8
    assert read["mean"] == pytest.approx((3 * 1 + 5 * 10) / 8)
    assert (read["minimum"], read["maximum"]) == (1.0, 10.0)


def test_two_models_in_one_loop_are_recorded_apart():
    generator, critic = nn.Linear(4, 8), nn.Linear(8, 1)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (generator, critic)]
    with (
        sppkit.record(generator, optimizer=optimizers[0], run="generator") as left,
        sppkit.record(critic, optimizer=optimizers[1], run="critic") as right,
    ):
        for _ in range(2):
            critic(generator(torch.randn(6, 4)).detach()).sum().backward()
            optimizers[1].step()
            critic(generator(torch.randn(6, 4))).sum().backward()
            optimizers[0].step()
    both = sppkit.combine([left, right]).table()
    assert both.groupby("run", observed=True)["step"].nunique().to_dict() == {
        "critic": 3,  # its last forward came after its last step
        "generator": 2,
    }


def test_per_sample_gradients_do_not_depend_on_the_batch():
    """Uniform softmax over C classes: E[g²] = ((1 - 1/C)² + (C - 1)/C²)/C per sample."""
    model = nn.Sequential(nn.Linear(8, 100))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    values, raw = [], []
    for size in (512, 64):
        with sppkit.record(model, loss_reduction="mean") as recording:
            F.cross_entropy(model(torch.randn(size, 8)), torch.randint(100, (size,))).backward()
        raw.append(row(recording, layer="0", signal="gradient")["second_moment"])
        rows = sppkit.per_sample_gradients(recording)
        values.append(rows[rows["layer"] == "0"]["second_moment"].item())
    assert raw == pytest.approx([3.7766e-8, 2.4170e-6], rel=1e-4)
    assert values == pytest.approx([0.0099, 0.0099], rel=1e-4)


def test_a_loss_that_does_not_say_its_reduction_is_refused():
    model = nn.Sequential(nn.Linear(8, 2))
    with sppkit.record(model) as recording:
        model(torch.randn(3, 8)).sum().backward()
    with pytest.raises(ValueError, match="loss_reduction='mean' or 'sum'"):
        sppkit.per_sample_gradients(recording)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scaler": torch.amp.GradScaler("cpu")}, "scaler= needs optimizer="),
        ({"signals": ["update"]}, "'update' needs optimizer="),
        ({"granularity": "op"}, "granularity='op' must be"),
    ],
)
def test_what_the_loop_cannot_tell_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sppkit.record(net(), **options)


def test_operations_are_recorded_with_the_module_they_run_in():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, -1)
            weights = torch.softmax(q @ k.transpose(1, 2) / 8**0.5, -1)
            return self.out(weights @ v) + F.scaled_dot_product_attention(q, k, v)

    class Swish(nn.Module):
        def forward(self, x):
            return x * torch.sigmoid(x)

    model = nn.Sequential(Attention(), Swish())
    with sppkit.record(model, granularity="operation") as recording:
        for _ in range(2):  # the second pass follows the plan of the first
            model(torch.randn(2, 5, 8)).sum().backward()
            recording.step()
    table = recording.table()
    rows = table[(table["role"] == "operation") & (table["signal"] == "activation")]
    found = {(r["layer"], r["operation"]) for _, r in rows.iterrows()}
    expected = [
        *(("0", name) for name in ("matmul#1", "div#1", "softmax#1", "matmul#2", "add#1")),
        ("0", "scaled_dot_product_attention#1"),
        *(("1", name) for name in ("sigmoid#1", "mul#1")),
    ]
    assert found >= set(expected)
    assert not any(operation.startswith(("chunk", "transpose")) for _, operation in found)
    assert rows.groupby("step").size().nunique() == 1
    gradients = table[(table["role"] == "operation") & (table["signal"] == "gradient")]
    assert len(gradients) == len(rows)


def test_operations_are_off_by_default():
    model = nn.Sequential(nn.Linear(4, 4))
    with sppkit.record(model) as recording:
        F.relu(model(torch.randn(2, 4))).sum().backward()
    assert "operation" not in set(recording.table()["role"])


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8)),
        (nn.ConvTranspose1d(3, 4, 3), torch.randn(2, 3, 8)),
    ],
    ids=["convolution", "transposed"],
)
def test_updates_of_convolutions_are_read_by_output_unit(layer, x):
    model = nn.Sequential(layer)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer, signals=["update"]) as recording:
        model(x).pow(2).mean().backward()
        before = layer.weight.detach().double().clone()
        optimizer.step()
    update = layer.weight.detach().double() - before
    read = row(recording, signal="update", tensor="weight")
    assert read["channels"] == 4
    assert read["second_moment"] == pytest.approx(float(update.pow(2).mean()), rel=1e-4)
    assert not recording.not_captured
    assert len(recording.structure()) == 2


def test_a_probe_in_the_middle_of_a_recording_is_not_part_of_it():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(2, 8)
    with sppkit.record(model, optimizer=optimizer) as recording:
        model(x).pow(2).sum().backward()
        expected = float(weight_gradient(model).pow(2).mean())
        probed = sppkit.probe(model, input_size=(8,), seeds=1)
        optimizer.step()
    assert (probed.table()["signal"] == "gradient").any()
    read = row(recording, layer="0", signal="activation")
    assert (read["batch"], read["passes"]) == (2, 1)
    gradient = row(recording, layer="0", signal="weight gradient", tensor="weight")
    assert gradient["second_moment"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("compiled", [False, True], ids=["checkpointed", "compiled"])
def test_a_probe_of_a_model_that_runs_twice_is_not_part_of_a_recording(compiled):
    from tests.cases import Checkpointed

    plain = net() if compiled else Checkpointed(reentrant=True)
    model = torch.compile(plain, backend="aot_eager") if compiled else plain
    x, tables = torch.randn(4, 8), []
    for probes in (False, True):
        torch._dynamo.reset()
        with sppkit.record(model, signals=["activation", "gradient"]) as recording:
            output = model(x)
            if probes:
                sppkit.probe(model, input_size=(8,), seeds=1)
            output.pow(2).sum().backward()
        tables.append(recording.table())
    columns = ["layer", "signal", "samples", "passes", "second_moment"]
    assert tables[0][columns].equals(tables[1][columns])
    assert (tables[0]["signal"] == "gradient").any()


def test_a_recorder_is_pickled_as_what_it_recorded():
    import pickle

    model = net()
    with sppkit.record(model) as recording:
        model(torch.randn(2, 8)).sum().backward()
    again = pickle.loads(pickle.dumps(recording))
    assert again.table().equals(recording.table())
    assert again.metadata == recording.metadata


@pytest.mark.parametrize("by_name", [False, True])
def test_a_step_that_calls_a_closure_ends_when_the_closure_has_returned(by_name):
    tables = []
    for with_closure in (True, False):
        torch.manual_seed(0)
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with sppkit.record(model, optimizer=optimizer) as recording:
            for step in range(3):
                x = torch.full((5, 8), 1.0 + step)

                def passes(x=x, model=model, optimizer=optimizer):
                    optimizer.zero_grad()
                    loss = model(x).pow(2).mean()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 0.01)
                    return loss

                if not with_closure:
                    passes()
                    optimizer.step()
                elif by_name:
                    assert optimizer.step(closure=passes) > 0
                else:
                    assert optimizer.step(passes) > 0
        tables.append(recording.table())
    pd.testing.assert_frame_equal(*tables)
    assert sorted(set(tables[0]["step"])) == [0, 1, 2]


def test_of_the_closures_of_one_step_the_first_is_recorded():
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.01, max_iter=4)
    losses = []
    x = torch.randn(5, 8)

    def passes():
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        losses.append(float(loss.detach()))
        return loss

    with sppkit.record(model, optimizer=optimizer) as recording:
        for _ in range(2):
            optimizer.step(passes)
    assert len(losses) > 4
    table = recording.table()
    outputs = table[(table["layer"] == "2") & (table["signal"] == "activation")]
    assert list(outputs["step"]) == [0, 1]
    assert set(outputs["passes"]) == {1}
    assert outputs["second_moment"].iloc[0] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize("warm_up", [0, 2])
def test_a_pause_between_accumulated_passes_loses_none_of_them(warm_up):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(12, 8)
    with sppkit.record(model, optimizer=optimizer) as recording:
        for step in range(warm_up + 1):
            optimizer.zero_grad()
            for number, part in enumerate(x.chunk(3)):
                model(part).pow(2).mean().backward()
                if step == warm_up and number == 0:
                    with recording.paused():
                        model(100 * x)
            expected = float(weight_gradient(model).pow(2).mean())
            with torch.no_grad(), recording.paused():
                activation = float(model(x).pow(2).mean())
            optimizer.step()
    key = {"step": warm_up, "layer": "2", "signal": "activation"}
    read = row(recording, **key)
    assert (read["passes"], read["samples"]) == (3, 12)
    assert read["second_moment"] == pytest.approx(activation, rel=1e-5)
    key = {"step": warm_up, "layer": "0", "signal": "weight gradient", "tensor": "weight"}
    assert row(recording, **key)["second_moment"] == pytest.approx(expected, rel=1e-5)


def test_who_listens_hears_every_row_and_the_end():
    heard, ended = [], []
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recording = sppkit.record(model, optimizer=optimizer)
    recording.listen(heard.append, lambda: ended.append(len(heard)))
    with recording:
        for _ in range(3):
            model(torch.randn(5, 8)).pow(2).mean().backward()
            optimizer.step()
        assert not ended
    assert sum(len(columns["layer"]) for columns in heard) == len(recording.table())
    assert ended == [len(heard)]
