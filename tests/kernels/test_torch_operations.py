import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sppkit.kernels import sweeps as sweeps_module
from sppkit.kernels import torch_operations
from sppkit.kernels.sweeps import Sweeps
from sppkit.kernels.torch_operations import summarize
from sppkit.summary import ChannelSummary
from tests.oracle import errors, expected

TOLERANCE = 1e-6
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
EXACT = ("count", "minimum", "maximum", "zeros", "nonfinite")
SHAPE = (8, 6, 9, 7)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape or SHAPE)


def per_channel(*numbers: float) -> Tensor:
    return torch.tensor(numbers).view(1, -1, 1, 1)


def with_outliers() -> Tensor:
    x = normal()
    return torch.where(torch.rand_like(x) < 0.01, 1e10 * x, x)


def with_nonfinite() -> Tensor:
    x = normal()
    x[2, 0, 3, 3], x[1, 1, 0, 0], x[3, 1, 0, 0], x[:, 2] = math.nan, math.inf, -math.inf, math.nan
    return x


# Every awkward tensor once: how it is made, and its channel axis.
CASES: dict[str, tuple[Callable[[], Tensor], int | None]] = {
    "normal": (normal, 1),
    "after a ReLU": (lambda: normal().relu(), 1),
    "mean of 1e3 standard deviations": (lambda: normal() + 1e3, 1),
    "mean of 1e5 standard deviations": (lambda: normal() + 1e5, 1),
    "collapsed channels": (lambda: 1 + 1e-6 * normal(), 1),
    "small collapsed channels": (lambda: 1e-9 * (1 + 1e-6 * normal()), 1),
    "constant channels": (lambda: per_channel(0.1, -3.3, 0, 1e30, 1e-30, 7).expand(SHAPE) + 0, 1),
    "gradients of 1e-24": (lambda: 1e-24 * normal(), 1),
    "values of 1e20": (lambda: 1e20 * normal(), 1),
    "values of 1e38": (lambda: 1e38 * normal().clamp(-3, 3), 1),
    "subnormal numbers": (lambda: 1e-43 * normal(), 1),
    "1e-24 beside 1e20": (lambda: normal() * per_channel(1e-24, 1e20, 1, 0, 1e-40, 1e37), 1),
    "outliers": (with_outliers, 1),
    "heavy tails": (lambda: torch.empty(SHAPE).cauchy_(), 1),
    "log-normal values": (lambda: (3 * normal()).exp(), 1),
    "a drift over the batch": (lambda: normal() + 100 * torch.arange(8.0).view(-1, 1, 1, 1), 1),
    "NaN and infinities": (with_nonfinite, 1),
    "nothing finite": (lambda: torch.full(SHAPE, -math.inf), 1),
    "negative zeros": (lambda: -normal().relu(), 1),
    "one sample": (lambda: normal(1, 6, 9, 7), 1),
    "1x1 maps": (lambda: normal(8, 6, 1, 1), 1),
    "one value per channel": (lambda: normal(1, 6, 1, 1), 1),
    "small maps": (lambda: normal(64, 6, 3, 3), 1),
    "one channel": (lambda: normal(8, 1, 9, 7), 1),
    "channels last": (lambda: normal().to(memory_format=torch.channels_last), 1),
    "every other row and channel": (lambda: normal(8, 12, 9, 14)[:, ::2, :, ::2], 1),
    "a crop": (lambda: normal(8, 6, 12, 12)[:, :, 1:-1, 2:-1], 1),
    "transposed": (lambda: normal(7, 9, 6, 8).permute(3, 2, 1, 0), 1),
    "expanded over positions": (lambda: normal(8, 6, 1, 1).expand(SHAPE), 1),
    "expanded over the batch": (lambda: normal(1, 6, 9, 7).expand(SHAPE), 1),
    "expanded over channels": (lambda: normal(8, 1, 9, 7).expand(SHAPE), 1),
    "expanded from a number": (lambda: torch.tensor(3.3).expand(SHAPE), 1),
    "negated lazily": (lambda: torch.complex(normal(), normal()).conj().imag, 1),
    "tokens": (lambda: normal(4, 50, 33), -1),
    "a volume": (lambda: normal(2, 6, 4, 5, 3), 1),
    "features": (lambda: normal(128, 10), 1),
    "long columns of few channels": (lambda: normal(20_000, 3), 1),
    "a weight": (lambda: normal(16, 8, 3, 3), 0),
    "a bias": (lambda: normal(16), 0),
    "the whole as one channel": (lambda: normal(101, 103), None),
    "a strided whole": (lambda: normal(100, 103)[:, ::3], None),
    "a number": (lambda: torch.tensor(3.25), None),
    "a number with an axis": (lambda: torch.tensor(3.25), 0),
}
EMPTY = [((0, 6), 1), ((0, 6), 0), ((4, 0, 3, 3), 1), ((4, 6, 0, 3), 1), ((0,), None), ((0, 2), -1)]


def read(tensor: Tensor, channel_axis: int | None, *, extended: bool = True) -> ChannelSummary:
    packed = summarize(tensor, channel_axis, extended=extended).numpy()
    return ChannelSummary.unpack(packed, len(expected(tensor, channel_axis).count))


def assert_is_summary_of(found: ChannelSummary, tensor: Tensor, channel_axis: int | None) -> None:
    wanted = expected(tensor, channel_axis)
    names = (*EXACT, "histogram") if found.extended else EXACT
    for name in names:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    for name in ("mean", "m2"):
        unknown = np.isnan(getattr(wanted, name))
        np.testing.assert_array_equal(np.isnan(getattr(found, name)), unknown, name)
    worst = errors(found, wanted)
    assert {name: e for name, e in worst.items() if not e <= TOLERANCE} == {}


def read_as_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the path of devices, on the CPU."""
    monkeypatch.setattr(Sweeps, "on_cpu", False)
    monkeypatch.setattr(torch_operations, "_is_quick", lambda values: False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_a_summary_agrees_with_the_definitions(case: str, dtype: torch.dtype):
    make, axis = CASES[case]
    tensor = make().to(dtype)
    for extended in (False, True):
        assert_is_summary_of(read(tensor, axis, extended=extended), tensor, axis)


@pytest.mark.parametrize("case", CASES)
def test_the_read_of_devices_agrees_with_the_definitions(case: str, monkeypatch):
    read_as_a_device(monkeypatch)
    make, axis = CASES[case]
    tensor = make()
    for extended in (False, True):
        assert_is_summary_of(read(tensor, axis, extended=extended), tensor, axis)


@pytest.mark.parametrize("size", [50, 1000])
@pytest.mark.parametrize("case", CASES)
def test_the_size_of_the_pieces_does_not_matter(case: str, size: int, monkeypatch):
    monkeypatch.setattr(torch_operations, "CPU_PIECE", size)
    make, axis = CASES[case]
    tensor = make()
    assert_is_summary_of(read(tensor, axis), tensor, axis)


@pytest.mark.parametrize(("shape", "axis"), EMPTY)
@pytest.mark.parametrize("extended", [False, True])
def test_an_empty_tensor_has_the_empty_summary(shape, axis, extended):
    found = read(torch.empty(shape), axis, extended=extended)
    assert_is_summary_of(found, torch.empty(shape), axis)
    empty = ChannelSummary.empty(found.channels, extended=extended)
    np.testing.assert_array_equal(found.pack(), empty.pack())


def test_ten_million_values_of_one_channel_are_added_without_loss():
    tensor = torch.rand(10_000_019).add_(100)
    assert_is_summary_of(read(tensor, None), tensor, None)


def test_many_channels_with_few_samples_are_read_in_pieces():
    tensor = normal(70, 50_257)
    assert_is_summary_of(read(tensor, 1), tensor, 1)


@pytest.mark.parametrize("extended", [False, True])
def test_flattening_1x1_maps_changes_no_bit(extended):
    features = normal(128, 40)
    maps = features.view(128, 40, 1, 1)
    flat = summarize(features, 1, extended=extended)
    assert torch.equal(flat, summarize(maps, 1, extended=extended))
    in_memory_of_channels_last = maps.to(memory_format=torch.channels_last)
    assert torch.equal(flat, summarize(in_memory_of_channels_last, 1, extended=extended))


def test_a_constant_channel_has_a_variance_of_exactly_zero():
    tensor = per_channel(0.1, -1e-30, 3e38, 1 / 3).expand(50, 4, 7, 7).contiguous()
    assert read(tensor, 1).m2.tolist() == [0, 0, 0, 0]


def test_a_channel_that_is_not_finite_leaves_the_others_alone():
    tensor = with_nonfinite()
    clean = tensor[:, 3:]
    whole, part = read(tensor, 1), read(clean, 1)
    np.testing.assert_allclose(whole.mean[3:], part.mean, rtol=1e-6)
    assert np.isnan([whole.mean[:3], whole.m2[:3], whole.m3[:3], whole.m4[:3]]).all()
    assert whole.nonfinite.tolist() == [1, 2, 8 * 9 * 7, 0, 0, 0]
    assert (whole.minimum[2], whole.maximum[2]) == (math.inf, -math.inf)


def test_the_histogram_holds_signs_and_powers_of_two():
    values = [1.0, 1.999, 2.0, -0.5, 0.0, -0.0, 1e-45, -1e-40, 3.4e38, math.nan, -math.inf]
    histogram = read(torch.tensor(values), None).histogram
    assert {k: int(histogram[k]) for k in histogram.nonzero()[0]} == {
        127: 2,  # [1, 2)
        128: 1,  # [2, 4)
        256 + 126: 1,  # (-1, -0.5]
        0: 1,  # subnormal, and no zero among them
        256: 1,
        254: 1,
    }


def test_float64_values_beyond_float32_go_to_the_outermost_bins():
    tiny, large = torch.tensor([1e-300, -1e-60]), torch.tensor([1e300, -1e39])
    doubles = torch.tensor([1e-300, -1e-60, 1e300, -1e39, 0.0], dtype=torch.float64)
    histogram = read(doubles, None).histogram
    assert {k: int(histogram[k]) for k in histogram.nonzero()[0]} == {0: 1, 256: 1, 254: 1, 510: 1}
    assert (tiny.count_nonzero(), large.isinf().all()) == (0, True)  # what float32 makes of them


def test_a_float64_value_just_below_a_power_of_two_is_not_rounded_up():
    below_two = torch.tensor(2.0, dtype=torch.float64).nextafter(torch.tensor(0.0).double())
    assert read(below_two, None).histogram[127] == 1


class Dtypes(TorchDispatchMode):
    """Collects the types of all tensors that operations return."""

    def __init__(self):
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.seen |= {leaf.dtype for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        return result


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", ["normal", "tokens", "features", "a crop", "a number"])
def test_the_host_never_waits_for_a_device(case, dtype, extended, monkeypatch):
    # A fake tensor has no values: whatever asks for one, as .item() does, raises.
    read_as_a_device(monkeypatch)
    make, axis = CASES[case]
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(make().to(dtype))
        summarize(fake, axis, extended=extended)


def test_the_cpu_does_look_at_its_result():
    with FakeTensorMode() as mode, pytest.raises(DataDependentOutputException):
        summarize(mode.from_tensor(normal()), 1, extended=True)


def test_a_device_without_float64_meets_none(monkeypatch):
    read_as_a_device(monkeypatch)
    for module in (sweeps_module, torch_operations):
        monkeypatch.setattr(module, "wide_dtype", lambda _: torch.float32)
    tensor = normal()
    with Dtypes() as dtypes:
        packed = summarize(tensor, 1, extended=True)
    assert torch.float64 not in dtypes.seen
    found = ChannelSummary.unpack(packed.numpy(), 6)
    np.testing.assert_allclose(found.m2, expected(tensor, 1).m2.astype(float), rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reading_changes_neither_the_tensor_nor_the_random_state(dtype):
    tensor = with_nonfinite().to(dtype).requires_grad_()
    before, version, state = tensor.detach().clone(), tensor._version, torch.get_rng_state()
    packed = summarize(tensor, 1, extended=True)
    assert torch.equal(tensor.detach().nan_to_num(), before.nan_to_num())
    assert torch.equal(torch.get_rng_state(), state)
    assert tensor._version == version
    assert not packed.requires_grad


def test_a_tensor_inside_a_graph_is_read_without_entering_it():
    leaf = normal().requires_grad_()
    output = leaf.relu()
    assert_is_summary_of(read(output, 1), output, 1)
    output.sum().backward()
    assert torch.equal(leaf.grad, (leaf > 0).float())


def test_inference_tensors_are_read_inside_and_outside_of_inference_mode():
    with torch.inference_mode():
        tensor = normal()
        inside = read(tensor, 1)
    np.testing.assert_array_equal(inside.pack(), read(tensor, 1).pack())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_changes_no_bit(dtype):
    tensor = normal()
    plain = summarize(tensor, 1, extended=True)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(summarize(tensor, 1, extended=True), plain)


def test_deterministic_algorithms_are_enough(monkeypatch):
    read_as_a_device(monkeypatch)
    tensor = with_nonfinite()
    torch.use_deterministic_algorithms(True)
    try:
        assert_is_summary_of(read(tensor, 1), tensor, 1)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("axis", [2, -3])
@pytest.mark.parametrize("shape", [(4, 5), (0, 5)])
def test_a_channel_axis_that_is_not_there_is_named(shape, axis):
    message = (
        f"channel_axis={axis} is not an axis of a tensor of shape {shape}: "
        "expected -2 to 1, or None."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        summarize(torch.zeros(shape), axis, extended=False)
