"""Tell MLflow of a recording.

MLflowTracker().follow(recording)
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sppkit.early_warning.event import Event
from sppkit.integrations.libraries import library
from sppkit.integrations.tracker import FIGURE, Tracker, run_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVENTS = "spp/events.json"
"""The artifact that lists all early warnings of a run."""

_LONGEST_TAG = 500


class MLflowTracker(Tracker):
    """Write scalars (as metrics), figures and early warnings into a run of MLflow.

    Metrics of a recorded step go in one call. Figures are the artifacts
    ``spp/signal_propagation/step-000000.png``. MLflow has no alerts: an early warning is a tag of
    the run, ``spp.SPP608``, with what was said last, and all of them are in ``spp/events.json``.

    Args:
        run_id: of the run; by default the active one of `mlflow.start_run`.
        client: an `MlflowClient` (``logger.experiment`` of Lightning's); by default one of
            the tracking address that mlflow is set to.
        options: of `sppkit.integrations.tracker.Tracker`.

    Raises:
        LibraryError: mlflow is missing.
        ValueError: a pattern of `scalars` matches nothing that there is.
    """

    def __init__(self, run_id: str | None = None, client: Any = None, **options: Any) -> None:
        library("mlflow", "mlflow")
        super().__init__(**options)
        self._given_run, self._given_client = run_id, client
        self._run_id = ""
        self._client: Any = None
        self._events: list[dict[str, Any]] = []

    def _open(self) -> None:
        mlflow = library("mlflow", "mlflow")
        active = mlflow.active_run()
        found = self._given_run or (active.info.run_id if active else None)
        self._run_id = run_of(found, "MLflow", "call mlflow.start_run() first, or give run_id=")
        self._client = self._given_client or mlflow.MlflowClient()
        self._events = []

    def _write_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        metric = library("mlflow.entities", "mlflow").Metric
        metrics = [metric(name, value, now, step) for name, value in scalars.items()]
        for first in range(0, len(metrics), 1000):  # the most that MLflow takes at once
            self._client.log_batch(self._run_id, metrics=metrics[first : first + 1000])

    def _write_figure(self, name: str, figure: "Figure", step: int) -> None:
        self._client.log_figure(self._run_id, figure, f"{FIGURE}/step-{step:06d}.png")

    def _write_event(self, event: Event) -> None:
        said = f"step {event.step}: {event.severity}: {event.message}"
        self._client.set_tag(self._run_id, f"spp.{event.code}", said[:_LONGEST_TAG])
        self._events.append(event.as_dict())
        self._client.log_dict(self._run_id, {"events": self._events}, EVENTS)
