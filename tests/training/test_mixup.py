import numpy as np
import pytest
import torch

from sppkit.training.mixup import mixup


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_samples_and_targets_are_blended_alike_e8():
    """E8: mixup, x' = s x + (1 - s) x[p] with the same s and p for the labels."""
    x, labels = torch.arange(6.0).view(6, 1) * 10, torch.arange(6)
    blended, targets = mixup(x, labels, 6, strength=0.7, generator=_generator())
    torch.testing.assert_close(targets.sum(1), torch.ones(6))
    torch.testing.assert_close(blended.flatten(), targets @ (torch.arange(6.0) * 10))


def test_shares_follow_a_beta_distribution():
    x, labels = torch.zeros(2, 1), torch.tensor([0, 1])
    generator = _generator()
    strength = 0.5
    shares = []
    for _ in range(2000):
        _, targets = mixup(x, labels, 2, strength=strength, generator=generator)
        shares.append(targets[0, 0].item())
    # where p exchanges nothing, the target is 1; Beta(a, a) has variance 1 / (4 (2 a + 1))
    mixed = np.array([share for share in shares if share < 1.0])
    assert len(mixed) == pytest.approx(1000, abs=110)
    assert mixed.mean() == pytest.approx(0.5, abs=0.06)
    assert mixed.var() == pytest.approx(1 / (4 * (2 * strength + 1)), rel=0.15)


def test_equal_generators_blend_alike_and_the_global_one_is_left():
    x, labels = torch.randn(8, 3), torch.arange(8) % 4
    state = torch.get_rng_state()
    first = mixup(x, labels, 4, generator=_generator(3))
    second = mixup(x, labels, 4, generator=_generator(3))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_strength_of_zero_leaves_the_batch():
    x, labels = torch.randn(4, 2), torch.tensor([0, 1, 2, 1])
    same, targets = mixup(x, labels, 3, strength=0.0)
    assert same is x
    assert targets.argmax(1).tolist() == labels.tolist()


def test_tiny_strengths_pick_one_of_both():
    x, labels = torch.randn(4, 2), torch.arange(4)
    for seed in range(20):
        _, targets = mixup(x, labels, 4, strength=1e-6, generator=_generator(seed))
        assert torch.isfinite(targets).all()


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="0 or more; got -1"):
        mixup(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long), 3, strength=-1.0)
    with pytest.raises(ValueError, match=r"one label per sample, \(2,\); got \(3,\)"):
        mixup(torch.zeros(2, 1), torch.zeros(3, dtype=torch.long), 3)
