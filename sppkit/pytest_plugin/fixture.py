"""What the fixture `spp` offers to a test."""

import hashlib
import inspect
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sppkit.pytest_plugin.options import MEASURED, Options

if TYPE_CHECKING:
    from sppkit.recording import Recording
    from sppkit.rules import Diagnosis

_LONGEST_NAME = 120


class Spp:
    """Measure networks in a test, with the options of its marker.

        @pytest.mark.spp(seeds=5, input_size=(3, 64, 64))
        def test_the_network_carries_its_signal(spp):
            spp.assert_preserving(Net)

    Arguments of a call come before those of the marker. The nearest marker counts: that of a test
    before that of its class or module.
    """

    def __init__(
        self, item: pytest.Item, options: Options, temporary: pytest.TempPathFactory
    ) -> None:
        self._item = item
        self._options = options
        self._temporary = temporary
        self._calls = 0

    def probe(self, model: Any, **options: Any) -> "Recording":
        """Measure a network at initialisation, as `sppkit.probe`."""
        import sppkit

        recording = sppkit.probe(model, **self._with_marker(options, sppkit.probe))
        self._note("probe", recording.runs[0], "measured")
        return recording

    def check(self, model: Any, **options: Any) -> "Diagnosis":
        """Judge a network and fail nothing, as `sppkit.check`."""
        from sppkit.gate import check

        diagnosis = check(model, **self._with_marker(options))
        self._note("check", diagnosis.target, diagnosis.verdict, diagnosis.to_dict())
        return diagnosis

    def assert_preserving(
        self,
        model: Any,
        *,
        band: tuple[float, float] | None = None,
        statistic: str = "second_moment",
        fail_on: str = "error",
        **options: Any,
    ) -> "Diagnosis":
        """Assert that a network carries its signal, as `assert_variance_preserving`.

        A failure names the plot that was drawn: in the folder of --spp-results-path, else in
        pytest's temporary folder.

        Raises:
            AssertionError: it does not.
        """
        __tracebackhide__ = True
        from sppkit.gate import examine
        from sppkit.testing import Judged, check_band

        check_band(band)
        examination = examine(model, **self._with_marker(options))
        diagnosis = examination.diagnosis
        judged = Judged(examination.recording, diagnosis, band, statistic, fail_on)
        self._note(
            "assert_preserving",
            diagnosis.target,
            "pass" if judged.passed else "fail",
            diagnosis.to_dict(),
        )
        if not judged.passed:
            raise AssertionError(judged.explain(self._file(".png")))
        return diagnosis

    def check_baseline(
        self, model: Any, *, path: str | Path | None = None, sigmas: float = 3.0, **options: Any
    ) -> None:
        """Compare a network with its baseline; write that with --spp-update-baselines.

        Args:
            model: a module, or a function or class that builds one; or a recording.
            path: of the baseline, relative to the test's file; by default
                baselines/MODULE/TEST.parquet beside it.
            sigmas: standard deviations between seeds that no layer may move by.
            **options: arguments of `sppkit.probe`.

        Raises:
            AssertionError: layers moved, or there is no baseline.
            BaselineError: it is of another architecture, version or measurement.
        """
        __tracebackhide__ = True
        from sppkit.baselines import BaselineDrift, check_comparable, read_baseline, write_baseline
        from sppkit.recording import Recording

        place = self._baseline(path)
        if not self._options.update_baselines and not place.exists():
            raise AssertionError(
                f"there is no baseline {place}. Write it with: pytest --spp-update-baselines"
            )
        recording = model if isinstance(model, Recording) else self._probed(model, options)
        run = recording.runs[0]
        if self._options.update_baselines:
            write_baseline(recording, place)
            self._note("check_baseline", run, "updated")
            return
        golden = read_baseline(place)
        check_comparable(recording, golden)
        outcome = BaselineDrift(maximum_sigmas=sigmas).judge_against(golden, recording)
        self._note("check_baseline", run, "fail" if outcome.findings else "pass")
        if outcome.findings:
            finding = outcome.findings[0]
            raise AssertionError(
                f"{run} left its baseline {place}: {finding.message}\n"
                "If that is meant, write it again: pytest --spp-update-baselines"
            )

    def _probed(self, model: Any, options: dict[str, Any]) -> "Recording":
        import sppkit

        return sppkit.probe(model, **self._with_marker(options, sppkit.probe))

    @cached_property
    def _marked(self) -> dict[str, Any]:
        marker = self._item.get_closest_marker("spp")
        if marker is None:
            return {}
        if marker.args:
            raise pytest.UsageError(
                f"@pytest.mark.spp takes keywords alone, such as seeds=5; received {marker.args!r}"
            )
        return dict(marker.kwargs)

    def _with_marker(self, options: dict[str, Any], taker: Any = None) -> dict[str, Any]:
        """Add the marker's options; of those only the ones that a function takes."""
        marked = self._marked
        if taker is not None:
            known = inspect.signature(taker).parameters
            judging = {"maximum_seeds", "select", "ignore", "extend_select", "thresholds"}
            marked = {k: v for k, v in marked.items() if k in known or k not in judging}
        return {**marked, **options}

    def _baseline(self, path: str | Path | None) -> Path:
        folder, module = self._item.path.parent, self._item.path.stem
        return folder / (path or Path("baselines", module, f"{self._name}.parquet"))

    def _file(self, ending: str) -> Path:
        folder = self._options.results or self._temporary.mktemp("spp")
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self._item.path.stem}-{self._name}-{self._calls}{ending}"

    @property
    def _name(self) -> str:
        """The test's name as a file name; parameters that would collide keep apart by a digest."""
        name = self._item.nodeid.partition("::")[2] or self._item.name
        safe = re.sub(r"[^\w.-]+", "_", name).strip("_.-") or "test"
        if safe == name and len(safe) <= _LONGEST_NAME:
            return safe
        return f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    def _note(
        self, call: str, run: str, verdict: str, diagnosis: dict[str, Any] | None = None
    ) -> None:
        """Keep what was measured for the report, as plain data: it may go to another process."""
        self._calls += 1
        entry = {"call": call, "run": run, "verdict": verdict, "diagnosis": diagnosis}
        self._item.stash.setdefault(MEASURED, []).append(_plain(entry))


def _plain(value: Any) -> Any:
    """Make data that JSON has no word for into text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    return str(value)
