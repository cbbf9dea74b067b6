import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from sppkit.recording import Recording, combine
from sppkit.rules import (
    Diagnosis,
    Finding,
    Fix,
    Outcome,
    Rule,
    Severity,
    all_rules,
    judge,
    named_statistics,
    threshold,
)
from tests.rules.frames import chain, recording


def finding(code="SPP101", severity=Severity.ERROR, layer="a", **other):
    fields = {"signal": "activation", "statistic": "second_moment", "measured": 1.0}
    texts = {"expected": "less", "message": "too <much>", "advice": "scale & retry"}
    return Finding(code, severity, layer, **fields, **texts, **other)


def test_an_error_fails_a_warning_passes_and_an_ignored_error_does_not_count():
    assert Diagnosis("net", (finding(),)).verdict == "fail"
    warned = Diagnosis("net", (finding(severity=Severity.WARNING),))
    assert warned.verdict == "pass"
    assert warned.failed("warning")
    assert not warned.failed("error")
    assert Diagnosis("net", (finding(ignored="known"),)).verdict == "pass"
    assert not Diagnosis("net", (finding(severity=Severity.INFO),)).failed("warning")


def test_nothing_observed_is_neither_pass_nor_fail():
    assert Diagnosis("net", observed=False).verdict == "nothing observed"


def test_fail_on_is_error_or_warning():
    with pytest.raises(ValueError, match="fail_on is 'error' or 'warning', got 'info'"):
        Diagnosis("net").failed("info")


def test_the_first_offender_is_the_first_finding_that_names_a_layer():
    network, layer = finding(layer=""), finding(layer="b")
    assert Diagnosis("net", (network, layer)).first_offender is layer
    assert Diagnosis("net", (network,)).first_offender is network
    assert Diagnosis("net", (finding(severity=Severity.INFO),)).first_offender is None


def test_the_json_has_the_fields_of_the_schema_and_survives_nan():
    diagnosis = Diagnosis(
        "net",
        (finding(fix=Fix("LSUV", ("a",))),),
        evidence={"x": float("nan"), "y": 1.5},
        nearness={"SPP101": float("inf")},
        seeds=(0, 1),
    )
    content = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
    assert content["schema"] == 1
    assert content["verdict"] == "fail"
    expected = {
        *("code", "severity", "layer", "signal", "statistic", "measured", "expected", "message"),
        *("advice", "file", "line", "fix", "ignored"),
    }
    assert set(content["findings"][0]) == expected
    assert content["findings"][0]["fix"] == {"kind": "LSUV", "layers": ["a"], "factor": None}
    assert content["evidence"] == {"x": "nan", "y": 1.5}


def test_repr_is_one_line_and_html_is_escaped():
    diagnosis = Diagnosis("<net>", (finding(),), probability_of_training=0.125)
    assert repr(diagnosis) == (
        "Diagnosis(target='<net>', fail, 1 error, trains with probability 0.12, first at 'a')"
    )
    html = diagnosis._repr_html_()
    assert "&lt;net&gt;" in html
    assert "too &lt;much&gt;" in html
    assert "<net>" not in html
    assert "<script" not in html


def test_the_sparkline_is_drawn_over_depth_and_left_out_where_there_is_no_curve():
    html = Diagnosis("net", stream=(1.0, 10.0, float("nan"), 0.0, 100.0))._repr_html_()
    assert 'points="0.0,21.0 60.0,11.0 120.0,1.0"' in html
    assert "second moment over depth, 1 to 1e+02" in html
    assert "<svg" not in Diagnosis("net", stream=(1.0,))._repr_html_()
    assert "<svg" in judge(recording(chain(4)))._repr_html_()


# -- judge ---------------------------------------------------------------------------------------


def test_every_rule_has_a_code_a_title_advice_and_sources():
    rules = all_rules()
    assert len({rule.code for rule in rules}) == len(rules) >= 24
    for rule in rules:
        assert rule.title
        assert len(rule.advice) > 80
        assert not re.search(r"^ ", rule.advice, re.MULTILINE), "indented as in the source"
        assert set(rule.sources) == set(rule.thresholds)
        assert all(rule.sources.values())


def test_a_healthy_network_passes_and_every_rule_has_answered():
    diagnosis = judge(recording(chain(6)))
    assert diagnosis.verdict == "pass"
    assert not diagnosis.findings
    answered = {*diagnosis.passed, *(skipped.code for skipped in diagnosis.skipped)}
    assert answered == {rule.code for rule in all_rules()}
    assert all(skipped.reason for skipped in diagnosis.skipped)
    assert diagnosis.seeds == (0, 1, 2)


def test_findings_carry_file_and_line_of_the_layers_class():
    layers = chain(6)
    layers[3].activation["nonfinite_fraction"] = 0.5
    first = judge(recording(layers)).first_offender
    assert (first.layer, first.file, first.line) == ("3", "net.py", 7)


def test_selection_takes_codes_and_their_beginnings_and_the_longest_wins():
    codes = {rule.code for rule in all_rules()}
    healthy = recording(chain(6))

    def asked(**selection):
        diagnosis = judge(healthy, **selection)
        return {*diagnosis.passed, *(skipped.code for skipped in diagnosis.skipped)}

    assert asked(select=["SPP401"]) == {"SPP401"}
    assert asked(select=["SPP4"]) == {code for code in codes if code.startswith("SPP4")}
    assert asked(ignore=["SPP4"]) == {code for code in codes if not code.startswith("SPP4")}
    assert "SPP401" in asked(ignore=["SPP4"], extend_select=["SPP401"])
    assert asked(select=["SPP4"], ignore=["SPP402"]) == {"SPP401"}
    assert asked(select=["ALL"]) == codes


def test_an_unknown_code_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'SPP4O1' is no code of a rule.*Did you mean 'SPP401'"):
        judge(recording(chain(3)), select=["SPP4O1"])


@dataclass(frozen=True)
class LoudestLayer(Rule):
    """Turn the loudest layer down."""

    code, title, severity = "OWN001", "loudest layer", Severity.ERROR
    loudest: float = threshold(3.0, "ours")

    def judge(self, evidence):
        curve = evidence.activation("second_moment")
        place = int(np.argmax(curve.typical))
        measured = 10 ** curve.typical[place]
        if measured <= self.loudest:
            return Outcome()
        found = self.finding(
            evidence,
            curve.layers[place],
            statistic="second_moment",
            measured=measured,
            expected=f"at most {self.loudest:g}",
            message="it is loud",
            advice=self.advice,
        )
        return Outcome((found,))


def test_a_rule_of_ones_own_is_asked_beside_the_others_and_obeys_selection_and_thresholds():
    layers = chain(6)
    layers[2].second_moment = 5.0
    network, own = recording(layers), [LoudestLayer()]
    diagnosis = judge(network, rules=own)
    (found,) = [f for f in diagnosis.findings if f.code == "OWN001"]
    assert (found.layer, found.file, found.line) == ("2", "net.py", 7)
    assert found.measured == pytest.approx(5.0)
    assert diagnosis.verdict == "fail"
    assert diagnosis.settings["rules"]["OWN001"] == {"loudest": 3.0}
    assert judge(network).verdict == "pass"
    louder = judge(network, rules=own, select=["OWN"], thresholds={"OWN001": {"loudest": 6.0}})
    assert louder.passed == ("OWN001",)
    assert "OWN001" not in judge(network, rules=own, ignore=["OWN001"]).settings["rules"]
    assert judge(network, rules=own, per_layer_ignores={"2": ["OWN001"]}).verdict == "pass"


def test_a_class_in_place_of_a_rule_and_a_code_that_is_taken_are_refused():
    network = recording(chain(3))
    with pytest.raises(TypeError, match=r"instances of .*Rule, got .*; give LoudestLayer\(\)"):
        judge(network, rules=[LoudestLayer])
    with pytest.raises(TypeError, match=r"instances of subclasses of .*Rule, got 'SPP101'$"):
        judge(network, rules=["SPP101"])
    with pytest.raises(ValueError, match="LoudestLayer has the code 'OWN001', which another rule"):
        judge(network, rules=[LoudestLayer(), LoudestLayer()])


def test_thresholds_are_replaced_by_code_and_name():
    network = recording([*chain(5), *chain(1, second_moment=4.0)])
    strict = judge(network, thresholds={"SPP104": {"ratio": 0.5}}, select=["SPP104"])
    assert [f.code for f in strict.findings] == ["SPP104"]
    assert strict.settings["rules"] == {"SPP104": {"ratio": 0.5}}
    with pytest.raises(ValueError, match=r"SPP104 \(mean shift\) has no threshold 'rate'; .*ratio"):
        judge(network, thresholds={"SPP104": {"rate": 0.5}})
    with pytest.raises(ValueError, match="thresholds are given for 'SPP1', which is no rule"):
        judge(network, thresholds={"SPP1": {}})


@pytest.mark.parametrize(
    ("ignores", "reason"),
    [
        ({"3*": ["SPP401"]}, "per-layer ignore '3*'"),
        ({"re:^3$": {"codes": "SPP4", "reason": "known to overflow"}}, "known to overflow"),
        ({"3*": ["SPP101"], "4": ["SPP401"]}, ""),
    ],
)
def test_findings_in_ignored_layers_stay_visible_and_do_not_count(ignores, reason):
    layers = chain(6)
    layers[3].activation["nonfinite_fraction"] = 0.5
    diagnosis = judge(recording(layers), select=["SPP401"], per_layer_ignores=ignores)
    assert diagnosis.findings[0].ignored == reason
    assert diagnosis.verdict == ("pass" if reason else "fail")


def test_one_run_is_judged_at_a_time():
    two = combine([recording(chain(3)), recording(chain(3))])
    with pytest.raises(ValueError, match=r"give run=, one of 'net', 'net #2'"):
        judge(two)
    with pytest.raises(ValueError, match="the recording has no run 'x'; it has 'net', 'net #2'"):
        judge(two, run="x")
    assert judge(two, run="net #2").target == "net #2"


def test_an_empty_recording_observed_nothing():
    diagnosis = judge(Recording((), (), {"net": {}}))
    assert diagnosis.verdict == "nothing observed"
    assert not diagnosis.passed


def test_the_same_diagnosis_is_read_from_a_file(tmp_path):
    import sppkit

    network = recording(chain(4, second_moment=1e3))
    network.save(tmp_path / "net.parquet")
    again = judge(sppkit.read(tmp_path / "net.parquet"))
    assert replace(again, evidence={}) == replace(judge(network), evidence={})


def test_named_statistics_are_logarithms_with_readable_names():
    statistics = named_statistics(recording(chain(5, weight_gradient=1e-3)))
    assert statistics["largest_gradient_norm"] == pytest.approx(-3 + 1.505, abs=0.01)
    assert statistics["growth_of_second_moment"] == pytest.approx(0.0)
    assert all(name.islower() and " " not in name for name in statistics)


def test_named_statistics_are_undefined_and_not_missing_where_there_is_no_gradient():
    from sppkit.rules.evidence import Evidence
    from sppkit.rules.named import named_by_seed

    network = recording(chain(5, weight_gradient=None), seeds=4)
    by_seed = named_by_seed(Evidence.of(network))
    assert {values.shape for values in by_seed.values()} == {(4,)}
    assert named_statistics(network)["total_gradient_norm"] != 0.0
    assert str(named_statistics(network)["total_gradient_norm"]) == "nan"


def test_where_every_rule_was_skipped_nothing_was_judged_and_the_gate_is_not_green():
    diagnosis = judge(recording(chain(5, weight_gradient=None)), select=["SPP201"])
    assert diagnosis.passed == ()
    assert diagnosis.verdict == "nothing observed"
    assert "Every rule that was asked was skipped" in diagnosis.nothing_judged
    assert "SPP201: " in diagnosis.nothing_judged
    assert judge(recording(chain(5))).nothing_judged == ""
