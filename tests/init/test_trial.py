"""Running a model aside leaves it, and all generators, as they were."""

import pytest
import torch
from torch import nn

import sppkit
from sppkit.init.trial import as_run, measure, trace
from tests.capture.test_left_as_found import all_hooks, randomness, state_of
from tests.cases import BasicBlock, PostActivationResNet


@pytest.mark.parametrize("look", [trace, measure])
def test_a_model_with_dropout_and_buffers_is_left_as_found(look):
    model = nn.Sequential(BasicBlock(8, 8), nn.Dropout(0.5), BasicBlock(8, 8)).train()
    before, generators = state_of(model), randomness()
    look(model, lambda m: m(torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(1))))
    assert state_of(model) == before
    assert randomness() == generators
    assert all_hooks(model) == []


def test_a_recording_around_it_does_not_hear_of_it():
    model, x = PostActivationResNet(), torch.randn(2, 3, 16, 16)
    with sppkit.record(model) as recording:
        model(x)
        trace(model, lambda m: m(x))
        measure(model, lambda m: m(x))
    assert (recording.table()["passes"] == 1).all()


def test_a_trace_finds_the_merges_that_a_plot_draws():
    found = trace(PostActivationResNet(), lambda m: m(torch.randn(2, 3, 16, 16)))
    assert found.merges
    assert {merge.skip_kind for merge in found.merges} <= {"identity", "projection"}
    assert found.nested == ()


def test_a_function_that_does_not_call_the_model_is_refused():
    with pytest.raises(ValueError, match="no pass of Linear was traced"):
        trace(nn.Linear(2, 2), lambda model: None)


@pytest.mark.parametrize(("args", "run"), [((), None), ((torch.ones(1),), lambda m: m(1))])
def test_either_arguments_or_a_function_are_needed(args, run):
    with pytest.raises(ValueError, match="give the arguments of the model's forward"):
        as_run(args, run)


def test_a_trace_needs_one_sample_only_where_batch_normalisation_needs_two_to_train():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    found = trace(model, lambda m: m(torch.randn(1, 4)))
    assert [node.operation for node in found.graph.nodes][-1] == "batch_norm"
    assert model.training
