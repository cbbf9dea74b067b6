"""The recording that a check judges: two probes of every seed, side by side in one run.

The phase "probe" starts from the unit gradient and gives the curves; the phase "loss" starts from a
training loss and gives the gradients as training would have them. Input, weights and dropout masks
of the two are the same, so the second reads no activations again. Of the first seeds of a small
classifier the metadata say how a rehearsal of training went.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from sppkit.capture.planning.options import Options
from sppkit.capture.tensors.masks import MaskFunction
from sppkit.errors import SppkitError
from sppkit.gate.alike import alike_from, are_alike
from sppkit.gate.heads import awake, silent_heads
from sppkit.gate.rehearsals import Rehearsals
from sppkit.gate.training_loss import TrainingLoss
from sppkit.inputs import NamedSizes
from sppkit.patterns import Patterns
from sppkit.probing.conditions import Conditions, Input, Sizes, as_sizes, as_source, check
from sppkit.probing.losses import Loss
from sppkit.probing.measurement import DEFAULT_BATCH_SIZE, Measurement, Model, Pass, Traced
from sppkit.recording import Recording, not_captured_entry
from sppkit.signals import Phase, Signal

MOST_MULTIPLICATIONS = 2**35
"""In one forward pass of the default batch: a few seconds for both passes on two cores."""

CURVES = frozenset({Signal.ACTIVATION, Signal.GRADIENT, Signal.WEIGHT, Signal.EFFECTIVE_WEIGHT})
UNDER_LOSS = frozenset({Signal.GRADIENT, Signal.WEIGHT_GRADIENT, Signal.WEIGHT})

_ADVICE = "A network whose backward pass fails cannot be trained; mend it first."

OnSeed = Callable[[int], None]


class EvidenceProbe:
    """Probe a network seed by seed; seeds that fail are kept aside.

    Args:
        model: a module, or a function that builds one.
        input_size, input, batch_size, input_dtype, vocabulary, mode, device, amp, activate,
        include, exclude, channel_axis, blocks, residual_branches, stem, mask, run: as in
            `sppkit.probe`.
        loss: a function of output and labels; None takes one that fits the outputs.
        rehearsal: whether small classifiers are trained for a moment, with the first two seeds; a
            number is that of the seeds. See `sppkit.gate.rehearsal`.

    Raises:
        TypeError: the loss is no function.
    """

    def __init__(
        self,
        model: Model,
        *,
        input_size: tuple[int, ...] | Sizes | NamedSizes | None = None,
        input: Input = "gaussian",
        batch_size: int | None = None,
        input_dtype: str = "float32",
        vocabulary: int | None = None,
        mode: Literal["train", "eval"] = "train",
        loss: Loss | None = None,
        rehearsal: bool | int = True,
        device: str | None = None,
        amp: Literal["off", "bf16", "fp16"] = "off",
        activate: bool = False,
        include: Patterns | None = None,
        exclude: Patterns | None = None,
        channel_axis: Mapping[str, int] | None = None,
        blocks: Patterns | None = None,
        residual_branches: Patterns | None = None,
        stem: Patterns | None = None,
        mask: MaskFunction | None = None,
        run: str | None = None,
    ) -> None:
        if loss is not None and not callable(loss):
            raise TypeError(
                f"loss must be a function of output and labels, not {loss!r}; leave it out to have "
                "one chosen by the outputs"
            )
        self.conditions = Conditions(
            input=as_source(input),
            input_size=as_sizes(input_size),
            input_dtype=input_dtype,
            vocabulary=vocabulary,
            batch_size=batch_size,
            mode=mode,
            device=device,
            amp=amp,
            activate=activate,
        )
        options = Options(
            signals=CURVES,
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
        self.failed: dict[int, SppkitError] = {}
        self.is_instance = isinstance(model, nn.Module)
        self._function = loss
        self._losses: dict[int, TrainingLoss] = {}
        self._woken: list[str] = []
        self._alike = ""
        self._rehearsals = Rehearsals(self.conditions, rehearsal, has_loss=loss is not None)
        under_loss = replace(options, signals=UNDER_LOSS, phase=Phase.LOSS)
        passes = [
            Pass(options, lambda *_: "unit-gradient", _ADVICE),
            Pass(under_loss, self._training_loss, _ADVICE),
        ]
        self._measurement = Measurement(
            *(model, self.conditions, passes, run),
            most_multiplications=MOST_MULTIPLICATIONS,
            circumstances=self._circumstances,
        )
        self.run = self._measurement.run

    def measure(self, seeds: Iterable[int], on_seed: OnSeed | None = None) -> None:
        """Probe seeds.

        Raises:
            ProbeError: every seed has failed, or the first two in the same words; the error is that
                of the first.
        """
        check(self.conditions, 1, 0)
        for seed in seeds:
            try:
                self._measurement.measure(seed)
            except SppkitError as error:
                self.failed[seed] = error
            if self._is_hopeless():
                break
            if on_seed:
                on_seed(seed)
        if not self._measurement.seeds:
            raise next(iter(self.failed.values()))

    def _is_hopeless(self) -> bool:
        several = len(self.failed) > 1 and not self._measurement.seeds
        return several and len({str(error) for error in self.failed.values()}) == 1

    def recording(self) -> Recording:
        """Join the seeds measured so far."""
        recording = self._measurement.recording()
        run = self._measurement.run
        metadata = recording.metadata[run]
        metadata |= self._stated()
        metadata["not_captured"] = [*metadata["not_captured"], *self._said_of_failed(run)]
        table = recording.table()
        shown = (table["phase"] == Phase.LOSS) & (table["signal"] == Signal.WEIGHT)  # by the probe
        kept = table[~shown].reset_index(drop=True)
        return Recording.from_frames(kept, recording.structure(), recording.metadata)

    @property
    def has_one_initialisation(self) -> bool:
        """Whether all seeds share their weights."""
        return self._measurement.has_one_initialisation

    def _training_loss(self, seed: int, traced: Traced) -> TrainingLoss:
        axes = {
            place.tensor: axis
            for place, axis in traced.plan.axes.items()
            if place.layer == "" and not place.operation
        }
        self._losses[seed] = TrainingLoss(seed, axes, self._function)
        return self._losses[seed]

    @contextmanager
    def _circumstances(self, model: nn.Module, seed: int, traced: Traced) -> Iterator[None]:
        """Wake the heads while a seed is measured; afterwards rehearse its training."""
        names = silent_heads(model, traced.graph)
        self._woken = list(dict.fromkeys([*self._woken, *names]))
        with awake(model, names, seed):
            yield
            self._find_alike(model, seed)
        self._rehearsals.try_seed(model, seed, traced.multiplications)

    def _find_alike(self, model: nn.Module, seed: int) -> None:
        """Look, once, for the layer that makes all samples alike, where the output is."""
        output = self._losses[seed].output
        if self._alike or not output or not are_alike(**output):
            return
        batch = self.conditions.batch(seed, self.conditions.batch_size or DEFAULT_BATCH_SIZE)
        self._alike = alike_from(model, batch)

    def _stated(self) -> dict[str, Any]:
        """List for the metadata what a check knows beside a probe."""
        losses = {seed: self._losses[seed] for seed in self._measurement.seeds}
        first = next(iter(losses.values()))
        values = {str(seed): loss.value for seed, loss in losses.items() if loss.parts}
        return {
            "loss": {**first.describe(), "values": values},
            "output": {str(seed): loss.output for seed, loss in losses.items()},
            "initialisations": "one" if self.has_one_initialisation else "one per seed",
            "rehearsal": self._rehearsals.stated(),
            "failed_seeds": {str(seed): str(error) for seed, error in self.failed.items()},
            **({"woken_head": self._woken} if self._woken else {}),
            **({"alike_from": self._alike} if self._alike else {}),
        }

    def _said_of_failed(self, run: str) -> list[dict[str, str]]:
        return [
            not_captured_entry(run, "", "", f"seed {seed} failed: {error}")
            for seed, error in self.failed.items()
        ]


def record_evidence(
    model: Model,
    *,
    seeds: int = 5,
    seed: int = 0,
    on_seed: OnSeed | None = None,
    **conditions: Any,
) -> Recording:
    """Record the evidence that `check` judges: both probes of every seed, and judge nothing.

    Args:
        model: a module, or a function (or class) without arguments that builds one.
        seeds, seed: number of seeds, and the first one.
        on_seed: is called with each seed when it is done.
        **conditions: as in `check`.

    Returns:
        A recording of one run. The phase "probe" holds activations, gradients of the unit gradient
        and weights; the phase "loss" holds gradients and weight gradients of the training loss.

    Raises:
        ProbeError: the model could not be measured for any seed.
        ValueError: an argument is out of its range.
    """
    probe = EvidenceProbe(model, **conditions)
    check(probe.conditions, seeds, seed)
    probe.measure(range(seed, seed + seeds), on_seed)
    return probe.recording()
