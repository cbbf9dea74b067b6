"""The numbers in the table are those of the tensors that flowed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.checkpoint import checkpoint

import sppkit
from tests.capture.finding import row
from tests.cases import (
    Checkpointed,
    DataclassOutput,
    DictOutput,
    PostActivationResNet,
    Recurrent,
    SharedLayer,
    Tokens,
    weight_normed,
)


def test_batchnorm_before_an_in_place_relu_has_variance_one_and_mean_square_zero():
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
    with sppkit.record(model) as recording:
        model(torch.randn(32, 3, 16, 16)).sum().backward()
    normalised = row(recording, layer="1", signal="activation")
    rectified = row(recording, layer="2", signal="activation")
    assert normalised["average_channel_variance"] == pytest.approx(1.0, abs=1e-3)
    assert normalised["average_channel_squared_mean"] == pytest.approx(0.0, abs=1e-6)
    assert rectified["average_channel_variance"] == pytest.approx(0.34, abs=0.01)
    assert rectified["average_channel_squared_mean"] == pytest.approx(0.16, abs=0.01)


def test_vectors_and_one_by_one_maps_read_identically():
    flat, maps = nn.Sequential(nn.Identity()), nn.Sequential(nn.Identity())
    x = torch.randn(64, 10) * 2 + 1
    with sppkit.record(flat) as one:
        flat(x)
    with sppkit.record(maps, channel_axis={"0": 1}) as other:
        maps(x[..., None, None])
    columns = ["mean", "variance", "average_channel_variance", "average_channel_squared_mean"]
    left, right = (r.table().query("layer == '0'")[columns].to_numpy() for r in (one, other))
    assert np.array_equal(left, right)


def test_the_identity_of_the_second_moment_holds_in_every_row():
    model = PostActivationResNet()
    table = sppkit.probe(model, input_size=(3, 16, 16), seeds=2).table()
    parts = table["average_channel_squared_mean"] + table["average_channel_variance"]
    finite = table["second_moment"].notna()
    assert np.allclose(parts[finite], table["second_moment"][finite], rtol=1e-12)


def test_gradients_are_those_of_autograd_in_spite_of_in_place_operations():
    model = PostActivationResNet()
    x = torch.randn(4, 3, 16, 16)
    kept = {}

    def keep(name):
        def hook(module, args, output):
            output.register_hook(lambda gradient: kept.__setitem__(name, gradient.clone()))

        return hook

    handles = [m.register_forward_hook(keep(n)) for n, m in model.named_modules() if n]
    with sppkit.record(model) as recording:
        model(x).pow(2).sum().backward()
    for handle in handles:
        handle.remove()
    for name in ("conv1", "layer1.0.bn2", "layer1.1.conv1", "layer2.0.downsample.1", "fc"):
        read = row(recording, layer=name, signal="gradient", call=0)
        assert read["second_moment"] == pytest.approx(float(kept[name].pow(2).mean()), rel=1e-5)
        assert read["mean"] == pytest.approx(float(kept[name].mean()), abs=1e-6)


def test_weights_and_their_gradients_are_read_by_output_unit():
    model = nn.Sequential(nn.Linear(8, 4))
    with sppkit.record(model) as recording:
        model(torch.randn(16, 8)).pow(2).sum().backward()
    for signal, tensor in (("weight", model[0].weight), ("weight gradient", model[0].weight.grad)):
        read = row(recording, layer="0", signal=signal, tensor="weight")
        norms = tensor.detach().norm(dim=1)
        assert read["mean_unit_wise_norm"] == pytest.approx(float(norms.mean()), rel=1e-6)
        assert read["maximum_unit_wise_norm"] == pytest.approx(float(norms.max()), rel=1e-6)
        assert read["channels"] == 4


def test_a_transposed_convolution_counts_its_outputs():
    model = nn.Sequential(nn.ConvTranspose2d(6, 4, 3, groups=2))
    with sppkit.record(model) as recording:
        model(torch.randn(2, 6, 5, 5)).sum().backward()
    assert row(recording, layer="0", signal="weight", tensor="weight")["channels"] == 2
    structure = recording.structure().set_index("layer").loc["0"]
    assert (structure["fan_in"], structure["fan_out"]) == (3 * 9, 2 * 9)


def test_micro_batches_merge_to_the_whole_batch_weighted_by_size():
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
    x = torch.randn(100, 8)
    with sppkit.record(model, extended=True) as whole:
        model(x).sum().backward()
    with sppkit.record(model, extended=True) as parts:
        for part in x.split([50, 30, 20]):
            model(part).sum().backward()
    tables = [recording.table() for recording in (whole, parts)]
    left, right = (t[t["signal"].isin(["activation", "gradient"])] for t in tables)
    columns = [c for c in left.select_dtypes("float") if c != "seed"]
    assert np.allclose(left[columns], right[columns], rtol=2e-6, atol=1e-9, equal_nan=True)
    assert left["samples"].tolist() == right["samples"].tolist()


def test_many_passes_without_a_step_are_folded_together():
    model = nn.Sequential(nn.Linear(8, 4))
    with sppkit.record(model) as recording:
        for _ in range(40):
            model(torch.randn(5, 8)).sum().backward()
    assert row(recording, layer="0", signal="activation")["samples"] == 200
    assert row(recording, layer="0", signal="gradient", tensor="")["samples"] == 200


def test_the_optimiser_ends_the_steps():
    model = nn.Sequential(nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sppkit.record(model, optimizer=optimizer, every=2) as recording:
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(5, 8)).pow(2).sum().backward()
            optimizer.step()
    table = recording.table()
    assert sorted(table["step"].unique()) == [0, 2, 4]
    assert (table.groupby("step")["signal"].nunique() == 4).all()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_weights_are_read_before_the_update_of_their_step():
    model = nn.Sequential(nn.Linear(8, 4, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    before = float(model[0].weight.detach().pow(2).mean())
    with sppkit.record(model, optimizer=optimizer) as recording:
        model(torch.randn(5, 8)).pow(2).sum().backward()
        optimizer.step()
    assert row(recording, signal="weight")["second_moment"] == pytest.approx(before, rel=1e-6)


def test_hooks_are_absent_between_recorded_steps():
    model = nn.Sequential(nn.Linear(8, 4))
    with sppkit.record(model, every=3) as recording:
        counts = []
        for _ in range(4):
            counts.append(len(model[0]._forward_hooks))
            model(torch.randn(2, 8))
            recording.step()
    assert counts == [1, 0, 0, 1]


def test_a_shared_layer_has_a_row_for_each_call():
    model = SharedLayer()
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8)).sum().backward()
    table = recording.table()
    for signal in ("activation", "gradient"):
        calls = table[(table["signal"] == signal) & (table["layer"] == "layer")]["call"]
        assert sorted(calls) == [0, 1, 2]


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_call_is_counted_once_and_has_its_gradient(reentrant):
    model, x = Checkpointed(reentrant), torch.randn(6, 8)
    with sppkit.record(model) as recording:
        model(x).pow(2).sum().backward()
    with sppkit.record(nn.Sequential(model.first, model.segment)) as plain:
        model.segment(model.first(x)).pow(2).sum().backward()
    for signal in ("activation", "gradient"):
        for layer in ("segment.0", "segment.1", "segment.2"):
            read = row(recording, layer=layer, signal=signal)
            name = layer.replace("segment", "1")
            expected = row(plain, layer=name, signal=signal)["second_moment"]
            assert (read["call"], read["samples"]) == (0, 6)
            assert read["second_moment"] == pytest.approx(expected, rel=1e-5)
    assert not recording.not_captured


def test_a_shared_layer_in_checkpointed_segments_keeps_its_calls_apart():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.layer = nn.Linear(8, 8), nn.Linear(8, 8)

        def segment(self, x):
            return self.layer(torch.relu(self.layer(x)))

        def forward(self, x, checkpointed=True):
            x = self.first(x)
            for _ in range(2):
                x = (
                    checkpoint(self.segment, x, use_reentrant=True)
                    if checkpointed
                    else self.segment(x)
                )
            return x

    model, x = Twice(), torch.randn(6, 8)
    tables = []
    for checkpointed in (True, False):
        with sppkit.record(model, signals=["gradient"]) as recording:
            model(x, checkpointed).pow(2).sum().backward()
        rows = recording.table().query("layer == 'layer'").sort_values("call")
        tables.append(rows["second_moment"].tolist())
    assert len(tables[0]) == 4
    assert tables[0] == pytest.approx(tables[1], rel=1e-5)


def test_outputs_in_containers_are_named_by_their_path():
    model = DictOutput()
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8))
    table = recording.table()
    root = table[(table["layer"] == "") & (table["signal"] == "activation")]
    assert set(root["tensor"].astype(str)) == {"logits", "boxes.0", "boxes.1"}
    model = DataclassOutput()
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8))
    paths = set(recording.table().query("layer == ''")["tensor"].astype(str))
    assert paths == {"loss", "hidden.value", "hidden.extra"}


def test_an_output_returned_unchanged_is_an_alias_of_the_row_it_repeats():
    model = nn.Sequential(nn.Linear(8, 4), nn.Identity())
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8)).sum().backward()
    for signal in ("activation", "gradient"):
        first = row(recording, layer="0", signal=signal)
        again = row(recording, layer="1", signal=signal)
        assert again["flags"] == "alias of 0"
        assert again["variance"] == first["variance"]


def test_a_tied_weight_is_an_alias():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8)).sum().backward()
    tied = row(recording, layer="1", signal="weight", tensor="weight")
    assert tied["flags"] == "alias of 0.weight"


def test_the_effective_weight_of_a_parametrization_is_the_one_the_layer_used():
    model = weight_normed().train()
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8)).sum().backward()
    used = model.eval()[2].weight
    read = row(recording, layer="2", signal="effective weight")
    assert read["second_moment"] == pytest.approx(float(used.detach().pow(2).mean()), rel=1e-6)


def test_the_standardised_weight_of_a_scaled_convolution_has_unit_norms():
    from sppkit.models import ScaledStandardizedConv2d

    model = nn.Sequential(ScaledStandardizedConv2d(4, 8, 3))
    with sppkit.record(model) as recording:
        model(torch.randn(2, 4, 8, 8)).sum().backward()
    read = row(recording, layer="0", signal="effective weight")
    assert read["mean_unit_wise_norm"] == pytest.approx(1.0, rel=1e-3)
    assert row(recording, layer="0", signal="weight", tensor="weight")["mean_unit_wise_norm"] != 1.0


def test_the_channel_axis_follows_permutations_and_reshapes():
    class PatchesToTokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 12, 4, 4)
            self.after_patches = nn.Identity()
            self.after_tokens = nn.Identity()
            self.after_images = nn.Identity()

        def forward(self, x):
            x = self.after_patches(self.patches(x) * 1)
            x = self.after_tokens(x.flatten(2).transpose(1, 2) * 1)
            return self.after_images(x.transpose(1, 2).unflatten(2, (4, 4)) * 1)

    model = PatchesToTokens()
    with sppkit.record(model, signals=["activation"]) as recording:
        model(torch.randn(2, 3, 16, 16))
    table = recording.table().set_index("layer")
    assert (
        table["channels"]
        .loc[["patches", "after_patches", "after_tokens", "after_images"]]
        .eq(12)
        .all()
    )
    values = table["average_channel_variance"]
    assert values.loc["after_tokens"] == pytest.approx(values.loc["patches"], rel=1e-6)


@pytest.mark.parametrize(
    ("model", "inputs", "layer", "channels"),
    [
        (Recurrent(), (torch.randn(3, 5, 8),), "lstm", 6),
        (Tokens(), (torch.randint(11, (3, 5)),), "encoder.layers.0.norm1", 8),
        (nn.Sequential(nn.Conv1d(4, 6, 3)), (torch.randn(2, 4, 9),), "0", 6),
        (nn.Sequential(nn.Conv3d(2, 5, 3)), (torch.randn(2, 2, 5, 5, 5),), "0", 5),
        (nn.Sequential(nn.Linear(8, 7)), (torch.randn(2, 3, 4, 8),), "0", 7),
    ],
    ids=["recurrent", "tokens", "conv1d", "conv3d", "linear on maps"],
)
def test_every_kind_of_layer_has_its_channels_counted(model, inputs, layer, channels):
    with sppkit.record(model, signals=["activation"]) as recording:
        model(*inputs)
    table = recording.table()
    rows = table[table["layer"] == layer]
    assert (rows["channels"] == channels).all()
    assert len(rows)


def test_an_undecided_channel_axis_is_a_reason_and_the_override_cures_it():
    model = nn.Sequential(nn.ReLU())
    with sppkit.record(model) as recording:
        model(torch.randn(2, 3, 4, 5))
    assert "undecided" in str(recording.not_captured[0])
    with sppkit.record(model, channel_axis={"0": 3}) as recording:
        model(torch.randn(2, 3, 4, 5))
    assert row(recording, layer="0")["channels"] == 5


class Attention(nn.Module):
    """Heads split off by a reshape, told apart by an index, joined again; a table of positions."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 2))
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.query, self.key, self.bias, self.joined, self.pooled = (
            nn.Identity() for _ in range(5)
        )

    def forward(self, x):
        samples, tokens, channels = x.shape
        qkv = self.qkv(x).reshape(samples, tokens, 3, 2, 4).permute(2, 0, 3, 1, 4)
        q, k, v = self.query(qkv[0]), self.key(qkv.unbind(0)[1]), qkv[2]
        index = torch.arange(tokens**2) % 9
        bias = self.table[index].view(tokens, tokens, -1).permute(2, 0, 1).unsqueeze(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) + self.bias(bias), -1)
        y = self.joined((weights @ v).transpose(1, 2).reshape(samples, tokens, channels))
        return self.proj(self.pooled(y.reshape(samples, tokens, 2, 4).sum(2)).repeat(1, 1, 2))


@pytest.mark.parametrize(
    ("layer", "channels"), [("query", 4), ("key", 4), ("bias", 2), ("joined", 8), ("pooled", 4)]
)
def test_channels_are_followed_through_heads_indices_sums_and_tables(layer, channels):
    with sppkit.record(model := Attention(), signals=["activation"]) as recording:
        model(torch.randn(3, 5, 8))
    assert row(recording, layer=layer)["channels"] == channels


class FoldedIntoTheBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.unfolded, self.norm = nn.Conv2d(3, 6, 1), nn.Identity(), nn.BatchNorm2d(6)

    def forward(self, x):
        x = self.conv(x).flatten(0, 1)
        return self.norm(self.unfolded(x.unflatten(0, (-1, 6)) * 1))


def test_a_layer_that_reads_a_tensor_decides_its_axis_from_the_second_step_on():
    model = FoldedIntoTheBatch()
    with sppkit.record(model, signals=["activation"]) as recording:
        for _ in range(2):
            model(torch.randn(2, 3, 4, 4))
            recording.step()
    table = recording.table().query("layer == 'unfolded'")
    assert table[["step", "channels"]].to_numpy().tolist() == [[1, 6]]
    assert "decided by a layer that reads it" in str(recording.not_captured)


def test_a_probe_knows_the_axis_that_a_reader_decides():
    recording = sppkit.probe(FoldedIntoTheBatch(), input_size=(3, 4, 4), seeds=1)
    assert row(recording, layer="unfolded", signal="activation")["channels"] == 6
    assert not recording.not_captured


@pytest.mark.parametrize(
    ("old", "axis", "new", "expected"),
    [
        ((2, 197, 576), 2, (2, 197, 3, 3, 64), 4),
        ((2, 8, 16, 64), 3, (16, 16, 64), 2),
        ((2, 16, 8, 64), 3, (2, 16, 512), 2),
        ((2, 64, 8, 8), 1, (2, 64, 64), 1),
        ((2, 64, 8, 8), 1, (16, 8, 8, 8), 1),
        ((2, 64, 1, 1), 1, (2, 64, 1), 1),
        ((2, 16, 2, 2, 8, 8), 1, (2, 64, 8, 8), 1),
        ((2, 64, 8, 8), 1, (128, 1, 8, 8), None),
        ((2, 8, 4, 8), 1, (2, 4, 8, 8), None),
    ],
    ids=[
        *("split into heads", "heads to batch", "heads joined", "positions joined"),
        *("groups to batch", "squeezed", "pixels to channels", "channels to batch"),
        "across channels and positions",
    ],
)
def test_reshapes_keep_the_channels_where_one_axis_holds_them(old, axis, new, expected):
    from sppkit.capture.tensors.channel_axis import axis_after

    assert axis_after("reshape", [(old, axis)], new) == expected


def test_integer_outputs_are_not_captured_with_a_reason():
    class Decision(nn.Module):
        def forward(self, x):
            return x.argmax(-1)

    model = nn.Sequential(nn.Linear(8, 4), Decision())
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8))
    assert any("integer" in m.reason and m.layer == "1" for m in recording.not_captured)


def test_a_layer_that_is_never_called_is_named():
    model = Tokens()
    with sppkit.record(model) as recording:
        model(torch.randint(11, (3, 5))).sum().backward()
    names = {m.layer for m in recording.not_captured}
    assert "encoder.layers.0.self_attn.out_proj" in names
    attention = row(recording, layer="encoder.layers.0.self_attn", signal="activation", tensor="0")
    assert attention["role"] == "leaf"


def test_a_forward_without_backward_says_forward_only():
    model = nn.Sequential(nn.Linear(8, 4))
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8))
    assert "forward only" in " ".join(map(str, recording.not_captured))
    assert set(recording.table()["signal"]) == {"activation", "weight"}


def test_a_frozen_layer_says_that_it_needs_no_gradient():
    model = nn.Sequential(nn.Linear(8, 4).requires_grad_(False), nn.Linear(4, 2))
    with sppkit.record(model) as recording:
        model(torch.randn(6, 8)).sum().backward()
    (frozen,) = [m for m in recording.not_captured if m.layer == "0"]
    assert frozen.reason == (
        "its output does not require a gradient: no parameter that is trained stands before it"
    )


def test_a_layer_that_runs_without_gradients_says_so():
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    with sppkit.record(model) as recording, torch.no_grad():
        model(torch.randn(6, 8))
    reasons = {m.reason for m in recording.not_captured if m.signal == "gradient" and m.layer}
    assert reasons == {"its output does not require a gradient: it ran without"}


def test_a_layer_called_only_later_is_recorded_and_makes_a_new_plan():
    class Conditional(nn.Module):
        def __init__(self):
            super().__init__()
            self.always, self.sometimes = nn.Linear(8, 8), nn.Linear(8, 8)
            self.use = False

        def forward(self, x):
            x = self.always(x)
            return self.sometimes(x) if self.use else x

    model = Conditional()
    with sppkit.record(model, signals=["activation"]) as recording:
        for step in range(3):
            model.use = step > 0
            model(torch.randn(6, 8))
            recording.step()
    table = recording.table()
    assert table[table["layer"] == "sometimes"]["step"].tolist() == [1, 2]


def test_train_and_eval_passes_are_kept_apart():
    model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5))
    with sppkit.record(model, signals=["activation"]) as recording:
        model(torch.randn(6, 8))
        model.eval()(torch.randn(7, 8))
    table = recording.table().query("layer == '0'").set_index("phase")
    assert table["samples"].to_dict() == {"train": 6, "eval": 7}


def test_include_and_exclude_choose_layers():
    model = PostActivationResNet()
    with sppkit.record(model, include="layer1.*", exclude=["re:bn\\d$"]) as recording:
        model(torch.randn(2, 3, 16, 16)).sum().backward()
    layers = set(recording.table()["layer"].astype(str))
    assert layers
    assert all(name.startswith("layer1.") and "bn" not in name for name in layers)


@pytest.mark.parametrize("argument", ["include", "exclude", "blocks", "residual_branches", "stem"])
def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_layers(argument):
    with pytest.raises(ValueError, match=r"matched no layer.*'layer1"):
        sppkit.record(PostActivationResNet(), **{argument: "layr1.*"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signals": ["activations"]}, "'activations' is unknown; choose of"),
        ({"signals": []}, "signals is empty"),
        ({"every": 0}, "every=0 must be 1 or more"),
        ({"include": "re:("}, r"regular expression '\(' is broken"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sppkit.record(nn.Linear(2, 2), **arguments)


def test_record_refuses_what_is_no_module():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, not function"):
        sppkit.record(lambda x: x)


def test_autocast_outputs_are_read_in_their_dtype_and_summed_in_float32():
    model = nn.Sequential(nn.Linear(64, 64))
    with sppkit.record(model) as recording, torch.autocast("cpu", torch.bfloat16):
        output = model(torch.randn(512, 64))
    read = row(recording, layer="0", signal="activation")
    assert read["dtype"] == "bfloat16"
    exact = output.detach().double()
    assert read["variance"] == pytest.approx(float(exact.var(correction=0)), rel=1e-6)


def test_functional_results_are_recorded_only_where_they_end_a_block_or_branch():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return F.relu(self.layer(x)) * 2

    with sppkit.record(model := Plain(), signals=["activation"]) as recording:
        model(torch.randn(6, 8))
    assert set(recording.table()["operation"]) == {""}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.ReLU6(), "relu6"),
        (nn.Hardtanh(), "hardtanh"),
        (nn.Hardtanh(-2, 2), "hardtanh"),
        (nn.LogSigmoid(), "logsigmoid"),
        (nn.Threshold(0.1, 0.0), "threshold"),
        (nn.Hardsigmoid(), "hardsigmoid"),
        (nn.Mish(inplace=True), "mish"),
    ],
)
def test_a_nonlinearity_has_the_name_of_torchs_function(module, name):
    with sppkit.record(nn.Sequential(nn.Linear(4, 4), module)) as recording:
        recording.model(torch.randn(3, 4)).sum().backward()
    rows = recording.structure().set_index("layer")
    assert rows.loc["0", "nonlinearity"] == rows.loc["1", "computes"] == name
