"""Read what an optimiser's step changed: the only signal that needs a copy of the parameters."""

import torch

from sppkit.capture.calls.places import Point
from sppkit.capture.planning.parameters import parameter_readings
from sppkit.capture.steps.session import Session
from sppkit.capture.tensors.readable import readable
from sppkit.capture.tensors.sharding import is_distributed_tensor, local_values
from sppkit.signals import Signal


class Updates:
    """The parameters before a step, in buffers that are used again at the next recorded step.

    Attributes:
        unread: updates that are not read, and why, by parameter and signal.
        is_waiting: whether parameters are remembered whose difference is still to be taken.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: dict[Point, torch.Tensor] = {}
        self.unread: dict[tuple[str, str], str] = {}
        self.is_waiting = False

    @torch.no_grad()
    def remember(self) -> None:
        """Copy the parameters."""
        self.is_waiting = True
        for point, parameter, _ in self._parameters():
            before = self._before.get(point)
            if before is None or before.shape != parameter.shape:
                self._before[point] = parameter.detach().clone()
            else:
                before.copy_(parameter)

    @torch.no_grad()
    def differences(self) -> list[tuple[Point, torch.Tensor, int | None]]:
        """Give what the step added to each parameter, in the place of the copies."""
        self.is_waiting = False
        changes = []
        for point, parameter, axis in self._parameters():
            before = self._before[point]
            torch.sub(parameter, before, out=before)
            changes.append((Point(point.place, Signal.UPDATE), before, axis))
        return changes

    def forget(self) -> None:
        """Let go of the copies."""
        self._before.clear()
        self.is_waiting = False

    def _parameters(self) -> list[tuple[Point, torch.Tensor, int | None]]:
        weights = parameter_readings(
            self._session.model, frozenset({Signal.WEIGHT}), self._session.options.layer
        )
        return [
            (point, tensor, axis)
            for point, tensor, axis, alias in weights
            if alias is None
            and isinstance(tensor, torch.Tensor)
            and self._is_read(point, tensor, axis)
        ]

    def _is_read(self, point: Point, parameter: torch.Tensor, axis: int | None) -> bool:
        """Say whether the update of a parameter is read; note the reason where it is not."""
        found = readable(local_values(parameter), axis, of_units=True)
        reason = found if isinstance(found, str) else ""
        if is_distributed_tensor(parameter):
            reason = "updates of sharded parameters are not read"
        if reason:
            self.unread[f"{point.place.layer}.{point.place.tensor}", Signal.UPDATE] = reason
        return not reason
