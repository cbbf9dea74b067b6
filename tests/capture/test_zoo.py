"""A handful of other people's networks, where their libraries are installed.

All of them: `python -m tests.zoo`.
"""

import importlib.util

import pytest
import torch

from tests.zoo.comparison import Outcome, Training, count_hooks, differences
from tests.zoo.expectations import EXPECTATIONS
from tests.zoo.worker import compare_all

HANDFUL = (
    ("timm", "efficientnet_b0"),
    ("timm", "convnext_atto"),
    ("torchvision", "resnet18"),
    ("torchvision", "lraspp_mobilenet_v3_large"),
    ("transformers", "bert"),
    ("transformers", "t5"),
    ("transformers", "mamba"),
)


@pytest.fixture(scope="module")
def outcomes():
    """Compare those whose library is there, in one process: importing takes longer."""
    there = [name for name in HANDFUL if importlib.util.find_spec(name[0])]
    found = compare_all(there, seconds=60) if there else ()
    return {(outcome.library, outcome.architecture): outcome for outcome in found}


@pytest.mark.parametrize("name", HANDFUL, ids=":".join)
def test_recording_leaves_no_trace_and_finds_the_blocks(name, outcomes):
    if name not in outcomes:
        pytest.skip(f"{name[0]} is not installed: pip install -c constraints.txt -e '.[zoo]'")
    outcome = outcomes[name]
    assert outcome.status == "compared", outcome.remark
    assert outcome.is_good, outcome
    expected = EXPECTATIONS.get(name)
    assert expected is None or expected.is_met(outcome), outcome


def test_a_network_that_does_not_exist_is_a_failure_and_not_the_end():
    unknown = [("transformers", "no such network"), ("transformers", "nor this")]
    outcomes = list(compare_all(unknown, seconds=60))
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert not any(outcome.is_good for outcome in outcomes)
    assert "no such network" in outcomes[0].remark


def test_a_network_that_takes_too_long_is_stopped():
    (outcome,) = compare_all([("transformers", "bert")], seconds=0)
    assert outcome.status == "failed"
    assert "no outcome within 0 s" in outcome.remark


@pytest.mark.parametrize(
    "fault",
    [
        {"bit_identical": False},
        {"hooks_left": 1},
        {"modes_left": 1},
        {"observed": 94},
        {"faults": "layer: recording it failed"},
        {"status": "failed"},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_every_fault_makes_a_network_a_bad_one(fault):
    clean = {"bit_identical": True, "leaves": 100, "observed": 95}
    assert Outcome("library", "name", **clean).is_good
    assert not Outcome("library", "name", **{**clean, **fault}).is_good


@pytest.mark.parametrize(
    ("one", "other"),
    [([0.0], [-0.0]), ([1.0], [1.0 + 2**-23]), ([1.0], [[1.0]])],
    ids=["sign of zero", "last bit", "shape"],
)
def test_a_difference_in_one_bit_is_named(one, other):
    first, second = (Training({"output": torch.tensor(values)}) for values in (one, other))
    assert differences(first, second) == ["output"]
    assert not differences(first, first)


def test_equal_nans_do_not_differ():
    training = Training({"output": torch.tensor([float("nan")])})
    assert not differences(training, training)


def test_hooks_on_modules_and_tensors_are_counted():
    model = torch.nn.Linear(2, 2)
    model.register_forward_hook(lambda *_: None)
    model.weight.register_hook(lambda gradient: None)
    assert count_hooks(model) == 2
