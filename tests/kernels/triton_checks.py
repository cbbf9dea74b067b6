"""What is checked of the Triton kernel, on the device where it runs.

Each check runs in a process of its own choice: on a GPU in that of the tests, without one in a
process in which Triton was imported to be interpreted.
"""

import math
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sppkit.kernels import triton_kernel
from sppkit.kernels.layout import channel_count
from sppkit.summary import ChannelSummary
from tests.kernels.test_torch_operations import (
    CASES,
    assert_is_summary_of,
    normal,
    per_channel,
    with_nonfinite,
)

AROUND = 2
"""Columns of `rows` on either side of the slot."""

UNTOUCHED = -5.0


def all_exponents(dtype: torch.dtype) -> Tensor:
    """One number of either sign for each power of two that the type holds, subnormal ones too."""
    smallest = -1074 if dtype is torch.float64 else -149
    largest = 1023 if dtype is torch.float64 else 127
    powers = torch.tensor([math.ldexp(1.5, k) if k > smallest else math.ldexp(1.0, k)
                           for k in range(smallest, largest + 1)], dtype=dtype)  # fmt: skip
    return torch.cat([powers, -powers, powers.new_zeros(7)])


def spread_over_programs() -> Tensor:
    """Two channels in several runs of tiles each; the mean of each run is another."""
    return normal(2, 5, 1000) + 50 * torch.arange(5.0).view(1, 5, 1)


# Besides those of the torch kernel: what only a read in tiles can get wrong.
OWN_CASES: dict[str, tuple[Callable[[], Tensor], int | None]] = {
    "several programs per channel": (lambda: normal(2, 5000) + 1e3, 0),
    "several programs with different means": (spread_over_programs, 0),
    "several programs of columns": (lambda: normal(300, 5) + 1e3, 1),
    "columns of several blocks": (lambda: normal(40, 150), 1),
    "columns of small maps": (lambda: normal(70, 20, 2, 2), 1),
    "nothing but zeros": (lambda: torch.zeros(8, 6, 9, 7), 1),
    "zeros first": (lambda: torch.cat([torch.zeros(600, 6), 1e-12 * normal(600, 6)]), 1),
    "small values first": (lambda: torch.cat([1e-30 * normal(2000), 1e30 * normal(2000)]), None),
    "NaN in the last of several programs": (
        lambda: torch.cat([normal(2, 2500), torch.full((2, 3), math.nan)], 1),
        0,
    ),
    "powers of two": (lambda: all_exponents(torch.float32), None),
    "long columns of three channels": (lambda: normal(2000, 3), 1),
}
ALL_CASES = CASES | OWN_CASES


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def outputs(channels: int, extended: bool) -> tuple[Tensor, Tensor | None]:
    columns = channels + 2 * AROUND
    rows = torch.full((10 if extended else 7, columns), UNTOUCHED, dtype=torch.float64)
    histogram = torch.full((512,), UNTOUCHED, dtype=torch.float64) if extended else None
    return rows.to(device()), None if histogram is None else histogram.to(device())


def read(tensor: Tensor, axis: int | None, *, extended: bool) -> Tensor:
    """Return the packed summary, having seen that nothing around the slot was written."""
    channels = channel_count(tensor, axis)
    rows, histogram = outputs(channels, extended)
    assert triton_kernel.read(tensor, axis, rows, AROUND, histogram)
    slot = slice(AROUND, AROUND + channels)
    packed = rows[:, slot].reshape(-1).clone()
    rows[:, slot] = UNTOUCHED
    assert (rows == UNTOUCHED).all()
    return (packed if histogram is None else torch.cat([packed, histogram])).cpu()


def made(case: str, dtype: torch.dtype) -> tuple[Tensor, int | None]:
    torch.manual_seed(0)
    make, axis = ALL_CASES[case]
    with torch.device(device()):
        return make().to(dtype), axis


def agrees_with_the_definitions(case: str, dtype: torch.dtype) -> None:
    tensor, axis = made(case, dtype)
    for extended in (False, True):
        packed = read(tensor, axis, extended=extended).numpy()
        summary = ChannelSummary.unpack(packed, channel_count(tensor, axis))
        assert_is_summary_of(summary, tensor.cpu(), axis)


def is_the_same_every_time(case: str, dtype: torch.dtype) -> None:
    tensor, axis = made(case, dtype)
    first = read(tensor, axis, extended=True)
    for _ in range(20 if device() == "cuda" else 1):
        assert torch.equal(first.nan_to_num(), read(tensor, axis, extended=True).nan_to_num())


def float64_keeps_its_own_range() -> None:
    tensor = all_exponents(torch.float64).to(device())
    packed = read(tensor, None, extended=True).numpy()
    summary = ChannelSummary.unpack(packed, 1)
    assert (summary.m2, summary.m4) == ([math.inf], [math.inf])
    values = tensor.cpu().double().numpy()
    _, exponent = np.frexp(values[values != 0])
    index = np.clip(exponent - 1 + 127, 0, 254) + 256 * (values[values != 0] < 0)
    wanted = np.bincount(index, minlength=512)
    np.testing.assert_array_equal(summary.histogram, wanted)
    assert (summary.zeros, summary.nonfinite, summary.count) == ([7], [0], [len(values)])
    assert (summary.minimum, summary.maximum) == ([values.min()], [values.max()])


def large_float64_values_have_infinite_moments_and_a_mean() -> None:
    tensor = torch.tensor([1e200, 2e200, 6e200], dtype=torch.float64, device=device())
    summary = ChannelSummary.unpack(read(tensor, None, extended=True).numpy(), 1)
    np.testing.assert_allclose(summary.mean, 3e200, rtol=1e-15)
    np.testing.assert_allclose(summary.absolute_sum, 9e200, rtol=1e-15)
    assert (summary.m2, summary.m3, summary.m4) == ([math.inf], [math.inf], [math.inf])


def constant_channels_have_a_variance_of_exactly_zero(dtype: torch.dtype) -> None:
    numbers = per_channel(0.1, -1e-30, 3e38, 1 / 3).to(device(), dtype)
    for tensor in (numbers.expand(50, 4, 7, 7).contiguous(), numbers.expand(2, 4, 40, 40) + 0):
        summary = ChannelSummary.unpack(read(tensor, 1, extended=False).numpy(), 4)
        assert summary.m2.tolist() == [0, 0, 0, 0]
        assert summary.mean.tolist() == numbers.flatten().double().tolist()


def an_empty_tensor_has_the_empty_summary(shape: tuple[int, ...], axis: int | None) -> None:
    for extended in (False, True):
        tensor = torch.empty(shape, device=device())
        packed = read(tensor, axis, extended=extended).numpy()
        empty = ChannelSummary.empty(channel_count(tensor, axis), extended=extended)
        np.testing.assert_array_equal(packed, empty.pack())


def reading_changes_nothing() -> None:
    tensor = with_nonfinite().to(device()).requires_grad_()
    before, version, state = tensor.detach().clone(), tensor._version, torch.get_rng_state()
    packed = read(tensor, 1, extended=True)
    assert torch.equal(tensor.detach().nan_to_num(), before.nan_to_num())
    assert torch.equal(torch.get_rng_state(), state)
    assert tensor._version == version
    assert not packed.requires_grad


def what_is_not_read_is_left_alone() -> None:
    class Wrapped(Tensor):
        pass

    for tensor in (
        torch.zeros(3, dtype=torch.int64, device=device()),
        torch.zeros(3, device="meta"),
        torch.zeros(3, device=device()).as_subclass(Wrapped),
        torch.eye(3, device=device()).to_sparse(),
    ):
        rows, histogram = outputs(3, extended=True)
        assert not triton_kernel.read(tensor, 0, rows, 0, histogram)
        assert (rows == UNTOUCHED).all()
        assert (histogram == UNTOUCHED).all()


def error_of(tensor_shape: tuple[int, ...], axis: int, rows: Tensor, column: int,
             histogram: Tensor | None) -> str:  # fmt: skip
    """Return the message of the ValueError that a read raises, having written nothing."""
    tensor, before = torch.zeros(tensor_shape, device=device()), rows.clone()
    try:
        triton_kernel.read(tensor, axis, rows.to(device()), column, histogram)
    except ValueError as error:
        assert torch.equal(rows, before)
        return str(error)
    raise AssertionError("no ValueError was raised")


def prepare() -> None:
    """Make the interpreter add as a device does: in a tree, instead of one after the other.

    The rounding errors of 256 float32 numbers that numpy adds along the first axis exceed what is
    tolerated of the sum.
    """
    assert os.environ["TRITON_INTERPRET"] == "1"
    from triton.runtime import interpreter

    def sum_in_a_tree(reduction: interpreter.ReduceOps, values: object) -> object:
        data = np.moveaxis(values.handle.data, reduction.axis, 0)
        while len(data) > 1:
            data = data[: len(data) // 2] + data[len(data) // 2 :]
        data = np.moveaxis(data, 0, reduction.axis)
        kept = data if reduction.keep_dims else data.squeeze(reduction.axis)
        return reduction.to_tensor(kept, values.dtype)

    interpreter.ReduceOps.sum = sum_in_a_tree
