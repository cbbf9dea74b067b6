import re

import pytest
import torch
from torch import Tensor, nn

from sppkit.kernels import summarize, summarize_into
from sppkit.summary import packed_size

SIZE = packed_size(6, extended=True)


@pytest.fixture
def buffer() -> Tensor:
    return torch.full((SIZE + 10,), -1.0, dtype=torch.float64)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 6, 5, 5)


def compiled(function):
    torch.compiler.reset()
    return torch.compile(function, backend="aot_eager", fullgraph=True)


@pytest.mark.parametrize("extended", [False, True])
def test_a_slot_is_written_and_nothing_around_it(buffer, x, extended):
    size = packed_size(6, extended)
    summarize_into(buffer, 3, x, 1, extended)
    assert torch.equal(buffer[3 : 3 + size], summarize(x, 1, extended=extended))
    assert (buffer[:3] == -1).all()
    assert (buffer[3 + size :] == -1).all()


def test_a_summary_that_does_not_fit_the_buffer_is_refused(buffer, x):
    message = (
        "a summary of 572 numbers at offset 11 does not fit a buffer of 582: "
        "6 channels, extended=True."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        summarize_into(buffer, 11, x, 1, True)


def test_a_tensor_with_grad_does_not_draw_the_buffer_into_its_graph(buffer, x):
    summarize_into(buffer, 0, x.requires_grad_(), 1, True)
    torch.ops.sppkit.summarize_into(buffer, 0, x, 1, True)
    assert not buffer.requires_grad


def test_the_operator_keeps_the_promises_of_its_schema(buffer, x):
    torch.library.opcheck(torch.ops.sppkit.summarize_into.default, (buffer, 3, x, 1, True))


def test_the_operator_compiles_into_one_graph_and_equals_eager(buffer, x):
    def forward(x: Tensor, buffer: Tensor) -> Tensor:
        y = x.relu() * 2
        torch.ops.sppkit.summarize_into(buffer, 3, y, 1, True)
        return y.sum()

    written = buffer.clone()
    assert compiled(forward)(x, written) == forward(x, buffer)
    assert torch.equal(written, buffer)


def test_hooks_that_summarize_into_a_buffer_compile_into_one_graph(buffer, x):
    forward_slot, backward_slot = 0, packed_size(6, extended=False)

    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        summarize_into(buffer, forward_slot, output, 1, False)
        output.register_hook(lambda grad: summarize_into(buffer, backward_slot, grad, 1, False))

    model = nn.Sequential(nn.Conv2d(6, 6, 3), nn.ReLU(inplace=True), nn.Flatten())
    model[0].register_forward_hook(hook)
    model(x).square().sum().backward()
    eager = buffer.clone()
    buffer.fill_(-1)
    compiled(model)(x).square().sum().backward()
    assert torch.allclose(buffer, eager, rtol=1e-5)
    assert not buffer.requires_grad


def test_an_inference_tensor_is_written_to_an_ordinary_buffer(buffer, x):
    with torch.inference_mode():
        summarize_into(buffer, 0, x + 0, 1, True)
    assert torch.equal(buffer[:SIZE], summarize(x, 1, extended=True))
    assert not buffer.is_inference()
