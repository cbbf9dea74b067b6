"""`sppkit.probe`: measure a network at initialisation, over several seeds, and leave no trace.

One seed is: build the network, make a batch, run forward and backward once while recording. The
first seed is preceded by one traced forward on two samples, which makes the plan of all of them.
`measurement` does it, `conditions` says under what, `execution` runs the user's code, `losses`
starts the backward pass.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from sppkit.capture.planning.options import Options, make_signals
from sppkit.capture.tensors.masks import MaskFunction
from sppkit.inputs import NamedSizes
from sppkit.patterns import Patterns
from sppkit.probing.batch_dependence import batch_dependence
from sppkit.probing.conditions import Conditions, Input, Sizes, as_sizes, as_source, check
from sppkit.probing.losses import Loss
from sppkit.probing.measurement import Measurement, Model, Pass
from sppkit.recording import Recording
from sppkit.signals import DEFAULT_SIGNALS, Phase, Signal

__all__ = ["Model", "batch_dependence", "probe"]


def probe(
    model: Model,
    *,
    input_size: tuple[int, ...] | Sizes | NamedSizes | None = None,
    input: Input = "gaussian",
    batch_size: int | None = None,
    input_dtype: str = "float32",
    vocabulary: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    mode: Literal["train", "eval"] = "train",
    loss: str | Loss = "unit-gradient",
    device: str | None = None,
    amp: Literal["off", "bf16", "fp16"] = "off",
    activate: bool = False,
    signals: tuple[Signal | str, ...] = DEFAULT_SIGNALS,
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    channel_axis: Mapping[str, int] | None = None,
    blocks: Patterns | None = None,
    residual_branches: Patterns | None = None,
    stem: Patterns | None = None,
    mask: MaskFunction | None = None,
    run: str | None = None,
    on_seed: Callable[[int], None] | None = None,
) -> Recording:
    """Measure a network at initialisation: one forward and backward pass per seed.

    The backward pass of the loss "unit-gradient" starts from a fixed random cotangent of unit
    variance at every output, so that gradient curves do not depend on a loss. A model that is
    handed over as an instance is left exactly as it was found; its weights are then the same for
    all seeds, which vary the input only. A factory gets new weights with every seed.

    Args:
        model: a module, or a function (or class) without arguments that builds one.
        input_size: size of the input without the batch, such as (3, 64, 64); several for several
            inputs, by name where they are keyword arguments (`sppkit.inputs.Tokens` among them).
            Not needed where `input` has a size of its own.
        input: "gaussian", "uniform", "pink" (1/f noise), "digits" (real images), a file, a tensor,
            a tuple of positional or a dict of keyword arguments, or a function returning one.
        batch_size: samples; by default 16, or fewer for large networks.
        input_dtype, vocabulary: "int" with a vocabulary draws tokens.
        seeds, seed: number of seeds, and the first one.
        mode: "train" (batch statistics in BatchNorm; buffers are restored) or "eval".
        loss: "unit-gradient", "cross-entropy" (labels are random where the input has none), or a
            function of the model's output and the labels.
        device, amp: where and in which precision to run.
        activate: set zero-initialised residual gains to one while measuring.
        signals, include, exclude, channel_axis, blocks, residual_branches, stem, mask: as in
            `record`.
        run: name of the run; by default the model's class or the factory's name.
        on_seed: is called with each seed when it is done, for a progress bar.

    Returns:
        The recording, with the extended statistics, in the phase "probe".

    Raises:
        ProbeError: the model cannot be built or run on this input, or returns no tensor.
        ValueError: an argument is out of its range, or a pattern matches no layer.

    Examples:
        >>> import torch, sppkit
        >>> recording = sppkit.probe(lambda: torch.nn.Linear(64, 64), input_size=(64,), seeds=2)
        >>> variances = recording.table().query("signal == 'activation'")["variance"]
        >>> bool(variances.between(0.25, 0.45).all())  # a third: Linear draws U(-1/8, 1/8)
        True
    """
    conditions = Conditions(
        input=as_source(input),
        input_size=as_sizes(input_size),
        input_dtype=input_dtype,
        vocabulary=vocabulary,
        batch_size=batch_size,
        mode=mode,
        loss=loss,
        device=device,
        amp=amp,
        activate=activate,
    )
    check(conditions, seeds, seed)
    options = Options(
        signals=make_signals(signals),
        include=include,
        exclude=exclude,
        channel_axis=dict(channel_axis or {}),
        blocks=blocks,
        residual_branches=residual_branches,
        stem=stem,
        mask=mask,
        extended=True,
        phase=Phase.PROBE,
    )
    measurement = Measurement(model, conditions, [Pass(options, lambda *_: loss)], run)
    for each in range(seed, seed + seeds):
        measurement.measure(each)
        if on_seed:
            on_seed(each)
    return measurement.recording()
