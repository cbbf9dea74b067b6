import numpy as np
import pytest
import torch

from benchmarks.clocks import processor_clock
from benchmarks.measurement import Request
from benchmarks.memory import (
    in_this_process,
    measure_memory,
    object_bytes,
    standing_bytes,
    tensor_peaks,
)
from benchmarks.pairs import Side
from benchmarks.workloads import WORKLOADS, Circumstances, make_training

MEBIBYTE = 2**20


def side(step):
    return Side(step, processor_clock)


def bytes_of(mebibytes):
    return torch.empty(mebibytes * MEBIBYTE, dtype=torch.uint8)


def test_the_peak_is_the_largest_sum_of_what_is_alive_at_a_time():
    kept = []

    def step():
        kept.clear()
        first = bytes_of(3)
        second = bytes_of(4)  # 7 at a time
        del first, second
        third = bytes_of(5)
        kept.append(bytes_of(1))  # 6 at a time, 1 stays
        del third

    def small_step():
        temporary = bytes_of(2)
        del temporary

    assert tensor_peaks([side(step), side(small_step)], 1) == [7 * MEBIBYTE, 3 * MEBIBYTE]


def test_what_was_made_before_the_profiler_does_not_disturb():
    before = [bytes_of(8)]

    def step():
        before.clear()
        before.append(bytes_of(2))

    assert tensor_peaks([side(step)], 1) == [2 * MEBIBYTE]


def test_python_objects_and_arrays_are_counted():
    kept = []

    def step():
        temporary = np.zeros(3 * MEBIBYTE, np.uint8)
        del temporary
        kept.append(np.zeros(MEBIBYTE, np.uint8))

    peak, left = object_bytes(step)
    assert peak == pytest.approx(3 * MEBIBYTE, rel=0.01)
    assert left == pytest.approx(MEBIBYTE, rel=0.01)


def test_standing_bytes_count_shared_weights_once():
    gpt = next(workload for workload in WORKLOADS if workload.name == "gpt")
    training = make_training(gpt, Circumstances(small=True))
    parameters = sum(
        p.numel() for p in training.model.parameters()
    )  # torch counts shared ones once
    tokens = training.inputs.numel() + training.targets.numel()
    assert standing_bytes(training) == 4 * parameters + 8 * tokens


def test_a_plain_step_takes_nothing_beyond_itself():
    request = Request("mlp", "control", circumstances=Circumstances(small=True))
    memory = measure_memory(request).result
    assert memory.beyond == 0
    assert memory.plain.tensors > 0


def test_what_a_recording_holds_and_keeps_is_counted():
    request = Request("mlp", "every-step", circumstances=Circumstances(small=True))
    memory = measure_memory(request).result
    statistics = 8 * 7 * (3 * 8 + 3 * 8 + 10)  # float64, seven rows per channel of the activations
    assert memory.beyond > statistics
    assert memory.other.kept > 32 * 8  # a row for each reading
    assert memory.plain.kept < memory.other.kept


def test_a_side_in_another_process_is_refused():
    with pytest.raises(TypeError, match="memory is counted in this process alone"):
        in_this_process(lambda settling, steps: None)
