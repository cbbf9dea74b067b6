from itertools import cycle

import pytest
import torch

from benchmarks.reads import CASES, COLD_BYTES, Case, ReadRequest, measure_reads, seconds_per_call


def test_calls_are_repeated_until_they_can_be_timed():
    now, seen = [0.0], []

    def read(tensor):
        seen.append(tensor)
        now[0] += 0.0005

    tensors = [torch.tensor(0), torch.tensor(1), torch.tensor(2)]
    seconds = seconds_per_call(read, cycle(tensors), lambda: now[0])
    assert seconds == pytest.approx(0.0005)
    assert [int(tensor) for tensor in seen] == [0, 1, 2, 0, 1, 2, 0]  # 1 + 2 + 4 calls


def test_cold_tensors_are_too_many_for_a_cache():
    case = Case((4, 1024, 1024), 1, cold=True)
    tensors = case.tensors("cpu")
    assert sum(tensor.nbytes for tensor in tensors) >= COLD_BYTES
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)


def test_cases_are_what_they_say():
    assert CASES[1].description == "64x64x32x32, channels on axis 1, cold"
    assert (
        Case((2, 3, 4, 4), 1, torch.bfloat16, channels_last=True).description
        == "2x3x4x4, channels on axis 1, channels_last, bfloat16, warm"
    )
    (tensor,) = Case((2, 3, 4, 4), 1, torch.bfloat16, channels_last=True).tensors("cpu")
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor.dtype == torch.bfloat16


def test_reads_are_multiples_of_a_sum():
    threads = torch.get_num_threads()
    reads = measure_reads(ReadRequest(rounds=2, small=True))
    torch.set_num_threads(threads)
    for read in reads:
        assert read.kernel
        assert 0 < read.total < 1
        assert read.base.median > 1
        assert read.extended.median > 1
