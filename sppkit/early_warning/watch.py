"""Ask every rule about each step, and turn what they see into few events."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sppkit.early_warning.catalogue import WARNING_RULES
from sppkit.early_warning.event import Event
from sppkit.early_warning.history import History
from sppkit.early_warning.moment import Moment, Rate
from sppkit.early_warning.rule import Sight, WarningRule
from sppkit.early_warning.series import Array, Series
from sppkit.rules.finding import Severity
from sppkit.rules.selection import selected, with_thresholds
from sppkit.signals import Phase

COOL_DOWN = 100
"""Steps without a fault after which it is told again."""

SPACING = 10
"""Steps between two looks at a tensor, at least: thresholds are fitted to these."""

_SEVERE_SHARE = 0.5
"""Of the tensors at fault, so many must be severely so for an error."""


@dataclass
class _Fault:
    """A fault that lasts: when it was seen last, and how severe it was told to be."""

    seen: int
    severity: Severity


class Watch:
    """Rules, and what they remember.

    Args:
        select, ignore: codes of rules, or their beginnings.
        thresholds: code of a rule -> name of a threshold -> value.
        cool_down: steps without a fault after which it is told again.
        spacing: steps between two looks at a tensor, at least, of rules that do not look always.

    Raises:
        ValueError: a code or a threshold is unknown, `cool_down` negative, or `spacing` below 1.
    """

    def __init__(
        self,
        select: Iterable[str] = (),
        ignore: Iterable[str] = (),
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        *,
        cool_down: int = COOL_DOWN,
        spacing: int = SPACING,
    ) -> None:
        if spacing < 1:
            raise ValueError(f"spacing={spacing!r} must be 1 step or more")
        if cool_down < 0:
            raise ValueError(f"cool_down={cool_down!r} must be 0 steps or more")
        rules = with_thresholds(WARNING_RULES, thresholds or {})
        self.rules: tuple[WarningRule, ...] = selected(rules, select, ignore)
        self._cool_down, self._spacing = cool_down, spacing
        self._series, self._history = Series(), History()
        self._streaks = {rule.code: np.zeros(0, dtype=int) for rule in self.rules}
        self._faults: dict[str, _Fault] = {}
        self._looked: set[str] = set()

    def look(self, columns: Mapping[str, Any], rates: Mapping[str, Rate]) -> list[Event]:
        """Look at a block of rows of one step; rows of evaluations are passed over."""
        whole = Moment(
            step=int(columns["step"]),
            labels=self._series.labels_of(columns),
            columns=columns,
            history=self._history,
            rates=rates,
        ).of_rows(np.asarray(columns["phase"]) == str(Phase.TRAIN))
        numbers = whole.labels.numbers
        due = whole.of_rows(self._history.is_due(numbers, whole.step, self._spacing))
        events = [
            event
            for rule in self.rules
            for event in self._ask(rule, whole if rule.looks_always else due)
        ]
        dead = due.statistic("dead_channel_fraction")
        self._history.push(due.step, due.labels.numbers, due.logarithms, dead)
        return events

    @property
    def not_measured(self) -> dict[str, str]:
        """Why rules have had nothing to look at."""
        return {r.code: r.unmeasured for r in self.rules if r.code not in self._looked}

    # ---------------------------------------------------------------------------- one rule

    def _ask(self, rule: WarningRule, moment: Moment) -> Iterator[Event]:
        sight = rule.look(moment) if len(moment.labels.numbers) else None
        if sight is None:
            return
        self._looked.add(rule.code)
        at_fault = self._persistent(rule, sight, moment.labels.numbers[sight.rows])
        if not at_fault.any() or at_fault.mean() < rule.share:
            return
        severity = rule.severity
        if sight.is_severe[at_fault].mean() >= _SEVERE_SHARE:
            severity = Severity.ERROR
        if self._is_news(rule.code, moment.step, severity):
            yield _event(rule, moment, sight, at_fault, severity)

    def _persistent(self, rule: WarningRule, sight: Sight, numbers: Array) -> Array:
        """Count for how many recorded steps each row has been beyond the threshold."""
        streaks = self._streaks[rule.code]
        lacking = len(self._series) - len(streaks)
        if lacking:
            streaks = self._streaks[rule.code] = np.pad(streaks, (0, lacking))
        streaks[numbers] = np.where(sight.is_over, streaks[numbers] + 1, 0)
        found: Array = streaks[numbers] >= rule.patience
        return found

    def _is_news(self, code: str, step: int, severity: Severity) -> bool:
        """Say whether a fault is to be told: a new one, or one that has become an error."""
        known = self._faults.get(code)
        lasts = known is not None and step - known.seen <= self._cool_down
        if known is not None and lasts:
            known.seen = step
            if known.severity is Severity.ERROR or severity is not Severity.ERROR:
                return False
        self._faults[code] = _Fault(step, severity)
        return True

    # -------------------------------------------------------------------------------- state

    def state(self) -> dict[str, Any]:
        """Give all that the next steps depend on: numbers, texts, and lists of them."""
        return {
            "series": self._series.state(),
            "history": self._history.state(),
            "streaks": {code: streaks.tolist() for code, streaks in self._streaks.items()},
            "faults": {code: [f.seen, str(f.severity)] for code, f in self._faults.items()},
            "looked": sorted(self._looked),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self._series = Series.of_state(state["series"])
        self._history = History.of_state(state["history"])
        streaks = {code: np.array(counts, dtype=int) for code, counts in state["streaks"].items()}
        empty = np.zeros(0, dtype=int)
        self._streaks = {rule.code: streaks.get(rule.code, empty) for rule in self.rules}
        self._faults = {
            code: _Fault(int(seen), Severity(severity))
            for code, (seen, severity) in state["faults"].items()
        }
        self._looked = set(state["looked"])


def _event(
    rule: WarningRule, moment: Moment, sight: Sight, at_fault: Array, severity: Severity
) -> Event:
    """Name the first layer in the order of execution, and count the others."""
    depths = moment.labels["depth"][sight.rows]
    first = min(np.flatnonzero(at_fault), key=lambda row: (depths[row], row))
    labels = moment.labels
    label = labels.series.labels[labels.numbers[sight.rows[first]]]
    measured = float(sight.measured[first])
    place = label.parameter if label.tensor else label.layer
    affected, looked_at = int(at_fault.sum()), len(at_fault)
    return Event(
        step=moment.step,
        kind=rule.title,
        severity=severity,
        layer=label.layer,
        message=f"{rule.title}: at {repr(place) if place else 'the output'} {rule.say(measured)} "
        f"({affected} of {looked_at} {_plural(label.signal, looked_at)})",
        advice=rule.advice.splitlines()[0],
        evidence={
            "code": rule.code,
            "signal": label.signal,
            "tensor": label.tensor,
            "statistic": rule.statistic,
            "measured": measured,
            "expected": rule.expected,
            "affected": affected,
            "looked_at": looked_at,
        },
    )


def _plural(signal: str, count: int) -> str:
    return f"{signal}s" if count != 1 else signal
