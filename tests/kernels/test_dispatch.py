import re

import pytest
import torch
from torch import Tensor

from sppkit.kernels import summarize, summarize_into
from sppkit.summary import BASE_ROWS, EXTENDED_ROWS, HISTOGRAM_BINS

ROWS = {False: len(BASE_ROWS), True: len(EXTENDED_ROWS)}


def page(extended: bool) -> tuple[Tensor, Tensor | None]:
    rows = torch.full((ROWS[extended], 16), -1.0, dtype=torch.float64)
    return rows, torch.full((HISTOGRAM_BINS,), -1.0, dtype=torch.float64) if extended else None


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 6, 5, 5)


@pytest.mark.parametrize("extended", [False, True])
def test_columns_are_written_and_nothing_around_them(x, extended):
    rows, histogram = page(extended)
    summarize_into(rows, 3, x, 1, histogram)
    written = [rows[:, 3:9].flatten(), *([histogram] if extended else [])]
    torch.testing.assert_close(torch.cat(written), summarize(x, 1, extended=extended))
    assert (rows[:, :3] == -1).all()
    assert (rows[:, 9:] == -1).all()


@pytest.mark.parametrize("column", [-1, 11])
def test_a_summary_that_does_not_fit_the_page_is_refused(x, column):
    rows, _ = page(False)
    message = f"a summary of 6 channels at column {column} does not fit rows of 16 columns."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        summarize_into(rows, column, x, 1)
    assert (rows == -1).all()


def test_a_tensor_with_grad_does_not_draw_the_page_into_its_graph(x):
    rows, histogram = page(True)
    summarize_into(rows, 0, x.requires_grad_(), 1, histogram)
    assert not rows.requires_grad
    assert not histogram.requires_grad


@pytest.mark.parametrize("kernel", ["native", "torch"])
@pytest.mark.parametrize("extended", [False, True])
def test_a_tensor_without_channels_has_a_summary_without_columns(kernel, extended, monkeypatch):
    monkeypatch.setenv("SPPKIT_KERNEL", kernel)
    packed = summarize(torch.zeros(0, 5), 0, extended=extended)
    assert packed.tolist() == [0.0] * (HISTOGRAM_BINS * extended)
    rows, histogram = page(extended)
    summarize_into(rows, 3, torch.zeros(0, 5), 0, histogram)
    assert (rows == -1).all()
