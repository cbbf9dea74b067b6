"""Recording and probing change nothing: outputs, gradients, buffers, RNG, modes, hooks."""

import copy
import random

import numpy as np
import pytest
import torch

import sppkit
from tests.cases import CASES, BasicBlock, PostActivationResNet, loss_of

CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def all_hooks(model):
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [hook for m in model.modules() for name in names for hook in getattr(m, name).values()]


def state_of(model):
    """Everything a user can see of a model, as bytes where it is a tensor."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {k: t.detach().numpy().tobytes() for k, t in tensors.items()},
        "gradients": {
            k: None if p.grad is None else p.grad.numpy().tobytes()
            for k, p in model.named_parameters()
        },
        "requires_grad": {k: p.requires_grad for k, p in model.named_parameters()},
        "modes": [m.training for m in model.modules()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "calls": getattr(model, "calls", None),
        "identities": {k: id(p) for k, p in model.named_parameters()},
    }


def randomness():
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),
        random.getstate(),
    )


@CASE
def test_a_recorded_step_is_bit_identical_to_a_plain_one(case):
    model = case.build()
    twin, inputs = copy.deepcopy(model), case.inputs()
    results = []
    for network, context in ((twin, None), (model, sppkit.record(model))):
        torch.manual_seed(1)
        given = tuple(x.clone() for x in inputs)
        if context:
            context.__enter__()
        output = network(*given)
        loss = loss_of(output)
        if loss is not None:
            loss.backward()
        if context:
            context.__exit__(None, None, None)
        outputs = [t.detach().clone() for _, t in _tensors(output)]
        results.append((outputs, randomness(), state_of(network)))
    (plain, plain_random, plain_state), (recorded, recorded_random, recorded_state) = results
    assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))
    assert plain_random == recorded_random
    for key in ("values", "gradients", "modes", "attributes", "calls"):
        assert plain_state[key] == recorded_state[key], key
    assert not all_hooks(model)


def _tensors(value):
    from sppkit.capture.calls.places import tensors_in

    return list(tensors_in(value))


@CASE
def test_recording_reports_no_fault_of_its_own(case):
    model = case.build()
    with sppkit.record(model, extended=True) as recording:
        loss = loss_of(model(*case.inputs()))
        if loss is not None:
            loss.backward()
    assert not [m for m in recording.not_captured if "failed" in m.reason]
    assert not recording.table().duplicated(list(_key())).any()
    undecided = any("is undecided" in m.reason for m in recording.not_captured)
    assert undecided == (case.name == "one sample")
    assert ("activation" in set(recording.table()["signal"])) == (not undecided)


def _key():
    from sppkit.table import KEY

    return KEY


@CASE
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_probing_an_instance_leaves_it_as_it_was(case, mode):
    model = case.build().train()
    given = case.inputs()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    before, random_before = state_of(model), randomness()
    sppkit.probe(model, input=given, seeds=2, mode=mode)
    assert state_of(model) == before
    assert randomness() == random_before
    assert not all_hooks(model)


class _StopError(Exception):
    pass


class Failing(PostActivationResNet):
    """A network whose third block raises what it was told to."""

    def __init__(self, error):
        super().__init__()
        self.error = error
        self.layer2[0].register_forward_pre_hook(self._raise)

    def _raise(self, *_):
        raise self.error


@pytest.mark.parametrize("error", [_StopError("stop"), KeyboardInterrupt()])
def test_nothing_is_left_when_the_forward_raises(error):
    torch.manual_seed(0)
    twin, x = Failing(error), torch.randn(2, 3, 16, 16)
    with pytest.raises(type(error)):
        twin(x)
    torch.manual_seed(0)
    model = Failing(error)
    hooks = all_hooks(model)
    with pytest.raises(type(error)), sppkit.record(model) as recording:
        model(x)
    assert all_hooks(model) == hooks
    assert torch.overrides._len_torch_function_stack() == 0
    assert recording.table().empty
    assert "interrupted" in " ".join(map(str, recording.not_captured))
    assert state_of(model)["values"] == state_of(twin)["values"]  # the user's own forward


@pytest.mark.parametrize("error", [_StopError("stop"), KeyboardInterrupt()])
def test_a_probe_that_fails_restores_everything(error):
    model = Failing(error)
    hooks, before, random_before = all_hooks(model), state_of(model), randomness()
    with pytest.raises((sppkit.SppkitError, KeyboardInterrupt)):
        sppkit.probe(model, input_size=(3, 16, 16))
    assert all_hooks(model) == hooks
    assert state_of(model) == before
    assert randomness() == random_before
    assert torch.overrides._len_torch_function_stack() == 0


def test_activation_of_gains_is_undone_bit_for_bit():
    from tests.cases import ScaledBranches

    model = ScaledBranches()
    before = state_of(model)
    recording = sppkit.probe(model, input_size=(8,), seeds=1, activate=True)
    assert state_of(model) == before
    metadata = recording.metadata["ScaledBranches"]
    assert metadata["silent_residual_gains"] == [f"blocks.{i}.gain" for i in range(3)]
    assert metadata["activated"] is True


def test_a_forward_that_raises_and_is_caught_does_not_end_the_recording():
    model = BasicBlock(3, 3)
    with sppkit.record(model) as recording:
        with pytest.raises(RuntimeError):
            model(torch.randn(2, 5, 8, 8))
        model(torch.randn(2, 3, 8, 8)).sum().backward()
    table = recording.table()
    assert set(table.loc[table["signal"] == "activation", "layer"].astype(str)) >= {"conv1", "bn2"}


def test_a_deep_copy_or_pickle_of_a_recorded_model_is_silent():
    import pickle

    model = PostActivationResNet()
    with sppkit.record(model, signals=["activation"]) as recording:
        model(torch.randn(2, 3, 16, 16))
        for clone in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            clone(torch.randn(2, 3, 16, 16))
    assert (recording.table()["samples"].max()) == 2 * 16 * 16
