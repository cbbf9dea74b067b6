import numpy as np
import pytest

from sppkit.theory import entering_variances, normalizer_free_ladder


def test_deepminds_policy_is_that_of_the_ladder_n3():
    """N3: variances entering the blocks of [3, 4, 6, 3], as published; beta² of each block."""
    depths = (3, 4, 6, 3)
    expected = [
        *(1, 1.04, 1.08),
        *(1.12, 1.04, 1.08, 1.12),
        *(1.16, 1.04, 1.08, 1.12, 1.16, 1.2),
        *(1.24, 1.04, 1.08),
    ]
    variances = entering_variances(depths)
    np.testing.assert_allclose(variances, expected, atol=1e-12)
    np.testing.assert_allclose(variances, normalizer_free_ladder(depths).entering_variance)


def test_inverse_betas_of_a_long_stage_n3():
    """N3: the list of 1 / beta."""
    inverse = entering_variances((7,)) ** -0.5
    expected = [1, 0.980581, 0.96225, 0.944911, 0.928477, 0.912871, 0.898027]
    np.testing.assert_allclose(inverse, expected, atol=1e-6)


def test_first_blocks_can_go_uncredited_n3():
    """N3: ReActNet-18 and the port of NF-RegNet reset to 1 without adding alpha²."""
    variances = entering_variances((4, 4), reset="uncredited")
    np.testing.assert_allclose(variances, [1, 1, 1.04, 1.08, 1.12, 1, 1.04, 1.08], atol=1e-12)


def test_variances_can_grow_through_transitions_n3():
    """N3: the UN variant of Dewyse's thesis, beta_i = sqrt(1 + 0.04 i)."""
    variances = entering_variances((1, 2, 2, 3, 3, 4, 1), reset="never")
    np.testing.assert_allclose(variances, 1 + 0.04 * np.arange(16), atol=1e-12)


def test_alpha_is_squared():
    np.testing.assert_allclose(entering_variances((3,), alpha=1.0), [1, 2, 3])


@pytest.mark.parametrize("reset", ["deepmind", "uncredited", "never"])
@pytest.mark.parametrize("depths", [(), (2, 0)])
def test_stages_without_blocks_are_refused(depths, reset):
    with pytest.raises(ValueError, match="each 1 or more"):
        entering_variances(depths, reset=reset)


def test_an_unknown_policy_lists_all():
    with pytest.raises(ValueError, match="deepmind, uncredited, never; got 'always'"):
        entering_variances((3,), reset="always")
