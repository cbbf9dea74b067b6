"""What one forward pass is called with, from whatever a file or a function gave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sppkit.errors import ProbeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Size = Sequence[int]
Parts = tuple[list[Any], dict[str, Any], Any]

_INPUT_KEYS = ("x", "inputs")
_LABEL_KEYS = ("y", "labels")


@dataclass(frozen=True)
class ProbeBatch:
    """What one forward pass is called with.

    Attributes:
        args: positional arguments; tensors have the batch first.
        kwargs: keyword arguments.
        labels: classes of the samples, (N,), where the source has them.
        description: what the input is, for the footer of a plot.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    labels: "Tensor | None"
    description: str


def arrange(
    content: object,
    *,
    sizes: Sequence[Size],
    batch_size: int,
    dtype: "torch.dtype",
    source: str,
) -> ProbeBatch:
    """Sort the content of a source into arguments and labels, check it, cut it and cast it.

    A dict gives keyword arguments, but `x` or `inputs` is the positional one and `y` or `labels`
    the labels. A tuple gives positional arguments; one tensor more than the model has inputs is
    taken for labels if it holds one integer per sample.

    Raises:
        ProbeError: if it holds other things than tensors, nothing, or other sizes than `sizes`.
    """
    args, kwargs, labels = _sort(content, len(sizes) or 1)
    count = _count_samples(args, kwargs, labels, source)
    _check_sizes(args, sizes, source)

    def prepare(tensor: "Tensor") -> "Tensor":
        return _cast(_first(tensor, count, batch_size), dtype, source)

    remarks = _remarks([*args, *kwargs.values()], count, batch_size)
    return ProbeBatch(
        args=tuple(prepare(tensor) for tensor in args),
        kwargs={name: prepare(tensor) for name, tensor in kwargs.items()},
        labels=None if labels is None else _first(labels, count, batch_size),
        description=f"{source} ({remarks})" if remarks else source,
    )


def too_few(count: int, batch_size: int) -> str:
    """Return the remark that a source has fewer samples than were asked for, or nothing."""
    return f"{count} samples of the {batch_size} asked for" if count < batch_size else ""


def kind_of(thing: object) -> str:
    """Say what a thing is by its class."""
    return "None" if thing is None else f"a {type(thing).__name__}"


def shape_text(size: Size) -> str:
    """Write a size as people say it: 3x64x64."""
    return "x".join(map(str, size)) or "one number"


def _sort(content: object, inputs: int) -> Parts:
    """Return positional arguments, keyword arguments and labels, not yet checked."""
    if isinstance(content, Mapping):
        return _sort_mapping(dict(content))
    if not isinstance(content, tuple | list):
        return [content], {}, None
    if len(content) == 2 and isinstance(content[0], Mapping | tuple | list):
        args, kwargs, _ = _sort(content[0], inputs)
        return args, kwargs, content[1]
    if len(content) == inputs + 1 and _are_classes(content[-1]):
        return list(content[:-1]), {}, content[-1]
    return list(content), {}, None


def _sort_mapping(content: dict[str, Any]) -> Parts:
    label_keys = [key for key in _LABEL_KEYS if key in content]
    labels = content.pop(label_keys[0]) if label_keys else None
    input_keys = [key for key in _INPUT_KEYS if key in content]
    args = [content.pop(input_keys[0])] if input_keys else []
    return args, content, labels


def _are_classes(thing: object) -> bool:
    import torch

    return isinstance(thing, torch.Tensor) and thing.ndim == 1 and not thing.is_floating_point()


def _count_samples(
    args: Sequence[object], kwargs: Mapping[str, object], labels: object, source: str
) -> int:
    """Return the number of samples, after checking that all parts are tensors and agree on it."""
    named = {name: _length(name, part, source) for name, part in kwargs.items()}
    counts = {f"input {i}": _length(f"input {i}", x, source) for i, x in enumerate(args, 1)}
    # the first keyword argument has a batch; those beside it may be a mask without one
    counts = counts or dict(list(named.items())[:1])
    if labels is not None:
        counts["labels"] = _length("labels", labels, source)
    if not (args or kwargs) or not min(counts.values()):
        raise ProbeError(f"'{source}' is empty; expected a tensor of at least one sample.")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ProbeError(f"The parts of '{source}' differ in their number of samples ({listed}).")
    return next(iter(counts.values()))


def _length(name: str, part: object, source: str) -> int:
    import torch

    if not isinstance(part, torch.Tensor):
        raise ProbeError(
            f"'{name}' of '{source}' is {kind_of(part)}; expected a tensor, several in a tuple, "
            "or a dict of tensors. Other arguments of a forward go into --example-input."
        )
    if part.ndim == 0:
        raise ProbeError(f"'{name}' of '{source}' is one number; expected a batch of samples.")
    return len(part)


def _check_sizes(args: Sequence["Tensor"], sizes: Sequence[Size], source: str) -> None:
    if not sizes or not args:  # keyword arguments have names, sizes have an order
        return
    held = [tuple(tensor.shape[1:]) for tensor in args]
    if held != [tuple(size) for size in sizes]:
        options = " ".join("-s " + ",".join(map(str, size)) for size in held)
        raise ProbeError(
            f"'{source}' holds {_listed(held)} per sample; the model takes {_listed(sizes)}. "
            f"Change the one, or state the other: {options}."
        )


def _listed(sizes: Sequence[Size]) -> str:
    return f"{len(sizes)} tensor{'s' * (len(sizes) > 1)} of {' and '.join(map(shape_text, sizes))}"


def _first(tensor: "Tensor", count: int, batch_size: int) -> "Tensor":
    """Cut to the first samples, unless it has no batch, as an attention mask may."""
    return tensor[:batch_size].clone() if len(tensor) == count else tensor


def _cast(tensor: "Tensor", dtype: "torch.dtype", source: str) -> "Tensor":
    """Bring numbers to the type of the input; leave token ids and masks as they are."""
    import torch

    if not tensor.is_floating_point() and tensor.dtype != torch.uint8:
        return tensor
    if not dtype.is_floating_point:
        raise ProbeError(f"'{source}' holds {tensor.dtype} numbers; expected token ids ({dtype}).")
    return tensor.to(dtype)


def _remarks(tensors: Sequence["Tensor"], count: int, batch_size: int) -> str:
    import torch

    bytes_ = "bytes, 0 to 255" if any(t.dtype == torch.uint8 for t in tensors) else ""
    return ", ".join(remark for remark in (too_few(count, batch_size), bytes_) if remark)
