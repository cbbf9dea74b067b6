"""Which axis of a tensor counts its channels: the one place that decides it.

A convolution puts its channels second, a linear layer last. What stands between them (a
nonlinearity, a reshape, a permutation, a sum) has no layout of its own and inherits the one of what
it was given. So the axis follows the signal through the operations of one traced forward:
`axis_after` is applied to each operation, and `axis_for_summary` turns what it found into the
argument of the kernels. Where nothing decides, the answer is `None`, a reason and not a guess.
"""

import math
import re
from collections.abc import Iterator, Sequence

from torch import nn

Shape = tuple[int, ...]

_SPATIAL = re.compile(r"(?:conv|conv_transpose|pool|pool_with_indices)([123])d(?:_with_indices)?$")
_CHANNELS_SECOND = frozenset(
    {"batch_norm", "instance_norm", "group_norm", "local_response_norm", "native_group_norm"}
)
_CHANNELS_LAST = frozenset(
    {
        *("linear", "bilinear", "layer_norm", "rms_norm", "embedding", "embedding_bag"),
        *("multi_head_attention_forward", "scaled_dot_product_attention"),
        *("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell"),
        *("rnn_tanh_cell", "rnn_relu_cell", "matmul", "bmm", "mm", "addmm", "baddbmm", "addbmm"),
        *("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
    }
)
_READ_CHANNELS_LAST = frozenset({"linear", "layer_norm", "rms_norm"})
_RESHAPES = frozenset(
    {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}
)
PERMUTATIONS = frozenset(
    {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT"}
)
REDUCTIONS = frozenset(
    {
        *("sum", "mean", "prod", "amax", "amin", "var", "std", "logsumexp", "nansum", "nanmean"),
        *("select", "unbind"),
    }
)

CHANNELS_LAST_MODULES: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
CHANNELS_SECOND_MODULES: tuple[type[nn.Module], ...] = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
)


def axis_after(
    operation: str,
    parents: Sequence[tuple[Shape, int | None]],
    shape: Shape,
    sources: Sequence[int] | None = None,
) -> int | None:
    """Follow the channel axis through one operation.

    Args:
        operation: the canonical name of the functional call, such as "conv2d".
        parents: shape and channel axis of each data operand, in order.
        shape: shape of the result.
        sources: where axes are reordered or dropped, the source of each axis of the result.

    Returns:
        The channel axis of the result, or None where the operation leaves it undecided.
    """
    if fixed := _fixed_axis(operation, len(shape)):
        return fixed if fixed < len(shape) else None
    if operation in PERMUTATIONS:
        return _moved(parents, sources)
    if len(shape) == 2:
        return 1
    if operation in _RESHAPES:
        return _reshaped(parents, shape)
    moved = _moved(parents, sources)
    return moved if moved is not None else _inherited(parents, shape)


def axis_read(operation: str, dimensions: int) -> int | None:
    """Decide from an operation that reads a tensor and has a layout of its own.

    >>> axis_read("conv2d", 4), axis_read("layer_norm", 3), axis_read("add", 4)
    (1, 2, None)
    """
    if _SPATIAL.search(operation) or operation in _CHANNELS_SECOND | _READ_CHANNELS_LAST:
        return _fixed_axis(operation, dimensions)
    return None


def _fixed_axis(operation: str, dimensions: int) -> int | None:
    """Give the axis of operations that have a layout of their own (never 0: that is no batch)."""
    if match := _SPATIAL.search(operation):
        return max(dimensions - 1 - int(match[1]), 0) or None
    if operation in _CHANNELS_SECOND:
        return 1
    if operation in _CHANNELS_LAST:
        return max(dimensions - 1, 0) or None
    return None


def _moved(
    parents: Sequence[tuple[Shape, int | None]], sources: Sequence[int] | None
) -> int | None:
    axis = parents[0][1] if parents else None
    if axis is None or sources is None or axis not in sources:
        return None
    return list(sources).index(axis)


def _reshaped(parents: Sequence[tuple[Shape, int | None]], shape: Shape) -> int | None:
    """Find where the channels are after a reshape, from the axes that it splits and joins.

    Channels that are split (into heads, into groups) leave their fastest axis: the channels of one
    head. Axes that are joined hold the channels of one of them; the batch axis never does.
    """
    if not parents or parents[0][1] is None:
        return None
    old_shape, old_axis = parents[0][0], parents[0][1]
    for old_axes, new_axes in _regroupings(old_shape, shape):
        if old_axis in old_axes:
            return _regrouped(old_shape, old_axis, old_axes, shape, new_axes) or None
    return None


def _regrouped(
    old_shape: Shape, old_axis: int, old_axes: range, shape: Shape, new_axes: range
) -> int | None:
    old = [axis for axis in old_axes if old_shape[axis] > 1] or [old_axis]
    new = [axis for axis in new_axes if shape[axis] > 1] or list(new_axes)
    is_fastest = old_axis == old[-1]
    return new[-1] if new and (is_fastest or len(new) == 1) else None


def _regroupings(old_shape: Shape, shape: Shape) -> Iterator[tuple[range, range]]:
    """Match the shortest runs of axes that hold equally many values.

    >>> list(_regroupings((2, 12, 5), (2, 3, 4, 5)))
    [(range(0, 1), range(0, 1)), (range(1, 2), range(1, 3)), (range(2, 3), range(3, 4))]
    """
    old = new = 0
    while old < len(old_shape) and new < len(shape):
        old_end, new_end = old + 1, new + 1
        while (sizes := _sizes(old_shape[old:old_end], shape[new:new_end]))[0] != sizes[1]:
            old_end, new_end = old_end + (sizes[0] < sizes[1]), new_end + (sizes[0] > sizes[1])
            if old_end > len(old_shape) or new_end > len(shape):
                return
        yield range(old, old_end), range(new, new_end)
        old, new = old_end, new_end


def _sizes(one: Shape, other: Shape) -> tuple[int, int]:
    return math.prod(one), math.prod(other)


def _inherited(parents: Sequence[tuple[Shape, int | None]], shape: Shape) -> int | None:
    """Keep the axis of the first operand of equal rank that has one of equal or joined size."""
    for parent_shape, axis in parents:
        if axis is not None and len(parent_shape) == len(shape):
            return axis
    return None


def axis_of_module_output(module: nn.Module, dimensions: int) -> int | None:
    """Decide from the module alone, where no operation inside it was seen."""
    if dimensions == 2:
        return 1
    if isinstance(module, CHANNELS_LAST_MODULES) or _is_quantised_linear(module):
        return dimensions - 1
    if isinstance(module, CHANNELS_SECOND_MODULES):
        return 1 if dimensions > 2 else None
    return None


def is_quantised(module: nn.Module) -> bool:
    """Say whether a module is one of torch's quantised layers; does not import them."""
    return any(kind.__module__.startswith("torch.ao.nn.quantized") for kind in type(module).__mro__)


def _is_quantised_linear(module: nn.Module) -> bool:
    return is_quantised(module) and hasattr(module, "out_features")


def axis_of_parameter(module: nn.Module, dimensions: int) -> int | None:
    """Give the axis of a parameter's output units; None for scalars and vectors, read whole.

    A transposed convolution stores its input channels first, everything else its outputs.
    """
    if dimensions < 2:
        return None
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    return 1 if transposed else 0


def axis_for_summary(axis: int | None, dimensions: int) -> tuple[int | None, str | None]:
    """Turn a decided axis into the kernels' argument, or into the reason why there is none."""
    if dimensions <= 1:
        return None, None
    if axis is None and dimensions == 2:
        return 1, None
    if axis is None or not -dimensions <= axis < dimensions:
        return None, (
            f"the channel axis of a {dimensions}-dimensional tensor is undecided here; "
            "name it with channel_axis={'LAYER': AXIS}"
        )
    return axis % dimensions, None
