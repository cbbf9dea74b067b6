"""The Triton kernel: on a GPU where there is one, else in Triton's interpreter.

Triton decides when it is imported whether it interprets: a process of its own runs the checks then.
"""

import importlib.util
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeAlias

import pytest
import torch

from sppkit.kernels import triton_kernel
from sppkit.summary import ChannelSummary
from tests.kernels import triton_checks
from tests.kernels.test_torch_operations import DTYPES, EMPTY

HAS_GPU = torch.cuda.is_available()
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(
    not HAS_TRITON, reason="Triton is not installed: pip install -e '.[triton]'"
)

Run: TypeAlias = Callable[..., object]

FEW_CASES = (
    "normal", "mean of 1e3 standard deviations", "NaN and infinities", "negative zeros",
    "channels last", "a crop", "tokens", "several programs with different means",
    "columns of small maps",
)  # fmt: skip
SLOW_WHERE_INTERPRETED = {"long columns of few channels"}
COMBINATIONS = [
    (case, dtype)
    for case in triton_checks.ALL_CASES
    for dtype in DTYPES
    if HAS_GPU
    or (case not in SLOW_WHERE_INTERPRETED and (dtype is torch.float32 or case in FEW_CASES))
]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run a check where the kernel runs."""
    if HAS_GPU:
        yield lambda check, *arguments: check(*arguments)
        return
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(1, context) as pool:
        patch.setenv("TRITON_INTERPRET", "1")
        pool.submit(triton_checks.prepare).result()
        patch.undo()
        yield lambda check, *arguments: pool.submit(check, *arguments).result()


@needs_triton
@pytest.mark.parametrize(("case", "dtype"), COMBINATIONS, ids=str)
def test_a_summary_agrees_with_the_definitions(run: Run, case: str, dtype: torch.dtype):
    run(triton_checks.agrees_with_the_definitions, case, dtype)


@needs_triton
@pytest.mark.parametrize("case", ["NaN in the last of several programs", "columns of small maps"])
def test_reading_again_changes_no_bit(run: Run, case: str):
    run(triton_checks.is_the_same_every_time, case, torch.float32)


@needs_triton
@pytest.mark.parametrize(
    "check",
    [
        triton_checks.float64_keeps_its_own_range,
        triton_checks.large_float64_values_have_infinite_moments_and_a_mean,
        triton_checks.reading_changes_nothing,
        triton_checks.what_is_not_read_is_left_alone,
    ],
    ids=lambda check: check.__name__.replace("_", " "),
)
def test_that(run: Run, check: Callable[[], None]):
    run(check)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constant_channels_have_a_variance_of_exactly_zero(run: Run, dtype: torch.dtype):
    run(triton_checks.constant_channels_have_a_variance_of_exactly_zero, dtype)


@needs_triton
@pytest.mark.parametrize(("shape", "axis"), EMPTY)
def test_an_empty_tensor_has_the_empty_summary(run: Run, shape, axis):
    run(triton_checks.an_empty_tensor_has_the_empty_summary, shape, axis)


@needs_triton
@pytest.mark.parametrize(
    ("shape", "axis", "rows", "column", "message"),
    [
        (
            (4, 6), 1, (7, 10), 5,
            "a summary of 6 channels at column 5 does not fit rows of 10 columns.",
        ),
        (
            (4, 6), 1, (7, 10), -1,
            "a summary of 6 channels at column -1 does not fit rows of 10 columns.",
        ),
        (
            (0, 6), 1, (7, 5), 0,
            "a summary of 6 channels at column 0 does not fit rows of 5 columns.",
        ),
        (
            (4, 6), 1, (10, 10), 0,
            f"rows is torch.float64 of shape (10, 10) on {triton_checks.device()}: expected "
            f"contiguous torch.float64 of shape (7, K) on {triton_checks.device()}.",
        ),
        (
            (4, 6), 2, (7, 10), 0,
            "channel_axis=2 is not an axis of a tensor of shape (4, 6): expected -2 to 1, or None.",
        ),
    ],
)  # fmt: skip
def test_a_slot_that_cannot_be_written_is_named(run: Run, shape, axis, rows, column, message):
    buffer = torch.zeros(rows, dtype=torch.float64)
    assert run(triton_checks.error_of, shape, axis, buffer, column, None) == message


@needs_triton
def test_a_histogram_of_another_form_is_named(run: Run):
    buffer = torch.zeros(10, 6, dtype=torch.float64)
    error = run(triton_checks.error_of, (4, 6), 1, buffer, 0, torch.zeros(512))
    assert error == (
        "histogram is torch.float32 of shape (512,) on cpu: expected contiguous torch.float64 of "
        f"shape (512,) on {triton_checks.device()}."
    )


@needs_triton
@pytest.mark.parametrize(
    "variant",
    ["float32", "bfloat16, extended, columns", "float64, extended", "merge, float64, extended"],
)
def test_the_kernels_compile_for_a_gpu_that_is_not_there(variant: str, tmp_path):
    command = [sys.executable, "-m", "tests.kernels.triton_compilation", variant]
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_reason_why_nothing_can_be_read_is_given(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert triton_kernel.unavailable_reason() == "Triton is not installed: pip install triton"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert triton_kernel.unavailable_reason() == "there is no CUDA device"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert triton_kernel.unavailable_reason() == (
        "Triton finds no C compiler, which it needs to launch kernels: install gcc"
    )
    monkeypatch.setenv("CC", "cc")
    assert triton_kernel.unavailable_reason() is None


def test_interpreted_kernels_are_available_without_a_device(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert triton_kernel.unavailable_reason() is None


def test_triton_is_imported_by_the_first_read_only():
    code = (
        "import sys, sppkit.kernels.triton_kernel as kernel; kernel.unavailable_reason();"
        "print('triton' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.skipif(HAS_GPU, reason="a GPU reads its tensors")
def test_without_a_device_tensors_are_left_to_other_kernels():
    rows = torch.zeros(7, 6, dtype=torch.float64)
    assert not triton_kernel.read(torch.ones(4, 6), 1, rows, 0, None)
    assert not rows.any()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="there is no CUDA device")
@pytest.mark.parametrize("case", FEW_CASES)
def test_the_host_never_waits_for_the_device(case: str):
    tensor, axis = triton_checks.made(case, torch.float32)
    channels = 1 if axis is None else tensor.shape[axis]
    for extended in (False, True):
        rows, histogram = triton_checks.outputs(channels, extended)
        triton_kernel.read(tensor, axis, rows, 0, histogram)
        torch.cuda.set_sync_debug_mode("error")
        try:
            triton_kernel.read(tensor, axis, rows, 0, histogram)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="there is no CUDA device")
@pytest.mark.parametrize("extended", [False, True])
def test_a_read_can_be_captured_into_a_graph(extended: bool):
    tensor = torch.randn(8, 6, 90, 70, device="cuda")
    rows, histogram = triton_checks.outputs(6, extended)
    triton_kernel.read(tensor, 1, rows, 0, histogram)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        triton_kernel.read(tensor, 1, rows, 0, histogram)
    tensor.normal_(3, 2)
    graph.replay()
    found = rows[:, :6].flatten()
    if histogram is not None:
        found = torch.cat([found, histogram])
    assert torch.equal(found.cpu(), triton_checks.read(tensor, 1, extended=extended))


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not HAS_GPU, reason="there is no CUDA device")
@pytest.mark.parametrize("axis", [None, 1])
def test_more_values_than_32_bits_can_count_are_read(axis: int | None):
    tensor = torch.zeros(3, (1 << 30) + 7, dtype=torch.bfloat16, device="cuda").t()
    tensor[-1, -1] = 3
    packed = triton_checks.read(tensor, axis, extended=True).numpy()
    summary = ChannelSummary.unpack(packed, 1 if axis is None else 3)
    assert summary.count.sum() == tensor.numel()
    assert summary.zeros.sum() == tensor.numel() - 1
    assert summary.maximum[-1] == summary.absolute_sum[-1] == 3
    assert summary.histogram is not None
    assert summary.histogram[128] == summary.histogram.sum() == 1
