"""Recordings and diagnoses to make pages of."""

import pandas as pd

import sppkit
from sppkit.recording import Recording
from sppkit.report import Trained, make_report
from sppkit.rules import Diagnosis, Finding, Severity, Skipped, judge
from tests.plots.baseline_images import residual_network

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\" \x1b"


def renamed(recording, run, layers=None):
    """Give a recording with another name of its run, and of some layers."""
    table, structure = recording.table(), recording.structure()
    (before,) = recording.runs
    names = layers or {}

    def changed(frame):
        layer = frame["layer"].astype("object").map(lambda name: names.get(name, name))
        return frame.assign(run=run, layer=layer)

    return Recording.from_frames(
        changed(table), changed(structure), {run: recording.metadata[before]}
    )


def finding(layer, severity=Severity.ERROR, **other):
    told = {
        "code": "SPP101",
        "severity": severity,
        "layer": layer,
        "signal": "activation",
        "statistic": "average channel variance",
        "measured": 12.5,
        "expected": "1.0 to 4.0",
        "message": f"the variance of {layer} is 12.5",
        "advice": "scale the branch by 0.3",
    }
    return Finding(**{**told, **other})


def diagnosis(run="net", layers=("blocks.4",), **other):
    told = {
        "target": run,
        "findings": tuple(finding(layer) for layer in layers),
        "passed": ("SPP102",),
        "skipped": (Skipped("SPP401", "no gradient was recorded"),),
        "settings": {"rules": {"SPP101": {"most": 4.0}}},
    }
    return Diagnosis(**{**told, **other})


def page(steps=1, runs=("net",), **options):
    """Make a page about small residual networks, the first of which has a finding."""
    recordings = [residual_network(run, steps=steps) for run in runs]
    recording = sppkit.combine(recordings)
    diagnoses = [diagnosis(runs[0]), *(diagnosis(run, layers=()) for run in runs[1:])]
    return make_report(recording, diagnoses, **{"command": "sppkit report net.py", **options})


TRAINED = Trained(
    headings=("run", "test accuracy"),
    rows=(("net", "0.913"),),
    settings={"net": {"seed": 0, "recipe": {"learning_rate": 0.1}}},
    events=({"run": "net", "step": 7, "severity": "error", "message": "loss not finite"},),
    outcomes={"net": "training finished: test accuracy 0.913"},
)


def judged(recording):
    return [judge(recording, run=run) for run in recording.runs]


def large(layers=200, steps=100):
    """Make the recording of a training of many layers: as many rows as a page must bear."""
    one = residual_network(blocks=layers - 2, seeds=1)
    table = one.table()
    every = [table.assign(step=step) for step in range(steps)]
    whole = pd.concat(every, ignore_index=True).astype(table.dtypes.to_dict())
    return Recording.from_frames(whole, one.structure(), one.metadata)
