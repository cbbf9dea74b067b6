"""`sppkit.check`: what a caller sees of verdicts, seeds, odd models and bad arguments."""

import pytest
import torch
from torch import nn

import sppkit
from benchmarks.flake.networks import plain
from sppkit.errors import ProbeError
from sppkit.gate import examine
from tests.capture.test_left_as_found import all_hooks, randomness, state_of
from tests.gate.test_evidence import FailsFor, small
from tests.rules.test_diagnosis import LoudestLayer


def test_a_healthy_network_passes_and_a_dying_one_fails_at_its_first_layers():
    assert sppkit.check(plain(1.0, depth=8), input_size=(64,)).verdict == "pass"
    diagnosis = sppkit.check(plain(0.2), input_size=(64,))
    assert diagnosis.verdict == "fail"
    assert diagnosis.seeds == (0, 1, 2, 3, 4)


def test_the_evidence_comes_with_the_diagnosis():
    examination = examine(small, input_size=(8,), run="net")
    assert examination.recording.runs == ("net",) == (examination.diagnosis.target,)
    assert set(examination.recording.table()["phase"]) == {"probe", "loss"}


def test_the_same_check_gives_the_same_numbers():
    one, two = (sppkit.check(small, input_size=(8,)) for _ in range(2))
    assert one.evidence == pytest.approx(two.evidence, nan_ok=True)
    assert one.nearness == two.nearness


@pytest.mark.parametrize("try_fix", [False, True])
def test_the_users_model_and_generators_are_left_as_they_were(try_fix):
    model = plain(0.2, depth=12)()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before, random_before = state_of(model), randomness()
    diagnosis = sppkit.check(model, input_size=(64,), try_fix=try_fix)
    assert diagnosis.verdict == "fail"
    assert bool(diagnosis.tried_fixes) is try_fix
    assert state_of(model) == before
    assert randomness() == random_before
    assert not all_hooks(model)


def remarks_on(model, **options):
    diagnosis = sppkit.check(model, **{"input_size": (8,), **options})
    return diagnosis, " | ".join(diagnosis.settings["remarks"])


def test_an_instance_is_said_to_have_one_initialisation():
    _, said = remarks_on(small())
    assert "given as an instance, which has one initialisation" in said
    assert "given as an instance" not in remarks_on(small)[1]


def test_a_function_that_ignores_the_seed_is_said_to():
    def build():
        torch.manual_seed(0)
        return small()

    diagnosis, said = remarks_on(build)
    assert "gave the same weights for every seed" in said
    assert diagnosis.settings["initialisations"] == "one"


def test_a_model_that_fails_for_one_seed_is_judged_by_the_others_and_says_so():
    diagnosis, said = remarks_on(lambda: FailsFor(2))
    assert diagnosis.seeds == (0, 1, 3, 4)
    assert "the verdict rests on 4 of 5 seeds: the model failed for 2" in said
    assert "ArithmeticError: no 2" in said
    assert any("seed 2 failed" in entry.reason for entry in diagnosis.not_captured)


def test_seeds_that_build_another_network_are_left_out():
    def build():
        depth = 2 if torch.initial_seed() == 1 else 1
        return nn.Sequential(*(nn.Linear(8, 8) for _ in range(depth)))

    diagnosis, said = remarks_on(build)
    assert diagnosis.seeds == (0, 2, 3, 4)
    assert "for seed 1 the function builds another network than for the first" in said


def test_one_seed_is_all_that_is_drawn_where_one_is_asked_for():
    diagnosis, said = remarks_on(small, seeds=1)
    assert diagnosis.seeds == (0,)
    assert "one seed says nothing about others" in said


def test_more_seeds_are_drawn_near_a_threshold_and_the_decision_is_stated(monkeypatch):
    from sppkit.gate import examination as module

    judged = module.judge

    def near(recording, **options):
        diagnosis = judged(recording, **options)
        distance = -1.0 if len(diagnosis.seeds) < 12 else -30.0
        return module.replace(diagnosis, nearness={"SPP101": distance})

    monkeypatch.setattr(module, "judge", near)
    diagnosis, said = remarks_on(small)
    assert len(diagnosis.seeds) == 12
    assert "12 seeds instead of 5: the verdict was not clear" in said
    assert diagnosis.settings["decision"]["seeds_drawn"] == 12


def test_a_close_call_at_the_maximum_is_called_one(monkeypatch):
    from sppkit.gate import examination as module

    judged = module.judge

    def near(recording, **options):
        return module.replace(judged(recording, **options), nearness={"SPP101": 1.0})

    monkeypatch.setattr(module, "judge", near)
    diagnosis, said = remarks_on(small, maximum_seeds=7)
    assert len(diagnosis.seeds) == 7
    assert "a close call" in said
    assert "SPP101 is 1.0 standard errors beyond its threshold, 4.5 would be clear" in said
    assert diagnosis.settings["decision"]["near"] == {"SPP101": 1.0}


def test_a_woken_head_is_said():
    def build():
        model = small()
        nn.init.zeros_(model[2].weight)
        return model

    diagnosis, said = remarks_on(build)
    assert "2.weight starts at zero, or nearly, which is healthy" in said
    assert diagnosis.verdict == "pass"


def test_progress_is_told_for_each_seed_that_fails_too():
    seen = []
    sppkit.check(lambda: FailsFor(1), input_size=(8,), seeds=3, on_seed=seen.append)
    assert seen[:3] == [0, 1, 2]


def test_rules_are_selected_and_layers_ignored_as_judge_does_it():
    diagnosis = sppkit.check(plain(0.2), input_size=(64,), select="SPP101")
    assert {f.code for f in diagnosis.findings} <= {"SPP101"}
    ignored = sppkit.check(
        plain(0.2), input_size=(64,), select=["SPP101"], per_layer_ignores={"*": ["SPP101"]}
    )
    assert ignored.verdict == "pass"
    assert any(f.ignored for f in ignored.findings)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"sed": 3}, TypeError, r"check\(\) has no argument 'sed'. Did you mean 'seed'\?"),
        ({"seeds": 0}, ValueError, "seeds=0 must be 1 or more"),
        ({"seed": -1}, ValueError, "seed=-1 must be 0 or more"),
        ({"select": ["SPQ"]}, ValueError, "'SPQ' is no code of a rule"),
        ({"include": "nothing.*"}, ValueError, "matched no layer"),
        ({"mode": "test"}, ValueError, "mode='test' must be"),
        ({"input_size": (9,)}, ProbeError, "forward pass of Sequential failed"),
        ({"loss": "mse"}, TypeError, "loss must be a function of output and labels"),
    ],
)
def test_bad_arguments_are_refused_with_what_was_received(options, kind, message):
    with pytest.raises(kind, match=message):
        sppkit.check(small, **{"input_size": (8,), **options})


def never_built():
    raise AssertionError("built")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": "SPQ1"}, "'SPQ1' is no code of a rule"),
        ({"thresholds": {"SPP999": {}}}, "'SPP999', which is no rule"),
        ({"thresholds": {"SPP101": {"nothing": 1.0}}}, "has no threshold 'nothing'"),
    ],
)
def test_rules_that_do_not_exist_are_refused_before_anything_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        sppkit.check(never_built, input_size=(8,), **options)


def test_a_rule_of_ones_own_is_asked_of_every_network_and_refused_before_anything_is_built():
    diagnosis = sppkit.check(small, input_size=(8,), rules=[LoudestLayer(loudest=0.0)])
    assert "OWN001" in {finding.code for finding in diagnosis.findings}
    with pytest.raises(TypeError, match=r"rules= takes instances"):
        sppkit.check(never_built, input_size=(8,), rules=[LoudestLayer])


def test_a_loss_of_the_users_is_used_and_named():
    def squares(output, labels):
        return output.pow(2).mean()

    diagnosis = sppkit.check(small, input_size=(8,), loss=squares)
    assert diagnosis.settings["loss"]["kind"] == "squares"


def test_a_model_without_parameters_is_judged_by_what_there_is():
    diagnosis = sppkit.check(lambda: nn.Sequential(nn.Flatten(), nn.ReLU()), input_size=(8,))
    assert diagnosis.verdict == "pass"


def test_complex_weights_are_judged_without_a_warning():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 16, dtype=torch.complex64)
            self.head = nn.Linear(16, 4, dtype=torch.complex64)

        def forward(self, x):
            return self.head(self.inner(x.to(torch.complex64))).abs()

    assert sppkit.check(Complex, input_size=(8,), seeds=2).verdict == "pass"
