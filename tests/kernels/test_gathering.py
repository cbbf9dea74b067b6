"""Small tensors that are read together have the summaries that each has by itself."""

import pytest
import torch
from torch import Tensor

from sppkit.kernels import gathering, summarize
from sppkit.kernels.gathering import Gathering
from sppkit.summary import BASE_ROWS

SHAPES = {
    "tokens": ((32, 6), 1),
    "maps": ((4, 6, 5, 3), 1),
    "a weight": ((6, 20), 0),
    "a bias": ((6,), 0),
    "one channel": ((3, 7), None),
    "last axis": ((2, 5, 6), -1),
    "a number": ((), None),
}


def read_all(tensors: list[Tensor], axis: int | None) -> Tensor:
    channels = summarize(tensors[0], axis, extended=False).numel() // len(BASE_ROWS)
    rows = torch.full((len(BASE_ROWS), channels * len(tensors)), -1.0, dtype=torch.float64)
    together = Gathering()
    for number, tensor in enumerate(tensors):
        if not together.add(rows, number * channels, tensor, axis):
            alone = summarize(tensor, axis, extended=False).view(len(BASE_ROWS), -1)
            rows[:, number * channels : (number + 1) * channels] = alone
    together.flush()
    return rows


@pytest.mark.parametrize("name", SHAPES)
def test_each_summary_is_that_of_the_tensor_alone(name):
    shape, axis = SHAPES[name]
    tensors = [scale * torch.randn(shape) + scale for scale in range(1, 201)]
    tensors[100] = torch.zeros(shape)
    alone = [summarize(t, axis, extended=False).view(len(BASE_ROWS), -1) for t in tensors]
    found = read_all(tensors, axis)
    torch.testing.assert_close(found, torch.cat(alone, 1), rtol=3e-6, atol=1e-12)


def test_a_tensor_that_is_written_to_after_it_was_read_keeps_its_values():
    rows = torch.full((len(BASE_ROWS), 100), -1.0, dtype=torch.float64)
    together = Gathering()
    for number in range(100):
        tensor = torch.full((8, 1), float(number))
        if not together.add(rows, number, tensor, 1):
            rows[BASE_ROWS.index("mean"), number] = number
        tensor.zero_()
    together.flush()
    assert rows[BASE_ROWS.index("mean")].tolist() == list(range(100))


def test_pages_in_turns_get_their_own_summaries():
    pages = [torch.full((len(BASE_ROWS), 50), -1.0, dtype=torch.float64) for _ in range(2)]
    together = Gathering()
    for number in range(100):
        tensor = torch.full((8, 1), float(number))
        page, column = pages[number % 2], number // 2
        if not together.add(page, column, tensor, 1):
            page[BASE_ROWS.index("mean"), column] = number
    together.flush()
    for odd, page in enumerate(pages):
        assert page[BASE_ROWS.index("mean")].tolist() == list(range(odd, 100, 2))


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(0, 3), torch.randn(200, 200), torch.randn(3, 3, dtype=torch.float64)],
    ids=["empty", "large", "float64"],
)
def test_other_tensors_are_read_at_once(tensor):
    together = Gathering()
    rows = torch.zeros(len(BASE_ROWS), 200, dtype=torch.float64)
    assert not any(together.add(rows, 0, tensor, 1) for _ in range(20))


def test_a_shape_is_gathered_only_where_it_comes_often():
    together = Gathering()
    rows = torch.zeros(len(BASE_ROWS), 100, dtype=torch.float64)
    added = [together.add(rows, i, torch.randn(8, 1), 1) for i in range(20)]
    assert added == [False] * (gathering.WORTH_GATHERING - 1) + [True] * (
        21 - gathering.WORTH_GATHERING
    )


def test_the_memory_of_all_shapes_is_bounded():
    together = Gathering()
    rows = torch.zeros(len(BASE_ROWS), 200, dtype=torch.float64)
    for width in range(1, 120):
        for _ in range(gathering.WORTH_GATHERING):
            together.add(rows, 0, torch.randn(100, width), 1)
    assert together._taken <= gathering.MEMORY
