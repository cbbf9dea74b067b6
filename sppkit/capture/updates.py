"""Read what an optimiser's step changed: the only signal that needs a copy of the parameters."""

import torch

from sppkit.capture.options import Options
from sppkit.capture.parameters import parameter_readings
from sppkit.capture.places import Point
from sppkit.capture.readable import readable
from sppkit.capture.session import Session
from sppkit.capture.sharding import is_distributed_tensor
from sppkit.signals import Signal


class Updates:
    """The parameters before a step, in buffers that are used again at the next recorded step."""

    def __init__(self, session: Session, options: Options) -> None:
        self._session, self._options = session, options
        self._before: dict[Point, torch.Tensor] = {}

    @torch.no_grad()
    def remember(self) -> None:
        """Copy the parameters."""
        for point, parameter, _ in self._parameters():
            before = self._before.get(point)
            if before is None or before.shape != parameter.shape:
                self._before[point] = parameter.detach().clone()
            else:
                before.copy_(parameter)

    @torch.no_grad()
    def differences(self) -> list[tuple[Point, torch.Tensor, int | None]]:
        """Give what the step added to each parameter, in the place of the copies."""
        changes = []
        for point, parameter, axis in self._parameters():
            before = self._before[point]
            torch.sub(parameter, before, out=before)
            changes.append((Point(point.place, Signal.UPDATE), before, axis))
        return changes

    def _parameters(self) -> list[tuple[Point, torch.Tensor, int | None]]:
        weights = parameter_readings(
            self._session.model, frozenset({Signal.WEIGHT}), self._options.layer
        )
        return [
            (point, tensor, axis)
            for point, tensor, axis, alias in weights
            if alias is None
            and isinstance(tensor, torch.Tensor)
            and not is_distributed_tensor(tensor)
            and not isinstance(readable(tensor, axis, of_units=True), str)
        ]
