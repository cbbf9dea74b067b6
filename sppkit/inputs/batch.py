"""The batch of a probe, by the name of its source.

The same generator gives the same batch, and the global generators are left alone. Tensors are on
the CPU, so that every machine draws the same input.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sppkit.errors import ProbeError
from sppkit.inputs import noise
from sppkit.inputs.contents import ProbeBatch, Size, arrange, kind_of, shape_text, too_few
from sppkit.inputs.digits import draw_digits
from sppkit.inputs.named import NamedSizes, Tokens, size_of
from sppkit.inputs.sources import call_function, is_source, read
from sppkit.user_code import did_you_mean

if TYPE_CHECKING:
    import torch

SOURCES = ("gaussian", "uniform", "pink", "digits", "FILE.pt", "FILE.npz", "module.py:function")
_NOISES = {
    "gaussian": (noise.gaussian, "gaussian noise"),
    "uniform": (noise.uniform, "uniform noise"),
    "pink": (noise.pink, "1/f (pink) noise"),
}
_FLOATS = ("float32", "float16", "bfloat16", "float64")
_INTEGERS = {"int": "int64", "int64": "int64", "int32": "int32"}


def make_batch(
    source: str,
    *,
    input_size: Sequence[Size] | NamedSizes,
    batch_size: int,
    generator: "torch.Generator",
    dtype: "torch.dtype | str" = "float32",
    vocabulary: int | None = None,
) -> ProbeBatch:
    """Make the batch of a probe.

    Args:
        source: one of `SOURCES`. `gaussian` is N(0, 1), `uniform` is U(-√3, √3), `pink` is noise
            whose neighbours resemble each other: all have mean 0 and variance 1, and so have
            `digits`, small pictures. A file gives its first samples, a function its tensors or
            the first batch of its data set or loader.
        input_size: one size per input, without the batch. What files and functions hold is
            checked against it; it may be empty for them. A mapping from names to sizes gives
            keyword arguments, of which `Tokens` are drawn as such, the others as the source says.
        batch_size: number of samples. A file or data set with fewer gives what it has, and the
            description says so.
        generator: a generator of the CPU, the only source of random numbers.
        dtype: a floating type, or "int" for token ids, which are drawn uniformly from the
            vocabulary whatever noise was asked for.
        vocabulary: number of tokens, for "int"; for named `Tokens` in place of their own.

    Raises:
        ProbeError: if there is no such source, or if it does not give what was asked for.
    """
    named = input_size if isinstance(input_size, Mapping) else {}
    listed = named.values() if isinstance(input_size, Mapping) else input_size
    sizes, number = [size_of(each) for each in listed], _dtype(dtype)
    _check_request(sizes, batch_size, generator)
    if is_source(source):
        content = read(source, batch_size, generator)
        sizes = [] if named else sizes
        return arrange(content, sizes=sizes, batch_size=batch_size, dtype=number, source=source)
    if named:
        return _by_name(source, named, batch_size, generator, number, vocabulary)
    _check_drawn(source, sizes, number, vocabulary)
    if not number.is_floating_point:
        return _tokens(sizes, batch_size, generator, number, vocabulary)
    if source == "digits":
        return _digits(sizes, batch_size, generator, number)
    return _noise(source, sizes, batch_size, generator, number)


def example_batch(spec: str) -> ProbeBatch:
    """Make the batch from a function that returns the arguments of a forward pass.

    Args:
        spec: `module.py:function`; the function returns a tensor, a tuple of positional
            arguments, a dict of keyword arguments, or a pair (tuple, dict) of both. Nothing in
            it is checked, cut or cast. Its random numbers are the same at every call.

    Raises:
        ProbeError: if the function cannot be found, fails, or returns something else.
    """
    import torch

    made = call_function(spec, torch.Generator().manual_seed(0))
    args, kwargs = _arguments(made)
    if not args and not kwargs:
        raise ProbeError(
            f"'{spec}' returned {kind_of(made)} without arguments; expected a tensor, a tuple of "
            "positional arguments, a dict of keyword arguments, or a pair (tuple, dict)."
        )
    return ProbeBatch(args, kwargs, None, f"example input of {spec}")


def _arguments(made: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and keyword arguments; none for a thing that holds no arguments."""
    import torch

    if isinstance(made, torch.Tensor):
        return (made,), {}
    if isinstance(made, Mapping):
        return (), dict(made)
    if not isinstance(made, tuple | list):
        return (), {}
    if len(made) != 2 or not isinstance(made[1], Mapping):
        return tuple(made), {}
    positional = made[0] if isinstance(made[0], tuple | list) else (made[0],)
    return tuple(positional), dict(made[1])


def _by_name(
    source: str,
    named: NamedSizes,
    batch_size: int,
    generator: "torch.Generator",
    dtype: "torch.dtype",
    vocabulary: int | None,
) -> ProbeBatch:
    """Draw numbers from the source and tokens from their vocabularies, as keyword arguments."""
    numbers = {name: size_of(one) for name, one in named.items() if not isinstance(one, Tokens)}
    tokens = {name: one for name, one in named.items() if isinstance(one, Tokens)}
    _check_named(source, numbers, tokens, dtype, vocabulary)
    drawn = ProbeBatch((), {}, None, "")
    if numbers:
        kind = dtype if dtype.is_floating_point else "float32"  # "int" is said of the tokens
        drawn = make_batch(
            source,
            input_size=list(numbers.values()),
            batch_size=batch_size,
            generator=generator,
            dtype=kind,
        )
        batch_size = len(drawn.args[0])  # there are only so many digits
    if vocabulary is not None:
        tokens = {name: replace(one, vocabulary=vocabulary) for name, one in tokens.items()}
    made = dict(zip(numbers, drawn.args, strict=True))
    made |= {name: one.draw(batch_size, generator) for name, one in tokens.items()}
    said = {", ".join(numbers): drawn.description} if numbers else {}
    said |= {name: _uniform(one.vocabulary) for name, one in tokens.items()}
    description = "; ".join(f"{what} ({name})" for name, what in said.items())
    return ProbeBatch((), {name: made[name] for name in named}, drawn.labels, description)


def _noise(
    source: str,
    sizes: Sequence[Size],
    batch_size: int,
    generator: "torch.Generator",
    dtype: "torch.dtype",
) -> ProbeBatch:
    draw, description = _NOISES[source]
    tensors = tuple(draw(size, batch_size, generator).to(dtype) for size in sizes)
    white = [shape_text(size) for size in sizes if source == "pink" and not noise.positions(size)]
    remark = f" (equals gaussian noise at {', '.join(white)}: no spatial axis)" if white else ""
    return ProbeBatch(tensors, {}, None, description + remark)


def _tokens(
    sizes: Sequence[Size],
    batch_size: int,
    generator: "torch.Generator",
    dtype: "torch.dtype",
    vocabulary: int | None,
) -> ProbeBatch:
    if vocabulary is None or vocabulary < 1:
        raise ProbeError(
            f"Token ids need the size of the vocabulary, a positive number; got {vocabulary}. "
            "It is the number of rows of the model's first embedding (--vocab 1000)."
        )
    draw = functools.partial(noise.tokens, vocabulary=vocabulary)
    tensors = tuple(draw(size, batch_size, generator).to(dtype) for size in sizes)
    return ProbeBatch(tensors, {}, None, _uniform(vocabulary))


def _uniform(vocabulary: int) -> str:
    return f"uniform tokens of a vocabulary of {vocabulary}"


def _digits(
    sizes: Sequence[Size], batch_size: int, generator: "torch.Generator", dtype: "torch.dtype"
) -> ProbeBatch:
    if len(sizes) > 1:
        raise ProbeError(
            f"Digits fill one input; the model takes {len(sizes)}. Use 'gaussian', or a function "
            "that returns all of them (--example-input module.py:function)."
        )
    pictures, classes, made = draw_digits(sizes[0], batch_size, generator)
    remarks = ", ".join(remark for remark in (made, too_few(len(classes), batch_size)) if remark)
    return ProbeBatch((pictures.to(dtype),), {}, classes, f"digits ({remarks})")


def _check_request(sizes: Sequence[Size], batch_size: int, generator: "torch.Generator") -> None:
    if batch_size < 1:
        raise ProbeError(f"A batch of {batch_size} samples is empty; ask for 1 or more.")
    empty = [size for size in sizes if any(length < 1 for length in size)]
    if empty:
        raise ProbeError(
            f"An input of size {shape_text(empty[0])} is empty; expected positive numbers without "
            "the batch, such as 3,64,64."
        )
    if generator.device.type != "cpu":
        raise ProbeError(
            f"The probe's generator is on {generator.device}; expected one of the CPU, so that "
            "every machine draws the same input: torch.Generator()."
        )


def _check_drawn(
    source: str, sizes: Sequence[Size], dtype: "torch.dtype", vocabulary: int | None
) -> None:
    if source not in (*_NOISES, "digits"):
        nearest = did_you_mean(source, (*_NOISES, "digits"))
        raise ProbeError(f"'{source}' is no input.{nearest} Expected one of {', '.join(SOURCES)}.")
    if not sizes:
        raise ProbeError(
            f"The input '{source}' needs a size, and none is known: give it without the batch "
            "(-s 3,64,64), or write INPUT_SIZE = (3, 64, 64) into the file of the model."
        )
    if dtype.is_floating_point and vocabulary is not None:
        raise ProbeError(
            f"A vocabulary of {vocabulary} tokens was given for an input of {dtype}; "
            "token ids have the input type 'int'."
        )
    if source == "digits" and not dtype.is_floating_point:
        raise ProbeError(f"Digits are pictures, not {dtype} token ids; use 'gaussian' for those.")


def _check_named(
    source: str,
    numbers: Mapping[str, Size],
    tokens: Mapping[str, Tokens],
    dtype: "torch.dtype",
    vocabulary: int | None,
) -> None:
    """Refuse tokens where the inputs are numbers, and sources that the inputs cannot have."""
    import torch

    if not numbers:
        _check_drawn(source, [one.size for one in tokens.values()], torch.int64, vocabulary)
    if not tokens and (vocabulary is not None or not dtype.is_floating_point):
        raise ProbeError(
            f"Token ids were asked for, and the inputs ({', '.join(numbers)}) are numbers. Leave "
            "out the vocabulary and the type (--vocab, --input-dtype), or give the arguments "
            "yourself (--example-input module.py:function)."
        )


def _dtype(dtype: "torch.dtype | str") -> "torch.dtype":
    import torch

    name = str(dtype).removeprefix("torch.")
    options = (*_FLOATS, *_INTEGERS)
    if name not in options:
        raise ProbeError(
            f"'{name}' is no type of input.{did_you_mean(name, options)} "
            f"Expected one of {', '.join(options)}."
        )
    found: torch.dtype = getattr(torch, _INTEGERS.get(name, name))
    return found
