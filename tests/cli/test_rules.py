"""`sppkit rules`: every rule with its thresholds and their sources."""

import json
import re

import pytest

from sppkit.cli.rulebook import every_rule
from sppkit.cli.rules import _formula
from sppkit.early_warning.catalogue import WARNING_RULES
from sppkit.rules.weighing import fitted

KNOWN = (*every_rule(), *WARNING_RULES)


def test_the_list_names_every_rule_with_its_severity(spp):
    text = spp("rules").stdout
    for rule in KNOWN:
        assert f"\n{rule.code}  {rule.severity.value}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_codes_are_unique():
    codes = [rule.code for rule in KNOWN]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("code", [rule.code for rule in KNOWN])
def test_a_rule_is_explained_with_advice_thresholds_and_sources(code, spp):
    (rule,) = [rule for rule in KNOWN if rule.code == code]
    text = spp("rules", code).stdout
    words = " ".join(text.split())
    assert text.startswith(f"{code}: {rule.title} ({rule.severity.value})")
    assert rule.advice.split("\n")[0] in words
    for name, source in rule.sources.items():
        assert f"  {name} = " in text
        assert " ".join(source.split()) in words


def test_the_beginning_of_a_code_explains_several(spp):
    text = spp("rules", "spp9").stdout
    assert "SPP901: " in text
    assert "SPP902: " in text


def test_rules_are_there_for_machines(spp):
    listed = json.loads(spp("rules", "--output-format", "json").stdout)
    assert [entry["code"] for entry in listed] == [rule.code for rule in KNOWN]
    assert all(t["source"] for entry in listed for t in entry["thresholds"])


def test_a_threshold_that_was_fitted_is_no_nan(spp):
    assert "probability = as fitted" in spp("rules", "SPP001").stdout
    (rule,) = json.loads(spp("rules", "SPP001", "--output-format", "json").stdout)
    assert rule["thresholds"][0]["value"] == "as fitted"


def test_an_unknown_code_names_the_nearest(fails):
    assert "Did you mean 'SPP107'?" in fails("rules", "SPP1O7")


def test_the_weighing_rule_prints_what_was_fitted(spp):
    content = fitted().content
    parts = spp("rules", "SPP001").stdout.split("without a rehearsal:")
    for part, model in zip(parts, (content, content["unrehearsed"]), strict=True):
        assert f"\n  {model['intercept']:+.4g}\n" in part
        terms = {k: len(v.get("bends", ())) + ("mean" in v) for k, v in model["statistics"].items()}
        assert {name: len(re.findall(rf"\b{name}\b", part)) for name in terms} == terms


def test_without_coefficients_the_weighing_rule_says_that_it_is_skipped():
    assert list(_formula(None)) == ["no coefficients are fitted: the rule is skipped"]


def test_a_logistic_model_is_written_out():
    bend = {"at": 2.0, "side": "below", "coefficient": -1.5}
    entry = {"coefficient": 0.25, "mean": 1.0, "scale": 2.0, "bends": [bend]}
    alone = {"bends": [bend | {"side": "above"}]}
    statistics = {"growth": entry, "loss": alone}
    lines = list(_formula({"kind": "logistic", "intercept": 3.0, "statistics": statistics}))
    assert lines == [
        "logit of training =",
        "+3",
        "+0.25 (growth - 1) / 2",
        "-1.5 max(0, 2 - growth)",
        "-1.5 max(0, loss - 2)",
    ]


def test_a_tree_is_written_out():
    leaf = {"probability": 0.1}
    tree = {"statistic": "growth", "at": 2.0, "below": leaf, "above": leaf}
    assert '"statistic": "growth",' in "\n".join(_formula({"kind": "tree", "tree": tree}))
