import json
import re
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest

import sppkit
from sppkit.recording import NotCaptured, Recording, combine
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
from sppkit.rules.finding import Skipped, TriedFix
from tests.rules.frames import Layer, chain, recording


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
    with pytest.raises(ValueError, match=r"several runs: name one of 'net', 'net #2'"):
        judge(two)
    with pytest.raises(ValueError, match="the recording has no run 'x'; it has 'net', 'net #2'"):
        judge(two, run="x")
    assert judge(two, run="net #2").target == "net #2"
    with pytest.raises(ValueError, match=r"the recording has no run 'x'; it has 'net'$"):
        judge(recording(chain(3)), run="x")
    with pytest.raises(ValueError, match=r"^the recording has no run$"):
        judge(Recording((), (), {}))


def test_an_empty_recording_observed_nothing():
    diagnosis = judge(Recording((), (), {"net": {}}))
    assert diagnosis.verdict == "nothing observed"
    assert not diagnosis.passed


def test_the_same_diagnosis_is_read_from_a_file(tmp_path):
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
    assert diagnosis.nothing_judged == (
        "Every rule that was asked was skipped, so nothing was judged (SPP201: "
        f"{diagnosis.skipped[0].reason})."
    )
    codes = ["SPP105", "SPP201", "SPP202", "SPP903"]
    four = judge(recording(chain(5, weight_gradient=None)), select=codes)
    assert [skipped.code for skipped in four.skipped] == codes
    told = "; ".join(f"{skipped.code}: {skipped.reason}" for skipped in four.skipped[:3])
    assert four.nothing_judged.endswith(f"({told}).")
    assert judge(recording(chain(5))).nothing_judged == ""
    found = judge(recording(chain(5, weight_gradient=None)), select=["SPP201", "SPP302"])
    assert (found.passed, found.nothing_judged, found.verdict) == ((), "", "fail")


# -- the order, the settings, the margins ----------------------------------------------------------


def test_findings_stand_by_severity_then_in_order_of_execution_then_by_code():
    layers = chain(8)
    for place in (2, 6):
        layers[place].variance = 1e-4  # SPP104, a warning, at 2
    layers[5].weights["nonfinite_fraction"] = 0.5  # SPP401, an error
    layers[4].weight = 20 / 32  # SPP303, information
    layers[1].weights |= {"minimum": 0.25, "maximum": 0.25}  # SPP504, a warning
    layers[2].weights |= {"minimum": 0.25, "maximum": 0.25}
    diagnosis = judge(
        recording(layers, metadata={"loss": {"chance": 1.0, "values": {"0": 2e4}}}),
        ignore=["SPP001"],
    )
    assert [(f.severity.value, f.layer, f.code) for f in diagnosis.findings] == [
        ("error", "5", "SPP204"),
        ("error", "5", "SPP401"),
        ("warning", "1", "SPP504"),
        ("warning", "2", "SPP104"),
        ("info", "4", "SPP303"),
    ]


@dataclass(frozen=True)
class Telling(Rule):
    """Tell of layers, whatever there is: for tests of what becomes of findings and answers."""

    code, title, severity = "OWN002", "telling", Severity.WARNING
    foretells = False

    def judge(self, evidence):
        names = ("", "elsewhere", "2", "1")
        texts = {"statistic": "", "measured": None, "expected": "", "message": "", "advice": ""}
        return Outcome(tuple(self.finding(evidence, name, **texts) for name in names))


def test_findings_of_no_layer_and_of_one_without_depth_come_last():
    diagnosis = judge(recording(chain(4)), rules=[Telling()], select=["OWN002"])
    assert [f.layer for f in diagnosis.findings] == ["1", "2", "", "elsewhere"]
    assert {f.signal for f in diagnosis.findings} == {""}
    assert diagnosis.first_offender.layer == "1"


def test_a_rule_that_found_something_or_was_skipped_has_not_passed():
    layers = chain(6)
    layers[3].activation["nonfinite_fraction"] = 0.5
    diagnosis = judge(recording(layers, loss=False), ignore=["SPP001"])
    found = {finding.code for finding in diagnosis.findings}
    skipped = {one.code for one in diagnosis.skipped}
    assert "SPP401" in found
    assert "SPP302" in skipped
    assert not found & {*diagnosis.passed}
    assert not skipped & {*diagnosis.passed}
    assert found | skipped | {*diagnosis.passed} == {r.code for r in all_rules()} - {"SPP001"}


def test_the_settings_are_the_metadata_and_the_thresholds_in_use_without_what_was_not_captured():
    network = recording(chain(3), metadata={"not_captured": [], "note": "ours"})
    diagnosis = judge(network, select=["SPP402", "SPP503"])
    assert diagnosis.settings["note"] == "ours"
    assert diagnosis.settings["mode"] == "train"
    assert "not_captured" not in diagnosis.settings
    assert diagnosis.settings["rules"] == {
        "SPP402": {"factor": 4.0, "underflow": 0.5},
        "SPP503": {"share": 1e-8},
    }


def test_what_was_not_captured_is_told_of_the_run_that_is_judged():
    metadata = {
        run: {"not_captured": [{"run": run, "layer": layer, "signal": "", "reason": "odd"}]}
        for run, layer in (("a", "x"), ("b", "y"))
    }
    both = sppkit.Recording((), (), metadata)
    assert len(both.not_captured) == 2
    assert judge(both, run="b").not_captured == (NotCaptured("b", "y", "", "odd"),)


def test_the_named_statistics_and_the_stream_are_part_of_the_diagnosis():
    network = recording(chain(5))
    diagnosis = judge(network)
    wanted = named_statistics(network)
    assert set(diagnosis.evidence) == set(wanted)
    assert diagnosis.evidence["number_of_layers"] == wanted["number_of_layers"]
    assert diagnosis.stream == (2.0, 2.0, 2.0, 2.0)
    assert diagnosis.target == "net"


def test_of_seeds_the_stream_is_the_median():
    assert judge(recording(chain(3), seeds=3, spread=1.0)).stream == pytest.approx((2.0, 2.0))


def margins(layers, code, **arguments):
    return judge(recording(layers, seeds=4, **arguments), select=[code]).nearness.get(code)


@pytest.mark.parametrize(
    ("code", "layers", "decades"),
    [
        ("SPP201", chain(6, weight_gradient=1e-4 / 4), -np.log10(1e-4 / 3e-5)),
        ("SPP201", chain(6, weight_gradient=1e-5 / 4), np.log10(3e-5 / 1e-5)),
        ("SPP202", chain(6, weight_gradient=60 / 4), -1.0),
        ("SPP202", chain(6, weight_gradient=6000 / 4), 1.0),
        ("SPP203", chain(4), -2.0),
        ("SPP203", [Layer("0", gradient=1.0), *(Layer(str(n)) for n in range(1, 4))], 4.0 - 2.75),
        ("SPP503", [*chain(3), Layer("3", variance=2e-9)], 1.0),
        ("SPP503", [*chain(3), Layer("3", variance=2e-7)], -1.0),
        ("SPP101", [Layer(str(n), 10.0 ** (4 * n)) for n in range(4)], -1.0),
        ("SPP101", [Layer(str(n), 10.0 ** (5 * n)) for n in range(4)], 1.0),
        ("SPP101", [Layer(str(n), 10.0 ** (-5 * n)) for n in range(4)], 1.0),
        ("SPP101", [Layer(str(n), 10.0 ** (-4 * n)) for n in range(4)], -1.0),
        ("SPP109", chain(4), -1.5),
    ],
)
def test_the_nearness_of_a_rule_is_its_distance_from_the_threshold_in_standard_errors(
    code, layers, decades
):
    assert margins(layers, code) == pytest.approx(decades / (0.05 / 2))


@pytest.mark.parametrize(("ratio", "decades"), [(100.0, -1), (10.0, -2), (10_000.0, 1)])
def test_the_nearness_of_the_first_loss_is_to_the_error(ratio, decades):
    loss = {"chance": 1.0, "values": {str(seed): ratio for seed in range(4)}}
    found = margins(chain(4), "SPP204", metadata={"loss": loss})
    assert found == pytest.approx(decades / (0.05 / 2))


def test_rules_without_a_margin_are_not_near():
    assert margins(chain(4), "SPP501") is None
    assert judge(recording(chain(4), loss=False), select=["SPP201"]).nearness == {}


def test_with_a_rehearsal_that_made_progress_only_errors_turn_into_warnings():
    layers = chain(8)
    layers[4].variance = 1e-4
    values = {"0": {"error": 0.4, "loss": 0.4}}
    network = recording(layers, metadata={"rehearsal": {"values": values}})
    (found,) = judge(network, select=["SPP104"]).findings
    assert found.severity is Severity.WARNING
    assert "rehearsal" not in found.message
    skipped = judge(network, select=["SPP304"])
    assert [one.code for one in skipped.skipped] == ["SPP304"]


# -- selection -------------------------------------------------------------------------------------


def asked(**selection):
    diagnosis = judge(recording(chain(6)), **selection)
    return {*diagnosis.passed, *(skipped.code for skipped in diagnosis.skipped)}


def test_of_equally_specific_selectors_the_one_that_ignores_wins():
    assert asked(select=["SPP4"], ignore=["SPP4"]) == set()
    assert asked(select=["ALL"], ignore=["ALL"]) == set()
    assert asked(select=["SPP402"], ignore=["ALL"]) == {"SPP402"}


def test_an_unknown_code_lists_all_and_one_like_no_other_has_no_nearest():
    codes = ", ".join(rule.code for rule in all_rules())
    for unlike in ("E501", "SPPX"):
        with pytest.raises(ValueError, match="is no code") as error:
            judge(recording(chain(3)), ignore=[unlike])
        assert str(error.value) == (
            f"'{unlike}' is no code of a rule, nor the beginning of one. Rules: {codes}."
        )
    with pytest.raises(ValueError, match="is no code") as error:
        judge(recording(chain(3)), extend_select=["spp40"])
    assert str(error.value) == (
        "'spp40' is no code of a rule, nor the beginning of one. Did you mean 'SPP401'? "
        f"Rules: {codes}."
    )
    with pytest.raises(ValueError, match="Did you mean 'OWN001'"):
        judge(recording(chain(3)), rules=[LoudestLayer()], select=["own002"])
    with pytest.raises(ValueError, match="'' is no code"):
        judge(recording(chain(3)), select=[""])
    with pytest.raises(ValueError, match="is no rule") as error:
        judge(recording(chain(3)), thresholds={"SPP1": {}})
    assert str(error.value) == f"thresholds are given for 'SPP1', which is no rule. Rules: {codes}."


def test_a_rule_without_thresholds_says_so():
    with pytest.raises(ValueError, match=r"^SPP504 .* has no threshold 'share'; it has: none$"):
        judge(recording(chain(3)), thresholds={"SPP504": {"share": 1.0}})
    with pytest.raises(ValueError, match=r"it has: factor, underflow$"):
        judge(recording(chain(3)), thresholds={"SPP402": {"share": 1.0}})


@pytest.mark.parametrize(
    ("ignores", "reason"),
    [
        ({"3": ["ALL"]}, "per-layer ignore '3'"),
        ({"3": "SPP401"}, "per-layer ignore '3'"),
        ({"3": {"codes": ["SPP401"]}}, "per-layer ignore '3'"),
        ({"3": {"codes": ["SPP401"], "reason": ""}}, "per-layer ignore '3'"),
        ({"3": {"reason": "of no code"}}, ""),
        ({"3": ["SPP402"], "?": ["SPP4"]}, "per-layer ignore '?'"),
    ],
)
def test_an_ignore_names_codes_their_beginnings_or_all(ignores, reason):
    layers = chain(6)
    layers[3].activation["nonfinite_fraction"] = 0.5
    diagnosis = judge(recording(layers), select=["SPP401"], per_layer_ignores=ignores)
    assert diagnosis.findings[0].ignored == reason


# -- what a diagnosis looks like -------------------------------------------------------------------

CATALOGUE = {
    "SPP001": ("weighed evidence", "error"),
    "SPP101": ("forward drift", "error"),
    "SPP102": ("gain of a block or layer off its peers", "warning"),
    "SPP103": ("exponential drift", "warning"),
    "SPP104": ("mean shift", "warning"),
    "SPP105": ("residual branch silent or dominant", "error"),
    "SPP106": ("zero-initialised residual branches", "info"),
    "SPP107": ("domain of self-normalisation left", "warning"),
    "SPP108": ("deeper than the depth scale", "warning"),
    "SPP109": ("noise of dropout", "error"),
    "SPP110": ("bottleneck", "error"),
    "SPP201": ("vanishing gradients", "error"),
    "SPP202": ("exploding gradients", "error"),
    "SPP203": ("imbalance between forward and backward signal", "error"),
    "SPP204": ("loss at initialisation", "warning"),
    "SPP205": ("nonlinearity between head and loss", "warning"),
    "SPP206": ("gradients exploding over calls", "error"),
    "SPP302": ("weights without gradient", "error"),
    "SPP303": ("weight variance of no known initialisation", "info"),
    "SPP304": ("initialisation ignores groups", "warning"),
    "SPP305": ("weights too large to turn", "error"),
    "SPP401": ("values that are not finite", "error"),
    "SPP402": ("precision headroom", "warning"),
    "SPP501": ("dead units", "error"),
    "SPP502": ("saturation", "warning"),
    "SPP503": ("one answer to everything", "error"),
    "SPP504": ("all units alike", "warning"),
    "SPP505": ("saturated softmax", "warning"),
    "SPP901": ("coverage", "error"),
    "SPP903": ("batch dependence", "warning"),
}
FACTS = {"SPP001", "SPP302", "SPP401", "SPP402", "SPP901", "SPP903"}


def test_codes_titles_and_severities_are_public_and_facts_are_no_forecasts():
    rules = all_rules()
    assert {rule.code: (rule.title, rule.severity.value) for rule in rules} == CATALOGUE
    assert [rule.code for rule in rules] == list(CATALOGUE)
    assert {rule.code for rule in rules if not rule.foretells} == FACTS


def test_the_json_holds_every_part_of_the_diagnosis():
    fix = Fix("LSUV", ("a",), 2.0)
    tried = TriedFix(fix, ("SPP101",), ("a x 2",), True, "fail", "pass", 0.1, 0.9, (), "")
    missing = NotCaptured("net", "b", "", "never called")
    diagnosis = Diagnosis(
        "net", (finding(fix=fix),), ("SPP102",), (Skipped("SPP103", "too short"),), (missing,),
        {"mode": "train", 3: (1.0, float("inf"))}, 0.25, {"x": float("nan")}, (0, 2), True,
        {"SPP101": float("-inf"), "SPP102": -1.5}, (tried,), (1.0, 2.0),
    )  # fmt: skip
    assert diagnosis.to_dict() == {
        "schema": 1,
        "target": "net",
        "verdict": "fail",
        "probability_of_training": 0.25,
        "findings": [{
            "code": "SPP101", "severity": "error", "layer": "a", "signal": "activation",
            "statistic": "second_moment", "measured": 1.0, "expected": "less",
            "message": "too <much>", "advice": "scale & retry",
            "fix": {"kind": "LSUV", "layers": ["a"], "factor": 2.0}, "file": "", "line": None,
            "ignored": "",
        }],
        "passed": ["SPP102"],
        "skipped": [{"code": "SPP103", "reason": "too short"}],
        "not_captured": [asdict(missing)],
        "settings": {"mode": "train", "3": [1.0, "inf"]},
        "evidence": {"x": "nan"},
        "nearness": {"SPP101": "-inf", "SPP102": -1.5},
        "seeds": [0, 2],
        "tried_fixes": [{
            "fix": {"kind": "LSUV", "layers": ["a"], "factor": 2.0}, "codes": ["SPP101"],
            "applied": ["a x 2"], "helped": True, "verdict_before": "fail",
            "verdict_after": "pass", "probability_before": 0.1, "probability_after": 0.9,
            "measured": [], "remark": "",
        }],
    }  # fmt: skip


def test_repr_counts_findings_that_count():
    several = (
        *(finding(layer=""), finding(), finding(severity=Severity.WARNING)),
        *(finding(severity=Severity.INFO), finding(severity=Severity.INFO)),
        finding(ignored="known"),
    )
    assert repr(Diagnosis("net", several)) == (
        "Diagnosis(target='net', fail, 2 errors, 1 warning, 2 info, first at 'a')"
    )
    assert repr(Diagnosis("net")) == "Diagnosis(target='net', pass, no findings)"
    network = Diagnosis("net", (finding(layer="", severity=Severity.WARNING),) * 2)
    assert repr(network) == "Diagnosis(target='net', pass, 2 warnings)"


def test_the_html_of_a_diagnosis_is_a_table_of_its_findings():
    skipped = (Skipped("SPP103", "too <short>"),)
    findings = (finding(), finding(layer="", ignored="known", severity=Severity.WARNING))
    html = Diagnosis("net", findings, ("SPP102", "SPP104"), skipped)._repr_html_()
    told = "too &lt;much&gt;<br><em>scale &amp; retry</em>"
    assert html == (
        "<div><p><strong>net: fail</strong> (1 error; 2 rules passed, 1 skipped) </p>"
        "<table><tr><th>rule</th><th>severity</th><th>layer</th><th>finding</th></tr>"
        f"<tr><td>SPP101</td><td>error</td><td>a</td><td>{told}</td></tr>"
        f"<tr><td>SPP101</td><td>warning (ignored)</td><td>(network)</td><td>{told}</td></tr>"
        "</table><details><summary>skipped</summary><ul><li>SPP103: too &lt;short&gt;</li></ul>"
        "</details></div>"
    )
    assert Diagnosis("net")._repr_html_() == (
        "<div><p><strong>net: pass</strong> (no findings; 0 rules passed, 0 skipped) </p></div>"
    )
