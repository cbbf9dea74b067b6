"""Results of a check, made by hand: one of each verdict, and one whose names are hostile."""

from sppkit.formats import CheckResults, Report
from sppkit.recording import NotCaptured
from sppkit.rules import Diagnosis, Finding, Fix, Severity, Skipped, TriedFix, all_rules

HOSTILE = (
    "\x1b[2J\x07 a|b `c` <script>x</script> & \"q\" 'r' %0A ]]> *d* _e_ [f](g) {0} $h$ @team "
    "##[error]i\n::error::j\r\n| k | \u202e \ud800 \ufffe"
)


def finding(code="SPP101", severity=Severity.ERROR, layer="stage1.0", **changes):
    return Finding(
        **{
            "code": code,
            "severity": severity,
            "layer": layer,
            "signal": "activation",
            "statistic": "second_moment",
            "measured": 1234.5,
            "expected": "between 0.1 and 10",
            "message": "the second moment grows by a factor of 1234",
            "advice": "Multiply the initial weights by 0.5.",
            "fix": Fix("scale initialisation", (layer,), 0.5),
            **changes,
        }
    )


def diagnosis(*findings, **changes):
    return Diagnosis(
        **{
            "target": "Net",
            "findings": findings,
            "passed": ("SPP201", "SPP202"),
            "skipped": (Skipped("SPP107", "no SELU in this network"),),
            "not_captured": (NotCaptured("Net", "out_proj", "", "the module was never called"),),
            "settings": {"input": "gaussian noise", "seeds": [0, 1]},
            "probability_of_training": 0.12,
            "evidence": {"growth": 3.1, "loss": float("nan")},
            "seeds": (0, 1),
            **changes,
        }
    )


TRIED = TriedFix(
    fix=Fix("scale initialisation", ("stage1.0",), 0.5),
    codes=("SPP101",),
    applied=("stage1.0: weight times 0.5",),
    helped=True,
    verdict_before="fail",
    verdict_after="pass",
    probability_before=0.12,
    probability_after=0.97,
    measured=(("SPP101", 1234.5, None),),
    remark="",
)


def healthy(target="healthy.py"):
    return Report(target, diagnosis(probability_of_training=0.99))


def sick(target="sick.py:Net", **changes):
    found = (
        finding(),
        finding("SPP104", Severity.WARNING, "head", measured=float("inf"), fix=None),
        finding("SPP106", Severity.INFO, "", measured=None),
        finding("SPP101", Severity.ERROR, "tail", ignored="known since 2024"),
    )
    return Report(target, diagnosis(*found, tried_fixes=(TRIED,)), remarks=("one seed",), **changes)


def broken(target="broken.py", error="'broken.py' does not exist.\n  Did you mean 'model.py'?"):
    return Report(target, error=error)


def blind(target="blind.py"):
    return Report(target, diagnosis(observed=False, passed=(), skipped=()))


def hostile():
    found = finding(
        layer=HOSTILE, message=f"{HOSTILE} grows", expected=HOSTILE, advice=HOSTILE, ignored=""
    )
    aside = finding("SPP104", Severity.WARNING, HOSTILE, ignored=HOSTILE)
    return Report(HOSTILE, diagnosis(found, aside, target=HOSTILE), remarks=(HOSTILE,))


def results(*reports, **changes):
    return CheckResults(tuple(reports), all_rules(), **changes)


def everything():
    return results(healthy(), sick(), broken(), blind(), hostile(), broken(HOSTILE, HOSTILE))
