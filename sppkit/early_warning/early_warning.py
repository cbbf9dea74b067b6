"""`sppkit.EarlyWarning`: rules over a recording as it grows."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from sppkit.capture.recorder import Recorder
from sppkit.early_warning.event import Event
from sppkit.early_warning.rates import Rates
from sppkit.early_warning.watch import COOL_DOWN, SPACING, Watch
from sppkit.rules.finding import Severity

StopOn = Literal["never", "error", "warning"]

STOPS: Mapping[StopOn, frozenset[Severity]] = {
    "never": frozenset(),
    "error": frozenset({Severity.ERROR}),
    "warning": frozenset({Severity.ERROR, Severity.WARNING}),
}
"""The severities that a training stops on."""


class EarlyWarning:
    """Watch a recording as it grows, and warn before the loss tells.

    Ten rules look at every recorded step of training (docs/training.md lists them): parameters,
    activations and gradients that leave the course of the thirty looks before, steps that
    are large beside the weights, clipping that takes most of the gradient, gains of normalisation
    layers that drift, units that die, logits that grow, values near the end of their type, and
    numbers that are not finite. A fault is told once, at the first layer that has it, and again
    where it becomes an error, or comes back after `cool_down` steps. Rules that compare with
    earlier steps need ten looks.

    What it costs is a few calls of numpy for each recorded step: it looks at rows that were made
    anyway, so that a device is never asked for more. On a GPU these come some steps late.

    Args:
        recording: of `sppkit.record`, before or in its `with` block. Given the optimiser, its
            learning rates tell how large updates are.
        stop_on: from which severity on `should_stop` is true.
        select, ignore: codes of rules, or their beginnings.
        thresholds: code of a rule -> name of a threshold -> value.
        cool_down: steps without a fault after which it is told again.
        spacing: steps between two looks at a tensor, at least: where more is recorded, the rest is
            looked at for numbers that overflow alone. Thresholds were fitted to looks 10 steps
            apart.

    Attributes:
        events: all that was noticed.

    Raises:
        ValueError: `stop_on` is none of the three, `cool_down` or `spacing` too small, a code or a
            threshold is unknown.
        TypeError: the recording is not one in the making.

    Example:
        >>> import torch, sppkit
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=2.0)  # far too high
        >>> x = torch.ones(8, 4)
        >>> with sppkit.record(model, optimizer=optimizer) as recording:
        ...     warning = sppkit.EarlyWarning(recording, stop_on="warning")
        ...     for step in range(100):
        ...         optimizer.zero_grad()
        ...         model(x).square().mean().backward()
        ...         optimizer.step()
        ...         if warning.should_stop:
        ...             break
        >>> warning.should_stop, warning.events[0].code
        (True, 'SPP608')
    """

    def __init__(
        self,
        recording: Recorder,
        *,
        stop_on: StopOn = "never",
        select: Iterable[str] = (),
        ignore: Iterable[str] = (),
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        cool_down: int = COOL_DOWN,
        spacing: int = SPACING,
    ) -> None:
        if not isinstance(recording, Recorder):
            raise TypeError(
                f"EarlyWarning watches a recording in the making, as sppkit.record returns it, not "
                f"{type(recording).__name__}"
            )
        if stop_on not in get_args(StopOn):
            raise ValueError(f"stop_on={stop_on!r} must be one of {', '.join(get_args(StopOn))}")
        self._watch = Watch(select, ignore, thresholds or {}, cool_down=cool_down, spacing=spacing)
        self._stops = STOPS[stop_on]
        self._told = 0
        self.events: list[Event] = []
        self._rates = Rates(recording.model, recording.optimizer)
        recording.listen(self._hear)

    def _hear(self, columns: Mapping[str, Any]) -> None:
        self.events += self._watch.look(columns, self._rates.now())

    @property
    def should_stop(self) -> bool:
        """Whether something was noticed that training is to stop on."""
        return any(event.severity in self._stops for event in self.events)

    def new_events(self) -> list[Event]:
        """Give the events since this was last called."""
        new, self._told = self.events[self._told :], len(self.events)
        return new

    @property
    def not_measured(self) -> dict[str, str]:
        """Why rules have had nothing to look at so far, by their codes: they have not passed."""
        return self._watch.not_measured

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed training needs to warn as if it had not been interrupted.

        Numbers, texts and lists of them, for a checkpoint. On a GPU call `recording.flush()`
        before, so that all rows have come.
        """
        return {
            "watch": self._watch.state(),
            "events": [event.as_dict() for event in self.events],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Its events are not new.

        Raises:
            ValueError: it is none of an early warning.
        """
        try:
            self._watch.restore(state["watch"])
            self.events = [
                Event(**{**event, "severity": Severity(event["severity"])})
                for event in state["events"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"this is no state of an early warning of this version of sppkit: {error!r}. Give "
                "what state_dict() returned, or go on without."
            ) from error
        self._told = len(self.events)

    def __repr__(self) -> str:
        """Say how it stands."""
        counted = f"{len(self.events)} event{'s' * (len(self.events) != 1)}"
        return f"EarlyWarning({counted}, {len(self.not_measured)} rules with nothing to look at)"
