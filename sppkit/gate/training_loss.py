"""A loss as training would have it, for networks whose loss nobody has named.

Gradients under a real loss say more of trainability than any other statistic: their scale is that
of training, which the unit gradient's is not.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)

from sppkit.capture.calls.places import tensors_in
from sppkit.gate.outputs import as_real, describe_output, trained_outputs
from sppkit.probing.losses import Loss, loss_name, random_stream

CROSS_ENTROPY = "cross-entropy"
MEAN_SQUARE = "mean square"
OWN = "the model's own"

_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Part:
    """The loss on one output.

    Attributes:
        path: of the output in what the model returned.
        kind: `CROSS_ENTROPY`, `MEAN_SQUARE`, `OWN` or the name of the user's function.
        classes: of a cross-entropy, else 0.
        labels: "real", "random" or "none".
        chance: the loss of an answer that holds no information; None where it is not known.
        value: the loss.
    """

    path: str
    kind: str
    classes: int
    labels: str
    chance: float | None
    value: float


class TrainingLoss:
    """Put a loss on each trained output, and remember what it was.

    An output with two or more channels is taken for logits (or probabilities) of classes along its
    channel axis: cross-entropy, averaged over samples and positions. One with a single channel is
    taken for a regression: mean square. Numbers without an axis are losses of the model's own.
    Labels are those of the input where they fit; else classes are drawn uniformly and targets from
    N(0, 1), with a generator of their own.

    Args:
        seed: of random labels.
        axes: channel axis of each output, where it is known.
        function: the user's loss, a function of output and labels, in place of all this.
    """

    def __init__(
        self, seed: int, axes: Mapping[str, int | None], function: Loss | None = None
    ) -> None:
        self.__name__ = CROSS_ENTROPY if function is None else loss_name(function)
        self.parts: list[Part] = []
        self.output: dict[str, float] = {}
        self._generator = random_stream(seed, "labels")
        self._axes = axes
        self._function = function

    @property
    def value(self) -> float:
        """The whole loss."""
        return math.fsum(part.value for part in self.parts)

    def __call__(self, output: Any, labels: torch.Tensor | None) -> torch.Tensor:
        """Compute the loss of an output."""
        trained = trained_outputs(output)
        self.output = describe_output((trained or list(tensors_in(output)))[0][1])
        if self._function is not None:
            return self._of_user(self._function, output, labels)
        if not trained:
            return torch.zeros(())
        losses = [self._of_output(path, tensor, labels) for path, tensor in trained]
        return torch.stack([loss.float() for loss in losses]).sum()

    def describe(self) -> dict[str, Any]:
        """State the loss for the metadata: of all outputs together, and of each."""
        chances = [part.chance for part in self.parts]
        known = [chance for chance in chances if chance is not None]
        return {
            "kind": _listed(part.kind for part in self.parts),
            "labels": _listed(part.labels for part in self.parts),
            "classes": next((part.classes for part in self.parts if part.classes), 0),
            "chance": math.fsum(known) if len(known) == len(chances) > 0 else None,
            "outputs": [
                {key: entry for key, entry in asdict(part).items() if key != "value"}
                for part in self.parts
            ],
        }

    def _of_user(self, function: Loss, output: Any, labels: torch.Tensor | None) -> torch.Tensor:
        loss = function(output, labels)
        given = "none" if labels is None else "real"
        self.parts.append(Part("", self.__name__, 0, given, None, float(loss.detach())))
        return loss

    def _of_output(
        self, path: str, output: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        if output.dim() == 0:
            self.parts.append(Part(path, OWN, 0, "none", None, float(output.detach())))
            return output
        axis = _class_axis(output, self._axes.get(path))
        if axis is None:
            return self._mean_square(path, as_real(output), labels)
        return self._cross_entropy(path, output.movedim(axis, -1), labels)

    def _cross_entropy(
        self, path: str, logits: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        classes, shape = logits.shape[-1], logits.shape[:-1]
        real = _fitting_classes(labels, shape, classes)
        drawn = torch.randint(classes, tuple(shape), generator=self._generator)
        targets = (drawn if real is None else real).to(logits.device).flatten()
        loss = negative_log_likelihood(logits.float().flatten(0, -2), targets)
        kind = "random" if real is None else "real"
        value = float(loss.detach())
        self.parts.append(Part(path, CROSS_ENTROPY, classes, kind, math.log(classes), value))
        return loss

    def _mean_square(
        self, path: str, output: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        is_real = labels is not None and labels.shape == output.shape and labels.is_floating_point()
        drawn = torch.randn(tuple(output.shape), generator=self._generator)
        targets = (labels if is_real and labels is not None else drawn).to(output.device)
        loss = F.mse_loss(output.float(), targets.float())
        chance, value = float(targets.float().square().mean()), float(loss.detach())
        kind = "real" if is_real else "random"
        self.parts.append(Part(path, MEAN_SQUARE, 0, kind, chance, value))
        return loss


def _listed(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words)) or "none"


def _class_axis(output: torch.Tensor, known: int | None) -> int | None:
    """Find the axis of two or more classes: the traced one, else that of torch's own losses."""
    if output.is_nested or output.is_complex() or output.layout != torch.strided:
        return None
    usual = {1: None, 2: 1, 3: 2}.get(output.dim(), 1)
    axis = known if known else usual
    return axis if axis is not None and output.shape[axis] > 1 else None


def _fitting_classes(
    labels: torch.Tensor | None, shape: torch.Size, classes: int
) -> torch.Tensor | None:
    """Return the labels where they are one class for each prediction."""
    if labels is None or labels.is_floating_point() or labels.numel() != shape.numel():
        return None
    fit = labels.shape[:1] == shape[:1] and int(labels.min()) >= 0 and int(labels.max()) < classes
    return labels.long() if fit else None


def negative_log_likelihood(rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Apply the cross-entropy to logits, log-probabilities (their own softmax) or probabilities."""
    if _are_probabilities(rows.detach()):
        return F.nll_loss(rows.clamp_min(_SMALLEST_PROBABILITY).log(), targets)
    return F.cross_entropy(rows, targets)


def _are_probabilities(rows: torch.Tensor) -> bool:
    sums_to_one = (rows.sum(-1) - 1).abs().max() < 1e-3 if rows.numel() else False
    return bool(sums_to_one) and bool((rows >= 0).all())
