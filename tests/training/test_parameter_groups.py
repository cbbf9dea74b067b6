import pytest
from torch import nn
from torch.optim import SGD

from sppkit.models import build
from sppkit.training.parameter_groups import GroupRule, choose_parameters, parameter_groups


def _by_name(groups):
    return {name: (g["lr"], g["weight_decay"]) for g in groups for name in g["names"]}


def test_scales_and_biases_of_fixup_learn_at_a_tenth_of_the_rate():
    """N5, E8: groups by name."""
    model = build("fixup_resnet_digits")
    rule = GroupRule("re:(bias[^.]*|scale)\\.(bias|scale)$", rate_factor=0.1)
    found = _by_name(parameter_groups(model, [rule], learning_rate=1.0, weight_decay=1e-4))
    slow = {name for name, (rate, _) in found.items() if rate == 0.1}
    scalars = {name for name, p in model.named_parameters() if p.dim() == 0}
    assert slow == scalars
    assert set(found) == {name for name, _ in model.named_parameters()}


def test_gains_and_biases_are_not_decayed():
    model = build("nf_resnet_digits")
    rule = GroupRule("re:(gain|bias)$", weight_decay=0.0)
    found = _by_name(parameter_groups(model, [rule], learning_rate=1.0, weight_decay=2e-5))
    assert all(
        (decay == 0.0) == (name[-4:] in ("gain", "bias")) for name, (_, decay) in found.items()
    )


def test_rules_add_up():
    model = nn.Linear(2, 2)
    rules = [GroupRule("*", 0.5, 0.1), GroupRule("bias", 0.1, 0.0)]
    found = _by_name(parameter_groups(model, rules, learning_rate=1.0))
    assert found == {"weight": (0.5, 0.1), "bias": (pytest.approx(0.05), 0.0)}


def test_an_optimiser_of_torch_takes_them_and_no_parameter_is_lost():
    model = build("nf_resnet_digits")
    groups = parameter_groups(model, [GroupRule("*gain", 0.1)], learning_rate=0.1)
    optimizer = SGD(groups, momentum=0.9)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    assert len(held) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert _by_name(parameter_groups(model, [], learning_rate=1.0)) == {"weight": (1.0, 0.0)}


def test_a_rule_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"patterns='\*scale' matched no parameter.*has 2"):
        parameter_groups(nn.Linear(2, 2), [GroupRule("*scale")], learning_rate=1.0)


def test_none_chooses_none():
    assert choose_parameters(nn.Linear(2, 2), None) == {}
