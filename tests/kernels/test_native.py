import os
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sppkit.kernels import native
from sppkit.kernels.torch_operations import summarize
from sppkit.statistics import STATISTICS, WEIGHT_STATISTICS
from sppkit.summaries import TOTALS, Summaries
from sppkit.summary import BASE_ROWS, HISTOGRAM_BINS, ChannelSummary
from tests.kernels.test_layout import unreadable
from tests.kernels.test_torch_operations import (
    CASES,
    DTYPES,
    EMPTY,
    TOLERANCE,
    assert_is_summary_of,
    normal,
    per_channel,
    with_nonfinite,
)
from tests.oracle import errors, expected

ROOT = Path(__file__).parents[2]
GUARD = -12345.0
INSTRUCTION_SETS = ("baseline", "AVX2", "AVX-512")

READ = [case for case in CASES if case != "negated lazily"]

needs_kernel = pytest.mark.skipif(not native.AVAILABLE, reason=str(native.unavailable_reason()))


def test_the_kernel_is_built_where_there_is_a_compiler():
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) and headers.exists():
        assert native.AVAILABLE, (
            f"{native.unavailable_reason()} In a clone: python setup.py build_ext --inplace"
        )


def slot_for(tensor: Tensor, axis: int | None, extended: bool) -> tuple[Tensor, Tensor | None]:
    """Return rows with a guarded column on either side, and a histogram."""
    channels = 1 if axis is None or tensor.dim() == 0 else tensor.shape[axis]
    rows = torch.full((10 if extended else 7, channels + 2), GUARD, dtype=torch.float64)
    return rows, torch.full((HISTOGRAM_BINS,), GUARD).double() if extended else None


def packed(tensor: Tensor, axis: int | None, *, extended: bool = True) -> Tensor | None:
    """Read with the kernel; None where it does not read. Nothing around the slot may change."""
    rows, histogram = slot_for(tensor, axis, extended)
    if not native.read(tensor, axis, rows, 1, histogram):
        assert (rows == GUARD).all()
        assert histogram is None or (histogram == GUARD).all()
        return None
    assert (rows[:, 0] == GUARD).all()
    assert (rows[:, -1] == GUARD).all()
    parts = [rows[:, 1:-1].flatten()] + ([histogram] if histogram is not None else [])
    return torch.cat(parts)


def read(tensor: Tensor, axis: int | None, *, extended: bool = True) -> ChannelSummary:
    found = packed(tensor, axis, extended=extended)
    assert found is not None
    return ChannelSummary.unpack(found.numpy(), len(expected(tensor, axis).count))


@pytest.fixture
def with_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def through_methods():
    """Ask tensors through their methods, as for a torch without the table of functions."""
    assert native._native.connect(torch, False) is False
    yield
    native._native.connect(torch, True)


@pytest.fixture(params=INSTRUCTION_SETS)
def instructions(request):
    """Read with instructions of this machine and of older ones."""
    if not native._native.choose_instruction_set(request.param):
        native._native.choose_instruction_set(None)
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    native._native.choose_instruction_set(None)


# Right answers


@needs_kernel
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", READ)
def test_a_summary_agrees_with_the_definitions(case: str, dtype: torch.dtype, instructions):
    make, axis = CASES[case]
    tensor = make().to(dtype)
    for extended in (False, True):
        assert_is_summary_of(read(tensor, axis, extended=extended), tensor, axis)


@needs_kernel
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize(("shape", "axis"), EMPTY)
def test_an_expanded_tensor_without_values_is_not_touched(shape, axis, extended):
    # Its strides are 0 as well as its size, and it has no memory at all.
    found = read(torch.zeros(()).expand(shape), axis, extended=extended)
    assert not found.count.any()
    assert (found.minimum == np.inf).all()


@needs_kernel
@pytest.mark.parametrize(("shape", "axis"), EMPTY)
@pytest.mark.parametrize("extended", [False, True])
def test_an_empty_tensor_has_the_empty_summary(shape, axis, extended):
    found = read(torch.empty(shape), axis, extended=extended)
    empty = ChannelSummary.empty(found.channels, extended=extended)
    np.testing.assert_array_equal(found.pack(), empty.pack())


@needs_kernel
@pytest.mark.parametrize("case", READ)
def test_counts_and_extremes_are_those_of_torch_to_the_bit(case: str):
    make, axis = CASES[case]
    tensor = make()
    found = read(tensor, axis)
    wanted = ChannelSummary.unpack(
        summarize(tensor, axis, extended=True).numpy(), channels=found.channels
    )
    for name in ("count", "minimum", "maximum", "zeros", "nonfinite", "histogram"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)


SIZES = [
    ((3, 5, 1023), 1),
    ((3, 5, 1025), 1),
    ((2, 3, 2050), 1),
    ((9, 40, 7, 7), 1),
    ((9, 40, 8, 8), 1),
    ((17, 3, 23, 22), 1),
    ((3, 600), 1),
    ((130, 600), 1),
    ((131, 257), 1),
    ((1, 700, 3, 3), 1),
    ((4, 700, 5, 5), 1),
    ((8, 1280, 3, 3), 1),
    ((513, 10), 1),
    ((40, 2), 1),
    ((64, 64), 0),
    ((70, 6, 5, 5), 0),
    ((40, 1, 5, 5), 0),
    ((5, 3, 10_007), 1),
]


@needs_kernel
@pytest.mark.parametrize(("shape", "axis"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_every_way_of_cutting_a_tensor_gives_its_summary(shape, axis, dtype, instructions):
    tensor = (3 * normal(*shape) + 10).to(dtype)
    assert_is_summary_of(read(tensor, axis), tensor, axis)


@needs_kernel
def test_channels_of_very_different_magnitude_and_offset_do_not_disturb_each_other():
    scales = per_channel(1e-30, 1e30, 1, 1e-42, 1e5, 0)
    offsets = per_channel(0, 0, 1e5, 0, -1e10, 3)
    for shape in ((8, 6, 9, 7), (40, 6, 3, 3), (8, 6, 40, 40)):
        tensor = normal(*shape) * scales + offsets
        for layout in (tensor, tensor.to(memory_format=torch.channels_last)):
            assert_is_summary_of(read(layout, 1), layout, 1)


@needs_kernel
@pytest.mark.parametrize("jump", [1e-20, 1e-6, 1e6, 1e20, 1e37])
def test_a_channel_whose_values_change_their_magnitude_on_the_way_is_read_again(jump):
    tensor = torch.cat([normal(4, 6, 40, 30), jump * (normal(4, 6, 40, 30) + 3)])
    assert_is_summary_of(read(tensor, 1), tensor, 1)
    columns = tensor[:, :, :3, :3].contiguous()
    assert_is_summary_of(read(columns, 1), columns, 1)


@needs_kernel
@pytest.mark.parametrize("shape", [(50, 4, 7, 7), (50, 4, 40, 40), (3000, 4, 1, 1)])
def test_a_constant_channel_has_a_variance_of_exactly_zero(shape):
    tensor = per_channel(0.1, -1e-30, 3e38, 1 / 3).expand(shape).contiguous()
    assert read(tensor, 1).m2.tolist() == [0, 0, 0, 0]


@needs_kernel
def test_two_valued_channels_keep_their_digits():
    # Rounding of such sums is the same at every step, and adds up.
    tensor = torch.where(torch.rand(64, 5, 32, 32) < 0.3, 0.1, -0.7)
    assert_is_summary_of(read(tensor, 1), tensor, 1)


@needs_kernel
def test_a_channel_that_is_not_finite_leaves_the_others_alone():
    tensor = with_nonfinite()
    whole, part = read(tensor, 1), read(tensor[:, 3:].contiguous(), 1)
    np.testing.assert_allclose(whole.mean[3:], part.mean, rtol=0, atol=1e-6)  # of an rms of 1
    np.testing.assert_allclose(whole.m2[3:], part.m2, rtol=1e-6)
    assert np.isnan([whole.mean[:3], whole.m2[:3], whole.m3[:3], whole.m4[:3]]).all()
    assert whole.nonfinite.tolist() == [1, 2, 8 * 9 * 7, 0, 0, 0]


@needs_kernel
def test_every_float16_number_is_lifted_to_itself():
    tensor = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16)
    found = read(tensor.view(-1, 1), 0)  # each is a channel
    finite = torch.isfinite(tensor).numpy()
    np.testing.assert_array_equal(found.mean[finite], tensor.double().numpy()[finite])
    assert found.nonfinite.sum() == (~finite).sum()


@needs_kernel
def test_float64_moments_beyond_float64_are_left_to_torch():
    tensor = 1e160 * normal().double()
    assert packed(tensor, 1) is None
    assert packed(1e100 * normal().double(), 1) is None  # its fourth powers
    assert packed(1e100 * normal().double(), 1, extended=False) is not None


@needs_kernel
@pytest.mark.parametrize("case", READ)
def test_an_older_torch_is_asked_through_its_methods(case: str, through_methods):
    make, axis = CASES[case]
    for dtype in DTYPES:
        tensor = make().to(dtype)
        assert_is_summary_of(read(tensor, axis), tensor, axis)


def some_tensor(source: random.Random) -> tuple[Tensor, int | None]:
    """Return a tensor of random shape, strides, type, offset and magnitude, and an axis or None."""
    axes = source.randint(0, 5)
    largest = source.choice([3, 6, 20]) if axes > 2 else source.choice([6, 40, 300])
    tensor = torch.randn([source.randint(1, largest) for _ in range(axes)])
    tensor = tensor * 10.0 ** source.randint(-8, 8) + source.choice([0.0, 0.0, 1.0, -1e3])
    if source.random() < 0.3:
        tensor = tensor.relu()
    tensor = tensor.to(source.choice(DTYPES))
    if axes:
        tensor = tensor.permute(source.sample(range(axes), axes))
        if source.random() < 0.3:
            axis = source.randrange(axes)
            step, start = source.randint(1, 3), source.randint(0, 1)
            tensor = tensor[(slice(None),) * axis + (slice(start, None, step),)]
        if source.random() < 0.2:
            tensor = tensor.unsqueeze(0).expand(source.randint(0, 3), *tensor.shape)
        if source.random() < 0.2:
            tensor = tensor.contiguous()
    return tensor, source.choice([None, *range(-tensor.dim(), tensor.dim())])


@needs_kernel
@pytest.mark.parametrize("batch", range(10))
def test_a_thousand_random_tensors_are_read_right(batch):
    source = random.Random(batch)
    torch.manual_seed(batch)
    for _ in range(1000):
        tensor, axis = some_tensor(source)
        extended = source.random() < 0.5
        described = f"{tensor.shape}, {tensor.stride()}, {tensor.dtype}, {axis}, {extended}"
        wanted = expected(tensor, axis)
        found = read(tensor, axis, extended=extended)
        exact = ("count", "minimum", "maximum", "zeros", "nonfinite")
        for name in (*exact, "histogram") if extended else exact:
            assert (getattr(found, name) == getattr(wanted, name)).all(), (name, described)
        worst = errors(found, wanted)
        assert all(error <= TOLERANCE for error in worst.values()), (worst, described)


# Threads


LARGE = [
    ((8, 64, 64, 64), 1, torch.float32),
    ((100_000, 20), 1, torch.float32),
    ((64, 3, 128, 128), 1, torch.bfloat16),
    ((3_000_001,), None, torch.float32),
    ((40, 50_257), 1, torch.float32),
    ((1024, 64, 5, 5), 1, torch.float32),
    ((1 << 20, 1), 1, torch.float64),
    ((40, 3, 20_000), 1, torch.float16),
]


@needs_kernel
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize(("shape", "axis", "dtype"), LARGE, ids=str)
def test_the_number_of_threads_changes_no_bit(shape, axis, dtype, extended, with_threads):
    tensor = (torch.randn(shape) + 5).to(dtype)
    found = []
    for threads in (1, 2, 7):
        with_threads(threads)
        found.append(packed(tensor, axis, extended=extended))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert_is_summary_of(read(tensor, axis, extended=extended), tensor, axis)


@needs_kernel
def test_threads_end_with_the_read(with_threads):
    def tasks() -> int:
        return len(os.listdir("/proc/self/task"))

    if not Path("/proc/self/task").exists():
        pytest.skip("threads are counted in /proc")
    with_threads(4)
    tensor = torch.zeros(1 << 23)
    read(tensor, None)
    before = tasks()
    for _ in range(20):
        packed(tensor, None)
    assert tasks() == before


FORK = """
import os, sys, torch
from sppkit.kernels import native
torch.set_num_threads(3)
tensor = torch.randn(16, 32, 64, 64)
def read():
    rows = torch.zeros(7, 32, dtype=torch.float64)
    assert native.read(tensor, 1, rows, 0, None)
    return rows
before = read()
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(read(), before) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_kernel
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_reads_as_its_parent_does():
    run = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, timeout=120, check=False)
    assert run.returncode == 0


@needs_kernel
def test_other_python_threads_run_during_a_large_read(with_threads):
    with_threads(1)
    tensor, ticks, done = torch.zeros(1 << 26), [], threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0)

    thread = threading.Thread(target=tick)
    thread.start()
    rows = torch.zeros(10, 1, dtype=torch.float64)
    histogram = torch.zeros(HISTOGRAM_BINS, dtype=torch.float64)
    begin = time.perf_counter()
    native.read(tensor, None, rows, 0, histogram)
    end = time.perf_counter()
    done.set()
    thread.join()
    middle = [t for t in ticks if begin + 0.25 * (end - begin) < t < end - 0.25 * (end - begin)]
    assert middle


# What is not read, and what is left alone


def lazily_negated() -> Tensor:
    return torch.randn(4, dtype=torch.complex64).conj().imag


def released() -> Tensor:
    """Return a view whose memory has been given back, as FSDP does."""
    tensor = torch.zeros(8)
    view = tensor[2:]
    tensor.untyped_storage().resize_(0)
    return view


class Subclass(Tensor):
    pass


UNREAD = {
    "subclass": lambda: torch.zeros(3).as_subclass(Subclass),
    "parameter of a subclass": lambda: torch.nn.Parameter(torch.zeros(3).as_subclass(Subclass)),
    "lazily negated": lazily_negated,
    "zeros without memory": lambda: torch._efficientzerotensor((3,)),
    "released": released,
    "mkldnn": lambda: torch.zeros(3).to_mkldnn(),
    "compressed rows": lambda: torch.eye(3).to_sparse_csr(),
    "functional": lambda: torch._to_functional_tensor(torch.zeros(3)),
    "33 axes": lambda: torch.zeros((1,) * 33),
    "not a tensor": lambda: np.zeros(3),
}


@needs_kernel
@pytest.mark.filterwarnings("ignore")  # torch announces changes of quantised and sparse tensors
@pytest.mark.parametrize("table", [True, False])
def test_what_is_no_plain_tensor_of_floats_is_left_unread(table):
    native._native.connect(torch, table)
    kinds = UNREAD | {kind: (lambda t=tensor: t) for kind, (tensor, _) in unreadable().items()}
    rows = torch.full((7, 1), GUARD, dtype=torch.float64)
    try:
        for kind, make in kinds.items():
            assert native.read(make(), None, rows, 0, None) is False, kind
    finally:
        native._native.connect(torch, True)
    assert (rows == GUARD).all()


@needs_kernel
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("transform", [torch.vmap, torch.func.grad, torch.func.functionalize])
def test_tensors_inside_of_transforms_are_left_unread(transform, table):
    native._native.connect(torch, table)
    rows, seen = torch.full((7, 1), GUARD, dtype=torch.float64), []

    def function(x: Tensor) -> Tensor:
        seen.append(native.read(x, None, rows, 0, None))
        return x.sum()

    try:
        transform(function)(torch.randn(4))
    finally:
        native._native.connect(torch, True)
    assert seen == [False]


@needs_kernel
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reading_changes_neither_the_tensor_nor_the_random_state(dtype):
    tensor = with_nonfinite().to(dtype).requires_grad_()
    before, version, state = tensor.detach().clone(), tensor._version, torch.get_rng_state()
    read(tensor, 1)
    assert torch.equal(tensor.detach().nan_to_num(), before.nan_to_num())
    assert torch.equal(torch.get_rng_state(), state)
    assert tensor._version == version


@needs_kernel
def test_parameters_outputs_and_inference_tensors_are_read():
    leaf = normal().requires_grad_()
    with torch.inference_mode():
        inference = normal()
    for tensor in (leaf, leaf.relu(), torch.nn.Parameter(normal()), inference):
        assert_is_summary_of(read(tensor, 1), tensor, 1)


# The slot, and misuse


def message(pattern: str) -> str:
    return f"^{re.escape(pattern)}$"


@needs_kernel
@pytest.mark.parametrize("axis", [2, -3])
@pytest.mark.parametrize("shape", [(4, 5), (0, 5)])
def test_a_channel_axis_that_is_not_there_is_named(shape, axis):
    said = message(
        f"channel_axis={axis} is not an axis of a tensor of shape {shape}: "
        "expected -2 to 1, or None."
    )
    with pytest.raises(ValueError, match=said):
        native.read(torch.zeros(shape), axis, torch.zeros(7, 5).double(), 0, None)


@needs_kernel
@pytest.mark.parametrize("column", [-1, 3, 8, 9])
def test_a_slot_outside_of_the_rows_is_refused(column):
    said = message(f"a summary of 5 channels at column {column} does not fit rows of 7 columns.")
    rows = torch.full((7, 7), GUARD, dtype=torch.float64)
    with pytest.raises(ValueError, match=said):
        native.read(torch.zeros(4, 5), 1, rows, column, None)
    assert (rows == GUARD).all()


ROWS, HISTOGRAM = torch.zeros(10, 5).double(), torch.zeros(HISTOGRAM_BINS).double()


@needs_kernel
@pytest.mark.parametrize(
    ("rows", "histogram", "said"),
    [
        (ROWS.float(), HISTOGRAM, "rows must be .* of shape .*received tensor"),
        (ROWS[:, ::2], HISTOGRAM, "rows must be .* of shape .*received tensor"),
        (ROWS.mT.contiguous().mT, HISTOGRAM, "rows must be .* of shape .*received tensor"),
        (ROWS.to("meta"), HISTOGRAM, "rows must be .* of shape .*received tensor"),
        (ROWS[0], HISTOGRAM, "rows must be .* of shape .*received tensor"),
        (ROWS.numpy(), HISTOGRAM, "rows must be .* of shape .*received array"),
        (ROWS, None, r"rows must be .* of shape \(7, K\) without a histogram, received"),
        (ROWS[:7], HISTOGRAM, r"rows must be .* of shape \(10, K\) with a histogram, received"),
        (ROWS, HISTOGRAM[1:], r"histogram must be .* of shape \(512,\), received tensor"),
        (ROWS, HISTOGRAM.float(), r"histogram must be .* of shape \(512,\), received tensor"),
    ],
)
def test_rows_and_histograms_of_another_form_are_refused(rows, histogram, said):
    with pytest.raises(ValueError, match=said):
        native.read(torch.zeros(4, 5), 1, rows, 0, histogram)


@needs_kernel
def test_arguments_of_another_number_or_type_are_refused():
    with pytest.raises(TypeError, match="read takes 5 positional arguments, received 2"):
        native.read(torch.zeros(3), None)
    with pytest.raises(TypeError, match="integer"):
        native.read(torch.zeros(3), "last", ROWS, 0, HISTOGRAM)
    with pytest.raises(TypeError, match="integer"):
        native.read(torch.zeros(3), None, ROWS, "first", HISTOGRAM)
    with pytest.raises(TypeError, match="read_at takes 7 positional arguments, received 0"):
        native.read_at()


@needs_kernel
def test_an_axis_of_a_number_makes_one_channel():
    assert torch.equal(packed(torch.tensor(3.25), 0), packed(torch.tensor(3.25), None))


@needs_kernel
@pytest.mark.parametrize("extended", [False, True])
def test_a_planned_read_writes_the_same_as_a_checked_one(extended):
    tensor = normal()
    wanted, histogram = slot_for(tensor, 1, extended)
    native.read(tensor, 1, wanted, 1, histogram)
    rows, counts = slot_for(tensor, 1, extended)
    address = rows.data_ptr() + 8
    counts_address = 0 if counts is None else counts.data_ptr()
    assert native.read_at(tensor, 1, address, rows.stride(0), len(rows), 6, counts_address) is True
    assert torch.equal(rows, wanted)
    assert counts is None or torch.equal(counts, histogram)


@needs_kernel
def test_a_planned_read_leaves_tensors_of_another_form_unread():
    rows = torch.full((7, 8), GUARD, dtype=torch.float64)
    for tensor, axis in [(normal(), 0), (normal(4), 1), (normal(5, 7), 1), (normal().int(), 1)]:
        assert native.read_at(tensor, axis, rows.data_ptr(), 8, 7, 6, 0) is False
    assert (rows == GUARD).all()


@needs_kernel
@pytest.mark.parametrize(("rows", "histogram"), [(10, 0), (7, 1), (8, 0), (0, 0)])
def test_a_planned_read_wants_a_histogram_with_ten_rows_only(rows, histogram):
    with pytest.raises(ValueError, match=f"7 rows, or 10 and a histogram: received rows={rows}, "):
        native.read_at(normal(), 1, 4096, 6, rows, 6, histogram)


def test_without_the_kernel_every_tensor_is_left_unread_and_the_reason_is_told():
    code = (
        "import sys, torch; sys.modules['sppkit.kernels._native'] = None\n"
        "from sppkit.kernels import native\n"
        "x, rows = torch.zeros(3), torch.zeros(7, 1).double()\n"
        "print(native.AVAILABLE, native.read(x, None, rows, 0, None),\n"
        "      native.read_at(x, None, rows.data_ptr(), 1, 7, 1, 0), native.description())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert run.stdout == (
        "False False False torch operations; the C kernel was not built: install a C compiler and "
        "the headers of Python, then sppkit once more (pip install --force-reinstall --no-deps "
        "--no-cache-dir).\n"
    )


@needs_kernel
def test_a_kernel_that_does_not_load_is_told_with_its_error(monkeypatch):
    monkeypatch.setattr(native, "_absence", ImportError("file too short"))
    reason = native.unavailable_reason()
    assert reason is not None
    assert reason.startswith("the C kernel does not load (file too short): install a C compiler")


# Totals


def some_summaries() -> tuple[np.ndarray, np.ndarray]:
    """Return rows of 300 channels of 8 tensors: ordinary ones, empty ones, some not finite."""
    sizes = np.array([1, 64, 0, 7, 128, 33, 66, 1])
    random = np.random.default_rng(0)
    rows = random.lognormal(size=(len(BASE_ROWS), sizes.sum()))
    count, mean, m2, least, greatest, zeros, nonfinite = rows
    count[:] = np.repeat([5, 1000, 0, 0, 37, 8, 1, 3], sizes)
    mean -= 1.5
    least -= 3
    zeros[:] = np.minimum(np.round(zeros), count)
    nonfinite[:] = 0
    mean[110], m2[110], nonfinite[110] = np.nan, np.nan, 2
    greatest[-1], least[-1] = -np.inf, np.inf
    rows[:, count == 0] = np.array([0, 0, 0, np.inf, -np.inf, 0, 0])[:, None]
    return rows, sizes


@needs_kernel
def test_totals_are_those_of_numpy():
    rows, sizes = some_summaries()
    found = np.full((len(TOTALS), len(sizes)), -7.0)
    native.totals_at(
        rows.ctypes.data, rows.shape[1], sizes.ctypes.data, len(sizes), found.ctypes.data
    )
    wanted = Summaries(ChannelSummary.of_rows(rows, None), sizes)
    with np.errstate(all="ignore"):
        for name, values in zip(TOTALS, found, strict=True):
            np.testing.assert_allclose(values, getattr(wanted, name), rtol=1e-13, err_msg=name)


@needs_kernel
def test_statistics_of_known_totals_are_those_of_the_channels():
    rows, sizes = some_summaries()
    plain, known = (Summaries(ChannelSummary.of_rows(rows, None), sizes) for _ in range(2))
    with np.errstate(all="ignore"):
        known.know({name: getattr(plain, name) for name in TOTALS})
    for statistic in (*STATISTICS, *WEIGHT_STATISTICS):
        np.testing.assert_array_equal(statistic(plain), statistic(known), statistic.__name__)
