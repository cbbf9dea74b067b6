"""sppkit shows how signals travel through a PyTorch network, forward and backward.

    recording = sppkit.probe(build_model, input_size=(3, 64, 64))
    sppkit.plot_signal_propagation(recording)
    sppkit.check(build_model, input_size=(3, 64, 64)).verdict  # "pass" or "fail"

The names below are imported when they are first used, so that `import sppkit` costs next to
nothing: torch comes with `probe` and `record`, matplotlib with the plots.

PYTEST_DONT_REWRITE: pytest loads a plug-in of ours, and would warn where sppkit came first.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sppkit.version import __version__ as __version__

_HOMES = {
    "probe": "sppkit.probing",
    "check": "sppkit.gate",
    "record": "sppkit.capture.record",
    "schedule": "sppkit.capture.steps.schedule",
    "EarlyWarning": "sppkit.early_warning.early_warning",
    "Recorder": "sppkit.capture.recorder",
    "Recording": "sppkit.recording",
    "NotCaptured": "sppkit.recording",
    "read": "sppkit.recording",
    "combine": "sppkit.recording",
    "per_sample_gradients": "sppkit.gradients",
    "plot_signal_propagation": "sppkit.plots",
    "plot_gradient_flow": "sppkit.plots",
    "plot_weights": "sppkit.plots",
    "plot_over_training": "sppkit.plots",
    "plot_distribution_over_training": "sppkit.plots",
    "plot_comparison": "sppkit.plots",
    "animate": "sppkit.plots",
    "Signal": "sppkit.signals",
    "SppkitError": "sppkit.errors",
}

__all__ = [  # noqa: RUF022  (in the order of use)
    "probe",
    "check",
    "record",
    "schedule",
    "EarlyWarning",
    "read",
    "combine",
    "per_sample_gradients",
    "Recording",
    "Recorder",
    "NotCaptured",
    "plot_signal_propagation",
    "plot_gradient_flow",
    "plot_weights",
    "plot_over_training",
    "plot_distribution_over_training",
    "plot_comparison",
    "animate",
    "Signal",
    "SppkitError",
]

if TYPE_CHECKING:
    from sppkit.capture.record import record
    from sppkit.capture.recorder import Recorder
    from sppkit.capture.steps.schedule import schedule
    from sppkit.early_warning.early_warning import EarlyWarning
    from sppkit.errors import SppkitError
    from sppkit.gate import check
    from sppkit.gradients import per_sample_gradients
    from sppkit.plots import (
        animate,
        plot_comparison,
        plot_distribution_over_training,
        plot_gradient_flow,
        plot_over_training,
        plot_signal_propagation,
        plot_weights,
    )
    from sppkit.probing import probe
    from sppkit.recording import NotCaptured, Recording, combine, read
    from sppkit.signals import Signal


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sppkit' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
