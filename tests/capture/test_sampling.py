"""With max_elements, large activations and gradients are read over their first samples."""

import numpy as np
import pytest
import torch
import torch._dynamo
from torch import nn

import sppkit
from sppkit import statistics
from tests.capture.test_masks import PADDING, Reader, row, sentences
from tests.oracle import summary_of
from tests.ranks import run_ranks

SIGNALS = ["activation", "gradient"]


class Kept(nn.Module):
    """Keeps the outputs of its layers, whose gradients a test wants to see."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.kept = []

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            x.retain_grad()
            self.kept.append(x)
        return x


def assert_reads_as(read, values, axis=1):
    expected = statistics.evaluate(
        summary_of(values.detach().double(), axis), statistics.STATISTICS
    )
    for name, value in expected.items():
        assert read[name] == pytest.approx(value, rel=1e-5, abs=1e-12, nan_ok=True), name
    assert read["samples"] == values.numel() // values.shape[axis]


def recorded(model, x, **arguments):
    with sppkit.record(model, **arguments) as recording:
        model(x).pow(2).sum().backward()
    return recording


@pytest.mark.parametrize("signal", SIGNALS)
def test_as_many_whole_samples_are_read_as_fit_and_the_row_says_so(signal):
    model = Kept(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1), nn.AvgPool2d(4))
    recording = recorded(model, torch.randn(16, 3, 8, 8), max_elements=1600)
    expected = {"layers.0": 3, "layers.1": 12, "layers.2": 16}  # of 512, 128 and 8 elements each
    for layer, samples in expected.items():
        read = row(recording, layer=layer, signal=signal)
        output = model.kept[int(layer[-1])]
        values = output if signal == "activation" else output.grad
        assert_reads_as(read, values[:samples])
        said = f"first {samples} of 16 samples" if samples < 16 else ""
        assert read["flags"] == said
        assert read["batch"] == 16


@pytest.mark.parametrize("most", [1, 7])
def test_one_sample_at_least_is_read(most):
    model = Kept(nn.Linear(8, 8))
    recording = recorded(model, torch.randn(4, 8), max_elements=most)
    read = row(recording, layer="layers.0", signal="activation")
    assert_reads_as(read, model.kept[0][:1])
    assert read["flags"] == "first 1 of 4 samples"


def test_parameters_are_read_whole():
    model = nn.Sequential(nn.Linear(8, 8))
    whole = recorded(model, x := torch.randn(4, 8))
    model.zero_grad()
    part = recorded(model, x, max_elements=1)
    left, right = (t.table().query("role == 'parameter'") for t in (whole, part))
    columns = ["layer", "tensor", "signal", "samples", "flags", "second_moment"]
    assert left[columns].astype(str).equals(right[columns].astype(str))
    assert len(left) == 4


def test_what_is_not_larger_is_read_whole():
    model = Kept(nn.Linear(8, 8))
    recording = recorded(model, torch.randn(4, 8), max_elements=32)
    assert set(recording.table()["flags"]) == {""} | {"alias of layers.0"}


class TimeFirst(nn.Module):
    """Its input has the batch first, what its layer sees has it second."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 6)

    def forward(self, x):
        return self.layer(x.transpose(0, 1)).mean(0)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_batch_that_is_not_the_first_axis_is_read_whole(signal):
    recording = recorded(TimeFirst(), torch.randn(4, 5, 8), max_elements=10)
    read = row(recording, layer="layer", signal=signal, tensor="")
    assert (read["samples"], read["flags"]) == (20, "")


def test_channels_on_the_first_axis_are_read_whole():
    class Unbatched(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(x)

    recording = recorded(
        Unbatched(), torch.randn(3, 8, 8), max_elements=10, channel_axis={"conv": 0}
    )
    read = row(recording, layer="conv", signal="activation")
    assert (read["channels"], read["samples"], read["flags"]) == (3, 64, "")


def test_a_tensor_without_a_channel_axis_is_read_whole():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Flatten(0)

        def forward(self, x):
            return self.layer(x)

    model = Flat()
    with sppkit.record(model, max_elements=1) as recording:
        model(torch.randn(4, 1))
    read = row(recording, layer="layer", signal="activation")
    assert read["flags"] == ""


def test_complex_activations_are_cut_between_samples_too():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 5, dtype=torch.complex64)

        def forward(self, x):
            return self.layer(x)

    model, x = Complex(), torch.randn(6, 3, dtype=torch.complex64)
    with sppkit.record(model, max_elements=20) as recording:
        output = model(x)
    read = row(recording, layer="layer", signal="activation")
    expected = output[:2].detach().abs().pow(2).mean() / 2
    assert read["second_moment"] == pytest.approx(float(expected), rel=1e-5)
    assert "first 2 of 6 samples" in read["flags"]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("most", [70, 150])
def test_of_a_masked_batch_the_real_positions_of_the_first_samples_are_read(signal, most):
    model, tokens = Reader(), sentences(7, 2, 4, 6, 1)
    with sppkit.record(model, mask=lambda t: t != PADDING, max_elements=most) as recording:
        model(tokens).pow(2).sum().backward()
    kept = dict(model.kept)
    for layer, width in (("embedding", 6), ("mixing", 8)):
        samples = most // (7 * width)
        read = row(recording, layer=layer, signal=signal, tensor="")
        values = kept[layer].detach() if signal == "activation" else kept[layer].grad
        assert_reads_as(read, values[:samples][tokens[:samples] != PADDING])
        assert read["flags"] == f"first {samples} of 5 samples"


def test_a_mask_of_samples_is_cut_with_them():
    model = Kept(nn.Linear(8, 8))
    keep = torch.tensor([True, False, True, True, False, True])
    with sppkit.record(model, max_elements=24) as recording:
        recording.mask(keep)
        model(torch.randn(6, 8))
    read = row(recording, layer="layers.0", signal="activation")
    assert_reads_as(read, model.kept[0][:3][keep[:3]])


def test_a_mask_that_fits_no_tensor_of_the_first_samples_is_said_to_be_unused():
    model = Kept(nn.Linear(8, 8))
    with sppkit.record(model, max_elements=24) as recording:
        recording.mask(torch.ones(3, dtype=torch.bool))  # as many as are read, not as there are
        model(torch.randn(6, 8))
    read = row(recording, layer="layers.0", signal="activation")
    assert read["flags"] == "first 3 of 6 samples; unmasked"
    assert read["samples"] == 3


def test_passes_are_cut_each_for_itself():
    model = Kept(nn.Linear(8, 8))
    with sppkit.record(model, max_elements=24) as recording:
        for samples in (6, 2, 4):
            model(torch.randn(samples, 8)).sum().backward()
    read = row(recording, layer="layers.0", signal="activation")
    values = torch.cat([x[:3] for x in model.kept])
    assert_reads_as(read, values)
    assert read["flags"] == "first 3 of 6 samples; first 3 of 4 samples"
    assert (read["batch"], read["samples"]) == (12, 8)


def test_the_loss_per_sample_counts_all_samples():
    model = nn.Sequential(nn.Linear(8, 8))
    x = torch.randn(16, 8)
    with sppkit.record(model, loss_reduction="mean", max_elements=32) as recording:
        model(x).mean().backward()
    rows = sppkit.per_sample_gradients(recording)
    assert rows["mean"].tolist() == pytest.approx([1 / 8] * len(rows))


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_compiled_model_is_cut_like_an_eager_one():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.randn(6, 8)
    eager = recorded(model, x, max_elements=30).table()
    compiled = recorded(torch.compile(model, backend="aot_eager"), x, max_elements=30).table()
    for table in (eager, compiled):
        table.query("signal in ('activation', 'gradient')", inplace=True)
    columns = ["layer", "signal", "samples", "flags"]
    assert eager[columns].astype(str).to_numpy().tolist() == (
        compiled[columns].astype(str).to_numpy().tolist()
    )
    assert np.allclose(eager["second_moment"], compiled["second_moment"], rtol=1e-5)


def _cut_on_two_ranks(rank, include):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    torch.manual_seed(1)
    x = torch.randn(10, 8)
    part = x[:6] if rank == 0 else x[6:]
    with sppkit.record(model, max_elements=16, include=include, signals=SIGNALS) as recording:
        model(part).mean().backward()
    return recording.table(), x


@pytest.mark.parametrize("include", [None, ["0", "1"]])
def test_ranks_with_batches_of_unequal_size_merge_what_each_of_them_read(tmp_path, include):
    (table, x), (alone, _) = run_ranks(_cut_on_two_ranks, tmp_path, include)
    assert alone.empty
    torch.manual_seed(0)
    model = Kept(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    model(x).mean().backward()
    first = table[(table["layer"] == "0") & (table["tensor"] == "")].set_index("signal")
    for signal, values in (("activation", model.kept[0]), ("gradient", model.kept[0].grad)):
        read = first.loc[signal]
        assert_reads_as(read, values[[0, 1, 6, 7]])
        assert read["flags"] == "first samples of each process"
        assert (read["batch"], read["rank"]) == (10, -1)


@pytest.mark.parametrize("most", [0, -3, 2.5, True])
def test_a_number_of_elements_that_is_none_is_refused(most):
    with pytest.raises(ValueError, match=f"max_elements={most} must be 1 or more elements to read"):
        sppkit.record(nn.Linear(2, 2), max_elements=most)
