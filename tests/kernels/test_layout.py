import pytest
import torch
from torch import Tensor

from sppkit.kernels import summarize, unsupported_reason
from sppkit.kernels.layout import group_by_channel

SHAPE = (8, 6, 9, 7)


@pytest.mark.parametrize(
    ("tensor", "axis", "shape", "repeats"),
    [
        (torch.randn(SHAPE), 1, (8, 6, 63), 1),
        (torch.randn(SHAPE), 0, (1, 8, 378), 1),
        (torch.randn(SHAPE), -1, (432, 7, 1), 1),
        (torch.randn(SHAPE), None, (1, 1, 3024), 1),
        (torch.randn(SHAPE).to(memory_format=torch.channels_last), 1, (504, 6, 1), 1),
        (torch.randn(7, 9, 6, 8).permute(3, 2, 1, 0), 1, (63, 6, 8), 1),
        (torch.randn(8, 12, 9, 7)[:, ::2], 1, (8, 6, 63), 1),
        (torch.randn(8, 6, 1, 1).expand(SHAPE), 1, (8, 6, 1), 63),
        (torch.randn(1, 6, 9, 7).expand(SHAPE), 1, (1, 6, 63), 8),
        (torch.randn(()).expand(SHAPE), 1, (1, 6, 1), 504),
        (torch.randn(()), None, (1, 1, 1), 1),
    ],
)
def test_grouping_by_channel_makes_no_copy(tensor, axis, shape, repeats):
    values, times = group_by_channel(tensor, axis)
    assert (tuple(values.shape), times) == (shape, repeats)
    assert values.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()


def test_a_crop_is_copied_because_its_rows_do_not_meet():
    crop = torch.randn(8, 6, 12, 12)[:, :, 1:-1, 2:-1]
    values, _ = group_by_channel(crop, 1)
    assert torch.equal(values, crop.reshape(8, 6, 90))


def unreadable() -> dict[str, tuple[Tensor, str]]:
    """Every kind of tensor that has no summary, and the reason that is given."""
    return {
        "int64": (
            torch.arange(3),
            "integer tensors carry no signal: torch.int64 holds indices or codes",
        ),
        "uint8": (
            torch.zeros(3, dtype=torch.uint8),
            "integer tensors carry no signal: torch.uint8 holds indices or codes",
        ),
        "bool": (
            torch.zeros(3, dtype=torch.bool),
            "boolean tensors carry no signal: torch.bool holds masks",
        ),
        "complex64": (
            torch.zeros(3, dtype=torch.complex64),
            "complex tensors (torch.complex64) have no extremes: read real and imaginary parts "
            "apart",
        ),
        "float8": (
            torch.zeros(3).to(torch.float8_e4m3fn),
            "torch.float8_e4m3fn tensors hold scaled codes: read them in float32, times their "
            "scale",
        ),
        "sparse": (
            torch.eye(3).to_sparse(),
            "sparse tensors (torch.sparse_coo) have no channel axis: read values() or to_dense()",
        ),
        "meta": (
            torch.zeros(3, device="meta"),
            "meta tensors have a shape and no values: materialise them first",
        ),
        "quantised": (
            torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
            "quantised tensors hold codes (torch.qint8): read dequantize()",
        ),
        "nested": (
            torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged),
            "nested tensors have no single shape: read their components, or values()",
        ),
    }


@pytest.mark.filterwarnings("ignore")  # torch announces that it will drop quantised tensors
@pytest.mark.parametrize("kind", ["int64", "uint8", "bool", "complex64", "float8", "sparse", "meta",
                                  "quantised", "nested"])  # fmt: skip
def test_a_tensor_that_cannot_be_read_is_refused_with_the_reason(kind):
    tensor, reason = unreadable()[kind]
    assert unsupported_reason(tensor) == reason
    with pytest.raises(TypeError) as error:
        summarize(tensor, None, extended=False)
    assert str(error.value) == reason


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_point_tensors_are_read(dtype):
    assert unsupported_reason(torch.zeros(3, dtype=dtype)) is None
