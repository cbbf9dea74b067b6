"""The fixes that rules name, applied to copies: what they change, and what is said of them."""

import pandas as pd
import pytest
import torch
from torch import nn

import sppkit
from benchmarks.flake.networks import plain
from sppkit.gate.fixes import CannotFixError, Network, apply_fix
from sppkit.gate.try_fix import FixedModel, fixes_named, try_fixes
from sppkit.inputs import ProbeBatch
from sppkit.rules import Diagnosis, Finding, Fix, Severity
from tests.capture.test_left_as_found import state_of
from tests.init.test_attention import Attention


def finding(code, fix, severity=Severity.ERROR, measured=1.0):
    return Finding(code, severity, "0", "", "", measured, "", "", "", fix=fix)


def network(model, size=(8,)):
    batch = ProbeBatch((torch.randn(16, *size),), {}, None, "")
    structure = sppkit.probe(model, input_size=size, seeds=1).structure()
    return Network(model, structure, lambda: batch)


def test_a_network_that_explodes_evenly_passes_with_the_factor_that_the_rule_states():
    diagnosis = sppkit.check(plain(2.0), input_size=(64,), try_fix=True)
    tried = diagnosis.tried_fixes[-1]
    assert (tried.verdict_before, tried.verdict_after, tried.helped) == ("fail", "pass", True)
    assert tried.fix.kind == "scale initialisation"
    assert tried.fix.factor == pytest.approx(0.5, rel=0.1)
    assert len(tried.applied) == len(tried.fix.layers)
    assert tried.applied[0].endswith(f"weight times {tried.fix.factor:.4g}")
    assert all(after is None for _, before, after in tried.measured if before is not None)


def sick(fix, codes=("SPP101",)):
    """A diagnosis that fails and names a fix, and a judge that always finds the same."""
    found = tuple(finding(code, fix) for code in codes)
    return Diagnosis("net", findings=found, seeds=(0,))


def tried(model, fix, after, size=(8,), before=None):
    structure = sppkit.probe(model, input_size=size, seeds=1).structure()
    return try_fixes(
        model, before or sick(fix), structure, [0], lambda _: after, {"input_size": size}
    )


def two_layers():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def test_a_fix_that_does_not_help_is_said_not_to():
    fix = Fix("scale initialisation", ("0",), 2.0)
    (entry,) = tried(two_layers, fix, sick(fix))
    assert not entry.helped
    assert entry.remark == "it does not help: SPP101 remain"
    assert entry.measured == (("SPP101", 1.0, 1.0),)


def test_a_fix_that_brings_another_error_does_not_help():
    fix = Fix("scale initialisation", ("0",), 2.0)
    after = Diagnosis("net", findings=(finding("SPP202", None, measured=9.0),), seeds=(0,))
    (entry,) = tried(two_layers, fix, after)
    assert not entry.helped
    assert entry.remark == "it does not help: SPP202 arise"
    assert entry.measured == (("SPP101", 1.0, None), ("SPP202", None, 9.0))


def test_a_fix_that_leaves_some_errors_is_said_to_help_and_what_remains():
    fix = Fix("scale initialisation", ("0",), 2.0)
    before = sick(fix, ("SPP101", "SPP202"))
    (entry,) = tried(two_layers, fix, sick(fix), before=before)
    assert entry.helped
    assert entry.remark == "it helps, and SPP101 remain"


@pytest.mark.parametrize(
    ("fix", "reason"),
    [
        (Fix("prayer", ("0",)), "there is no automatic fix called 'prayer'"),
        (Fix("scale initialisation", ("0",)), "needs a finite factor, and has None"),
        (Fix("scale initialisation", ("1",), 2.0), "nothing in 1 takes the fix"),
        (Fix("scale initialisation", ("9",), 2.0), "matched no layer"),
        (Fix("attention scale", ("0",)), "no layer has the name of one that makes queries"),
    ],
)
def test_a_fix_that_cannot_be_applied_says_why(fix, reason):
    (entry,) = tried(two_layers, fix, sick(fix))
    assert entry.applied == ()
    assert not entry.helped
    assert entry.verdict_after == ""
    assert entry.remark.startswith("it cannot be applied: ")
    assert reason in entry.remark


def test_an_instance_that_cannot_be_copied_is_left_alone_and_said():
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memory):
            raise TypeError("unique")

    fix = Fix("scale initialisation", ("",), 2.0)
    (entry,) = tried(Stubborn(8, 3), fix, sick(fix))
    assert "Stubborn cannot be copied (TypeError: unique)" in entry.remark


def test_where_no_fix_is_enough_all_of_them_are_tried_together():
    fixes = (Fix("scale initialisation", ("0",), 2.0), Fix("reset biases", ("2",)))
    before = Diagnosis(
        "net", findings=tuple(finding(f"SPP{i}01", f) for i, f in enumerate(fixes)), seeds=(0,)
    )
    entries = tried(two_layers, None, sick(None), before=before)
    assert [e.fix.kind for e in entries] == [
        "scale initialisation",
        "reset biases",
        "all of them together",
    ]
    assert entries[-1].applied == ("0: weight times 2", "2: bias set to 0")
    assert entries[-1].codes == ("SPP001", "SPP101")


def test_after_a_fix_that_is_enough_no_other_is_tried():
    fixes = (Fix("scale initialisation", ("0",), 2.0), Fix("reset biases", ("2",)))
    before = Diagnosis("net", findings=tuple(finding("SPP101", f) for f in fixes), seeds=(0,))
    healthy = Diagnosis("net", seeds=(0,))
    assert len(tried(two_layers, None, healthy, before=before)) == 1


def test_fixes_that_differ_little_are_one_and_those_of_errors_come_first():
    layers = ("0", "2")
    findings = [
        finding("SPP103", Fix("LSUV", layers), Severity.WARNING),
        finding("SPP101", Fix("scale initialisation", layers, 2.00)),
        finding("SPP201", Fix("scale initialisation", layers, 2.04)),
        finding("SPP202", Fix("scale initialisation", layers, 3.0)),
        finding("SPP401", None),
    ]
    assert fixes_named(findings) == {
        Fix("scale initialisation", layers, 2.00): ("SPP101", "SPP201"),
        Fix("scale initialisation", layers, 3.0): ("SPP202",),
        Fix("LSUV", layers): ("SPP103",),
    }
    assert next(iter(fixes_named(findings))).kind == "scale initialisation"
    assert fixes_named([finding("SPP303", Fix("LSUV", layers), Severity.INFO)]) == {}
    assert fixes_named([]) == {}


def test_a_fixed_instance_is_a_copy_in_the_mode_of_the_probe():
    model = two_layers().eval()
    before = state_of(model)
    fix = Fix("scale initialisation", ("0",), 2.0)
    fixed = FixedModel(model, [fix], pd.DataFrame(), {"input_size": (8,)})()
    assert torch.equal(fixed[0].weight, 2 * model[0].weight)
    assert fixed.training
    assert state_of(model) == before


# ------------------------------------------------------------------------ what each fix changes


def test_scaled_weight_standardisation_takes_the_gain_of_what_is_in_front():
    model = two_layers()
    words = apply_fix(Fix("scaled weight standardisation", ("0", "2")), network(model))
    assert words[1] == "2: weight standardised per output unit, gain 1.713"
    norms = [model[i].weight.detach().norm(dim=1) for i in (0, 2)]
    assert norms[0].tolist() == pytest.approx([1.0] * 8)
    assert norms[1].tolist() == pytest.approx([1.7128585504] * 3)


def test_lsuv_rescales_on_a_batch_and_says_from_what_to_what():
    model = two_layers()
    with torch.no_grad():
        model[0].weight.mul_(100)
    words = apply_fix(Fix("LSUV", ()), network(model))
    assert words[0].startswith("0: output variance ")
    assert model[0].weight.abs().max() < 5


def test_a_group_aware_fan_without_a_factor_draws_anew_by_the_fan_of_a_group():
    model = nn.Sequential(nn.Conv2d(64, 64, 3, groups=64, padding=1), nn.ReLU())
    nn.init.kaiming_normal_(model[0].weight, mode="fan_out")
    (words,) = apply_fix(Fix("group-aware fan", ("0",)), network(model, (64, 5, 5)))
    assert words == "0: drawn from N(0, gain² / 9) for identity in front"
    assert float(model[0].weight.detach().var()) * 9 == pytest.approx(1.0, rel=0.3)


def test_a_group_aware_fan_with_a_factor_scales():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    before = model[0].weight.detach().clone()
    apply_fix(Fix("group-aware fan", ("0",), 3.0), network(model, (4, 5, 5)))
    assert torch.equal(model[0].weight, 3 * before)


def test_weights_that_are_not_finite_are_drawn_anew_for_the_nonlinearity_in_front():
    model = two_layers()
    known = network(model)
    with torch.no_grad():
        model[2].weight[0, 0] = float("nan")
    (words,) = apply_fix(Fix("re-initialise", ("2",)), known)
    assert words == "2: drawn from N(0, gain² / 8) for relu in front"
    assert model[2].weight.isfinite().all()


def test_dead_biases_are_reset():
    model = two_layers()
    nn.init.constant_(model[0].bias, -100.0)
    assert apply_fix(Fix("reset biases", ("0",)), network(model)) == ("0: bias set to 0",)
    assert not model[0].bias.any()


@pytest.mark.parametrize("named", ["block", "block.attention.q_proj", "block.attention.softmax"])
def test_the_attention_scale_is_found_from_the_layer_that_a_rule_names(named):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.ModuleDict({"attention": Attention()})
            self.block["attention"].softmax = nn.Softmax(-1)

        def forward(self, x):
            return self.block["attention"](x)

    model = Block()
    before = model.block["attention"].q_proj.weight.detach().clone()
    words = apply_fix(Fix("attention scale", (named,)), network(model, (5, 32)))
    assert words == ("block.attention.q_proj: 32 rows that make queries times 0.3536",)
    assert torch.allclose(model.block["attention"].q_proj.weight, before * 8**-0.5)


def test_nothing_to_change_is_an_error_that_names_fix_and_layer():
    known = network(nn.Sequential(nn.Linear(8, 3, bias=False)))
    with pytest.raises(CannotFixError, match="nothing in 0 takes the fix 'reset biases'"):
        apply_fix(Fix("reset biases", ("0",)), known)
