"""Tensors of every kind are read as what they stand for, or refused with a reason."""

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit import statistics
from sppkit.capture.tensors.readable import FLOAT8, NO_SCALE, TWO_CHANNELS, TWO_PARTS, readable
from sppkit.kernels import summarize
from sppkit.summary import ChannelSummary
from tests.capture.finding import reasons, row
from tests.oracle import summary_of

NESTED = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
QUANTISED = pytest.mark.filterwarnings(
    "ignore:torch.quantize_per_tensor", "ignore:torch.ao.quantization", "ignore:.*deprecated"
)
EVERY_STATISTIC = (
    *statistics.STATISTICS,
    *statistics.WEIGHT_STATISTICS,
    *statistics.EXTENDED_STATISTICS,
)
NAMES = [statistic.__name__ for statistic in EVERY_STATISTIC]


class Returns(nn.Module):
    """A layer that returns what it is told to, whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


def record_output(value, **options):
    model = nn.Sequential(Returns(value))
    with sppkit.record(model, extended=True, **options) as recording:
        model(torch.zeros(2))
    return recording


def assert_reads_as(read, dense, axis=1):
    """Compare a row with the statistics of a dense tensor by their definitions."""
    expected = statistics.evaluate(summary_of(dense.detach().double(), axis), EVERY_STATISTIC)
    of_outputs = [name for name in NAMES if not np.isnan(read[name])]
    assert {"variance", "zero_fraction", "minimum"} <= set(of_outputs)
    for name in of_outputs:
        assert read[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name


# complex


def complex_normal(*shape, dtype=torch.complex64, mean=0.0):
    return torch.randn(*shape, dtype=torch.complex128).add(mean).to(dtype)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_complex_activation_is_read_as_two_real_channels_for_each(dtype):
    z = complex_normal(50, 6, dtype=dtype, mean=2 - 1j)
    read = row(record_output(z), layer="0", signal="activation")
    assert (read["channels"], read["samples"]) == (12, 50)
    assert (read["dtype"], read["flags"]) == (str(dtype).removeprefix("torch."), TWO_CHANNELS)
    m = z.to(torch.complex128).mean(0)
    assert read["second_moment"] == pytest.approx(float(z.abs().double().pow(2).mean() / 2))
    assert read["average_channel_squared_mean"] == pytest.approx(float(m.abs().pow(2).mean() / 2))
    spread = (z - m).abs().pow(2).mean(0).mean() / 2
    assert read["average_channel_variance"] == pytest.approx(float(spread))


def test_both_parts_of_a_complex_channel_are_read_wherever_its_axis_stands():
    z = complex_normal(4, 3, 5, 6).conj()
    parts = torch.stack([z.real, z.imag], 2).flatten(1, 2)
    read = row(record_output(z, channel_axis={"0": 1}), layer="0", signal="activation")
    assert (read["channels"], read["samples"]) == (6, 4 * 30)
    assert_reads_as(read, parts)


def test_the_norm_of_a_complex_unit_is_that_of_its_complex_weights():
    class ComplexLinear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(complex_normal(4, 7))

        def forward(self, z):
            return z @ self.weight.mH

    model = nn.Sequential(ComplexLinear())
    with sppkit.record(model) as recording:
        model(complex_normal(9, 7)).abs().pow(2).sum().backward()
    for signal, tensor in (("weight", model[0].weight), ("weight gradient", model[0].weight.grad)):
        read = row(recording, layer="0", signal=signal)
        norms = tensor.detach().abs().pow(2).sum(1).sqrt()
        assert read["mean_unit_wise_norm"] == pytest.approx(float(norms.mean()), rel=1e-6)
        assert (read["channels"], read["samples"]) == (4, 14)
        assert (read["flags"], read["dtype"]) == (TWO_PARTS, "complex64")
    gradient = row(recording, layer="0", signal="gradient")
    assert gradient["channels"] == 8


# sparse


@pytest.mark.parametrize("extended", [False, True])
def test_a_sparse_embedding_gradient_has_the_numbers_of_the_dense_one(extended):
    tokens = torch.tensor([[1, 1, 4], [7, 1, 0]])
    tables = []
    for sparse in (False, True):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Embedding(9, 5, sparse=sparse), nn.Linear(5, 2))
        with sppkit.record(model, extended=extended) as recording:
            model(tokens).pow(2).sum().backward()
        assert model[0].weight.grad.is_sparse == sparse
        tables.append(row(recording, layer="0", signal="weight gradient"))
    dense, sparse = tables
    assert sparse["zero_fraction"] == pytest.approx(5 / 9)
    assert sparse["dead_channel_fraction"] == pytest.approx(5 / 9)
    assert (sparse["channels"], sparse["samples"]) == (9, 5)
    assert np.allclose(
        sparse[NAMES].to_numpy(float), dense[NAMES].to_numpy(float), rtol=1e-6, equal_nan=True
    )


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    "to_sparse",
    [
        torch.Tensor.to_sparse_coo,
        torch.Tensor.to_sparse_csr,
        torch.Tensor.to_sparse_csc,
        lambda t: t.to_sparse_bsr((2, 3)),
        lambda t: t.to_sparse_coo() + t.to_sparse_coo() - t.to_sparse_coo(),
        lambda t: torch.sparse_coo_tensor(*duplicated(t), t.shape),
    ],
    ids=["coo", "csr", "csc", "bsr", "sum", "not coalesced"],
)
def test_a_sparse_activation_counts_its_implicit_zeros(to_sparse):
    dense = torch.randn(8, 6).relu()
    read = row(record_output(to_sparse(dense)), layer="0", signal="activation")
    assert read["samples"] == 8
    assert_reads_as(read, dense)


def duplicated(dense):
    """Store every value as two halves."""
    indices = dense.nonzero().T
    return torch.cat([indices, indices], 1), dense[tuple(indices)].repeat(2) / 2


def test_a_sparse_gradient_of_an_activation_is_read():
    class Doubles(nn.Module):
        def forward(self, x):
            return 2 * x

    class Picks(nn.Module):
        def forward(self, x):
            return torch.gather(x, 0, torch.zeros(1, 5, dtype=torch.long), sparse_grad=True)

    model = nn.Sequential(Doubles(), Picks())
    x = torch.randn(4, 5, requires_grad=True)
    with sppkit.record(model) as recording:
        model(x).sum().backward()
    assert x.grad.is_sparse
    read = row(recording, layer="0", signal="gradient")
    assert read["mean"] == pytest.approx(1 / 4)
    assert read["zero_fraction"] == pytest.approx(3 / 4)


# quantised and float8


@QUANTISED
@pytest.mark.parametrize("dtype", [torch.qint8, torch.quint8, torch.qint32])
def test_a_quantised_tensor_is_read_dequantised_and_named_by_its_stored_type(dtype):
    quantised = torch.quantize_per_tensor(torch.randn(20, 6), 0.1, 0, dtype)
    read = row(record_output(quantised), layer="0", signal="activation")
    assert read["dtype"] == str(dtype).removeprefix("torch.")
    assert_reads_as(read, quantised.dequantize())


@QUANTISED
def test_a_dynamically_quantised_layer_is_recorded_with_its_packed_weights():
    from torch.ao.quantization import quantize_dynamic

    plain = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    model = quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
    with sppkit.record(model) as recording:
        output = model(torch.randn(4, 5, 8))
    weight = row(recording, layer="0", signal="weight", tensor="weight")
    used = model[0].weight().dequantize()
    assert (weight["dtype"], weight["channels"]) == ("qint8", 6)
    assert weight["mean_unit_wise_norm"] == pytest.approx(float(used.norm(dim=1).mean()), rel=1e-6)
    assert row(recording, layer="0", signal="weight", tensor="bias")["dtype"] == "float32"
    read = row(recording, layer="2", signal="activation")
    assert (read["channels"], read["samples"]) == (3, 20)
    assert read["second_moment"] == pytest.approx(float(output.detach().pow(2).mean()), rel=1e-5)


@pytest.mark.parametrize("dtype", sorted(FLOAT8, key=str), ids=str)
def test_float8_is_read_as_float32_and_says_that_its_scale_is_unknown(dtype):
    codes = torch.randn(20, 6).to(dtype)
    read = row(record_output(codes), layer="0", signal="activation")
    assert (read["dtype"], read["flags"]) == (str(dtype).removeprefix("torch."), NO_SCALE)
    assert_reads_as(read, codes.to(torch.float32))


def test_a_float8_weight_is_read_as_float32():
    model = nn.Sequential(nn.Linear(4, 3))
    model[0].weight = nn.Parameter(
        model[0].weight.detach().to(torch.float8_e4m3fn), requires_grad=False
    )
    model[0].forward = lambda x: x @ model[0].weight.to(torch.float32).T
    with sppkit.record(model) as recording:
        model(torch.randn(2, 4))
    read = row(recording, layer="0", signal="weight", tensor="weight")
    assert (read["dtype"], read["flags"]) == ("float8_e4m3fn", NO_SCALE)
    assert read["mean_unit_wise_norm"] == pytest.approx(
        float(model[0].weight.to(torch.float32).norm(dim=1).mean()), rel=1e-6
    )


# nested


def components(dtype=torch.float32):
    return [torch.randn(length, 6, dtype=dtype) for length in (2, 5, 1, 7)]


@NESTED
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_read_over_the_positions_of_all_its_components(layout):
    parts = components()
    nested = torch.nested.nested_tensor(parts, layout=layout)
    read = row(record_output(nested), layer="0", signal="activation")
    assert (read["channels"], read["samples"]) == (6, 15)
    assert_reads_as(read, torch.cat(parts))


@NESTED
def test_the_gaps_of_a_jagged_tensor_are_not_read():
    padded, lengths = torch.randn(3, 5, 6), torch.tensor([2, 5, 3])
    nested = torch.nested.narrow(
        padded, 1, torch.zeros(3, dtype=torch.long), lengths, layout=torch.jagged
    )
    assert not nested.is_contiguous()
    real = torch.cat([sample[:length] for sample, length in zip(padded, lengths, strict=True)])
    read = row(record_output(nested), layer="0", signal="activation")
    assert read["samples"] == 10
    assert_reads_as(read, real)


@NESTED
def test_a_nested_tensor_without_a_last_axis_of_one_size_is_refused():
    nested = torch.nested.nested_tensor(components(), layout=torch.jagged).transpose(1, 2)
    assert "no last axis of equal size" in reasons(record_output(nested))["0"]


@NESTED
def test_jagged_activations_and_gradients_are_read_through_a_network():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    parts = components()
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    tables = []
    for given in (nested, torch.cat(parts)):
        with sppkit.record(model) as recording:
            output = model(given)
            output = output.values() if output.is_nested else output
            output.pow(2).sum().backward()
        model.zero_grad()
        assert not [m for m in recording.not_captured if "failed" in m.reason]
        tables.append(recording.table().set_index(["layer", "signal", "tensor"]).sort_index())
    columns = ["second_moment", "average_channel_variance", "samples", "channels"]
    jagged, flat = (table[columns].to_numpy(float) for table in tables)
    assert np.allclose(jagged, flat, rtol=1e-5)


@NESTED
def test_the_encoder_that_nests_padded_batches_is_read_at_real_positions_only():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    x, padding = torch.randn(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = padding[2, 1:] = True
    kept = {}
    encoder.layers[0].register_forward_hook(lambda m, a, o: kept.__setitem__("output", o))
    with torch.no_grad(), sppkit.record(encoder) as recording:
        encoder(x, src_key_padding_mask=padding)
    assert not [m for m in recording.not_captured if "failed" in m.reason]
    assert kept["output"].is_nested
    real = torch.cat(kept["output"].unbind())
    table = recording.table().query("layer == 'layers.0' and signal == 'activation'")
    if len(table) == 0:
        pytest.fail(str(recording.table()[["layer", "signal"]]))
    assert table["samples"].tolist() == [9]
    assert_reads_as(table.iloc[0], real)


# what has no values


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.arange(6).view(2, 3), "integer tensors carry no signal"),
        (torch.ones(2, 3).bool(), "boolean tensors carry no signal"),
        (torch.ones(2, 3, dtype=torch.int8).to_sparse(), "integer tensors carry no signal"),
        (torch.ones(2, 3, device="meta"), "meta tensors have a shape and no values"),
        (torch.ones(2, 3, dtype=torch.complex64, device="meta"), "meta tensors"),
        (torch.ones(2, 3, dtype=torch.uint8).view(torch.float8_e8m0fnu), "scaled codes"),
        (torch.ones(2, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "scaled codes"),
        (torch.ones(2, 3, 4), "channel axis of a 3-dimensional tensor is undecided"),
    ],
    ids=["int64", "bool", "sparse int", "meta", "complex meta", "scales", "float4", "undecided"],
)
def test_what_cannot_be_read_has_a_reason_and_no_row(tensor, reason):
    recording = record_output(tensor)
    assert reason in reasons(recording)["0"]
    assert recording.table().query("layer == '0'").empty


def test_fake_tensors_and_those_of_functorch_have_reasons():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert "traced, not run" in readable(torch.zeros(2, 3), 1)
    found = []
    torch.vmap(lambda x: (found.append(readable(x, 0)), x)[1])(torch.zeros(2, 3))
    assert "torch.func" in found[0]


def test_an_empty_tensor_has_a_row_without_samples():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with sppkit.record(model, extended=True) as recording:
        model(torch.zeros(0, 4)).sum().backward()
        recording.step()
        model(torch.zeros(0, 4)).sum().backward()
    for signal in ("activation", "gradient"):
        for step in (0, 1):
            read = row(recording, layer="0", signal=signal, tensor="", step=step)
            assert (read["samples"], read["channels"]) == (0, 3)
            assert np.isnan(read["variance"])


def test_a_layer_that_got_nothing_merges_with_one_that_got_something():
    model = nn.Sequential(nn.Linear(4, 3))
    x = torch.randn(7, 4)
    with sppkit.record(model, signals=["activation"]) as recording:
        model(x[:0])
        model(x)
    read = row(recording, layer="0")
    assert read["samples"] == 7
    assert_reads_as(read, model(x))


@pytest.mark.parametrize("value", [3.0, 0.0])
def test_a_single_value_has_variance_zero(value):
    read = row(record_output(torch.full((1, 1), value)), layer="0", signal="activation")
    assert (read["samples"], read["variance"], read["mean"]) == (1, 0.0, value)


# floating point types


def test_float64_is_read_in_float64():
    x = torch.randn(1000, 3, dtype=torch.float64) * 1e-9 + 1
    read = row(record_output(x), layer="0", signal="activation")
    assert read["dtype"] == "float64"
    exact = float(x.numpy().astype(np.longdouble).var(axis=0).mean())
    assert read["average_channel_variance"] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_every_signal_is_read_in_the_type_it_has(dtype):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.LayerNorm(64), nn.Linear(64, 8))
    kept = {}
    model[0].register_forward_hook(lambda m, a, o: kept.__setitem__("activation", o.detach()))
    with sppkit.record(model, extended=True) as recording:
        with torch.autocast("cpu", dtype):
            loss = model(torch.randn(512, 64)).float().pow(2).sum()
        loss.backward()
    kept["weight gradient"] = model[0].weight.grad
    assert kept["activation"].dtype == dtype
    assert kept["weight gradient"].dtype == torch.float32
    name = str(dtype).removeprefix("torch.")
    activation = row(recording, layer="0", signal="activation")
    assert activation["dtype"] == name
    assert_reads_as(activation, kept["activation"])
    assert row(recording, layer="0", signal="gradient")["dtype"] == name
    gradient = row(recording, layer="0", signal="weight gradient", tensor="weight")
    assert gradient["dtype"] == "float32"
    assert_reads_as(gradient, kept["weight gradient"], axis=0)


def test_a_read_inside_autocast_is_the_read_outside_of_it():
    x = torch.randn(256, 8) * 1e-3 + 300
    outside = ChannelSummary.unpack(summarize(x, 1, extended=False).numpy(), 8)
    with torch.autocast("cpu", torch.bfloat16):
        inside = ChannelSummary.unpack(summarize(readable(x, 1).values, 1, extended=False), 8)
    assert np.array_equal(inside.m2, outside.m2)
