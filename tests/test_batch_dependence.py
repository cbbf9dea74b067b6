import pytest
import torch
from torch import nn

from sppkit.probing import batch_dependence


class _Standardize(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def test_samples_that_are_treated_apart_do_not_depend_on_each_other():
    assert batch_dependence(nn.Linear(5, 3), torch.randn(4, 5)) < 1e-5


def test_the_difference_is_relative_to_the_output():
    x = torch.tensor([[3.0, -4.0], [1.0, 0.0]])
    # together (1, -2), alone (0, 0): the largest difference is 2, the rms of (1, -2) sqrt(2.5)
    assert batch_dependence(_Standardize(), x) == pytest.approx(2 / 2.5**0.5)


def test_batch_normalisation_depends_in_training_only_and_its_buffers_are_restored():
    norm = nn.BatchNorm1d(4)
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    x = torch.randn(8, 4, 6)
    assert batch_dependence(norm, x) > 0.01
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())
    assert batch_dependence(norm.eval(), x) < 1e-6


def test_the_generator_is_as_it_was():
    x = torch.randn(4, 5)
    state = torch.get_rng_state()
    batch_dependence(nn.Dropout(0.5), x)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match="two samples or more; got 1"):
        batch_dependence(nn.Identity(), torch.zeros(1, 2))


def test_a_model_that_returns_more_is_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(TypeError, match="Pair returned tuple"):
        batch_dependence(Pair(), torch.zeros(2, 2))
